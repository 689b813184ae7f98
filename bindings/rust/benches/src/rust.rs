// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The work by the safe crate.

use crate::{first_word, Payload, Side, PACKETS, PAGES, REQUESTS};
use vmbus::{
    Arrival, Channel, Options, Packet, Receiver, Record, Result, RingBuffer, Rings, Rx, Sender, Silent, Tx,
};

const WORKS: &str = "both ends are ours";

/// For as long as the process lives.
fn ring() -> &'static mut RingBuffer {
    Box::leak(Box::new(RingBuffer::new(PAGES).expect("pages within the limits")))
}

fn ring_halves() -> (Tx<'static>, Rx<'static>) {
    let (tx, rx) = ring().halves();
    (Tx::new(tx, None).expect(WORKS), Rx::new(rx, None).expect(WORKS))
}

type Halves = (Sender<'static>, Receiver<'static>);

/// A guest that numbers its requests, and a host.
fn channels() -> (Halves, Halves) {
    let ((there_tx, there_rx), (back_tx, back_rx)) = (ring().halves(), ring().halves());
    let make = |requests, rings| {
        let options = Options { requests, ..Options::default() };
        let channel = Channel::new(&options, rings, &Silent).expect(WORKS);
        let (tx, rx, _) = Box::leak(Box::new(channel)).split();
        (tx, rx)
    };
    (make(REQUESTS, Rings::new(there_tx, back_rx)), make(0, Rings::new(back_tx, there_rx)))
}

fn side(mut work: impl FnMut() -> Result<u64> + 'static) -> Side {
    Box::new(move || work().expect(WORKS))
}

pub fn ring_copied(bytes: usize) -> Side {
    let ((mut tx, mut rx), mut payload, mut buffer) =
        (ring_halves(), Payload::new(bytes), vec![0; bytes / 8]);
    side(move || {
        let mut sum = 0;
        for _ in 0..PACKETS {
            let _ = tx.put(&Packet::in_band(payload.next()))?;
            if let Some(packet) = rx.get(&mut buffer)? {
                sum += first_word(packet.payload());
            }
            let _ = rx.release()?;
        }
        Ok(sum)
    })
}

pub fn ring_alone(bytes: usize) -> Side {
    let ((mut tx, mut rx), mut payload, mut buffer) = (ring_halves(), Payload::new(bytes), vec![0; bytes]);
    side(move || {
        let mut sum = 0;
        for _ in 0..PACKETS {
            let _ = tx.put(&Packet::in_band(payload.next()))?;
            if let Some(packet) = rx.next()? {
                packet.read(0, &mut buffer)?;
                sum += first_word(&buffer);
            }
            let _ = rx.release()?;
        }
        Ok(sum)
    })
}

pub fn ring_in_place(bytes: usize) -> Side {
    let ((mut tx, mut rx), mut payload, mut buffer) = (ring_halves(), Payload::new(bytes), vec![0; bytes]);
    side(move || {
        let mut sum = 0;
        let mut batch = tx.batch();
        for _ in 0..PACKETS {
            let from = payload.next();
            batch.put_with(&Packet::in_band(&[]), from.len() as u32, |room| room.write(0, from))?;
        }
        let _ = batch.commit()?;
        while let Some(packet) = rx.next()? {
            packet.read(0, &mut buffer)?;
            sum += first_word(&buffer);
        }
        let _ = rx.release()?;
        Ok(sum)
    })
}

pub fn channel_alone(bytes: usize) -> Side {
    let (((mut tx, _), (_, mut rx)), mut payload) = (channels(), Payload::new(bytes));
    let mut buffer = vec![0; bytes / 8 + 2];
    side(move || {
        let mut sum = 0;
        for _ in 0..PACKETS {
            tx.send(&Packet::in_band(payload.next()))?;
            while let Some(packet) = rx.recv(&mut buffer)? {
                sum += first_word(packet.payload());
            }
        }
        Ok(sum)
    })
}

pub fn channel_queued(bytes: usize) -> Side {
    let (((mut tx, _), (_, mut rx)), mut payload) = (channels(), Payload::new(bytes));
    let mut buffer = vec![0; bytes / 8 + 2];
    side(move || {
        let mut sum = 0;
        for _ in 0..PACKETS {
            tx.put(&Packet::in_band(payload.next()))?;
        }
        tx.flush()?;
        while let Some(packet) = rx.recv(&mut buffer)? {
            sum += first_word(packet.payload());
        }
        Ok(sum)
    })
}

pub fn channel_in_place(bytes: usize) -> Side {
    let (((mut tx, _), (_, mut rx)), mut payload) = (channels(), Payload::new(bytes));
    let mut buffer = vec![0; bytes];
    side(move || {
        let mut sum = 0;
        for _ in 0..PACKETS {
            let from = payload.next();
            let mut wrote = Ok(());
            tx.put_with(&Packet::in_band(&[]), from.len() as u32, |room| wrote = room.write(0, from))?;
            wrote?;
        }
        tx.flush()?;
        while let Some(packet) = rx.next()? {
            packet.read(0, &mut buffer)?;
            sum += first_word(&buffer);
        }
        Ok(sum)
    })
}

pub fn channel_records(bytes: usize) -> Side {
    let (((mut tx, _), (_, mut rx)), mut payload) = (channels(), Payload::new(bytes));
    let mut out = vec![0; PACKETS * bytes / 8];
    let mut buffer = vec![0; PACKETS * bytes / 8];
    let (mut records, mut arrivals) = (Vec::new(), [Arrival::default(); PACKETS]);
    side(move || {
        let mut sum = 0;
        records.clear();
        for i in 0..PACKETS {
            out[i * bytes / 8] = first_word(payload.next());
            records.push(Record::in_band((i * bytes) as u32, bytes as u32));
        }
        assert_eq!(tx.send_batch(&out, &mut records)?, PACKETS);
        let n = rx.recv_batch(&mut buffer, &mut arrivals)?;
        for arrival in &arrivals[..n] {
            sum += first_word(arrival.packet(&buffer)?.payload());
        }
        Ok(sum)
    })
}

pub fn channel_requests(bytes: usize) -> Side {
    let (((mut tx, mut rx), (mut host_tx, mut host_rx)), mut payload) = (channels(), Payload::new(bytes));
    let mut buffer = vec![0; bytes / 8 + 2];
    side(move || {
        let mut sum = 0;
        for _ in 0..PACKETS {
            tx.send(&Packet::in_band(payload.next()).wants_reply().with_user(7))?;
            while let Some(mut packet) = host_rx.recv(&mut buffer)? {
                if let Some(transaction) = packet.transaction() {
                    host_tx.complete(transaction, packet.payload()).map_err(|refused| refused.error)?;
                }
            }
            while let Some(packet) = rx.recv(&mut buffer)? {
                assert_eq!(packet.user(), 7);
                sum += first_word(packet.payload());
            }
        }
        Ok(sum)
    })
}
