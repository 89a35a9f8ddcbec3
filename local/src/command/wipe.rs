//! `horolog wipe`: stops the stack and removes its data folder, but only a folder that `up` made. Asks for confirmation
//! unless `--yes` is given.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use anyhow::bail;

use crate::stack::DataFolder;

use super::data::DataOption;
use super::down;

/// Options of `horolog wipe`.
#[derive(Debug, Clone, clap::Args)]
pub struct WipeOptions {
    #[command(flatten)]
    data: DataOption,
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
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
        bail!("--data {path}: this folder was not created by horolog, so it is not removed");
    }
    if !options.yes {
        if !std::io::stdin().is_terminal() {
            bail!(
                "{path} is not removed: there is no terminal to ask for confirmation; use --yes to remove it without \
                 asking"
            );
        }
        if !is_agreed(&folder)? {
            println!("nothing removed");
            return Ok(ExitCode::FAILURE);
        }
    }
    down::stop(&folder)?;
    folder.remove()?;
    println!("removed {path}");
    Ok(ExitCode::SUCCESS)
}

fn is_agreed(folder: &DataFolder) -> std::io::Result<bool> {
    print!(
        "Remove {} with every record of its Kafka and its ClickHouse? [y/N] ",
        folder.path().display()
    );
    std::io::stdout().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}
