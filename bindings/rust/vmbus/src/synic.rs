// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The two pages of the SynIC, of one SINT of one VP.

use crate::error::{check, Result};
use crate::list::length;
use core::ffi::c_void;
use core::marker::PhantomData;
use core::ptr::NonNull;
use vmbus_sys as sys;

/// 256 bytes of a message page and 256 bytes of an event-flags page, both of one SINT of one VP. Either side may write there
/// at any time.
#[derive(Clone, Copy, Debug)]
pub struct Sint<'p> {
    slot: NonNull<c_void>,
    flags: NonNull<c_void>,
    _pages: PhantomData<&'p ()>,
}

// SAFETY: all that it has are calls that any thread may make, beside others.
unsafe impl Send for Sint<'_> {}
// SAFETY: the same.
unsafe impl Sync for Sint<'_> {}

impl<'p> Sint<'p> {
    /// The slot and the flags that lie there.
    ///
    /// # Safety
    ///
    /// For `'p`, both are 256 bytes, aligned to 256, that can be read and written, and no Rust reference covers them.
    pub unsafe fn new(slot: NonNull<c_void>, flags: NonNull<c_void>) -> Self {
        Self { slot, flags, _pages: PhantomData }
    }

    /// Host: writes one message. Then raise the SINT. [`Error::Again`](crate::Error::Again): it is occupied; the guest writes
    /// EOM when it is free.
    ///
    /// # Safety
    ///
    /// One caller at a time per slot, as the callback that a host end delivers messages by is called.
    pub unsafe fn post(&self, payload: &[u8]) -> Result<()> {
        let n = length(payload.len())?;
        // SAFETY: the slot is there, and so many bytes.
        check(unsafe { sys::vmb_synic_post(self.slot.as_ptr(), payload.as_ptr().cast(), n) }).map(drop)
    }

    /// Host: sets a flag, 0 to 2047. `true`: raise the SINT.
    pub fn set(&self, flag: u32) -> Result<bool> {
        // SAFETY: the flags are there; the library checks the number.
        Ok(check(unsafe { sys::vmb_synic_set(self.flags.as_ptr(), flag) })? & sys::VMB_YES != 0)
    }

    #[cfg(feature = "alloc")]
    pub(crate) fn slot(&self) -> *mut c_void {
        self.slot.as_ptr()
    }

    #[cfg(feature = "alloc")]
    pub(crate) fn flags(&self) -> *mut c_void {
        self.flags.as_ptr()
    }
}
