// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! GUIDs, device classes, protocol versions, and the names of numbers.

use crate::error::{check, static_str, Error, Result};
use core::ffi::{c_char, CStr};
use core::fmt;
use core::str::FromStr;
use vmbus_sys as sys;

/// A GUID, its bytes in the order of the wire.
///
/// ```
/// use vmbus::Guid;
/// let scsi: Guid = "ba6163d9-04a1-4d29-b605-72e2ffb1dc7f".parse()?;
/// assert_eq!(scsi.bytes()[0], 0xd9);
/// assert_eq!(scsi.to_string(), "ba6163d9-04a1-4d29-b605-72e2ffb1dc7f");
/// assert_eq!(vmbus::DeviceClass::find(scsi).unwrap().name(), "scsi");
/// # Ok::<(), vmbus::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Guid([u8; 16]);

impl Guid {
    /// The GUID of these bytes.
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn bytes(&self) -> [u8; 16] {
        self.0
    }

    /// The service id of a port of AF_VSOCK, as Linux maps it.
    pub fn of_port(port: u32) -> Self {
        let mut raw = sys::vmb_guid::default();
        // SAFETY: [pure].
        unsafe { sys::vmb_hvsock_port(port, &mut raw) };
        Self(raw.byte)
    }

    pub(crate) fn raw(self) -> sys::vmb_guid {
        sys::vmb_guid { byte: self.0 }
    }

    pub(crate) fn of(raw: sys::vmb_guid) -> Self {
        Self(raw.byte)
    }

    fn parse(text: &CStr) -> Result<Self> {
        let mut raw = sys::vmb_guid::default();
        // SAFETY: [pure]; a string.
        check(unsafe { sys::vmb_guid_parse(text.as_ptr(), &mut raw) })?;
        Ok(Self(raw.byte))
    }
}

impl FromStr for Guid {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut string = [0; 37];
        if text.len() != 36 {
            return Err(Error::Invalid);
        }
        string[..36].copy_from_slice(text.as_bytes());
        Self::parse(CStr::from_bytes_with_nul(&string).map_err(|_| Error::Invalid)?)
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0 as c_char; 37];
        // SAFETY: [pure]; 37 bytes are there, which are filled with a string.
        let text = unsafe {
            sys::vmb_guid_format(&self.raw(), text.as_mut_ptr());
            CStr::from_ptr(text.as_ptr())
        };
        f.write_str(text.to_str().map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A row of the registry of well-known device classes.
#[derive(Clone, Copy, Debug)]
pub struct DeviceClass(sys::vmb_class);

// SAFETY: its pointers are of static text.
unsafe impl Send for DeviceClass {}
// SAFETY: the same.
unsafe impl Sync for DeviceClass {}

impl DeviceClass {
    /// The class of this GUID.
    pub fn find(guid: Guid) -> Option<Self> {
        let mut raw = sys::vmb_class::default();
        // SAFETY: [pure].
        (unsafe { sys::vmb_class_find(&guid.raw(), &mut raw) } == 0).then_some(Self(raw))
    }

    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..).map_while(|index| {
            let mut raw = sys::vmb_class::default();
            // SAFETY: [pure].
            (unsafe { sys::vmb_class_at(index, &mut raw) } == 0).then_some(Self(raw))
        })
    }

    /// Its short name.
    pub fn name(&self) -> &'static str {
        // SAFETY: static, as the library says.
        unsafe { static_str(self.0.name) }
    }

    /// Its GUID.
    pub fn guid(&self) -> Guid {
        Guid::of(self.0.guid)
    }

    /// Do its packets carry the pipe header?
    pub fn is_pipe(&self) -> bool {
        self.0.pipe != 0
    }
}

/// The protocol versions, oldest first, as major << 16 | minor.
pub fn versions() -> impl Iterator<Item = u32> {
    // SAFETY: [pure].
    (0..).map(|index| unsafe { sys::vmb_version_at(index) }).take_while(|&version| version != 0)
}

/// The name of a number of a set: `sys::VMB_NAMES_*`.
pub fn name(set: u32, value: u32) -> &'static str {
    // SAFETY: [pure], static text for any number.
    unsafe { static_str(sys::vmb_name(set, value)) }
}

/// The name of one feature bit.
pub fn feature_name(bit: u32) -> &'static str {
    // SAFETY: [pure], static text for any number.
    unsafe { static_str(sys::vmb_feature_name(bit)) }
}

/// The name of a message type.
pub fn message_name(kind: u32) -> &'static str {
    // SAFETY: [pure], static text for any number.
    unsafe { static_str(sys::vmb_message_name(kind)) }
}

/// The name of a packet type, as on the wire.
pub fn packet_name(kind: u32) -> &'static str {
    // SAFETY: [pure], static text for any number.
    unsafe { static_str(sys::vmb_packet_name(kind)) }
}
