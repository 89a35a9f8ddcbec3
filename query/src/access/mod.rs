//! Who asks, and whose rows they may see.
//!
//! The path of a request: [`authenticate`] finds the [`Principal`] by its API key ([`token`], [`key`], [`keys`]) or the
//! token of an identity provider ([`oidc`]), counts it against its [`limit`], checks it against the [`rules`] of the
//! route, and writes the [`trail`] of access to audit data. A resource takes a [`Caller`] (a principal and one tenant);
//! nothing reads a tenant's rows without one, and audit events are read through its [`mask`]s. [`admin`] and
//! [`keys_command`] make [`changes`] to keys, within the bounds of [`delegation`]; [`review`] shows who may see what;
//! [`projection`] shows keys in SQL; [`whoami`] tells callers who they are.

pub mod admin;
pub mod authenticate;
mod caller;
mod changes;
pub mod client_address;
mod delegation;
pub mod failures;
pub mod gate;
pub mod key;
mod key_limits;
pub mod keys;
pub mod keys_command;
pub mod last_use;
pub mod limit;
pub mod mask;
pub mod new_key;
pub mod oidc;
mod principal;
pub mod projection;
pub mod provider_keys;
pub mod review;
mod review_table;
mod role;
pub mod rules;
pub mod shared_secret;
pub mod subject;
mod tenant;
pub mod token;
pub mod trail;
pub mod whoami;

pub use caller::{Caller, KeptCaller};
pub use key_limits::KeyLimits;
pub use principal::{Facts, Identity, Principal, TenantGrant};
pub use role::{Permission, Role};
pub use tenant::TenantId;
