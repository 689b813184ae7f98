// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Page lists: guest memory as packets and GPADLs name it, and how to reach it.

use crate::error::{check, Error, Result};
use core::ffi::{c_int, c_void};
use core::fmt;
use core::marker::PhantomData;
use core::ptr::{self, NonNull};
use vmbus_sys as sys;

/// Bytes of a page of the protocol, on every machine.
pub const PAGE: usize = sys::VMB_PAGE as usize;

/// The word that begins a range of a list.
///
/// ```
/// assert_eq!(vmbus::range_word(512, 8), 0x8_0000_0200);
/// ```
pub const fn range_word(bytes: u32, offset: u32) -> u64 {
    sys::VMB_RANGE(bytes, offset)
}

/// A checked list of ranges, each with the numbers of its pages.
#[derive(Clone, Copy)]
pub struct List<'a> {
    pub(crate) raw: sys::vmb_list,
    _words: PhantomData<&'a [u64]>,
}

// SAFETY: it is a shared slice of numbers, and two numbers.
unsafe impl Send for List<'_> {}
// SAFETY: the same.
unsafe impl Sync for List<'_> {}

/// One range of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range<'a> {
    /// How many bytes, at least 1.
    pub bytes: u32,
    /// Where they begin in the first page.
    pub offset: u32,
    /// The page frame numbers.
    pub pfns: &'a [u64],
}

impl<'a> List<'a> {
    /// Checks words that came from outside: `ranges` of them must be there, whole. What lies behind the
    /// last one is cut off.
    ///
    /// ```
    /// use vmbus::{range_word, List};
    /// let words = [range_word(6000, 100), 17, 18];
    /// let list = List::new(&words, 1)?;
    /// assert_eq!(list.bytes(), 6000);
    /// assert_eq!(list.ranges().next().unwrap().pfns, [17, 18]);
    /// assert!(List::new(&words[..2], 1).is_err());
    /// # Ok::<(), vmbus::Error>(())
    /// ```
    pub fn new(words: &'a [u64], ranges: u32) -> Result<Self> {
        let mut raw = sys::vmb_list::default();
        let count = u32::try_from(words.len()).unwrap_or(u32::MAX);
        // SAFETY: `count` words are there; raw is ours.
        check(unsafe { sys::vmb_list_check(words.as_ptr(), count, ranges, &mut raw, ptr::null_mut()) })?;
        Ok(Self { raw, _words: PhantomData })
    }

    /// Of a list of the library's.
    ///
    /// # Safety
    ///
    /// The list has been checked, and its words are there and do not change for `'a`.
    pub(crate) unsafe fn from_raw(raw: sys::vmb_list) -> Self {
        Self { raw, _words: PhantomData }
    }

    /// The words that it is made of.
    pub fn words(&self) -> &'a [u64] {
        // SAFETY: as `new` and `from_raw` were given them.
        unsafe { words_of(&self.raw) }
    }

    /// The ranges, in order.
    pub fn ranges(&self) -> Ranges<'a> {
        Ranges { list: *self, cursor: 0 }
    }

    /// The sum of the ranges' bytes.
    pub fn bytes(&self) -> u64 {
        self.ranges().map(|range| u64::from(range.bytes)).sum()
    }

    /// Reads `to.len()` bytes at `offset` of the memory that the list names. [`Error::Map`]: what lies
    /// before the refused page may have been read.
    pub fn read<M: Mapper>(&self, mapper: &M, offset: u64, to: &mut [u8]) -> Result<()> {
        let n = length(to.len())?;
        // SAFETY: the list is one; the mapper's functions fit M, and live as long as this call; n bytes are there.
        let r =
            unsafe { sys::vmb_list_read(&self.raw, &raw_mapper(mapper), offset, to.as_mut_ptr().cast(), n) };
        check(r).map(drop)
    }

    /// Writes `from` there.
    pub fn write<M: Mapper>(&self, mapper: &M, offset: u64, from: &[u8]) -> Result<()> {
        let n = length(from.len())?;
        // SAFETY: as in `read`.
        let r =
            unsafe { sys::vmb_list_write(&self.raw, &raw_mapper(mapper), offset, from.as_ptr().cast(), n) };
        check(r).map(drop)
    }

    /// Is that what lies there?
    pub fn equals<M: Mapper>(&self, mapper: &M, offset: u64, with: &[u8]) -> Result<bool> {
        let n = length(with.len())?;
        // SAFETY: as in `read`.
        let r =
            unsafe { sys::vmb_list_compare(&self.raw, &raw_mapper(mapper), offset, with.as_ptr().cast(), n) };
        Ok(check(r)? == 0)
    }
}

impl fmt::Debug for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ranges()).finish()
    }
}

/// The ranges of a list.
#[derive(Clone, Debug)]
pub struct Ranges<'a> {
    list: List<'a>,
    cursor: u32,
}

impl<'a> Iterator for Ranges<'a> {
    type Item = Range<'a>;

    fn next(&mut self) -> Option<Range<'a>> {
        let mut raw = sys::vmb_range::default();
        // SAFETY: the list is one; cursor and raw are ours.
        let r = unsafe { sys::vmb_list_next(&self.list.raw, &mut self.cursor, &mut raw) };
        if r != sys::VMB_YES {
            return None;
        }
        // SAFETY: they are `pages` words of the list's, which are there for 'a.
        let pfns = unsafe { core::slice::from_raw_parts(raw.pfns, raw.pages as usize) };
        Some(Range { bytes: raw.bytes, offset: raw.offset, pfns })
    }
}

/// The words of a list.
///
/// # Safety
///
/// They are there, and do not change, for `'a`.
pub(crate) unsafe fn words_of<'a>(list: &sys::vmb_list) -> &'a [u64] {
    if list.count == 0 {
        return &[];
    }
    // SAFETY: as the caller says.
    unsafe { core::slice::from_raw_parts(list.words, list.count as usize) }
}

/// A number of bytes that a call of the library can take.
#[inline]
pub(crate) fn length(n: usize) -> Result<u32> {
    u32::try_from(n).map_err(|_| Error::Invalid)
}

/// What a page is mapped for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access(u32);

impl Access {
    /// The flags of the C API.
    pub fn bits(self) -> u32 {
        self.0
    }

    /// It will be written; in `unmap`: it has been, all of these pages are dirty.
    pub fn write(self) -> bool {
        self.0 & sys::VMB_MAP_WRITE != 0
    }

    /// It stays mapped and is written without a report.
    pub fn always(self) -> bool {
        self.0 & sys::VMB_MAP_ALWAYS != 0
    }

    /// It is of a ring: what is written is in the channel's log of dirty pages.
    pub fn ring(self) -> bool {
        self.0 & sys::VMB_MAP_RING != 0
    }

    /// Private memory of a confidential VM.
    pub fn private(self) -> bool {
        self.0 & sys::VMB_MAP_PRIVATE != 0
    }
}

/// A page that cannot be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unmapped;

/// How to reach guest memory, page by page.
///
/// A panic in one of these ends the process: it cannot pass through the library.
///
/// # Safety
///
/// Where `map` gives `Ok`, each of `pages` points at [`PAGE`] bytes, aligned to as many, that can be read and
/// written until `unmap` gets them back, and that no Rust reference covers meanwhile. Others may change them at
/// any time.
pub unsafe trait Mapper {
    /// Makes the pages of these numbers accessible, all or none; at most 32 at once.
    fn map(
        &self,
        pfns: &[u64],
        access: Access,
        pages: &mut [*mut c_void],
    ) -> core::result::Result<(), Unmapped>;

    /// Takes back what one `map` gave.
    fn unmap(&self, pfns: &[u64], access: Access, pages: &[*mut c_void]);
}

/// The mapper as the library takes it; good while `mapper` is.
pub(crate) fn raw_mapper<M: Mapper>(mapper: &M) -> sys::vmb_mapper {
    sys::vmb_mapper {
        ctx: ptr::from_ref(mapper).cast_mut().cast(),
        map: Some(map::<M>),
        unmap: Some(unmap::<M>),
    }
}

/// `ctx`: an M that lives.
pub(crate) unsafe extern "C" fn map<M: Mapper>(
    ctx: *mut c_void,
    pfns: *const u64,
    n: u32,
    flags: u32,
    pages: *mut *mut c_void,
) -> c_int {
    // SAFETY: ctx is what raw_mapper, or the config of an end, was given; the library gives n numbers, and room
    // for n pointers, which is written before it is looked at.
    let (mapper, pfns, pages) = unsafe {
        for i in 0..n as usize {
            pages.add(i).write(ptr::null_mut());
        }
        (
            &*ctx.cast::<M>(),
            core::slice::from_raw_parts(pfns, n as usize),
            core::slice::from_raw_parts_mut(pages, n as usize),
        )
    };
    match mapper.map(pfns, Access(flags), pages) {
        Ok(()) => 0,
        Err(Unmapped) => sys::VMB_EMAP,
    }
}

/// `ctx`: an M that lives.
pub(crate) unsafe extern "C" fn unmap<M: Mapper>(
    ctx: *mut c_void,
    pfns: *const u64,
    n: u32,
    flags: u32,
    pages: *const *mut c_void,
) {
    // SAFETY: as in `map`, and all n pointers have been written.
    let (mapper, pfns, pages) = unsafe {
        (
            &*ctx.cast::<M>(),
            core::slice::from_raw_parts(pfns, n as usize),
            core::slice::from_raw_parts(pages, n as usize),
        )
    };
    mapper.unmap(pfns, Access(flags), pages);
}

/// Memory as its owner sees it, to be named in a list.
#[repr(transparent)]
#[derive(Clone, Copy, Debug)]
pub struct Piece(sys::vmb_piece);

impl Piece {
    /// So many bytes at this address, of which `translate` knows the page.
    pub const fn new(address: u64, bytes: u64) -> Self {
        Self(sys::vmb_piece { address, bytes })
    }
}

/// Names pieces in a list, in `words`: `translate` gives the guest-physical address of a page-aligned address, and is
/// called once per page of `page_bytes`, the guest's own page. [`Error::NoSpace`]: there are too few words.
///
/// ```
/// use vmbus::{build_list, Piece};
/// let mut words = [0; 8];
/// let list = build_list(&[Piece::new(0x1234, 0x2000)], 4096, |address| Some(address + 0x10000), &mut words)?;
/// assert_eq!(list.bytes(), 0x2000);
/// assert_eq!(list.ranges().next().unwrap().pfns, [0x11, 0x12, 0x13]);
/// # Ok::<(), vmbus::Error>(())
/// ```
pub fn build_list<'a, F>(
    pieces: &[Piece],
    page_bytes: u32,
    mut translate: F,
    words: &'a mut [u64],
) -> Result<List<'a>>
where
    F: FnMut(u64) -> Option<u64>,
{
    unsafe extern "C" fn call<F: FnMut(u64) -> Option<u64>>(
        ctx: *mut c_void,
        address: u64,
        gpa: *mut u64,
    ) -> c_int {
        // SAFETY: ctx is the closure below, which nobody else uses meanwhile; gpa is the library's.
        let (translate, gpa) =
            unsafe { (&mut *ctx.cast::<F>(), &mut *gpa.cast::<core::mem::MaybeUninit<u64>>()) };
        match translate(address) {
            Some(at) => {
                gpa.write(at);
                0
            }
            None => sys::VMB_EMAP,
        }
    }
    let mut raw = sys::vmb_list::default();
    let ctx = NonNull::from(&mut translate).cast().as_ptr();
    let max = u32::try_from(words.len()).unwrap_or(u32::MAX);
    // SAFETY: Piece is a vmb_piece; max words are there, and lent for 'a; call and ctx fit each other.
    unsafe {
        let r = sys::vmb_list_build(
            pieces.as_ptr().cast(),
            length(pieces.len())?,
            page_bytes,
            Some(call::<F>),
            ctx,
            words.as_mut_ptr(),
            max,
            &mut raw,
        );
        check(r)?;
        Ok(List::from_raw(raw))
    }
}
