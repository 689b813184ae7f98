// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Both ends of a bus in one process, with a machine of pages, queues and one SINT between them.
#![cfg(feature = "alloc")]

use std::cell::UnsafeCell;
use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::Mutex;
use std::thread;
use vmbus::{
    build_list, sys, Access, DeviceClass, Error, Event, EventKind, Guest, GuestBus, GuestConfig,
    GuestInterrupts, GuestPlatform, GuestRings, Guid, Handle, Host, HostBus, HostConfig, HostPlatform,
    HostSignals, Incoming, Kind, List, Mapper, Offer, Open, Options, Packet, Piece, Receiver, Sender,
    SharedPages, Sint, Unmapped, PAGE,
};

const CLASS: &str = "11111111-2222-3333-4444-555555555555";
const PAGES: usize = 64;
const RING: usize = 16; // the first page of the rings

#[repr(C, align(4096))]
struct Page(UnsafeCell<[u8; PAGE]>);

/// Page n is guest-physical page n. Page 1 holds the message slot, page 2 the event flags.
struct Machine {
    ram: Vec<Page>,
    posts: Mutex<Vec<(u32, Vec<u8>)>>,
    signals: Mutex<Vec<(u32, u32)>>,
    interrupt: AtomicBool,
    traced: AtomicU32,
    wakes: [AtomicU32; 2],
    mapped: AtomicU32,
}

// SAFETY: the pages are touched by the library, as memory of a machine is.
unsafe impl Sync for Machine {}

impl Machine {
    fn new() -> Self {
        Self {
            ram: (0..PAGES).map(|_| Page([0; PAGE].into())).collect(),
            posts: Mutex::default(),
            signals: Mutex::default(),
            interrupt: AtomicBool::new(false),
            traced: AtomicU32::new(0),
            wakes: Default::default(),
            mapped: AtomicU32::new(0),
        }
    }

    fn page(&self, n: usize) -> NonNull<c_void> {
        NonNull::new(self.ram[n].0.get()).unwrap().cast()
    }

    fn sint(&self) -> Sint<'_> {
        // SAFETY: the pages live as long as the machine, and are never under a reference.
        unsafe { Sint::new(self.page(1), self.page(2)) }
    }

    fn rings(&self) -> GuestRings<'_> {
        // SAFETY: the same; the tests open one channel at a time with them.
        unsafe { GuestRings::contiguous(self.page(RING), 4, 4, (RING * PAGE) as u64) }
    }
}

struct Hypervisor<'a>(&'a Machine);

// SAFETY: the pages live as long as the machine.
unsafe impl Mapper for Hypervisor<'_> {
    fn map(&self, pfns: &[u64], _: Access, pages: &mut [*mut c_void]) -> Result<(), Unmapped> {
        for (&pfn, page) in pfns.iter().zip(pages) {
            *page = self.0.ram.get(usize::try_from(pfn).unwrap()).ok_or(Unmapped)?.0.get().cast();
        }
        self.0.mapped.fetch_add(pfns.len() as u32, Ordering::Relaxed);
        Ok(())
    }

    fn unmap(&self, pfns: &[u64], _: Access, _: &[*mut c_void]) {
        self.0.mapped.fetch_sub(pfns.len() as u32, Ordering::Relaxed);
    }
}

impl HostPlatform for Hypervisor<'_> {
    const TRACE: bool = true;

    fn message(&self, _: u32, _: u32, _: u32, payload: &[u8]) -> vmbus::Result<()> {
        // SAFETY: there is one host end, which does this one message at a time.
        unsafe { self.0.sint().post(payload) }?;
        self.0.interrupt.store(true, Ordering::Release);
        Ok(())
    }

    fn interrupt(&self, _: u32, _: u32, _: u32, flag: u32) {
        if self.0.sint().set(flag).unwrap() {
            self.0.interrupt.store(true, Ordering::Release);
        }
    }

    fn wake(&self, user: u64) {
        assert_eq!(user, 77);
        self.0.wakes[0].fetch_add(1, Ordering::Relaxed);
    }

    fn trace(&self, what: &sys::vmb_trace) {
        assert_ne!(what.point, 0);
        self.0.traced.fetch_add(1, Ordering::Relaxed);
    }
}

struct Kernel<'a>(&'a Machine);

impl GuestPlatform for Kernel<'_> {
    fn post(&self, connection: u32, payload: &[u8]) -> u16 {
        self.0.posts.lock().unwrap().push((connection, payload.to_vec()));
        0
    }

    fn signal(&self, connection: u32, flag: u32) {
        self.0.signals.lock().unwrap().push((connection, flag));
    }

    fn wake(&self, user: u64) {
        assert_eq!(user, 88);
        self.0.wakes[1].fetch_add(1, Ordering::Relaxed);
    }
}

type TheHost<'b, 'm> = Host<'b, 'm, Hypervisor<'m>>;
type TheGuest<'b, 'm> = Guest<'b, 'm, Kernel<'m>>;

/// Both ends, and what they have told.
struct World<'b, 'm> {
    machine: &'m Machine,
    host: TheHost<'b, 'm>,
    guest: TheGuest<'b, 'm>,
    signals: HostSignals<'b>,
    interrupts: GuestInterrupts<'b>,
    told: Vec<(bool, Event)>,
}

impl World<'_, '_> {
    /// Lets both ends do what is due, until nothing is.
    fn settle(&mut self) {
        loop {
            let mut any = false;
            for (connection, payload) in std::mem::take(&mut *self.machine.posts.lock().unwrap()) {
                let mut input: Vec<u8> = [connection, 0, 1, payload.len() as u32]
                    .iter()
                    .flat_map(|word| word.to_le_bytes())
                    .collect();
                input.extend(&payload);
                assert_eq!(self.host.post(&input).unwrap(), sys::VMB_HV_SUCCESS);
                any = true;
            }
            for (connection, flag) in std::mem::take(&mut *self.machine.signals.lock().unwrap()) {
                assert_eq!(self.signals.signal(connection, flag), sys::VMB_HV_SUCCESS);
                any = true;
            }
            if self.machine.interrupt.swap(false, Ordering::Acquire) {
                let sint = self.machine.sint();
                self.interrupts.interrupt(&sint).unwrap();
                loop {
                    let slot = self.guest.slot(&sint).unwrap();
                    if slot.eom {
                        self.host.eom(0).unwrap();
                    }
                    if !slot.message {
                        break;
                    }
                }
                any = true;
            }
            while let Some(event) = self.guest.poll(0).unwrap().event {
                self.told.push((false, event));
                any = true;
            }
            while let Some(event) = self.host.poll(0).unwrap().event {
                self.told.push((true, event));
                any = true;
            }
            if !any {
                return;
            }
        }
    }

    /// The one event of this kind that an end has told.
    fn take(&mut self, host: bool, kind: EventKind) -> Event {
        self.settle();
        let at = self.told.iter().position(|(of, event)| *of == host && event.kind() == kind);
        let at = at.unwrap_or_else(|| panic!("no {kind:?} of {host} in {:?}", self.told));
        self.told.remove(at).1
    }

    fn connect(&mut self) -> (Handle, Handle) {
        let offer = Offer::new(CLASS.parse().unwrap(), Guid::new([7; 16])).with_user(77);
        let device = self.host.offer(&offer).unwrap();
        self.guest.connect().unwrap();
        self.take(false, EventKind::Connected).status().unwrap();
        let ch = self.take(false, EventKind::Offer).channel().unwrap();
        assert_eq!(self.guest.offer(ch).unwrap().instance(), Guid::new([7; 16]));
        (device, ch)
    }
}

fn world(test: impl FnOnce(&mut World<'_, '_>)) {
    let machine = Machine::new();
    let (hypervisor, kernel) = (Hypervisor(&machine), Kernel(&machine));
    let config = HostConfig { vps: 1, ..HostConfig::default() };
    let mut host_bus = HostBus::new(&config, SharedPages::NONE, &hypervisor).unwrap();
    let mut guest_bus = GuestBus::new(&GuestConfig::default(), SharedPages::NONE, &kernel).unwrap();
    let ((host, signals), (guest, interrupts)) = (host_bus.split(), guest_bus.split());
    test(&mut World { machine: &machine, host, guest, signals, interrupts, told: Vec::new() });
    drop((host_bus, guest_bus));
    assert_eq!(machine.mapped.load(Ordering::Relaxed), 0, "all was unmapped");
}

fn eight() -> Open {
    Open { options: Options { requests: 8, ..Options::default() }, user: 88, ..Open::default() }
}

/// What the device's thread does: inverts the bytes. `None`: stopped.
fn serve(tx: &mut Sender<'_>, rx: &mut Receiver<'_>) -> Option<u64> {
    let (mut buffer, mut n) = ([0; 64], 0);
    loop {
        match rx.recv(&mut buffer) {
            Ok(Some(mut packet)) => {
                let answer: Vec<u8> = packet.payload().iter().map(|byte| !byte).collect();
                tx.complete(packet.transaction().unwrap(), &answer).unwrap();
                n += 1;
            }
            Ok(None) => return Some(n),
            Err(error) => {
                assert_eq!(error, Error::Stopped);
                return None;
            }
        }
    }
}

fn answered(packet: &Incoming<'_>) {
    assert_eq!((packet.kind(), packet.payload()[0]), (Kind::Completion, !(packet.user() as u8)));
}

#[test]
fn a_whole_life() {
    world(|w| {
        let (device, ch) = w.connect();
        let (mut tx, mut rx) = w.guest.open(ch, &eight(), w.machine.rings()).unwrap();
        assert_eq!(w.guest.open(ch, &eight(), w.machine.rings()).unwrap_err(), Error::State);
        let question = w.take(true, EventKind::Open);
        assert!(question.asks() && question.user() == 77 && question.channel() == Some(device));
        assert_eq!(w.host.open_info(device).unwrap().ring_pages, 8);
        let (mut dev_tx, mut dev_rx) = w.host.attach(device, &Options::default()).unwrap();
        w.take(false, EventKind::Opened).status().unwrap();
        assert_eq!(w.host.answer(&question, 0), Err(Error::NotFound), "it has been answered");

        let mut buffer = [0; 64];
        let mut done = 0;
        for user in 0..1000_u64 {
            if user % 8 != 3 {
                tx.put(&Packet::in_band(&[user as u8; 24]).wants_reply().with_user(user)).unwrap();
                continue;
            }
            tx.flush().unwrap();
            w.settle();
            assert!(serve(&mut dev_tx, &mut dev_rx).unwrap() > 0);
            while let Some(packet) = rx.recv(&mut buffer).unwrap() {
                answered(&packet);
                done += 1;
            }
        }
        assert_eq!(done, 871, "all but the 4 that were not flushed");
        let left = tx.send(&Packet::in_band(&[0; 8]).wants_reply().with_user(1000)).unwrap();

        w.host.remove(device).unwrap();
        w.take(true, EventKind::Close);
        w.settle();
        assert_eq!(serve(&mut dev_tx, &mut dev_rx), None);
        assert_eq!(w.host.detach(dev_tx, dev_rx).unwrap(), device);
        w.take(true, EventKind::Closed);
        assert_eq!(w.host.closed(device).unwrap().info().unwrap().received, 871);
        w.take(false, EventKind::Rescinded);
        assert_eq!(tx.send(&Packet::in_band(&[])), Err(Error::Stopped));
        assert_eq!(w.guest.release(ch), Err(Error::State), "its halves are out");
        assert!(w.guest.closed(ch).is_none());
        w.guest.close(tx, rx).unwrap();
        w.take(false, EventKind::Closed).status().unwrap();
        let requests: Vec<_> = w.guest.closed(ch).unwrap().outstanding().collect();
        assert!(requests.iter().any(|request| request.id == left && request.user == 1000));
        w.guest.release(ch).unwrap();
        w.take(false, EventKind::Gone);
        assert_eq!(w.guest.release(ch), Err(Error::Handle));
        w.take(true, EventKind::Gone);
        w.guest.disconnect().unwrap();
        w.take(false, EventKind::Disconnected);
        w.take(true, EventKind::Disconnected);
        assert!(w.machine.traced.load(Ordering::Relaxed) > 10);
        assert!(w.machine.wakes.iter().all(|wakes| wakes.load(Ordering::Relaxed) > 0));
    });
}

#[test]
fn halves_go_to_threads_and_come_back() {
    world(|w| {
        let (device, ch) = w.connect();
        let (tx, rx) = w.guest.open(ch, &eight(), w.machine.rings()).unwrap();
        w.take(true, EventKind::Open);
        let (dev_tx, dev_rx) = w.host.attach(device, &Options::default()).unwrap();
        w.take(false, EventKind::Opened);
        const N: u64 = 5000;
        let (guest, host) = thread::scope(|scope| {
            let host = scope.spawn(move || {
                let (mut tx, mut rx, mut n) = (dev_tx, dev_rx, 0);
                while n < N {
                    n += serve(&mut tx, &mut rx).unwrap();
                    thread::yield_now();
                }
                (tx, rx)
            });
            let guest = scope.spawn(move || {
                let (mut tx, mut rx, mut sent, mut done, mut buffer) = (tx, rx, 0_u64, 0, [0; 64]);
                while done < N {
                    while sent < N
                        && tx.send(&Packet::in_band(&[sent as u8; 16]).wants_reply().with_user(sent)).is_ok()
                    {
                        sent += 1;
                    }
                    while let Some(packet) = rx.recv(&mut buffer).unwrap() {
                        answered(&packet);
                        done += 1;
                    }
                    thread::yield_now();
                }
                (tx, rx)
            });
            (guest.join().unwrap(), host.join().unwrap())
        });
        // Halves of the other end's channel are none of this one's.
        let refused = w.host.detach(guest.0, guest.1).unwrap_err();
        assert_eq!(refused.error, Error::Invalid);
        let (tx, rx) = refused.halves;
        w.guest.close(tx, rx).unwrap();
        w.take(true, EventKind::Close);
        w.host.detach(host.0, host.1).unwrap();
        w.take(false, EventKind::Closed).status().unwrap();

        // And once more, on the same handles.
        let (mut tx, rx) = w.guest.open(ch, &eight(), w.machine.rings()).unwrap();
        w.take(true, EventKind::Open);
        let (mut dev_tx, mut dev_rx) = w.host.attach(device, &Options::default()).unwrap();
        tx.send(&Packet::in_band(&[1; 8]).wants_reply()).unwrap();
        assert_eq!(serve(&mut dev_tx, &mut dev_rx), Some(1));
        w.guest.close(tx, rx).unwrap();
    });
}

#[test]
fn a_channel_is_made_again_when_it_is_over_and_not_before() {
    world(|w| {
        let (device, ch) = w.connect();
        let (tx, rx) = w.guest.open(ch, &eight(), w.machine.rings()).unwrap();
        let question = w.take(true, EventKind::Open);
        let (dev_tx, dev_rx) = w.host.attach(device, &Options::default()).unwrap();
        w.take(false, EventKind::Opened);
        w.guest.close(tx, rx).unwrap();
        assert!(w.guest.closed(ch).is_none());
        // Its storage is the library's until the event has been told.
        assert_eq!(w.guest.open(ch, &eight(), w.machine.rings()).unwrap_err(), Error::State);
        let close = w.take(true, EventKind::Close);
        assert_eq!(w.host.answer(&close, 0), Err(Error::State), "its halves are out");
        assert_eq!(w.host.answer(&question, 0), Err(Error::NotFound));
        w.host.detach(dev_tx, dev_rx).unwrap();
        assert_eq!(w.host.answer(&close, 0), Err(Error::NotFound));
        assert!(w.host.attach(device, &Options::default()).is_err());
        w.take(true, EventKind::Closed);
        assert!(w.host.attach(device, &Options::default()).is_err(), "nobody has it open");
        w.take(false, EventKind::Closed);
        let (mut tx, rx) = w.guest.open(ch, &eight(), w.machine.rings()).unwrap();
        w.take(true, EventKind::Open);
        let (mut dev_tx, mut dev_rx) = w.host.attach(device, &Options::default()).unwrap();
        tx.send(&Packet::in_band(&[1; 8]).wants_reply()).unwrap();
        assert_eq!(serve(&mut dev_tx, &mut dev_rx), Some(1));
        w.guest.close(tx, rx).unwrap();
        // The host's halves are lost.
    });
}

#[test]
fn lost_halves_are_given_back_by_the_bus() {
    let machine = Machine::new();
    let (hypervisor, kernel) = (Hypervisor(&machine), Kernel(&machine));
    let mut host_bus = HostBus::new(&HostConfig::default(), SharedPages::NONE, &hypervisor).unwrap();
    let mut guest_bus = GuestBus::new(&GuestConfig::default(), SharedPages::NONE, &kernel).unwrap();
    let device = {
        let ((host, signals), (guest, interrupts)) = (host_bus.split(), guest_bus.split());
        let mut w = World { machine: &machine, host, guest, signals, interrupts, told: Vec::new() };
        let (device, ch) = w.connect();
        let _lost = w.guest.open(ch, &eight(), machine.rings()).unwrap();
        w.take(true, EventKind::Open);
        let _lost_too = w.host.attach(device, &Options::default()).unwrap();
        assert_eq!(w.host.attach(device, &Options::default()).unwrap_err(), Error::State);
        device
    };
    assert_ne!(machine.mapped.load(Ordering::Relaxed), 0);
    let (mut host, _) = host_bus.split();
    assert_eq!(machine.mapped.load(Ordering::Relaxed), 0);
    let event = host.poll(0).unwrap().event.unwrap();
    assert_eq!((event.kind(), event.channel()), (EventKind::Closed, Some(device)));
    // The guest has it open still: the device goes on.
    let (mut tx, mut rx) = host.attach(device, &Options::default()).unwrap();
    assert_eq!(serve(&mut tx, &mut rx), Some(0));
}

#[test]
fn memory_is_named_and_held() {
    world(|w| {
        let (device, ch) = w.connect();
        let (tx, rx) = w.guest.open(ch, &eight(), w.machine.rings()).unwrap();
        w.take(true, EventKind::Open);
        let (dev_tx, dev_rx) = w.host.attach(device, &Options::default()).unwrap();
        w.take(false, EventKind::Opened);

        let mut words = [0; 8];
        let list = build_list(&[Piece::new(0x28000, 0x2000)], 4096, Some, &mut words).unwrap();
        // SAFETY: pages 40 and 41 of the machine are nobody's.
        let gpadl = unsafe { w.guest.gpadl_create(ch, &list) }.unwrap();
        assert_eq!(w.take(false, EventKind::Gpadl).gpadl(), gpadl);
        assert_eq!(w.host.gpadl_info(device, gpadl).unwrap().bytes, 0x2000);
        let mut copy = [0; 8];
        let held: List<'_> = w.host.gpadl_hold(device, gpadl, &mut copy).unwrap();
        held.write(&Hypervisor(w.machine), 0x0ffc, b"over two").unwrap();
        assert!(held.equals(&Hypervisor(w.machine), 0x1000, b"two").is_ok());
        let mut cursor = 0;
        assert_eq!(w.host.users(40, 1, &mut cursor).unwrap(), Some((device, gpadl)));
        assert_eq!(w.host.users(40, 1, &mut cursor).unwrap(), None);
        w.guest.gpadl_destroy(gpadl).unwrap();
        let question = w.take(true, EventKind::GpadlDown);
        assert!(question.asks());
        w.host.gpadl_release(device, gpadl).unwrap();
        assert_eq!(w.host.gpadl_release(device, gpadl), Err(Error::NotFound));
        w.take(false, EventKind::GpadlDown).status().unwrap();
        w.host.detach(dev_tx, dev_rx).unwrap();
        w.guest.close(tx, rx).unwrap();
    });
}

#[test]
fn an_open_can_be_refused() {
    world(|w| {
        let (device, ch) = w.connect();
        let (tx, rx) = w.guest.open(ch, &eight(), w.machine.rings()).unwrap();
        let question = w.take(true, EventKind::Open);
        w.host.answer(&question, 5).unwrap();
        let opened = w.take(false, EventKind::Opened);
        assert_eq!((opened.status(), opened.peer_status()), (Err(Error::Refused), 5));
        assert_eq!(w.host.attach(device, &Options::default()).unwrap_err(), Error::State);
        w.guest.close(tx, rx).unwrap();
        w.take(false, EventKind::Closed);
    });
}

#[test]
fn ends_can_be_looked_at_and_saved() {
    world(|w| {
        let (device, _) = w.connect();
        let info = w.host.info().unwrap();
        assert_eq!((info.version, info.channels), (w.guest.info().unwrap().version, 1));
        let (mut cursor, mut kinds) = (0, Vec::new());
        while let Some(part) = w.host.snapshot(&mut cursor).unwrap() {
            kinds.push(part.kind);
        }
        assert_eq!(kinds, [sys::VMB_PART_CONNECTION, sys::VMB_PART_CHANNEL]);
        let mut cursor = 0;
        assert_eq!(w.guest.snapshot(&mut cursor).unwrap().unwrap().kind, sys::VMB_PART_CONNECTION);
        // A cursor is the caller's to change.
        for cursor in [64, 65, 193, 256, 257, 321, 1 << 16, u32::MAX - 1, u32::MAX] {
            assert!(w.host.snapshot(&mut { cursor }).unwrap().is_none(), "{cursor}");
            assert!(w.guest.snapshot(&mut { cursor }).unwrap().is_none(), "{cursor}");
            assert_eq!(w.host.users(0, u64::MAX, &mut { cursor }), Ok(None));
            assert_eq!(w.guest.targets(0, &mut { cursor }), Ok(None));
        }

        // SAFETY: there are no halves.
        let size = unsafe { w.host.save(0, &mut []) }.unwrap();
        let mut blob = vec![0; size];
        // SAFETY: the same.
        unsafe {
            assert_eq!(w.host.save(0, &mut blob[1..]), Err(Error::TooSmall));
            assert_eq!(w.host.save(0, &mut blob), Ok(size));
        }
        assert_eq!(w.host.restore(&blob), Err(Error::State));
        let platform = Hypervisor(w.machine);
        let mut bus =
            HostBus::new(&HostConfig { vps: 1, ..HostConfig::default() }, SharedPages::NONE, &platform)
                .unwrap();
        let (mut host, _) = bus.split();
        host.offer(&Offer::new(CLASS.parse().unwrap(), Guid::new([7; 16])).with_user(77)).unwrap();
        assert_eq!(host.restore(&blob[..size - 1]), Err(Error::Invalid));
        host.restore(&blob).unwrap();
        let event = host.poll(0).unwrap().event.unwrap();
        assert_eq!((event.kind(), event.restored()), (EventKind::Connected, true));
        w.host.reset().unwrap();
        w.take(true, EventKind::Reset);
        w.host.limit(sys::VMB_V4_0, 0).unwrap();
        w.host.remove(device).unwrap();
    });
}

#[test]
fn names_and_classes() {
    let classes: Vec<_> = DeviceClass::all().collect();
    assert!(classes.len() >= 15);
    assert!(classes.iter().all(|class| DeviceClass::find(class.guid()).unwrap().name() == class.name()));
    assert_eq!("not a GUID".parse::<Guid>(), Err(Error::Invalid));
    assert_eq!(vmbus::versions().last(), Some(sys::VMB_V6_0));
    assert_eq!(vmbus::message_name(0xffff), "?");
    assert_eq!(vmbus::name(sys::VMB_NAMES_STATE, sys::VMB_STATE_OPENING), "opening");
    let socket = sys::vmb_hvsock {
        service: sys::vmb_guid { byte: Guid::of_port(5000).bytes() },
        ..Default::default()
    };
    let offer = Offer::socket(&socket).unwrap();
    assert_eq!(offer.to_socket().unwrap().service.byte, socket.service.byte);
    assert_eq!(Offer::new(Guid::default(), Guid::default()).to_socket().unwrap_err(), Error::NotFound);
}
