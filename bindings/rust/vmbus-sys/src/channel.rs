// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Channels: a pair of rings, the requests in flight, the way to signal the peer.

use crate::{
    vmb_cursor, vmb_packet, vmb_ring_info, vmb_ring_mem, vmb_rx, vmb_span, vmb_storage, vmb_tx, vmb_view,
};
use core::ffi::{c_int, c_void};
use core::marker::{PhantomData, PhantomPinned};

/// The data plane of one open channel: opaque, in storage of yours.
#[repr(C)]
pub struct vmb_channel {
    opaque: [u8; 0],
    marker: PhantomData<(*mut u8, PhantomPinned)>,
}

/// What a channel is made from.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vmb_channel_config {
    /// Set it to the size of this struct.
    pub size: u32,
    /// `VMB_CHANNEL_*`.
    pub flags: u32,
    /// Requests in flight that the library numbers and matches, up to 65535. 0: ids are yours.
    pub requests: u32,
    /// Page-list rings mapped by the library: pages of both (`vmb_open_info.ring_pages`), else 0.
    pub ring_pages: u32,
    /// Receiving more is a violation (rounded up to 8, exact on pipes); 0: what the ring holds.
    pub max_payload: u32,
    /// After `VMB_EFULL`: bytes that shall be free before wake (hysteresis); 0: a quarter of the
    /// ring. Never less than the packet needs. ring.md 8.4.
    pub least_free: u32,
    /// Control NULL: the maker finds the memory itself, see there.
    pub tx: vmb_ring_mem,
    /// Control NULL: the maker finds the memory itself, see there.
    pub rx: vmb_ring_mem,
    /// Valid: go on from here (`vmb_channel_init` only).
    pub tx_at: vmb_cursor,
    /// Valid: go on from here (`vmb_channel_init` only).
    pub rx_at: vmb_cursor,
    /// For the callback below, without a bus only.
    pub ctx: *mut c_void,
    /// Signal the peer. `[tx] [rx]`. NULL: nobody is signalled.
    pub signal: Option<unsafe extern "C" fn(ctx: *mut c_void)>,
}

/// `[tx]` calls return `VMB_SIGNAL` instead of signalling: drop your lock, then
/// `vmb_channel_signal`.
pub const VMB_CHANNEL_DEFER: u32 = 0x1;

/// Pipe framing: the pipe header of in-band data is added and taken off. The bus sets it for pipe
/// offers.
pub const VMB_CHANNEL_PIPE: u32 = 0x2;

/// A pipe offer without that.
pub const VMB_CHANNEL_RAW: u32 = 0x4;

/// Never ask for signals: neither 0 nor `VMB_EFULL` promises a wake.
pub const VMB_CHANNEL_POLLED: u32 = 0x8;

/// Log ring pages written, for `vmb_channel_dirty`.
pub const VMB_CHANNEL_DIRTY: u32 = 0x10;

/// `VMB_RING_LOOSE`.
pub const VMB_CHANNEL_LOOSE: u32 = 0x20;

/// One of several packets in one call, without a pointer in it. Frozen.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vmb_record {
    /// As in `vmb_packet`.
    pub kind: u16,
    /// As in `vmb_packet`.
    pub flags: u16,
    /// In the buffer, 8-aligned: variable header, then payload.
    pub offset: u32,
    /// Bytes of variable header: 0, or 8 (reserved u32, ranges or set u32) and the list's words.
    pub head_len: u32,
    /// Bytes of payload.
    pub len: u32,
    /// As in `vmb_packet`.
    pub id: u64,
    /// As in `vmb_packet`.
    pub user: u64,
    /// Ranges of the list.
    pub ranges: u32,
    /// Transfer pages: the set id.
    pub page_set: u16,
    /// Reserved: 0.
    pub reserved: u16,
}

/// What a channel counts; see `vmb_channel_info()`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vmb_channel_info {
    /// Set it to the size of this struct.
    pub size: u32,
    /// 0, `VMB_ESTOPPED` or `VMB_EPEER`.
    pub error: i32,
    /// `VMB_R_*` and the ring offset of a violation.
    pub reason: u32,
    /// `VMB_R_*` and the ring offset of a violation.
    pub reason_at: u32,
    /// In flight; of them cancelled.
    pub requests: u32,
    /// In flight; of them cancelled.
    pub zombies: u32,
    /// What the control page of the sending ring says.
    pub tx: vmb_ring_info,
    /// What the control page of the receiving ring says.
    pub rx: vmb_ring_info,
    /// Packets.
    pub sent: u64,
    /// Packets.
    pub received: u64,
    /// Signals sent: ring no longer empty; room for a waiting peer.
    pub signals_data: u64,
    /// Signals sent: ring no longer empty; room for a waiting peer.
    pub signals_room: u64,
    /// Times the ring was full; completions without a request.
    pub full: u64,
    /// Times the ring was full; completions without a request.
    pub unmatched: u64,
    /// Publications that would have signalled had the peer not masked.
    pub masked: u64,
    /// Of the rings: with descriptors, headers, padding and footers.
    pub bytes_sent: u64,
    /// Of the rings: with descriptors, headers, padding and footers.
    pub bytes_received: u64,
    /// Requests that took a slot, in all.
    pub requests_sent: u64,
    /// Of them: given up, and given up and completed all the same.
    pub cancelled: u32,
    /// Of them: given up, and given up and completed all the same.
    pub late: u32,
    /// Of the peer: all, and those that it had no reason for.
    pub signals_in: u32,
    /// Of the peer: all, and those that it had no reason for.
    pub signals_in_needless: u32,
    /// Own ones: calls of `vmb_channel_signal` that no `VMB_SIGNAL` had asked for.
    pub signals_out_needless: u32,
    /// Times over the budget.
    pub over_in: u32,
    /// Times over the budget.
    pub over_out: u32,
    /// `VMB_OVER_*`: it has been, since the object was made.
    pub over: u32,
}

/// The peer signals without need.
pub const VMB_OVER_IN: u32 = 0x1;

/// We do: on a guest, Hyper-V would throttle it.
pub const VMB_OVER_OUT: u32 = 0x2;

/// Needless signals that are within the budget where the config says 0.
pub const VMB_SIGNAL_BUDGET: u32 = 64;

/// As a signal budget: never over it.
pub const VMB_SIGNAL_BUDGET_NONE: u32 = 0xffffffff;

extern "C" {
    /// `[pure]` How much memory a channel of this config needs.
    pub fn vmb_channel_storage(cfg: *const vmb_channel_config, need: *mut vmb_storage) -> c_int;
    /// `[owner]` Both ring memories given, by cfg->tx and cfg->rx. `VMB_EINVAL`, `VMB_ESTRUCT`,
    /// `VMB_ENOSPACE`, `VMB_EPEER` (a bad index found).
    pub fn vmb_channel_init(
        mem: *mut c_void,
        bytes: usize,
        cfg: *const vmb_channel_config,
        ch: *mut *mut vmb_channel,
    ) -> c_int;
    /// `[owner]` Flush and release what is queued, unless the channel is broken (which may signal),
    /// give the storage of a `vmb_channel_init` back, and say where both sides stand (may be NULL).
    /// `VMB_ESTATE`: it is a bus's, or has been ended.
    pub fn vmb_channel_end(ch: *mut vmb_channel, tx_at: *mut vmb_cursor, rx_at: *mut vmb_cursor) -> c_int;
    /// `[any]` Make all later `[tx]` and `[rx]` calls return `VMB_ESTOPPED`: how another thread
    /// asks for a channel without a bus.
    pub fn vmb_channel_stop(ch: *mut vmb_channel) -> c_int;
    /// `[tx]` Queue one packet; the peer does not see it before a flush. A request
    /// (`VMB_PKT_WANTS_REPLY`) with id 0 takes a slot where cfg.requests > 0 (else `VMB_EINVAL`: id
    /// 0 is no request's), and p->id tells the id. `VMB_EFULL`: what was queued is flushed and wake
    /// will come; until then the ring counts as full for every packet. `VMB_SIGNAL`: with
    /// `VMB_CHANNEL_DEFER`, where room had to be made; a call that ends in an error, and
    /// send_batch, have signalled themselves. `VMB_ENOSLOT`, `VMB_ETOOBIG`, `VMB_EINVAL`,
    /// `VMB_ESTOPPED`, `VMB_EPEER`.
    pub fn vmb_channel_put(ch: *mut vmb_channel, p: *mut vmb_packet) -> c_int;
    /// `[tx]` As `vmb_channel_put`, with the payload gathered from n parts, whose lengths must sum
    /// up to p->len.
    pub fn vmb_channel_putv(
        ch: *mut vmb_channel,
        p: *mut vmb_packet,
        parts: *const vmb_span,
        n: u32,
    ) -> c_int;
    /// `[tx]` Show the peer what was put, and signal it if it must be. 0, `VMB_SIGNAL` (DEFER
    /// only), `VMB_ESTOPPED`, `VMB_EPEER`.
    pub fn vmb_channel_flush(ch: *mut vmb_channel) -> c_int;
    /// `[tx]` `vmb_channel_put` and `vmb_channel_flush`.
    pub fn vmb_channel_send(ch: *mut vmb_channel, p: *mut vmb_packet) -> c_int;
    /// `[rx]` Copy the next packet into buf (8-aligned) and describe it in `*p`. `VMB_YES`: a
    /// packet. 0: empty, all has been released, signals are on: sleep. `VMB_ETOOSMALL`: `head_len`
    /// and `len` say what it needs, and it stays. `VMB_EAGAIN`: so many completions without a
    /// request that this call ends here: call again. `VMB_ESTOPPED`, `VMB_EPEER`.
    pub fn vmb_channel_recv(
        ch: *mut vmb_channel,
        buf: *mut c_void,
        bytes: usize,
        p: *mut vmb_packet,
    ) -> c_int;
    /// `[rx]` Pass over the packet that `VMB_ETOOSMALL` told of (else `VMB_ESTATE`); a completion
    /// ends its request all the same.
    pub fn vmb_channel_skip(ch: *mut vmb_channel) -> c_int;
    /// `[rx]` Give space back now: before you wait for anything but this channel.
    pub fn vmb_channel_release(ch: *mut vmb_channel) -> c_int;
    /// `[any]` `VMB_CHANNEL_DEFER`: do what `VMB_SIGNAL` asked for. Counts as a data call for the
    /// rule of ownership. A call that no `VMB_SIGNAL` asked for is counted as needless
    /// (`vmb_channel_info`).
    pub fn vmb_channel_signal(ch: *mut vmb_channel) -> c_int;
    /// `[any]` Without a bus: a signal of the peer's has come for this channel. It only counts
    /// (`vmb_channel_info`); a bus does that itself. Counts as a data call for the rule of
    /// ownership. ring.md 10.5.
    pub fn vmb_channel_signalled(ch: *mut vmb_channel) -> c_int;
    /// `[rx]` As many packets as there are, or as fit into buf (8-aligned) or recs, at most n, and
    /// n at least 1. Returns how many; 0: as recv. Errors as recv, and only if there was no packet
    /// before. All of the space is given back, with one signal at most.
    pub fn vmb_channel_recv_batch(
        ch: *mut vmb_channel,
        buf: *mut u8,
        bytes: u32,
        recs: *mut vmb_record,
        n: u32,
    ) -> c_int;
    /// `[tx]` Put n packets and flush once. Returns how many were taken (rec.id is set for
    /// requests); fewer than n: `VMB_EFULL` or `VMB_ENOSLOT` stopped it, and the next call with the
    /// rest says which. Errors as put, and only if none was taken. It signals itself, whatever
    /// DEFER says. head_len: 8 + 8 * words, in CPU order; the first 8 bytes are not read. buf:
    /// 8-aligned.
    pub fn vmb_channel_send_batch(
        ch: *mut vmb_channel,
        buf: *const u8,
        bytes: u32,
        recs: *mut vmb_record,
        n: u32,
    ) -> c_int;
    /// `[tx]` Give up a request. Its slot and the buffers that it named stay the peer's until its
    /// completion comes (recv gives it once, with `VMB_PKT_LATE`) or the channel ends
    /// (`vmb_channel_outstanding`). `VMB_ENOENT`: already completed. `*user` (may be NULL): its
    /// user.
    pub fn vmb_channel_cancel(ch: *mut vmb_channel, id: u64, user: *mut u64) -> c_int;
    /// `[owner]` `VMB_YES` and one request in flight per call, cancelled ones too, 0 after the
    /// last; start with `*cursor` = 0. To save, or to fail them: a guest does that at
    /// `VMB_EV_CLOSED`, for until then the host may write to the buffers. This call, _info and
    /// _dirty are legal until you free the memory. `*flags` (may be NULL): `VMB_PKT_LATE` where it
    /// was cancelled.
    pub fn vmb_channel_outstanding(
        ch: *const vmb_channel,
        cursor: *mut u32,
        id: *mut u64,
        user: *mut u64,
        flags: *mut u32,
    ) -> c_int;
    /// `[owner]` Know a request that was in flight before a restore. `VMB_EINVAL`: not an id that
    /// this table could have given, or taken.
    pub fn vmb_channel_adopt(ch: *mut vmb_channel, id: u64, user: u64) -> c_int;
    /// `[tx]` As put, but the payload is yours to fill in place (`vmb_tx_spans`, `vmb_tx_copy`)
    /// before the next `[tx]` call.
    pub fn vmb_channel_reserve(ch: *mut vmb_channel, p: *mut vmb_packet, payload: *mut vmb_view) -> c_int;
    /// `[rx]` As recv, but in place (`vmb_rx_spans`, `vmb_rx_copy`): header and payload, the peer's
    /// to change. Valid until release, 0, or the next recv or skip. A completion is matched here.
    /// `VMB_EAGAIN` as recv.
    pub fn vmb_channel_next(ch: *mut vmb_channel, p: *mut vmb_packet, all: *mut vmb_view) -> c_int;
    /// `[tx]` The sending ring, for the span and copy calls. Using more of it goes behind the
    /// channel's back.
    pub fn vmb_channel_tx(ch: *mut vmb_channel, tx: *mut *mut vmb_tx) -> c_int;
    /// `[rx]` The receiving ring, for the span and copy calls. Using more of it goes behind the
    /// channel's back.
    pub fn vmb_channel_rx(ch: *mut vmb_channel, rx: *mut *mut vmb_rx) -> c_int;
    /// `[any]` OR into `bits[]` the ring pages written since the last call, and forget them. Bit n
    /// is page n of the ring's GPADL: the guest's sending ring first, each with its control page.
    /// Written first, logged second: clear the page's mark, then copy the page. A
    /// `vmb_channel_init` counts as the host's. `VMB_ETOOSMALL`: too few words. `VMB_ESTATE`: no
    /// log.
    pub fn vmb_channel_dirty(ch: *mut vmb_channel, bits: *mut u64, words: u32) -> c_int;
    /// `[any]` A racy snapshot; until the channel is given back a data call for the rule of
    /// ownership, then the last values.
    pub fn vmb_channel_info(ch: *const vmb_channel, out: *mut vmb_channel_info) -> c_int;
}

zeroed!(vmb_channel_config, vmb_record, vmb_channel_info);
