// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The same work done by the safe crate and by the calls of C, over rings in this program: what does the wrapper cost a packet?
//!
//! `cargo bench` measures them with criterion. `cargo run --release` measures the two sides of each pair in turns, and prints their
//! ratio, which a busy machine disturbs less; with `-- --check` it only compares what the two sides do.
#![deny(unsafe_op_in_unsafe_fn)]

mod c;
mod rust;

/// Packets that one call of a side moves.
pub const PACKETS: usize = 64;
/// Data pages of each ring: all packets of a call fit at once.
const PAGES: u32 = 32;
const PAGE: usize = vmbus::PAGE;
/// Requests in flight.
const REQUESTS: u32 = 8;

/// Moves [`PACKETS`] packets from one end to the other, and gives the sum of the first words that came out.
pub type Side = Box<dyn FnMut() -> u64>;

/// One kind of work, both ways.
pub struct Pair {
    pub name: &'static str,
    pub c: Side,
    pub rust: Side,
}

/// What is sent.
struct Payload {
    words: Vec<u64>,
}

impl Payload {
    fn new(bytes: usize) -> Self {
        Self { words: vec![1; bytes / 8] }
    }

    /// The next packet's: its first word is another one.
    fn next(&mut self) -> &[u8] {
        self.words[0] += 1;
        // SAFETY: so many bytes of numbers.
        unsafe { std::slice::from_raw_parts(self.words.as_ptr().cast(), self.words.len() * 8) }
    }
}

fn first_word(bytes: &[u8]) -> u64 {
    u64::from_ne_bytes(bytes[..8].try_into().expect("at least a word"))
}

/// All kinds of work, with so many bytes of payload.
pub fn pairs(bytes: usize) -> Vec<Pair> {
    macro_rules! pair {
        ($name:literal, $function:ident) => {
            Pair { name: $name, c: c::$function(bytes), rust: rust::$function(bytes) }
        };
    }
    vec![
        pair!("ring: put and get, each alone", ring_copied),
        pair!("ring: put, next and read, each alone", ring_alone),
        pair!("ring: written and read in place, 64 at once", ring_in_place),
        pair!("channel: send and recv, each alone", channel_alone),
        pair!("channel: put and recv, 64 at once", channel_queued),
        pair!("channel: written and read in place, 64 at once", channel_in_place),
        pair!("channel: batch calls of 64 records", channel_records),
        pair!("channel: request, completion, each alone", channel_requests),
    ]
}

/// Do the two sides of each pair move the same packets, and all of them?
pub fn check() {
    let n = PACKETS as u64;
    for bytes in [8, 64, 1024] {
        for mut pair in pairs(bytes) {
            for round in 0..100 {
                let sums = ((pair.c)(), (pair.rust)());
                // 2, 3, 4 ... went through.
                let sum = n * round * n + n * (n + 3) / 2;
                assert_eq!(sums, (sum, sum), "{}, {bytes} bytes, round {round}", pair.name);
            }
        }
    }
}
