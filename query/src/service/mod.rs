//! The service, put together: from a configuration to answers.
//!
//! The way in: [`server`] opens store, gate and exports and monitors them; [`listener`] accepts connections, over
//! [`tls`] if a certificate is configured, within the bounds of [`connections`]; [`router`] has the routes of all
//! resources, wrapped in the middleware of all requests and the [`security_headers`]. Nothing here answers a question.

mod connections;
mod listener;
mod router;
mod security_headers;
pub mod server;
mod tls;
