//! What handlers use: the service ([`Api`]), and everything about a request for rows of a tenant ([`Asking`]).
//!
//! Knows the resources whose state it holds, so [`crate::api`] and [`crate::store`] must not use it.

mod asking;
mod state;

pub use asking::Asking;
pub use state::Api;
