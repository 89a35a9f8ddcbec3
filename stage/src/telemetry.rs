//! Logs: `tracing` to standard error, for people or as JSON. A line that cannot be written is lost; nothing else
//! happens.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::{ConfigError, LogFormat, TelemetryConfig};

/// Installs the global subscriber; a second call in one process changes nothing.
pub fn init(config: &TelemetryConfig) -> Result<(), ConfigError> {
    let filter = EnvFilter::try_new(&config.log);
    let filter = filter.map_err(|error| ConfigError::invalid("telemetry.log", error.to_string()))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        // It would report a failed write with `eprintln!`, which panics if standard error is a file on a full disk: a
        // lost log line must not end a stage.
        .log_internal_errors(false);
    let installed = match config.format {
        LogFormat::Human => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    drop(installed); // the only error is that one is installed already
    Ok(())
}
