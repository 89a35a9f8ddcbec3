//! The subcommands, from options to an exit code.
//!
//! `run`, `soak`, `chaos` and `replay` are a single run, [`knee`] and [`compare`] several; [`merge`] combines the
//! results of several testers, [`generate`] runs only the generator.

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
use horolog_schemas::errors::in_words;

use crate::results::{Outcome, ResultsError, ResultsFolder};
use crate::stop::Stop;
use crate::target::{Target, TargetOptions};

/// Runs the work in a runtime, with a stop request that signals trigger. Sender and recorder have threads of their own.
pub fn with_runtime(work: impl AsyncFnOnce(Stop) -> anyhow::Result<ExitCode>) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(async {
        let stop = Stop::on_signals()?;
        match work(stop.clone()).await {
            Err(error) if stop.is_requested() => {
                eprintln!("horolog-load: {}", in_words(&*error));
                Ok(ExitCode::from(Outcome::Interrupted.exit_code()))
            }
            outcome => outcome,
        }
    });
    // Do not wait for a thread that still tries to reach a lost broker.
    runtime.shutdown_background();
    outcome
}

/// Reaches the target. If a stop is requested meanwhile, waits and stops what was started.
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

/// The results folder, by default under `load-results`.
fn results_path(named: Option<&Path>, prefix: &str) -> PathBuf {
    named.map_or_else(|| Path::new("load-results").join(prefix), Path::to_owned)
}

/// Fails before minutes are spent on results that cannot be written.
fn refuse_existing(path: &Path) -> Result<(), ResultsError> {
    if path.exists() {
        return Err(ResultsError::Exists(path.to_owned()));
    }
    Ok(())
}

/// Creates the results folder and prints its path.
fn create(path: &Path) -> Result<ResultsFolder, ResultsError> {
    let folder = ResultsFolder::create(path)?;
    eprintln!("results: {}", path.display());
    Ok(folder)
}
