// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The guest end of a bus: what a guest's kernel has.

use crate::bus::{Channels, Closed, Event, Handle, Offer, Polled, SharedPages};
use crate::channel::{storage_of, Options, Rings};
use crate::error::{check, Error, Result};
use crate::half::{Receiver, Sender};
use crate::list::{length, List};
use crate::names::Guid;
use crate::storage::{self, Storage};
use crate::synic::Sint;
use core::ffi::{c_int, c_void};
use core::fmt;
use core::marker::PhantomData;
use core::ptr::{self, NonNull};
use vmbus_sys as sys;

/// What a guest end needs of its platform: the two hypercalls, and to be heard.
///
/// All of it is called from inside the library: do it, and return. A panic in it ends the process.
pub trait GuestPlatform: Sync {
    /// Is [`trace`](Self::trace) to be called?
    const TRACE: bool = false;

    /// HvPostMessage with message type 1: gives the hypercall's status.
    fn post(&self, connection: u32, payload: &[u8]) -> u16;

    /// HvSignalEvent.
    fn signal(&self, connection: u32, flag: u32);

    /// The channel opened with `user` has something: let its thread look.
    fn wake(&self, user: u64);

    /// Call [`Guest::poll`] soon.
    fn poke(&self) {}

    /// Map the host's own monitor pages, host-to-guest (0: there is none) and guest-to-host; `None`: do without. Asked with
    /// `VMB_FEATURE_SERVER_MONITOR`.
    fn monitor(&self, gpa: [u64; 2]) -> Option<MonitorPages> {
        let _ = gpa;
        None
    }

    /// What the end does, as it does it.
    fn trace(&self, what: &sys::vmb_trace) {
        let _ = what;
    }
}

/// Limits and features of a guest end. All 0 is usable; the fields are those of `vmb_guest_config`.
#[derive(Clone, Copy, Debug, Default)]
pub struct GuestConfig {
    /// `VMB_V*`; 0: any.
    pub min_version: u32,
    /// `VMB_V*`; 0: any.
    pub max_version: u32,
    /// `VMB_FEATURE_*` to ask for at 6.0.
    pub features: u32,
    /// VP that shall get messages.
    pub message_vp: u32,
    /// 0: SINT 2.
    pub sint: u32,
    /// That this guest runs in.
    pub vtl: u32,
    /// 0: 64. Offers above are declined.
    pub max_channels: u32,
    /// 0: two for each channel.
    pub max_gpadls: u32,
    /// Pages in lists being announced; 0: 8190.
    pub max_gpadl_pages: u32,
    /// For the answer to each version tried; 0: wait for ever.
    pub connect_ms: u32,
    /// For each answer about a channel or GPADL; 0: wait for ever.
    pub reply_ms: u32,
    /// For the end of the connection; 0: wait for ever.
    pub unload_ms: u32,
    /// Connects of sockets under way at once; 0: none.
    pub max_hvsock: u32,
    /// With `VMB_FEATURE_CLIENT_ID`.
    pub client_id: Guid,
    /// Needless signals within the budget; 0: the default.
    pub signal_budget: u32,
    /// Milliseconds of the budget; 0: 1000.
    pub signal_ms: u32,
}

impl GuestConfig {
    pub(crate) fn raw<P: GuestPlatform>(&self, platform: &P) -> sys::vmb_guest_config {
        sys::vmb_guest_config {
            size: size_of::<sys::vmb_guest_config>() as u32,
            min_version: self.min_version,
            max_version: self.max_version,
            features: self.features,
            message_vp: self.message_vp,
            sint: self.sint,
            vtl: self.vtl,
            max_channels: self.max_channels,
            max_gpadls: self.max_gpadls,
            max_gpadl_pages: self.max_gpadl_pages,
            connect_ms: self.connect_ms,
            reply_ms: self.reply_ms,
            unload_ms: self.unload_ms,
            max_hvsock: self.max_hvsock,
            client_id: self.client_id.raw(),
            signal_budget: self.signal_budget,
            signal_ms: self.signal_ms,
            ctx: ptr::from_ref(platform).cast_mut().cast(),
            post: Some(post::<P>),
            signal: Some(signal::<P>),
            wake: Some(wake::<P>),
            poke: Some(poke::<P>),
            monitor: Some(monitor::<P>),
            trace: if P::TRACE { Some(trace::<P>) } else { None },
            ..Default::default()
        }
    }
}

unsafe extern "C" fn post<P: GuestPlatform>(
    ctx: *mut c_void,
    connection: u32,
    payload: *const c_void,
    len: u32,
) -> c_int {
    // SAFETY: ctx is the platform, which outlives the end; the library gives len bytes.
    let (platform, payload) =
        unsafe { (&*ctx.cast::<P>(), core::slice::from_raw_parts(payload.cast::<u8>(), len as usize)) };
    c_int::from(platform.post(connection, payload))
}

unsafe extern "C" fn signal<P: GuestPlatform>(ctx: *mut c_void, connection: u32, flag: u32) -> c_int {
    // SAFETY: ctx is the platform, which outlives the end.
    unsafe { &*ctx.cast::<P>() }.signal(connection, flag);
    0
}

unsafe extern "C" fn wake<P: GuestPlatform>(ctx: *mut c_void, user: u64) {
    // SAFETY: ctx is the platform, which outlives the end.
    unsafe { &*ctx.cast::<P>() }.wake(user);
}

unsafe extern "C" fn poke<P: GuestPlatform>(ctx: *mut c_void) {
    // SAFETY: ctx is the platform, which outlives the end.
    unsafe { &*ctx.cast::<P>() }.poke();
}

unsafe extern "C" fn monitor<P: GuestPlatform>(
    ctx: *mut c_void,
    gpa: *const u64,
    page: *mut *mut c_void,
) -> c_int {
    // SAFETY: ctx is the platform, which outlives the end; the library gives two numbers.
    let (platform, gpa) = unsafe { (&*ctx.cast::<P>(), *gpa.cast::<[u64; 2]>()) };
    let Some(MonitorPages(pages)) = platform.monitor(gpa) else { return sys::VMB_EMAP };
    for (i, (&gpa, at)) in gpa.iter().zip(pages).enumerate() {
        if gpa != 0 && at.is_none() {
            return sys::VMB_EMAP;
        }
        // SAFETY: there is room for two pointers.
        unsafe { page.add(i).write(at.map_or(ptr::null_mut(), NonNull::as_ptr)) };
    }
    0
}

unsafe extern "C" fn trace<P: GuestPlatform>(ctx: *mut c_void, what: *const sys::vmb_trace) {
    // SAFETY: ctx is the platform, which outlives the end; `what` is the library's, for this call.
    unsafe { (*ctx.cast::<P>()).trace(&*what) };
}

/// Where a guest sees the host's own monitor pages.
#[derive(Clone, Copy, Debug)]
pub struct MonitorPages([Option<NonNull<c_void>>; 2]);

impl MonitorPages {
    /// Host-to-guest, if there is one, and guest-to-host.
    ///
    /// # Safety
    ///
    /// Each is 4096 bytes, aligned to as many, that can be read and written until
    /// [`EventKind::Disconnected`](crate::EventKind::Disconnected), and that no Rust reference covers.
    pub unsafe fn new(to_guest: Option<NonNull<c_void>>, to_host: NonNull<c_void>) -> Self {
        Self([to_guest, Some(to_host)])
    }
}

/// The two rings that a channel is opened with: memory of the guest that becomes the host's, too.
#[derive(Debug)]
pub struct GuestRings<'m> {
    open: sys::vmb_open,
    _memory: PhantomData<&'m [u64]>,
}

impl<'m> GuestRings<'m> {
    /// In a row at `base`: `tx_pages` and then `rx_pages`, each with its control page first. Guest-physically they lie in a
    /// row from `gpa` on.
    ///
    /// # Safety
    ///
    /// For `'m`, all of it can be read and written, and no Rust reference covers it; base is aligned to 4096. It is for this
    /// one channel. The host may write there from the open until [`EventKind::Closed`](crate::EventKind::Closed), and where the
    /// status of that is [`Error::Leak`], until [`EventKind::Disconnected`](crate::EventKind::Disconnected).
    pub unsafe fn contiguous(base: NonNull<c_void>, tx_pages: u32, rx_pages: u32, gpa: u64) -> Self {
        let open =
            sys::vmb_open { tx_pages, rx_pages, ring: base.as_ptr(), ring_gpa: gpa, ..Default::default() };
        Self { open, _memory: PhantomData }
    }

    /// The same, with the numbers of its pages: `tx_pages + rx_pages` of them.
    ///
    /// # Safety
    ///
    /// As for [`contiguous`](Self::contiguous), of these pages.
    pub unsafe fn listed(
        base: NonNull<c_void>,
        tx_pages: u32,
        rx_pages: u32,
        pfns: &'m [u64],
    ) -> Result<Self> {
        if pfns.len() as u64 != u64::from(tx_pages) + u64::from(rx_pages) {
            return Err(Error::Invalid);
        }
        // SAFETY: as the caller says.
        let mut rings = unsafe { Self::contiguous(base, tx_pages, rx_pages, 0) };
        rings.open.pfns = pfns.as_ptr();
        Ok(rings)
    }
}

/// How a channel is opened.
#[derive(Clone, Copy, Debug)]
pub struct Open {
    /// The channel's own options.
    pub options: Options,
    /// Whose SINT gets the interrupts; `None`: none.
    pub target_vp: Option<u32>,
    /// `VMB_OPEN_*`.
    pub flags: u32,
    /// Reserved channels: where the answer goes.
    pub target_sint: u32,
    /// With `VMB_FEATURE_SIGNAL_PARAMETERS`; 0: as offered.
    pub connection_id: u32,
    /// With `VMB_FEATURE_SIGNAL_PARAMETERS`; 0: the channel's id.
    pub event_flag: u32,
    /// For wakes and events.
    pub user: u64,
    /// The device's.
    pub user_data: [u8; 120],
}

impl Default for Open {
    /// Interrupts to VP 0, and nothing else.
    fn default() -> Self {
        Self {
            options: Options::default(),
            target_vp: Some(0),
            flags: 0,
            target_sint: 0,
            connection_id: 0,
            event_flag: 0,
            user: 0,
            user_data: [0; 120],
        }
    }
}

impl Open {
    fn raw(&self, rings: &GuestRings<'_>) -> sys::vmb_open {
        sys::vmb_open {
            size: size_of::<sys::vmb_open>() as u32,
            flags: self.flags,
            target_vp: self.target_vp.unwrap_or(sys::VMB_VP_NONE),
            target_sint: self.target_sint,
            connection_id: self.connection_id,
            event_flag: self.event_flag,
            user: self.user,
            user_data: self.user_data,
            ..rings.open
        }
    }
}

/// A guest end: the memory of it. [`split`](Self::split) it to use it.
pub struct GuestBus<'m, P: GuestPlatform> {
    raw: NonNull<sys::vmb_guest>,
    channels: Channels,
    _storage: Storage<'m>,
    _platform: PhantomData<(&'m P, SharedPages<'m>)>,
}

// SAFETY: the end and its storage are used through this value and what borrows it, and know no thread; the platform is Sync.
unsafe impl<P: GuestPlatform> Send for GuestBus<'_, P> {}

impl<'m, P: GuestPlatform> GuestBus<'m, P> {
    /// A guest end of these limits.
    pub fn new(config: &GuestConfig, pages: SharedPages<'m>, platform: &'m P) -> Result<Self> {
        let mut config = config.raw(platform);
        if let Some((gpa, page)) = pages.interrupt {
            (config.interrupt_gpa, config.interrupt_page) = (gpa, page.as_ptr());
        }
        if let Some(monitor) = pages.monitor {
            config.monitor_gpa = monitor.map(|(gpa, _)| gpa);
            config.monitor_page = monitor.map(|(_, page)| page.as_ptr());
        }
        let (mut need, mut raw) = (sys::vmb_storage::default(), ptr::null_mut());
        // SAFETY: [pure].
        check(unsafe { sys::vmb_guest_storage(&config, &mut need) })?;
        let storage = Storage::allocate(storage::layout(&need)?);
        // SAFETY: the storage is so long and nobody else's; the callbacks fit ctx, which outlives the end, as the pages do.
        check(unsafe { sys::vmb_guest_init(storage.base(), storage.bytes(), &config, &mut raw) })?;
        let raw = NonNull::new(raw).ok_or(Error::Invalid)?;
        Ok(Self { raw, channels: Channels::default(), _storage: storage, _platform: PhantomData })
    }

    /// Its control side, for one caller at a time, and what any interrupt handler may use. They, and the halves of channels
    /// that come from them, must be gone before it can be split again; channels whose halves were lost are closed then.
    pub fn split(&mut self) -> (Guest<'_, 'm, P>, GuestInterrupts<'_>) {
        self.close_lost();
        let interrupts = GuestInterrupts { raw: self.raw, _bus: PhantomData };
        (Guest { bus: self }, interrupts)
    }

    /// By &mut: nothing that was split off is left, so that no halves are.
    fn close_lost(&mut self) {
        while let Some(ch) = self.channels.any_out() {
            // SAFETY: [control], by &mut; nobody has the halves any more.
            unsafe { sys::vmb_guest_close(self.raw.as_ptr(), ch.0) };
            self.channels.returned(ch);
        }
    }
}

impl<P: GuestPlatform> Drop for GuestBus<'_, P> {
    /// Ends it. Disconnect first: a host that was not told so goes on using what it was given.
    fn drop(&mut self) {
        self.close_lost();
        // SAFETY: [control], by &mut, and the last use: nothing that was split off is left. Where the library refuses, because
        // the end is connected, nobody calls it again.
        unsafe { sys::vmb_guest_end(self.raw.as_ptr()) };
    }
}

impl<P: GuestPlatform> fmt::Debug for GuestBus<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuestBus").finish_non_exhaustive()
    }
}

/// What any interrupt handler may do with a guest end.
#[derive(Clone, Copy, Debug)]
pub struct GuestInterrupts<'b> {
    raw: NonNull<sys::vmb_guest>,
    _bus: PhantomData<&'b sys::vmb_guest>,
}

// SAFETY: all that it has is [any] calls.
unsafe impl Send for GuestInterrupts<'_> {}
// SAFETY: the same.
unsafe impl Sync for GuestInterrupts<'_> {}

impl GuestInterrupts<'_> {
    /// From the SINT's handler, on each VP: clears the flags and wakes. `true`: the slot holds a message, somebody must call
    /// [`Guest::slot`].
    pub fn interrupt(&self, sint: &Sint<'_>) -> Result<bool> {
        // SAFETY: [any]; the end lives, for it is borrowed; flags and slot are there.
        let r = unsafe { sys::vmb_guest_interrupt(self.raw.as_ptr(), sint.flags(), sint.slot()) };
        Ok(check(r)? & sys::VMB_YES != 0)
    }

    /// For a dying system, whatever holds the locks: without a slot posts UNLOAD; then look into the slot of every VP, again
    /// and again, until it says [`Slot::message`].
    ///
    /// # Safety
    ///
    /// No other call of this end or its channels is started any more.
    pub unsafe fn crash(&self, sint: Option<&Sint<'_>>) -> Result<Slot> {
        let slot = sint.map_or(ptr::null_mut(), Sint::slot);
        // SAFETY: [any]; the end lives, for it is borrowed; the slot is there, or null.
        Ok(Slot::of(check(unsafe { sys::vmb_guest_crash(self.raw.as_ptr(), slot) })?))
    }
}

/// What was found in a slot.
#[must_use = "the host may wait for an end-of-message"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// There was a message: look again.
    pub message: bool,
    /// Write the end-of-message register of this VP, now.
    pub eom: bool,
}

impl Slot {
    fn of(facts: c_int) -> Self {
        Self { message: facts & sys::VMB_YES != 0, eom: facts & sys::VMB_EOM != 0 }
    }
}

/// The control side of a guest end.
#[derive(Debug)]
pub struct Guest<'b, 'm, P: GuestPlatform> {
    bus: &'b mut GuestBus<'m, P>,
}

/// A close that did not work: the halves are still out.
#[derive(Debug)]
pub struct NotClosed<'b> {
    /// Why.
    pub error: Error,
    /// The halves.
    pub halves: (Sender<'b>, Receiver<'b>),
}

impl<'b, 'm, P: GuestPlatform> Guest<'b, 'm, P> {
    fn raw(&mut self) -> *mut sys::vmb_guest {
        self.bus.raw.as_ptr()
    }

    /// Takes one message out of a slot. [`Error::Foreign`]: it is not VMBus's.
    pub fn slot(&mut self, sint: &Sint<'_>) -> Result<Slot> {
        // SAFETY: [control], by &mut; the slot is there.
        Ok(Slot::of(check(unsafe { sys::vmb_guest_slot(self.raw(), sint.slot()) })?))
    }

    /// The same for a payload that came another way.
    pub fn message(&mut self, payload: &[u8]) -> Result<()> {
        // SAFETY: [control], by &mut; so many bytes are there.
        check(unsafe { sys::vmb_guest_message(self.raw(), payload.as_ptr().cast(), length(payload.len())?) })
            .map(drop)
    }

    /// Does what is due at `now`, in nanoseconds, and gives one event.
    pub fn poll(&mut self, now: u64) -> Result<Polled> {
        let mut event = Event(sys::vmb_event::default());
        // SAFETY: [control], by &mut.
        let facts = check(unsafe { sys::vmb_guest_poll(self.raw(), now, &mut event.0) })?;
        let told = facts & sys::VMB_YES != 0;
        if told {
            self.bus.channels.see(&event);
        }
        Ok(Polled { event: told.then_some(event), deadline: event.0.deadline })
    }

    /// Negotiates, and asks for offers.
    pub fn connect(&mut self) -> Result<()> {
        // SAFETY: [control], by &mut.
        check(unsafe { sys::vmb_guest_connect(self.raw()) }).map(drop)
    }

    /// Ends the connection: every channel is rescinded; when all were released,
    /// [`EventKind::Disconnected`](crate::EventKind::Disconnected) comes.
    pub fn disconnect(&mut self) -> Result<()> {
        // SAFETY: [control], by &mut. Halves that are out are asked for by events.
        check(unsafe { sys::vmb_guest_disconnect(self.raw()) }).map(drop)
    }

    /// Other monitor pages for this connection, or none: [`EventKind::Monitor`](crate::EventKind::Monitor) follows, and the old
    /// ones are free if its status is good. With `VMB_FEATURE_MODIFY_CONNECTION`.
    ///
    /// # Safety
    ///
    /// As for [`SharedPages::new`].
    pub unsafe fn monitor(&mut self, pages: Option<[(u64, NonNull<c_void>); 2]>) -> Result<()> {
        let gpa = pages.map_or([0; 2], |pages| pages.map(|(gpa, _)| gpa));
        let page = pages.map_or([ptr::null_mut(); 2], |pages| pages.map(|(_, page)| page.as_ptr()));
        // SAFETY: [control], by &mut; two of each are there, and the pages are as the caller says.
        check(unsafe { sys::vmb_guest_monitor(self.raw(), gpa.as_ptr(), page.as_ptr()) }).map(drop)
    }

    /// Has no message come until [`resume`](Self::resume); with `VMB_FEATURE_PAUSE`.
    pub fn pause(&mut self) -> Result<()> {
        // SAFETY: [control], by &mut.
        check(unsafe { sys::vmb_guest_pause(self.raw()) }).map(drop)
    }

    /// Has messages come again.
    pub fn resume(&mut self) -> Result<()> {
        // SAFETY: [control], by &mut.
        check(unsafe { sys::vmb_guest_resume(self.raw()) }).map(drop)
    }

    /// Connects to a service of the host. [`EventKind::Hvsock`](crate::EventKind::Hvsock) follows, with `user`.
    pub fn hvsock(&mut self, socket: &sys::vmb_hvsock, user: u64) -> Result<()> {
        // SAFETY: [control], by &mut.
        check(unsafe { sys::vmb_guest_hvsock(self.raw(), socket, user) }).map(drop)
    }

    /// Closes a reserved channel that an earlier system has left open.
    pub fn close_reserved(&mut self, channel_id: u32, vp: u32, sint: u32) -> Result<()> {
        // SAFETY: [control], by &mut.
        check(unsafe { sys::vmb_guest_close_reserved(self.raw(), channel_id, vp, sint) }).map(drop)
    }

    /// Which open channels interrupt this VP? One per call, from cursor 0 on.
    pub fn targets(&mut self, vp: u32, cursor: &mut u32) -> Result<Option<Handle>> {
        let mut ch = 0;
        // SAFETY: [control], by &mut.
        let r = check(unsafe { sys::vmb_guest_targets(self.raw(), vp, cursor, &mut ch) })?;
        Ok((r & sys::VMB_YES != 0).then_some(Handle(ch)))
    }

    /// What was offered.
    pub fn offer(&mut self, ch: Handle) -> Result<Offer> {
        let mut raw = Offer::empty();
        // SAFETY: [control], by &mut.
        check(unsafe { sys::vmb_guest_offer(self.raw(), ch.0, &mut raw) })?;
        Ok(Offer { raw })
    }

    /// Opens a channel. [`EventKind::Opened`](crate::EventKind::Opened) follows; the halves may be used before. They can go
    /// to any thread; [`close`](Self::close) takes both.
    pub fn open(
        &mut self,
        ch: Handle,
        open: &Open,
        rings: GuestRings<'m>,
    ) -> Result<(Sender<'b>, Receiver<'b>)> {
        self.open_config(ch, open.options.config(), &open.raw(&rings))
    }

    /// The same with rings that do not lie in a row for the program: `pfns` are all their pages, in the order of sending
    /// control page, its data, receiving control page, its data.
    ///
    /// # Safety
    ///
    /// As for [`GuestRings::contiguous`], of these pages, which are those of `rings`.
    pub unsafe fn open_scattered(
        &mut self,
        ch: Handle,
        open: &Open,
        rings: Rings<'m>,
        pfns: &[u64],
    ) -> Result<(Sender<'b>, Receiver<'b>)> {
        let (tx_pages, rx_pages) = (rings.tx.raw.data_pages, rings.rx.raw.data_pages);
        if pfns.len() as u64 != u64::from(tx_pages) + u64::from(rx_pages) + 2 {
            return Err(Error::Invalid);
        }
        let raw = sys::vmb_open {
            tx_pages: tx_pages + 1,
            rx_pages: rx_pages + 1,
            pfns: pfns.as_ptr(),
            ..open.raw(&GuestRings { open: sys::vmb_open::default(), _memory: PhantomData })
        };
        self.open_config(ch, rings.config(&open.options), &raw)
    }

    fn open_config(
        &mut self,
        ch: Handle,
        mut config: sys::vmb_channel_config,
        open: &sys::vmb_open,
    ) -> Result<(Sender<'b>, Receiver<'b>)> {
        if self.bus.channels.is_out(ch) {
            return Err(Error::State);
        }
        // A guest's rings begin anew; a restored channel knows by itself where it was.
        (config.tx_at.valid, config.rx_at.valid) = (0, 0);
        let storage = Storage::allocate(storage_of(&config)?);
        let mut raw = ptr::null_mut();
        // SAFETY: [control], by &mut; the storage is so long and nobody else's; ring memory and page numbers are as their maker
        // has promised, for 'm, which is longer than this end lives. After an error the storage is ours.
        let r = unsafe {
            sys::vmb_guest_open(self.raw(), ch.0, storage.base(), storage.bytes(), &config, open, &mut raw)
        };
        check(r)?;
        let raw = NonNull::new(raw).ok_or(Error::Invalid)?;
        // SAFETY: just made, of this handle; the end lives for 'b, and `close` and `close_lost` are all that gives it back.
        Ok(unsafe { self.bus.channels.made(ch, raw, storage) })
    }

    /// Gives a channel back. [`EventKind::Closed`](crate::EventKind::Closed) follows.
    ///
    /// ```compile_fail,E0382
    /// # fn f<'b, P: vmbus::GuestPlatform>(
    /// #     guest: &mut vmbus::Guest<'b, '_, P>, tx: vmbus::Sender<'b>, mut rx: vmbus::Receiver<'b>) {
    /// guest.close(tx, rx).unwrap();
    /// rx.release().unwrap(); // of a half that was given back
    /// # }
    /// ```
    pub fn close(&mut self, tx: Sender<'b>, rx: Receiver<'b>) -> core::result::Result<Handle, NotClosed<'b>> {
        let Some(ch) = self.bus.channels.of_halves(&tx, &rx) else {
            return Err(NotClosed { error: Error::Invalid, halves: (tx, rx) });
        };
        // SAFETY: [control], by &mut; both halves of the channel are here, and go nowhere.
        match check(unsafe { sys::vmb_guest_close(self.raw(), ch.0) }) {
            Ok(_) => {
                self.bus.channels.returned(ch);
                Ok(ch)
            }
            Err(error) => Err(NotClosed { error, halves: (tx, rx) }),
        }
    }

    /// Closes what was open before a restore and is not opened again.
    pub fn close_restored(&mut self, ch: Handle) -> Result<()> {
        if self.bus.channels.is_out(ch) {
            return Err(Error::State);
        }
        // SAFETY: [control], by &mut; no halves of it are out, which this would give back.
        check(unsafe { sys::vmb_guest_close(self.raw(), ch.0) }).map(drop)
    }

    /// A channel that is closed, for a last look, until the handle is opened again or gone.
    pub fn closed(&mut self, ch: Handle) -> Option<Closed<'_>> {
        self.bus.channels.closed(ch)
    }

    /// Done with this channel: [`EventKind::Gone`](crate::EventKind::Gone) follows. [`Error::State`]: its halves are out,
    /// [`close`](Self::close) it first.
    pub fn release(&mut self, ch: Handle) -> Result<()> {
        if self.bus.channels.is_out(ch) {
            return Err(Error::State);
        }
        // SAFETY: [control], by &mut; no halves of it are out, which this would give back.
        check(unsafe { sys::vmb_guest_release(self.raw(), ch.0) }).map(drop)
    }

    /// Interrupts to another VP. [`EventKind::Target`](crate::EventKind::Target) follows.
    pub fn target(&mut self, ch: Handle, vp: u32) -> Result<()> {
        // SAFETY: [control], by &mut.
        check(unsafe { sys::vmb_guest_target(self.raw(), ch.0, vp) }).map(drop)
    }

    /// Announces memory: its GPADL, usable after [`EventKind::Gpadl`](crate::EventKind::Gpadl).
    ///
    /// # Safety
    ///
    /// Until [`EventKind::GpadlDown`](crate::EventKind::GpadlDown) of it, and where the status of that is [`Error::Leak`] until
    /// [`EventKind::Disconnected`](crate::EventKind::Disconnected), the host may read and write these pages: no Rust reference
    /// covers them, and nobody else relies on what is in them.
    pub unsafe fn gpadl_create(&mut self, ch: Handle, list: &List<'_>) -> Result<u32> {
        let mut gpadl = 0;
        // SAFETY: [control], by &mut; the list is copied.
        check(unsafe { sys::vmb_guest_gpadl_create(self.raw(), ch.0, &list.raw, &mut gpadl) })?;
        Ok(gpadl)
    }

    /// Takes memory back.
    pub fn gpadl_destroy(&mut self, gpadl: u32) -> Result<()> {
        // SAFETY: [control], by &mut.
        check(unsafe { sys::vmb_guest_gpadl_destroy(self.raw(), gpadl) }).map(drop)
    }

    /// What the end counts.
    pub fn info(&mut self) -> Result<sys::vmb_bus_info> {
        let size = size_of::<sys::vmb_bus_info>() as u32;
        let mut info = sys::vmb_bus_info { size, ..Default::default() };
        // SAFETY: [control], by &mut.
        check(unsafe { sys::vmb_guest_info(self.raw(), &mut info) })?;
        Ok(info)
    }

    /// One part of the end per call, from cursor 0 on: the connection, then channels, then GPADLs.
    pub fn snapshot(&mut self, cursor: &mut u32) -> Result<Option<sys::vmb_part>> {
        let size = size_of::<sys::vmb_part>() as u32;
        let mut part = sys::vmb_part { size, ..Default::default() };
        // SAFETY: [control], by &mut.
        let r = check(unsafe { sys::vmb_guest_snapshot(self.raw(), cursor, &mut part) })?;
        Ok((r & sys::VMB_YES != 0).then_some(part))
    }

    /// Writes what this end knows, in `format`, 0 for the newest: how many bytes. With an empty buffer: how many it needs.
    ///
    /// # Safety
    ///
    /// No half of a channel of this end is used meanwhile.
    pub unsafe fn save(&mut self, format: u32, buffer: &mut [u8]) -> Result<usize> {
        let mut used = 0;
        let to = if buffer.is_empty() { ptr::null_mut() } else { buffer.as_mut_ptr() };
        // SAFETY: [control], by &mut; so many bytes are there; the device threads wait, as the caller says.
        check(unsafe { sys::vmb_guest_save(self.raw(), format, to.cast(), buffer.len(), &mut used) })?;
        Ok(used)
    }

    /// Goes on from a saved state; `anew`: with a new connection.
    pub fn restore(&mut self, saved: &[u8], anew: bool) -> Result<()> {
        let flags = if anew { sys::VMB_RESTORE_ANEW } else { 0 };
        // SAFETY: [control], by &mut; so many bytes are there, and are checked by the library.
        check(unsafe { sys::vmb_guest_restore(self.raw(), saved.as_ptr().cast(), saved.len(), flags) })
            .map(drop)
    }
}
