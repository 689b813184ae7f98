// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The wire as named fields: for dumpers, mutators, and to build any message.

use crate::error::{check, static_str, Result};
use crate::list::length;
use core::ffi::CStr;
use core::iter;
use vmbus_sys as sys;

/// A version of the protocol with the features that were negotiated: what picks the form of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// `VMB_V*`; where fields are read, 0: by length.
    pub version: u32,
    /// `VMB_FEATURE_*`.
    pub features: u32,
}

/// What a field is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FieldKind {
    /// A number.
    Number,
    /// A GUID.
    Guid,
    /// Bytes.
    Bytes,
    /// A number: a guest-physical address.
    Gpa,
    /// A number: a page frame number.
    Pfn,
    /// A number: the word of a range.
    Range,
    /// Of a newer library.
    Other(u32),
}

/// A field of a message or packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// Of numbers.
    pub value: u64,
    /// Where it lies.
    pub offset: u32,
    /// Its length.
    pub bytes: u32,
    /// What it is.
    pub kind: FieldKind,
}

impl Field {
    fn of(raw: &sys::vmb_field) -> Self {
        let kind = match raw.kind {
            sys::VMB_FIELD_NUMBER => FieldKind::Number,
            sys::VMB_FIELD_GUID => FieldKind::Guid,
            sys::VMB_FIELD_BYTES => FieldKind::Bytes,
            sys::VMB_FIELD_GPA => FieldKind::Gpa,
            sys::VMB_FIELD_PFN => FieldKind::Pfn,
            sys::VMB_FIELD_RANGE => FieldKind::Range,
            other => FieldKind::Other(other),
        };
        // SAFETY: static, as the library says.
        let name = unsafe { static_str(raw.name) };
        Self { name, value: raw.value, offset: raw.offset, bytes: raw.bytes, kind }
    }
}

/// Bytes of the form of this message type that a sender uses.
pub fn message_size(kind: u32, dialect: Dialect) -> Result<usize> {
    // SAFETY: [pure].
    Ok(check(unsafe { sys::vmb_message_size(kind, dialect.version, dialect.features) })? as usize)
}

/// Is this a message that an end may act on? `to_host`: from guest to host.
pub fn message_check(message: &[u8], dialect: Dialect, to_host: bool) -> Result<()> {
    let Dialect { version, features } = dialect;
    // SAFETY: [pure]; so many bytes are there.
    check(unsafe {
        sys::vmb_message_check(
            message.as_ptr().cast(),
            length(message.len())?,
            version,
            features,
            to_host.into(),
        )
    })
    .map(drop)
}

/// The fields of a message, as far as they lie within it.
///
/// ```
/// use vmbus::{message_fields, message_init, message_set, sys, Dialect};
/// let dialect = Dialect { version: sys::VMB_V5_2, features: 0 };
/// let mut buffer = [0; 240];
/// let message = message_init(&mut buffer, 7, dialect)?; // CLOSE_CHANNEL
/// message_set(message, dialect, c"channel_id", 0x17)?;
/// let field = message_fields(message, dialect).find(|field| field.name == "channel_id").unwrap();
/// assert_eq!((field.value, field.bytes), (0x17, 4));
/// # Ok::<(), vmbus::Error>(())
/// ```
pub fn message_fields(message: &[u8], dialect: Dialect) -> impl Iterator<Item = Field> + '_ {
    let mut index = 0;
    let len = u32::try_from(message.len()).unwrap_or(u32::MAX);
    iter::from_fn(move || {
        let mut raw = sys::vmb_field::default();
        // SAFETY: [pure]; so many bytes are there.
        let r = unsafe {
            let Dialect { version, features } = dialect;
            sys::vmb_message_field(message.as_ptr().cast(), len, version, features, index, &mut raw)
        };
        index += 1;
        (r == sys::VMB_YES).then(|| Field::of(&raw))
    })
}

/// Begins a message: its header and zeros, in the first bytes of the buffer.
pub fn message_init(buffer: &mut [u8], kind: u32, dialect: Dialect) -> Result<&mut [u8]> {
    let Dialect { version, features } = dialect;
    let bytes = u32::try_from(buffer.len()).unwrap_or(u32::MAX);
    // SAFETY: [pure]; so many bytes are there.
    let n =
        check(unsafe { sys::vmb_message_init(buffer.as_mut_ptr().cast(), bytes, kind, version, features) })?;
    Ok(&mut buffer[..n as usize])
}

/// Sets the number of this name.
pub fn message_set(message: &mut [u8], dialect: Dialect, name: &CStr, value: u64) -> Result<()> {
    let Dialect { version, features } = dialect;
    let len = length(message.len())?;
    // SAFETY: [pure]; so many bytes are there, and a string.
    let r = unsafe {
        sys::vmb_message_set(message.as_mut_ptr().cast(), len, version, features, name.as_ptr(), value)
    };
    check(r).map(drop)
}

/// The fields of a whole ring packet, from its descriptor on, without its footer.
pub fn packet_fields(packet: &[u8]) -> impl Iterator<Item = Field> + '_ {
    let mut index = 0;
    let len = u32::try_from(packet.len()).unwrap_or(u32::MAX);
    iter::from_fn(move || {
        let mut raw = sys::vmb_field::default();
        // SAFETY: [pure]; so many bytes are there.
        let r = unsafe { sys::vmb_packet_field(packet.as_ptr().cast(), len, index, &mut raw) };
        index += 1;
        (r == sys::VMB_YES).then(|| Field::of(&raw))
    })
}
