// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Packets, and the external memory that they name.

use crate::{vmb_list, vmb_mapper};
use core::ffi::{c_int, c_void};

/// Kind: payload only.
pub const VMB_PKT_INBAND: u16 = 6;

/// Kind: transfer pages, host to guest.
pub const VMB_PKT_XFER: u16 = 7;

/// Kind: GPA direct, guest to host.
pub const VMB_PKT_GPA: u16 = 9;

/// Kind: the answer to a request.
pub const VMB_PKT_COMPLETION: u16 = 11;

/// Flags: the sender wants a completion.
pub const VMB_PKT_WANTS_REPLY: u16 = 0x1;

/// Flags, received completions only: the request had been cancelled; its pages are yours again.
pub const VMB_PKT_LATE: u16 = 0x8000;

/// One packet, either way. To send, fill it; a received one points into the buffer that you gave.
/// Frozen.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vmb_packet {
    /// Kind: `VMB_PKT_*`.
    pub kind: u16,
    /// Flags: `VMB_PKT_WANTS_REPLY`, `VMB_PKT_LATE`.
    pub flags: u16,
    /// Payload bytes. Received: a multiple of 8 with up to 7 of padding, exact on pipes.
    pub len: u32,
    /// Completion: the request's. Request: 0 lets the library choose, and store it here.
    pub id: u64,
    /// With a request: yours; with its completion: back.
    pub user: u64,
    /// May be NULL where len is 0. Received: buf + head_len.
    pub payload: *const c_void,
    /// GPA direct: the pages; transfer pages: the windows. Received: validated, in buf.
    pub list: vmb_list,
    /// Received: the variable header is the first head_len bytes of buf. To send: 0.
    pub head_len: u32,
    /// Transfer pages: the set id.
    pub page_set: u16,
    /// Reserved: 0.
    pub reserved: u16,
}

extern "C" {
    /// Read n bytes at `offset` of the external memory of a received packet. GPA direct: its pages;
    /// set is null. Transfer pages: its windows into `set`, the list of the GPADL that the set was
    /// made of.
    pub fn vmb_packet_read(
        p: *const vmb_packet,
        set: *const vmb_list,
        m: *const vmb_mapper,
        offset: u64,
        dst: *mut c_void,
        n: u32,
    ) -> c_int;
    /// As `vmb_packet_read`, the other way.
    pub fn vmb_packet_write(
        p: *const vmb_packet,
        set: *const vmb_list,
        m: *const vmb_mapper,
        offset: u64,
        src: *const c_void,
        n: u32,
    ) -> c_int;
    /// As `vmb_packet_read`, but compare: 0 equal, `VMB_YES` different.
    pub fn vmb_packet_compare(
        p: *const vmb_packet,
        set: *const vmb_list,
        m: *const vmb_mapper,
        offset: u64,
        with: *const c_void,
        n: u32,
    ) -> c_int;
    /// `[pure]` How many bytes of external memory it names; 0 for other kinds.
    pub fn vmb_packet_bytes(p: *const vmb_packet) -> u64;
}

zeroed!(vmb_packet);
