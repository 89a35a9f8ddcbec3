//! Who asks, and whose rows they may see.

mod caller;
mod tenant;

pub use caller::Caller;
pub use tenant::TenantId;
