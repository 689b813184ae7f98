// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The sending half of a ring.

use crate::error::{check, Error, Result};
use crate::list::length;
use crate::memory::{Cursor, RingMemory, Sending, Signal, Span, Violation};
use crate::packet::{Packet, Part};
use crate::storage::{self, Storage};
use core::alloc::Layout;
use core::fmt;
use core::marker::PhantomData;
use core::mem::{ManuallyDrop, MaybeUninit};
use core::ptr::{self, NonNull};
use vmbus_sys as sys;

/// The sending half of a ring. It can be handed to any thread, and used by one at a time.
///
/// ```
/// # #[cfg(feature = "alloc")] {
/// use vmbus::{Packet, RingBuffer, Rx, Tx};
/// let mut ring = RingBuffer::new(1)?;
/// let (tx, rx) = ring.halves();
/// let (mut tx, mut rx) = (Tx::new(tx, None)?, Rx::new(rx, None)?);
/// assert!(tx.put(&Packet::in_band(b"hello..."))?.needed());
/// let packet = rx.next()?.expect("it was put");
/// let mut text = [0; 8];
/// packet.read(0, &mut text)?;
/// assert_eq!(&text, b"hello...");
/// # }
/// # Ok::<(), vmbus::Error>(())
/// ```
///
/// It is not `Sync`:
///
/// ```compile_fail,E0277
/// fn sync<T: Sync>() {}
/// sync::<vmbus::Tx<'static>>();
/// ```
///
/// Once it was ended it is gone:
///
/// ```compile_fail,E0382
/// # fn f(mut tx: vmbus::Tx<'_>) -> vmbus::Result<()> {
/// let cursor = tx.end();
/// let _ = tx.put(&vmbus::Packet::in_band(b""))?;
/// # Ok(()) }
/// ```
pub struct Tx<'m> {
    raw: NonNull<sys::vmb_tx>,
    /// Something was put that neither commit nor discard has ended.
    open: bool,
    _storage: Storage<'m>,
    _memory: PhantomData<RingMemory<'m, Sending>>,
}

// SAFETY: the object and its storage are used through this value only, and know no thread. It is not Sync, because of the
// pointer: [tx] calls are for one caller at a time.
unsafe impl Send for Tx<'_> {}

impl<'m> Tx<'m> {
    /// How much storage a half of this ring needs.
    pub fn storage(memory: &RingMemory<'m, Sending>) -> Result<Layout> {
        let mut need = sys::vmb_storage::default();
        // SAFETY: [pure].
        check(unsafe { sys::vmb_tx_storage(&memory.raw, &mut need) })?;
        storage::layout(&need)
    }

    fn make(storage: Storage<'m>, memory: RingMemory<'m, Sending>, from: Option<Cursor>) -> Result<Self> {
        let mut raw = ptr::null_mut();
        let from = from.as_ref().map_or(ptr::null(), |cursor| ptr::from_ref(&cursor.0));
        // SAFETY: the storage is nobody else's, and so long; the memory is what its maker has promised, and `from` is null or
        // a cursor.
        check(unsafe { sys::vmb_tx_init(storage.base(), storage.bytes(), &memory.raw, from, &mut raw) })?;
        let raw = NonNull::new(raw).ok_or(Error::Invalid)?;
        Ok(Self { raw, open: false, _storage: storage, _memory: PhantomData })
    }

    /// A half in storage of its own. `from`: where an earlier one stood.
    #[cfg(feature = "alloc")]
    #[inline]
    pub fn new(memory: RingMemory<'m, Sending>, from: Option<Cursor>) -> Result<Self> {
        let layout = Self::storage(&memory)?;
        Self::make(Storage::allocate(layout), memory, from)
    }

    /// A half in storage that is lent. [`Error::NoSpace`]: it is too small or not aligned.
    pub fn new_in(
        storage: &'m mut [MaybeUninit<u8>],
        memory: RingMemory<'m, Sending>,
        from: Option<Cursor>,
    ) -> Result<Self> {
        Self::make(Storage::lent(storage), memory, from)
    }

    /// Puts one packet and publishes it. [`Error::Full`]: see [`arm`](Self::arm).
    #[inline]
    pub fn put(&mut self, packet: &Packet<'_>) -> Result<Signal> {
        let mut batch = self.batch();
        batch.put(packet)?;
        batch.commit()
    }

    /// The same with the payload gathered from parts; that of the packet is not looked at.
    #[inline]
    pub fn put_parts(&mut self, packet: &Packet<'_>, parts: &[Part<'_>]) -> Result<Signal> {
        let mut batch = self.batch();
        batch.put_parts(packet, parts)?;
        batch.commit()
    }

    /// Room for one packet with `len` bytes of payload, to be written in place and published by
    /// [`commit`](Reservation::commit). That of the packet is not looked at.
    ///
    /// ```
    /// # #[cfg(feature = "alloc")] {
    /// # use vmbus::{Packet, RingBuffer, Rx, Tx};
    /// # let mut ring = RingBuffer::new(1)?;
    /// # let (tx, rx) = ring.halves();
    /// # let (mut tx, mut rx) = (Tx::new(tx, None)?, Rx::new(rx, None)?);
    /// let mut room = tx.reserve(&Packet::in_band(&[]), 16)?;
    /// room.write(0, b"first 8.")?;
    /// drop(room); // changed its mind
    /// assert!(rx.next()?.is_none());
    /// let mut room = tx.reserve(&Packet::in_band(&[]), 16)?;
    /// room.write(0, b"first 8.")?;
    /// room.write(8, b"the rest")?;
    /// assert!(room.commit()?.needed());
    /// # assert!(rx.next()?.is_some());
    /// # }
    /// # Ok::<(), vmbus::Error>(())
    /// ```
    #[inline]
    pub fn reserve(&mut self, packet: &Packet<'_>, len: u32) -> Result<Reservation<'_, 'm>> {
        let mut batch = self.batch();
        let place = batch.place(packet, len)?;
        Ok(Reservation { batch, place })
    }

    /// Several packets that are published together.
    #[inline]
    pub fn batch(&mut self) -> Batch<'_, 'm> {
        if self.open {
            // A batch that was forgotten, by mem::forget: what it put has not been published, and is not to be.
            self.discard();
        }
        Batch { tx: self }
    }

    #[cold]
    fn discard(&mut self) {
        // SAFETY: [tx], by &mut. An error says that the ring is broken: then nothing is published any more.
        unsafe { sys::vmb_tx_discard(self.raw.as_ptr()) };
        self.open = false;
    }

    /// After [`Error::Full`]: asks to be signalled once a packet as large as this one fits, or once `least` bytes are free.
    /// `true`: it fits already, and no signal will come.
    pub fn arm(&mut self, packet: &Packet<'_>, least: u32) -> Result<bool> {
        // SAFETY: [tx], by &mut; the packet is one.
        Ok(check(unsafe { sys::vmb_tx_arm(self.raw.as_ptr(), packet.raw(), least) })? & sys::VMB_YES != 0)
    }

    /// Why this half refuses, if it does.
    pub fn violation(&self) -> Option<Violation> {
        let mut at = 0;
        // SAFETY: [any].
        let reason = unsafe { sys::vmb_tx_reason(self.raw.as_ptr(), &mut at) };
        Violation::of(reason, at)
    }

    /// Ends it, and says where it stands.
    pub fn end(self) -> Cursor {
        let mut at = sys::vmb_cursor::default();
        let this = ManuallyDrop::new(self);
        // SAFETY: [tx], by value, and the last use.
        unsafe { sys::vmb_tx_end(this.raw.as_ptr(), &mut at) };
        // SAFETY: `this` is never dropped, so that the storage is owned, and freed, once: at the end of this function.
        let _storage = unsafe { ptr::read(&this._storage) };
        Cursor(at)
    }
}

impl Drop for Tx<'_> {
    fn drop(&mut self) {
        // SAFETY: [tx], by &mut, and the last use.
        unsafe { sys::vmb_tx_end(self.raw.as_ptr(), ptr::null_mut()) };
    }
}

impl fmt::Debug for Tx<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tx").field("violation", &self.violation()).finish_non_exhaustive()
    }
}

/// Packets that [`commit`](Self::commit) publishes together. Dropped without that, they are forgotten.
#[must_use = "what was put is forgotten unless it is committed"]
#[derive(Debug)]
pub struct Batch<'t, 'm> {
    tx: &'t mut Tx<'m>,
}

impl<'t, 'm> Batch<'t, 'm> {
    /// Puts one packet. After an error what was put before is still there.
    #[inline]
    pub fn put(&mut self, packet: &Packet<'_>) -> Result<()> {
        // SAFETY: [tx], by &mut; the packet's payload and list are there.
        check(unsafe { sys::vmb_tx_put(self.tx.raw.as_ptr(), packet.raw()) })?;
        self.tx.open = true;
        Ok(())
    }

    /// The same with the payload gathered from parts; that of the packet is not looked at.
    #[inline]
    pub fn put_parts(&mut self, packet: &Packet<'_>, parts: &[Part<'_>]) -> Result<()> {
        let raw = packet.sized(Part::sum(parts)?);
        // SAFETY: [tx], by &mut; Part is a vmb_span, and all of them are there.
        check(unsafe {
            sys::vmb_tx_putv(self.tx.raw.as_ptr(), &raw, parts.as_ptr().cast(), length(parts.len())?)
        })?;
        self.tx.open = true;
        Ok(())
    }

    #[inline]
    fn place(&mut self, packet: &Packet<'_>, len: u32) -> Result<Place> {
        let raw = packet.sized(len);
        // SAFETY: [tx], by &mut; the payload is not read.
        let row = NonNull::new(unsafe { sys::vmb_tx_place(self.tx.raw.as_ptr(), &raw) });
        let place = match row {
            Some(row) => Place::Row(row.cast(), len as usize),
            None => {
                let mut view = sys::vmb_view::default();
                // SAFETY: the same.
                check(unsafe { sys::vmb_tx_reserve(self.tx.raw.as_ptr(), &raw, &mut view) })?;
                Place::View(view)
            }
        };
        self.tx.open = true;
        Ok(place)
    }

    /// Room for one more packet, which `fill` writes. Where that says no, or panics, all that was put since the last commit
    /// is forgotten. No room: what was put before is still there.
    #[inline]
    pub fn put_with<F>(&mut self, packet: &Packet<'_>, len: u32, fill: F) -> Result<()>
    where
        F: FnOnce(&mut Room<'_>) -> Result<()>,
    {
        let place = self.place(packet, len)?;
        let unfinished = Batch { tx: self.tx };
        fill(&mut Room::new(unfinished.tx.raw, place))?;
        core::mem::forget(unfinished);
        Ok(())
    }

    /// Publishes all of it.
    #[inline]
    pub fn commit(self) -> Result<Signal> {
        // SAFETY: [tx], by &mut.
        let facts = check(unsafe { sys::vmb_tx_commit(self.tx.raw.as_ptr()) })?;
        self.tx.open = false;
        Ok(Signal::of(facts))
    }
}

impl Drop for Batch<'_, '_> {
    #[inline]
    fn drop(&mut self) {
        if self.tx.open {
            self.tx.discard();
        }
    }
}

/// Room for one packet. Dropped without [`commit`](Self::commit), there was none.
///
/// ```compile_fail,E0382
/// # fn f(tx: &mut vmbus::Tx<'_>) -> vmbus::Result<()> {
/// let mut room = tx.reserve(&vmbus::Packet::in_band(&[]), 8)?;
/// let _ = room.commit()?;
/// room.write(0, b"too late")?;
/// # Ok(()) }
/// ```
#[must_use = "the packet is forgotten unless it is committed"]
#[derive(Debug)]
pub struct Reservation<'t, 'm> {
    batch: Batch<'t, 'm>,
    place: Place,
}

impl Reservation<'_, '_> {
    #[inline]
    fn room(&mut self) -> Room<'_> {
        Room::new(self.batch.tx.raw, self.place)
    }

    /// Bytes of payload.
    pub fn len(&self) -> usize {
        match self.place {
            Place::Row(_, len) => len,
            Place::View(view) => view.len as usize,
        }
    }

    /// None?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes bytes of the payload. What is never written is whatever lay in the ring.
    #[inline]
    pub fn write(&mut self, offset: usize, bytes: &[u8]) -> Result<()> {
        self.room().write(offset, bytes)
    }

    /// As [`Room::spans`].
    pub fn spans<'s>(&mut self, offset: usize, spans: &'s mut [Span]) -> Result<&'s [Span]> {
        self.room().spans(offset, spans)
    }

    /// Publishes the packet.
    #[inline]
    pub fn commit(self) -> Result<Signal> {
        self.batch.commit()
    }
}

/// Where the payload of a packet that is being made lies.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    /// In a row of so many bytes, as nearly all do.
    Row(NonNull<u8>, usize),
    View(sys::vmb_view),
}

/// The payload of a packet that is being made in the ring.
#[derive(Debug)]
pub struct Room<'r> {
    /// Of a half that is borrowed, mutably, for 'r.
    tx: NonNull<sys::vmb_tx>,
    place: Place,
    _tx: PhantomData<&'r mut sys::vmb_tx>,
}

impl Room<'_> {
    #[inline]
    pub(crate) fn new(tx: NonNull<sys::vmb_tx>, place: Place) -> Self {
        Self { tx, place, _tx: PhantomData }
    }

    /// Writes bytes of the payload. [`Error::Invalid`]: they do not lie within it.
    #[inline]
    pub fn write(&mut self, offset: usize, bytes: &[u8]) -> Result<()> {
        match self.place {
            Place::Row(row, len) => {
                if offset > len || bytes.len() > len - offset {
                    return Err(Error::Invalid);
                }
                // SAFETY: `len` bytes of the ring lie at `row`, which is this half's to write until the packet is committed.
                unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), row.as_ptr().add(offset), bytes.len()) };
                Ok(())
            }
            Place::View(view) => {
                let (offset, n) = (length(offset)?, length(bytes.len())?);
                // SAFETY: [tx], by &mut; the library compares view, offset and n with the ring; n bytes are there.
                check(unsafe { sys::vmb_tx_copy(self.tx.as_ptr(), &view, offset, bytes.as_ptr().cast(), n) })
                    .map(drop)
            }
        }
    }

    /// Where the bytes from `offset` on lie, in as many rows as `spans` takes. Whoever writes there does what
    /// [`write`](Self::write) does, before the packet is committed or dropped.
    pub fn spans<'s>(&mut self, offset: usize, spans: &'s mut [Span]) -> Result<&'s [Span]> {
        let (slots, n) = Span::slots(spans);
        let n = match self.place {
            Place::Row(_, len) if offset > len => return Err(Error::Invalid),
            Place::Row(_, len) if offset == len || n == 0 => 0,
            Place::Row(row, len) => {
                // SAFETY: `len` bytes lie at `row`; there is a slot for one span.
                unsafe {
                    slots.write(sys::vmb_span { base: row.as_ptr().add(offset).cast(), len: len - offset });
                }
                1
            }
            Place::View(view) => {
                // SAFETY: [tx], by &mut; Span is a vmb_span, and there are n of them.
                check(unsafe { sys::vmb_tx_spans(self.tx.as_ptr(), &view, length(offset)?, slots, n) })?
            }
        };
        Ok(&spans[..n as usize])
    }
}
