// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The receiving half of a ring.

use crate::error::{check, Error, Result};
use crate::list::{length, List};
use crate::memory::{Cursor, Receiving, RingMemory, Signal, Span, Violation};
use crate::packet::{Incoming, Kind};
use crate::storage::{self, Storage};
use core::alloc::Layout;
use core::fmt;
use core::marker::PhantomData;
use core::mem::{ManuallyDrop, MaybeUninit};
use core::ptr::{self, NonNull};
use core::sync::atomic::{compiler_fence, Ordering};
use vmbus_sys as sys;

/// The receiving half of a ring. It can be handed to any thread, and used by one at a time.
///
/// It is not `Sync`:
///
/// ```compile_fail,E0277
/// fn sync<T: Sync>() {}
/// sync::<vmbus::Rx<'static>>();
/// ```
pub struct Rx<'m> {
    raw: NonNull<sys::vmb_rx>,
    taken: Taken,
    needed: usize,
    _storage: Storage<'m>,
    _memory: PhantomData<RingMemory<'m, Receiving>>,
}

// SAFETY: the object and its storage are used through this value only, and know no thread. It is not Sync, because of the
// pointer: [rx] calls are for one caller at a time.
unsafe impl Send for Rx<'_> {}

/// What [`Rx::sleep`] says.
#[must_use = "the peer may have to be signalled, and there may be more"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sleep {
    /// There is more: do not sleep.
    pub more: bool,
    /// Does the peer have to be signalled?
    pub signal: Signal,
}

impl<'m> Rx<'m> {
    /// How much storage a half of this ring needs.
    pub fn storage(memory: &RingMemory<'m, Receiving>) -> Result<Layout> {
        let mut need = sys::vmb_storage::default();
        // SAFETY: [pure].
        check(unsafe { sys::vmb_rx_storage(&memory.raw, &mut need) })?;
        storage::layout(&need)
    }

    fn make(storage: Storage<'m>, memory: RingMemory<'m, Receiving>, from: Option<Cursor>) -> Result<Self> {
        let mut raw = ptr::null_mut();
        let from = from.as_ref().map_or(ptr::null(), |cursor| ptr::from_ref(&cursor.0));
        // SAFETY: the storage is nobody else's, and so long; the memory is what its maker has promised, and `from` is null or
        // a cursor.
        check(unsafe { sys::vmb_rx_init(storage.base(), storage.bytes(), &memory.raw, from, &mut raw) })?;
        let raw = NonNull::new(raw).ok_or(Error::Invalid)?;
        Ok(Self { raw, taken: Taken::default(), needed: 0, _storage: storage, _memory: PhantomData })
    }

    /// A half in storage of its own. `from`: where an earlier one stood.
    #[cfg(feature = "alloc")]
    pub fn new(memory: RingMemory<'m, Receiving>, from: Option<Cursor>) -> Result<Self> {
        let layout = Self::storage(&memory)?;
        Self::make(Storage::allocate(layout), memory, from)
    }

    /// A half in storage that is lent. [`Error::NoSpace`]: it is too small or not aligned.
    pub fn new_in(
        storage: &'m mut [MaybeUninit<u8>],
        memory: RingMemory<'m, Receiving>,
        from: Option<Cursor>,
    ) -> Result<Self> {
        Self::make(Storage::lent(storage), memory, from)
    }

    /// The next packet, in place. `None`: the ring is empty.
    // A packet borrows the half, which an iterator's items cannot.
    #[allow(clippy::should_implement_trait)]
    #[inline]
    pub fn next(&mut self) -> Result<Option<Received<'_>>> {
        let Taken { raw, all } = &mut self.taken;
        // SAFETY: [rx], by &mut.
        let facts = check(unsafe { sys::vmb_rx_next(self.raw.as_ptr(), raw, all) })?;
        Ok((facts != 0).then_some(Received { rx: self.raw, packet: &self.taken, _rx: PhantomData }))
    }

    /// The next packet, copied into `buffer`. `None`: the ring is empty. [`Error::TooSmall`]: it needs [`needed`](Self::needed)
    /// bytes, and stays. [`Error::Invalid`]: what should be its list is none, and it has been passed over.
    ///
    /// ```
    /// # #[cfg(feature = "alloc")] {
    /// # use vmbus::{Error, Packet, RingBuffer, Rx, Tx};
    /// # let mut ring = RingBuffer::new(1)?;
    /// # let (tx, rx) = ring.halves();
    /// # let (mut tx, mut rx) = (Tx::new(tx, None)?, Rx::new(rx, None)?);
    /// let _ = tx.put(&Packet::in_band(b"sixteen bytes of"))?;
    /// assert_eq!(rx.get(&mut [0]).unwrap_err(), Error::TooSmall);
    /// let mut buffer = vec![0; rx.needed() / 8];
    /// assert_eq!(rx.get(&mut buffer)?.unwrap().payload(), b"sixteen bytes of");
    /// # }
    /// # Ok::<(), vmbus::Error>(())
    /// ```
    #[inline]
    pub fn get<'b>(&mut self, buffer: &'b mut [u64]) -> Result<Option<Incoming<'b>>> {
        let raw = &mut self.taken.raw;
        let (words, bytes) = (buffer.as_mut_ptr(), size_of_val(buffer));
        // SAFETY: [rx], by &mut; the buffer is so long, and aligned to 8 as the library wants it.
        let r = unsafe { sys::vmb_rx_get(self.raw.as_ptr(), words.cast(), bytes, raw) };
        if r == sys::VMB_ETOOSMALL {
            self.needed = raw.head_len as usize + raw.len as usize;
        }
        if check(r)? & sys::VMB_YES == 0 {
            return Ok(None);
        }
        if raw.list.count != 0 {
            if raw.list.count as usize >= bytes / 8 {
                return Err(Error::Invalid);
            }
            // SAFETY: so many words are there, behind the one that counts; the pointer is the one that the payload's is made of,
            // and nothing else names these words.
            unsafe { copied_list(raw, words.add(1)) }?;
        }
        // SAFETY: the packet is a copy in the buffer, which is lent for 'b; its list has just been checked.
        Ok(Some(unsafe { Incoming::from_raw(*raw) }))
    }

    /// Bytes that the packet needs which the last [`Error::TooSmall`] was about.
    pub fn needed(&self) -> usize {
        self.needed
    }

    /// Gives the space of all that was received back to the peer.
    #[inline]
    pub fn release(&mut self) -> Result<Signal> {
        // SAFETY: [rx], by &mut: no packet is borrowed any more.
        Ok(Signal::of(check(unsafe { sys::vmb_rx_release(self.raw.as_ptr()) })?))
    }

    /// Goes back to the first packet that was not released.
    pub fn rewind(&mut self) -> Result<()> {
        // SAFETY: [rx], by &mut.
        check(unsafe { sys::vmb_rx_rewind(self.raw.as_ptr()) }).map(drop)
    }

    /// Releases, asks for signals, and looks once more.
    #[inline]
    pub fn sleep(&mut self) -> Result<Sleep> {
        // SAFETY: [rx], by &mut.
        let facts = check(unsafe { sys::vmb_rx_sleep(self.raw.as_ptr()) })?;
        Ok(Sleep { more: facts & sys::VMB_YES != 0, signal: Signal::of(facts) })
    }

    /// Asks for no signals, until the next sleep.
    pub fn mask(&mut self) -> Result<()> {
        // SAFETY: [rx], by &mut.
        check(unsafe { sys::vmb_rx_mask(self.raw.as_ptr()) }).map(drop)
    }

    /// Why this half refuses, if it does.
    pub fn violation(&self) -> Option<Violation> {
        let mut at = 0;
        // SAFETY: [any].
        let reason = unsafe { sys::vmb_rx_reason(self.raw.as_ptr(), &mut at) };
        Violation::of(reason, at)
    }

    /// Ends it, and says where it stands. What was not released comes again.
    pub fn end(self) -> Cursor {
        let mut at = sys::vmb_cursor::default();
        let this = ManuallyDrop::new(self);
        // SAFETY: [rx], by value, and the last use.
        unsafe { sys::vmb_rx_end(this.raw.as_ptr(), &mut at) };
        // SAFETY: `this` is never dropped, so that the storage is owned, and freed, once: at the end of this function.
        let _storage = unsafe { ptr::read(&this._storage) };
        Cursor(at)
    }
}

/// The list that a copied packet's variable header is, made one of this machine's; of GPA direct checked.
///
/// # Safety
///
/// `raw.list.count` words are there, nobody else's.
#[cold]
pub(crate) unsafe fn copied_list(raw: &mut sys::vmb_packet, words: *mut u64) -> Result<()> {
    let count = raw.list.count;
    for i in 0..count as usize {
        // SAFETY: so many are there.
        unsafe { words.add(i).write(u64::from_le(words.add(i).read())) };
    }
    raw.list = if Kind::of(raw) == Kind::Gpa {
        // SAFETY: the same.
        let words = unsafe { core::slice::from_raw_parts(words, count as usize) };
        List::new(words, raw.list.ranges)?.raw
    } else {
        sys::vmb_list { words, count: count.min(raw.list.ranges), ..raw.list }
    };
    Ok(())
}

impl Drop for Rx<'_> {
    fn drop(&mut self) {
        // SAFETY: [rx], by &mut, and the last use.
        unsafe { sys::vmb_rx_end(self.raw.as_ptr(), ptr::null_mut()) };
    }
}

impl fmt::Debug for Rx<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rx").field("violation", &self.violation()).finish_non_exhaustive()
    }
}

/// What the library says of a packet in the ring. It stays in the half, for moving it costs more than the library's call.
#[derive(Default)]
pub(crate) struct Taken {
    pub(crate) raw: sys::vmb_packet,
    pub(crate) all: sys::vmb_view,
}

/// A packet in the ring. Its bytes stay the peer's to change: read each once.
///
/// It cannot outlive its release:
///
/// ```compile_fail,E0499
/// # fn f(rx: &mut vmbus::Rx<'_>) -> vmbus::Result<()> {
/// let packet = rx.next()?.unwrap();
/// let _ = rx.release()?;
/// packet.read(0, &mut [0; 8])?;
/// # Ok(()) }
/// ```
pub struct Received<'r> {
    /// Of a half that is borrowed, mutably, for 'r.
    pub(crate) rx: NonNull<sys::vmb_rx>,
    pub(crate) packet: &'r Taken,
    pub(crate) _rx: PhantomData<&'r mut sys::vmb_rx>,
}

impl fmt::Debug for Received<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Received")
            .field("kind", &self.kind())
            .field("id", &self.packet.raw.id)
            .field("len", &self.packet.raw.len)
            .finish_non_exhaustive()
    }
}

impl Received<'_> {
    /// What kind it is.
    #[inline]
    pub fn kind(&self) -> Kind {
        Kind::of(&self.packet.raw)
    }

    /// Does the sender want a completion?
    #[inline]
    pub fn wants_reply(&self) -> bool {
        self.packet.raw.flags & sys::VMB_PKT_WANTS_REPLY != 0
    }

    /// The sender's id; of a completion: that of the request.
    #[inline]
    pub fn id(&self) -> u64 {
        self.packet.raw.id
    }

    /// Bytes of payload: a multiple of 8, with up to 7 of padding.
    #[inline]
    pub fn len(&self) -> usize {
        self.packet.raw.len as usize
    }

    /// None?
    pub fn is_empty(&self) -> bool {
        self.packet.raw.len == 0
    }

    /// How many words [`list`](Self::list) needs; 0: it has no list.
    pub fn list_words(&self) -> usize {
        self.packet.raw.list.count as usize
    }

    /// Copies bytes of the payload. [`Error::Invalid`]: they do not lie within it.
    #[inline]
    pub fn read(&self, offset: usize, to: &mut [u8]) -> Result<()> {
        if offset > self.len() {
            return Err(Error::Invalid);
        }
        if !self.packet.raw.payload.is_null() && to.len() <= self.len() - offset {
            // SAFETY: [rx]: the half is borrowed; so many bytes of the ring lie there.
            unsafe {
                ptr::copy_nonoverlapping(
                    self.packet.raw.payload.cast::<u8>().add(offset),
                    to.as_mut_ptr(),
                    to.len(),
                )
            };
            // What the compiler reads in `to` from here on it must not read in the ring again: the peer may have changed it.
            compiler_fence(Ordering::SeqCst);
            return Ok(());
        }
        self.copy(self.packet.raw.head_len as usize + offset, to.as_mut_ptr(), to.len())
    }

    /// GPA direct: copies its page list into `words`, of which it needs [`list_words`](Self::list_words), and checks the
    /// copy. [`Error::NotFound`]: it is of another kind; [`Error::TooSmall`]: more words are needed.
    pub fn list<'w>(&self, words: &'w mut [u64]) -> Result<List<'w>> {
        if self.kind() != Kind::Gpa {
            return Err(Error::NotFound);
        }
        List::new(self.words(words)?, self.packet.raw.list.ranges)
    }

    /// Transfer pages: its set, and its windows, copied into `words`; nobody has compared them with the set yet.
    pub fn windows<'w>(&self, words: &'w mut [u64]) -> Result<(u16, &'w [u64])> {
        if self.kind() != Kind::Transfer {
            return Err(Error::NotFound);
        }
        let windows = self.words(words)?.get(..self.packet.raw.list.ranges as usize).ok_or(Error::Invalid)?;
        Ok((self.packet.raw.page_set, windows))
    }

    /// The words of the variable header, behind the one that counts its ranges.
    fn words<'w>(&self, words: &'w mut [u64]) -> Result<&'w [u64]> {
        let words = words.get_mut(..self.list_words()).ok_or(Error::TooSmall)?;
        self.copy(8, words.as_mut_ptr().cast(), size_of_val(words))?;
        for word in words.iter_mut() {
            *word = u64::from_le(*word);
        }
        Ok(words)
    }

    /// `to`: `n` bytes that can be written, as all callers have them.
    #[inline]
    fn copy(&self, offset: usize, to: *mut u8, n: usize) -> Result<()> {
        // SAFETY: [rx]: the half is borrowed; the library compares view, offset and n with the ring.
        let r = unsafe {
            sys::vmb_rx_copy(self.rx.as_ptr(), &self.packet.all, length(offset)?, to.cast(), length(n)?)
        };
        check(r).map(drop)
    }

    /// Where the bytes of the variable header and the payload, from `offset` on, lie, in as many rows as `spans` takes. To
    /// be read while this value is borrowed.
    pub fn spans<'s>(&self, offset: usize, spans: &'s mut [Span]) -> Result<&'s [Span]> {
        let (slots, n) = Span::slots(spans);
        // SAFETY: as in `copy`; Span is a vmb_span, and there are n of them.
        let n = check(unsafe {
            sys::vmb_rx_spans(self.rx.as_ptr(), &self.packet.all, length(offset)?, slots, n)
        })?;
        Ok(&spans[..n as usize])
    }
}
