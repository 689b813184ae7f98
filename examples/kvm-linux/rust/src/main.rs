// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The host-end process of a real guest in Rust, over the safe crate: a bus with one device, the heartbeat.
//!
//! usage: rust-hostend BEATS OPENS
//!
//! At the end the guest must have opened the channel OPENS times, and answered BEATS heartbeats at least, each with the right
//! number; and after each reset nothing of it may be left.
//!
//! The main thread takes the VMM's packets and has the control side. Each open channel has a thread, which gets the two halves and
//! gives them back when it ends.
#![deny(unsafe_op_in_unsafe_fn)]
#![warn(clippy::undocumented_unsafe_blocks)]

mod heartbeat;
mod link;

use heartbeat::{Bell, Served};
use link::{Link, Told};
use std::ffi::c_void;
use std::process::{self, ExitCode};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};
use vmbus::{
    sys, Access, Error, Event, EventKind, Guid, Handle, Host, HostBus, HostConfig, HostPlatform, HostSignals, Mapper, Offer,
    Options, SharedPages, Sint, Unmapped, PAGE,
};

/// VMBus's.
const SINT: u32 = 2;
/// An event that no packet has led to is seen so much later.
const TICK: Duration = Duration::from_millis(100);

type Failure = Box<dyn std::error::Error>;

/// What the library needs of the VMM.
struct Machine {
    link: Link,
    /// Of each VP, while its SynIC is on.
    synic: Mutex<Vec<Option<Sint<'static>>>>,
    mapped: AtomicUsize,
    bell: Bell,
}

impl Machine {
    fn sint(&self, vp: u32, sint: u32) -> Option<Sint<'static>> {
        let all = self.synic.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(vp as usize).copied().flatten().filter(|_| sint == SINT)
    }

    fn set_sint(&self, vp: u32, sint: Option<Sint<'static>>) {
        let mut all = self.synic.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = all.get_mut(vp as usize) {
            *slot = sint;
        }
    }

    /// The slot and the flags of VMBus's SINT, if they are on.
    fn find_sint(&self, scontrol: u64, simp: u64, siefp: u64) -> Option<Sint<'static>> {
        if scontrol & simp & siefp & 1 == 0 {
            return None;
        }
        let at = SINT as usize * 256;
        let [slot, flags] = [simp, siefp].map(|register| self.link.page(register & !0xfff).map(|page| page.cast::<u8>()));
        let (slot, flags) = (slot?, flags?);
        // SAFETY: 256 bytes each, within a page of guest memory, which is never unmapped, and which nothing here makes a reference to.
        Some(unsafe { Sint::new(slot.add(at).cast(), flags.add(at).cast()) })
    }
}

// SAFETY: the pages lie in guest memory: aligned, never unmapped, and nothing here makes a reference to them.
unsafe impl Mapper for Machine {
    fn map(&self, pfns: &[u64], _: Access, pages: &mut [*mut c_void]) -> Result<(), Unmapped> {
        for (&pfn, page) in pfns.iter().zip(pages) {
            let gpa = pfn.checked_mul(PAGE as u64).ok_or(Unmapped)?;
            *page = self.link.page(gpa).ok_or(Unmapped)?.as_ptr();
        }
        self.mapped.fetch_add(pfns.len(), Ordering::Relaxed);
        Ok(())
    }

    fn unmap(&self, pfns: &[u64], _: Access, _: &[*mut c_void]) {
        self.mapped.fetch_sub(pfns.len(), Ordering::Relaxed);
    }
}

impl HostPlatform for Machine {
    fn message(&self, vp: u32, _: u32, sint: u32, payload: &[u8]) -> vmbus::Result<()> {
        let slot = self.sint(vp, sint).ok_or(Error::Again)?;
        // SAFETY: there is one host end in this process, which delivers one message at a time.
        unsafe { slot.post(payload) }?;
        self.link.raise(vp, sint);
        Ok(())
    }

    fn interrupt(&self, vp: u32, _: u32, sint: u32, flag: u32) {
        if self.sint(vp, sint).is_some_and(|flags| flags.set(flag) == Ok(true)) {
            self.link.raise(vp, sint);
        }
    }

    fn wake(&self, _: u64) {
        self.bell.ring();
    }
}

/// What was seen, for the verdict.
#[derive(Default)]
struct Seen {
    opens: u64,
    sent: u64,
    answered: u64,
    wrong: u64,
    /// Ends of the device's thread for another reason than that the channel was asked for.
    broken: u64,
    /// Signals to a connection that there is not.
    unknown_signals: u64,
    resets: u64,
    clean_resets: u64,
    failed_checks: u64,
}

impl Seen {
    fn check(&mut self, ok: bool, text: &str) {
        eprintln!("VMB-{}: {text}", if ok { "PASS" } else { "FAIL" });
        self.failed_checks += u64::from(!ok);
    }
}

/// The main thread, while the bus is there.
struct Main<'scope, 'env, 'b, 'm> {
    scope: &'scope Scope<'scope, 'env>,
    host: Host<'b, 'm, Machine>,
    machine: &'m Machine,
    device: Option<ScopedJoinHandle<'scope, Served<'b>>>,
    begin: Instant,
    seen: Seen,
}

impl<'scope, 'b: 'scope, 'm: 'scope> Main<'scope, '_, 'b, 'm> {
    fn run(&mut self, signals: HostSignals<'_>) -> Result<(), Failure> {
        loop {
            match self.machine.link.receive()? {
                None => {}
                Some(Told::Post { vp, input }) => {
                    let status = self.host.post(&input).unwrap_or(sys::VMB_HV_INVALID_PARAMETER);
                    self.machine.link.status(vp, status.unsigned_abs());
                }
                Some(Told::Signal { connection, flag }) => {
                    let status = signals.signal(connection, flag);
                    self.seen.unknown_signals += u64::from(status != sys::VMB_HV_SUCCESS);
                }
                Some(Told::Eom { vp }) => self.host.eom(vp)?,
                Some(Told::Synic { vp, scontrol, simp, siefp }) => {
                    self.machine.set_sint(vp, self.machine.find_sint(scontrol, simp, siefp));
                    self.host.eom(vp)?;
                }
                Some(Told::Reset) => {
                    self.reset()?;
                    self.machine.link.was_reset();
                }
                Some(Told::Off) => return self.reset(),
            }
            while let Some(event) = self.poll()? {
                self.take(&event)?;
            }
        }
    }

    fn poll(&mut self) -> vmbus::Result<Option<Event>> {
        let now = u64::try_from(self.begin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        Ok(self.host.poll(now)?.event)
    }

    fn take(&mut self, event: &Event) -> Result<(), Failure> {
        match (event.kind(), event.channel()) {
            (EventKind::Connected, _) => {
                let version = self.host.info()?.version;
                eprintln!("VMB-NOTE: guest connected, version {}.{}", version >> 16, version & 0xffff);
            }
            (EventKind::Open, Some(channel)) => self.open(channel),
            (EventKind::Close, Some(_)) => self.close()?,
            _ => {}
        }
        Ok(())
    }

    fn open(&mut self, channel: Handle) {
        match self.host.attach(channel, &Options::default()) {
            Ok((tx, rx)) => {
                let bell = &self.machine.bell;
                self.seen.opens += 1;
                self.device = Some(self.scope.spawn(move || heartbeat::serve(tx, rx, bell)));
            }
            Err(Error::Stopped) => {} // the guest has gone meanwhile
            Err(error) => eprintln!("attach: {error}"),
        }
    }

    /// The channel is asked for: the device's thread knows, and ends.
    fn close(&mut self) -> Result<(), Failure> {
        let Some(thread) = self.device.take() else { return Ok(()) };
        let Served { halves: (tx, rx), heartbeat, why } = thread.join().map_err(|_| "the device's thread panicked")?;
        self.seen.sent += heartbeat.sent;
        self.seen.answered += heartbeat.answered;
        self.seen.wrong += heartbeat.wrong;
        if why != Error::Stopped {
            eprintln!("heartbeat: {why}");
            self.seen.broken += 1;
        }
        if let Some((framework, version)) = heartbeat.agreed {
            let (sent, answered) = (heartbeat.sent, heartbeat.answered);
            eprintln!("VMB-NOTE: heartbeat {version} on {framework}: sent {sent}, answered {answered}");
        }
        self.host.detach(tx, rx).map_err(|refused| refused.error)?;
        Ok(())
    }

    /// The guest is reset or gone: have all of it given back, and look whether it was.
    fn reset(&mut self) -> Result<(), Failure> {
        self.host.reset()?;
        loop {
            match self.poll()? {
                Some(event) if event.kind() == EventKind::Reset => break,
                Some(event) => self.take(&event)?,
                None => thread::sleep(Duration::from_millis(1)),
            }
        }
        for vp in 0..self.machine.link.vps() {
            self.machine.set_sint(vp, None);
        }
        let info = self.host.info()?;
        let left = [info.attached, info.gpadls, info.gpadl_pages, info.queued];
        let mapped = self.machine.mapped.load(Ordering::Relaxed);
        self.seen.resets += 1;
        if (info.channels, left, mapped) == (1, [0; 4], 0) && self.device.is_none() {
            self.seen.clean_resets += 1;
        } else {
            eprintln!("left: {} channels, {left:?}, {mapped} pages mapped", info.channels);
        }
        Ok(())
    }

    fn verdict(mut self, beats: u64, opens: u64) -> bool {
        let Seen { opens: opened, sent, answered, wrong, broken, resets, clean_resets, .. } = self.seen;
        let seen = &mut self.seen;
        seen.check(
            opened == opens && broken == 0,
            &format!("the guest opened the channel {opened} times and closed it each time"),
        );
        seen.check(
            answered >= beats && wrong == 0 && sent - answered <= opened,
            &format!("of {sent} heartbeats {answered} were answered with the next number, {wrong} otherwise"),
        );
        seen.check(clean_resets == resets, &format!("after {clean_resets} of {resets} resets nothing of the guest was left"));
        seen.failed_checks == 0
    }
}

fn offer(host: &mut Host<'_, '_, Machine>) -> Result<(), Failure> {
    let mut instance = [0; 16];
    (instance[0], instance[8]) = (1, 0x76); // as hostend's first device; any number serves
    let mut offer = Offer::new(sys::VMB_CLASS_HEARTBEAT.to_str()?.parse()?, Guid::new(instance));
    offer.raw.flags = sys::VMB_OFFER_ENUMERATE | sys::VMB_OFFER_PIPE;
    offer.raw.user_defined[0] = 4; // a message pipe. devices.md 2.2
    host.offer(&offer)?;
    Ok(())
}

fn host(beats: u64, opens: u64) -> Result<bool, Failure> {
    let link = Link::open(TICK)?;
    let synic = Mutex::new(vec![None; link.vps() as usize]);
    let config = HostConfig { vps: link.vps(), ..HostConfig::default() };
    let machine = Machine { link, synic, mapped: AtomicUsize::new(0), bell: Bell::default() };
    let mut bus = HostBus::new(&config, SharedPages::NONE, &machine)?;
    let (mut host, signals) = bus.split();
    offer(&mut host)?;
    thread::scope(|scope| {
        let (machine, begin, seen) = (&machine, Instant::now(), Seen::default());
        let mut main = Main { scope, host, machine, device: None, begin, seen };
        if let Err(error) = main.run(signals) {
            // Nobody will ask for the channel, and so its thread would never end.
            eprintln!("rust-hostend: {error}");
            process::exit(2);
        }
        Ok(main.verdict(beats, opens))
    })
}

fn main() -> ExitCode {
    let mut numbers = std::env::args().skip(1).map_while(|word| word.parse().ok());
    let (Some(beats), Some(opens), None) = (numbers.next(), numbers.next(), numbers.next()) else {
        eprintln!("usage: rust-hostend BEATS OPENS");
        return ExitCode::from(2);
    };
    match host(beats, opens) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("rust-hostend: {error}");
            ExitCode::from(2)
        }
    }
}
