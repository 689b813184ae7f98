// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! What a careless owner and a lying peer can do without `unsafe`: none of it may touch memory that it must not.
#![cfg(feature = "alloc")]

use std::cell::UnsafeCell;
use std::ffi::c_void;
use std::mem::{forget, MaybeUninit};
use std::ptr::NonNull;
use std::sync::Mutex;
use vmbus::{
    sys, Access, Channel, Error, Incoming, Kind, Mapper, Notify, Options, Packet, Receiver, RingBuffer,
    RingFlags, RingMemory, Rings, Rx, Sender, Silent, Span, Tx, Unmapped, PAGE,
};

/// The host's halves, and the guest's receiving one: used from within the other end's calls.
static HOST: Mutex<Option<(Sender<'static>, Receiver<'static>)>> = Mutex::new(None);
static GUEST: Mutex<Option<(Receiver<'static>, u64)>> = Mutex::new(None);

/// The guest signals: the host answers at once, on the guest's stack.
struct ToHost;

impl Notify for ToHost {
    fn signal(&self) {
        let Ok(mut host) = HOST.try_lock() else { return };
        let (tx, rx) = host.as_mut().unwrap();
        let mut buffer = [0; 64];
        while let Some(mut packet) = rx.recv(&mut buffer).unwrap() {
            tx.complete(packet.transaction().unwrap(), packet.payload()).unwrap();
        }
    }
}

/// The host signals: the guest takes the answer, within its own call that has asked.
struct ToGuest;

impl Notify for ToGuest {
    fn signal(&self) {
        let Ok(mut guest) = GUEST.try_lock() else { return };
        let (rx, done) = guest.as_mut().unwrap();
        let mut buffer = [0; 64];
        while let Some(packet) = rx.recv(&mut buffer).unwrap() {
            assert_eq!((packet.user(), packet.payload()), (*done, &done.to_ne_bytes()[..]));
            *done += 1;
        }
    }
}

/// For as long as the process lives; and known to somebody, so that it does not count as leaked.
fn keep<T>(value: T) -> &'static mut T {
    static KEPT: Mutex<Vec<usize>> = Mutex::new(Vec::new());
    let kept = Box::leak(Box::new(value));
    KEPT.lock().unwrap().push(std::ptr::from_mut(kept) as usize);
    kept
}

#[test]
fn callbacks_may_come_back_by_other_halves() {
    let rings = || keep(RingBuffer::new(1).unwrap()).halves();
    let ((there_tx, there_rx), (back_tx, back_rx)) = (rings(), rings());
    let options = Options { requests: 4, ..Options::default() };
    let guest = Channel::new(&options, Rings::new(there_tx, back_rx), &ToHost).unwrap();
    let host = Channel::new(&Options::default(), Rings::new(back_tx, there_rx), &ToGuest).unwrap();
    let (mut tx, rx, _) = keep(guest).split();
    let (host_tx, host_rx, _) = keep(host).split();
    *GUEST.lock().unwrap() = Some((rx, 0));
    *HOST.lock().unwrap() = Some((host_tx, host_rx));
    ToHost.signal(); // both go to sleep, and so will be signalled
    ToGuest.signal();
    for n in 0..1000_u64 {
        tx.send(&Packet::in_band(&n.to_ne_bytes()).wants_reply().with_user(n)).unwrap();
        assert_eq!(GUEST.lock().unwrap().as_ref().unwrap().1, n + 1);
    }
}

#[test]
fn what_was_forgotten_is_not_touched_any_more() {
    let mut ring = RingBuffer::new(1).unwrap();
    let mut storage: [Room; 2] = std::array::from_fn(|_| Room([MaybeUninit::uninit(); 4096]));
    for _ in 0..3 {
        let (tx, rx) = ring.halves();
        let [for_tx, for_rx] = &mut storage;
        let mut tx = Tx::new_in(&mut for_tx.0, tx, None).unwrap();
        let mut batch = tx.batch();
        batch.put(&Packet::in_band(b"never...")).unwrap();
        forget(batch);
        assert!(tx.put(&Packet::in_band(b"for once")).is_ok());
        forget(tx.reserve(&Packet::in_band(b""), 8).unwrap());
        forget(tx);
        let mut rx = Rx::new_in(&mut for_rx.0, rx, None).unwrap();
        let mut buffer = [0; 8];
        assert_eq!(rx.get(&mut buffer).unwrap().unwrap().payload(), b"for once");
        assert!(rx.get(&mut buffer).unwrap().is_none());
        let _ = rx.release().unwrap();
        forget(rx);
        storage.iter_mut().for_each(|room| room.0.fill(MaybeUninit::new(0xff)));
    }
    let mut back = RingBuffer::new(1).unwrap();
    let ((tx, _), (_, rx)) = (ring.halves(), back.halves());
    let rings = Rings::new(tx, rx);
    let mut channel = Channel::new_in(&mut storage[0].0, &Options::default(), rings, &Silent).unwrap();
    let (mut tx, _, remote) = channel.split();
    tx.put(&Packet::in_band(b"unseen..")).unwrap();
    remote.stop();
    assert_eq!(tx.flush(), Err(Error::Stopped));
    forget(channel);
    drop((ring, back, storage));
}

/// Storage to lend.
#[repr(C, align(64))]
struct Room([MaybeUninit<u8>; 4096]);

/// Reaches nothing.
struct Nowhere;

// SAFETY: it gives no page.
unsafe impl Mapper for Nowhere {
    fn map(&self, _: &[u64], _: Access, _: &mut [*mut c_void]) -> Result<(), Unmapped> {
        Err(Unmapped)
    }

    fn unmap(&self, _: &[u64], _: Access, _: &[*mut c_void]) {}
}

/// Looks at all that a copied packet has to say, and gives a sum of it, so that it is read.
fn look(packet: &Incoming<'_>) -> u64 {
    let mut sum: u64 = packet.payload().iter().map(|&byte| u64::from(byte)).sum();
    if let Some(list) = packet.list() {
        sum += list
            .ranges()
            .map(|range| range.pfns.iter().fold(0, |all, pfn| all ^ pfn))
            .fold(0, |all, pfns| all ^ pfns)
            & 1;
    }
    if let Some((_, windows)) = packet.windows() {
        sum += windows.iter().fold(0, |all, window| all ^ window) & 1;
    }
    sum += packet.external_bytes() & 1;
    let mut bytes = [0; 8];
    let read = packet.read(packet.list().as_ref(), &Nowhere, 0, &mut bytes);
    assert!(read.is_err());
    sum
}

const KINDS: [u16; 4] = [sys::VMB_PKT_INBAND, sys::VMB_PKT_XFER, sys::VMB_PKT_GPA, sys::VMB_PKT_COMPLETION];

/// A ring that somebody else scribbles in.
#[repr(C, align(4096))]
struct Shared(UnsafeCell<[u32; 2 * PAGE / 4]>);

impl Shared {
    fn set(&self, word: usize, value: u32) {
        // SAFETY: within it; one thread uses it, and nobody has a reference.
        unsafe { self.0.get().cast::<u32>().add(word).write(value) };
    }

    /// Plausible packets: a descriptor of any kind and length every so often, few ranges, and noise.
    fn scribble(&self, random: &mut impl FnMut() -> u32) {
        for word in 0..PAGE / 4 {
            self.set(PAGE / 4 + word, if random() % 4 == 0 { random() } else { random() % 3 });
        }
        let mut at = 0;
        while at + 24 < PAGE as u32 {
            let kind = KINDS[random() as usize % KINDS.len()];
            let (head, total) = (2 + random() % 6, 2 + random() % 20);
            let word = PAGE / 4 + at as usize / 4;
            self.set(word, u32::from(kind) | head << 16);
            self.set(word + 1, total | (random() & 1) << 16);
            if kind == sys::VMB_PKT_GPA || kind == sys::VMB_PKT_XFER {
                self.set(word + 4, random() % 2);
                self.set(word + 5, 1 + random() % 2);
                self.set(word + 6, 1 + random() % 5000);
                self.set(word + 7, random() % 2);
            }
            at += total * 8 + 8;
        }
        self.set(0, at.min(PAGE as u32 - 8)); // In
        self.set(1, 0); // Out
    }
}

#[test]
fn a_peer_that_writes_anything_is_read_within_bounds() {
    let shared = Shared(UnsafeCell::new([0; 2 * PAGE / 4]));
    let control: NonNull<c_void> = NonNull::from(&shared.0).cast();
    let mut seed = 1_u64;
    let mut random = || {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (seed >> 33) as u32
    };
    let (mut seen, mut refused, mut lists) = (0, 0, 0);
    for round in 0..3000 {
        shared.scribble(&mut random);
        let flags = RingFlags { loose: round % 3 == 0, ..RingFlags::default() };
        // SAFETY: a control page and a data page, aligned, which outlive the half; no reference to them is made.
        let memory = unsafe { RingMemory::plain(control, control.byte_add(PAGE), 1, flags) };
        let Ok(mut rx) = Rx::new(memory, None) else { continue };
        let mut buffer = [0; 64];
        loop {
            if round % 2 == 0 {
                match rx.get(&mut buffer[..random() as usize % 64]) {
                    Ok(Some(packet)) => {
                        seen += look(&packet) & 1 | 1;
                        lists += u32::from(matches!(packet.kind(), Kind::Gpa | Kind::Transfer));
                    }
                    Ok(None) => break,
                    Err(Error::TooSmall) => {
                        assert!(rx.needed() <= PAGE);
                        if rx.needed() > size_of_val(&buffer) {
                            break;
                        }
                    }
                    Err(Error::Peer) => {
                        refused += 1;
                        break;
                    }
                    Err(error) => assert_eq!(error, Error::Invalid),
                }
                continue;
            }
            match rx.next() {
                Ok(Some(packet)) => {
                    let (mut bytes, mut words, mut spans) = ([0; 256], [0; 64], [Span::EMPTY; 3]);
                    let offset = random() as usize % 300;
                    let n = random() as usize % 256;
                    let fits = offset <= packet.len() && n <= packet.len() - offset;
                    assert_eq!(packet.read(offset, &mut bytes[..n]).is_ok(), fits);
                    if let Ok(list) = packet.list(&mut words) {
                        assert!(list.ranges().count() > 0);
                        lists += 1;
                    }
                    let _ = packet.windows(&mut words);
                    if let Ok(spans) = packet.spans(0, &mut spans) {
                        // SAFETY: where the library says that bytes lie.
                        let last =
                            spans.last().map(|span| unsafe { span.as_ptr().add(span.len() - 1).read() });
                        assert!(last.is_some() || packet.is_empty());
                    }
                    seen += 1;
                }
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(error, Error::Peer);
                    assert!(rx.violation().is_some());
                    refused += 1;
                    break;
                }
            }
        }
    }
    assert!(seen > 1000 && refused > 100 && lists > 100, "{seen} packets, {refused} refused, {lists} lists");
}
