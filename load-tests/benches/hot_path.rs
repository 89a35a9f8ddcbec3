//! Time per step of the hot path. `cargo bench -p horolog-load --bench hot_path`
//!
//! Items are records. Times depend on this machine at this moment: to compare two commits on a shared machine, use
//! `instructions`.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod steps;

use divan::Bencher;
use divan::counter::ItemsCount;

fn main() {
    divan::main();
}

fn names() -> impl Iterator<Item = &'static str> {
    steps::STEPS.iter().map(|(name, ..)| *name)
}

#[divan::bench(args = names(), sample_count = 12, sample_size = 1)]
fn step(bencher: Bencher<'_, '_>, name: &str) {
    let (_, _, make) = steps::STEPS.iter().find(|(known, ..)| *known == name).unwrap();
    let mut step = make();
    bencher
        .counter(ItemsCount::new(step.records))
        .bench_local(|| (step.run)());
}
