//! A local stack: broker, store, migrations, stages and sample stream as supervised processes on loopback.

mod folder;
mod ports;
mod services;

pub use folder::{DataFolder, FolderError, FolderLock};
pub use ports::{PortError, Ports};
pub use services::Layout;
