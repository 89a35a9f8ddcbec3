//! The HTTP API: metrics and audit events of one tenant, and how complete they are.
//!
//! The way of a request: [`api::observe`] gives it an id and measures it, [`service::router`] finds its resource, [`access`] says
//! who asks and whose rows they may see, [`api::parameters`] parses what they ask, the resource ([`metrics`], [`audit`]), which
//! is given what is in [`handler`], turns it into [`store::select`]s that no one can build without the caller, [`store`] runs them, and what went wrong leaves
//! as an [`api::problem`]. A resource registers its own routes and describes them for OpenAPI. [`web`] is the page that asks
//! the same API from a browser, [`cli`] the command line that does from a terminal.

mod access;
mod api;
mod audit;
mod cli;
pub mod command;
mod config;
mod digest;
mod handler;
mod journal;
mod loopback;
mod metrics;
mod service;
mod steering;
mod store;
mod system;
mod web;
