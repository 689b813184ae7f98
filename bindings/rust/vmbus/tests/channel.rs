// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Two channels without a bus, against each other.
#![cfg(feature = "alloc")]

use std::mem::MaybeUninit;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use vmbus::{
    range_word, Arrival, Channel, Error, Kind, List, Notify, Options, Packet, Part, Receiver, Record, Remote,
    RequestId, RingBuffer, Rings, Sender, Signal, Silent,
};

/// Counts the signals that it is asked for.
#[derive(Default)]
struct Count(AtomicU32);

impl Notify for Count {
    fn signal(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Count {
    fn take(&self) -> u32 {
        self.0.swap(0, Ordering::Relaxed)
    }
}

type Halves<'c> = (Sender<'c>, Receiver<'c>, Remote<'c>);

/// Runs `test` with the halves of a guest that numbers its requests, and of a host.
fn pair(options: Options, notify: &Count, test: impl FnOnce(Halves<'_>, Halves<'_>)) {
    let (mut there, mut back) = (RingBuffer::new(1).unwrap(), RingBuffer::new(1).unwrap());
    let ((there_tx, there_rx), (back_tx, back_rx)) = (there.halves(), back.halves());
    let mut guest = Channel::new(&options, Rings::new(there_tx, back_rx), notify).unwrap();
    let mut host = Channel::new(&Options::default(), Rings::new(back_tx, there_rx), &Silent).unwrap();
    test(guest.split(), host.split());
}

fn eight() -> Options {
    Options { requests: 8, ..Options::default() }
}

#[test]
fn requests_are_completed_once() {
    let count = Count::default();
    pair(eight(), &count, |(mut tx, mut rx, _), (mut host_tx, mut host_rx, _)| {
        let mut buffer = [0; 64];
        for user in 100..108 {
            tx.put(&Packet::in_band(&[user as u8; 16]).wants_reply().with_user(user)).unwrap();
        }
        assert_eq!(tx.put(&Packet::in_band(&[]).wants_reply()).unwrap_err(), Error::NoSlot);
        assert!(host_rx.recv(&mut buffer).unwrap().is_none(), "nothing was flushed");
        tx.flush().unwrap();
        assert_eq!(count.take(), 1);

        let mut kept = Vec::new();
        while let Some(mut packet) = host_rx.recv(&mut buffer).unwrap() {
            assert_eq!(packet.payload(), [100 + kept.len() as u8; 16]);
            kept.push(packet.transaction().unwrap());
            assert_eq!(packet.transaction(), None, "given once");
        }
        assert_eq!(kept.len(), 8);
        let ids: Vec<u64> = kept.iter().map(vmbus::Transaction::id).collect();
        for (i, transaction) in kept.into_iter().enumerate() {
            host_tx.complete(transaction, &[i as u8; 8]).unwrap();
        }
        // A completion that comes twice finds nothing.
        host_tx.send(&Packet::completion(ids[0], &[])).unwrap();
        for i in 0..8_u64 {
            let packet = rx.recv(&mut buffer).unwrap().unwrap();
            assert_eq!((packet.kind(), packet.user(), packet.late()), (Kind::Completion, 100 + i, false));
        }
        assert!(rx.recv(&mut buffer).unwrap().is_none());
        assert_eq!(rx.info().unwrap().unmatched, 1);
    });
}

#[test]
fn a_cancelled_request_comes_back_late() {
    pair(eight(), &Count::default(), |(mut tx, mut rx, _), (mut host_tx, mut host_rx, _)| {
        let mut buffer = [0; 64];
        let request = tx.send(&Packet::in_band(&[]).wants_reply().with_user(5)).unwrap();
        assert_eq!(tx.cancel(request).unwrap(), 5);
        assert_eq!(tx.cancel(RequestId(request.0 + (1 << 20))), Err(Error::NotFound));
        let transaction = host_rx.recv(&mut buffer).unwrap().unwrap().transaction().unwrap();
        host_tx.complete(transaction, &[]).unwrap();
        let packet = rx.recv(&mut buffer).unwrap().unwrap();
        assert_eq!((packet.late(), packet.user()), (true, 5));
    });
}

#[test]
fn what_does_not_fit_stays() {
    pair(eight(), &Count::default(), |(mut tx, _, _), (_, mut host_rx, _)| {
        tx.put(&Packet::in_band(&[1; 80])).unwrap();
        tx.put_parts(&Packet::in_band(&[]), &[Part::new(b"gather"), Part::new(b"ed")]).unwrap();
        tx.put_with(&Packet::in_band(&[]), 8, |room| room.write(0, b"in place").unwrap()).unwrap();
        tx.flush().unwrap();
        let mut small = [0; 8];
        assert_eq!(host_rx.recv(&mut small).unwrap_err(), Error::TooSmall);
        assert_eq!(host_rx.needed(), 80);
        host_rx.skip().unwrap();
        assert_eq!(host_rx.skip(), Err(Error::State));
        assert_eq!(host_rx.recv(&mut small).unwrap().unwrap().payload(), b"gathered");
        let packet = host_rx.next().unwrap().unwrap();
        let mut text = [0; 8];
        packet.read(0, &mut text).unwrap();
        assert_eq!(&text, b"in place");
        host_rx.release().unwrap();
    });
}

#[test]
fn lists_arrive_checked() {
    pair(eight(), &Count::default(), |(mut tx, _, _), (_, mut host_rx, _)| {
        let words = [range_word(5000, 0), 1, 2];
        // SAFETY: nobody takes these for pages of ours.
        let packet = unsafe { Packet::gpa(List::new(&words, 1).unwrap(), b"what for") };
        tx.put(&packet.wants_reply()).unwrap();
        tx.put(&Packet::transfer(9, &words[..1], b"12345678")).unwrap();
        tx.flush().unwrap();
        let mut buffer = [0; 64];
        let packet = host_rx.recv(&mut buffer).unwrap().unwrap();
        assert_eq!((packet.list().unwrap().words(), packet.payload()), (&words[..], &b"what for"[..]));
        assert_eq!((packet.external_bytes(), packet.windows()), (5000, None));
        let packet = host_rx.recv(&mut buffer).unwrap().unwrap();
        assert_eq!(packet.windows().unwrap(), (9, &words[..1]));
        assert!(packet.list().is_none());
    });
}

#[test]
fn batches_go_both_ways() {
    let count = Count::default();
    pair(eight(), &count, |(mut tx, mut rx, _), (mut host_tx, mut host_rx, _)| {
        let out: Vec<u64> = (0..8).collect();
        let words = [0, range_word(8, 0), 3, 77];
        let buffer: Vec<u64> = out.iter().chain(&words).copied().collect();
        let mut records: Vec<Record> =
            (0..4).map(|i| Record::in_band(i * 16, 16).wants_reply().with_user(i.into())).collect();
        // SAFETY: nobody takes this for a page of ours.
        records.push(unsafe { Record::gpa(64, 2, 1, 8) });
        assert_eq!(tx.send_batch(&buffer, &mut records).unwrap(), 5);
        assert_eq!(count.take(), 1);
        assert_eq!(tx.send_batch(&buffer, &mut [Record::in_band(96, 8)]), Err(Error::Invalid));

        let mut room = [0; 64];
        let mut arrivals = [Arrival::default(); 8];
        let n = host_rx.recv_batch(&mut room, &mut arrivals).unwrap();
        assert_eq!(n, 5);
        for (i, arrival) in arrivals[..4].iter().enumerate() {
            let mut packet = arrival.packet(&room).unwrap();
            assert_eq!(packet.payload()[8], i as u8 * 2 + 1);
            assert_eq!(packet.id(), records[i].id());
            host_tx.complete(packet.transaction().unwrap(), &[]).unwrap();
        }
        let packet = arrivals[4].packet(&room).unwrap();
        assert_eq!((packet.list().unwrap().words(), packet.payload()[0]), (&words[1..3], 77));
        // A buffer that it was not received into.
        assert_eq!(arrivals[4].packet(&room[..4]).unwrap_err(), Error::Invalid);
        assert_eq!(arrivals[4].packet(&[0; 64]).unwrap_err(), Error::Invalid);
        assert_eq!(rx.recv_batch(&mut room, &mut arrivals).unwrap(), 4);
        assert_eq!(rx.recv_batch(&mut room, &mut arrivals).unwrap(), 0);
        assert_eq!(rx.recv_batch(&mut room, &mut []), Err(Error::Invalid));
    });
}

#[test]
fn signals_can_be_deferred() {
    let count = Count::default();
    pair(Options { defer: true, ..eight() }, &count, |(mut tx, _, _), _| {
        tx.send(&Packet::in_band(&[])).unwrap();
        assert_eq!(count.take(), 0);
        assert_eq!(tx.owes_signal(), Signal::Needed);
        assert_eq!(tx.owes_signal(), Signal::NotNeeded);
        tx.signal().unwrap();
        assert_eq!(count.take(), 1);
    });
}

#[test]
fn a_channel_that_is_stopped_says_so() {
    pair(eight(), &Count::default(), |(mut tx, mut rx, remote), _| {
        remote.signalled();
        assert_eq!(remote.info().unwrap().signals_in, 1);
        thread::scope(|scope| {
            scope.spawn(|| remote.stop());
        });
        assert_eq!(tx.send(&Packet::in_band(&[])), Err(Error::Stopped));
        assert_eq!(rx.recv(&mut [0; 8]).unwrap_err(), Error::Stopped);
    });
}

#[test]
fn another_channel_goes_on() {
    let (mut there, mut back) = (RingBuffer::new(1).unwrap(), RingBuffer::new(1).unwrap());
    let (there_tx, _) = there.halves();
    let (_, back_rx) = back.halves();
    let mut room = vec![MaybeUninit::uninit(); 16384];
    let skip = room.as_ptr().align_offset(64);
    let rings = Rings::new(there_tx, back_rx);
    assert!(Channel::storage(&eight(), &rings).unwrap().size() < 16000);
    let mut first = Channel::new_in(&mut room[skip..], &eight(), rings, &Silent).unwrap();
    let (mut tx, _, _) = first.split();
    let request = tx.put(&Packet::in_band(b"one.....").wants_reply().with_user(1)).unwrap();
    let outstanding: Vec<_> = first.outstanding().collect();
    assert_eq!((outstanding.len(), outstanding[0].id, outstanding[0].user), (1, request, 1));
    let at = first.end().unwrap();

    let ((there_tx, there_rx), (back_tx, back_rx)) = (there.halves(), back.halves());
    let dirty = Options { dirty: true, ..eight() };
    let mut second = Channel::new(&dirty, Rings::new(there_tx, back_rx).from(at), &Silent).unwrap();
    second.adopt(request, 11).unwrap();
    assert_eq!(second.adopt(request, 11), Err(Error::Invalid));
    let (mut tx, mut rx, remote) = second.split();
    tx.send(&Packet::in_band(b"two.....")).unwrap();
    let mut bits = [0];
    remote.dirty(&mut bits).unwrap();
    assert_eq!(
        bits,
        [0b1101],
        "both control pages, by making it, and the data page of the ring that it sends into"
    );
    let mut host = Channel::new(&Options::default(), Rings::new(back_tx, there_rx), &Silent).unwrap();
    let (mut host_tx, mut host_rx, _) = host.split();
    let mut buffer = [0; 8];
    let mut packet = host_rx.recv(&mut buffer).unwrap().unwrap();
    host_tx.complete(packet.transaction().unwrap(), &[]).unwrap();
    assert_eq!(host_rx.recv(&mut buffer).unwrap().unwrap().payload(), b"two.....");
    assert_eq!(rx.recv(&mut buffer).unwrap().unwrap().user(), 11);
}

#[test]
fn halves_work_on_their_threads() {
    const N: u64 = 20_000;
    pair(Options { requests: 64, ..Options::default() }, &Count::default(), |guest, host| {
        let (mut tx, mut rx, _) = guest;
        let (mut host_tx, mut host_rx, _) = host;
        thread::scope(|scope| {
            scope.spawn(move || {
                let mut user = 0;
                while user < N {
                    match tx.send(&Packet::in_band(&user.to_le_bytes()).wants_reply().with_user(user)) {
                        Ok(_) => user += 1,
                        Err(error) => {
                            assert!(matches!(error, Error::Full | Error::NoSlot), "{error}");
                            thread::yield_now();
                        }
                    }
                }
            });
            scope.spawn(move || {
                let mut buffer = [0; 16];
                let mut n = 0;
                while n < N {
                    let Some(mut packet) = host_rx.recv(&mut buffer).unwrap() else {
                        thread::yield_now();
                        continue;
                    };
                    let mut transaction = packet.transaction().unwrap();
                    n += 1;
                    while let Err(refused) = host_tx.complete(transaction, packet.payload()) {
                        assert_eq!(refused.error, Error::Full);
                        transaction = refused.transaction;
                        thread::yield_now();
                    }
                }
            });
            let mut buffer = [0; 16];
            let mut want = 0_u64;
            while want < N {
                match rx.recv(&mut buffer).unwrap() {
                    Some(packet) => {
                        assert_eq!((packet.user(), packet.payload()), (want, &want.to_le_bytes()[..]));
                        want += 1;
                    }
                    None => thread::yield_now(),
                }
            }
        });
    });
}

struct Panics;

impl Notify for Panics {
    fn signal(&self) {
        panic!("in a callback");
    }
}

/// Is run by the next one, in a process of its own.
#[test]
#[ignore = "ends the process"]
fn panic_in_a_callback() {
    let (mut there, mut back) = (RingBuffer::new(1).unwrap(), RingBuffer::new(1).unwrap());
    let rings = Rings::new(there.halves().0, back.halves().1);
    let mut channel = Channel::new(&Options::default(), rings, &Panics).unwrap();
    let (mut tx, _, _) = channel.split();
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| tx.send(&Packet::in_band(&[]))));
    println!("it came through");
}

#[test]
fn a_panic_does_not_pass_through_the_library() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "panic_in_a_callback", "--nocapture"])
        .output()
        .unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!output.status.success());
    assert!(
        stderr.contains("in a callback") && stderr.contains("panic in a function that cannot unwind"),
        "{stderr}"
    );
    assert!(!stdout.contains("it came through"), "{stdout}");
}
