// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The host end, and looking at either end.

use crate::{
    vmb_channel, vmb_channel_config, vmb_event, vmb_guest, vmb_guid, vmb_handle, vmb_hvsock, vmb_list,
    vmb_offer, vmb_storage, vmb_trace,
};
use core::ffi::{c_int, c_void};
use core::marker::{PhantomData, PhantomPinned};

/// A host end: opaque, in storage of yours.
#[repr(C)]
pub struct vmb_host {
    opaque: [u8; 0],
    marker: PhantomData<(*mut u8, PhantomPinned)>,
}

/// What a host end is made from. All zero but size and callbacks is usable.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vmb_host_config {
    /// Set it to the size of this struct.
    pub size: u32,
    /// `VMB_HOST_*`.
    pub flags: u32,
    /// `VMB_V*`; 0: all there are.
    pub max_version: u32,
    /// `VMB_FEATURE_*` that a guest may have; 0: `VMB_FEATURES_DEFAULT`; `VMB_FEATURE_NONE`.
    pub features: u32,
    /// VP indexes below this exist; 0: not checked.
    pub vps: u32,
    /// Whose server this is: 0, or 2 for a paravisor's; first argument of message and interrupt.
    pub vtl: u32,
    /// 0: 1.
    pub first_channel_id: u32,
    /// Offers at once, 1...2047; 0: 64.
    pub max_channels: u32,
    /// Live ones; 0: 256.
    pub max_gpadls: u32,
    /// Over all, with their range words; 0: 65536, which is 256 MiB of guest memory and 512 KiB of
    /// storage.
    pub max_gpadl_pages: u32,
    /// Of max_gpadls: header seen, bodies missing; 0: 64.
    pub max_gpadls_building: u32,
    /// Waiting for the guest's slot; above it the guest is told NO_BUFFERS; 0: 64 more than
    /// channels.
    pub max_messages: u32,
    /// Connects of the guest waiting for your answer; 0: all are refused. control-plane.md 15.
    pub max_hvsock: u32,
    /// An hvsock channel that the guest does not open for so long is removed; 0: 5000.
    pub hvsock_ms: u32,
    /// Of monitored notifications, in 100 ns; 0: 1000.
    pub monitor_latency: u32,
    /// Reserved: 0.
    pub reserved: u32,
    /// Host-to-guest (may be 0), guest-to-host: the server's own pages, with
    /// `VMB_FEATURE_SERVER_MONITOR`.
    pub monitor_gpa: [u64; 2],
    /// The same as you see them.
    pub monitor_page: [*mut c_void; 2],
    /// First argument of all callbacks.
    pub ctx: *mut c_void,
    /// Put a message into SINT's slot of this VP: `vmb_synic_post` and an interrupt. `VMB_EAGAIN`:
    /// occupied, `vmb_host_eom` will follow.
    pub message: Option<
        unsafe extern "C" fn(
            ctx: *mut c_void,
            vp: u32,
            vtl: u32,
            sint: u32,
            payload: *const c_void,
            len: u32,
        ) -> c_int,
    >,
    /// Set an event flag of this VP and SINT: `vmb_synic_set` and an interrupt.
    pub interrupt: Option<unsafe extern "C" fn(ctx: *mut c_void, vp: u32, vtl: u32, sint: u32, flag: u32)>,
    /// The channel offered with `user` has something: let its thread look. Never after `EV_CLOSED`.
    pub wake: Option<unsafe extern "C" fn(ctx: *mut c_void, user: u64)>,
    /// Call `vmb_host_poll` soon. May be NULL as in the guest.
    pub poke: Option<unsafe extern "C" fn(ctx: *mut c_void)>,
    /// As in `vmb_mapper`: rings (`VMB_MAP_RING`), interrupt and monitor pages (`VMB_MAP_ALWAYS`).
    pub map: Option<
        unsafe extern "C" fn(
            ctx: *mut c_void,
            pfns: *const u64,
            n: u32,
            flags: u32,
            pages: *mut *mut c_void,
        ) -> c_int,
    >,
    /// Take back exactly what one map gave.
    pub unmap: Option<
        unsafe extern "C" fn(
            ctx: *mut c_void,
            pfns: *const u64,
            n: u32,
            flags: u32,
            pages: *const *mut c_void,
        ),
    >,
    /// Needless signals of one channel, each way, within `signal_ms`; 0: `VMB_SIGNAL_BUDGET`.
    pub signal_budget: u32,
    /// 0: 1000. Without a clock: all there ever are.
    pub signal_ms: u32,
    /// What the end does, as it does it; None: nobody looks.
    pub trace: Option<unsafe extern "C" fn(ctx: *mut c_void, what: *const vmb_trace)>,
}

/// Give monitor ids out; `vmb_host_monitor`, or each `vmb_host_poll`, looks at the triggers.
pub const VMB_HOST_MONITOR: u32 = 0x1;

/// Channels opened with `VMB_OPEN_REDIRECT` interrupt SINT 7 of VTL 2.
pub const VMB_HOST_REDIRECT: u32 = 0x2;

/// A paravisor's server: what comes by `vmb_host_post_trusted` may be confidential.
/// control-plane.md 16.2.
pub const VMB_HOST_TRUSTED: u32 = 0x4;

/// `max_gpadl_pages` as Hyper-V limits guests before Server 2019: 384 MiB.
pub const VMB_GPADL_PAGES_2016: u32 = 98304;

/// `max_gpadl_pages` as Hyper-V limits guests since Server 2019: 1280 MiB.
pub const VMB_GPADL_PAGES_2019: u32 = 327680;

/// What a guest asked for when it opened a channel.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vmb_open_info {
    /// Set it to the size of this struct.
    pub size: u32,
    /// `VMB_OFFER_PRIVATE_*` and `VMB_OFFER_PINNED` as in force for this open.
    pub flags: u32,
    /// `VMB_OPEN_*`.
    pub open_flags: u32,
    /// Negotiated; a reserved channel keeps that of its open.
    pub version: u32,
    /// GPADL of the ring.
    pub ring_gpadl: u32,
    /// Pages of both rings.
    pub ring_pages: u32,
    /// The guest sends here: control page and data.
    pub rx_pages: u32,
    /// VP whose SINT gets the interrupts.
    pub target_vp: u32,
    /// VTL of the interrupts.
    pub target_vtl: u32,
    /// SINT of the interrupts.
    pub target_sint: u32,
    /// Event flag of the channel.
    pub event_flag: u32,
    /// Connection that the guest signals.
    pub connection_id: u32,
    /// Reserved: 0.
    pub reserved: [u32; 3],
    /// The device's.
    pub user_data: [u8; 120],
}

/// What a host end knows of a GPADL.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vmb_gpadl_info {
    /// Set it to the size of this struct.
    pub size: u32,
    /// 0.
    pub flags: u32,
    /// Ranges in its list.
    pub ranges: u32,
    /// Words in its list.
    pub words: u32,
    /// Pages that it names.
    pub pages: u32,
    /// How often it is held.
    pub held: u32,
    /// Bytes that it names.
    pub bytes: u64,
}

/// The newest format. 1: all control state; 2: counters of `vmb_bus_info`, too; 3: all of those,
/// and of `vmb_part`.
pub const VMB_SAVED_FORMAT: u32 = 3;

/// What an end counts.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vmb_bus_info {
    /// Set it to the size of this struct.
    pub size: u32,
    /// `VMB_BUS_*`.
    pub state: u32,
    /// Negotiated version; 0 while not connected.
    pub version: u32,
    /// Negotiated features; 0 while not connected.
    pub features: u32,
    /// Offers alive.
    pub channels: u32,
    /// Channel objects out.
    pub attached: u32,
    /// GPADLs alive.
    pub gpadls: u32,
    /// Pages in them.
    pub gpadl_pages: u32,
    /// VP that gets messages.
    pub message_vp: u32,
    /// Messages waiting to be delivered.
    pub queued: u32,
    /// Messages that came.
    pub messages_in: u64,
    /// Messages that were delivered.
    pub messages_out: u64,
    /// Messages of a wrong type, size, direction, state or version.
    pub dropped: u64,
    /// Refused for a limit of the config.
    pub refused_quota: u64,
    /// Posts that were repeated.
    pub post_retries: u64,
    /// Signals for no channel.
    pub stray_events: u64,
    /// Answers that nobody waited for.
    pub late_answers: u64,
    /// The pages in use, host-to-guest and guest-to-host; 0: none.
    pub monitor_gpa: [u64; 2],
    /// As the guest told it; else 0.
    pub client_id: vmb_guid,
    /// 1: between `VMB_EV_PAUSED`, or the guest's PAUSE, and resume.
    pub paused: u32,
    /// Host: 1: the connection is.
    pub trusted: u32,
    /// Messages that came, by `VMB_FATE_*`. Without `VMB_FATE_AGAIN` their sum is messages_in.
    pub fate: [u64; 16],
    /// Messages that were lost on their way to the peer: the callback failed for good, or another
    /// place was busy.
    pub post_failed: u64,
    /// `over_in` and `over_out` of all channels there ever were.
    pub over_budget: u64,
    /// Most messages that waited at once.
    pub queued_most: u32,
    /// Objects that have events to tell, now.
    pub events: u32,
    /// Objects that had events to tell, at most.
    pub events_most: u32,
    /// Reserved: 0.
    pub reserved: u32,
}

/// State of a connection: no connection.
pub const VMB_BUS_NONE: u32 = 0;

/// State of a connection: connecting.
pub const VMB_BUS_CONNECTING: u32 = 1;

/// State of a connection: connected.
pub const VMB_BUS_CONNECTED: u32 = 2;

/// Offers delivered.
pub const VMB_BUS_RUNNING: u32 = 3;

/// State of a connection: leaving.
pub const VMB_BUS_LEAVING: u32 = 4;

/// State of a connection: being reset.
pub const VMB_BUS_RESETTING: u32 = 5;

/// Guest: UNLOAD was sent. In traces and snapshots; `vmb_bus_info` says LEAVING.
pub const VMB_BUS_UNLOADING: u32 = 6;

/// One part of an end, for people to look at: the connection, a channel or a GPADL.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vmb_part {
    /// Set it to the size of this struct.
    pub size: u32,
    /// `VMB_PART_*`.
    pub kind: u32,
    /// `VMB_BUS_*`, `VMB_STATE_*` or `VMB_LIST_*`, by kind.
    pub state: u32,
    /// `VMB_HAS_*`.
    pub flags: u32,
    /// Host, channel: `VMB_DEVICE_*`.
    pub device: u32,
    /// Channel and GPADL; 0: not told to the embedder yet.
    pub ch: vmb_handle,
    /// Id on the wire; 0: none.
    pub channel: u32,
    /// Id on the wire, of a channel that of its ring; 0: none.
    pub gpadl: u32,
    /// Channel: subchannel number.
    pub subchannel: u32,
    /// Channel: monitor id.
    pub monitor_id: u32,
    /// Channel: VP that is interrupted.
    pub target_vp: u32,
    /// Channel: event flag.
    pub event_flag: u32,
    /// Channel: connection that is signalled.
    pub connection_id: u32,
    /// Opens that worked.
    pub opens: u32,
    /// Opens that did not.
    pub refused: u32,
    /// Ends of them by the guest's close.
    pub closes: u32,
    /// Ends of them otherwise.
    pub lost: u32,
    /// GPADL: words announced.
    pub words: u32,
    /// GPADL: ranges announced.
    pub ranges: u32,
    /// GPADL: uses, of the ring too.
    pub held: u32,
    /// The embedder's.
    pub user: u64,
    /// Class of the device.
    pub class_id: vmb_guid,
    /// Instance of the device.
    pub instance: vmb_guid,
    /// Channel: for `vmb_channel_info`; NULL: none is out.
    pub object: *mut vmb_channel,
    /// Reserved: 0.
    pub reserved: *mut c_void,
}

/// Kind of a part: the connection.
pub const VMB_PART_CONNECTION: u32 = 1;

/// Kind of a part: a channel.
pub const VMB_PART_CHANNEL: u32 = 2;

/// Kind of a part: a GPADL.
pub const VMB_PART_GPADL: u32 = 3;

extern "C" {
    /// `[pure]` How much memory a host end of this config needs.
    pub fn vmb_host_storage(cfg: *const vmb_host_config, need: *mut vmb_storage) -> c_int;
    /// Make a host end in mem. What cfg points at is not needed afterwards, but for pages and ctx.
    /// `VMB_EINVAL`, `VMB_ESTRUCT`, `VMB_ENOSPACE`.
    pub fn vmb_host_init(
        mem: *mut c_void,
        bytes: usize,
        cfg: *const vmb_host_config,
        host: *mut *mut vmb_host,
    ) -> c_int;
    /// `[control]` Give the storage back; stop the vCPUs first. `VMB_ESTATE` while a channel object
    /// is out.
    pub fn vmb_host_end(h: *mut vmb_host) -> c_int;
    /// `[control]` HvPostMessage: the hypercall's input, copied out of guest memory, header
    /// included, <= 256 bytes. Returns the `VMB_HV_*` status to give to the guest, or a caller's
    /// error. control-plane.md 1.2.
    pub fn vmb_host_post(h: *mut vmb_host, input: *const c_void, len: u32) -> c_int;
    /// `[control]` As `vmb_host_post`, by a path that only guest and paravisor see. Once such a
    /// connection stands, what comes by `vmb_host_post` is dropped.
    pub fn vmb_host_post_trusted(h: *mut vmb_host, input: *const c_void, len: u32) -> c_int;
    /// `[any]` HvSignalEvent, on whatever vCPU thread: no lock needed. Returns the status, never an
    /// error. Calls wake.
    pub fn vmb_host_signal(h: *mut vmb_host, connection: u32, flag: u32) -> c_int;
    /// `[any]` Look at the monitor page: wakes the channels whose bits are set, and clears them.
    /// `VMB_YES`: there were some. Call it when the page was written, or at least every
    /// monitor_latency; `vmb_host_poll` does it too, and its deadline allows for it.
    /// control-plane.md 9.4.
    pub fn vmb_host_monitor(h: *mut vmb_host) -> c_int;
    /// `[control]` This VP has freed a slot (EOM written, SynIC enabled), or may have.
    pub fn vmb_host_eom(h: *mut vmb_host, vp: u32) -> c_int;
    /// `[control]` Do what is due at `now`, and give one event: as `vmb_guest_poll`.
    pub fn vmb_host_poll(h: *mut vmb_host, now: u64, ev: *mut vmb_event) -> c_int;
    /// `[control]` Offer a channel, now or when a guest asks. A device that does not fit in the
    /// limits gets `VMB_ENOSPACE`, a second one with the same class, instance and subchannel, or a
    /// taken channel_id, `VMB_EINVAL`. A subchannel without its primary: `VMB_EINVAL`. A removed
    /// device counts until its `EV_GONE` was given out. control-plane.md 8.
    pub fn vmb_host_offer(h: *mut vmb_host, offer: *const vmb_offer, ch: *mut vmb_handle) -> c_int;
    /// `[control]` Take it away, subchannels first. `EV_CLOSE` if it is attached; then RESCIND;
    /// `EV_GONE` when the guest let go of the id (or does not know it). The same device may be
    /// offered again at once: it gets the same id, after the guest let go. control-plane.md 12.
    pub fn vmb_host_remove(h: *mut vmb_host, ch: vmb_handle) -> c_int;
    /// `[control]` What the guest asked for; from `VMB_EV_OPEN` on.
    pub fn vmb_host_open_info(h: *mut vmb_host, ch: vmb_handle, out: *mut vmb_open_info) -> c_int;
    /// `[control]` Say yes to `EV_OPEN`: map the rings (cfg->tx.control NULL: by the callback; else
    /// you have done it), build the channel in mem, tell the guest. If it fails the guest has been
    /// told no, mem is yours, and no `EV_CLOSED` comes: `VMB_EMAP`, `VMB_EPEER` (bad ring),
    /// `VMB_ESTOPPED` (the guest has gone meanwhile), caller's errors and `VMB_EAGAIN` (pull the
    /// last `EV_CLOSED` first): these change nothing. Also legal while the guest has the channel
    /// open and nobody serves it, after a detach: goes on where that one stopped. Use `*out` from
    /// any thread you hand it to.
    pub fn vmb_host_attach(
        h: *mut vmb_host,
        ch: vmb_handle,
        mem: *mut c_void,
        bytes: usize,
        cfg: *const vmb_channel_config,
        out: *mut *mut vmb_channel,
    ) -> c_int;
    /// `[control]` Give the channel object back: after `EV_CLOSE`, or by yourself (`VMB_ESTOPPED`,
    /// `VMB_EPEER`, removal, to pause or to move). Unmaps. -> `EV_CLOSED`.
    pub fn vmb_host_detach(h: *mut vmb_host, ch: vmb_handle) -> c_int;
    /// `[control]` What `EV_HVSOCK` asks. `VMB_ENOENT`: it has been answered, or its connection is
    /// over.
    pub fn vmb_host_hvsock(h: *mut vmb_host, question: *const vmb_event, out: *mut vmb_hvsock) -> c_int;
    /// `[control]` Answer a question otherwise. `EV_HVSOCK`: 0 once you have offered the channel
    /// (`vmb_hvsock_offer`), else no: the guest hears of that from 4.1 on. `EV_OPEN`: no, with the
    /// status the guest shall see (`VMB_E*` become 0x8000FFFF), or 0 where someone else serves the
    /// rings: `EV_CLOSE` will come, answer that with 0 when they are off the memory. EV_GPADL_DOWN:
    /// 0. Late or twice: `VMB_ENOENT`, harmless.
    pub fn vmb_host_answer(h: *mut vmb_host, question: *const vmb_event, status: i32) -> c_int;
    /// `[control]` What is known of a GPADL. `VMB_ENOENT`.
    pub fn vmb_host_gpadl_info(
        h: *mut vmb_host,
        ch: vmb_handle,
        gpadl: u32,
        out: *mut vmb_gpadl_info,
    ) -> c_int;
    /// `[control]` Copy its list into words (max of them) and hold it: the guest's tear-down,
    /// close, rescind or unload then asks (EV_GPADL_DOWN) and waits for release. `*list` (its words
    /// are yours) serves `vmb_list_read` and `vmb_packet_read` from any thread meanwhile. Holds
    /// count. `VMB_ENOENT`, `VMB_ETOOSMALL`.
    pub fn vmb_host_gpadl_hold(
        h: *mut vmb_host,
        ch: vmb_handle,
        gpadl: u32,
        words: *mut u64,
        max: u32,
        list: *mut vmb_list,
    ) -> c_int;
    /// `[control]` Give one hold back. `VMB_ENOENT`: not held.
    pub fn vmb_host_gpadl_release(h: *mut vmb_host, ch: vmb_handle, gpadl: u32) -> c_int;
    /// `[control]` Who uses this memory? Before guest pages pfn ... pfn + pages - 1 are taken away
    /// (hot-unplug, a change of visibility): `VMB_YES` and one use per call, 0 after the last;
    /// start with `*cursor` = 0. A use is the ring of an open channel or a hold, of GPADL `*gpadl`
    /// of `*ch`. Detach it, remove the channel, or release the hold, and ask again. Maps that a
    /// mapper's caller has just now are the mapper's to wait for. `VMB_EINVAL`: no pages, or their
    /// numbers overflow.
    pub fn vmb_host_users(
        h: *mut vmb_host,
        pfn: u64,
        pages: u64,
        cursor: *mut u32,
        ch: *mut vmb_handle,
        gpadl: *mut u32,
    ) -> c_int;
    /// `[control]` Lower what the next contact may have; 0: as the config says. For relays.
    /// control-plane.md 3.1.
    pub fn vmb_host_limit(h: *mut vmb_host, max_version: u32, features: u32) -> c_int;
    /// `[control]` The VM is reset: `VMB_EV_CLOSE` for all that is attached, and `VMB_EV_RESET`
    /// when all channels and holds have been given back.
    pub fn vmb_host_reset(h: *mut vmb_host) -> c_int;
    /// `[control]` Write what this end knows of its guest in `format` (0: the newest). `*used` is
    /// set to its size; buf null: no more than that. It changes nothing. The vCPUs are stopped, and
    /// the devices have flushed and released (else `VMB_ESTATE`). `VMB_ETOOSMALL`; `VMB_EVERSION`:
    /// no such format.
    pub fn vmb_host_save(
        h: *mut vmb_host,
        format: u32,
        buf: *mut c_void,
        bytes: usize,
        used: *mut usize,
    ) -> c_int;
    /// `[control]` Go on from a saved state, in a host that has had no guest (`VMB_ESTATE`), after
    /// all devices were offered again. What waits for a device comes as an event with
    /// `VMB_EVF_RESTORED`. An error changes nothing: `VMB_EINVAL`, `VMB_EVERSION`, `VMB_ENOSPACE`,
    /// `VMB_EMAP`.
    pub fn vmb_host_restore(h: *mut vmb_host, buf: *const c_void, bytes: usize) -> c_int;
    /// `[control]` What the guest end counts.
    pub fn vmb_guest_info(g: *mut vmb_guest, out: *mut vmb_bus_info) -> c_int;
    /// `[control]` What the host end counts.
    pub fn vmb_host_info(h: *mut vmb_host, out: *mut vmb_bus_info) -> c_int;
    /// `[control]` `VMB_YES` and one part per call, the connection first, then channels, then
    /// GPADLs; 0 after the last; start with `*cursor` = 0.
    pub fn vmb_guest_snapshot(g: *mut vmb_guest, cursor: *mut u32, out: *mut vmb_part) -> c_int;
    /// `[control]` `VMB_YES` and one part per call, the connection first, then channels, then
    /// GPADLs; 0 after the last; start with `*cursor` = 0.
    pub fn vmb_host_snapshot(h: *mut vmb_host, cursor: *mut u32, out: *mut vmb_part) -> c_int;
}

zeroed!(vmb_host_config, vmb_open_info, vmb_gpadl_info, vmb_bus_info, vmb_part);
