//! What is fast here, measured from outside: the real binaries, the real broker, the real engine.
//!
//! Modules by what they do: [`cli`] parses the command line; [`sizes`] is the benchmark of the sizes that the project promises.
//! Of use to any measurement: [`local_stack`] starts a stack of its own; [`series`] makes records and [`producer`] sends
//! them, by a [`schedule`]; [`visibility`] turns what was seen when into latencies; [`store`] asks ClickHouse, [`exposition`] a
//! stage's metrics, [`process`] and [`machine`] the operating system; [`account`] tells whether a record was lost or doubled.
//!
//! Latencies count from the time at which a record was meant to be sent. A run that lost or doubled a record fails, whatever
//! its speed.

pub mod account;
pub mod cli;
pub mod exposition;
pub mod local_stack;
pub mod machine;
pub mod process;
pub mod producer;
pub mod schedule;
pub mod series;
pub mod sizes;
pub mod store;
pub mod visibility;
