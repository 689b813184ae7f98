// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The socket to the VMM, and the guest's memory: the protocol of ../../wire.h.

use std::ffi::c_void;
use std::io::{self, ErrorKind, IoSliceMut};
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::ptr::{self, NonNull};
use std::time::Duration;

const WIRE_VERSION: u32 = 3;
const WIRE_FD: i32 = 3;
const WIRE_HELLO_FD: i32 = 4;
const NO_VP: u32 = u32::MAX;

const HELLO: u32 = 1;
const POST: u32 = 2;
const SIGNAL: u32 = 3;
const EOM: u32 = 4;
const SYNIC: u32 = 5;
const RESET: u32 = 6;
const OFF: u32 = 7;
const STATUS: u32 = 64;
const RAISE: u32 = 65;

const HEAD: usize = 8;
const HELLO_BYTES: usize = HEAD + 24;
const POST_BYTES: usize = 256;

/// What the VMM says.
pub enum Told {
    /// HvPostMessage, with its input. The VP stands still until [`Link::status`].
    Post { vp: u32, input: Box<[u8]> },
    /// HvSignalEvent.
    Signal { connection: u32, flag: u32 },
    /// The VP wrote the end-of-message register.
    Eom { vp: u32 },
    /// The VP wrote a register of its SynIC: all as they are now.
    Synic { vp: u32, scontrol: u64, simp: u64, siefp: u64 },
    /// Forget the guest, then [`Link::was_reset`].
    Reset,
    /// The machine is off.
    Off,
}

/// The socket, which threads share, and where guest memory lies: for as long as the process lives.
pub struct Link {
    socket: UnixDatagram,
    vps: u32,
    ram: NonNull<u8>,
    ram_bytes: u64,
}

// SAFETY: `ram` is only a place in memory that is never unmapped; all that is done with it is to tell the library where pages lie.
unsafe impl Send for Link {}
// SAFETY: the same.
unsafe impl Sync for Link {}

fn nonsense(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// One packet, and the descriptor that came with it.
fn receive_hello(socket: &UnixDatagram) -> io::Result<([u8; HELLO_BYTES], OwnedFd)> {
    let mut hello = [0; HELLO_BYTES];
    let mut control = [0_u64; 8]; // aligned as a cmsghdr
    let mut iov = [IoSliceMut::new(&mut hello)];
    // SAFETY: all zeros is a msghdr: null pointers, and lengths of 0.
    let mut message: libc::msghdr = unsafe { zeroed() };
    message.msg_iov = iov.as_mut_ptr().cast(); // an IoSliceMut is an iovec, as std says
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of::<[u64; 8]>();
    // SAFETY: message names memory that is there and borrowed by nobody else, with its lengths.
    let n = unsafe { libc::recvmsg(socket.as_raw_fd(), &mut message, libc::MSG_CMSG_CLOEXEC) };
    if n < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has filled the control bytes, and set how many; what CMSG_FIRSTHDR gives is null or lies in them.
    let header = unsafe { libc::CMSG_FIRSTHDR(&message).as_ref() };
    // SAFETY: [pure] arithmetic.
    let one_fd = unsafe { libc::CMSG_LEN(size_of::<i32>() as u32) } as usize;
    let header = header
        .filter(|h| (h.cmsg_level, h.cmsg_type) == (libc::SOL_SOCKET, libc::SCM_RIGHTS) && h.cmsg_len == one_fd)
        .ok_or_else(|| nonsense("no descriptor came with HELLO"))?;
    // SAFETY: the kernel has put one new descriptor there, which nobody else owns.
    let memory = unsafe { OwnedFd::from_raw_fd(libc::CMSG_DATA(header).cast::<i32>().read_unaligned()) };
    if usize::try_from(n) != Ok(HELLO_BYTES) {
        return Err(nonsense("HELLO of another size"));
    }
    Ok((hello, memory))
}

impl Link {
    /// Takes HELLO, and maps the guest's memory, for ever. `tick`: how long [`receive`](Self::receive) waits at most.
    pub fn open(tick: Duration) -> io::Result<Self> {
        // SAFETY: the VMM has left these two descriptors to this process (wire.h), which has not used them yet.
        let (socket, hello) = unsafe { (UnixDatagram::from_raw_fd(WIRE_FD), UnixDatagram::from_raw_fd(WIRE_HELLO_FD)) };
        let (hello, memory) = receive_hello(&hello)?;
        if (word(&hello, 0), word(&hello, HEAD)) != (HELLO, WIRE_VERSION) {
            return Err(nonsense("HELLO of another version"));
        }
        let ram_bytes = long(&hello, 16);
        let length = usize::try_from(ram_bytes).map_err(|_| nonsense("too much memory"))?;
        // SAFETY: a new mapping at an address of the kernel's choice touches nothing that there is.
        let ram = unsafe {
            libc::mmap(ptr::null_mut(), length, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED, memory.as_raw_fd(), 0)
        };
        if ram == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let ram = NonNull::new(ram.cast()).ok_or_else(|| nonsense("memory at 0"))?;
        socket.set_read_timeout(Some(tick))?;
        Ok(Self { socket, vps: word(&hello, 12), ram, ram_bytes })
    }

    /// VP indexes below this exist.
    pub fn vps(&self) -> u32 {
        self.vps
    }

    /// The page of guest memory at this guest-physical address, if it is RAM: aligned, and there for ever.
    pub fn page(&self, gpa: u64) -> Option<NonNull<c_void>> {
        let page = vmbus::PAGE as u64;
        if gpa % page != 0 || gpa.checked_add(page)? > self.ram_bytes {
            return None;
        }
        // SAFETY: it lies within the mapping, as was just compared.
        Some(unsafe { self.ram.add(usize::try_from(gpa).ok()?) }.cast())
    }

    /// The next packet; `None`: there was none for a tick.
    pub fn receive(&self) -> io::Result<Option<Told>> {
        let mut bytes = [0; HEAD + POST_BYTES + 1];
        let n = match self.socket.recv(&mut bytes) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(n) => n,
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return Ok(None),
            Err(e) => return Err(e),
        };
        let (kind, vp) = (word(&bytes, 0), word(&bytes, 4));
        if n < HEAD || (vp >= self.vps && vp != NO_VP) {
            return Err(nonsense("a packet of no VP"));
        }
        Ok(Some(match (kind, n - HEAD) {
            (POST, POST_BYTES) => Told::Post { vp, input: bytes[HEAD..HEAD + POST_BYTES].into() },
            (SIGNAL, 8) => Told::Signal { connection: word(&bytes, 8), flag: word(&bytes, 12) },
            (EOM, 0) => Told::Eom { vp },
            (SYNIC, 32) => Told::Synic { vp, scontrol: long(&bytes, 8), simp: long(&bytes, 16), siefp: long(&bytes, 24) },
            (RESET, 0) => Told::Reset,
            (OFF, 0) => Told::Off,
            _ => return Err(nonsense("a packet of unknown type or size")),
        }))
    }

    /// One that is lost shows in [`receive`](Self::receive): then the VMM is gone.
    fn send(&self, kind: u32, vp: u32, value: u32) {
        let mut bytes = [0; HEAD + 8];
        for (at, number) in [(0, kind), (4, vp), (8, value)] {
            bytes[at..at + 4].copy_from_slice(&number.to_ne_bytes());
        }
        while matches!(self.socket.send(&bytes), Err(e) if e.kind() == ErrorKind::Interrupted) {}
    }

    /// The answer to a post.
    pub fn status(&self, vp: u32, status: u32) {
        self.send(STATUS, vp, status);
    }

    /// The guest is forgotten.
    pub fn was_reset(&self) {
        self.send(STATUS, NO_VP, 0);
    }

    /// Interrupts this VP with the vector of this SINT.
    pub fn raise(&self, vp: u32, sint: u32) {
        self.send(RAISE, vp, sint);
    }
}
