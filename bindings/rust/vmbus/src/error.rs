// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Errors, in four groups by whose fault they are.

use core::ffi::{c_int, CStr};
use core::fmt;
use vmbus_sys as sys;

macro_rules! errors {
    ($($(#[$doc:meta])* $name:ident = $code:ident,)*) => {
        /// Why a call did not do what it was asked to.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Error {
            $($(#[$doc])* $name,)*
            /// A code that this crate does not know: of a newer library.
            Other(i32),
        }

        impl Error {
            /// The error of a negative result.
            pub fn from_code(code: i32) -> Self {
                match code {
                    $(sys::$code => Self::$name,)*
                    _ => Self::Other(code),
                }
            }

            /// The number that the C API has for it, `VMB_E*`.
            pub fn code(self) -> i32 {
                match self {
                    $(Self::$name => sys::$code,)*
                    Self::Other(code) => code,
                }
            }

            /// All that have names, for tests and tables.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];
        }
    };
}

errors! {
    /// No room in the ring; a signal comes when it fits.
    Full = VMB_EFULL,
    /// Not now; try again.
    Again = VMB_EAGAIN,
    /// The channel is asked for: stop, give it back.
    Stopped = VMB_ESTOPPED,
    /// As many requests in flight as the channel was sized for.
    NoSlot = VMB_ENOSLOT,
    /// The buffer is too small; the packet is still there.
    TooSmall = VMB_ETOOSMALL,
    /// No such request, GPADL, field or name: late, twice, or never there.
    NotFound = VMB_ENOENT,
    /// A SynIC message that is not VMBus's; left in place.
    Foreign = VMB_EFOREIGN,
    /// An argument is out of its stated range.
    Invalid = VMB_EINVAL,
    /// A struct of a size that this library does not take.
    Struct = VMB_ESTRUCT,
    /// No such channel any more.
    Handle = VMB_EHANDLE,
    /// Not in this state.
    State = VMB_ESTATE,
    /// A second control call at once, or one from a callback.
    Reentry = VMB_EREENTRY,
    /// Over a limit of the config, or storage too small or misaligned.
    NoSpace = VMB_ENOSPACE,
    /// This packet or list can never be sent.
    TooBig = VMB_ETOOBIG,
    /// The peer broke the protocol; for good.
    Peer = VMB_EPEER,
    /// The peer said no.
    Refused = VMB_EREFUSED,
    /// The device went away before it answered.
    Rescinded = VMB_ERESCINDED,
    /// No version in common, or not in this version.
    Version = VMB_EVERSION,
    /// No answer in time.
    TimedOut = VMB_ETIMEDOUT,
    /// A post failed for good.
    Platform = VMB_EPLATFORM,
    /// A page was refused by a map or translate callback.
    Map = VMB_EMAP,
    /// The peer may still write this memory.
    Leak = VMB_ELEAK,
}

/// Whose fault an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Group {
    /// Nobody's: nothing is wrong.
    Info,
    /// The caller's; state is unchanged.
    Caller,
    /// The peer's, contained in one channel or one connection.
    Peer,
    /// A callback's.
    Platform,
    /// Of a newer library.
    Other,
}

impl Error {
    /// Whose fault it is.
    pub fn group(self) -> Group {
        match sys::VMB_GROUP(self.code()) {
            sys::VMB_GROUP_INFO => Group::Info,
            sys::VMB_GROUP_CALLER => Group::Caller,
            sys::VMB_GROUP_PEER => Group::Peer,
            sys::VMB_GROUP_PLATFORM => Group::Platform,
            _ => Group::Other,
        }
    }

    pub(crate) fn text(self) -> &'static str {
        // SAFETY: [pure]; it takes any number.
        unsafe { static_str(sys::vmb_strerror(self.code())) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl core::error::Error for Error {}

/// What calls give.
pub type Result<T> = core::result::Result<T, Error>;

/// Facts, or the error.
#[inline]
pub(crate) fn check(r: c_int) -> Result<c_int> {
    if r < 0 {
        Err(Error::from_code(r))
    } else {
        Ok(r)
    }
}

/// Text of the library's.
///
/// # Safety
///
/// `text` is a string that the library says is static.
pub(crate) unsafe fn static_str(text: *const core::ffi::c_char) -> &'static str {
    // SAFETY: as the caller says; and the library's texts are ASCII, what is not becomes "?".
    unsafe { CStr::from_ptr(text) }.to_str().unwrap_or("?")
}
