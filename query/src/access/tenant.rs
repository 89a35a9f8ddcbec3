//! The tenant that a question is about.
//!
//! Enters: what a key or a token says. Guarantees: never empty. Code that reads a tenant's rows takes one as part of a
//! [`crate::access::Caller`].

use serde::{Deserialize, Serialize};

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TenantId(String);

impl TenantId {
    /// `None` for the empty string: no record has an empty tenant.
    pub fn new(text: impl Into<String>) -> Option<Self> {
        Some(text.into()).filter(|text| !text.is_empty()).map(Self)
    }

    /// The tenant as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for TenantId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(text).ok_or("the name of a tenant must not be empty")
    }
}

impl From<TenantId> for String {
    fn from(tenant: TenantId) -> Self {
        tenant.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_tenant_does_not_exist() {
        assert_eq!(TenantId::new(""), None);
        assert_eq!(TenantId::new("acme").unwrap().as_str(), "acme");
    }
}
