//! What the parsers' unit tests share: mappings from flags as a user would write them, names of files, and what a file is
//! taken for.

use std::path::Path;

use clap::{Args, Command, FromArgMatches};

use super::detect::plan;
use super::detect_error::DetectError;
use super::mapping::{Mapping, SourceName};

pub(crate) fn mapping(flags: &[&str]) -> Mapping {
    let command = Mapping::augment_args(Command::new("import").no_binary_name(true));
    Mapping::from_arg_matches(&command.try_get_matches_from(flags).unwrap()).unwrap()
}

pub(crate) fn source(path: &str) -> SourceName {
    SourceName::of(&Path::new("/").join(path))
}

/// What a file of this name that begins with `head` is taken for.
pub(crate) fn detected(path: &str, head: &str, flags: &[&str]) -> Result<String, DetectError> {
    plan(head.as_bytes(), &source(path), &mapping(flags)).map(|plan| plan.description())
}
