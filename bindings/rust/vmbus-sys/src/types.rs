// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Small types, all frozen.

use core::ffi::c_void;

/// Names a channel on an end; 0 is none. Never reused while the end lives.
pub type vmb_handle = u32;

/// A GUID, its bytes in the order of the wire.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vmb_guid {
    /// The bytes; compare them as they are.
    pub byte: [u8; 16],
}

/// How much memory an object needs.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vmb_storage {
    /// Its size.
    pub bytes: usize,
    /// A power of two, at most 64.
    pub align: usize,
}

/// A piece of memory, laid out as `struct iovec`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vmb_span {
    /// Where it begins.
    pub base: *mut c_void,
    /// Its bytes.
    pub len: usize,
}

/// A byte string inside a ring. It is no pointer: it may wrap and may cross pages. Valid until
/// commit, discard or release.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vmb_view {
    /// Where it begins in the ring.
    pub pos: u32,
    /// Its bytes.
    pub len: u32,
}

/// Pages of the protocol, on every machine.
pub const VMB_PAGE: u32 = 4096;

/// Bytes of one control message.
pub const VMB_MESSAGE_MAX: u32 = 240;

zeroed!(vmb_guid, vmb_storage, vmb_span, vmb_view);
