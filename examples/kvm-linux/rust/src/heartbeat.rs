// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The heartbeat: the host sends a number, the guest answers with the next one. An integration component: its messages have a
//! header, and begin with a negotiation. devices.md 3, 4.1

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};
use vmbus::{Error, Incoming, Kind, Packet, Receiver, Result, Sender};

/// Hyper-V takes two seconds.
const PERIOD: Duration = Duration::from_millis(100);

const NEGOTIATE: u16 = 0;
const HEARTBEAT: u16 = 1;
const HEADER: usize = 20;
/// Flags: transaction, and request or response.
const REQUEST: u8 = 1 | 2;
const RESPONSE: u8 = 1 | 4;

/// Rung by whoever has something for the device's thread.
#[derive(Default)]
pub struct Bell {
    rung: Mutex<bool>,
    changed: Condvar,
}

impl Bell {
    pub fn ring(&self) {
        *self.rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_one();
    }

    fn wait_until(&self, due: Instant) {
        let rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        let left = due.saturating_duration_since(Instant::now());
        let waited = self.changed.wait_timeout_while(rung, left, |rung| !*rung);
        *waited.unwrap_or_else(PoisonError::into_inner).0 = false;
    }
}

/// A version as on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Version(u16, u16);

impl Version {
    fn to_bytes(self) -> [u8; 4] {
        let ([a, b], [c, d]) = (self.0.to_le_bytes(), self.1.to_le_bytes());
        [a, b, c, d]
    }

    fn at(bytes: &[u8], at: usize) -> Option<Self> {
        Some(Self(half(bytes, at)?, half(bytes, at + 2)?))
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// One open of the channel.
#[derive(Debug, Default)]
pub struct Heartbeat {
    /// The framework's version and the messages', once the guest has chosen.
    pub agreed: Option<(Version, Version)>,
    pub sent: u64,
    pub answered: u64,
    /// Answers with another number, and messages that are none.
    pub wrong: u64,
    waiting: bool,
}

/// What the device's thread gives back.
pub struct Served<'c> {
    pub halves: (Sender<'c>, Receiver<'c>),
    pub heartbeat: Heartbeat,
    /// Why it ended: [`Error::Stopped`], if all is well.
    pub why: Error,
}

/// Serves an open channel until somebody wants it back.
pub fn serve<'c>(mut tx: Sender<'c>, mut rx: Receiver<'c>, bell: &Bell) -> Served<'c> {
    let mut heartbeat = Heartbeat::default();
    let Err(why) = heartbeat.run(&mut tx, &mut rx, bell);
    Served { halves: (tx, rx), heartbeat, why }
}

/// There is none: `run` ends with an error, and be it that the channel is asked for.
enum Never {}

impl Heartbeat {
    fn run(&mut self, tx: &mut Sender<'_>, rx: &mut Receiver<'_>, bell: &Bell) -> Result<Never> {
        let mut buffer = [0_u64; 512];
        let mut due = Instant::now();
        tx.send(&Packet::in_band(&negotiation()))?;
        loop {
            match rx.recv(&mut buffer) {
                Ok(Some(packet)) => {
                    self.take(&packet);
                    continue;
                }
                Ok(None) => {}
                Err(Error::TooSmall) => {
                    self.wrong += 1;
                    rx.skip()?;
                    continue;
                }
                Err(Error::Again) => continue,
                Err(error) => return Err(error),
            }
            if due <= Instant::now() {
                self.beat(tx)?;
                due = Instant::now() + PERIOD;
            }
            bell.wait_until(due);
        }
    }

    /// Sends the next number, unless the last one is still out. So the ring is never full.
    fn beat(&mut self, tx: &mut Sender<'_>) -> Result<()> {
        let Some((framework, version)) = self.agreed.filter(|_| !self.waiting) else { return Ok(()) };
        let mut body = [0; 16];
        body[..8].copy_from_slice(&(self.sent + 1).to_le_bytes());
        tx.send(&Packet::in_band(&message(framework, version, HEARTBEAT, &body)))?;
        self.sent += 1;
        self.waiting = true;
        Ok(())
    }

    /// One packet of the guest's, which may hold anything.
    fn take(&mut self, packet: &Incoming<'_>) {
        if packet.kind() != Kind::InBand || self.answer(packet.payload()).is_none() {
            self.wrong += 1;
        }
    }

    /// `None`: it is none.
    fn answer(&mut self, message: &[u8]) -> Option<()> {
        let (header, body) = message.split_at_checked(HEADER)?;
        let body = body.get(..half(header, 10)?.into())?;
        if header[17] & RESPONSE != RESPONSE {
            return None;
        }
        match half(header, 4)? {
            // One framework and one message version: those that were chosen.
            NEGOTIATE if self.agreed.is_none() && (half(body, 0)?, half(body, 2)?) == (1, 1) => {
                self.agreed = Some((Version::at(body, 8)?, Version::at(body, 12)?));
            }
            HEARTBEAT if self.waiting => {
                let number = u64::from_le_bytes(body.get(..8)?.try_into().ok()?);
                self.waiting = false;
                if number != self.sent + 1 {
                    return None;
                }
                self.answered += 1;
            }
            _ => return None,
        }
        Some(())
    }
}

/// Frameworks 1.0 and 3.0, and of the heartbeat 1.0 and 3.0.
fn negotiation() -> Vec<u8> {
    let mut body = vec![2, 0, 2, 0, 0, 0, 0, 0];
    for version in [Version(1, 0), Version(3, 0), Version(1, 0), Version(3, 0)] {
        body.extend(version.to_bytes());
    }
    message(Version::default(), Version::default(), NEGOTIATE, &body)
}

fn message(framework: Version, version: Version, kind: u16, body: &[u8]) -> Vec<u8> {
    let mut message = vec![0; HEADER];
    message[..4].copy_from_slice(&framework.to_bytes());
    message[4..6].copy_from_slice(&kind.to_le_bytes());
    message[6..10].copy_from_slice(&version.to_bytes());
    message[10..12].copy_from_slice(&(body.len() as u16).to_le_bytes());
    message[17] = REQUEST;
    message.extend(body);
    message
}
