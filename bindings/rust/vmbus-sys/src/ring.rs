// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Rings, one direction. They need nothing but memory and call nobody.

use crate::{vmb_packet, vmb_span, vmb_storage, vmb_view};
use core::ffi::{c_char, c_int, c_void};
use core::marker::{PhantomData, PhantomPinned};

/// Where one ring lies: control page and data pages may lie anywhere. Frozen.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vmb_ring_mem {
    /// 4096 bytes, 4096-aligned (only the first 128 are touched, all are cleared by
    /// `VMB_RING_FRESH`).
    pub control: *mut c_void,
    /// Plain: data_pages pages. `VMB_RING_TWICE`: those pages mapped twice in a row.
    pub data: *mut c_void,
    /// Page list, if data is NULL: data_pages pointers, each 4096-aligned; copied.
    pub pages: *const *mut c_void,
    /// 1...8188; any number, no power of two.
    pub data_pages: u32,
    /// `VMB_RING_*`.
    pub flags: u32,
}

/// Every view is one span.
pub const VMB_RING_TWICE: u32 = 0x1;

/// Clear the control page and start at 0 (guest); else go on from the indexes found (host).
pub const VMB_RING_FRESH: u32 = 0x2;

/// Receive unknown packet types and flags instead of `VMB_EPEER`: for dumpers.
pub const VMB_RING_LOOSE: u32 = 0x4;

/// Where one side stands in its ring: what its end gives back, and what lets another object go on.
/// Frozen, for any process.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vmb_cursor {
    /// 1; 0: none.
    pub valid: u32,
    /// Own published index: In of a producer, Out of a consumer.
    pub index: u32,
    /// Producer: the pending size it stored; consumer: the mask it stored.
    pub armed: u32,
    /// 0.
    pub reserved: u32,
}

/// The sending side of a ring: opaque, in storage of yours.
#[repr(C)]
pub struct vmb_tx {
    opaque: [u8; 0],
    marker: PhantomData<(*mut u8, PhantomPinned)>,
}

/// The receiving side of a ring: opaque, in storage of yours.
#[repr(C)]
pub struct vmb_rx {
    opaque: [u8; 0],
    marker: PhantomData<(*mut u8, PhantomPinned)>,
}

/// What the control page says at this moment, not checked. Frozen.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vmb_ring_info {
    /// Size of the data.
    pub data_bytes: u32,
    /// In, the producer's index.
    pub r#in: u32,
    /// Out, the consumer's index.
    pub out: u32,
    /// The consumer wants no signals.
    pub interrupt_mask: u32,
    /// Bytes that the producer waits for.
    pub pending_send: u32,
    /// Feature bits.
    pub features: u32,
}

/// In or Out outside the ring or unaligned.
pub const VMB_R_INDEX: u32 = 1;

/// A packet longer than what is there, or shorter than itself.
pub const VMB_R_LENGTH: u32 = 2;

/// Header and payload disagree.
pub const VMB_R_HEADER: u32 = 3;

/// Unknown packet type.
pub const VMB_R_TYPE: u32 = 4;

/// Unknown flag bits.
pub const VMB_R_FLAGS: u32 = 5;

/// Ranges that do not fit their header, are empty, or overflow.
pub const VMB_R_RANGES: u32 = 6;

/// Pipe header.
pub const VMB_R_PIPE: u32 = 7;

/// Above max_payload.
pub const VMB_R_PAYLOAD: u32 = 8;

extern "C" {
    /// `[pure]` How much memory a `vmb_tx` for this ring needs. `VMB_EINVAL`.
    pub fn vmb_tx_storage(ring: *const vmb_ring_mem, need: *mut vmb_storage) -> c_int;
    /// `[owner]` Make one side of a ring. from: null, or a cursor: then nothing is read from or
    /// cleared in shared memory but the peer's index. A bad index in the control page: `VMB_EPEER`.
    /// `VMB_EINVAL`, `VMB_ENOSPACE`.
    pub fn vmb_tx_init(
        mem: *mut c_void,
        bytes: usize,
        ring: *const vmb_ring_mem,
        from: *const vmb_cursor,
        tx: *mut *mut vmb_tx,
    ) -> c_int;
    /// `[pure]` How much memory a `vmb_rx` for this ring needs. `VMB_EINVAL`.
    pub fn vmb_rx_storage(ring: *const vmb_ring_mem, need: *mut vmb_storage) -> c_int;
    /// `[owner]` Make one side of a ring. from: null, or a cursor: then nothing is read from or
    /// cleared in shared memory but the peer's index. A bad index in the control page: `VMB_EPEER`.
    /// `VMB_EINVAL`, `VMB_ENOSPACE`.
    pub fn vmb_rx_init(
        mem: *mut c_void,
        bytes: usize,
        ring: *const vmb_ring_mem,
        from: *const vmb_cursor,
        rx: *mut *mut vmb_rx,
    ) -> c_int;
    /// `[tx]` Give the storage back; `*at` (may be null) says where this side stands. What was not
    /// committed is as if it had not been.
    pub fn vmb_tx_end(tx: *mut vmb_tx, at: *mut vmb_cursor) -> c_int;
    /// `[rx]` Give the storage back; `*at` (may be null) says where this side stands. What was not
    /// released is as if it had not been.
    pub fn vmb_rx_end(rx: *mut vmb_rx, at: *mut vmb_cursor) -> c_int;
    /// `[tx]` Reserve room for one packet. Writes descriptor, ranges, padding and footer. Copies no
    /// payload (p->payload is not read): fill `*payload`, then reserve more or commit. p->id is
    /// written as it is. `VMB_EFULL`, `VMB_ETOOBIG`, `VMB_EPEER`, `VMB_EINVAL`.
    pub fn vmb_tx_reserve(tx: *mut vmb_tx, p: *const vmb_packet, payload: *mut vmb_view) -> c_int;
    /// `[tx]` As `vmb_tx_reserve`, for nearly all packets: where the payload goes, p->len bytes of it.
    /// Null: it has a list or does not lie in a row, or there may be no room, or something is
    /// wrong, and nothing has happened: `vmb_tx_reserve` does it, or says what.
    pub fn vmb_tx_place(tx: *mut vmb_tx, p: *const vmb_packet) -> *mut c_void;
    /// `[tx]` As `vmb_tx_reserve`, with the payload copied.
    pub fn vmb_tx_put(tx: *mut vmb_tx, p: *const vmb_packet) -> c_int;
    /// `[tx]` As `vmb_tx_put`, with the payload gathered from n parts, whose lengths must sum up to
    /// p->len.
    pub fn vmb_tx_putv(tx: *mut vmb_tx, p: *const vmb_packet, parts: *const vmb_span, n: u32) -> c_int;
    /// `[tx]` Publish all that was reserved: one index store, one fence, one decision. 0,
    /// `VMB_SIGNAL`, `VMB_EPEER`. ring.md 8.2, 10.1.
    pub fn vmb_tx_commit(tx: *mut vmb_tx) -> c_int;
    /// `[tx]` Forget all that was reserved since the last commit.
    pub fn vmb_tx_discard(tx: *mut vmb_tx) -> c_int;
    /// `[tx]` Ask to be signalled once a packet as large as p fits, or, to have fewer wake-ups,
    /// once `least` bytes are free (0: just p; cut to what the ring holds). What was reserved is
    /// taken into account, yet commit first. `VMB_YES`: it fits already, nothing is armed. 0:
    /// armed. `VMB_ETOOBIG`, `VMB_EPEER`. ring.md 8.4.
    pub fn vmb_tx_arm(tx: *mut vmb_tx, p: *const vmb_packet, least: u32) -> c_int;
    /// `[rx]` The next packet, in place: `*all` is its variable header (p->head_len bytes) and
    /// payload. `VMB_YES`, 0 when empty, `VMB_EPEER`. The bytes stay the peer's to change: read
    /// each once, or `vmb_rx_copy`. p->payload is where the payload of nearly all packets is, as long
    /// as it is not released; null if there is a header or it does not lie in a row: `vmb_rx_spans`.
    /// p->list is only counted: copy the header, then `vmb_list_check`. The first packet after a
    /// sleep masks the peer's signals. ring.md 8.3.
    pub fn vmb_rx_next(rx: *mut vmb_rx, p: *mut vmb_packet, all: *mut vmb_view) -> c_int;
    /// `[rx]` The next packet, copied into buf, which is 8-aligned: variable header and payload,
    /// where p->payload points. `VMB_YES`, 0 when empty, `VMB_EPEER`, as `vmb_rx_next`;
    /// `VMB_ETOOSMALL`: p->head_len + p->len say what it needs, and it stays. p->list is only
    /// counted, by the word that buf now begins with: `vmb_list_check`. ring.md 8.3.
    pub fn vmb_rx_get(rx: *mut vmb_rx, buf: *mut c_void, bytes: usize, p: *mut vmb_packet) -> c_int;
    /// `[rx]` Publish that everything returned so far is free. 0, `VMB_SIGNAL`, `VMB_EPEER`.
    pub fn vmb_rx_release(rx: *mut vmb_rx) -> c_int;
    /// `[rx]` Go back to the first packet not released. They come again and are validated again.
    pub fn vmb_rx_rewind(rx: *mut vmb_rx) -> c_int;
    /// `[rx]` Release, ask for signals, look once more. 0: sleep, a signal will come. `VMB_YES`: do
    /// not, there is more. | `VMB_SIGNAL`. ring.md 10.3.
    pub fn vmb_rx_sleep(rx: *mut vmb_rx) -> c_int;
    /// `[rx]` Ask for no signals: for those who poll. Until the next sleep.
    pub fn vmb_rx_mask(rx: *mut vmb_rx) -> c_int;
    /// `[tx]` The view's bytes from `offset` on as at most n spans; returns how many. `VMB_EINVAL`:
    /// offset beyond the view, or no view of this ring.
    pub fn vmb_tx_spans(
        tx: *const vmb_tx,
        v: *const vmb_view,
        offset: u32,
        spans: *mut vmb_span,
        n: u32,
    ) -> c_int;
    /// `[rx]` The view's bytes from `offset` on as at most n spans; returns how many. `VMB_EINVAL`:
    /// offset beyond the view, or no view of this ring.
    pub fn vmb_rx_spans(
        rx: *const vmb_rx,
        v: *const vmb_view,
        offset: u32,
        spans: *mut vmb_span,
        n: u32,
    ) -> c_int;
    /// `[tx]` Copy n bytes into a view. `VMB_EINVAL` if they do not lie within it.
    pub fn vmb_tx_copy(tx: *mut vmb_tx, v: *const vmb_view, offset: u32, src: *const c_void, n: u32)
        -> c_int;
    /// `[rx]` Copy n bytes out of a view. `VMB_EINVAL` if they do not lie within it.
    pub fn vmb_rx_copy(rx: *const vmb_rx, v: *const vmb_view, offset: u32, dst: *mut c_void, n: u32)
        -> c_int;
    /// `[any]` Why this side refuses: `VMB_R_*` and the ring offset of the violation; 0 while all
    /// is well. Sticky.
    pub fn vmb_tx_reason(tx: *const vmb_tx, at: *mut u32) -> u32;
    /// `[any]` Why this side refuses: `VMB_R_*` and the ring offset of the violation; 0 while all
    /// is well. Sticky.
    pub fn vmb_rx_reason(rx: *const vmb_rx, at: *mut u32) -> u32;
    /// `[any]` Read the control page, each word once, and check nothing.
    pub fn vmb_ring_inspect(ring: *const vmb_ring_mem, out: *mut vmb_ring_info) -> c_int;
    /// `[pure]` The name of a `VMB_R_*`, static; "?" for others.
    pub fn vmb_reason_name(reason: u32) -> *const c_char;
}

zeroed!(vmb_ring_mem, vmb_cursor, vmb_ring_info);
