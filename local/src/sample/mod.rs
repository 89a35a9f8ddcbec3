//! The place of `horolog sample`: its options and its entry, called by [`crate::cli`].

/// Options of `horolog sample`.
#[derive(Debug, clap::Args)]
pub struct SampleOptions {}

/// Runs it to its end.
pub fn run(_options: SampleOptions) -> anyhow::Result<()> {
    anyhow::bail!("sample is not part of this build")
}
