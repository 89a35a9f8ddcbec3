//! `horolog wipe`: stops the stack and removes its data folder, and no folder that was not made by `up`.

use std::process::ExitCode;

use anyhow::bail;

use super::data::DataOption;
use super::down;

/// Options of `horolog wipe`.
#[derive(Debug, Clone, clap::Args)]
pub struct WipeOptions {
    #[command(flatten)]
    data: DataOption,
}

/// Runs it.
pub fn run(options: &WipeOptions) -> anyhow::Result<ExitCode> {
    let folder = options.data.folder()?;
    let path = folder.path().display();
    if !folder.path().exists() {
        println!("nothing to remove: {path} does not exist");
        return Ok(ExitCode::SUCCESS);
    }
    if !folder.is_ours() {
        bail!("--data {path}: this folder was not made by horolog; it is left as it is");
    }
    down::stop(&folder)?;
    folder.remove()?;
    println!("removed {path}");
    Ok(ExitCode::SUCCESS)
}
