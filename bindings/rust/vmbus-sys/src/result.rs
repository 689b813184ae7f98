// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Results: facts and errors.

use core::ffi::{c_char, c_int};

/// There was one: a packet, an event, a message, a range, room.
pub const VMB_YES: c_int = 0x1;

/// The peer must be signalled, now; only where the caller asked to do that itself.
pub const VMB_SIGNAL: c_int = 0x2;

/// Write the end-of-message register of this VP.
pub const VMB_EOM: c_int = 0x4;

/// No room in the ring; wake will be called when it fits.
pub const VMB_EFULL: c_int = -1;

/// Not now; the library, or you, will try again.
pub const VMB_EAGAIN: c_int = -2;

/// The control side asks for the channel: stop, give it back.
pub const VMB_ESTOPPED: c_int = -3;

/// As many requests in flight as the channel was sized for.
pub const VMB_ENOSLOT: c_int = -4;

/// Your buffer is too small; the size needed has been told.
pub const VMB_ETOOSMALL: c_int = -5;

/// No such request, GPADL, field or name: late, twice, or never there.
pub const VMB_ENOENT: c_int = -6;

/// A SynIC message that is not VMBus's; left in place.
pub const VMB_EFOREIGN: c_int = -7;

/// An argument is out of its stated range.
pub const VMB_EINVAL: c_int = -16;

/// Size too small, or an unknown tail that is not zero.
pub const VMB_ESTRUCT: c_int = -17;

/// No such channel any more.
pub const VMB_EHANDLE: c_int = -18;

/// Not in this state; the comment says which.
pub const VMB_ESTATE: c_int = -19;

/// A second `[control]` call at once, or one from a callback.
pub const VMB_EREENTRY: c_int = -20;

/// Over a limit of your config, or storage too small or misaligned.
pub const VMB_ENOSPACE: c_int = -21;

/// This packet or list can never be sent.
pub const VMB_ETOOBIG: c_int = -22;

/// Violation; sticky for that channel; reason in `vmb_channel_info`.
pub const VMB_EPEER: c_int = -32;

/// It said no; event.peer_status tells what it said.
pub const VMB_EREFUSED: c_int = -33;

/// The device went away before it answered.
pub const VMB_ERESCINDED: c_int = -34;

/// No version in common, or not in this version.
pub const VMB_EVERSION: c_int = -35;

/// No answer in the time your config gives.
pub const VMB_ETIMEDOUT: c_int = -36;

/// Post failed for good.
pub const VMB_EPLATFORM: c_int = -48;

/// Map or translate refused a page.
pub const VMB_EMAP: c_int = -49;

/// The peer may still write this memory: keep it until `VMB_EV_DISCONNECTED`.
pub const VMB_ELEAK: c_int = -50;

/// Group of errors: informative, nothing is wrong.
pub const VMB_GROUP_INFO: c_int = 0;

/// Group of errors: the caller's fault.
pub const VMB_GROUP_CALLER: c_int = 1;

/// Group of errors: the peer's fault.
pub const VMB_GROUP_PEER: c_int = 2;

/// Group of errors: a callback failed.
pub const VMB_GROUP_PLATFORM: c_int = 3;

/// The group of an error: `VMB_GROUP_*`.
#[allow(non_snake_case)]
pub const fn VMB_GROUP(err: c_int) -> c_int {
    -err >> 4
}

extern "C" {
    /// `[pure]` A text for an error, static, also for unknown codes.
    pub fn vmb_strerror(err: c_int) -> *const c_char;
    /// `[pure]` `VMB_VERSION` of the library.
    pub fn vmb_version() -> c_int;
}
