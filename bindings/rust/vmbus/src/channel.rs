// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Channels: a pair of rings, the requests in flight, and the way to signal the peer.

use crate::error::{check, Error, Result};
use crate::half::{Receiver, Sender};
use crate::memory::{Cursor, Receiving, RingMemory, Sending};
use crate::storage::{self, Storage};
use core::alloc::Layout;
use core::ffi::c_void;
use core::fmt;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ptr::{self, NonNull};
use vmbus_sys as sys;

/// What a channel is made for. All zero and `false` is usable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Requests in flight that the channel numbers and matches, up to 65535. 0: ids are yours.
    pub requests: u32,
    /// Receiving more payload is a violation; 0: what the ring holds.
    pub max_payload: u32,
    /// After [`Error::Full`]: bytes that shall be free before the wake; 0: a quarter of the ring.
    pub least_free: u32,
    /// Signals are owed to the peer ([`Sender::owes_signal`]) instead of sent.
    pub defer: bool,
    /// Pipe framing: the header of in-band data is added and taken off. A bus sets it for pipe offers.
    pub pipe: bool,
    /// A pipe offer without that.
    pub raw: bool,
    /// Never ask for signals.
    pub polled: bool,
    /// Log the ring pages that are written.
    pub dirty: bool,
    /// Receive unknown packet types and flags: for dumpers.
    pub loose: bool,
}

impl Options {
    pub(crate) fn config(&self) -> sys::vmb_channel_config {
        let flags = [
            (self.defer, sys::VMB_CHANNEL_DEFER),
            (self.pipe, sys::VMB_CHANNEL_PIPE),
            (self.raw, sys::VMB_CHANNEL_RAW),
            (self.polled, sys::VMB_CHANNEL_POLLED),
            (self.dirty, sys::VMB_CHANNEL_DIRTY),
            (self.loose, sys::VMB_CHANNEL_LOOSE),
        ];
        sys::vmb_channel_config {
            size: size_of::<sys::vmb_channel_config>() as u32,
            flags: flags.iter().filter(|(set, _)| *set).fold(0, |bits, (_, bit)| bits | bit),
            requests: self.requests,
            max_payload: self.max_payload,
            least_free: self.least_free,
            ..Default::default()
        }
    }
}

/// How a channel without a bus signals its peer.
///
/// A panic in it ends the process: it cannot pass through the library.
pub trait Notify: Sync {
    /// Signal the peer. It is called by either half, on its thread.
    fn signal(&self);
}

/// A channel without a bus: of a device process, or a test. [`split`](Self::split) it to use it.
///
/// ```
/// # #[cfg(feature = "alloc")] {
/// use vmbus::{Channel, Options, Packet, RingBuffer, Rings, Silent};
/// let (mut there, mut back) = (RingBuffer::new(1)?, RingBuffer::new(1)?);
/// let ((there_tx, there_rx), (back_tx, back_rx)) = (there.halves(), back.halves());
/// let guest_options = Options { requests: 8, ..Options::default() };
/// let mut guest = Channel::new(&guest_options, Rings::new(there_tx, back_rx), &Silent)?;
/// let mut host = Channel::new(&Options::default(), Rings::new(back_tx, there_rx), &Silent)?;
/// let (mut guest_tx, mut guest_rx, _) = guest.split();
/// let (mut host_tx, mut host_rx, _) = host.split();
///
/// guest_tx.send(&Packet::in_band(b"question").wants_reply().with_user(42))?;
/// let mut buffer = [0_u64; 64];
/// let mut question = host_rx.recv(&mut buffer)?.expect("it was sent");
/// assert_eq!(question.payload(), b"question");
/// let transaction = question.transaction().expect("it wants a reply");
/// host_tx.complete(transaction, b"answer..").map_err(|refused| refused.error)?;
/// let answer = guest_rx.recv(&mut buffer)?.expect("it was answered");
/// assert_eq!((answer.user(), answer.payload()), (42, &b"answer.."[..]));
/// # }
/// # Ok::<(), vmbus::Error>(())
/// ```
pub struct Channel<'m> {
    raw: NonNull<sys::vmb_channel>,
    _storage: Storage<'m>,
    _memory: PhantomData<RingMemory<'m, Sending>>,
}

// SAFETY: the object and its storage are used through this value and what borrows it, and know no thread; Notify is Sync.
unsafe impl Send for Channel<'_> {}

/// Signals nobody: for peers that poll.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Notify for Silent {
    fn signal(&self) {}
}

/// The two rings of a channel, each with where an earlier channel stood in it.
#[derive(Debug)]
pub struct Rings<'m> {
    /// The ring that this end sends into.
    pub tx: RingMemory<'m, Sending>,
    /// The ring that this end receives from.
    pub rx: RingMemory<'m, Receiving>,
    /// Go on from here.
    pub tx_at: Option<Cursor>,
    /// Go on from here.
    pub rx_at: Option<Cursor>,
}

impl<'m> Rings<'m> {
    /// These rings, as they are.
    pub fn new(tx: RingMemory<'m, Sending>, rx: RingMemory<'m, Receiving>) -> Self {
        Self { tx, rx, tx_at: None, rx_at: None }
    }

    /// The same, going on from where an earlier channel was ended.
    #[must_use]
    pub fn from(mut self, (tx_at, rx_at): (Cursor, Cursor)) -> Self {
        (self.tx_at, self.rx_at) = (Some(tx_at), Some(rx_at));
        self
    }

    pub(crate) fn config(&self, options: &Options) -> sys::vmb_channel_config {
        sys::vmb_channel_config {
            tx: self.tx.raw,
            rx: self.rx.raw,
            tx_at: self.tx_at.unwrap_or_default().0,
            rx_at: self.rx_at.unwrap_or_default().0,
            ..options.config()
        }
    }
}

pub(crate) fn storage_of(config: &sys::vmb_channel_config) -> Result<Layout> {
    let mut need = sys::vmb_storage::default();
    // SAFETY: [pure].
    check(unsafe { sys::vmb_channel_storage(config, &mut need) })?;
    storage::layout(&need)
}

/// `ctx`: an N that lives.
unsafe extern "C" fn signal<N: Notify>(ctx: *mut c_void) {
    // SAFETY: ctx is what the channel was made with, which lives longer.
    unsafe { &*ctx.cast::<N>() }.signal();
}

impl<'m> Channel<'m> {
    /// How much storage such a channel needs.
    pub fn storage(options: &Options, rings: &Rings<'m>) -> Result<Layout> {
        storage_of(&rings.config(options))
    }

    fn make<N: Notify>(
        storage: Storage<'m>,
        options: &Options,
        rings: Rings<'m>,
        notify: &'m N,
    ) -> Result<Self> {
        let mut config = rings.config(options);
        config.ctx = ptr::from_ref(notify).cast_mut().cast();
        config.signal = Some(signal::<N>);
        let mut raw = ptr::null_mut();
        // SAFETY: the storage is nobody else's, and so long; the memories are what their makers have promised; ctx and signal
        // fit each other, and notify outlives the channel.
        check(unsafe { sys::vmb_channel_init(storage.base(), storage.bytes(), &config, &mut raw) })?;
        let raw = NonNull::new(raw).ok_or(Error::Invalid)?;
        Ok(Self { raw, _storage: storage, _memory: PhantomData })
    }

    /// A channel in storage of its own.
    #[cfg(feature = "alloc")]
    pub fn new<N: Notify>(options: &Options, rings: Rings<'m>, notify: &'m N) -> Result<Self> {
        let layout = Self::storage(options, &rings)?;
        Self::make(Storage::allocate(layout), options, rings, notify)
    }

    /// A channel in storage that is lent. [`Error::NoSpace`]: it is too small or not aligned.
    pub fn new_in<N: Notify>(
        storage: &'m mut [MaybeUninit<u8>],
        options: &Options,
        rings: Rings<'m>,
        notify: &'m N,
    ) -> Result<Self> {
        Self::make(Storage::lent(storage), options, rings, notify)
    }

    /// Its two halves, each for one thread at a time, and what any thread may use. They must be gone before it can be split
    /// again or ended.
    ///
    /// ```compile_fail,E0505
    /// # fn f(mut channel: vmbus::Channel<'_>) -> vmbus::Result<()> {
    /// let (mut tx, _, _) = channel.split();
    /// channel.end()?;
    /// tx.flush()?; // of a half that was given back
    /// # Ok(()) }
    /// ```
    pub fn split(&mut self) -> (Sender<'_>, Receiver<'_>, Remote<'_>) {
        // SAFETY: one of each, for the time of the borrow, in which nobody else makes [tx] or [rx] calls, and after which the
        // object is still there.
        unsafe {
            (Sender::new(self.raw), Receiver::new(self.raw), Remote { raw: self.raw, _channel: PhantomData })
        }
    }

    /// The requests in flight, those that were cancelled, too.
    pub fn outstanding(&mut self) -> Outstanding<'_> {
        // SAFETY: [owner], by &mut, for as long as this lives.
        unsafe { Outstanding::new(self.raw) }
    }

    /// Knows a request that was in flight before a restore. [`Error::Invalid`]: not an id that this channel could have
    /// given, or taken.
    pub fn adopt(&mut self, request: RequestId, user: u64) -> Result<()> {
        // SAFETY: [owner], by &mut.
        check(unsafe { sys::vmb_channel_adopt(self.raw.as_ptr(), request.0, user) }).map(drop)
    }

    /// Flushes and releases what is queued, which may signal, and says where both sides stand: the sending one first.
    pub fn end(self) -> Result<(Cursor, Cursor)> {
        let (mut tx, mut rx) = (Cursor::default(), Cursor::default());
        // SAFETY: [owner], by value. Dropping it afterwards ends nothing: the library says VMB_ESTATE.
        check(unsafe { sys::vmb_channel_end(self.raw.as_ptr(), &mut tx.0, &mut rx.0) })?;
        Ok((tx, rx))
    }
}

impl Drop for Channel<'_> {
    fn drop(&mut self) {
        // SAFETY: [owner], by &mut, and the last use.
        unsafe { sys::vmb_channel_end(self.raw.as_ptr(), ptr::null_mut(), ptr::null_mut()) };
    }
}

impl fmt::Debug for Channel<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").finish_non_exhaustive()
    }
}

/// Names a request in flight. The channel gives each number once in a very long while, and none is a pointer: a stale one
/// finds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(pub u64);

/// A request in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its id.
    pub id: RequestId,
    /// What it was sent with.
    pub user: u64,
    /// It has been cancelled; the peer has not completed it yet.
    pub cancelled: bool,
}

/// The requests of a channel that are in flight.
#[derive(Debug)]
pub struct Outstanding<'c> {
    raw: NonNull<sys::vmb_channel>,
    cursor: u32,
    _channel: PhantomData<&'c mut sys::vmb_channel>,
}

impl Outstanding<'_> {
    /// # Safety
    ///
    /// For as long as this lives, nobody else makes [tx] or [rx] calls of the channel, and its storage is there.
    pub(crate) unsafe fn new(raw: NonNull<sys::vmb_channel>) -> Self {
        Self { raw, cursor: 0, _channel: PhantomData }
    }
}

impl Iterator for Outstanding<'_> {
    type Item = Request;

    fn next(&mut self) -> Option<Request> {
        let (mut id, mut user, mut flags) = (0, 0, 0);
        // SAFETY: [owner], as `new` was promised.
        let r = unsafe {
            sys::vmb_channel_outstanding(self.raw.as_ptr(), &mut self.cursor, &mut id, &mut user, &mut flags)
        };
        let cancelled = flags & u32::from(sys::VMB_PKT_LATE) != 0;
        (r == sys::VMB_YES).then_some(Request { id: RequestId(id), user, cancelled })
    }
}

/// What any thread may do with a channel without a bus.
#[derive(Clone, Copy, Debug)]
pub struct Remote<'c> {
    raw: NonNull<sys::vmb_channel>,
    _channel: PhantomData<&'c sys::vmb_channel>,
}

// SAFETY: all that it has is [any] calls.
unsafe impl Send for Remote<'_> {}
// SAFETY: the same.
unsafe impl Sync for Remote<'_> {}

impl Remote<'_> {
    /// All later calls of both halves fail with [`Error::Stopped`].
    pub fn stop(&self) {
        // SAFETY: [any].
        unsafe { sys::vmb_channel_stop(self.raw.as_ptr()) };
    }

    /// Counts a signal of the peer's.
    pub fn signalled(&self) {
        // SAFETY: [any]; the channel has not been given back, for it is borrowed.
        unsafe { sys::vmb_channel_signalled(self.raw.as_ptr()) };
    }

    /// With [`Options::defer`]: signals the peer.
    pub fn signal(&self) -> Result<()> {
        // SAFETY: the same.
        check(unsafe { sys::vmb_channel_signal(self.raw.as_ptr()) }).map(drop)
    }

    /// What the channel counts: a racy snapshot.
    pub fn info(&self) -> Result<sys::vmb_channel_info> {
        // SAFETY: the same.
        unsafe { info(self.raw) }
    }

    /// With [`Options::dirty`]: ORs into `bits` the ring pages written since the last call, and forgets them.
    pub fn dirty(&self, bits: &mut [u64]) -> Result<()> {
        // SAFETY: the same.
        unsafe { dirty(self.raw, bits) }
    }
}

/// # Safety
///
/// The storage of the channel is there.
pub(crate) unsafe fn info(raw: NonNull<sys::vmb_channel>) -> Result<sys::vmb_channel_info> {
    let size = size_of::<sys::vmb_channel_info>() as u32;
    let mut info = sys::vmb_channel_info { size, ..Default::default() };
    // SAFETY: [any]; the storage is there.
    check(unsafe { sys::vmb_channel_info(raw.as_ptr(), &mut info) })?;
    Ok(info)
}

/// # Safety
///
/// The storage of the channel is there.
pub(crate) unsafe fn dirty(raw: NonNull<sys::vmb_channel>, bits: &mut [u64]) -> Result<()> {
    let words = u32::try_from(bits.len()).unwrap_or(u32::MAX);
    // SAFETY: [any]; the storage is there, and so many words.
    check(unsafe { sys::vmb_channel_dirty(raw.as_ptr(), bits.as_mut_ptr(), words) }).map(drop)
}
