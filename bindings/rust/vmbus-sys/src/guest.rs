// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The guest end.

use crate::{
    vmb_channel, vmb_channel_config, vmb_event, vmb_guid, vmb_handle, vmb_hvsock, vmb_list, vmb_offer,
    vmb_storage, vmb_trace,
};
use core::ffi::{c_int, c_void};
use core::marker::{PhantomData, PhantomPinned};

/// A guest end: opaque, in storage of yours.
#[repr(C)]
pub struct vmb_guest {
    opaque: [u8; 0],
    marker: PhantomData<(*mut u8, PhantomPinned)>,
}

/// What a guest end is made from. All zero but size and callbacks is usable.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vmb_guest_config {
    /// Set it to the size of this struct.
    pub size: u32,
    /// 0.
    pub flags: u32,
    /// `VMB_V*`; 0: any. Versions are tried from the highest down. control-plane.md 7.1.
    pub min_version: u32,
    /// `VMB_V*`; 0: any. Versions are tried from the highest down. control-plane.md 7.1.
    pub max_version: u32,
    /// `VMB_FEATURE_*` to ask for at 6.0; 0: none. `vmb_bus_info` tells what was granted.
    /// control-plane.md 3.1.
    pub features: u32,
    /// VP index that shall get messages; its SINT must be unmasked before connect.
    pub message_vp: u32,
    /// 0: SINT 2.
    pub sint: u32,
    /// That this guest runs in; 2: the redirected message connection is tried first.
    /// control-plane.md 7.1.
    pub vtl: u32,
    /// 1...2047; 0: 64. Offers above are declined and counted.
    pub max_channels: u32,
    /// Up to 65535; 0: two for each channel.
    pub max_gpadls: u32,
    /// Pages in lists being announced, with range words beyond the first, up to 2^24; 0: 8190.
    pub max_gpadl_pages: u32,
    /// For the answer to each version tried; 0: wait for ever.
    pub connect_ms: u32,
    /// For each answer about a channel or GPADL; 0: wait for ever.
    pub reply_ms: u32,
    /// For UNLOAD_COMPLETE; 0: wait for ever.
    pub unload_ms: u32,
    /// Connects under way at once, up to 65535; 0: none.
    pub max_hvsock: u32,
    /// Reserved: 0.
    pub reserved: u32,
    /// With `VMB_FEATURE_CLIENT_ID`.
    pub client_id: vmb_guid,
    /// The interrupt page, below 2.4; 0: those versions are not tried.
    pub interrupt_gpa: u64,
    /// Host-to-guest, guest-to-host; 0: no monitor pages.
    pub monitor_gpa: [u64; 2],
    /// The same pages as you see them; visible to the host in a confidential VM; cleared by
    /// connect.
    pub interrupt_page: *mut c_void,
    /// All four or none.
    pub monitor_page: [*mut c_void; 2],
    /// First argument of all callbacks.
    pub ctx: *mut c_void,
    /// HvPostMessage with message type 1. Returns the hypercall's status, 0...0xffff. The library
    /// retries what is worth it.
    pub post: Option<
        unsafe extern "C" fn(ctx: *mut c_void, connection: u32, payload: *const c_void, len: u32) -> c_int,
    >,
    /// HvSignalEvent. The result is not looked at: nothing can be done about it.
    pub signal: Option<unsafe extern "C" fn(ctx: *mut c_void, connection: u32, flag: u32) -> c_int>,
    /// The channel opened with `user` has something: let its thread call recv, and send if it had
    /// `VMB_EFULL`. Never after `EV_CLOSED`.
    pub wake: Option<unsafe extern "C" fn(ctx: *mut c_void, user: u64)>,
    /// Call `vmb_guest_poll` soon. May be NULL, as wake may, if you poll after every control call
    /// and every interrupt.
    pub poke: Option<unsafe extern "C" fn(ctx: *mut c_void)>,
    /// Map the host's own monitor pages, of host-to-guest (gpa 0: there is none) and guest-to-host:
    /// 0, or < 0 to do without. Needed with `VMB_FEATURE_SERVER_MONITOR`. `[control]`; calls
    /// nothing of its end. They are out of use at `EV_DISCONNECTED`.
    pub monitor:
        Option<unsafe extern "C" fn(ctx: *mut c_void, gpa: *const u64, page: *mut *mut c_void) -> c_int>,
    /// Needless signals of one channel, each way, within signal_ms; 0: `VMB_SIGNAL_BUDGET`. ring.md
    /// 10.5.
    pub signal_budget: u32,
    /// 0: 1000. Without a clock: all there ever are.
    pub signal_ms: u32,
    /// What the end does, as it does it; see struct `vmb_trace`. NULL: nobody looks. `[control]`;
    /// calls nothing of its end.
    pub trace: Option<unsafe extern "C" fn(ctx: *mut c_void, what: *const vmb_trace)>,
}

/// Flag of `vmb_guest_restore`: the host has a new connection to give.
pub const VMB_RESTORE_ANEW: u32 = 0x1;

/// How a guest opens a channel.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vmb_open {
    /// Set it to the size of this struct.
    pub size: u32,
    /// `VMB_OPEN_*`.
    pub flags: u32,
    /// Each with its control page, >= 2; together <= 8190.
    pub tx_pages: u32,
    /// Each with its control page, >= 2; together <= 8190.
    pub rx_pages: u32,
    /// Whose SINT gets the interrupts (>= 2.4); `VMB_VP_NONE`: none.
    pub target_vp: u32,
    /// Reserved channels: where the answer goes, with target_vp; else 0.
    pub target_sint: u32,
    /// With `VMB_FEATURE_SIGNAL_PARAMETERS`; 0: as offered, the channel's id.
    pub connection_id: u32,
    /// With `VMB_FEATURE_SIGNAL_PARAMETERS`; 0: as offered, the channel's id.
    pub event_flag: u32,
    /// For wake and events.
    pub user: u64,
    /// Of a ring in consecutive pages.
    pub ring_gpa: u64,
    /// Or: all tx_pages + rx_pages of them, 4 KiB each; copied; with shared bit where the VM has
    /// one.
    pub pfns: *const u64,
    /// Tx control, tx data, rx control, rx data, as you see them; NULL: cfg->tx and cfg->rx tell.
    pub ring: *mut c_void,
    /// The device's.
    pub user_data: [u8; 120],
}

/// A reserved channel (>= 4.0): no interrupts, and it outlives this connection. control-plane.md
/// 10.5.
pub const VMB_OPEN_RESERVED: u32 = 0x1;

/// With `VMB_FEATURE_REDIRECT`: interrupts to SINT 7 of VTL 2.
pub const VMB_OPEN_REDIRECT: u32 = 0x2;

extern "C" {
    /// `[pure]` How much memory a guest end of this config needs.
    pub fn vmb_guest_storage(cfg: *const vmb_guest_config, need: *mut vmb_storage) -> c_int;
    /// Make a guest end in mem. What cfg points at is not needed afterwards, but for pages and ctx.
    /// `VMB_EINVAL`, `VMB_ESTRUCT`, `VMB_ENOSPACE`.
    pub fn vmb_guest_init(
        mem: *mut c_void,
        bytes: usize,
        cfg: *const vmb_guest_config,
        guest: *mut *mut vmb_guest,
    ) -> c_int;
    /// `[control]` Give the storage back. `VMB_ESTATE` while connected or while a channel object is
    /// out.
    pub fn vmb_guest_end(g: *mut vmb_guest) -> c_int;
    /// `[any]` From the SINT's handler, on each VP, with the 256 bytes of event flags and the
    /// 256-byte slot of this SINT and VP: clears the flags and wakes; if the slot holds a message,
    /// pokes and returns `VMB_YES`: somebody must call `vmb_guest_slot` for this VP.
    /// control-plane.md 9, ring.md 10.4 R12.
    pub fn vmb_guest_interrupt(g: *mut vmb_guest, flags: *mut c_void, slot: *const c_void) -> c_int;
    /// `[control]` One message out of the 256-byte slot of this SINT and VP, copied once, slot
    /// freed. 0: empty. `VMB_YES`: had one; | `VMB_EOM`: now write that register. `VMB_EFOREIGN`:
    /// not ours. Loop while `VMB_YES`. control-plane.md 1.3.
    pub fn vmb_guest_slot(g: *mut vmb_guest, slot: *mut c_void) -> c_int;
    /// `[control]` As `vmb_guest_slot`, for a payload that came another way.
    pub fn vmb_guest_message(g: *mut vmb_guest, payload: *const c_void, len: u32) -> c_int;
    /// `[control]` Do what is due at `now` (nanoseconds from any start, never backwards) and give
    /// one event. `VMB_YES`, or 0: none left. Without a clock pass 0: nothing times out, and each
    /// poll retries what is pending. Events never overflow: each object remembers its own; an offer
    /// that was rescinded before you saw it is not shown. After your release only `EV_CLOSED`,
    /// EV_GPADL_DOWN and `EV_GONE` come.
    pub fn vmb_guest_poll(g: *mut vmb_guest, now: u64, ev: *mut vmb_event) -> c_int;
    /// `[control]` Negotiate from the highest version down, then ask for offers -> `EV_CONNECTED`,
    /// `EV_OFFER`..., EV_OFFERS_DONE. `VMB_ESTATE`: not disconnected.
    pub fn vmb_guest_connect(g: *mut vmb_guest) -> c_int;
    /// `[control]` Rescinds every channel locally (`EV_RESCINDED`), waits for your releases, then
    /// UNLOAD -> `EV_DISCONNECTED`. An open reserved channel stays open, and goes on working.
    pub fn vmb_guest_disconnect(g: *mut vmb_guest) -> c_int;
    /// `[any]` For a dying system, whatever holds the locks; no other call of this end may be
    /// started any more. slot NULL: post UNLOAD: 0; `VMB_EAGAIN`: call again in a moment;
    /// `VMB_EPLATFORM`: post failed for good; `VMB_ESTATE`: there is nothing to unload. Then look
    /// into this slot, of this SINT, on every VP, again and again (at Azure up to 50 s): `VMB_YES`:
    /// completed; 0: not yet; | `VMB_EOM` as `vmb_guest_slot`. control-plane.md 11, 19.
    pub fn vmb_guest_crash(g: *mut vmb_guest, slot: *mut c_void) -> c_int;
    /// `[control]` Other monitor pages for this connection, with `VMB_FEATURE_MODIFY_CONNECTION`
    /// (else `VMB_EVERSION`) -> `EV_MONITOR`. `gpa[0]` and `gpa[1]` both 0: none. The old ones are
    /// yours again with status 0. `VMB_ESTATE`: not connected, another such request under way, the
    /// host's own pages in use, or an open channel has a monitor id. control-plane.md 13.
    pub fn vmb_guest_monitor(g: *mut vmb_guest, gpa: *const u64, page: *const *mut c_void) -> c_int;
    /// `[control]` Have no message come, with `VMB_FEATURE_PAUSE` (else `VMB_EVERSION`) ->
    /// `EV_PAUSED`. What you ask for meanwhile is sent after `vmb_guest_resume`, and no answer is
    /// waited for. Interrupts go on. control-plane.md 13.
    pub fn vmb_guest_pause(g: *mut vmb_guest) -> c_int;
    /// `[control]` Have messages come again. `VMB_ESTATE`: not paused, or `VMB_EV_PAUSED` is still
    /// to come.
    pub fn vmb_guest_resume(g: *mut vmb_guest) -> c_int;
    /// `[control]` Connect to a service of the host (>= 4.0, else `VMB_EVERSION`): socket->endpoint
    /// is an id of your choice that no other connection has; flags are 0. -> `EV_HVSOCK` with
    /// `user`: with status 0 its ch is a new channel, as after `EV_OFFER`; else why not, after
    /// reply_ms at the latest. `VMB_ENOSPACE`: max_hvsock. control-plane.md 15.1.
    pub fn vmb_guest_hvsock(g: *mut vmb_guest, socket: *const vmb_hvsock, user: u64) -> c_int;
    /// `[control]` Close a reserved channel that an earlier system has left open; connected or not;
    /// the answer comes to `sint` of `vp`. -> `EV_CLOSED` with ch 0. `VMB_ESTATE`: one is under
    /// way. control-plane.md 10.5.
    pub fn vmb_guest_close_reserved(g: *mut vmb_guest, channel_id: u32, vp: u32, sint: u32) -> c_int;
    /// `[control]` Which open channels interrupt this VP? `VMB_YES` and one per call, 0 after the
    /// last; start with `*cursor` = 0. Before a VP is stopped they are to be retargeted; the one of
    /// `vmb_bus_info.message_vp` can never be. control-plane.md 14.
    pub fn vmb_guest_targets(g: *mut vmb_guest, vp: u32, cursor: *mut u32, ch: *mut vmb_handle) -> c_int;
    /// `[control]` Write all that this end knows in `format` (0: the newest). `*used` is set to its
    /// size; buf null: no more than that. It changes nothing. `VMB_ETOOSMALL`; `VMB_EVERSION`: no
    /// such format; `VMB_ESTATE`: not now, poll and try again.
    pub fn vmb_guest_save(
        g: *mut vmb_guest,
        format: u32,
        buf: *mut c_void,
        bytes: usize,
        used: *mut usize,
    ) -> c_int;
    /// `[control]` Go on from a saved state, in an end that has done nothing yet (`VMB_ESTATE`) and
    /// whose config names the same VP, SINT, VTL and pages. `VMB_EV_OFFER` with `VMB_EVF_RESTORED`
    /// comes for each channel; with `VMB_EVF_OPEN`, too, `vmb_guest_open` with the same memory goes
    /// on where it was. With `VMB_RESTORE_ANEW` nothing of the old connection is left but the
    /// handles of primary channels. An error changes nothing.
    pub fn vmb_guest_restore(g: *mut vmb_guest, buf: *const c_void, bytes: usize, flags: u32) -> c_int;
    /// `[control]` What `VMB_EV_OFFER` announced.
    pub fn vmb_guest_offer(g: *mut vmb_guest, ch: vmb_handle, out: *mut vmb_offer) -> c_int;
    /// `[control]` Clear the rings, build the channel in mem, announce its GPADL, open. 0 promises
    /// one `EV_OPENED` (0 or status), unless you close or release before, and, after your close or
    /// release, one `EV_CLOSED`. The ring must be visible to the host already, unless
    /// `VMB_OFFER_PRIVATE_RING`. wake may come, and `*out` may be used, before `EV_OPENED`. An
    /// error: nothing has happened, mem is yours. control-plane.md 10.1, gpadl.md 7.
    pub fn vmb_guest_open(
        g: *mut vmb_guest,
        ch: vmb_handle,
        mem: *mut c_void,
        bytes: usize,
        cfg: *const vmb_channel_config,
        open: *const vmb_open,
        out: *mut *mut vmb_channel,
    ) -> c_int;
    /// `[control]` Give the channel object back, in any state since open. -> `EV_CLOSED`; its
    /// status `VMB_ELEAK`: see there.
    pub fn vmb_guest_close(g: *mut vmb_guest, ch: vmb_handle) -> c_int;
    /// `[control]` Done with this channel: closes it if need be, tears down what GPADLs are left
    /// (EV_GPADL_DOWN each), tells the host. -> `EV_GONE`.
    pub fn vmb_guest_release(g: *mut vmb_guest, ch: vmb_handle) -> c_int;
    /// `[control]` Interrupts to another VP, >= 4.1 (else `VMB_EVERSION`) -> `EV_TARGET`; below 5.3
    /// it says only that the host was asked: interrupts may still come to the old VP. `VMB_ESTATE`:
    /// not open, no interrupts, or one under way.
    pub fn vmb_guest_target(g: *mut vmb_guest, ch: vmb_handle, vp: u32) -> c_int;
    /// `[control]` Announce it; the list is copied. `*gpadl` is set at once, usable after
    /// `EV_GPADL` with status 0. `VMB_ENOSPACE`, `VMB_ETOOBIG` (over 8191 words), `VMB_EINVAL` (not
    /// a list), `VMB_ESTATE` (rescinded).
    pub fn vmb_guest_gpadl_create(
        g: *mut vmb_guest,
        ch: vmb_handle,
        list: *const vmb_list,
        gpadl: *mut u32,
    ) -> c_int;
    /// `[control]` Take it back: `VMB_EV_GPADL_DOWN`, with status `VMB_ELEAK` where the host may
    /// still write there. `VMB_ENOENT`: no such, or going already.
    pub fn vmb_guest_gpadl_destroy(g: *mut vmb_guest, gpadl: u32) -> c_int;
}

zeroed!(vmb_guest_config, vmb_open);
