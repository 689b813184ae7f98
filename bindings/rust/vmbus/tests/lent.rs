// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! All storage is lent: what a build without an allocator has.

use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use vmbus::{Channel, Error, Options, Packet, RingFlags, RingMemory, Rings, Rx, Silent, Tx, PAGE};

#[repr(C, align(4096))]
struct Ring([[u8; PAGE]; 2]);

#[repr(C, align(64))]
struct Storage([MaybeUninit<u8>; 4096]);

impl Ring {
    fn pages(&mut self) -> [NonNull<c_void>; 2] {
        let control = NonNull::from(&mut self.0).cast::<u8>();
        // SAFETY: the second page is there.
        [control.cast(), unsafe { control.add(PAGE) }.cast()]
    }
}

const FRESH: RingFlags = RingFlags { fresh: true, loose: false };

#[test]
fn halves_in_lent_storage() {
    let mut ring = Ring([[0xff; PAGE]; 2]);
    let mut storage = [const { Storage([MaybeUninit::uninit(); 4096]) }; 2];
    let [control, data] = ring.pages();
    // SAFETY: two aligned pages, which live longer than the halves and are looked at by nobody else; one half of each side.
    let (tx, rx) = unsafe {
        (
            RingMemory::plain(control, data, 1, FRESH),
            RingMemory::plain(control, data, 1, RingFlags::default()),
        )
    };
    let [for_tx, for_rx] = &mut storage;
    assert!(Tx::storage(&tx).unwrap().size() <= 4096 && Rx::storage(&rx).unwrap().align() <= 64);
    let mut tx = Tx::new_in(&mut for_tx.0, tx, None).unwrap();
    let mut rx = Rx::new_in(&mut for_rx.0, rx, None).unwrap();
    for _ in 0..100 {
        let _ = tx.put(&Packet::in_band(&[7; 200])).unwrap();
        let mut copy = [0; 200];
        rx.next().unwrap().unwrap().read(0, &mut copy).unwrap();
        assert_eq!(copy, [7; 200]);
        assert!(!rx.sleep().unwrap().more);
    }
    let _ = (tx.end(), rx.end());
    for_tx.0[0].write(1); // it is ours again
}

#[test]
fn a_channel_in_lent_storage() {
    let (mut there, mut back) = (Ring([[0; PAGE]; 2]), Ring([[0; PAGE]; 2]));
    let (mut storage, mut small) = (Storage([MaybeUninit::uninit(); 4096]), [MaybeUninit::uninit(); 64]);
    let ([tx_control, tx_data], [rx_control, rx_data]) = (there.pages(), back.pages());
    // SAFETY: as above, and of the channels made below only one comes to be.
    let rings = || unsafe {
        let tx = RingMemory::plain(tx_control, tx_data, 1, FRESH);
        Rings::new(tx, RingMemory::plain(rx_control, rx_data, 1, FRESH))
    };
    let options = Options { requests: 4, ..Options::default() };
    assert_eq!(Channel::new_in(&mut small, &options, rings(), &Silent).unwrap_err(), Error::NoSpace);
    let mut channel = Channel::new_in(&mut storage.0, &options, rings(), &Silent).unwrap();
    let (mut tx, mut rx, _) = channel.split();
    tx.send(&Packet::in_band(b"request.").wants_reply().with_user(3)).unwrap();
    assert!(rx.recv(&mut [0; 8]).unwrap().is_none());
    assert_eq!(channel.outstanding().next().unwrap().user, 3);
    let _ = channel.end().unwrap();
}
