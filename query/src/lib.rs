//! The HTTP API: metrics and audit events of one tenant, and how complete they are.
//!
//! The path of a request: [`api::observe`] gives it an id and measures it, [`service::router`] finds its resource,
//! [`access`] determines who asks and whose rows they may see, and [`api::parameters`] parses the question. The
//! resource ([`metrics`], [`audit`], …) gets all this from [`handler`] and builds [`store::select`]s, which cannot be
//! built without the caller; [`store`] runs them. Errors leave as an [`api::problem`]. A resource registers its own
//! routes and describes them for OpenAPI. [`web`] is the page that uses the same API from a browser, [`cli`] the client
//! that uses it from a terminal.

mod access;
mod api;
mod audit;
mod cli;
pub mod command;
mod config;
mod handler;
mod journal;
mod metrics;
mod service;
mod store;
mod system;
mod web;
