// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The host end of a bus: what a hypervisor has.

use crate::bus::{Channels, Closed, Event, Handle, Offer, Polled, SharedPages};
use crate::channel::{storage_of, Options, Rings};
use crate::error::{check, Error, Result};
use crate::half::{Receiver, Sender};
use crate::list::{length, map, unmap, List, Mapper};
use crate::storage::{self, Storage};
use core::ffi::{c_int, c_void};
use core::fmt;
use core::marker::PhantomData;
use core::ptr::{self, NonNull};
use vmbus_sys as sys;

/// What a host end needs of its platform. The mapper maps rings, and interrupt and monitor pages.
///
/// All of it is called from inside the library: do it, and return. A panic in it ends the process.
pub trait HostPlatform: Mapper + Sync {
    /// Is [`trace`](Self::trace) to be called?
    const TRACE: bool = false;

    /// Put a message into the slot of this SINT and VP ([`Sint::post`](crate::Sint::post)), and interrupt. [`Error::Again`]: it is occupied,
    /// and [`Host::eom`] will follow.
    fn message(&self, vp: u32, vtl: u32, sint: u32, payload: &[u8]) -> Result<()>;

    /// Set an event flag of this VP and SINT ([`Sint::set`](crate::Sint::set)), and interrupt.
    fn interrupt(&self, vp: u32, vtl: u32, sint: u32, flag: u32);

    /// The channel offered with `user` has something: let its thread look.
    fn wake(&self, user: u64);

    /// Call [`Host::poll`] soon.
    fn poke(&self) {}

    /// What the end does, as it does it.
    fn trace(&self, what: &sys::vmb_trace) {
        let _ = what;
    }
}

/// Limits and features of a host end. All 0 is usable; the fields are those of `vmb_host_config`.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostConfig {
    /// `VMB_HOST_*`.
    pub flags: u32,
    /// `VMB_V*`; 0: all there are.
    pub max_version: u32,
    /// `VMB_FEATURE_*` that a guest may have; 0: the defaults.
    pub features: u32,
    /// VP indexes below this exist; 0: not checked.
    pub vps: u32,
    /// Whose server this is: 0, or 2 for a paravisor's.
    pub vtl: u32,
    /// 0: 1.
    pub first_channel_id: u32,
    /// Offers at once; 0: 64.
    pub max_channels: u32,
    /// Live GPADLs; 0: 256.
    pub max_gpadls: u32,
    /// Pages in them; 0: 65536.
    pub max_gpadl_pages: u32,
    /// GPADLs of which messages are missing; 0: 64.
    pub max_gpadls_building: u32,
    /// Messages waiting for the guest; 0: 64 more than channels.
    pub max_messages: u32,
    /// Connects of sockets waiting for an answer; 0: all are refused.
    pub max_hvsock: u32,
    /// Milliseconds in which a guest opens a socket; 0: 5000.
    pub hvsock_ms: u32,
    /// Latency of monitored notifications in 100 ns; 0: 1000.
    pub monitor_latency: u32,
    /// Needless signals within the budget; 0: the default.
    pub signal_budget: u32,
    /// Milliseconds of the budget; 0: 1000.
    pub signal_ms: u32,
}

impl HostConfig {
    pub(crate) fn raw<P: HostPlatform>(&self, platform: &P) -> sys::vmb_host_config {
        sys::vmb_host_config {
            size: size_of::<sys::vmb_host_config>() as u32,
            flags: self.flags,
            max_version: self.max_version,
            features: self.features,
            vps: self.vps,
            vtl: self.vtl,
            first_channel_id: self.first_channel_id,
            max_channels: self.max_channels,
            max_gpadls: self.max_gpadls,
            max_gpadl_pages: self.max_gpadl_pages,
            max_gpadls_building: self.max_gpadls_building,
            max_messages: self.max_messages,
            max_hvsock: self.max_hvsock,
            hvsock_ms: self.hvsock_ms,
            monitor_latency: self.monitor_latency,
            signal_budget: self.signal_budget,
            signal_ms: self.signal_ms,
            ctx: ptr::from_ref(platform).cast_mut().cast(),
            message: Some(message::<P>),
            interrupt: Some(interrupt::<P>),
            wake: Some(wake::<P>),
            poke: Some(poke::<P>),
            map: Some(map::<P>),
            unmap: Some(unmap::<P>),
            trace: if P::TRACE { Some(trace::<P>) } else { None },
            ..Default::default()
        }
    }
}

unsafe extern "C" fn message<P: HostPlatform>(
    ctx: *mut c_void,
    vp: u32,
    vtl: u32,
    sint: u32,
    payload: *const c_void,
    len: u32,
) -> c_int {
    // SAFETY: ctx is the platform, which outlives the end; the library gives len bytes.
    let (platform, payload) =
        unsafe { (&*ctx.cast::<P>(), core::slice::from_raw_parts(payload.cast::<u8>(), len as usize)) };
    match platform.message(vp, vtl, sint, payload) {
        Ok(()) => 0,
        Err(error) => error.code().min(-1),
    }
}

unsafe extern "C" fn interrupt<P: HostPlatform>(ctx: *mut c_void, vp: u32, vtl: u32, sint: u32, flag: u32) {
    // SAFETY: ctx is the platform, which outlives the end.
    unsafe { &*ctx.cast::<P>() }.interrupt(vp, vtl, sint, flag);
}

unsafe extern "C" fn wake<P: HostPlatform>(ctx: *mut c_void, user: u64) {
    // SAFETY: ctx is the platform, which outlives the end.
    unsafe { &*ctx.cast::<P>() }.wake(user);
}

unsafe extern "C" fn poke<P: HostPlatform>(ctx: *mut c_void) {
    // SAFETY: ctx is the platform, which outlives the end.
    unsafe { &*ctx.cast::<P>() }.poke();
}

unsafe extern "C" fn trace<P: HostPlatform>(ctx: *mut c_void, what: *const sys::vmb_trace) {
    // SAFETY: ctx is the platform, which outlives the end; `what` is the library's, for this call.
    unsafe { (*ctx.cast::<P>()).trace(&*what) };
}

/// A host end: the memory of it. [`split`](Self::split) it to use it.
pub struct HostBus<'m, P: HostPlatform> {
    raw: NonNull<sys::vmb_host>,
    channels: Channels,
    _storage: Storage<'m>,
    _platform: PhantomData<(&'m P, SharedPages<'m>)>,
}

// SAFETY: the end and its storage are used through this value and what borrows it, and know no thread; the platform is Sync.
unsafe impl<P: HostPlatform> Send for HostBus<'_, P> {}

impl<'m, P: HostPlatform> HostBus<'m, P> {
    /// A host end of these limits. `pages`: its own monitor pages, with `VMB_FEATURE_SERVER_MONITOR`.
    pub fn new(config: &HostConfig, pages: SharedPages<'m>, platform: &'m P) -> Result<Self> {
        let mut config = config.raw(platform);
        if pages.interrupt.is_some() {
            return Err(Error::Invalid);
        }
        if let Some(monitor) = pages.monitor {
            config.monitor_gpa = monitor.map(|(gpa, _)| gpa);
            config.monitor_page = monitor.map(|(_, page)| page.as_ptr());
        }
        let (mut need, mut raw) = (sys::vmb_storage::default(), ptr::null_mut());
        // SAFETY: [pure].
        check(unsafe { sys::vmb_host_storage(&config, &mut need) })?;
        let storage = Storage::allocate(storage::layout(&need)?);
        // SAFETY: the storage is so long and nobody else's; the callbacks fit ctx, which outlives the end.
        check(unsafe { sys::vmb_host_init(storage.base(), storage.bytes(), &config, &mut raw) })?;
        let raw = NonNull::new(raw).ok_or(Error::Invalid)?;
        Ok(Self { raw, channels: Channels::default(), _storage: storage, _platform: PhantomData })
    }

    /// Its control side, for one caller at a time, and what any thread may use. They, and the halves of channels that come
    /// from them, must be gone before it can be split again; channels whose halves were lost are detached then.
    ///
    /// ```compile_fail,E0505
    /// # fn f<P: vmbus::HostPlatform>(platform: &P, handle: vmbus::Handle) -> vmbus::Result<()> {
    /// let mut bus = vmbus::HostBus::new(&vmbus::HostConfig::default(), vmbus::SharedPages::NONE, platform)?;
    /// let (mut host, _) = bus.split();
    /// let (mut tx, _rx) = host.attach(handle, &vmbus::Options::default())?;
    /// drop(bus);
    /// tx.flush()?; // of a bus that is gone
    /// # Ok(()) }
    /// ```
    pub fn split(&mut self) -> (Host<'_, 'm, P>, HostSignals<'_>) {
        self.detach_lost();
        let signals = HostSignals { raw: self.raw, _bus: PhantomData };
        (Host { bus: self }, signals)
    }

    /// By &mut: nothing that was split off is left, so that no halves are.
    fn detach_lost(&mut self) {
        while let Some(ch) = self.channels.any_out() {
            // SAFETY: [control], by &mut; nobody has the halves any more.
            unsafe { sys::vmb_host_detach(self.raw.as_ptr(), ch.0) };
            self.channels.returned(ch);
        }
    }
}

impl<P: HostPlatform> Drop for HostBus<'_, P> {
    fn drop(&mut self) {
        self.detach_lost();
        // SAFETY: [control], by &mut, and the last use: nothing that was split off is left.
        unsafe { sys::vmb_host_end(self.raw.as_ptr()) };
    }
}

impl<P: HostPlatform> fmt::Debug for HostBus<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostBus").finish_non_exhaustive()
    }
}

/// What any thread may do with a host end: vCPUs.
#[derive(Clone, Copy, Debug)]
pub struct HostSignals<'b> {
    raw: NonNull<sys::vmb_host>,
    _bus: PhantomData<&'b sys::vmb_host>,
}

// SAFETY: all that it has is [any] calls.
unsafe impl Send for HostSignals<'_> {}
// SAFETY: the same.
unsafe impl Sync for HostSignals<'_> {}

impl HostSignals<'_> {
    /// HvSignalEvent: gives the status for the guest.
    pub fn signal(&self, connection: u32, flag: u32) -> i32 {
        // SAFETY: [any]; the end lives, for it is borrowed.
        unsafe { sys::vmb_host_signal(self.raw.as_ptr(), connection, flag) }
    }

    /// Looks at the monitor page. `true`: some channels were woken.
    pub fn monitor(&self) -> Result<bool> {
        // SAFETY: [any]; the end lives, for it is borrowed.
        Ok(check(unsafe { sys::vmb_host_monitor(self.raw.as_ptr()) })? & sys::VMB_YES != 0)
    }
}

/// The control side of a host end.
#[derive(Debug)]
pub struct Host<'b, 'm, P: HostPlatform> {
    bus: &'b mut HostBus<'m, P>,
}

/// A detach that did not work: the halves are still out.
#[derive(Debug)]
pub struct NotDetached<'b> {
    /// Why.
    pub error: Error,
    /// The halves.
    pub halves: (Sender<'b>, Receiver<'b>),
}

impl<'b, 'm, P: HostPlatform> Host<'b, 'm, P> {
    fn raw(&mut self) -> *mut sys::vmb_host {
        self.bus.raw.as_ptr()
    }

    /// HvPostMessage, its input copied out of guest memory: gives the status for the guest.
    pub fn post(&mut self, input: &[u8]) -> Result<i32> {
        // SAFETY: [control], by &mut; so many bytes are there.
        check(unsafe { sys::vmb_host_post(self.raw(), input.as_ptr().cast(), length(input.len())?) })
    }

    /// The same by a path that only guest and paravisor see.
    pub fn post_trusted(&mut self, input: &[u8]) -> Result<i32> {
        // SAFETY: as in `post`.
        check(unsafe { sys::vmb_host_post_trusted(self.raw(), input.as_ptr().cast(), length(input.len())?) })
    }

    /// This VP has freed a slot.
    pub fn eom(&mut self, vp: u32) -> Result<()> {
        // SAFETY: [control], by &mut.
        check(unsafe { sys::vmb_host_eom(self.raw(), vp) }).map(drop)
    }

    /// Does what is due at `now`, in nanoseconds, and gives one event.
    pub fn poll(&mut self, now: u64) -> Result<Polled> {
        let mut event = Event(sys::vmb_event::default());
        // SAFETY: [control], by &mut.
        let facts = check(unsafe { sys::vmb_host_poll(self.raw(), now, &mut event.0) })?;
        let told = facts & sys::VMB_YES != 0;
        if told {
            self.bus.channels.see(&event);
        }
        Ok(Polled { event: told.then_some(event), deadline: event.0.deadline })
    }

    /// Offers a channel, now or when a guest asks.
    pub fn offer(&mut self, offer: &Offer) -> Result<Handle> {
        let raw = sys::vmb_offer { size: Offer::empty().size, ..offer.raw };
        let mut ch = 0;
        // SAFETY: [control], by &mut.
        check(unsafe { sys::vmb_host_offer(self.raw(), &raw, &mut ch) })?;
        Ok(Handle(ch))
    }

    /// Takes a device away.
    pub fn remove(&mut self, ch: Handle) -> Result<()> {
        // SAFETY: [control], by &mut. What is attached is asked for by an event.
        check(unsafe { sys::vmb_host_remove(self.raw(), ch.0) }).map(drop)
    }

    /// What the guest asked for when it opened the channel.
    pub fn open_info(&mut self, ch: Handle) -> Result<sys::vmb_open_info> {
        let size = size_of::<sys::vmb_open_info>() as u32;
        let mut info = sys::vmb_open_info { size, ..Default::default() };
        // SAFETY: [control], by &mut.
        check(unsafe { sys::vmb_host_open_info(self.raw(), ch.0, &mut info) })?;
        Ok(info)
    }

    /// Says yes to [`EventKind::Open`](crate::EventKind::Open): the rings are mapped by the platform's mapper. The halves
    /// can go to any thread; [`detach`](Self::detach) takes both.
    pub fn attach(&mut self, ch: Handle, options: &Options) -> Result<(Sender<'b>, Receiver<'b>)> {
        let ring_pages = self.open_info(ch)?.ring_pages;
        self.attach_config(ch, sys::vmb_channel_config { ring_pages, ..options.config() })
    }

    /// The same with rings that the caller has mapped, for as long as the bus lives.
    pub fn attach_mapped(
        &mut self,
        ch: Handle,
        options: &Options,
        rings: Rings<'m>,
    ) -> Result<(Sender<'b>, Receiver<'b>)> {
        self.attach_config(ch, rings.config(options))
    }

    fn attach_config(
        &mut self,
        ch: Handle,
        config: sys::vmb_channel_config,
    ) -> Result<(Sender<'b>, Receiver<'b>)> {
        if self.bus.channels.is_out(ch) {
            return Err(Error::State);
        }
        let storage = Storage::allocate(storage_of(&config)?);
        let mut raw = ptr::null_mut();
        // SAFETY: [control], by &mut; the storage is so long and nobody else's; ring memory is the mapper's, or as its maker
        // has promised, for 'm, which is longer than this end lives. After an error the storage is ours.
        check(unsafe {
            sys::vmb_host_attach(self.raw(), ch.0, storage.base(), storage.bytes(), &config, &mut raw)
        })?;
        let raw = NonNull::new(raw).ok_or(Error::Invalid)?;
        // SAFETY: just made, of this handle; the end lives for 'b, and `detach` and `detach_lost` are all that gives it back.
        Ok(unsafe { self.bus.channels.made(ch, raw, storage) })
    }

    /// Gives a channel back. [`EventKind::Closed`](crate::EventKind::Closed) follows.
    ///
    /// ```compile_fail,E0382
    /// # fn f<'b, P: vmbus::HostPlatform>(
    /// #     host: &mut vmbus::Host<'b, '_, P>, mut tx: vmbus::Sender<'b>, rx: vmbus::Receiver<'b>) {
    /// host.detach(tx, rx).unwrap();
    /// tx.flush().unwrap(); // of a half that was given back
    /// # }
    /// ```
    pub fn detach(
        &mut self,
        tx: Sender<'b>,
        rx: Receiver<'b>,
    ) -> core::result::Result<Handle, NotDetached<'b>> {
        let Some(ch) = self.bus.channels.of_halves(&tx, &rx) else {
            return Err(NotDetached { error: Error::Invalid, halves: (tx, rx) });
        };
        // SAFETY: [control], by &mut; both halves of the channel are here, and go nowhere.
        match check(unsafe { sys::vmb_host_detach(self.raw(), ch.0) }) {
            Ok(_) => {
                self.bus.channels.returned(ch);
                Ok(ch)
            }
            Err(error) => Err(NotDetached { error, halves: (tx, rx) }),
        }
    }

    /// A channel that is closed, for a last look, until the handle is attached again or gone.
    pub fn closed(&mut self, ch: Handle) -> Option<Closed<'_>> {
        self.bus.channels.closed(ch)
    }

    /// Answers a question otherwise: 0, or why not. [`Error::NotFound`]: late or twice, harmless.
    pub fn answer(&mut self, question: &Event, status: i32) -> Result<()> {
        // SAFETY: [control], by &mut. A channel that is attached is not given back by this.
        check(unsafe { sys::vmb_host_answer(self.raw(), &question.0, status) }).map(drop)
    }

    /// What a socket's question asks.
    pub fn hvsock(&mut self, question: &Event) -> Result<sys::vmb_hvsock> {
        let mut socket = sys::vmb_hvsock::default();
        // SAFETY: [control], by &mut.
        check(unsafe { sys::vmb_host_hvsock(self.raw(), &question.0, &mut socket) })?;
        Ok(socket)
    }

    /// What is known of a GPADL.
    pub fn gpadl_info(&mut self, ch: Handle, gpadl: u32) -> Result<sys::vmb_gpadl_info> {
        let size = size_of::<sys::vmb_gpadl_info>() as u32;
        let mut info = sys::vmb_gpadl_info { size, ..Default::default() };
        // SAFETY: [control], by &mut.
        check(unsafe { sys::vmb_host_gpadl_info(self.raw(), ch.0, gpadl, &mut info) })?;
        Ok(info)
    }

    /// Copies the list of a GPADL and holds it, until as many releases. [`Error::TooSmall`]: too few words.
    pub fn gpadl_hold<'w>(&mut self, ch: Handle, gpadl: u32, words: &'w mut [u64]) -> Result<List<'w>> {
        let mut list = sys::vmb_list::default();
        let max = u32::try_from(words.len()).unwrap_or(u32::MAX);
        // SAFETY: [control], by &mut; so many words are there.
        check(unsafe {
            sys::vmb_host_gpadl_hold(self.raw(), ch.0, gpadl, words.as_mut_ptr(), max, &mut list)
        })?;
        // SAFETY: checked by the library when it was created, and copied into words, which are lent for 'w.
        Ok(unsafe { List::from_raw(list) })
    }

    /// Gives one hold back.
    pub fn gpadl_release(&mut self, ch: Handle, gpadl: u32) -> Result<()> {
        // SAFETY: [control], by &mut.
        check(unsafe { sys::vmb_host_gpadl_release(self.raw(), ch.0, gpadl) }).map(drop)
    }

    /// Who uses these pages of the guest? One use per call, from cursor 0 on: a channel, and one of its GPADLs.
    pub fn users(&mut self, pfn: u64, pages: u64, cursor: &mut u32) -> Result<Option<(Handle, u32)>> {
        let (mut ch, mut gpadl) = (0, 0);
        // SAFETY: [control], by &mut.
        let r = check(unsafe { sys::vmb_host_users(self.raw(), pfn, pages, cursor, &mut ch, &mut gpadl) })?;
        Ok((r & sys::VMB_YES != 0).then_some((Handle(ch), gpadl)))
    }

    /// Lowers what the next contact may have; 0: as the config says.
    pub fn limit(&mut self, max_version: u32, features: u32) -> Result<()> {
        // SAFETY: [control], by &mut.
        check(unsafe { sys::vmb_host_limit(self.raw(), max_version, features) }).map(drop)
    }

    /// The VM is reset. [`EventKind::Reset`](crate::EventKind::Reset) follows when all channels and holds were given back.
    pub fn reset(&mut self) -> Result<()> {
        // SAFETY: [control], by &mut. What is attached is asked for by an event.
        check(unsafe { sys::vmb_host_reset(self.raw()) }).map(drop)
    }

    /// What the end counts.
    pub fn info(&mut self) -> Result<sys::vmb_bus_info> {
        let size = size_of::<sys::vmb_bus_info>() as u32;
        let mut info = sys::vmb_bus_info { size, ..Default::default() };
        // SAFETY: [control], by &mut.
        check(unsafe { sys::vmb_host_info(self.raw(), &mut info) })?;
        Ok(info)
    }

    /// One part of the end per call, from cursor 0 on: the connection, then channels, then GPADLs.
    pub fn snapshot(&mut self, cursor: &mut u32) -> Result<Option<sys::vmb_part>> {
        let size = size_of::<sys::vmb_part>() as u32;
        let mut part = sys::vmb_part { size, ..Default::default() };
        // SAFETY: [control], by &mut.
        let r = check(unsafe { sys::vmb_host_snapshot(self.raw(), cursor, &mut part) })?;
        Ok((r & sys::VMB_YES != 0).then_some(part))
    }

    /// Writes what this end knows of its guest, in `format`, 0 for the newest: how many bytes. With an empty buffer: how many it
    /// needs.
    ///
    /// # Safety
    ///
    /// No half of a channel of this end is used meanwhile.
    pub unsafe fn save(&mut self, format: u32, buffer: &mut [u8]) -> Result<usize> {
        let mut used = 0;
        let to = if buffer.is_empty() { ptr::null_mut() } else { buffer.as_mut_ptr() };
        // SAFETY: [control], by &mut; so many bytes are there; the device threads wait, as the caller says.
        check(unsafe { sys::vmb_host_save(self.raw(), format, to.cast(), buffer.len(), &mut used) })?;
        Ok(used)
    }

    /// Goes on from a saved state, after all devices were offered again.
    pub fn restore(&mut self, saved: &[u8]) -> Result<()> {
        // SAFETY: [control], by &mut; so many bytes are there, and are checked by the library.
        check(unsafe { sys::vmb_host_restore(self.raw(), saved.as_ptr().cast(), saved.len()) }).map(drop)
    }
}
