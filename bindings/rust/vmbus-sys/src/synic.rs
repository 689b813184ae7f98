// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! SynIC pages, both sides.

use core::ffi::{c_int, c_void};

extern "C" {
    /// `[any]` Host: write one message; one caller per slot at a time. 0: raise the SINT.
    /// `VMB_EAGAIN`: occupied; the guest will write EOM when it is free. `VMB_EINVAL`: over 240
    /// bytes.
    pub fn vmb_synic_post(slot: *mut c_void, payload: *const c_void, len: u32) -> c_int;
    /// Host: set a flag, 0...2047. `VMB_YES`: raise the SINT. 0: it was set.
    pub fn vmb_synic_set(flags: *mut c_void, flag: u32) -> c_int;
}
