//! The caller of a request: what a resource needs before it can query the store for a tenant's rows.
//!
//! Enters: the authenticated principal, and the tenant that the request names, if any. Leaves: the part of the data
//! that the request may see, or a problem. Guarantees: this is the only way to a [`crate::store::TenantSelect`]; a
//! tenant that is not the principal's gets the same answer whether it exists or not.

use std::collections::BTreeMap;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use horolog_schemas::{Kind, fields};
use serde::{Deserialize, Serialize};

use crate::access::mask::{self, Mask, MaskKey};
use crate::access::{Facts, KeyLimits, Principal, TenantGrant, TenantId};
use crate::api::Problem;
use crate::api::parameters::{self, TENANT};

/// A principal that asks about one tenant.
#[derive(Debug, Clone)]
pub struct Caller {
    principal: Principal,
    tenant: TenantId,
    mask_key: MaskKey,
}

/// A caller in serializable form, for work that continues after its request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KeptCaller {
    facts: Facts,
    tenant: TenantId,
}

impl Caller {
    /// A caller that asks about the tenant `named`, which must be their own. Only a principal of any tenant has to name
    /// one.
    pub fn new(principal: Principal, named: Option<String>, mask_key: MaskKey) -> Result<Self, Problem> {
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
        Ok(Self {
            principal,
            tenant,
            mask_key,
        })
    }

    /// The tenant whose rows they see.
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// The teams whose rows they see; empty means all teams of the tenant.
    pub fn teams(&self) -> &[String] {
        &self.principal.facts().teams
    }

    /// Who asks.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// The fields of records of this kind that are masked for them.
    pub fn masked(&self, kind: Kind) -> Vec<(&'static str, Mask)> {
        mask::masked(&self.principal, kind)
    }

    /// The same as shown to callers: the mask of each column.
    pub fn masked_columns(&self, kind: Kind) -> BTreeMap<String, String> {
        let told = |(column, mask): (&str, Mask)| (column.to_owned(), mask.as_str().to_owned());
        self.masked(kind).into_iter().map(told).collect()
    }

    /// The key of the tenant's pseudonyms, as two halves.
    pub(crate) fn pseudonym_key(&self) -> [u64; 2] {
        self.mask_key.of_tenant(&self.tenant)
    }

    /// Whether they may see everything that another caller saw of audit events: the same tenant, at least their teams,
    /// no mask that hides more.
    pub fn covers(&self, kept: &KeptCaller) -> bool {
        let (own, theirs) = (self.teams(), &kept.facts.teams);
        let sees_teams = own.is_empty() || (!theirs.is_empty() && theirs.iter().all(|team| own.contains(team)));
        let then = Principal::new(kept.facts.clone());
        let sees_columns = fields(Kind::AuditEvent)
            .iter()
            .all(|field| mask::mask(&self.principal, field) <= mask::mask(&then, field));
        self.tenant == kept.tenant && sees_teams && sees_columns
    }

    /// For work that continues after the request, in this process or another, within limits of its own rather than the
    /// key's.
    pub fn keep(&self) -> KeptCaller {
        KeptCaller {
            facts: Facts {
                limits: KeyLimits::default(),
                secret_created_at: None,
                ..self.principal.facts().clone()
            },
            tenant: self.tenant.clone(),
        }
    }

    /// Restores a kept caller. It sees what it saw then, whatever became of its key: where that matters, the key must
    /// be checked again.
    pub fn restore(kept: KeptCaller, mask_key: &MaskKey) -> Self {
        Self {
            principal: Principal::new(kept.facts),
            tenant: kept.tenant,
            mask_key: mask_key.clone(),
        }
    }

    /// For tests: an auditor of this tenant.
    #[cfg(test)]
    pub(crate) fn of(tenant: TenantId) -> Self {
        Self::with_role(crate::access::Role::Auditor, tenant)
    }

    /// For tests: a caller with this role and tenant.
    #[cfg(test)]
    pub(crate) fn with_role(role: crate::access::Role, tenant: TenantId) -> Self {
        let principal = Principal::of(role, TenantGrant::One(tenant.clone()));
        Self {
            principal,
            tenant,
            mask_key: MaskKey::of(&crate::access::shared_secret::SharedSecret::named("test")),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let principal = Principal::from_request_parts(parts, state).await?;
        let mask_key: Option<&MaskKey> = parts.extensions.get();
        let mask_key = mask_key.cloned().ok_or(Problem::Unauthorized)?;
        Self::new(principal, parameters::value(parts, TENANT)?, mask_key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Role;
    use crate::access::shared_secret::SharedSecret;

    fn caller(grant: &str, named: Option<&str>) -> Result<Caller, Problem> {
        let principal = Principal::of(Role::Analyst, TenantGrant::parse(grant).unwrap());
        Caller::new(
            principal,
            named.map(str::to_owned),
            MaskKey::of(&SharedSecret::named("test")),
        )
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
    fn what_one_has_seen_is_for_those_alone_who_may_see_as_much() {
        let of = |tenant: &str, teams: &[&str], restricted: bool| {
            let principal = Principal::of(Role::Auditor, TenantGrant::parse(tenant).unwrap());
            let mut facts = principal.facts().clone();
            facts.teams = teams.iter().map(|&team| team.to_owned()).collect();
            if !restricted {
                facts.permissions.remove(&crate::access::Permission::ReadRestricted);
            }
            Caller::new(Principal::new(facts), None, MaskKey::of(&SharedSecret::named("test"))).unwrap()
        };
        let whole = of("red", &[], true);
        for (other, covers, is_covered) in [
            (of("red", &[], true), true, true),
            (of("blue", &[], true), false, false),
            (of("red", &["a"], true), false, true),
            (of("red", &[], false), false, true),
        ] {
            assert_eq!(
                (other.covers(&whole.keep()), whole.covers(&other.keep())),
                (covers, is_covered),
                "{other:?}"
            );
        }
        let [a, ab] = [of("red", &["a"], true), of("red", &["a", "b"], true)];
        assert!(ab.covers(&a.keep()) && !a.covers(&ab.keep()));
    }

    #[test]
    fn a_caller_of_any_tenant_says_which() {
        assert_eq!(caller("*", Some("blue")).unwrap().tenant().as_str(), "blue");
        assert_eq!(caller("*", None).unwrap_err().named_parameter(), Some(TENANT));
    }
}
