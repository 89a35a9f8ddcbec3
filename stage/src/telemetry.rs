//! Logs: `tracing` to standard error, for people or as JSON. A line that cannot be written is lost, and nothing else.
//! And an error in words, as a program tells of it when it ends.

use std::error::Error;
use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::{ConfigError, LogFormat, TelemetryConfig};

/// Installs the global subscriber; a second call in one process changes nothing.
pub fn init(config: &TelemetryConfig) -> Result<(), ConfigError> {
    let filter = EnvFilter::try_new(&config.log).map_err(|error| ConfigError::Invalid {
        setting: "telemetry.log".to_owned(),
        reason: error.to_string(),
    })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        // It would say with `eprintln!` that a line could not be written, and that panics where standard error is a file on
        // a full disk: a lost line of a log must not end a stage.
        .log_internal_errors(false);
    let installed = match config.format {
        LogFormat::Human => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    drop(installed); // the only error is that one is installed already
    Ok(())
}

/// An error and its causes, `what: why: why that`, each said once: some say their cause themselves.
pub fn in_words(error: &(dyn Error + 'static)) -> String {
    let mut words = error.to_string();
    for cause in std::iter::successors(error.source(), |&cause| cause.source()) {
        let cause = cause.to_string();
        if !words.contains(&cause) {
            words = format!("{words}: {cause}");
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Outer {
        #[error("cannot read {0}")]
        Silent(&'static str, #[source] std::io::Error),
        #[error("cannot read {0}: {1}")]
        Telling(&'static str, #[source] std::io::Error),
    }

    #[test]
    fn a_cause_is_said_once() {
        let cause = || std::io::Error::other("no such file");
        for error in [Outer::Silent("a", cause()), Outer::Telling("a", cause())] {
            assert_eq!(in_words(&error), "cannot read a: no such file");
        }
    }
}
