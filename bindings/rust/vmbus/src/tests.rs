// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! What needs no call of C, and so can run under Miri: storage, the books of an end's channels, callbacks as the library calls them, and
//! packets in memory that the library would have filled.

use crate::bus::Channels;
use crate::list::{map, unmap};
use crate::rx::{copied_list, Taken};
use crate::storage::{layout, Storage};
use crate::tx::{Place, Room};
use crate::*;
use alloc::vec;
use alloc::vec::Vec;
use core::alloc::Layout;
use core::cell::{Cell, UnsafeCell};
use core::ffi::c_void;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicU32, Ordering};

#[test]
fn errors_have_codes_and_groups() {
    for &error in Error::ALL {
        assert_eq!(Error::from_code(error.code()), error);
        assert_ne!(error.group(), Group::Other);
    }
    assert_eq!(Error::from_code(5).code(), 5);
}

#[test]
fn storage_is_lent_or_owned() {
    let mut memory = vec![MaybeUninit::new(1_u8); 100];
    let lent = Storage::lent(&mut memory);
    // SAFETY: so many bytes are there.
    unsafe { ptr::write_bytes(lent.base().cast::<u8>(), 7, lent.bytes()) };
    drop(lent);
    // SAFETY: they have been written.
    assert!(memory.iter().all(|byte| unsafe { byte.assume_init() } == 7));

    let need = sys::vmb_storage { bytes: 192, align: 64 };
    let owned = Storage::allocate(layout(&need).unwrap());
    assert_eq!((owned.bytes(), owned.base() as usize % 64), (192, 0));
    // SAFETY: so many bytes are there.
    unsafe { ptr::write_bytes(owned.base().cast::<u8>(), 7, owned.bytes()) };
    assert!(Storage::allocate(Layout::new::<()>()).bytes() > 0);
    assert_eq!(layout(&sys::vmb_storage { bytes: 8, align: 3 }), Err(Error::NoSpace));
}

fn event(kind: u32, ch: u32) -> Event {
    Event(sys::vmb_event { kind, ch, ..Default::default() })
}

/// As attach and open do it; the object is only a place here.
fn make(channels: &mut Channels, ch: u32) -> (Sender<'static>, Receiver<'static>) {
    let storage = Storage::allocate(Layout::new::<[u64; 8]>());
    let raw = NonNull::new(storage.base().cast()).unwrap();
    // SAFETY: nothing is done with these halves.
    unsafe { channels.made(Handle(ch), raw, storage) }
}

#[test]
fn the_books_keep_storage_until_it_is_free() {
    let mut channels = Channels::default();
    let ((tx, rx), (other_tx, other_rx)) = (make(&mut channels, 1), make(&mut channels, 2));
    assert_eq!(channels.of_halves(&tx, &rx), Some(Handle(1)));
    assert_eq!(channels.of_halves(&other_tx, &other_rx), Some(Handle(2)));
    assert_eq!(channels.of_halves(&tx, &other_rx), None);
    assert!(channels.is_out(Handle(1)) && !channels.is_out(Handle(3)));

    // The last event of a channel that is out, or was not told to be closed, frees nothing.
    channels.see(&event(sys::VMB_EV_GONE, 1));
    assert_eq!(channels.of_halves(&tx, &rx), Some(Handle(1)));
    channels.returned(Handle(1));
    assert_eq!(channels.of_halves(&tx, &rx), None);
    channels.see(&event(sys::VMB_EV_GONE, 1));
    assert!(channels.closed(Handle(1)).is_none());
    channels.see(&event(sys::VMB_EV_CLOSED, 1));
    assert!(channels.closed(Handle(1)).is_some() && channels.closed(Handle(2)).is_none());

    // Made again in the same place of the books: the old storage is freed, the new one is out.
    let (tx, rx) = make(&mut channels, 1);
    assert_eq!(channels.of_halves(&tx, &rx), Some(Handle(1)));
    channels.returned(Handle(1));
    channels.see(&event(sys::VMB_EV_CLOSED, 1));
    channels.see(&event(sys::VMB_EV_GONE, 1));
    assert!(channels.closed(Handle(1)).is_none());
    assert_eq!(channels.any_out(), Some(Handle(2)));
    channels.returned(Handle(2));
    assert_eq!(channels.any_out(), None);
}

/// Pages that may be written through what the library is given.
struct Platform {
    pages: Vec<UnsafeCell<[u8; 16]>>,
    calls: AtomicU32,
}

// SAFETY: one thread uses it.
unsafe impl Sync for Platform {}

impl Platform {
    fn new() -> Self {
        Self { pages: (0..4).map(|_| UnsafeCell::new([0; 16])).collect(), calls: AtomicU32::new(0) }
    }

    fn call(&self, n: u32) {
        self.calls.fetch_add(n, Ordering::Relaxed);
    }
}

// SAFETY: they are shorter than the trait asks for, and the tests know that.
unsafe impl Mapper for Platform {
    fn map(
        &self,
        pfns: &[u64],
        access: Access,
        pages: &mut [*mut c_void],
    ) -> core::result::Result<(), Unmapped> {
        assert!(access.write() && !access.ring() && pages.iter().all(|page| page.is_null()));
        for (&pfn, page) in pfns.iter().zip(pages) {
            *page = self.pages.get(pfn as usize).ok_or(Unmapped)?.get().cast();
        }
        Ok(())
    }

    fn unmap(&self, pfns: &[u64], _: Access, pages: &[*mut c_void]) {
        assert_eq!(pfns.len(), pages.len());
        self.call(1);
    }
}

impl HostPlatform for Platform {
    const TRACE: bool = true;

    fn message(&self, vp: u32, vtl: u32, sint: u32, payload: &[u8]) -> Result<()> {
        assert_eq!((vp, vtl, sint, payload), (1, 2, 3, &b"12345678"[..]));
        Err(Error::Again)
    }

    fn interrupt(&self, vp: u32, vtl: u32, sint: u32, flag: u32) {
        assert_eq!((vp, vtl, sint, flag), (1, 2, 3, 4));
        self.call(1);
    }

    fn wake(&self, user: u64) {
        assert_eq!(user, 5);
        self.call(1);
    }

    fn trace(&self, what: &sys::vmb_trace) {
        assert_eq!(what.point, 9);
        self.call(1);
    }
}

impl GuestPlatform for Platform {
    fn post(&self, connection: u32, payload: &[u8]) -> u16 {
        assert_eq!((connection, payload), (1, &b"12345678"[..]));
        7
    }

    fn signal(&self, connection: u32, flag: u32) {
        assert_eq!((connection, flag), (1, 2));
        self.call(1);
    }

    fn wake(&self, user: u64) {
        assert_eq!(user, 5);
        self.call(1);
    }

    fn monitor(&self, gpa: [u64; 2]) -> Option<MonitorPages> {
        let page = NonNull::new(self.pages[0].get().cast()).unwrap();
        // SAFETY: nobody uses them.
        (gpa[1] == 4096).then(|| unsafe { MonitorPages::new(None, page) })
    }
}

#[test]
fn a_mapper_is_called_as_the_library_does() {
    let platform = Platform::new();
    let ctx = ptr::from_ref(&platform).cast_mut().cast();
    let mut pages: [MaybeUninit<*mut c_void>; 3] = [MaybeUninit::uninit(); 3];
    // SAFETY: ctx is a Platform; so many numbers, and so much room, are there.
    unsafe {
        assert_eq!(
            map::<Platform>(ctx, [0, 3, 9].as_ptr(), 3, sys::VMB_MAP_WRITE, pages.as_mut_ptr().cast()),
            sys::VMB_EMAP
        );
        assert_eq!(
            map::<Platform>(ctx, [3, 0].as_ptr(), 2, sys::VMB_MAP_WRITE, pages.as_mut_ptr().cast()),
            0
        );
        pages[0].assume_init().cast::<u8>().add(15).write(77);
        unmap::<Platform>(ctx, [3, 0].as_ptr(), 2, sys::VMB_MAP_WRITE, pages.as_ptr().cast());
    }
    // SAFETY: nobody writes any more.
    assert_eq!(unsafe { *platform.pages[3].get() }[15], 77);
    assert_eq!(platform.calls.into_inner(), 1);
}

#[test]
fn platforms_are_called_as_the_library_does() {
    let platform = Platform::new();
    let payload = b"12345678".as_ptr().cast();
    let trace = sys::vmb_trace { point: 9, ..Default::default() };
    let host = HostConfig::default().raw(&platform);
    // SAFETY: each function fits ctx, and gets what the library gives it.
    unsafe {
        assert_eq!(host.message.unwrap()(host.ctx, 1, 2, 3, payload, 8), sys::VMB_EAGAIN);
        host.interrupt.unwrap()(host.ctx, 1, 2, 3, 4);
        host.wake.unwrap()(host.ctx, 5);
        host.poke.unwrap()(host.ctx);
        host.trace.unwrap()(host.ctx, &trace);
    }
    assert_eq!(platform.calls.swap(0, Ordering::Relaxed), 3);

    let guest = GuestConfig::default().raw(&platform);
    assert!(guest.trace.is_none());
    let mut pages = [ptr::dangling_mut(); 2];
    // SAFETY: the same.
    unsafe {
        assert_eq!(guest.post.unwrap()(guest.ctx, 1, payload, 8), 7);
        assert_eq!(guest.signal.unwrap()(guest.ctx, 1, 2), 0);
        guest.wake.unwrap()(guest.ctx, 5);
        guest.poke.unwrap()(guest.ctx);
        let monitor = guest.monitor.unwrap();
        assert_eq!(monitor(guest.ctx, [0, 8192].as_ptr(), pages.as_mut_ptr()), sys::VMB_EMAP);
        assert_eq!(monitor(guest.ctx, [4096, 4096].as_ptr(), pages.as_mut_ptr()), sys::VMB_EMAP);
        assert_eq!(monitor(guest.ctx, [0, 4096].as_ptr(), pages.as_mut_ptr()), 0);
    }
    assert_eq!(pages, [ptr::null_mut(), platform.pages[0].get().cast()]);
    assert_eq!(platform.calls.into_inner(), 2);
}

/// As the library fills one.
fn arrival(record: sys::vmb_record) -> Arrival {
    let mut arrival = Arrival::default();
    // SAFETY: Arrival is a vmb_record.
    unsafe { ptr::from_mut(&mut arrival).cast::<sys::vmb_record>().write(record) };
    arrival
}

#[test]
fn arrivals_lie_in_their_buffer_or_nowhere() {
    let buffer = [0, 10, 11, 12, 13, 14, 15, 16];
    let packet =
        sys::vmb_record { kind: sys::VMB_PKT_INBAND, offset: 8, len: 12, id: 3, ..Default::default() };
    assert_eq!(arrival(packet).packet(&buffer).unwrap().payload().len(), 12);
    let empty = sys::vmb_record { offset: 64, len: 0, ..packet };
    assert!(arrival(empty).packet(&buffer).unwrap().payload().is_empty());
    assert!(arrival(sys::vmb_record::default()).packet(&[]).unwrap().payload().is_empty());

    let windows =
        sys::vmb_record { kind: sys::VMB_PKT_XFER, head_len: 24, len: 8, ranges: 2, page_set: 7, ..packet };
    let packet = arrival(windows).packet(&buffer).unwrap();
    assert_eq!((packet.windows(), packet.payload()[0]), (Some((7, &buffer[2..4])), 13));
    assert!(packet.list().is_none());

    for wrong in [
        sys::vmb_record { offset: 12, ..windows },
        sys::vmb_record { head_len: 12, ..windows },
        sys::vmb_record { head_len: 0, ..windows },
        sys::vmb_record { ranges: 3, ..windows },
        sys::vmb_record { len: 33, ..windows },
        sys::vmb_record { offset: !7, head_len: !7, len: u32::MAX, ..windows },
    ] {
        assert_eq!(arrival(wrong).packet(&buffer).unwrap_err(), Error::Invalid, "{wrong:?}");
    }
}

#[test]
fn a_transaction_is_given_once() {
    let raw = sys::vmb_packet {
        kind: sys::VMB_PKT_INBAND,
        flags: sys::VMB_PKT_WANTS_REPLY,
        id: 9,
        ..Default::default()
    };
    // SAFETY: it points nowhere, and has no length.
    let mut packet = unsafe { Incoming::from_raw(raw) };
    assert_eq!(packet.transaction().unwrap().id(), 9);
    assert!(packet.transaction().is_none());
    let raw = sys::vmb_packet {
        kind: sys::VMB_PKT_COMPLETION,
        flags: sys::VMB_PKT_WANTS_REPLY | sys::VMB_PKT_LATE,
        ..raw
    };
    // SAFETY: the same.
    let mut packet = unsafe { Incoming::from_raw(raw) };
    assert!(packet.late() && packet.transaction().is_none());
}

#[test]
fn a_copied_list_leaves_the_payload_where_it_is() {
    let mut buffer = [1, 20_u64.to_le(), 21_u64.to_le(), u64::from_ne_bytes(*b"payload.")];
    let words = buffer.as_mut_ptr();
    let mut raw = sys::vmb_packet {
        kind: sys::VMB_PKT_XFER,
        len: 8,
        head_len: 24,
        page_set: 3,
        // SAFETY: within the buffer.
        payload: unsafe { words.add(3) }.cast(),
        list: sys::vmb_list { words: ptr::null(), count: 2, ranges: 1 },
        ..Default::default()
    };
    // SAFETY: two words are there; payload and list are in the buffer, which nobody else uses.
    let packet = unsafe {
        copied_list(&mut raw, words.add(1)).unwrap();
        Incoming::from_raw(raw)
    };
    assert_eq!((packet.windows(), packet.payload()), (Some((3, &[20][..])), &b"payload."[..]));
}

#[test]
fn rows_in_the_ring_are_kept_to() {
    let ring: Vec<Cell<u8>> = vec![Cell::new(0); 32];
    let row = NonNull::new(ring.as_ptr().cast_mut().cast::<u8>()).unwrap();
    // SAFETY: eight bytes lie there, within the Cells.
    let mut room = Room::new(NonNull::dangling(), Place::Row(unsafe { row.add(8) }, 8));
    assert_eq!(room.write(0, b"123456789"), Err(Error::Invalid));
    assert_eq!(room.write(9, b""), Err(Error::Invalid));
    assert_eq!(room.write(usize::MAX, b"12"), Err(Error::Invalid));
    room.write(8, b"").unwrap();
    room.write(1, b"2345678").unwrap();
    let mut spans = [Span::EMPTY; 2];
    assert_eq!(room.spans(6, &mut spans).unwrap()[0].len(), 2);
    assert!(room.spans(8, &mut spans).unwrap().is_empty());
    assert!(room.spans(0, &mut []).unwrap().is_empty());
    assert_eq!(room.spans(9, &mut spans).unwrap_err(), Error::Invalid);

    let raw = sys::vmb_packet {
        kind: sys::VMB_PKT_INBAND,
        len: 8,
        payload: row.as_ptr().wrapping_add(8).cast(),
        ..Default::default()
    };
    let taken = Taken { raw, all: sys::vmb_view::default() };
    let packet = Received { rx: NonNull::dangling(), packet: &taken, _rx: PhantomData };
    let mut text = [0; 7];
    packet.read(1, &mut text).unwrap();
    assert_eq!(&text, b"2345678");
    ring[9].set(b'!'); // the peer may
    packet.read(1, &mut text[..1]).unwrap();
    assert_eq!((text[0], packet.len()), (b'!', 8));
    assert_eq!(packet.read(9, &mut []), Err(Error::Invalid));
}

#[test]
fn both_sides_of_a_ring_buffer_are_its_pages() {
    let mut buffer = RingBuffer::new(2).unwrap();
    for _ in 0..2 {
        let (tx, rx) = buffer.halves();
        assert_eq!((tx.raw.control, tx.raw.data, tx.raw.data_pages), (rx.raw.control, rx.raw.data, 2));
        let bytes = tx.raw.data_pages as usize * PAGE;
        // SAFETY: the memory is there, and the two sides take turns.
        unsafe {
            ptr::write_bytes(tx.raw.control.cast::<u8>(), 1, PAGE);
            ptr::write_bytes(tx.raw.data.cast::<u8>(), 2, bytes);
            assert_eq!(rx.raw.control.cast::<u8>().add(PAGE - 1).read(), 1);
            assert_eq!(rx.raw.data.cast::<u8>().add(bytes - 1).read(), 2);
            rx.raw.control.cast::<u8>().write(3);
            assert_eq!(tx.raw.control.cast::<u8>().read(), 3);
        }
    }
    assert!(RingBuffer::new(0).is_err() && RingBuffer::new(8189).is_err());
}

#[test]
fn guids_are_their_bytes() {
    let mut bytes = [0; 16];
    bytes[15] = 1;
    assert!(Guid::new(bytes) > Guid::default());
    assert_eq!(Guid::new(bytes).bytes(), bytes);
    assert_eq!("too short".parse::<Guid>(), Err(Error::Invalid));
    assert_eq!(Cursor::from_words([1, 2, 3]).to_words(), [1, 2, 3]);
}

/// Who may be where, as types; the examples in the documentation say what must not compile.
#[test]
fn halves_are_sent_and_ends_are_shared() {
    fn send<T: Send>() {}
    fn sync<T: Sync>() {}
    send::<(Tx<'_>, Rx<'_>, Channel<'_>, Sender<'_>, Receiver<'_>, RingMemory<'_, Sending>)>();
    send::<(HostBus<'_, Platform>, Host<'_, '_, Platform>, GuestBus<'_, Platform>, Guest<'_, '_, Platform>)>(
    );
    send::<(HostSignals<'_>, GuestInterrupts<'_>, Remote<'_>, Sint<'_>, Incoming<'_>, List<'_>, Transaction)>(
    );
    sync::<(HostSignals<'_>, GuestInterrupts<'_>, Remote<'_>, Sint<'_>, Incoming<'_>, List<'_>, Transaction)>(
    );
}
