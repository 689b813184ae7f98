// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The wire as named fields.

use core::ffi::{c_char, c_int, c_void};

/// One named field of a message or packet. Frozen.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vmb_field {
    /// Static.
    pub name: *const c_char,
    /// Of numbers; of GUID and BYTES: 0.
    pub value: u64,
    /// Where it lies in the message.
    pub offset: u32,
    /// Where it lies in the message.
    pub bytes: u32,
    /// `VMB_FIELD_*`.
    pub kind: u32,
    /// Reserved: 0.
    pub reserved: u32,
}

/// Kind of a field: a number.
pub const VMB_FIELD_NUMBER: u32 = 1;

/// Kind of a field: a GUID.
pub const VMB_FIELD_GUID: u32 = 2;

/// Kind of a field: bytes.
pub const VMB_FIELD_BYTES: u32 = 3;

/// A number: a guest-physical address.
pub const VMB_FIELD_GPA: u32 = 4;

/// A number: a page frame number.
pub const VMB_FIELD_PFN: u32 = 5;

/// A number: `VMB_RANGE`.
pub const VMB_FIELD_RANGE: u32 = 6;

extern "C" {
    /// `[pure]` The name of a message type, static: "OPEN_CHANNEL"; "?" for others.
    pub fn vmb_message_name(r#type: u32) -> *const c_char;
    /// Bytes of the form of `type` that a sender uses at this version and these features (GPADL
    /// messages: without data). `VMB_EINVAL`: no such type; `VMB_EVERSION`: not in this version or
    /// without a feature it lacks.
    pub fn vmb_message_size(r#type: u32, version: u32, features: u32) -> c_int;
    /// Is this a message that an end may act on: type, size, version, features, direction (to_host
    /// != 0: guest to host)? 0, `VMB_EPEER` (unknown type, short), `VMB_EVERSION`, `VMB_EINVAL`
    /// (the other direction). Total over any bytes. control-plane.md 2, 17, 19.
    pub fn vmb_message_check(
        msg: *const c_void,
        len: u32,
        version: u32,
        features: u32,
        to_host: c_int,
    ) -> c_int;
    /// Field number `index` of a message: `VMB_YES`, or `VMB_ENOENT` after the last that lies
    /// within len. version and features pick the form; version 0: by length. INITIATE_CONTACT is
    /// read by the version that it asks for. Total over any bytes.
    pub fn vmb_message_field(
        msg: *const c_void,
        len: u32,
        version: u32,
        features: u32,
        index: u32,
        out: *mut vmb_field,
    ) -> c_int;
    /// Write the header and zeros of a message as long as `vmb_message_size` says into buf; returns
    /// that length, `VMB_ETOOSMALL`, or its errors.
    pub fn vmb_message_init(buf: *mut c_void, bytes: u32, r#type: u32, version: u32, features: u32) -> c_int;
    /// Set the number called `name`. `VMB_ENOENT`: no such number in this form; `VMB_EINVAL`: it
    /// does not fit. GUIDs and bytes: copy to its offset.
    pub fn vmb_message_set(
        msg: *mut c_void,
        len: u32,
        version: u32,
        features: u32,
        name: *const c_char,
        value: u64,
    ) -> c_int;
    /// `[pure]` As `vmb_message_field`, for a whole ring packet, from its descriptor on, without
    /// footer.
    pub fn vmb_packet_field(packet: *const c_void, len: u32, index: u32, out: *mut vmb_field) -> c_int;
    /// `[pure]` The name of a packet kind, static; "?" for others.
    pub fn vmb_packet_name(kind: u32) -> *const c_char;
}

zeroed!(vmb_field);
