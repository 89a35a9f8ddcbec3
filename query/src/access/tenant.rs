//! Who a question is about.
//!
//! Enters: the caller's parameter today, the caller's key once there are keys. Guarantees: never empty. Everything that
//! reads a tenant's rows takes one of these, see [`crate::select`].

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_tenant_does_not_exist() {
        assert_eq!(TenantId::new(""), None);
        assert_eq!(TenantId::new("acme").unwrap().as_str(), "acme");
    }
}
