// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! What both ends of a bus have: handles, events, offers, and the channels that are out.

use crate::channel::{info, Outstanding};
use crate::error::{check, Error, Result};
use crate::half::{Receiver, Sender};
use crate::names::Guid;
use crate::storage::Storage;
use alloc::collections::BTreeMap;
use core::ffi::c_void;
use core::fmt;
use core::marker::PhantomData;
use core::ptr::NonNull;
use vmbus_sys as sys;

/// Names a channel on an end. Never used again while the end lives: a stale one gives [`Error::Handle`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle(pub(crate) sys::vmb_handle);

macro_rules! events {
    ($($(#[$doc:meta])* $name:ident = $code:ident,)*) => {
        /// What an event is about.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum EventKind {
            $($(#[$doc])* $name,)*
            /// Of a newer library.
            Other(u32),
        }

        impl EventKind {
            fn of(code: u32) -> Self {
                match code {
                    $(sys::$code => Self::$name,)*
                    other => Self::Other(other),
                }
            }
        }
    };
}

events! {
    /// Guest: the host answered. Host: a guest has made contact.
    Connected = VMB_EV_CONNECTED,
    /// Guest: over, no memory is the host's any more. Host: the guest left.
    Disconnected = VMB_EV_DISCONNECTED,
    /// Guest: a new channel: open it or release it.
    Offer = VMB_EV_OFFER,
    /// Guest: that was all there is today.
    OffersDone = VMB_EV_OFFERS_DONE,
    /// Host: a question: attach, or answer why not.
    Open = VMB_EV_OPEN,
    /// Guest: an open worked, or its status says why not.
    Opened = VMB_EV_OPENED,
    /// Guest: the device is gone: close, then release.
    Rescinded = VMB_EV_RESCINDED,
    /// Host: a question: detach.
    Close = VMB_EV_CLOSE,
    /// The channel is over; of a guest, its ring memory is free unless the status is [`Error::Leak`].
    Closed = VMB_EV_CLOSED,
    /// The last event of this handle.
    Gone = VMB_EV_GONE,
    /// Guest: a GPADL was created, or it is over.
    Gpadl = VMB_EV_GPADL,
    /// Guest: the memory of a GPADL is yours again. Host: a question, if it is held: release it.
    GpadlDown = VMB_EV_GPADL_DOWN,
    /// Guest: no interrupt comes to the old VP.
    Target = VMB_EV_TARGET,
    /// Host: the reset is done.
    Reset = VMB_EV_RESET,
    /// Guest: other monitor pages are in use.
    Monitor = VMB_EV_MONITOR,
    /// Guest: no message comes before a resume.
    Paused = VMB_EV_PAUSED,
    /// Guest: a socket is connected, or not. Host: a question: offer a channel, or refuse.
    Hvsock = VMB_EV_HVSOCK,
}

/// What an end has to tell. A host's questions are answered with it.
#[derive(Clone, Copy)]
pub struct Event(pub(crate) sys::vmb_event);

impl Event {
    /// What it is about.
    pub fn kind(&self) -> EventKind {
        EventKind::of(self.0.kind)
    }

    /// The channel; `None`: it is about the connection.
    pub fn channel(&self) -> Option<Handle> {
        (self.0.ch != 0).then_some(Handle(self.0.ch))
    }

    /// Did it work?
    pub fn status(&self) -> Result<()> {
        if self.0.status < 0 {
            Err(Error::from_code(self.0.status))
        } else {
            Ok(())
        }
    }

    /// What the offer or the open of the channel was given.
    pub fn user(&self) -> u64 {
        self.0.user
    }

    /// The GPADL.
    pub fn gpadl(&self) -> u32 {
        self.0.gpadl
    }

    /// What the wire said, with [`Error::Refused`]; the status of the hypercall, with [`Error::Platform`].
    pub fn peer_status(&self) -> u32 {
        self.0.peer_status
    }

    /// Of [`EventKind::Target`]: the VP.
    pub fn vp(&self) -> u32 {
        self.0.vp
    }

    /// Does it want an answer?
    pub fn asks(&self) -> bool {
        self.0.flags & sys::VMB_EVF_ASK != 0
    }

    /// Told or asked again after a restore?
    pub fn restored(&self) -> bool {
        self.0.flags & sys::VMB_EVF_RESTORED != 0
    }

    /// Of a restored guest's offer: is it open?
    pub fn is_open(&self) -> bool {
        self.0.flags & sys::VMB_EVF_OPEN != 0
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("kind", &self.kind())
            .field("channel", &self.0.ch)
            .field("status", &self.status())
            .field("user", &self.0.user)
            .finish_non_exhaustive()
    }
}

/// What a poll gave.
#[derive(Clone, Copy, Debug)]
pub struct Polled {
    /// An event; `None`: none is left.
    pub event: Option<Event>,
    /// Poll again at this time at the latest; `u64::MAX`: never.
    pub deadline: u64,
}

/// An offer: what a device is and wants.
#[derive(Clone, Copy, Debug)]
pub struct Offer {
    /// The fields of the C API. `size` is set by the calls that take it.
    pub raw: sys::vmb_offer,
}

impl Offer {
    /// A device of this class.
    pub fn new(class: Guid, instance: Guid) -> Self {
        Self { raw: sys::vmb_offer { class_id: class.raw(), instance: instance.raw(), ..Self::empty() } }
    }

    pub(crate) fn empty() -> sys::vmb_offer {
        sys::vmb_offer { size: size_of::<sys::vmb_offer>() as u32, ..Default::default() }
    }

    /// The same with a number that events and wakes tell.
    #[must_use]
    pub fn with_user(mut self, user: u64) -> Self {
        self.raw.user = user;
        self
    }

    /// The offer of a socket's channel.
    pub fn socket(socket: &sys::vmb_hvsock) -> Result<Self> {
        let mut raw = Self::empty();
        // SAFETY: [pure].
        check(unsafe { sys::vmb_hvsock_offer(socket, &mut raw) })?;
        Ok(Self { raw })
    }

    /// The socket that it is the offer of, if it is.
    pub fn to_socket(&self) -> Result<sys::vmb_hvsock> {
        let mut socket = sys::vmb_hvsock::default();
        // SAFETY: [pure].
        check(unsafe { sys::vmb_hvsock_of(&self.raw, &mut socket) })?;
        Ok(socket)
    }

    /// Its class.
    pub fn class(&self) -> Guid {
        Guid::of(self.raw.class_id)
    }

    /// Its instance.
    pub fn instance(&self) -> Guid {
        Guid::of(self.raw.instance)
    }
}

/// The pages that a connection has for signals beside the SynIC's: an end's own, given when it is made.
#[derive(Clone, Copy, Debug)]
pub struct SharedPages<'m> {
    pub(crate) interrupt: Option<(u64, NonNull<c_void>)>,
    pub(crate) monitor: Option<[(u64, NonNull<c_void>); 2]>,
    _pages: PhantomData<&'m ()>,
}

impl SharedPages<'_> {
    /// None: a guest then tries no version below 2.4, and has no channel monitored.
    pub const NONE: Self = Self { interrupt: None, monitor: None, _pages: PhantomData };

    /// A guest's interrupt page, and the monitor pages, host-to-guest first: each its guest-physical address, and where it is
    /// seen. A host has monitor pages of its own with `VMB_FEATURE_SERVER_MONITOR`, and no interrupt page.
    ///
    /// # Safety
    ///
    /// Each is 4096 bytes, aligned to as many, that can be read and written for `'m`, and that no Rust reference covers. The
    /// peer may write there at any time; a guest's host until `EventKind::Disconnected`.
    pub unsafe fn new(
        interrupt: Option<(u64, NonNull<c_void>)>,
        monitor: Option<[(u64, NonNull<c_void>); 2]>,
    ) -> Self {
        Self { interrupt, monitor, _pages: PhantomData }
    }
}

/// A channel of a bus whose halves are out, or that is over.
struct Entry {
    raw: NonNull<sys::vmb_channel>,
    state: State,
    _storage: Storage<'static>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// The halves are out.
    Out,
    /// They were given back; the library has not told the end of it yet.
    Returned,
    /// It is over: the storage is ours.
    Closed,
}

/// The storage of the channels of an end, each kept until the library says that it is free.
#[derive(Default)]
pub(crate) struct Channels(BTreeMap<sys::vmb_handle, Entry>);

impl Channels {
    /// May this channel be given to a [control] call that makes an object of it, or ends it?
    pub(crate) fn is_out(&self, ch: Handle) -> bool {
        self.0.get(&ch.0).is_some_and(|entry| entry.state == State::Out)
    }

    /// An object has been made in this storage: its halves.
    ///
    /// # Safety
    ///
    /// The library has just made it, of this handle; the end lives for `'b`, and gives it back by what is asked here only.
    pub(crate) unsafe fn made<'b>(
        &mut self,
        ch: Handle,
        raw: NonNull<sys::vmb_channel>,
        storage: Storage<'static>,
    ) -> (Sender<'b>, Receiver<'b>) {
        self.0.insert(ch.0, Entry { raw, state: State::Out, _storage: storage });
        // SAFETY: the only halves of a new object, whose storage stays here until it was given back, which takes both.
        unsafe { (Sender::new(raw), Receiver::new(raw)) }
    }

    /// Are these the halves of a channel of this end's? Its handle.
    pub(crate) fn of_halves(&self, tx: &Sender<'_>, rx: &Receiver<'_>) -> Option<Handle> {
        let mut all = self.0.iter();
        all.find(|(_, entry)| entry.state == State::Out && entry.raw == tx.raw && entry.raw == rx.raw)
            .map(|(&ch, _)| Handle(ch))
    }

    pub(crate) fn returned(&mut self, ch: Handle) {
        if let Some(entry) = self.0.get_mut(&ch.0) {
            entry.state = State::Returned;
        }
    }

    /// The end tells this event.
    pub(crate) fn see(&mut self, event: &Event) {
        match event.kind() {
            EventKind::Closed => {
                if let Some(entry) = self.0.get_mut(&event.0.ch) {
                    entry.state = State::Closed;
                }
            }
            // Nothing is out after its last event, but memory is kept rather than trusted to that.
            EventKind::Gone if self.0.get(&event.0.ch).is_some_and(|entry| entry.state == State::Closed) => {
                self.0.remove(&event.0.ch);
            }
            _ => {}
        }
    }

    /// A channel that is over, for a last look.
    pub(crate) fn closed(&mut self, ch: Handle) -> Option<Closed<'_>> {
        let entry = self.0.get_mut(&ch.0).filter(|entry| entry.state == State::Closed)?;
        Some(Closed { raw: entry.raw, _entry: PhantomData })
    }

    /// One whose halves are out.
    pub(crate) fn any_out(&self) -> Option<Handle> {
        self.0.iter().find(|(_, entry)| entry.state == State::Out).map(|(&ch, _)| Handle(ch))
    }
}

/// A channel that is over: what it has counted, and the requests that were never completed.
#[derive(Debug)]
pub struct Closed<'a> {
    raw: NonNull<sys::vmb_channel>,
    _entry: PhantomData<&'a mut Channels>,
}

impl Closed<'_> {
    /// The last values.
    pub fn info(&self) -> Result<sys::vmb_channel_info> {
        // SAFETY: the storage is there while the entry is borrowed.
        unsafe { info(self.raw) }
    }

    /// The requests that were in flight. A guest fails them now: until now the host could write to their buffers.
    pub fn outstanding(&mut self) -> Outstanding<'_> {
        // SAFETY: no halves are left, and the storage is there while the entry is borrowed.
        unsafe { Outstanding::new(self.raw) }
    }
}
