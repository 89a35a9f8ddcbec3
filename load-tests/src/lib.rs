//! What is fast here, measured from outside: the real binaries, the real broker, the real engine.
//!
//! Latencies count from the time at which a record was meant to be sent. A run that lost or doubled a record fails, whatever
//! its speed.
//!
//! The pure core: [`schedule`] says when, [`traffic`] what, [`sender`] keeps to it, [`recorder`] takes everything in,
//! [`latencies`] are the histograms, [`books`] tell whether a record was lost or doubled, [`results`] make files of it. The edges:
//! [`target`] is what is measured, by [`local_stack`] when it is one of our own, [`producer`] sends to Kafka, [`watch`] looks at what
//! goes on, [`store`] asks ClickHouse, [`exposition`] a stage's metrics, [`process`] and [`machine`] the operating system, [`chaos`]
//! disturbs. [`trial`] is one run of all that; [`mode`] and [`sizes`] are the subcommands, [`cli`] their options.

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
mod stop;
mod store;
mod target;
pub mod traffic;
mod trial;
mod watch;
