//! The HTTP API: hourly metrics and audit events of one tenant, as JSON, a page at a time.
//!
//! The way of a request: [`server`] routes it, [`observe`] gives it an id and measures it, a resource ([`metrics_hourly`],
//! [`audit_events`]) parses its [`parameters`] into a question ([`hourly_question`], [`audit_question`]), the question becomes
//! [`select`]s that no one can build without a tenant, [`store`] runs them, and what went wrong leaves as a [`problem`].

pub mod audit_event;
pub mod audit_events;
pub mod audit_question;
pub mod completeness;
pub mod config;
pub mod cursor;
pub mod hourly_question;
pub mod instant;
pub mod metric_hour;
pub mod metrics_hourly;
pub mod observe;
pub mod page;
pub mod parameters;
pub mod problem;
pub mod select;
pub mod server;
pub mod store;
pub mod tenant;
