//! The caller of a request: what a resource must have before it can ask the store for a tenant's rows.
//!
//! Enters: the principal that was let in, and the tenant that the request names, if it names one. Leaves: the part of the data
//! that the request may see, or a problem. Guarantees: there is no other way to a [`crate::store::TenantSelect`]; a tenant that
//! is not the principal's gets the same answer whether it exists or not.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::{Deserialize, Serialize};

use crate::access::{Facts, Principal, TenantGrant, TenantId};
use crate::api::Problem;
use crate::api::parameters::{self, TENANT};

/// Who asks, about one tenant.
#[derive(Debug, Clone)]
pub struct Caller {
    principal: Principal,
    tenant: TenantId,
}

/// A caller as it is kept for work that goes on after its request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KeptCaller {
    facts: Facts,
    tenant: TenantId,
}

impl Caller {
    /// Somebody who asks about the tenant that is `named`, which must be their own. Only those who belong to any tenant have
    /// to name one.
    pub fn new(principal: Principal, named: Option<String>) -> Result<Self, Problem> {
        let tenant = match (&principal.facts().tenant, named) {
            (_, Some(named)) if named.is_empty() => Err(Problem::parameter(TENANT, "is empty")),
            (TenantGrant::One(own), None) => Ok(own.clone()),
            (TenantGrant::One(own), Some(named)) if own.as_str() == named => Ok(own.clone()),
            (TenantGrant::One(_), Some(_)) => Err(Problem::forbidden("tenant_id is not the tenant of this key")),
            (TenantGrant::Any, None) => Err(Problem::parameter(TENANT, "is required with a key for any tenant")),
            (TenantGrant::Any, Some(named)) => {
                TenantId::new(named).ok_or_else(|| Problem::parameter(TENANT, "is empty"))
            }
        }?;
        Ok(Self { principal, tenant })
    }

    /// Whose rows they see.
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// The teams whose rows they see; all of the tenant's where empty.
    pub fn teams(&self) -> &[String] {
        &self.principal.facts().teams
    }

    /// Who asks.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// For work that goes on after the request, in this process or another.
    pub fn keep(&self) -> KeptCaller {
        KeptCaller {
            facts: self.principal.facts().clone(),
            tenant: self.tenant.clone(),
        }
    }

    /// What was kept. It sees what it saw then, whatever became of its key: whoever must look at that again does so.
    pub fn restore(kept: KeptCaller) -> Self {
        Self {
            principal: Principal::new(kept.facts),
            tenant: kept.tenant,
        }
    }

    /// For tests: an auditor of this tenant.
    #[cfg(test)]
    pub(crate) fn of(tenant: TenantId) -> Self {
        let principal = Principal::of(crate::access::Role::Auditor, TenantGrant::One(tenant.clone()));
        Self { principal, tenant }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let principal = Principal::from_request_parts(parts, state).await?;
        Self::new(principal, parameters::value(parts, TENANT)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Role;

    fn caller(grant: &str, named: Option<&str>) -> Result<Caller, Problem> {
        let principal = Principal::of(Role::Analyst, TenantGrant::parse(grant).unwrap());
        Caller::new(principal, named.map(str::to_owned))
    }

    #[test]
    fn a_tenant_that_is_not_the_callers_is_refused_whatever_its_name() {
        let refused = |named| caller("red", Some(named)).unwrap_err();
        assert_eq!(refused("blue"), refused("no-such-tenant"));
        assert_eq!(refused("*"), refused("RED"));
        for own in [None, Some("red")] {
            assert_eq!(caller("red", own).unwrap().tenant().as_str(), "red");
        }
        assert_eq!(refused("").named_parameter(), Some(TENANT));
    }

    #[test]
    fn a_caller_of_any_tenant_says_which() {
        assert_eq!(caller("*", Some("blue")).unwrap().tenant().as_str(), "blue");
        assert_eq!(caller("*", None).unwrap_err().named_parameter(), Some(TENANT));
    }
}
