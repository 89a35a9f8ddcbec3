//! The place of `horolog engine`: its options and its entry, called by [`crate::cli`].

/// Options of `horolog engine`.
#[derive(Debug, clap::Args)]
pub struct EngineOptions {}

/// Runs it to its end.
pub fn run(_options: EngineOptions) -> anyhow::Result<()> {
    anyhow::bail!("engine is not part of this build")
}
