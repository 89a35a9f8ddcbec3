//! The place of `horolog import`: its options and its entry, called by [`crate::cli`].

/// Options of `horolog import`.
#[derive(Debug, clap::Args)]
pub struct ImportOptions {}

/// Runs it to its end.
pub fn run(_options: ImportOptions) -> anyhow::Result<()> {
    anyhow::bail!("import is not part of this build")
}
