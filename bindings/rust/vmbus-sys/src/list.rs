// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Page lists: guest memory as packets and GPADLs name it.

use core::ffi::{c_int, c_void};

/// A page list: for each range one word ([`VMB_RANGE`](crate::VMB_RANGE)), then the numbers of the
/// pages that it covers. Frozen.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vmb_list {
    /// The words, in the byte order of the CPU.
    pub words: *const u64,
    /// How many words.
    pub count: u32,
    /// How many ranges.
    pub ranges: u32,
}

/// The word that begins a range of a page list.
#[allow(non_snake_case)]
pub const fn VMB_RANGE(bytes: u32, offset: u32) -> u64 {
    (offset as u64) << 32 | bytes as u64
}

/// One range of a list, as `vmb_list_next` gives it. Frozen.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vmb_range {
    /// More than 0.
    pub bytes: u32,
    /// Into the first page, 0...4095.
    pub offset: u32,
    /// Its page frame numbers, within the list.
    pub pfns: *const u64,
    /// How many pages.
    pub pages: u32,
    /// Reserved: 0.
    pub reserved: u32,
}

/// How list calls reach guest memory: at most 32 pages are asked for at once. Frozen.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vmb_mapper {
    /// First argument of both callbacks.
    pub ctx: *mut c_void,
    /// Make n guest pages accessible and have `pages[i]` point at them: 0, or none of them and
    /// `VMB_EMAP`.
    pub map: Option<
        unsafe extern "C" fn(
            ctx: *mut c_void,
            pfns: *const u64,
            n: u32,
            flags: u32,
            pages: *mut *mut c_void,
        ) -> c_int,
    >,
    /// Take back exactly what one map gave.
    pub unmap: Option<
        unsafe extern "C" fn(
            ctx: *mut c_void,
            pfns: *const u64,
            n: u32,
            flags: u32,
            pages: *const *mut c_void,
        ),
    >,
}

/// Will be written; in unmap: has been written, all of these pages are dirty.
pub const VMB_MAP_WRITE: u32 = 0x1;

/// Stays mapped and is written at any time without a report: dirty whenever you look.
pub const VMB_MAP_ALWAYS: u32 = 0x2;

/// A ring: what is written is reported by `vmb_channel_dirty`, not by unmap.
pub const VMB_MAP_RING: u32 = 0x4;

/// Confidential VM: private memory.
pub const VMB_MAP_PRIVATE: u32 = 0x8;

/// Memory as its owner sees it, to be named in a list. Frozen.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vmb_piece {
    /// Where it begins; `translate` knows such addresses.
    pub address: u64,
    /// Its size.
    pub bytes: u64,
}

extern "C" {
    /// `[pure]` Check a list that came from outside: every range > 0 bytes, offset < 4096, all its
    /// pages there, at least one range, no sum overflowing. Words beyond the last range are cut off
    /// (out->count). `VMB_EINVAL`: not a list. `*bytes` (may be NULL): the sum.
    pub fn vmb_list_check(
        words: *const u64,
        count: u32,
        ranges: u32,
        out: *mut vmb_list,
        bytes: *mut u64,
    ) -> c_int;
    /// `[pure]` `VMB_YES` and the next range, 0 after the last, `VMB_EINVAL` where the list is
    /// none. Start with `*cursor` = 0.
    pub fn vmb_list_next(list: *const vmb_list, cursor: *mut u32, out: *mut vmb_range) -> c_int;
    /// Read n bytes at `offset` of the memory that the list names, across ranges and pages.
    /// `VMB_EINVAL`: not all of it is in the list, nothing was touched. `VMB_EMAP`: what lies
    /// before the refused page may have been transferred.
    pub fn vmb_list_read(
        list: *const vmb_list,
        m: *const vmb_mapper,
        offset: u64,
        dst: *mut c_void,
        n: u32,
    ) -> c_int;
    /// As `vmb_list_read`, the other way: write n bytes into that memory.
    pub fn vmb_list_write(
        list: *const vmb_list,
        m: *const vmb_mapper,
        offset: u64,
        src: *const c_void,
        n: u32,
    ) -> c_int;
    /// As `vmb_list_read`, but compare: 0 equal, `VMB_YES` different.
    pub fn vmb_list_compare(
        list: *const vmb_list,
        m: *const vmb_mapper,
        offset: u64,
        with: *const c_void,
        n: u32,
    ) -> c_int;
    /// `[pure, but for translate]` Name pieces in a list of at most `max` words: translate gives
    /// the guest-physical address of a page-aligned `address`; it is called once per page of
    /// `page_bytes` (4096, 16384, 65536: the guest's own page). Neighbours merge to one range
    /// wherever the wire allows. `VMB_ENOSPACE`: out->count words are needed. `VMB_EMAP`: translate
    /// refused (non-zero). `VMB_EINVAL`: no piece, an empty one, a sum that overflows.
    pub fn vmb_list_build(
        pieces: *const vmb_piece,
        n: u32,
        page_bytes: u32,
        translate: Option<unsafe extern "C" fn(ctx: *mut c_void, address: u64, gpa: *mut u64) -> c_int>,
        ctx: *mut c_void,
        words: *mut u64,
        max: u32,
        out: *mut vmb_list,
    ) -> c_int;
}

zeroed!(vmb_list, vmb_range, vmb_mapper, vmb_piece);
