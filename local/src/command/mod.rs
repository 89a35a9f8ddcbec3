//! The subcommands about a whole stack, one a file.

pub mod data;
pub mod down;
pub mod logs;
pub mod status;
pub mod test;
pub mod up;
pub mod wipe;
