//! Measures the speed of Horolog from outside: the real binaries, the real broker, the real engine.
//!
//! Latencies count from the time at which a record was meant to be sent. A run that lost or doubled a record fails,
//! whatever its speed.
//!
//! The pure core: [`schedule`] decides when to send, [`traffic`] what, [`sender`] keeps to it, [`recorder`] records all
//! events in the histograms of [`latencies`], [`books`] tell whether a record was lost or doubled, [`results`] writes
//! the files. The edges: [`target`] is the system under test ([`local_stack`] if it is our own), [`producer`] sends to
//! Kafka, [`watch`] observes the target, [`store`] queries ClickHouse, [`exposition`] reads a stage's metrics,
//! [`process`] and [`machine`] ask the operating system, [`chaos`] disturbs. [`trial`] combines all of these into a
//! run; [`mode`] and [`sizes`] are the subcommands, [`cli`] their options.

pub mod books;
mod chaos;
pub mod cli;
mod dashboards;
mod exposition;
mod http;
pub mod latencies;
mod live;
pub mod local_stack;
pub mod machine;
mod mode;
mod process;
mod producer;
pub mod recorder;
pub mod results;
pub mod schedule;
pub mod sender;
mod sizes;
mod span;
pub mod stop;
mod store;
mod target;
pub mod traffic;
mod trial;
mod watch;
