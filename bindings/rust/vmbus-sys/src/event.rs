// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Events: what an end has to tell.

use crate::vmb_handle;

/// What an end has to tell: 64 bytes, yours to copy and keep. Frozen.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vmb_event {
    /// `VMB_EV_*`.
    pub kind: u32,
    /// `VMB_EVF_*`.
    pub flags: u32,
    /// 0: of the connection.
    pub ch: vmb_handle,
    /// 0 or `VMB_E*`.
    pub status: i32,
    /// Of the channel: from offer or open.
    pub user: u64,
    /// GPADL events.
    pub gpadl: u32,
    /// What the wire said, with `VMB_EREFUSED`; the hypercall's status with `VMB_EPLATFORM`.
    pub peer_status: u32,
    /// `VMB_EV_TARGET`.
    pub vp: u32,
    /// Reserved: 0.
    pub reserved: u32,
    /// Host: makes an answer match its question, and only that.
    pub token: u64,
    /// Always, also when poll returns 0: poll again at this time at the latest. UINT64_MAX: never.
    pub deadline: u64,
    /// Reserved: 0.
    pub spare: u64,
}

/// Host: wants one answer; take your time.
pub const VMB_EVF_ASK: u32 = 0x1;

/// Told or asked again after a restore.
pub const VMB_EVF_RESTORED: u32 = 0x2;

/// Guest, with `EV_OFFER` and `VMB_EVF_RESTORED`: it is open; `vmb_guest_open` with the same memory
/// goes on.
pub const VMB_EVF_OPEN: u32 = 0x4;

/// Guest: the host answered, or status. Host: a guest has made contact.
pub const VMB_EV_CONNECTED: u32 = 1;

/// Guest: over; no memory is the host's any more. Host: the guest left; channels go on being
/// offered.
pub const VMB_EV_DISCONNECTED: u32 = 2;

/// Guest: a new channel: open it or release it.
pub const VMB_EV_OFFER: u32 = 3;

/// Guest: that was all there is today.
pub const VMB_EV_OFFERS_DONE: u32 = 4;

/// Host: ASK: attach, or answer why not.
pub const VMB_EV_OPEN: u32 = 5;

/// Guest: open worked, or status: close or release.
pub const VMB_EV_OPENED: u32 = 6;

/// Guest: stop, then `vmb_guest_release`.
pub const VMB_EV_RESCINDED: u32 = 7;

/// Host: ASK: stop, then `vmb_host_detach`.
pub const VMB_EV_CLOSE: u32 = 8;

/// Guest: channel object and rings are yours again. Host: the channel object is.
pub const VMB_EV_CLOSED: u32 = 9;

/// Guest: the last event of this handle. Host: the last event of this handle.
pub const VMB_EV_GONE: u32 = 10;

/// Guest: created, or status: then it is over.
pub const VMB_EV_GPADL: u32 = 11;

/// Guest: its memory is yours again. Host: ASK if held: stop, then `vmb_host_gpadl_release`.
pub const VMB_EV_GPADL_DOWN: u32 = 12;

/// Guest: no interrupt comes to the old VP, or status.
pub const VMB_EV_TARGET: u32 = 13;

/// Host: `vmb_host_reset` is done.
pub const VMB_EV_RESET: u32 = 14;

/// Guest: other monitor pages are in use, or status.
pub const VMB_EV_MONITOR: u32 = 15;

/// Guest: no message comes before `vmb_guest_resume`.
pub const VMB_EV_PAUSED: u32 = 16;

/// Guest: connected, a new channel; or status. Host: ASK: the guest connects; offer a channel, or
/// refuse.
pub const VMB_EV_HVSOCK: u32 = 17;

zeroed!(vmb_event);
