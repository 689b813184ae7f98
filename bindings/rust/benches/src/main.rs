// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Prints, for each kind of work, nanoseconds per packet by the calls of C and by the safe crate, and the ratio of the two: medians
//! of many short measurements, in turns.

use std::hint::black_box;
use std::time::Instant;
use vmbus_benches::{check, pairs, Side, PACKETS};

const ROUNDS: usize = 401;
/// Calls per measurement.
const CALLS: usize = 50;

fn measure(side: &mut Side) -> f64 {
    let begin = Instant::now();
    for _ in 0..CALLS {
        black_box(side());
    }
    begin.elapsed().as_nanos() as f64 / (CALLS * PACKETS) as f64
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    check();
    if std::env::args().any(|word| word == "--check") {
        return;
    }
    println!("{:50} {:>6} {:>8} {:>8} {:>6}", "ns per packet", "bytes", "C", "Rust", "ratio");
    for bytes in [64, 1024] {
        for mut pair in pairs(bytes) {
            let (mut c, mut rust) = (Vec::new(), Vec::new());
            for _ in 0..ROUNDS {
                c.push(measure(&mut pair.c));
                rust.push(measure(&mut pair.rust));
            }
            let ratio = median(c.iter().zip(&rust).map(|(c, rust)| rust / c).collect());
            println!("{:50} {bytes:>6} {:>8.1} {:>8.1} {ratio:>6.3}", pair.name, median(c), median(rust));
        }
    }
}
