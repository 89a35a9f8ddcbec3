//! `horolog logs [NAME]`: the end of one log, or of all.

use std::io::Write;
use std::process::ExitCode;

use anyhow::bail;

use crate::process::tail;

use super::data::DataOption;

/// Options of `horolog logs`.
#[derive(Debug, Clone, clap::Args)]
pub struct LogsOptions {
    #[command(flatten)]
    data: DataOption,
    /// Which log: broker, clickhouse, horolog-ingest, … [default: all]
    name: Option<String>,
    /// How many lines of each log.
    #[arg(long, short = 'n', value_name = "N", default_value_t = 50)]
    lines: usize,
}

/// Runs it.
pub fn run(options: &LogsOptions) -> anyhow::Result<ExitCode> {
    let folder = options.data.folder()?;
    let names = names(&folder.logs());
    let wanted: Vec<&String> = match &options.name {
        None => names.iter().collect(),
        Some(name) => names.iter().filter(|known| *known == name).collect(),
    };
    if wanted.is_empty() {
        match &options.name {
            Some(name) if !names.is_empty() => {
                bail!("there is no log named {name:?}; the logs are: {}", names.join(", "))
            }
            _ => bail!("there are no logs in {}", folder.logs().display()),
        }
    }
    let mut out = std::io::stdout().lock();
    for name in wanted {
        let path = folder.log(name);
        let text = format!(
            "==> {} <==\n{}\n",
            path.display(),
            tail(&path, options.lines).join("\n")
        );
        if out.write_all(text.as_bytes()).is_err() {
            break; // the reader has seen enough
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn names(logs: &std::path::Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(logs)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".log").map(str::to_owned))
        .collect();
    names.sort();
    names
}
