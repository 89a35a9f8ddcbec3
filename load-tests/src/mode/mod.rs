//! What the program can do, a subcommand each: from options to an exit code.
//!
//! `run`, `soak`, `chaos` and `replay` are one run each, [`knee`] and [`compare`] several, [`merge`] adds up what several testers
//! measured, [`generate`] is the generator alone.

pub mod compare;
mod configuration;
pub mod generate;
pub mod knee;
pub mod merge;
pub mod run;
mod soak;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::bail;

use crate::results::{ResultsError, ResultsFolder};
use crate::stop::Stop;
use crate::target::{Target, TargetOptions};

/// Runs it with a runtime, and a wish to stop that signals make. Sender and recorder have threads of their own besides.
pub fn with_runtime(work: impl AsyncFnOnce(Stop) -> anyhow::Result<ExitCode>) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(async { work(Stop::on_signals()?).await });
    // A thread that still talks to a broker that is gone is not waited for.
    runtime.shutdown_background();
    outcome
}

/// Reaches the target; when somebody wants to stop meanwhile, what was started is ended first.
async fn reach(options: &TargetOptions, environment: &[(String, String)], stop: &Stop) -> anyhow::Result<Target> {
    let (options, environment) = (options.clone(), environment.to_vec());
    let mut reaching = tokio::spawn(async move { Target::reach(&options, &environment).await });
    tokio::select! {
        target = &mut reaching => return target?,
        () = stop.requested() => {}
    }
    if let Ok(Ok(target)) = reaching.await {
        target.leave().await;
    }
    bail!("interrupted before the first record");
}

/// Where results go, unless it is said.
fn results_path(named: Option<&Path>, prefix: &str) -> PathBuf {
    named.map_or_else(|| Path::new("load-results").join(prefix), Path::to_owned)
}

/// Before minutes are spent on results that cannot be written.
fn refuse_existing(path: &Path) -> Result<(), ResultsError> {
    if path.exists() {
        return Err(ResultsError::Exists(path.to_owned()));
    }
    Ok(())
}

/// The folder, and a line that says where it is.
fn create(path: &Path) -> Result<ResultsFolder, ResultsError> {
    let folder = ResultsFolder::create(path)?;
    eprintln!("results: {}", path.display());
    Ok(folder)
}
