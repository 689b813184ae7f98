// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Hyper-V's VMBus, both ends, in any program: the safe way to use libvmbus.
//!
//! * [`Tx`] and [`Rx`] are the two halves of one ring, in memory that two threads, two processes, or a virtual machine and
//!   its host share. A [`Packet`] is put by one, a [`Received`] one read in place by the other.
//! * A [`Channel`] is a pair of rings with the requests in flight; its halves are [`Sender`] and [`Receiver`].
//! * A [`HostBus`] or a [`GuestBus`] is one end of a bus: it is split into a control side ([`Host`], [`Guest`]), for one caller
//!   at a time, and what vCPUs and interrupt handlers may call at any time. It tells [`Event`]s and gives out channels.
//! * A [`List`] names guest memory; a [`Mapper`] reaches it.
//! * [`message_fields`] and what is beside it read and write the wire as named fields.
//!
//! What the C API states as a rule of threads or ownership is a type here: a half is `Send` and not `Sync`; a reserved
//! packet that is dropped was never there; a received one is a borrow that ends before its space is given back.
//!
//! Callbacks are traits. They are called from inside the library, which cannot be unwound: a panic in one ends the process.
//!
//! Without the feature `alloc` (a default) no object allocates: all storage is lent by the caller, and there are rings and
//! channels, but no ends of a bus. `bundled` compiles the
//! library that comes with the crate `vmbus-sys`; else pkg-config has to find one, with `static` a static one.
#![no_std]
#![deny(missing_docs, unsafe_op_in_unsafe_fn)]
#![warn(clippy::undocumented_unsafe_blocks, missing_debug_implementations)]

#[cfg(feature = "alloc")]
extern crate alloc;

/// The C API, for what is not here.
pub use vmbus_sys as sys;

#[cfg(feature = "alloc")]
mod bus;
mod channel;
mod error;
#[cfg(feature = "alloc")]
mod guest;
mod half;
#[cfg(feature = "alloc")]
mod host;
mod list;
mod memory;
mod names;
mod packet;
mod record;
mod rx;
mod storage;
mod synic;
#[cfg(all(test, feature = "alloc"))]
mod tests;
mod tx;
mod wire;

#[cfg(feature = "alloc")]
pub use bus::{Closed, Event, EventKind, Handle, Offer, Polled, SharedPages};
pub use channel::{Channel, Notify, Options, Outstanding, Remote, Request, RequestId, Rings, Silent};
pub use error::{Error, Group, Result};
#[cfg(feature = "alloc")]
pub use guest::{
    Guest, GuestBus, GuestConfig, GuestInterrupts, GuestPlatform, GuestRings, MonitorPages, NotClosed, Open,
    Slot,
};
pub use half::{Receiver, Refused, Sender};
#[cfg(feature = "alloc")]
pub use host::{Host, HostBus, HostConfig, HostPlatform, HostSignals, NotDetached};
pub use list::{build_list, range_word, Access, List, Mapper, Piece, Range, Ranges, Unmapped, PAGE};
#[cfg(feature = "alloc")]
pub use memory::RingBuffer;
pub use memory::{Cursor, Receiving, RingFlags, RingInfo, RingMemory, Sending, Signal, Span, Violation};
pub use names::{feature_name, message_name, name, packet_name, versions, DeviceClass, Guid};
pub use packet::{Incoming, Kind, Packet, Part, Transaction};
pub use record::{Arrival, Record};
pub use rx::{Received, Rx, Sleep};
pub use synic::Sint;
pub use tx::{Batch, Reservation, Room, Tx};
pub use wire::{
    message_check, message_fields, message_init, message_set, message_size, packet_fields, Dialect, Field,
    FieldKind,
};

/// Version of the library: major << 16 | minor << 8 | patch.
pub fn library_version() -> u32 {
    // SAFETY: [pure].
    unsafe { sys::vmb_version() }.unsigned_abs()
}

#[cfg(all(doctest, feature = "alloc"))]
#[doc = include_str!("../README.md")]
struct Readme;
