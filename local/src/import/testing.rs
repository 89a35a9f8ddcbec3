//! What the parsers' unit tests share: mappings from flags as a user would write them, and names of files.

use std::path::Path;

use clap::{Args, Command, FromArgMatches};

use super::mapping::{Mapping, SourceName};

pub(crate) fn mapping(flags: &[&str]) -> Mapping {
    let command = Mapping::augment_args(Command::new("import").no_binary_name(true));
    Mapping::from_arg_matches(&command.try_get_matches_from(flags).unwrap()).unwrap()
}

pub(crate) fn source(path: &str) -> SourceName {
    SourceName::of(&Path::new("/").join(path))
}
