// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The two halves of a ring, against each other and against memory that lies.
#![cfg(feature = "alloc")]

use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::thread;
use vmbus::{
    range_word, Cursor, Error, Kind, List, Packet, Part, RingBuffer, RingFlags, RingMemory, Rx, Span, Tx,
    PAGE,
};

#[repr(C, align(4096))]
struct Page([u8; PAGE]);

/// A control page and data pages, as another process would see them.
struct Shared(Vec<Page>);

impl Shared {
    fn new(data_pages: usize) -> Self {
        Self((0..=data_pages).map(|_| Page([0; PAGE])).collect())
    }

    fn pages(&mut self) -> Vec<NonNull<c_void>> {
        let base = self.0.as_mut_ptr();
        // SAFETY: within the allocation.
        (0..self.0.len()).map(|i| NonNull::new(unsafe { base.add(i) }).unwrap().cast()).collect()
    }
}

fn full_of(tx: &mut Tx<'_>, packet: &Packet<'_>) -> usize {
    let mut n = 0;
    loop {
        match tx.put(packet) {
            Ok(_) => n += 1,
            Err(error) => {
                assert_eq!(error, Error::Full);
                return n;
            }
        }
    }
}

#[test]
fn packets_come_out_as_they_were_put() {
    let mut ring = RingBuffer::new(3).unwrap();
    let (tx, rx) = ring.halves();
    let (mut tx, mut rx) = (Tx::new(tx, None).unwrap(), Rx::new(rx, None).unwrap());
    let payload: Vec<u8> = (0..64).collect();
    for round in 0..1000_u64 {
        let packet = Packet::in_band(&payload).with_id(round).wants_reply();
        assert_eq!(tx.put(&packet).unwrap().needed(), round == 0 || round % 3 == 0, "round {round}");
        let got = rx.next().unwrap().unwrap();
        assert_eq!((got.kind(), got.id(), got.wants_reply(), got.len()), (Kind::InBand, round, true, 64));
        let mut copy = [0; 64];
        got.read(0, &mut copy).unwrap();
        assert_eq!(copy[..], payload[..]);
        assert_eq!(got.read(60, &mut [0; 8]), Err(Error::Invalid));
        assert_eq!(got.read(usize::MAX, &mut []), Err(Error::Invalid));
        if round % 3 == 2 {
            let sleep = rx.sleep().unwrap();
            assert!(!sleep.more && !sleep.signal.needed());
        } else {
            assert!(!rx.release().unwrap().needed());
        }
    }
    assert!(rx.next().unwrap().is_none());
}

#[test]
fn a_batch_is_all_or_nothing() {
    let mut ring = RingBuffer::new(1).unwrap();
    let (tx, rx) = ring.halves();
    let (mut tx, mut rx) = (Tx::new(tx, None).unwrap(), Rx::new(rx, None).unwrap());

    let mut batch = tx.batch();
    batch.put(&Packet::in_band(b"dropped.")).unwrap();
    drop(batch);
    assert!(rx.next().unwrap().is_none());
    let mut batch = tx.batch();
    batch.put(&Packet::in_band(b"forgot..")).unwrap();
    std::mem::forget(batch);

    let mut batch = tx.batch();
    batch.put(&Packet::in_band(b"first...")).unwrap();
    batch
        .put_parts(&Packet::completion(7, &[]), &[Part::new(b"sec"), Part::new(b""), Part::new(b"ond..")])
        .unwrap();
    batch
        .put_with(&Packet::in_band(&[]), 16, |room| {
            room.write(8, b" in place")?;
            Ok(())
        })
        .unwrap_err();
    batch.put(&Packet::in_band(b"again...")).unwrap();
    batch.put_with(&Packet::in_band(&[]), 8, |room| room.write(0, b"in place")).unwrap();
    assert!(batch.commit().unwrap().needed());

    let mut texts = Vec::new();
    while let Some(packet) = rx.next().unwrap() {
        let mut text = [0; 8];
        packet.read(0, &mut text).unwrap();
        texts.push(text);
    }
    assert_eq!(texts, [*b"again...", *b"in place"]);
}

#[test]
fn a_panic_in_fill_forgets_the_batch() {
    let mut ring = RingBuffer::new(1).unwrap();
    let (tx, rx) = ring.halves();
    let (mut tx, mut rx) = (Tx::new(tx, None).unwrap(), Rx::new(rx, None).unwrap());
    let mut batch = tx.batch();
    batch.put(&Packet::in_band(b"before..")).unwrap();
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _ = batch.put_with(&Packet::in_band(&[]), 8, |_| panic!("on purpose"));
    }));
    assert!(caught.is_err());
    assert!(!batch.commit().unwrap().needed());
    assert!(rx.next().unwrap().is_none());
}

#[test]
fn a_reservation_aborts_when_dropped() {
    let mut ring = RingBuffer::new(1).unwrap();
    let (tx, rx) = ring.halves();
    let (mut tx, mut rx) = (Tx::new(tx, None).unwrap(), Rx::new(rx, None).unwrap());
    let before = tx.reserve(&Packet::in_band(&[]), 2000).unwrap();
    drop(before);
    std::mem::forget(tx.reserve(&Packet::in_band(&[]), 2000).unwrap());
    let mut room = tx.reserve(&Packet::in_band(&[]), 3000).unwrap();
    assert_eq!(room.len(), 3000);
    assert_eq!(room.write(2999, b"ab"), Err(Error::Invalid));
    let mut spans = [Span::EMPTY; 2];
    let spans = room.spans(0, &mut spans).unwrap();
    assert_eq!(spans.iter().map(Span::len).sum::<usize>(), 3000);
    // SAFETY: the room is reserved.
    unsafe { spans[0].as_ptr().write_bytes(7, spans[0].len()) };
    assert!(room.commit().unwrap().needed());
    let got = rx.next().unwrap().unwrap();
    let mut copy = [0; 3000];
    got.read(0, &mut copy).unwrap();
    assert_eq!(copy, [7; 3000]);
    let mut spans = [Span::EMPTY; 4];
    assert_eq!(got.spans(0, &mut spans).unwrap().iter().map(Span::len).sum::<usize>(), 3000);
}

#[test]
fn a_full_ring_signals_when_there_is_room() {
    let mut ring = RingBuffer::new(1).unwrap();
    let (tx, rx) = ring.halves();
    let (mut tx, mut rx) = (Tx::new(tx, None).unwrap(), Rx::new(rx, None).unwrap());
    let packet = Packet::in_band(&[1; 1000]);
    assert!(tx.arm(&packet, 0).unwrap(), "it fits already");
    let n = full_of(&mut tx, &packet);
    assert!(!tx.arm(&packet, 0).unwrap());
    for _ in 0..n {
        assert!(rx.next().unwrap().is_some());
    }
    assert!(rx.release().unwrap().needed());
    assert!(tx.put(&packet).is_ok());
    assert_eq!(tx.put(&Packet::in_band(&[0; 5000])), Err(Error::TooBig));
}

#[test]
fn lists_are_copied_and_checked() {
    let mut ring = RingBuffer::new(1).unwrap();
    let (tx, rx) = ring.halves();
    let (mut tx, mut rx) = (Tx::new(tx, None).unwrap(), Rx::new(rx, None).unwrap());
    let words = [range_word(8192, 0), 5, 6, range_word(1, 4095), 9];
    let list = List::new(&words, 2).unwrap();
    // SAFETY: nobody takes these for pages of ours.
    let packet = unsafe { Packet::gpa(list, b"payload.") };
    assert!(tx.put(&packet).unwrap().needed());
    let windows = [range_word(10, 20), range_word(30, 40)];
    assert!(!tx.put(&Packet::transfer(77, &windows, &[])).unwrap().needed());

    let got = rx.next().unwrap().unwrap();
    assert_eq!(got.list_words(), 5);
    assert_eq!(got.list(&mut [0; 4]).unwrap_err(), Error::TooSmall);
    let mut room = [0; 8];
    let copy = got.list(&mut room).unwrap();
    assert_eq!(copy.words(), words);
    assert_eq!(copy.bytes(), 8193);
    assert_eq!(copy.ranges().map(|range| range.pfns.len()).collect::<Vec<_>>(), [2, 1]);
    let mut text = [0; 8];
    got.read(0, &mut text).unwrap();
    assert_eq!(&text, b"payload.");
    assert_eq!(got.windows(&mut room).unwrap_err(), Error::NotFound);

    let got = rx.next().unwrap().unwrap();
    assert_eq!(got.windows(&mut room).unwrap(), (77, &windows[..]));
    assert_eq!(got.list(&mut room).unwrap_err(), Error::NotFound);
}

#[test]
fn lists_are_copied_with_their_packets() {
    let mut ring = RingBuffer::new(1).unwrap();
    let (tx, rx) = ring.halves();
    let (mut tx, mut rx) = (Tx::new(tx, None).unwrap(), Rx::new(rx, None).unwrap());
    let words = [range_word(8192, 0), 5, 6, range_word(1, 4095), 9];
    let list = List::new(&words, 2).unwrap();
    // SAFETY: nobody looks at the pages.
    let packet = unsafe { Packet::gpa(list, b"payload.") };
    let windows = [range_word(10, 20), range_word(30, 40)];
    assert!(tx.put(&packet).unwrap().needed());
    let _ = tx.put(&Packet::transfer(77, &windows, b"another.")).unwrap();

    let mut buffer = [0; 16];
    assert_eq!(rx.get(&mut buffer[..3]).unwrap_err(), Error::TooSmall);
    let needed = rx.needed() / 8;
    let got = rx.get(&mut buffer[..needed]).unwrap().unwrap();
    assert_eq!(got.list().unwrap().words(), words);
    assert_eq!((got.external_bytes(), got.payload()), (8193, &b"payload."[..]));
    let got = rx.get(&mut buffer).unwrap().unwrap();
    assert_eq!(got.windows().unwrap(), (77, &windows[..]));
    assert_eq!(got.payload(), b"another.");
    assert!(rx.get(&mut buffer).unwrap().is_none());
}

#[test]
fn a_copied_packet_whose_list_is_none_is_passed_over() {
    let mut ring = RingBuffer::new(1).unwrap();
    let (tx, rx) = ring.halves();
    let (mut tx, mut rx) = (Tx::new(tx, None).unwrap(), Rx::new(rx, None).unwrap());
    let words = [range_word(8192, 0), 5, 6];
    let list = List::new(&words, 1).unwrap();
    // SAFETY: nobody looks at the pages.
    let packet = unsafe { Packet::gpa(list, &[]) };
    let mut room = tx.reserve(&packet, 8).unwrap();
    room.write(0, b"payload.").unwrap();
    let mut header = [Span::EMPTY; 1];
    // The word that says how long the range is lies below the payload.
    let at = room.spans(0, &mut header).unwrap()[0].as_ptr();
    // SAFETY: in the ring, and nobody else's by now.
    unsafe { at.cast::<u64>().sub(3).write(0) };
    let _ = room.commit().unwrap();
    let _ = tx.put(&Packet::in_band(b"the next")).unwrap();
    let mut buffer = [0; 16];
    assert_eq!(rx.get(&mut buffer).unwrap_err(), Error::Invalid);
    assert_eq!(rx.get(&mut buffer).unwrap().unwrap().payload(), b"the next");
}

#[test]
fn room_refuses_what_is_beyond_it() {
    let mut ring = RingBuffer::new(1).unwrap();
    let (tx, rx) = ring.halves();
    let (mut tx, mut rx) = (Tx::new(tx, None).unwrap(), Rx::new(rx, None).unwrap());
    let mut spans = [Span::EMPTY; 2];
    for _ in 0..20 {
        // In a row, and around the ring's end.
        let mut room = tx.reserve(&Packet::in_band(&[]), 200).unwrap();
        assert_eq!(room.write(193, &[0; 8]), Err(Error::Invalid));
        assert_eq!(room.write(201, &[]), Err(Error::Invalid));
        assert_eq!(room.write(usize::MAX, &[0]), Err(Error::Invalid));
        assert!(room.write(192, &[0; 8]).is_ok() && room.write(200, &[]).is_ok());
        assert_eq!(room.spans(50, &mut spans).unwrap().iter().map(Span::len).sum::<usize>(), 150);
        assert!(
            room.spans(200, &mut spans).unwrap().is_empty() && room.spans(0, &mut []).unwrap().is_empty()
        );
        assert!(room.spans(201, &mut spans).is_err());
        let _ = room.commit().unwrap();
        assert_eq!(rx.get(&mut [0; 25]).unwrap().unwrap().payload()[192..], [0; 8]);
        let _ = rx.release().unwrap();
    }
}

#[test]
fn a_cursor_lets_another_half_go_on() {
    let mut ring = RingBuffer::new(1).unwrap();
    let (tx, rx) = ring.halves();
    let (mut tx, mut rx) = (Tx::new(tx, None).unwrap(), Rx::new(rx, None).unwrap());
    let _ = tx.put(&Packet::in_band(b"one.....")).unwrap();
    let _ = tx.put(&Packet::in_band(b"two.....")).unwrap();
    assert!(rx.next().unwrap().is_some());
    let _ = rx.release().unwrap();
    let (at_tx, at_rx) = (tx.end(), rx.end());
    let (tx, rx) = ring.halves();
    let mut tx = Tx::new(tx, Some(Cursor::from_words(at_tx.to_words()))).unwrap();
    let mut rx = Rx::new(rx, Some(at_rx)).unwrap();
    let _ = tx.put(&Packet::in_band(b"three...")).unwrap();
    let mut texts = Vec::new();
    while let Some(packet) = rx.next().unwrap() {
        let mut text = [0; 8];
        packet.read(0, &mut text).unwrap();
        texts.push(text);
    }
    assert_eq!(texts, [*b"two.....", *b"three..."]);
    drop((tx, rx));
    let (tx, _) = ring.halves();
    assert_eq!(Tx::new(tx, Some(Cursor::from_words([1, 3, 0]))).unwrap_err(), Error::Invalid);
}

#[test]
fn two_threads_stream() {
    let mut ring = RingBuffer::new(2).unwrap();
    let (tx, rx) = ring.halves();
    let (mut tx, mut rx) = (Tx::new(tx, None).unwrap(), Rx::new(rx, None).unwrap());
    const N: u64 = 20_000;
    thread::scope(|scope| {
        scope.spawn(move || {
            for i in 0..N {
                let payload = [i as u8; 40];
                while let Err(error) = tx.put(&Packet::in_band(&payload).with_id(i)) {
                    assert_eq!(error, Error::Full);
                    thread::yield_now();
                }
            }
        });
        scope.spawn(move || {
            let mut want = 0;
            while want < N {
                match rx.next().unwrap() {
                    Some(packet) => {
                        let mut copy = [0; 40];
                        packet.read(0, &mut copy).unwrap();
                        assert_eq!((packet.id(), copy), (want, [want as u8; 40]));
                        want += 1;
                    }
                    None => {
                        let _ = rx.release().unwrap();
                        thread::yield_now();
                    }
                }
            }
        });
    });
}

#[test]
fn lent_storage_and_listed_pages() {
    let mut shared = Shared::new(3);
    let pages = shared.pages();
    let flags = RingFlags { fresh: true, loose: false };
    // SAFETY: the pages are aligned, and live in `shared` until the end of this test; one half of each side.
    let (tx, rx) = unsafe {
        (
            RingMemory::listed(pages[0], &pages[1..], flags),
            RingMemory::listed(pages[0], &pages[1..], RingFlags::default()),
        )
    };
    let need = Tx::storage(&tx).unwrap();
    let mut room = vec![MaybeUninit::<u8>::uninit(); need.size() + need.align()];
    let skip = room.as_ptr().align_offset(need.align());
    assert_eq!(tx.inspect().unwrap().data_bytes, 3 * PAGE as u32);
    let mut tx = Tx::new_in(&mut room[skip..], tx, None).unwrap();
    let mut small = [MaybeUninit::uninit(); 16];
    let pages = shared.pages();
    // SAFETY: as above.
    let again = unsafe { RingMemory::listed(pages[0], &pages[1..], RingFlags::default()) };
    assert_eq!(Rx::new_in(&mut small, again, None).unwrap_err(), Error::NoSpace);
    let mut rx = Rx::new(rx, None).unwrap();
    let big: Vec<u8> = (0..6000).map(|i| i as u8).collect();
    for _ in 0..20 {
        let _ = tx.put(&Packet::in_band(&big)).unwrap();
        let packet = rx.next().unwrap().unwrap();
        let mut copy = vec![0; big.len()];
        packet.read(0, &mut copy).unwrap();
        assert_eq!(copy, big);
        let _ = rx.release().unwrap();
    }
}

#[test]
fn a_peer_that_lies_is_found_out() {
    let mut shared = Shared::new(1);
    let pages = shared.pages();
    // SAFETY: as above.
    let rx = unsafe { RingMemory::plain(pages[0], pages[1], 1, RingFlags { fresh: true, loose: false }) };
    let mut rx = Rx::new(rx, None).unwrap();
    assert!(rx.next().unwrap().is_none());
    assert_eq!(rx.violation(), None);
    // The peer stores an index that none can have.
    // SAFETY: the first word of the control page.
    unsafe { pages[0].cast::<u32>().as_ptr().write_volatile(0x1001) };
    assert_eq!(rx.next().unwrap_err(), Error::Peer);
    let violation = rx.violation().unwrap();
    assert_eq!((violation.reason, violation.at), (vmbus::sys::VMB_R_INDEX, 0x1001));
    assert!(violation.name().starts_with("index"));
    assert_eq!(rx.release().unwrap_err(), Error::Peer);
}
