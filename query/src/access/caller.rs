//! The caller of a request: what a resource must have before it can ask the store for a tenant's rows.
//!
//! Enters: the request. Leaves: the tenant it is about, or a problem. Guarantees: there is no other way to a
//! [`crate::store::TenantSelect`].

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use crate::access::TenantId;
use crate::api::Problem;
use crate::api::parameters::{self, TENANT};

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    tenant: TenantId,
}

impl Caller {
    /// Somebody who may see this tenant's rows.
    pub fn of(tenant: TenantId) -> Self {
        Self { tenant }
    }

    /// Whose rows they see.
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let text = parameters::value(parts, TENANT)?.ok_or_else(|| Problem::parameter(TENANT, "is required"))?;
        let tenant = TenantId::new(text).ok_or_else(|| Problem::parameter(TENANT, "is empty"))?;
        Ok(Self::of(tenant))
    }
}
