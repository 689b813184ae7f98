// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Where a ring lies, and where a side of it stands.

use crate::error::{check, Result};
use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::fmt;
use core::marker::PhantomData;
use core::ptr::{self, NonNull};
use vmbus_sys as sys;

/// Marks ring memory for the side that sends.
#[derive(Debug)]
pub enum Sending {}
/// Marks ring memory for the side that receives.
#[derive(Debug)]
pub enum Receiving {}

/// How a ring is taken up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingFlags {
    /// Clear the control page and start at 0, as a guest does; else go on from the indexes found.
    pub fresh: bool,
    /// Receive unknown packet types and flags: for dumpers.
    pub loose: bool,
}

impl RingFlags {
    fn bits(self) -> u32 {
        (if self.fresh { sys::VMB_RING_FRESH } else { 0 })
            | (if self.loose { sys::VMB_RING_LOOSE } else { 0 })
    }
}

/// The memory of one ring, seen from one of its sides: the right to make one half of it.
///
/// [`RingBuffer`](crate::RingBuffer) gives both sides of a ring within a program. What is shared with a virtual machine or
/// another process is named by the unsafe functions here.
pub struct RingMemory<'m, Side> {
    pub(crate) raw: sys::vmb_ring_mem,
    _memory: PhantomData<&'m [UnsafeCell<u8>]>,
    _side: PhantomData<fn(Side)>,
}

// SAFETY: it only says where memory lies that whoever made it has promised to be there, for any thread.
unsafe impl<Side> Send for RingMemory<'_, Side> {}

impl<'m, Side> RingMemory<'m, Side> {
    fn new(control: NonNull<c_void>, data: *mut c_void, data_pages: u32, flags: u32) -> Self {
        let raw =
            sys::vmb_ring_mem { control: control.as_ptr(), data, pages: ptr::null(), data_pages, flags };
        Self { raw, _memory: PhantomData, _side: PhantomData }
    }

    /// A control page, and `data_pages` data pages in a row.
    ///
    /// # Safety
    ///
    /// For `'m`, control is 4096 bytes and data `data_pages` times 4096 bytes that can be read and written, both aligned to
    /// 4096; no Rust reference covers them; and no other half of the same side of this ring is made from them.
    /// The other side may be anybody, and may write anything there at any time.
    pub unsafe fn plain(
        control: NonNull<c_void>,
        data: NonNull<c_void>,
        data_pages: u32,
        flags: RingFlags,
    ) -> Self {
        Self::new(control, data.as_ptr(), data_pages, flags.bits())
    }

    /// The same where the data pages are mapped twice in a row.
    ///
    /// # Safety
    ///
    /// As for [`plain`](Self::plain), of twice as many bytes of data, whose second half is the first one again.
    pub unsafe fn twice(
        control: NonNull<c_void>,
        data: NonNull<c_void>,
        data_pages: u32,
        flags: RingFlags,
    ) -> Self {
        Self::new(control, data.as_ptr(), data_pages, flags.bits() | sys::VMB_RING_TWICE)
    }

    /// The same where the data pages lie anywhere.
    ///
    /// # Safety
    ///
    /// As for [`plain`](Self::plain), of each of the pages.
    pub unsafe fn listed(control: NonNull<c_void>, pages: &'m [NonNull<c_void>], flags: RingFlags) -> Self {
        let data_pages = u32::try_from(pages.len()).unwrap_or(u32::MAX);
        let mut memory = Self::new(control, ptr::null_mut(), data_pages, flags.bits());
        memory.raw.pages = pages.as_ptr().cast();
        memory
    }

    /// What the control page says at this moment.
    pub fn inspect(&self) -> Result<RingInfo> {
        let mut raw = sys::vmb_ring_info::default();
        // SAFETY: [any]; the memory is there, as whoever made this has promised.
        check(unsafe { sys::vmb_ring_inspect(&self.raw, &mut raw) })?;
        Ok(RingInfo::from_raw(&raw))
    }
}

impl<Side> fmt::Debug for RingMemory<'_, Side> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RingMemory").field("data_pages", &self.raw.data_pages).finish_non_exhaustive()
    }
}

/// What a control page says, not checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RingInfo {
    /// Size of the data.
    pub data_bytes: u32,
    /// The producer's index.
    pub in_index: u32,
    /// The consumer's index.
    pub out_index: u32,
    /// The consumer wants no signals.
    pub masked: bool,
    /// Bytes that the producer waits for; 0: it does not.
    pub pending_send: u32,
    /// Feature bits.
    pub features: u32,
}

impl RingInfo {
    pub(crate) fn from_raw(raw: &sys::vmb_ring_info) -> Self {
        Self {
            data_bytes: raw.data_bytes,
            in_index: raw.r#in,
            out_index: raw.out,
            masked: raw.interrupt_mask != 0,
            pending_send: raw.pending_send,
            features: raw.features,
        }
    }
}

/// Where one side stood when it was ended; another half goes on from there.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cursor(pub(crate) sys::vmb_cursor);

impl Cursor {
    /// As three numbers, to be kept or sent elsewhere.
    pub fn to_words(self) -> [u32; 3] {
        [self.0.valid, self.0.index, self.0.armed]
    }

    /// The cursor that [`to_words`](Self::to_words) gave. Numbers that are none are refused where it is used.
    pub fn from_words([valid, index, armed]: [u32; 3]) -> Self {
        Self(sys::vmb_cursor { valid, index, armed, reserved: 0 })
    }
}

/// What the library says of a broken ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation {
    /// `VMB_R_*`.
    pub reason: u32,
    /// The ring offset.
    pub at: u32,
}

impl Violation {
    #[inline]
    pub(crate) fn of(reason: u32, at: u32) -> Option<Self> {
        (reason != 0).then_some(Self { reason, at })
    }

    /// The name of the reason.
    pub fn name(&self) -> &'static str {
        // SAFETY: [pure], static text for any number.
        unsafe { crate::error::static_str(sys::vmb_reason_name(self.reason)) }
    }
}

/// Bytes in a ring that lie in a row. They are the peer's, too: there is no reference to them, only a pointer.
#[repr(transparent)]
#[derive(Clone, Copy, Debug)]
pub struct Span(sys::vmb_span);

impl Span {
    /// For an array to be filled.
    pub const EMPTY: Self = Self(sys::vmb_span { base: ptr::null_mut(), len: 0 });

    /// Where they begin.
    pub fn as_ptr(&self) -> *mut u8 {
        self.0.base.cast()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len
    }

    /// None?
    pub fn is_empty(&self) -> bool {
        self.0.len == 0
    }

    pub(crate) fn slots(spans: &mut [Self]) -> (*mut sys::vmb_span, u32) {
        (spans.as_mut_ptr().cast(), u32::try_from(spans.len()).unwrap_or(u32::MAX))
    }
}

/// Does the peer have to be signalled, now?
#[must_use = "a peer that is not signalled may sleep for ever"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Yes.
    Needed,
    /// No.
    NotNeeded,
}

impl Signal {
    #[inline]
    pub(crate) fn of(facts: core::ffi::c_int) -> Self {
        if facts & sys::VMB_SIGNAL != 0 {
            Self::Needed
        } else {
            Self::NotNeeded
        }
    }

    /// Yes?
    #[inline]
    pub fn needed(self) -> bool {
        self == Self::Needed
    }
}

/// A ring within this program, for two of its threads, or for tests.
#[cfg(feature = "alloc")]
pub struct RingBuffer {
    base: NonNull<u8>,
    data_pages: u32,
}

#[cfg(feature = "alloc")]
impl RingBuffer {
    /// A control page and so many data pages, all zero: 1 to 8188.
    pub fn new(data_pages: u32) -> Result<Self> {
        if !(1..=8188).contains(&data_pages) {
            return Err(crate::Error::Invalid);
        }
        let layout = Self::layout(data_pages);
        // SAFETY: the size is not 0.
        let base = unsafe { alloc::alloc::alloc_zeroed(layout) };
        let Some(base) = NonNull::new(base) else { alloc::alloc::handle_alloc_error(layout) };
        Ok(Self { base, data_pages })
    }

    fn layout(data_pages: u32) -> core::alloc::Layout {
        let pages = data_pages as usize + 1;
        core::alloc::Layout::from_size_align(pages * crate::PAGE, crate::PAGE).expect("32 MiB at most")
    }

    /// Both sides of it. They, and what is made from them, must be gone before it can be asked again.
    ///
    /// ```compile_fail,E0499
    /// use vmbus::{RingBuffer, Tx};
    /// let mut ring = RingBuffer::new(1).unwrap();
    /// let (tx, _) = ring.halves();
    /// let mut first = Tx::new(tx, None).unwrap();
    /// let (tx, _) = ring.halves(); // a second producer, while the first one lives
    /// first.put(&vmbus::Packet::in_band(b"")).unwrap();
    /// ```
    pub fn halves(&mut self) -> (RingMemory<'_, Sending>, RingMemory<'_, Receiving>) {
        let control = self.base.cast();
        // SAFETY: it lies in the allocation, which is longer by the control page.
        let data = unsafe { self.base.add(crate::PAGE) }.cast();
        // SAFETY: the pages are ours while the borrow lasts, aligned, and never under a reference; one memory is given
        // out for each side, which makes one half.
        unsafe {
            (
                RingMemory::plain(control, data, self.data_pages, RingFlags::default()),
                RingMemory::plain(control, data, self.data_pages, RingFlags::default()),
            )
        }
    }
}

#[cfg(feature = "alloc")]
impl Drop for RingBuffer {
    fn drop(&mut self) {
        // SAFETY: it came from alloc_zeroed with this layout.
        unsafe { alloc::alloc::dealloc(self.base.as_ptr(), Self::layout(self.data_pages)) }
    }
}

// SAFETY: an owned allocation, tied to no thread.
#[cfg(feature = "alloc")]
unsafe impl Send for RingBuffer {}
// SAFETY: a shared one can do nothing.
#[cfg(feature = "alloc")]
unsafe impl Sync for RingBuffer {}

#[cfg(feature = "alloc")]
impl fmt::Debug for RingBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RingBuffer").field("data_pages", &self.data_pages).finish()
    }
}
