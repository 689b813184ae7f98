// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Both ends of a bus in one program: a hypervisor with an echo device, which inverts what it gets, and a guest that opens it,
//! sends it requests, and checks each answer, until the hypervisor takes the device away. Guest memory is a vector of pages,
//! hypercalls are queues, an interrupt is a flag that the loop looks at.

use std::cell::UnsafeCell;
use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Mutex;
use std::time::Instant;
use vmbus::{
    sys, Access, Error, EventKind, Guest, GuestBus, GuestConfig, GuestInterrupts, GuestPlatform, GuestRings,
    Guid, Handle, Host, HostBus, HostConfig, HostPlatform, HostSignals, Mapper, Offer, Open, Options, Packet,
    Receiver, Result, Sender, SharedPages, Sint, Unmapped, PAGE,
};

const REQUESTS: u64 = 200_000;
const DEPTH: u32 = 64;
/// The first page of the rings, and pages of each of the two.
const RINGS: usize = 16;
const RING_PAGES: u32 = 17;

#[repr(C, align(4096))]
struct Page(UnsafeCell<[u8; PAGE]>);

/// Page n is guest-physical page n. Page 1 has the slot for messages, page 2 the event flags.
struct Machine {
    ram: Vec<Page>,
    posts: Mutex<Vec<(u32, Vec<u8>)>>,
    signals: Mutex<Vec<(u32, u32)>>,
    interrupt: AtomicBool,
}

// SAFETY: the pages are touched by the library, as memory of a machine is.
unsafe impl Sync for Machine {}

impl Machine {
    fn page(&self, n: usize) -> NonNull<c_void> {
        NonNull::from(&self.ram[n].0).cast()
    }

    fn sint(&self) -> Sint<'_> {
        // SAFETY: the pages live as long as the machine, and are never under a reference.
        unsafe { Sint::new(self.page(1), self.page(2)) }
    }
}

// ---- the hypervisor

struct Hypervisor<'a>(&'a Machine);

// SAFETY: the pages live as long as the machine.
unsafe impl Mapper for Hypervisor<'_> {
    fn map(&self, pfns: &[u64], _: Access, pages: &mut [*mut c_void]) -> std::result::Result<(), Unmapped> {
        for (&pfn, page) in pfns.iter().zip(pages) {
            let at = usize::try_from(pfn).ok().and_then(|pfn| self.0.ram.get(pfn)).ok_or(Unmapped)?;
            *page = at.0.get().cast();
        }
        Ok(())
    }

    fn unmap(&self, _: &[u64], _: Access, _: &[*mut c_void]) {}
}

impl HostPlatform for Hypervisor<'_> {
    fn message(&self, _: u32, _: u32, _: u32, payload: &[u8]) -> Result<()> {
        // SAFETY: there is one host end, which does this one message at a time.
        unsafe { self.0.sint().post(payload) }?;
        self.0.interrupt.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn interrupt(&self, _: u32, _: u32, _: u32, flag: u32) {
        if self.0.sint().set(flag).is_ok_and(|raise| raise) {
            self.0.interrupt.store(true, Ordering::Relaxed);
        }
    }

    /// The loop looks at the device whenever it goes round.
    fn wake(&self, _: u64) {}
}

/// What the device's thread would do: take requests, invert the bytes, answer.
fn serve(tx: &mut Sender<'_>, rx: &mut Receiver<'_>) -> Result<()> {
    let mut buffer = [0; 64];
    while let Some(mut packet) = rx.recv(&mut buffer)? {
        let answer: Vec<u8> = packet.payload().iter().map(|byte| !byte).collect();
        if let Some(transaction) = packet.transaction() {
            tx.put(&Packet::completion(transaction.id(), &answer))?;
        }
    }
    tx.flush() // all answers, one signal
}

// ---- the guest

struct Kernel<'a>(&'a Machine);

impl GuestPlatform for Kernel<'_> {
    fn post(&self, connection: u32, payload: &[u8]) -> u16 {
        self.0.posts.lock().unwrap().push((connection, payload.to_vec()));
        0
    }

    fn signal(&self, connection: u32, flag: u32) {
        self.0.signals.lock().unwrap().push((connection, flag));
    }

    fn wake(&self, _: u64) {}
}

/// What the driver's thread would do: check each answer, and keep requests in flight. `sent` and `answered` count them.
fn drive(tx: &mut Sender<'_>, rx: &mut Receiver<'_>, sent: &mut u64, answered: &mut u64) -> Result<()> {
    let mut buffer = [0; 64];
    while let Some(packet) = rx.recv(&mut buffer)? {
        assert_eq!(packet.payload(), [!(packet.user() as u8); 64], "the device inverts");
        *answered += 1;
    }
    while *sent < REQUESTS {
        match tx.put(&Packet::in_band(&[*sent as u8; 64]).wants_reply().with_user(*sent)) {
            Ok(_) => *sent += 1,
            Err(Error::Full | Error::NoSlot) => break,
            Err(error) => return Err(error),
        }
    }
    tx.flush()
}

// ---- the world

struct World<'b, 'm> {
    machine: &'m Machine,
    host: Host<'b, 'm, Hypervisor<'m>>,
    signals: HostSignals<'b>,
    guest: Guest<'b, 'm, Kernel<'m>>,
    interrupts: GuestInterrupts<'b>,
    device: Option<(Sender<'b>, Receiver<'b>)>,
    driver: Option<(Sender<'b>, Receiver<'b>)>,
    sent: u64,
    answered: u64,
    left: bool,
}

impl World<'_, '_> {
    /// Hypercalls and interrupts that wait.
    fn deliver(&mut self) -> Result<bool> {
        let posts = std::mem::take(&mut *self.machine.posts.lock().unwrap());
        let signals = std::mem::take(&mut *self.machine.signals.lock().unwrap());
        let mut any = !posts.is_empty() || !signals.is_empty();
        for (connection, payload) in posts {
            let head = [connection, 0, 1, payload.len() as u32];
            let input: Vec<u8> = head.iter().flat_map(|word| word.to_le_bytes()).chain(payload).collect();
            assert_eq!(self.host.post(&input)?, sys::VMB_HV_SUCCESS);
        }
        for (connection, flag) in signals {
            self.signals.signal(connection, flag);
        }
        if self.machine.interrupt.swap(false, Ordering::Relaxed) {
            let sint = self.machine.sint();
            self.interrupts.interrupt(&sint)?;
            loop {
                let slot = self.guest.slot(&sint)?;
                if slot.eom {
                    self.host.eom(0)?;
                }
                if !slot.message {
                    break;
                }
            }
            any = true;
        }
        Ok(any)
    }

    fn guest_event(&mut self, kind: EventKind, ch: Option<Handle>) -> Result<()> {
        match (kind, ch) {
            (EventKind::Connected, _) => {
                let version = self.guest.info()?.version;
                println!("guest   is connected, protocol version {}.{}", version >> 16, version & 0xffff);
            }
            (EventKind::Offer, Some(ch)) => {
                println!(
                    "guest   is offered a device of class {}, and opens it",
                    self.guest.offer(ch)?.class()
                );
                let options = Options { requests: DEPTH, ..Options::default() };
                // SAFETY: the pages live as long as the machine, are never under a reference, and are for this one channel.
                let rings = unsafe {
                    let base = self.machine.page(RINGS);
                    GuestRings::contiguous(base, RING_PAGES, RING_PAGES, (RINGS * PAGE) as u64)
                };
                self.driver = Some(self.guest.open(ch, &Open { options, ..Open::default() }, rings)?);
            }
            (EventKind::Rescinded, Some(ch)) => {
                println!("guest   is told that the device is gone, and gives the channel back");
                if let Some((tx, rx)) = self.driver.take() {
                    self.guest.close(tx, rx).map_err(|refused| refused.error)?;
                }
                self.guest.release(ch)?;
            }
            (EventKind::Gone, _) => self.guest.disconnect()?,
            (EventKind::Disconnected, _) => self.left = true,
            _ => {}
        }
        Ok(())
    }

    fn host_event(&mut self, kind: EventKind, ch: Option<Handle>) -> Result<()> {
        match (kind, ch) {
            (EventKind::Open, Some(ch)) => self.device = Some(self.host.attach(ch, &Options::default())?),
            (EventKind::Close, _) => {
                if let Some((tx, rx)) = self.device.take() {
                    self.host.detach(tx, rx).map_err(|refused| refused.error)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Lets both ends do what is due, and with each channel what its thread would do.
    fn turn(&mut self) -> Result<bool> {
        let mut any = self.deliver()?;
        while let Some(event) = self.guest.poll(0)?.event {
            event.status()?;
            self.guest_event(event.kind(), event.channel())?;
            any = true;
        }
        while let Some(event) = self.host.poll(0)?.event {
            self.host_event(event.kind(), event.channel())?;
            any = true;
        }
        for (halves, is_driver) in [(&mut self.driver, true), (&mut self.device, false)] {
            let Some((tx, rx)) = halves else { continue };
            let done =
                if is_driver { drive(tx, rx, &mut self.sent, &mut self.answered) } else { serve(tx, rx) };
            match done {
                Ok(()) | Err(Error::Stopped) => {} // an event says what next
                Err(error) => return Err(error),
            }
        }
        Ok(any)
    }

    fn turn_until_idle(&mut self) -> Result<()> {
        while self.turn()? {}
        Ok(())
    }
}

fn main() -> Result<()> {
    let machine = Machine {
        ram: (0..64).map(|_| Page([0; PAGE].into())).collect(),
        posts: Mutex::default(),
        signals: Mutex::default(),
        interrupt: AtomicBool::new(false),
    };
    let (hypervisor, kernel) = (Hypervisor(&machine), Kernel(&machine));
    let config = HostConfig { vps: 1, ..HostConfig::default() };
    let mut host_bus = HostBus::new(&config, SharedPages::NONE, &hypervisor)?;
    let mut guest_bus = GuestBus::new(&GuestConfig::default(), SharedPages::NONE, &kernel)?;
    let ((mut host, signals), (mut guest, interrupts)) = (host_bus.split(), guest_bus.split());

    let class: Guid = "11111111-2222-3333-4444-555555555555".parse()?;
    let echo = host.offer(&Offer::new(class, Guid::new([3; 16])))?;
    guest.connect()?;
    let (machine, device, driver) = (&machine, None, None);
    let (sent, answered, left) = (0, 0, false);
    let mut world = World { machine, host, signals, guest, interrupts, device, driver, sent, answered, left };
    let start = Instant::now();
    world.turn_until_idle()?;
    println!(
        "guest   {} requests, {} answers, each as it should be, in {:?}",
        world.sent,
        world.answered,
        start.elapsed()
    );
    println!("host    takes the device away");
    world.host.remove(echo)?;
    world.turn_until_idle()?;
    assert!(world.answered == REQUESTS && world.left);
    println!("guest   has left; both ends are done");
    Ok(())
}
