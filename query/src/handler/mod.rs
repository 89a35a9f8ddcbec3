//! What a handler is given: the service as it sees it ([`Api`]), and all that it needs of a request for rows of a tenant ([`Asking`]).
//!
//! Knows the resources whose state it holds, so [`crate::api`] and [`crate::store`] must not use it.

mod asking;
mod state;

pub use asking::Asking;
pub use state::Api;
