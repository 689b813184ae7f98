// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The memory that an object of the library lies in: lent by the caller, or from the allocator.

use crate::error::{Error, Result};
use core::alloc::Layout;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ptr::NonNull;
use vmbus_sys as sys;

/// Memory that nobody else uses while this value lives, and that does not move.
pub(crate) struct Storage<'s> {
    base: NonNull<u8>,
    bytes: usize,
    #[cfg(feature = "alloc")]
    owned: Option<Layout>,
    _lent: PhantomData<&'s mut [MaybeUninit<u8>]>,
}

impl<'s> Storage<'s> {
    pub(crate) fn lent(memory: &'s mut [MaybeUninit<u8>]) -> Self {
        Self {
            bytes: memory.len(),
            base: NonNull::from(memory).cast(),
            #[cfg(feature = "alloc")]
            owned: None,
            _lent: PhantomData,
        }
    }

    #[cfg(feature = "alloc")]
    pub(crate) fn allocate(layout: Layout) -> Self {
        let layout = if layout.size() == 0 { Layout::new::<u64>() } else { layout };
        // SAFETY: the size is not 0.
        let base = unsafe { alloc::alloc::alloc_zeroed(layout) };
        let Some(base) = NonNull::new(base) else { alloc::alloc::handle_alloc_error(layout) };
        Self { base, bytes: layout.size(), owned: Some(layout), _lent: PhantomData }
    }

    pub(crate) fn base(&self) -> *mut core::ffi::c_void {
        self.base.as_ptr().cast()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(feature = "alloc")]
impl Drop for Storage<'_> {
    fn drop(&mut self) {
        if let Some(layout) = self.owned {
            // SAFETY: base came from alloc_zeroed with this layout, and is freed only here.
            unsafe { alloc::alloc::dealloc(self.base.as_ptr(), layout) }
        }
    }
}

// SAFETY: it is the only way to this memory, which is tied to no thread.
unsafe impl Send for Storage<'_> {}

/// What the library says that it needs, as a layout.
pub(crate) fn layout(need: &sys::vmb_storage) -> Result<Layout> {
    Layout::from_size_align(need.bytes, need.align).map_err(|_| Error::NoSpace)
}
