//! `generate`: only the generator, into memory. Shows whether the tester could be the bottleneck.

use std::process::ExitCode;
use std::time::Instant;

use crate::process::Process;
use crate::results::thousands;
use crate::traffic::{Mix, Source, Traffic};

/// Options of `horolog-load generate`.
#[derive(Debug, Clone, clap::Args)]
pub struct GenerateOptions {
    /// Number of records.
    #[arg(long, value_name = "COUNT", default_value_t = 5_000_000)]
    records: u64,
    /// Seed of the values.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    mix: Mix,
}

/// Runs the subcommand.
pub fn run(options: &GenerateOptions) -> anyhow::Result<ExitCode> {
    let mut traffic = Traffic::new(&options.mix, "generate", options.seed);
    let mut bytes = 0;
    let (begun, cpu) = (Instant::now(), Process::own()?.used()?.cpu_s);
    for number in 0..options.records {
        let record = traffic.next(number.cast_signed() * 1_000);
        bytes += std::hint::black_box(record.payload).len();
    }
    let seconds = begun.elapsed().as_secs_f64();
    let cpu_s = (Process::own()?.used()?.cpu_s - cpu).max(0.01);
    let records = options.records.max(1) as f64;
    println!(
        "{} records in {seconds:.2} s on one thread: {} records/s ({} a second of CPU), {:.0} MB/s, {:.0} bytes a record",
        thousands(options.records),
        thousands((records / seconds) as u64),
        thousands((records / cpu_s) as u64),
        bytes as f64 / 1e6 / seconds,
        bytes as f64 / records
    );
    Ok(ExitCode::SUCCESS)
}
