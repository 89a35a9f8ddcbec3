//! A local stack: broker, store, migrations, services and sample stream as supervised processes on loopback.
//!
//! [`run()`] is a stack's whole life; [`StackState`] is what it says about itself to others; [`Layout`] says how each part is
//! started, for the supervisor and for tests.

mod backoff;
pub mod flow;
mod folder;
mod http;
mod log_files;
mod part;
mod ports;
mod run;
pub mod screen;
mod services;
mod state;
mod stop;
mod supervisor;

pub use folder::{DataFolder, FolderError, FolderLock};
pub use http::http_client;
pub use ports::{PortError, Ports};
pub use run::{ADMIN_KEY, PARTS_STOP, READING_KEY, check, run};
pub use services::Layout;
pub use state::{ClickHouseAddress, KafkaAddress, Phase, ProcessPhase, ProcessState, QueryAddress, StackState};
pub use stop::StopRequest;
pub use supervisor::StartError;

/// Name of the supervisor's log when it runs in the background.
pub const SUPERVISOR: &str = "supervisor";
