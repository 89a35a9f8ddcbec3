//! The service, put together: from a configuration to answers.
//!
//! The way in: [`server`] opens store, gate and exports and watches over them; [`listener`] takes connections, over [`tls`] where a
//! certificate is configured, within the bounds of [`connections`]; [`router`] has the routes of all resources, and around them what
//! every request passes and the [`security_headers`]. Nothing here answers a question.

mod connections;
mod listener;
mod router;
mod security_headers;
pub mod server;
mod tls;
