// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Watching an end: trace points, and the names of states.

use crate::vmb_handle;
use core::ffi::c_char;

/// What an end does, told as it happens by the callback `trace` of its config. Numbers only;
/// `vmb_name` has the words. Frozen.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vmb_trace {
    /// `VMB_TRACE_*`.
    pub point: u32,
    /// The channel; 0: none, or, with messages, see `channel`.
    pub ch: vmb_handle,
    /// Its id on the wire; 0: none.
    pub channel: u32,
    /// Id on the wire; 0: none.
    pub gpadl: u32,
    /// First number, by the point.
    pub a: u32,
    /// Second number.
    pub b: u32,
    /// Third number.
    pub c: u32,
    /// Fourth number.
    pub d: u32,
}

/// A type, 0 if too short for one; b bytes; c `VMB_FATE_*`; d `VMB_BUS_*` when it came.
pub const VMB_TRACE_MESSAGE_IN: u32 = 1;

/// The same, but d: what the callback said.
pub const VMB_TRACE_MESSAGE_OUT: u32 = 2;

/// A `VMB_BUS_*` before, b now; c version, d features now.
pub const VMB_TRACE_CONNECTION: u32 = 3;

/// A `VMB_STATE_*` before, b now; c `VMB_HAS_*` before, d now.
pub const VMB_TRACE_CHANNEL: u32 = 4;

/// Host: a `VMB_DEVICE_*` before, b now.
pub const VMB_TRACE_DEVICE: u32 = 5;

/// A `VMB_LIST_*` before, b now; c words, d ranges.
pub const VMB_TRACE_GPADL: u32 = 6;

/// Over the budget: a `VMB_OVER_*`; b needless ones, c the budget, d times over it so far.
pub const VMB_TRACE_SIGNALS: u32 = 7;

/// Acted on; out: delivered.
pub const VMB_FATE_TAKEN: u32 = 1;

/// An answer that nobody waits for any more, or about a channel that is being rescinded.
pub const VMB_FATE_LATE: u32 = 2;

/// Unknown type, or too short.
pub const VMB_FATE_MALFORMED: u32 = 3;

/// Not in this version, or not with these features.
pub const VMB_FATE_VERSION: u32 = 4;

/// For the other end.
pub const VMB_FATE_DIRECTION: u32 = 5;

/// By a path that this connection does not trust.
pub const VMB_FATE_UNTRUSTED: u32 = 6;

/// Not in this state of the connection or channel; out: withdrawn, the connection is over.
pub const VMB_FATE_STATE: u32 = 7;

/// It names a channel or GPADL that is not there.
pub const VMB_FATE_UNKNOWN: u32 = 8;

/// A value in it that cannot be.
pub const VMB_FATE_VALUE: u32 = 9;

/// By its own fault.
pub const VMB_FATE_REFUSED: u32 = 10;

/// For a limit of the config.
pub const VMB_FATE_QUOTA: u32 = 11;

/// In: NO_BUFFERS, it comes again; out: busy, it is sent again.
pub const VMB_FATE_AGAIN: u32 = 12;

/// The callback failed for good.
pub const VMB_FATE_LOST: u32 = 13;

/// State of a channel: nothing.
pub const VMB_STATE_FREE: u32 = 0;

/// Host: the guest knows nothing of it.
pub const VMB_STATE_UNOFFERED: u32 = 1;

/// State of a channel: offered.
pub const VMB_STATE_OFFERED: u32 = 2;

/// Guest: its ring's GPADL is being announced.
pub const VMB_STATE_ANNOUNCING: u32 = 3;

/// State of a channel: being opened.
pub const VMB_STATE_OPENING: u32 = 4;

/// State of a channel: open.
pub const VMB_STATE_OPEN: u32 = 5;

/// Guest: the open did not work; the object is still out.
pub const VMB_STATE_FAILED: u32 = 6;

/// State of a channel: being closed.
pub const VMB_STATE_CLOSING: u32 = 7;

/// Guest: `EV_CLOSED` is to be pulled.
pub const VMB_STATE_CLOSED: u32 = 8;

/// Host: CLOSING, and the guest has asked to open it again.
pub const VMB_STATE_REOPENING: u32 = 9;

/// Host: removed, the guest has not let go of it.
pub const VMB_STATE_REVOKED: u32 = 10;

/// Guest: `EV_OFFER` was pulled.
pub const VMB_HAS_SEEN: u32 = 0x1;

/// Guest: by the embedder.
pub const VMB_HAS_RELEASED: u32 = 0x2;

/// Guest: by the host; host: RESCIND is queued or sent.
pub const VMB_HAS_RESCINDED: u32 = 0x4;

/// Host: by the embedder.
pub const VMB_HAS_REMOVED: u32 = 0x8;

/// Open as a reserved channel.
pub const VMB_HAS_RESERVED: u32 = 0x10;

/// A channel object is out.
pub const VMB_HAS_OBJECT: u32 = 0x20;

/// Guest: its owner has been asked to stop.
pub const VMB_HAS_ABANDONED: u32 = 0x40;

/// Guest: it outlives its connection.
pub const VMB_HAS_KEPT: u32 = 0x80;

/// Guest, GPADL: that of a ring.
pub const VMB_HAS_RING: u32 = 0x100;

/// State of a device: nothing under way.
pub const VMB_DEVICE_NONE: u32 = 0;

/// `EV_OPEN` is to be pulled.
pub const VMB_DEVICE_ASKING: u32 = 1;

/// State of a device: it was asked to open.
pub const VMB_DEVICE_ASKED: u32 = 2;

/// Asked, and the question has lost its sense.
pub const VMB_DEVICE_STALE: u32 = 3;

/// State of a device: it has a channel object.
pub const VMB_DEVICE_ATTACHED: u32 = 4;

/// Somebody else serves the rings.
pub const VMB_DEVICE_REMOTE: u32 = 5;

/// Given back; a signaller is still inside.
pub const VMB_DEVICE_DRAINING: u32 = 6;

/// State of a GPADL: none.
pub const VMB_LIST_NONE: u32 = 0;

/// Messages are missing.
pub const VMB_LIST_BUILDING: u32 = 1;

/// Guest: all are sent, none is answered.
pub const VMB_LIST_SENT: u32 = 2;

/// State of a GPADL: alive.
pub const VMB_LIST_ALIVE: u32 = 3;

/// Guest: TEARDOWN is to be sent; host: the guest wants it back, and it is in use.
pub const VMB_LIST_LEAVING: u32 = 4;

/// Guest: TEARDOWN is sent.
pub const VMB_LIST_TEARING: u32 = 5;

/// Guest: the host has nothing of it; that is to be told.
pub const VMB_LIST_SETTLED: u32 = 6;

/// Guest: the host may have a part of it for ever.
pub const VMB_LIST_BURNT: u32 = 7;

/// Set of names for `vmb_name`: `VMB_TRACE_*`.
pub const VMB_NAMES_TRACE: u32 = 1;

/// Set of names for `vmb_name`: `VMB_FATE_*`.
pub const VMB_NAMES_FATE: u32 = 2;

/// Set of names for `vmb_name`: `VMB_BUS_*`.
pub const VMB_NAMES_BUS: u32 = 3;

/// Set of names for `vmb_name`: `VMB_STATE_*`.
pub const VMB_NAMES_STATE: u32 = 4;

/// Set of names for `vmb_name`: `VMB_DEVICE_*`.
pub const VMB_NAMES_DEVICE: u32 = 5;

/// Set of names for `vmb_name`: `VMB_LIST_*`.
pub const VMB_NAMES_LIST: u32 = 6;

/// One bit.
pub const VMB_NAMES_HAS: u32 = 7;

extern "C" {
    /// `[pure]` The name of a number, static text: "opening"; "?" for others.
    pub fn vmb_name(set: u32, value: u32) -> *const c_char;
}

zeroed!(vmb_trace);
