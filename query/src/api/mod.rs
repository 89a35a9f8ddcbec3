//! What all resources share: handling a request on the way in and an answer on the way out.
//!
//! Knows no resource: [`crate::service`] puts them together, and [`crate::handler`] is what handlers use.

pub mod accept;
pub mod admission;
pub mod body;
pub mod caching;
pub mod cursor;
pub mod declared;
pub mod formats;
pub mod guard;
pub mod instant;
pub mod named;
pub mod observe;
pub mod openapi;
pub mod outgoing;
pub mod page;
pub mod parameters;
pub mod places;
pub mod problem;
pub mod request_id;

pub use instant::Instant;
pub use named::Named;
pub use parameters::Asked;
pub use problem::Problem;
pub use request_id::RequestId;
