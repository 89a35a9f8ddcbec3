//! Who asks, and whose rows they may see.
//!
//! The way of a request: [`authenticate`] finds the [`Principal`] by its key ([`token`], [`key`], [`ring`]) and holds it against
//! the [`rules`] of the route; a resource takes a [`Caller`] (a principal and one tenant), and nothing reads a tenant's rows
//! without one.

pub mod authenticate;
mod caller;
pub mod cli;
pub mod key;
mod principal;
pub mod ring;
mod role;
pub mod rules;
mod tenant;
pub mod token;

pub use caller::{Caller, KeptCaller};
pub use principal::{Facts, Identity, Principal, TenantGrant};
pub use role::{Permission, Role};
pub use tenant::TenantId;
