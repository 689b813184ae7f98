// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Packets, to send and received.

use crate::error::{check, Error, Result};
use crate::list::{length, raw_mapper, words_of, List, Mapper};
use core::fmt;
use core::marker::PhantomData;
use core::ptr;
use vmbus_sys as sys;

/// What kind of packet it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// Payload only.
    InBand,
    /// Transfer pages, host to guest: windows into a set.
    Transfer,
    /// GPA direct, guest to host: pages of the guest.
    Gpa,
    /// The answer to a request.
    Completion,
    /// What only a loose ring lets through.
    Other(u16),
}

impl Kind {
    #[inline]
    pub(crate) fn of(raw: &sys::vmb_packet) -> Self {
        match raw.kind {
            sys::VMB_PKT_INBAND => Self::InBand,
            sys::VMB_PKT_XFER => Self::Transfer,
            sys::VMB_PKT_GPA => Self::Gpa,
            sys::VMB_PKT_COMPLETION => Self::Completion,
            other => Self::Other(other),
        }
    }
}

/// A packet to send. It borrows its payload and its list.
#[derive(Clone, Copy)]
pub struct Packet<'a> {
    raw: sys::vmb_packet,
    _parts: PhantomData<&'a [u8]>,
}

impl<'a> Packet<'a> {
    #[inline]
    fn new(kind: u16, id: u64, payload: &'a [u8], list: sys::vmb_list) -> Self {
        let raw = sys::vmb_packet {
            kind,
            id,
            // Beyond u32 nothing can be sent, and the library looks at the length before the bytes.
            len: u32::try_from(payload.len()).unwrap_or(u32::MAX),
            payload: payload.as_ptr().cast(),
            list,
            ..Default::default()
        };
        Self { raw, _parts: PhantomData }
    }

    /// Payload only.
    #[inline]
    pub fn in_band(payload: &'a [u8]) -> Self {
        Self::new(sys::VMB_PKT_INBAND, 0, payload, sys::vmb_list::default())
    }

    /// The answer to the request of this id.
    #[inline]
    pub fn completion(id: u64, payload: &'a [u8]) -> Self {
        Self::new(sys::VMB_PKT_COMPLETION, id, payload, sys::vmb_list::default())
    }

    /// Payload, and pages that the host may read and write.
    ///
    /// # Safety
    ///
    /// From when the packet is sent until its completion was received, or the channel was closed for good, the peer may
    /// read and write these pages: no Rust reference covers them, and nobody else relies on what is in them.
    #[inline]
    pub unsafe fn gpa(list: List<'a>, payload: &'a [u8]) -> Self {
        Self::new(sys::VMB_PKT_GPA, 0, payload, list.raw)
    }

    /// Payload, and windows into a set of pages: [`range_word`](crate::range_word)s, whose offset counts from the start of the
    /// set.
    #[inline]
    pub fn transfer(set: u16, windows: &'a [u64], payload: &'a [u8]) -> Self {
        let count = u32::try_from(windows.len()).unwrap_or(u32::MAX);
        let list = sys::vmb_list { words: windows.as_ptr(), count, ranges: count };
        let mut packet = Self::new(sys::VMB_PKT_XFER, 0, payload, list);
        packet.raw.page_set = set;
        packet
    }

    /// The same as a request: the peer is to complete it.
    #[must_use]
    #[inline]
    pub fn wants_reply(mut self) -> Self {
        self.raw.flags |= sys::VMB_PKT_WANTS_REPLY;
        self
    }

    /// The same with this id.
    #[must_use]
    #[inline]
    pub fn with_id(mut self, id: u64) -> Self {
        self.raw.id = id;
        self
    }

    /// The same with a number that a channel gives back with the completion.
    #[must_use]
    #[inline]
    pub fn with_user(mut self, user: u64) -> Self {
        self.raw.user = user;
        self
    }

    #[inline]
    pub(crate) fn raw(&self) -> &sys::vmb_packet {
        &self.raw
    }

    /// The same without payload, but of this length: for calls that do not read it.
    #[inline]
    pub(crate) fn sized(&self, len: u32) -> sys::vmb_packet {
        sys::vmb_packet { len, payload: ptr::null(), ..self.raw }
    }
}

impl fmt::Debug for Packet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packet")
            .field("kind", &Kind::of(&self.raw))
            .field("len", &self.raw.len)
            .finish_non_exhaustive()
    }
}

/// A part of a payload that is gathered from several.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct Part<'a> {
    raw: sys::vmb_span,
    _bytes: PhantomData<&'a [u8]>,
}

impl<'a> Part<'a> {
    /// These bytes.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Self {
        let raw = sys::vmb_span { base: bytes.as_ptr().cast_mut().cast(), len: bytes.len() };
        Self { raw, _bytes: PhantomData }
    }

    /// Bytes of all of them.
    pub(crate) fn sum(parts: &[Self]) -> Result<u32> {
        let sum = parts.iter().try_fold(0_usize, |sum, part| sum.checked_add(part.raw.len));
        sum.and_then(|sum| u32::try_from(sum).ok()).ok_or(Error::TooBig)
    }
}

impl fmt::Debug for Part<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Part").field("len", &self.raw.len).finish()
    }
}

/// A packet that was received into a buffer: a copy, checked, which the peer cannot change any more.
pub struct Incoming<'b> {
    raw: sys::vmb_packet,
    _buffer: PhantomData<&'b [u64]>,
}

// SAFETY: a shared slice of bytes, and numbers.
unsafe impl Send for Incoming<'_> {}
// SAFETY: the same.
unsafe impl Sync for Incoming<'_> {}

impl<'b> Incoming<'b> {
    /// What a receiving call has described.
    ///
    /// # Safety
    ///
    /// It points into a buffer that is lent for `'b`: `head_len + len` bytes of it, and where it is GPA direct or
    /// transfer pages, the list has been checked and lies there.
    #[inline]
    pub(crate) unsafe fn from_raw(raw: sys::vmb_packet) -> Self {
        Self { raw, _buffer: PhantomData }
    }

    /// What kind it is.
    #[inline]
    pub fn kind(&self) -> Kind {
        Kind::of(&self.raw)
    }

    /// Does the sender want a completion?
    #[inline]
    pub fn wants_reply(&self) -> bool {
        self.raw.flags & sys::VMB_PKT_WANTS_REPLY != 0
    }

    /// Is it the completion of a request that had been cancelled? Its pages are yours again.
    #[inline]
    pub fn late(&self) -> bool {
        self.kind() == Kind::Completion && self.raw.flags & sys::VMB_PKT_LATE != 0
    }

    /// The sender's id; of a completion: that of the request.
    #[inline]
    pub fn id(&self) -> u64 {
        self.raw.id
    }

    /// Of a completion: what the request was sent with.
    #[inline]
    pub fn user(&self) -> u64 {
        self.raw.user
    }

    /// The right to complete it, if it wants that: given once.
    #[inline]
    pub fn transaction(&mut self) -> Option<Transaction> {
        let asked = self.kind() != Kind::Completion && self.wants_reply();
        self.raw.flags &= !sys::VMB_PKT_WANTS_REPLY;
        asked.then_some(Transaction(self.raw.id))
    }

    /// The payload: a multiple of 8 bytes, with up to 7 of padding; exact on pipes.
    #[inline]
    pub fn payload(&self) -> &'b [u8] {
        if self.raw.len == 0 {
            return &[];
        }
        // SAFETY: as from_raw was given it.
        unsafe { core::slice::from_raw_parts(self.raw.payload.cast(), self.raw.len as usize) }
    }

    /// GPA direct: its pages.
    #[inline]
    pub fn list(&self) -> Option<List<'b>> {
        // SAFETY: as from_raw was given it.
        (self.kind() == Kind::Gpa).then(|| unsafe { List::from_raw(self.raw.list) })
    }

    /// Transfer pages: the set, and the windows into it, which nobody has compared with the set yet.
    pub fn windows(&self) -> Option<(u16, &'b [u64])> {
        // SAFETY: as from_raw was given it.
        (self.kind() == Kind::Transfer).then(|| (self.raw.page_set, unsafe { words_of(&self.raw.list) }))
    }

    /// How many bytes of external memory it names.
    pub fn external_bytes(&self) -> u64 {
        // SAFETY: [pure]; the list is as from_raw was given it.
        unsafe { sys::vmb_packet_bytes(&self.raw) }
    }

    /// Reads external memory at `offset`: of GPA direct its pages; of transfer pages its windows into `set`, the list
    /// of the GPADL that the set was made of.
    pub fn read<M: Mapper>(
        &self,
        set: Option<&List<'_>>,
        mapper: &M,
        offset: u64,
        to: &mut [u8],
    ) -> Result<()> {
        let (set, m, n) = (raw_set(set), raw_mapper(mapper), length(to.len())?);
        // SAFETY: the packet is as from_raw was given it, the set is a list or null, the mapper lives, n bytes are there.
        check(unsafe { sys::vmb_packet_read(&self.raw, set, &m, offset, to.as_mut_ptr().cast(), n) })
            .map(drop)
    }

    /// Writes external memory.
    pub fn write<M: Mapper>(
        &self,
        set: Option<&List<'_>>,
        mapper: &M,
        offset: u64,
        from: &[u8],
    ) -> Result<()> {
        let (set, m, n) = (raw_set(set), raw_mapper(mapper), length(from.len())?);
        // SAFETY: as in `read`.
        check(unsafe { sys::vmb_packet_write(&self.raw, set, &m, offset, from.as_ptr().cast(), n) }).map(drop)
    }

    /// Is that what lies in external memory?
    pub fn equals<M: Mapper>(
        &self,
        set: Option<&List<'_>>,
        mapper: &M,
        offset: u64,
        with: &[u8],
    ) -> Result<bool> {
        let (set, m, n) = (raw_set(set), raw_mapper(mapper), length(with.len())?);
        // SAFETY: as in `read`.
        Ok(check(unsafe { sys::vmb_packet_compare(&self.raw, set, &m, offset, with.as_ptr().cast(), n) })?
            == 0)
    }
}

/// A request of the peer's that is to be completed, once: by [`Sender::complete`](crate::Sender::complete).
#[must_use = "the peer waits for its completion"]
#[derive(Debug, PartialEq, Eq)]
pub struct Transaction(u64);

impl Transaction {
    /// The peer's id of it.
    #[inline]
    pub fn id(&self) -> u64 {
        self.0
    }

    /// Takes up a transaction again whose id was kept elsewhere.
    pub fn from_id(id: u64) -> Self {
        Self(id)
    }
}

fn raw_set(set: Option<&List<'_>>) -> *const sys::vmb_list {
    set.map_or(ptr::null(), |list| &list.raw)
}

impl fmt::Debug for Incoming<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming")
            .field("kind", &self.kind())
            .field("id", &self.raw.id)
            .field("len", &self.raw.len)
            .finish_non_exhaustive()
    }
}
