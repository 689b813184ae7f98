// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The two halves of a channel.

use crate::channel::{self, RequestId};
use crate::error::{check, Error, Result};
use crate::list::length;
use crate::memory::Signal;
use crate::packet::{Incoming, Packet, Part, Transaction};
use crate::record::{Arrival, Record};
use crate::rx::{Received, Taken};
use crate::tx::{Place, Room};
use core::fmt;
use core::marker::PhantomData;
use core::ptr::{self, NonNull};
use vmbus_sys as sys;

/// The sending half of a channel. It can be handed to any thread, and used by one at a time.
///
/// What is put is seen by the peer when it is flushed. [`Error::Stopped`] and [`Error::Peer`] are for good: give the halves
/// back.
///
/// ```compile_fail,E0277
/// fn sync<T: Sync>() {}
/// sync::<vmbus::Sender<'static>>();
/// ```
pub struct Sender<'c> {
    pub(crate) raw: NonNull<sys::vmb_channel>,
    owes: bool,
    _channel: PhantomData<&'c sys::vmb_channel>,
}

// SAFETY: the only one that makes [tx] calls of its channel, which know no thread. Not Sync, because of the pointer.
unsafe impl Send for Sender<'_> {}

/// A completion that was not sent.
#[derive(Debug)]
pub struct Refused {
    /// Why.
    pub error: Error,
    /// It is still to be completed.
    pub transaction: Transaction,
}

impl<'c> Sender<'c> {
    /// # Safety
    ///
    /// The only sender of a channel, which is there for `'c` and is not given back before.
    pub(crate) unsafe fn new(raw: NonNull<sys::vmb_channel>) -> Self {
        Self { raw, owes: false, _channel: PhantomData }
    }

    #[inline]
    fn facts(&mut self, r: core::ffi::c_int) -> Result<()> {
        self.owes |= check(r)? & sys::VMB_SIGNAL != 0;
        Ok(())
    }

    /// Queues a packet. A request with id 0 gets an id from the channel; the result is the packet's id.
    ///
    /// [`Error::Full`]: what was queued has been flushed, and a wake comes when it fits. [`Error::NoSlot`]: as many requests
    /// are in flight as the channel was made for.
    #[inline]
    pub fn put(&mut self, packet: &Packet<'_>) -> Result<RequestId> {
        let mut raw = *packet.raw();
        // SAFETY: [tx], by &mut; the packet's payload and list are there.
        let r = unsafe { sys::vmb_channel_put(self.raw.as_ptr(), &mut raw) };
        self.facts(r)?;
        Ok(RequestId(raw.id))
    }

    /// The same with the payload gathered from parts; that of the packet is not looked at.
    #[inline]
    pub fn put_parts(&mut self, packet: &Packet<'_>, parts: &[Part<'_>]) -> Result<RequestId> {
        let mut raw = packet.sized(Part::sum(parts)?);
        // SAFETY: [tx], by &mut; Part is a vmb_span, and all of them are there.
        let r = unsafe {
            sys::vmb_channel_putv(self.raw.as_ptr(), &mut raw, parts.as_ptr().cast(), length(parts.len())?)
        };
        self.facts(r)?;
        Ok(RequestId(raw.id))
    }

    /// The same with `len` bytes of payload that `fill` writes in place. It is part of the channel's queue whatever `fill`
    /// does: what that does not write is what lay in the ring, which is the peer's anyway.
    #[inline]
    pub fn put_with<F>(&mut self, packet: &Packet<'_>, len: u32, fill: F) -> Result<RequestId>
    where
        F: FnOnce(&mut Room<'_>),
    {
        let (mut raw, mut view) = (packet.sized(len), sys::vmb_view::default());
        let mut tx = ptr::null_mut();
        // SAFETY: [tx], by &mut; the payload is not read.
        let r = unsafe { sys::vmb_channel_reserve(self.raw.as_ptr(), &mut raw, &mut view) };
        self.facts(r)?;
        // SAFETY: [tx], by &mut. The ring half lies in the channel, and is used for spans and copies only.
        check(unsafe { sys::vmb_channel_tx(self.raw.as_ptr(), &mut tx) })?;
        fill(&mut Room::new(NonNull::new(tx).ok_or(Error::Invalid)?, Place::View(view)));
        Ok(RequestId(raw.id))
    }

    /// Shows the peer what was put, and signals it if it must be.
    #[inline]
    pub fn flush(&mut self) -> Result<()> {
        // SAFETY: [tx], by &mut.
        let r = unsafe { sys::vmb_channel_flush(self.raw.as_ptr()) };
        self.facts(r)
    }

    /// [`put`](Self::put) and [`flush`](Self::flush).
    #[inline]
    pub fn send(&mut self, packet: &Packet<'_>) -> Result<RequestId> {
        let mut raw = *packet.raw();
        // SAFETY: [tx], by &mut; the packet's payload and list are there.
        let r = unsafe { sys::vmb_channel_send(self.raw.as_ptr(), &mut raw) };
        self.facts(r)?;
        Ok(RequestId(raw.id))
    }

    /// Answers a request, once: the transaction is given back only where that failed.
    ///
    /// ```compile_fail,E0382
    /// # fn f(tx: &mut vmbus::Sender<'_>, transaction: vmbus::Transaction) {
    /// let _ = tx.complete(transaction, b"one");
    /// let _ = tx.complete(transaction, b"two");
    /// # }
    /// ```
    #[inline]
    pub fn complete(
        &mut self,
        transaction: Transaction,
        payload: &[u8],
    ) -> core::result::Result<(), Refused> {
        match self.send(&Packet::completion(transaction.id(), payload)) {
            Ok(_) => Ok(()),
            Err(error) => Err(Refused { error, transaction }),
        }
    }

    /// Puts what the records describe, in `buffer`, and flushes once. How many were taken: fewer, where [`Error::Full`] or
    /// [`Error::NoSlot`] stopped it.
    #[inline]
    pub fn send_batch(&mut self, buffer: &[u64], records: &mut [Record]) -> Result<usize> {
        let bytes = length(size_of_val(buffer))?;
        // SAFETY: [tx], by &mut; so many bytes and records are there, and Record is a vmb_record.
        let r = unsafe {
            sys::vmb_channel_send_batch(
                self.raw.as_ptr(),
                buffer.as_ptr().cast(),
                bytes,
                records.as_mut_ptr().cast(),
                length(records.len())?,
            )
        };
        Ok(check(r)? as usize)
    }

    /// Gives up a request, and tells what it was sent with. Its slot, and the memory that it names, stay the peer's until
    /// its completion comes ([`Incoming::late`]) or the channel ends. [`Error::NotFound`]: it has been completed.
    pub fn cancel(&mut self, request: RequestId) -> Result<u64> {
        let mut user = 0;
        // SAFETY: [tx], by &mut.
        check(unsafe { sys::vmb_channel_cancel(self.raw.as_ptr(), request.0, &mut user) })?;
        Ok(user)
    }

    /// With [`Options::defer`](crate::Options::defer): has a call asked for a signal since this was asked? Then call
    /// [`signal`](Self::signal).
    pub fn owes_signal(&mut self) -> Signal {
        if core::mem::take(&mut self.owes) {
            Signal::Needed
        } else {
            Signal::NotNeeded
        }
    }

    /// With [`Options::defer`](crate::Options::defer): signals the peer.
    pub fn signal(&mut self) -> Result<()> {
        // SAFETY: [any], and the channel is not given back while this half is there.
        check(unsafe { sys::vmb_channel_signal(self.raw.as_ptr()) }).map(drop)
    }

    /// What the channel counts: a racy snapshot.
    pub fn info(&self) -> Result<sys::vmb_channel_info> {
        // SAFETY: the channel is not given back while this half is there.
        unsafe { channel::info(self.raw) }
    }

    /// With [`Options::dirty`](crate::Options::dirty): ORs into `bits` the ring pages written since the last call.
    pub fn dirty(&self, bits: &mut [u64]) -> Result<()> {
        // SAFETY: the channel is not given back while this half is there.
        unsafe { channel::dirty(self.raw, bits) }
    }
}

impl fmt::Debug for Sender<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

/// The receiving half of a channel. It can be handed to any thread, and used by one at a time.
///
/// ```compile_fail,E0277
/// fn sync<T: Sync>() {}
/// sync::<vmbus::Receiver<'static>>();
/// ```
pub struct Receiver<'c> {
    pub(crate) raw: NonNull<sys::vmb_channel>,
    taken: Taken,
    needed: usize,
    _channel: PhantomData<&'c sys::vmb_channel>,
}

// SAFETY: the only one that makes [rx] calls of its channel, which know no thread. Not Sync, because of the pointer.
unsafe impl Send for Receiver<'_> {}

impl<'c> Receiver<'c> {
    /// # Safety
    ///
    /// The only receiver of a channel, which is there for `'c` and is not given back before.
    pub(crate) unsafe fn new(raw: NonNull<sys::vmb_channel>) -> Self {
        Self { raw, taken: Taken::default(), needed: 0, _channel: PhantomData }
    }

    /// Copies the next packet into the buffer. `None`: there is none; all space has been given back, and a wake comes with
    /// the next one.
    ///
    /// [`Error::TooSmall`]: [`needed`](Self::needed) says what it needs. [`Error::Again`]: so many completions without a
    /// request that this call ended; call again.
    ///
    /// The packet borrows the buffer:
    ///
    /// ```compile_fail,E0499
    /// # fn f(rx: &mut vmbus::Receiver<'_>) -> vmbus::Result<()> {
    /// let mut buffer = [0_u64; 64];
    /// let first = rx.recv(&mut buffer)?.unwrap();
    /// let second = rx.recv(&mut buffer)?.unwrap();
    /// assert_eq!(first.payload(), second.payload());
    /// # Ok(()) }
    /// ```
    #[inline]
    pub fn recv<'b>(&mut self, buffer: &'b mut [u64]) -> Result<Option<Incoming<'b>>> {
        let raw = &mut self.taken.raw;
        let bytes = size_of_val(buffer);
        // SAFETY: [rx], by &mut; the buffer is so long, and aligned to 8 as the library wants it.
        let r = unsafe { sys::vmb_channel_recv(self.raw.as_ptr(), buffer.as_mut_ptr().cast(), bytes, raw) };
        if r == sys::VMB_ETOOSMALL {
            self.needed = raw.head_len as usize + raw.len as usize;
        }
        // SAFETY: VMB_YES: the packet is a checked copy in the buffer, which is lent for 'b.
        Ok((check(r)? & sys::VMB_YES != 0).then(|| unsafe { Incoming::from_raw(*raw) }))
    }

    /// Bytes that the packet needs which the last [`Error::TooSmall`] was about.
    pub fn needed(&self) -> usize {
        self.needed
    }

    /// Passes over the packet that [`Error::TooSmall`] told of.
    pub fn skip(&mut self) -> Result<()> {
        // SAFETY: [rx], by &mut.
        check(unsafe { sys::vmb_channel_skip(self.raw.as_ptr()) }).map(drop)
    }

    /// Gives space back now: before you wait for anything but this channel.
    #[inline]
    pub fn release(&mut self) -> Result<()> {
        // SAFETY: [rx], by &mut: no packet in place is borrowed any more.
        check(unsafe { sys::vmb_channel_release(self.raw.as_ptr()) }).map(drop)
    }

    /// As [`recv`](Self::recv), but in place: the bytes stay the peer's to change.
    // A packet borrows the half, which an iterator's items cannot.
    #[allow(clippy::should_implement_trait)]
    #[inline]
    pub fn next(&mut self) -> Result<Option<Received<'_>>> {
        let Taken { raw, all } = &mut self.taken;
        let mut rx = ptr::null_mut();
        // SAFETY: [rx], by &mut.
        if check(unsafe { sys::vmb_channel_next(self.raw.as_ptr(), raw, all) })? & sys::VMB_YES == 0 {
            return Ok(None);
        }
        // SAFETY: [rx], by &mut. The ring half lies in the channel, and is used for spans and copies only.
        check(unsafe { sys::vmb_channel_rx(self.raw.as_ptr(), &mut rx) })?;
        let rx = NonNull::new(rx).ok_or(Error::Invalid)?;
        Ok(Some(Received { rx, packet: &self.taken, _rx: PhantomData }))
    }

    /// As many packets as there are, or as fit into buffer or records: how many. 0: as `None` of [`recv`](Self::recv).
    #[inline]
    pub fn recv_batch(&mut self, buffer: &mut [u64], records: &mut [Arrival]) -> Result<usize> {
        let bytes = length(size_of_val(buffer))?;
        // SAFETY: [rx], by &mut; so many bytes and records are there, and Arrival is a vmb_record.
        let r = unsafe {
            sys::vmb_channel_recv_batch(
                self.raw.as_ptr(),
                buffer.as_mut_ptr().cast(),
                bytes,
                records.as_mut_ptr().cast(),
                length(records.len())?,
            )
        };
        Ok(check(r)? as usize)
    }

    /// What the channel counts: a racy snapshot.
    pub fn info(&self) -> Result<sys::vmb_channel_info> {
        // SAFETY: the channel is not given back while this half is there.
        unsafe { channel::info(self.raw) }
    }
}

impl fmt::Debug for Receiver<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}
