// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Several packets in one call, as records that name bytes of one buffer.

use crate::error::{Error, Result};
use crate::list::List;
use crate::packet::{Incoming, Kind};
use vmbus_sys as sys;

/// A packet to send with [`Sender::send_batch`](crate::Sender::send_batch): its payload is bytes of the batch's buffer.
#[repr(transparent)]
#[derive(Clone, Copy, Debug)]
pub struct Record(sys::vmb_record);

impl Record {
    #[inline]
    fn new(kind: u16, id: u64, offset: u32, len: u32) -> Self {
        Self(sys::vmb_record { kind, id, offset, len, ..Default::default() })
    }

    /// Payload only: `len` bytes of the buffer from `offset` on, a multiple of 8.
    #[inline]
    pub fn in_band(offset: u32, len: u32) -> Self {
        Self::new(sys::VMB_PKT_INBAND, 0, offset, len)
    }

    /// The answer to the request of this id.
    #[inline]
    pub fn completion(id: u64, offset: u32, len: u32) -> Self {
        Self::new(sys::VMB_PKT_COMPLETION, id, offset, len)
    }

    /// GPA direct: at `offset` a word that is not looked at, `words` words of a page list of so many ranges, and then the
    /// payload.
    ///
    /// # Safety
    ///
    /// As for [`Packet::gpa`](crate::Packet::gpa), of the list that is in the buffer when it is sent.
    #[inline]
    pub unsafe fn gpa(offset: u32, words: u32, ranges: u32, len: u32) -> Self {
        let mut record = Self::new(sys::VMB_PKT_GPA, 0, offset, len);
        record.0.head_len = words.saturating_add(1).saturating_mul(8) & !7;
        record.0.ranges = ranges;
        record
    }

    /// The same as a request.
    #[must_use]
    #[inline]
    pub fn wants_reply(mut self) -> Self {
        self.0.flags |= sys::VMB_PKT_WANTS_REPLY;
        self
    }

    /// The same with this id.
    #[must_use]
    #[inline]
    pub fn with_id(mut self, id: u64) -> Self {
        self.0.id = id;
        self
    }

    /// The same with a number that comes back with the completion.
    #[must_use]
    #[inline]
    pub fn with_user(mut self, user: u64) -> Self {
        self.0.user = user;
        self
    }

    /// Its id; of a request, once it was sent: the channel's.
    #[inline]
    pub fn id(&self) -> u64 {
        self.0.id
    }
}

/// A packet that [`Receiver::recv_batch`](crate::Receiver::recv_batch) has put into the batch's buffer.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Arrival(sys::vmb_record);

impl Arrival {
    /// The packet, in the buffer that it was received into. [`Error::Invalid`]: it does not lie in this one.
    #[inline]
    pub fn packet<'b>(&self, buffer: &'b [u64]) -> Result<Incoming<'b>> {
        let record = &self.0;
        let (start, head) = (record.offset as usize, record.head_len as usize);
        let end = start
            .checked_add(head)
            .and_then(|at| at.checked_add(record.len as usize))
            .ok_or(Error::Invalid)?;
        if record.offset % 8 != 0 || record.head_len % 8 != 0 || end > size_of_val(buffer) {
            return Err(Error::Invalid);
        }
        let mut raw = sys::vmb_packet {
            kind: record.kind,
            flags: record.flags,
            len: record.len,
            id: record.id,
            user: record.user,
            // SAFETY: within the buffer, or at its end.
            payload: unsafe { buffer.as_ptr().cast::<u8>().add(start + head) }.cast(),
            head_len: record.head_len,
            page_set: record.page_set,
            ..Default::default()
        };
        // The buffer may be another one, or have changed: lists are checked once more.
        let kind = Kind::of(&raw);
        if kind == Kind::Gpa || kind == Kind::Transfer {
            let words = buffer.get(start / 8 + 1..(start + head) / 8).ok_or(Error::Invalid)?;
            let ranges = record.ranges as usize;
            raw.list = if kind == Kind::Gpa {
                List::new(words, record.ranges)?.raw
            } else {
                let windows = words.get(..ranges).ok_or(Error::Invalid)?;
                sys::vmb_list { words: windows.as_ptr(), count: record.ranges, ranges: record.ranges }
            };
        }
        // SAFETY: payload and list lie in the buffer, which is lent for 'b, and the list was checked.
        Ok(unsafe { Incoming::from_raw(raw) })
    }
}
