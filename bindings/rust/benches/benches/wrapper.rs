// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Both sides of each pair, by criterion.

use criterion::{criterion_group, criterion_main, BenchmarkId, Criterion, Throughput};
use vmbus_benches::{pairs, PACKETS};

fn wrapper(criterion: &mut Criterion) {
    for bytes in [64, 1024] {
        for mut pair in pairs(bytes) {
            let mut group = criterion.benchmark_group(pair.name);
            group.throughput(Throughput::Elements(PACKETS as u64));
            group.bench_function(BenchmarkId::new("C", bytes), |b| b.iter(&mut pair.c));
            group.bench_function(BenchmarkId::new("Rust", bytes), |b| b.iter(&mut pair.rust));
        }
    }
}

criterion_group!(benches, wrapper);
criterion_main!(benches);
