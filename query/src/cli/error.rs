//! Why a command failed, and the exit code that tells a script how to react.

use std::path::{Path, PathBuf};

use serde::Deserialize;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The service answered with problem details (RFC 9457).
    #[error("{problem}")]
    Problem {
        /// What it said.
        problem: Box<ProblemDetails>,
        /// When to try again. Seconds.
        retry_after_s: Option<u64>,
    },
    /// The service could not be reached, or the connection broke.
    #[error("cannot reach {url}: {reason}; set --url or HOROLOG_QUERY_URL to where horolog-query listens")]
    Unreached {
        /// The URL.
        url: String,
        /// The reason from the operating system or the library.
        reason: String,
    },
    /// The answer is not one of this API.
    #[error("this version does not understand the answer of {url}: {reason}")]
    Answer {
        /// The URL.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An invalid argument that clap could not check.
    #[error("{name}: {reason}")]
    Argument {
        /// The argument.
        name: &'static str,
        /// What is expected.
        reason: String,
    },
    /// A local file could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The reason from the operating system.
        source: std::io::Error,
    },
    /// Standard output could not be written.
    #[error("standard output: {0}")]
    Output(#[from] std::io::Error),
    /// An export ended without a result.
    #[error("the export {id} is {state}{reason}")]
    Export {
        /// The export.
        id: String,
        /// Its final state.
        state: String,
        /// The reason, if known.
        reason: String,
    },
    /// A downloaded file differs from the exported one.
    #[error("{}: its SHA-256 is {found}, but the export says {expected}; it was removed, download it again", path.display())]
    Checksum {
        /// The file.
        path: PathBuf,
        /// SHA-256 of the downloaded file.
        found: String,
        /// SHA-256 of the exported file.
        expected: String,
    },
}

/// The problem details of an answer.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ProblemDetails {
    /// HTTP status.
    pub status: u16,
    /// The kind of problem.
    pub title: String,
    /// This problem in detail.
    pub detail: String,
    /// The parameter to change.
    pub parameter: Option<String>,
    /// Id of the request in the log.
    pub request_id: Option<String>,
}

impl std::fmt::Display for ProblemDetails {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(parameter) = &self.parameter {
            write!(f, "{parameter}: ")?;
        }
        f.write_str(if self.detail.is_empty() {
            &self.title
        } else {
            &self.detail
        })?;
        write!(f, " (status {}", self.status)?;
        if let Some(id) = &self.request_id {
            write!(f, ", request {id}")?;
        }
        f.write_str(")")?;
        if self.status == 401 {
            f.write_str("; set HOROLOG_API_KEY, or name a file that holds the key with --key-file")?;
        }
        Ok(())
    }
}

impl CliError {
    /// Of the operating system, about this file.
    pub(super) fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        |source| Self::File {
            path: path.to_owned(),
            source,
        }
    }

    /// 1: the command failed. 2: arguments or question are invalid (as for clap). 3: the key is missing, unknown or
    /// lacks a permission. 4: not found, or not available now; it may be later.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Argument { .. } => 2,
            Self::Unreached { .. } => 4,
            Self::Problem { problem, .. } => match problem.status {
                401 | 403 => 3,
                429 | 502..=504 => 4,
                400..=499 => 2,
                _ => 1,
            },
            _ => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(status: u16, parameter: Option<&str>) -> CliError {
        let problem = Box::new(ProblemDetails {
            status,
            title: "t".into(),
            detail: "is wrong".into(),
            parameter: parameter.map(str::to_owned),
            request_id: Some("r-1".into()),
        });
        CliError::Problem {
            problem,
            retry_after_s: None,
        }
    }

    #[test]
    fn an_exit_code_says_whose_turn_it_is() {
        for (status, code) in [
            (400, 2),
            (401, 3),
            (403, 3),
            (404, 2),
            (422, 2),
            (429, 4),
            (500, 1),
            (503, 4),
        ] {
            assert_eq!(problem(status, None).exit_code(), code, "{status}");
        }
    }

    #[test]
    fn a_problem_names_the_parameter_and_the_request() {
        assert_eq!(
            problem(400, Some("from")).to_string(),
            "from: is wrong (status 400, request r-1)"
        );
        assert!(problem(401, None).to_string().contains("HOROLOG_API_KEY"));
    }
}
