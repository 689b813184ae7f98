// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The work by the calls of C, as a careful caller makes them: each result is looked at.
//!
//! All objects, their storage and their rings are allocated by `zeroed` and live as long as the process; each is used by the one
//! closure that it was made for, on one thread at a time. That is what the calls below ask for.

use crate::{first_word, Payload, Side, PACKETS, PAGE, PAGES, REQUESTS};
use std::alloc::{alloc_zeroed, Layout};
use std::ffi::c_void;
use std::ptr;
use vmbus::sys;

type Tx = *mut sys::vmb_tx;
type Rx = *mut sys::vmb_rx;
type Channel = *mut sys::vmb_channel;

fn check(r: i32) -> i32 {
    assert!(r >= 0, "{r}: both ends are ours");
    r
}

fn zeroed(bytes: usize, align: usize) -> *mut c_void {
    let layout = Layout::from_size_align(bytes, align).expect("small");
    // SAFETY: no size here is 0.
    let memory = unsafe { alloc_zeroed(layout) };
    assert!(!memory.is_null());
    memory.cast()
}

fn ring() -> sys::vmb_ring_mem {
    let control = zeroed((PAGES as usize + 1) * PAGE, PAGE);
    // SAFETY: within the allocation, which is longer by the control page.
    let data = unsafe { control.byte_add(PAGE) };
    sys::vmb_ring_mem { control, data, pages: ptr::null(), data_pages: PAGES, flags: 0 }
}

fn ring_halves() -> (Tx, Rx) {
    let (ring, mut need) = (ring(), sys::vmb_storage::default());
    let (mut tx, mut rx) = (ptr::null_mut(), ptr::null_mut());
    // SAFETY: as the module says.
    unsafe {
        check(sys::vmb_tx_storage(&ring, &mut need));
        check(sys::vmb_tx_init(zeroed(need.bytes, need.align), need.bytes, &ring, ptr::null(), &mut tx));
        check(sys::vmb_rx_storage(&ring, &mut need));
        check(sys::vmb_rx_init(zeroed(need.bytes, need.align), need.bytes, &ring, ptr::null(), &mut rx));
    }
    (tx, rx)
}

unsafe extern "C" fn silent(_: *mut c_void) {}

fn channel(requests: u32, tx: sys::vmb_ring_mem, rx: sys::vmb_ring_mem) -> Channel {
    let size = size_of::<sys::vmb_channel_config>() as u32;
    let config =
        sys::vmb_channel_config { size, requests, tx, rx, signal: Some(silent), ..Default::default() };
    let (mut need, mut channel) = (sys::vmb_storage::default(), ptr::null_mut());
    // SAFETY: as the module says.
    unsafe {
        check(sys::vmb_channel_storage(&config, &mut need));
        check(sys::vmb_channel_init(zeroed(need.bytes, need.align), need.bytes, &config, &mut channel));
    }
    channel
}

/// A guest that numbers its requests, and a host.
fn channels() -> (Channel, Channel) {
    let (there, back) = (ring(), ring());
    (channel(REQUESTS, there, back), channel(0, back, there))
}

fn in_band(payload: &[u8]) -> sys::vmb_packet {
    let (len, payload) = (payload.len() as u32, payload.as_ptr().cast());
    sys::vmb_packet { kind: sys::VMB_PKT_INBAND, len, payload, ..Default::default() }
}

/// The payload of a packet that recv has put into a buffer of ours.
fn received(packet: &sys::vmb_packet) -> &[u8] {
    // SAFETY: so many bytes are there until the next recv, and the packet is asked before that.
    unsafe { std::slice::from_raw_parts(packet.payload.cast(), packet.len as usize) }
}

pub fn ring_copied(bytes: usize) -> Side {
    let ((tx, rx), mut payload, mut buffer) = (ring_halves(), Payload::new(bytes), vec![0_u64; bytes / 8]);
    Box::new(move || {
        let mut sum = 0;
        let mut packet = sys::vmb_packet::default();
        for _ in 0..PACKETS {
            // SAFETY: as the module says.
            unsafe {
                check(sys::vmb_tx_put(tx, &in_band(payload.next())));
                check(sys::vmb_tx_commit(tx));
                if check(sys::vmb_rx_get(rx, buffer.as_mut_ptr().cast(), bytes, &mut packet)) != 0 {
                    sum += first_word(received(&packet));
                }
                check(sys::vmb_rx_release(rx));
            }
        }
        sum
    })
}

/// Copies the payload of a packet that next has given.
///
/// # Safety
///
/// As the module says.
unsafe fn copy(rx: Rx, packet: &sys::vmb_packet, all: &sys::vmb_view, to: &mut [u8]) {
    let n = to.len().min(packet.len as usize);
    // SAFETY: as the caller says; `len` bytes lie there, if it says where.
    unsafe {
        if packet.payload.is_null() {
            check(sys::vmb_rx_copy(rx, all, packet.head_len, to.as_mut_ptr().cast(), n as u32));
        } else {
            ptr::copy_nonoverlapping(packet.payload.cast(), to.as_mut_ptr(), n);
        }
    }
}

pub fn ring_alone(bytes: usize) -> Side {
    let ((tx, rx), mut payload, mut buffer) = (ring_halves(), Payload::new(bytes), vec![0_u8; bytes]);
    Box::new(move || {
        let mut sum = 0;
        let (mut packet, mut all) = (sys::vmb_packet::default(), sys::vmb_view::default());
        for _ in 0..PACKETS {
            // SAFETY: as the module says.
            unsafe {
                check(sys::vmb_tx_put(tx, &in_band(payload.next())));
                check(sys::vmb_tx_commit(tx));
                if check(sys::vmb_rx_next(rx, &mut packet, &mut all)) != 0 {
                    copy(rx, &packet, &all, &mut buffer);
                    sum += first_word(&buffer);
                }
                check(sys::vmb_rx_release(rx));
            }
        }
        sum
    })
}

pub fn ring_in_place(bytes: usize) -> Side {
    let ((tx, rx), mut payload, mut buffer) = (ring_halves(), Payload::new(bytes), vec![0_u8; bytes]);
    Box::new(move || {
        let mut sum = 0;
        let (mut packet, mut view) = (sys::vmb_packet::default(), sys::vmb_view::default());
        // SAFETY: as the module says; place gives room for the whole payload, if it gives any.
        unsafe {
            for _ in 0..PACKETS {
                let from = payload.next();
                let row = sys::vmb_tx_place(tx, &in_band(from));
                if row.is_null() {
                    check(sys::vmb_tx_reserve(tx, &in_band(from), &mut view));
                    check(sys::vmb_tx_copy(tx, &view, 0, from.as_ptr().cast(), from.len() as u32));
                } else {
                    ptr::copy_nonoverlapping(from.as_ptr(), row.cast(), from.len());
                }
            }
            check(sys::vmb_tx_commit(tx));
            while check(sys::vmb_rx_next(rx, &mut packet, &mut view)) != 0 {
                copy(rx, &packet, &view, &mut buffer);
                sum += first_word(&buffer);
            }
            check(sys::vmb_rx_release(rx));
        }
        sum
    })
}

/// Receives all that is there.
///
/// # Safety
///
/// As the module says.
unsafe fn receive(rx: Channel, buffer: &mut [u64], mut each: impl FnMut(&sys::vmb_packet)) {
    let mut packet = sys::vmb_packet::default();
    let (to, bytes) = (buffer.as_mut_ptr().cast(), size_of_val(buffer));
    // SAFETY: as the caller says; the buffer is so long.
    while check(unsafe { sys::vmb_channel_recv(rx, to, bytes, &mut packet) }) != 0 {
        each(&packet);
    }
}

pub fn channel_alone(bytes: usize) -> Side {
    let ((tx, rx), mut payload) = (channels(), Payload::new(bytes));
    let mut buffer = vec![0; bytes / 8 + 2];
    Box::new(move || {
        let mut sum = 0;
        for _ in 0..PACKETS {
            // SAFETY: as the module says.
            unsafe {
                check(sys::vmb_channel_send(tx, &mut in_band(payload.next())));
                receive(rx, &mut buffer, |packet| sum += first_word(received(packet)));
            }
        }
        sum
    })
}

pub fn channel_queued(bytes: usize) -> Side {
    let ((tx, rx), mut payload) = (channels(), Payload::new(bytes));
    let mut buffer = vec![0; bytes / 8 + 2];
    Box::new(move || {
        let mut sum = 0;
        // SAFETY: as the module says.
        unsafe {
            for _ in 0..PACKETS {
                check(sys::vmb_channel_put(tx, &mut in_band(payload.next())));
            }
            check(sys::vmb_channel_flush(tx));
            receive(rx, &mut buffer, |packet| sum += first_word(received(packet)));
        }
        sum
    })
}

pub fn channel_in_place(bytes: usize) -> Side {
    let ((tx, rx), mut payload, mut buffer) = (channels(), Payload::new(bytes), vec![0_u8; bytes]);
    let (mut ring_tx, mut ring_rx) = (ptr::null_mut(), ptr::null_mut());
    Box::new(move || {
        let mut sum = 0;
        let (mut packet, mut view) = (sys::vmb_packet::default(), sys::vmb_view::default());
        // SAFETY: as the module says.
        unsafe {
            for _ in 0..PACKETS {
                let from = payload.next();
                let len = from.len() as u32;
                check(sys::vmb_channel_reserve(tx, &mut in_band(from), &mut view));
                check(sys::vmb_channel_tx(tx, &mut ring_tx));
                check(sys::vmb_tx_copy(ring_tx, &view, 0, from.as_ptr().cast(), len));
            }
            check(sys::vmb_channel_flush(tx));
            while check(sys::vmb_channel_next(rx, &mut packet, &mut view)) != 0 {
                check(sys::vmb_channel_rx(rx, &mut ring_rx));
                copy(ring_rx, &packet, &view, &mut buffer);
                sum += first_word(&buffer);
            }
        }
        sum
    })
}

pub fn channel_records(bytes: usize) -> Side {
    let ((tx, rx), mut payload) = (channels(), Payload::new(bytes));
    let mut out = vec![0_u64; PACKETS * bytes / 8];
    let mut buffer = vec![0_u64; PACKETS * bytes / 8];
    let (mut records, mut arrivals) = (Vec::new(), [sys::vmb_record::default(); PACKETS]);
    Box::new(move || {
        let mut sum = 0;
        records.clear();
        for i in 0..PACKETS {
            out[i * bytes / 8] = first_word(payload.next());
            let (offset, len) = ((i * bytes) as u32, bytes as u32);
            records.push(sys::vmb_record { kind: sys::VMB_PKT_INBAND, offset, len, ..Default::default() });
        }
        let n = PACKETS as u32;
        let bytes = size_of_val(&out[..]) as u32;
        // SAFETY: as the module says; both buffers are so long.
        let got = unsafe {
            let (from, to) = (out.as_ptr().cast(), buffer.as_mut_ptr().cast());
            let put = check(sys::vmb_channel_send_batch(tx, from, bytes, records.as_mut_ptr(), n));
            assert_eq!(put as usize, PACKETS);
            check(sys::vmb_channel_recv_batch(rx, to, bytes, arrivals.as_mut_ptr(), n))
        };
        for arrival in &arrivals[..got as usize] {
            sum += buffer[(arrival.offset + arrival.head_len) as usize / 8];
        }
        sum
    })
}

pub fn channel_requests(bytes: usize) -> Side {
    let ((guest, host), mut payload) = (channels(), Payload::new(bytes));
    let mut buffer = vec![0; bytes / 8 + 2];
    Box::new(move || {
        let mut sum = 0;
        for _ in 0..PACKETS {
            let mut request = in_band(payload.next());
            (request.flags, request.user) = (sys::VMB_PKT_WANTS_REPLY, 7);
            // SAFETY: as the module says.
            unsafe {
                check(sys::vmb_channel_send(guest, &mut request));
                receive(host, &mut buffer, |packet| {
                    if packet.flags & sys::VMB_PKT_WANTS_REPLY != 0 {
                        let mut completion = in_band(received(packet));
                        (completion.kind, completion.id) = (sys::VMB_PKT_COMPLETION, packet.id);
                        check(sys::vmb_channel_send(host, &mut completion));
                    }
                });
                receive(guest, &mut buffer, |packet| {
                    assert_eq!(packet.user, 7);
                    sum += first_word(received(packet));
                });
            }
        }
        sum
    })
}
