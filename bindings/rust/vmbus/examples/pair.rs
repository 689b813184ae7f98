// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! A guest, or its hypervisor, as a process of its own. `make test-bindings` starts two, which may be written in different
//! languages, and hands them what they share: descriptor 3 is the guest's memory, 4 a socket for hypercalls, 5 an eventfd that
//! is the guest's interrupt line.
//!
//!     pair guest N
//!     pair host N
//!
//! One device; the guest opens it and has N requests answered; the host takes it away, and offers it anew once the guest has
//! let go of it; N / 10 more; the guest closes the channel and unloads. Every byte is checked.

use std::error::Error as AnyError;
use std::ffi::{c_int, c_void};
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{FromRawFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use vmbus::{
    sys, Access, Error, Event, EventKind, Guest, GuestBus, GuestConfig, GuestInterrupts, GuestPlatform,
    GuestRings, Guid, Handle, Host, HostBus, HostConfig, HostPlatform, HostSignals, Incoming, Kind, Mapper,
    Offer, Open, Options, Packet, Receiver, Sender, SharedPages, Sint, Transaction, Unmapped, PAGE,
};

type Done<T = ()> = Result<T, Box<dyn AnyError>>;

const CLASS: &str = "6ac83d8f-6e16-4e5c-ab3d-fd8c8c2fda1b";
const INSTANCE: &str = "5d8c1ba0-0f5f-4a3f-9c0b-3a9b1f3f7e11";
const RAM_PAGES: usize = 1024;
/// Page frames of the guest: the message page, the event flags, the rings.
const SIMP: usize = 1;
const SIEFP: usize = 2;
const RINGS: usize = 16;
const SINT: usize = 2;
const RING_PAGES: u32 = 17;
const DEPTH: u32 = 64;
/// Hypercalls: four words, then what HvPostMessage has for input.
const CALL_BYTES: usize = 16 + 256;
const POST: u32 = 0;
const SIGNAL: u32 = 1;
const EOM: u32 = 2;

extern "C" {
    fn mmap(at: *mut c_void, bytes: usize, prot: c_int, flags: c_int, fd: RawFd, offset: i64) -> *mut c_void;
}

/// The guest's memory. It stays mapped.
struct Ram(NonNull<c_void>);

// SAFETY: the pages are touched by the library, as memory of a machine is, and never under a reference.
unsafe impl Sync for Ram {}

impl Ram {
    fn map() -> Done<Self> {
        // SAFETY: a new mapping, readable and writable (3) and shared (1), of the memory that this process was started with.
        let at = unsafe { mmap(ptr::null_mut(), RAM_PAGES * PAGE, 3, 1, 3, 0) };
        match NonNull::new(at).filter(|at| at.as_ptr() as isize != -1) {
            Some(at) => Ok(Self(at)),
            None => Err("no guest memory".into()),
        }
    }

    fn at(&self, pfn: usize, offset: usize) -> NonNull<c_void> {
        assert!(pfn < RAM_PAGES && offset < PAGE);
        // SAFETY: it is within the mapping.
        unsafe { self.0.byte_add(pfn * PAGE + offset) }
    }

    fn sint(&self) -> Sint<'_> {
        // SAFETY: 256 bytes each, of a mapping that stays.
        unsafe { Sint::new(self.at(SIMP, SINT * 256), self.at(SIEFP, SINT * 256)) }
    }
}

/// What there was in both parts of a life, and what there is to be: requests.
struct Count {
    done: [u64; 2],
    plan: [u64; 2],
    part: usize,
}

impl Count {
    fn next(&self) -> u64 {
        self.done[self.part]
    }

    fn complete(&self) -> bool {
        self.done[self.part] == self.plan[self.part]
    }

    fn wrong(&self, what: &str) -> Box<dyn AnyError> {
        format!("part {}, transaction {}: {what}", self.part, self.next()).into()
    }

    /// Is that what was to come? A ring has zeros behind it, up to a multiple of 8.
    fn compare(&self, packet: &Incoming<'_>, mut expected: Vec<u8>) -> Done {
        expected.resize(expected.len().next_multiple_of(8), 0);
        if packet.payload().len() != expected.len() {
            return Err(self.wrong("wrong length"));
        }
        if packet.payload() != expected {
            return Err(self.wrong("wrong bytes"));
        }
        Ok(())
    }
}

fn request(s: u64) -> Vec<u8> {
    let rest = (8..8 + s % 57).map(|i| (s + 7 * i) as u8);
    s.to_le_bytes().into_iter().chain(rest).collect()
}

fn completion(s: u64) -> Vec<u8> {
    let request = request(s);
    let rest = request[8..].iter().map(|byte| byte ^ 0x5a);
    (!s).to_le_bytes().into_iter().chain(rest).collect()
}

/// The halves of the channel, while it is open.
type Halves<'b> = Option<(Sender<'b>, Receiver<'b>)>;

// ---- the guest

struct Kernel {
    socket: UnixDatagram,
    woken: AtomicBool,
}

impl Kernel {
    fn call(&self, words: [u32; 4], input: &[u8]) -> std::io::Result<usize> {
        let mut call: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        call.extend(input);
        call.resize(CALL_BYTES, 0);
        self.socket.send(&call)
    }
}

impl GuestPlatform for Kernel {
    fn post(&self, connection: u32, payload: &[u8]) -> u16 {
        let head = [connection, 0, 1, payload.len() as u32];
        let mut input: Vec<u8> = head.iter().flat_map(|word| word.to_le_bytes()).collect();
        input.extend(payload);
        let mut status = [0; 4];
        let answered = self.call([POST, 0, 0, 0], &input).and_then(|_| self.socket.recv(&mut status));
        if answered.is_ok_and(|n| n == 4) {
            i32::from_ne_bytes(status) as u16
        } else {
            sys::VMB_HV_INVALID_PARAMETER as u16
        }
    }

    fn signal(&self, connection: u32, flag: u32) {
        let _ = self.call([SIGNAL, connection, flag, 0], &[]);
    }

    fn wake(&self, _: u64) {
        self.woken.store(true, Ordering::Relaxed);
    }
}

struct GuestSide<'b, 'm> {
    ram: &'m Ram,
    kernel: &'m Kernel,
    guest: Guest<'b, 'm, Kernel>,
    halves: Halves<'b>,
    count: Count,
    sent: u64,
    opened: bool,
    over: bool,
    rescinds: u32,
    closes: u32,
}

impl GuestSide<'_, '_> {
    fn newest(&mut self) -> Done {
        if Some(self.guest.info()?.version) == vmbus::versions().last() {
            Ok(())
        } else {
            Err("not the newest version".into())
        }
    }

    fn event(&mut self, event: &Event) -> Done {
        event.status()?;
        match (event.kind(), event.channel()) {
            (EventKind::Connected, _) => self.newest()?,
            (EventKind::Offer, Some(ch)) => self.open(ch)?,
            (EventKind::Opened, _) => {
                self.opened = true;
                self.kernel.woken.store(true, Ordering::Relaxed);
            }
            (EventKind::Rescinded, Some(ch)) => {
                if self.count.part == 0 && !self.count.complete() {
                    return Err(self.count.wrong("rescinded too early"));
                }
                self.rescinds += u32::from(self.count.part == 0);
                self.close()?;
                self.guest.release(ch)?;
            }
            (EventKind::Closed, _) => {
                self.closes += 1;
                if self.closes == 2 {
                    self.guest.disconnect()?;
                }
            }
            (EventKind::Gone, _) => (self.count.part, self.sent) = (1, 0),
            (EventKind::Disconnected, _) => self.over = true,
            _ => {}
        }
        Ok(())
    }

    fn open(&mut self, ch: Handle) -> Done {
        let offer = self.guest.offer(ch)?;
        if (offer.class(), offer.instance()) != (CLASS.parse::<Guid>()?, INSTANCE.parse()?) {
            return Err("another device was offered".into());
        }
        if self.halves.is_some() || self.rescinds as usize != self.count.part {
            return Err("an offer too many".into());
        }
        let options = Options { requests: DEPTH, ..Options::default() };
        // SAFETY: these pages are for the rings of this one channel: one is open at a time.
        let rings = unsafe {
            GuestRings::contiguous(self.ram.at(RINGS, 0), RING_PAGES, RING_PAGES, (RINGS * PAGE) as u64)
        };
        self.halves = Some(self.guest.open(ch, &Open { options, ..Open::default() }, rings)?);
        Ok(())
    }

    fn close(&mut self) -> Done {
        self.opened = false;
        if let Some((tx, rx)) = self.halves.take() {
            self.guest.close(tx, rx).map_err(|refused| refused.error)?;
        }
        Ok(())
    }

    /// All answers that are there, and as many requests as fit.
    fn drive(&mut self) -> Done {
        let Some((tx, rx)) = &mut self.halves else { return Ok(()) };
        let mut buffer = [0; 64];
        loop {
            match rx.recv(&mut buffer) {
                Ok(Some(packet)) => {
                    let next = self.count.next();
                    if packet.kind() != Kind::Completion || packet.user() != next {
                        return Err(self.count.wrong("wrong packet"));
                    }
                    self.count.compare(&packet, completion(next))?;
                    self.count.done[self.count.part] += 1;
                }
                Ok(None) => break,
                Err(Error::Stopped) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        while self.sent < self.count.plan[self.count.part] {
            match tx.put(&Packet::in_band(&request(self.sent)).wants_reply().with_user(self.sent)) {
                Ok(_) => self.sent += 1,
                // A wake or an answer will come.
                Err(Error::Full | Error::NoSlot | Error::Stopped) => break,
                Err(error) => return Err(error.into()),
            }
        }
        match tx.flush() {
            Ok(()) | Err(Error::Stopped) => {}
            Err(error) => return Err(error.into()),
        }
        if self.count.part == 1 && self.count.complete() {
            self.close()?;
        }
        Ok(())
    }

    fn control(&mut self) -> Done {
        loop {
            let slot = self.guest.slot(&self.ram.sint())?;
            if slot.eom {
                // A host that has ended does not mind.
                let _ = self.kernel.call([EOM, 0, 0, 0], &[]);
            }
            if !slot.message {
                break;
            }
        }
        while let Some(event) = self.guest.poll(0)?.event {
            self.event(&event)?;
        }
        Ok(())
    }

    fn run(&mut self, interrupts: &GuestInterrupts<'_>, line: &mut File) -> Done {
        self.guest.connect()?;
        self.control()?;
        while !self.over {
            line.read_exact(&mut [0; 8])?;
            interrupts.interrupt(&self.ram.sint())?;
            self.control()?;
            while self.opened && self.kernel.woken.swap(false, Ordering::Relaxed) {
                self.drive()?;
                self.control()?;
            }
        }
        if self.rescinds != 1 || self.closes != 2 {
            return Err("it has ended too early".into());
        }
        Ok(())
    }
}

// ---- the host

struct Hypervisor {
    ram: Ram,
    line: File,
    woken: AtomicBool,
}

impl Hypervisor {
    fn raise(&self) {
        (&self.line).write_all(&1_u64.to_ne_bytes()).expect("the guest's interrupt line");
    }
}

// SAFETY: the guest's memory stays mapped, and is never under a reference.
unsafe impl Mapper for Hypervisor {
    fn map(&self, pfns: &[u64], _: Access, pages: &mut [*mut c_void]) -> Result<(), Unmapped> {
        for (&pfn, page) in pfns.iter().zip(pages) {
            let pfn = usize::try_from(pfn).ok().filter(|&pfn| pfn < RAM_PAGES).ok_or(Unmapped)?;
            *page = self.ram.at(pfn, 0).as_ptr();
        }
        Ok(())
    }

    fn unmap(&self, _: &[u64], _: Access, _: &[*mut c_void]) {}
}

impl HostPlatform for Hypervisor {
    fn message(&self, _: u32, _: u32, _: u32, payload: &[u8]) -> vmbus::Result<()> {
        // SAFETY: there is one host end, which does this one message at a time.
        unsafe { self.ram.sint().post(payload) }?;
        self.raise();
        Ok(())
    }

    fn interrupt(&self, _: u32, _: u32, _: u32, flag: u32) {
        if self.ram.sint().set(flag).is_ok_and(|raise| raise) {
            self.raise();
        }
    }

    fn wake(&self, _: u64) {
        self.woken.store(true, Ordering::Relaxed);
    }
}

struct HostSide<'b, 'm> {
    hypervisor: &'m Hypervisor,
    host: Host<'b, 'm, Hypervisor>,
    signals: HostSignals<'b>,
    device: Handle,
    halves: Halves<'b>,
    /// A completion that there was no room for.
    held: Option<Transaction>,
    count: Count,
    rescinds: u32,
    closes: u32,
    over: bool,
}

fn offer(host: &mut Host<'_, '_, Hypervisor>) -> Done<Handle> {
    Ok(host.offer(&Offer::new(CLASS.parse()?, INSTANCE.parse()?))?)
}

impl HostSide<'_, '_> {
    /// The completion of the next request. `false`: no room, a wake will come.
    fn answer(&mut self, transaction: Transaction) -> Done<bool> {
        let Some((tx, _)) = &mut self.halves else { return Ok(false) };
        match tx.put(&Packet::completion(transaction.id(), &completion(self.count.next()))) {
            Ok(_) => self.count.done[self.count.part] += 1,
            Err(Error::Full) => self.held = Some(transaction),
            Err(error) => return Err(error.into()),
        }
        Ok(self.held.is_none())
    }

    fn serve(&mut self) -> Done {
        let mut buffer = [0; 64];
        if let Some(transaction) = self.held.take() {
            if !self.answer(transaction)? {
                return Ok(());
            }
        }
        while let Some((tx, rx)) = &mut self.halves {
            match rx.recv(&mut buffer) {
                Ok(Some(mut packet)) => {
                    let transaction = packet.transaction().filter(|_| packet.kind() == Kind::InBand);
                    let (Some(transaction), false) = (transaction, self.count.complete()) else {
                        return Err(self.count.wrong("wrong packet"));
                    };
                    self.count.compare(&packet, request(self.count.next()))?;
                    if !self.answer(transaction)? {
                        break;
                    }
                }
                Ok(None) => match tx.flush() {
                    Ok(()) | Err(Error::Stopped) => break,
                    Err(error) => return Err(error.into()),
                },
                Err(Error::Stopped) => {
                    if let Some((tx, rx)) = self.halves.take() {
                        self.host.detach(tx, rx).map_err(|refused| refused.error)?;
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn event(&mut self, event: &Event) -> Done {
        match (event.kind(), event.channel()) {
            (EventKind::Open, Some(ch)) => self.halves = Some(self.host.attach(ch, &Options::default())?),
            (EventKind::Closed, _) => self.closes += 1,
            (EventKind::Gone, _) => {
                if self.rescinds == 0 || self.count.part == 1 {
                    return Err(self.count.wrong("the guest has let go of it"));
                }
                self.count.part = 1;
                self.device = offer(&mut self.host)?;
            }
            (EventKind::Disconnected, _) => self.over = true,
            _ => {}
        }
        Ok(())
    }

    /// All that is due.
    fn work(&mut self) -> Done {
        loop {
            let mut idle = !self.hypervisor.woken.swap(false, Ordering::Relaxed);
            self.serve()?;
            while let Some(event) = self.host.poll(0)?.event {
                self.event(&event)?;
                idle = false;
            }
            if idle {
                return Ok(());
            }
        }
    }

    fn hypercall(&mut self, socket: &UnixDatagram, call: &[u8; CALL_BYTES]) -> Done {
        let word = |i: usize| u32::from_ne_bytes([call[i], call[i + 1], call[i + 2], call[i + 3]]);
        match word(0) {
            // No if the channel has just ended.
            SIGNAL => drop(self.signals.signal(word(4), word(8))),
            EOM => self.host.eom(0)?,
            _ => {
                let status = self.host.post(&call[16..])?;
                socket.send(&status.to_ne_bytes())?;
            }
        }
        Ok(())
    }

    /// Has the guest read all answers? What it has not read when the device goes, it does not get.
    fn all_read(&self) -> Done<bool> {
        let Some((tx, _)) = &self.halves else { return Ok(false) };
        let ring = tx.info()?.tx;
        Ok(ring.r#in == ring.out)
    }

    fn run(&mut self, socket: &UnixDatagram) -> Done {
        let mut call = [0; CALL_BYTES];
        loop {
            let leaving = self.count.part == 0 && self.count.complete() && self.rescinds == 0;
            socket.set_read_timeout(leaving.then_some(Duration::from_millis(1)))?;
            match socket.recv(&mut call) {
                Ok(0) => break,
                Ok(_) => self.hypercall(socket, &call)?,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                // The guest has gone.
                Err(_) => break,
            }
            self.work()?;
            if leaving && self.all_read()? {
                self.rescinds = 1;
                self.host.remove(self.device)?;
                self.work()?;
            }
        }
        if !self.over || self.rescinds != 1 || self.closes != 2 {
            return Err("the guest has gone too early".into());
        }
        Ok(())
    }
}

fn main() -> Done {
    let mut arguments = std::env::args().skip(1);
    let (Some(side), Some(n)) = (arguments.next(), arguments.next()) else {
        return Err("usage: pair guest|host N".into());
    };
    let n: u64 = n.parse()?;
    let count = Count { done: [0; 2], plan: [n, n / 10], part: 0 };
    let ram = Ram::map()?;
    // SAFETY: this process was started with them, for this.
    let (socket, mut line) = unsafe { (UnixDatagram::from_raw_fd(4), File::from_raw_fd(5)) };
    let (halves, woken) = (None, AtomicBool::new(false));
    let count = if side == "guest" {
        let kernel = Kernel { socket, woken };
        let mut bus = GuestBus::new(&GuestConfig::default(), SharedPages::NONE, &kernel)?;
        let (guest, interrupts) = bus.split();
        let (ram, kernel, sent, opened, over, rescinds, closes) = (&ram, &kernel, 0, false, false, 0, 0);
        let mut side = GuestSide { ram, kernel, guest, halves, count, sent, opened, over, rescinds, closes };
        side.run(&interrupts, &mut line)?;
        side.count
    } else {
        let hypervisor = Hypervisor { ram, line, woken };
        let config = HostConfig { vps: 1, ..HostConfig::default() };
        let mut bus = HostBus::new(&config, SharedPages::NONE, &hypervisor)?;
        let (mut host, signals) = bus.split();
        let device = offer(&mut host)?;
        let (hypervisor, held, rescinds, closes, over) = (&hypervisor, None, 0, 0, false);
        let mut side =
            HostSide { hypervisor, host, signals, device, halves, held, count, rescinds, closes, over };
        side.run(&socket)?;
        side.count
    };
    if count.done != count.plan {
        return Err(count.wrong("it has ended too early"));
    }
    println!(
        "Rust {side}: {} transactions, rescinded, offered anew, {} more, closed, unloaded",
        count.done[0], count.done[1]
    );
    Ok(())
}
