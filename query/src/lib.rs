//! The HTTP API: metrics and audit events of one tenant, and how complete they are.
//!
//! The way of a request: [`api::observe`] gives it an id and measures it, [`service::router`] finds its resource, [`access`] says
//! who asks and whose rows they may see, and [`api::parameters`] parses what they ask. The resource ([`metrics`], [`audit`], …)
//! is given all this in [`handler`] and makes [`store::select`]s of it, which nobody can build without the caller; [`store`] runs
//! them. What went wrong leaves as an [`api::problem`]. A resource registers its own routes and describes them for OpenAPI. [`web`]
//! is the page that asks the same API from a browser, [`cli`] the client that asks it from a terminal.

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
