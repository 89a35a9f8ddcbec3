//! Who a caller proved to be, and what is known of them.
//!
//! Enters: a key or a token that was checked. Leaves: a [`Principal`] for the duration of a request. Guarantees: only
//! `access` creates one. Pure.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::access::token::KeyId;
use crate::access::{KeyLimits, Permission, Role, TenantId};
use crate::api::Problem;

/// The tenants that a principal belongs to. Written as the tenant's name, or `*`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum TenantGrant {
    /// One tenant; the usual case.
    One(TenantId),
    /// Any tenant, which each request must name: for programs that serve many tenants, and for the operator.
    Any,
}

impl TenantGrant {
    const ANY: &str = "*";

    /// `*` is any tenant; the empty string is invalid.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            Self::ANY => Some(Self::Any),
            name => TenantId::new(name).map(Self::One),
        }
    }

    /// Its text form.
    pub fn as_str(&self) -> &str {
        match self {
            Self::One(tenant) => tenant.as_str(),
            Self::Any => Self::ANY,
        }
    }

    /// Whether a principal with this grant may give `other` to another principal.
    pub fn covers(&self, other: &Self) -> bool {
        *self == Self::Any || self == other
    }
}

impl Serialize for TenantGrant {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for TenantGrant {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("expected the name of a tenant, or *"))
    }
}

/// How a caller was authenticated.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Identity {
    /// By an API key.
    Key(KeyId),
    /// By the `sub` of a token of the OIDC provider.
    Subject(String),
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(id) => write!(f, "key:{id}"),
            Self::Subject(subject) => write!(f, "oidc:{subject}"),
        }
    }
}

/// Who sent a request, whatever it is about. A handler that takes one is only reached by authenticated callers.
#[derive(Debug, Clone)]
pub struct Principal(Arc<Facts>);

/// What is known of a principal.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Facts {
    /// How it was authenticated.
    pub identity: Identity,
    /// Its display name: the key's name, or the subject.
    pub name: String,
    /// Its role.
    pub role: Role,
    /// The tenants that it belongs to.
    pub tenant: TenantGrant,
    /// The teams whose rows it may see; empty means all teams of the tenant.
    pub teams: Vec<String>,
    /// What it may do: everything that its role allows, or less.
    pub permissions: BTreeSet<Permission>,
    /// Requests per hour.
    pub requests_per_hour: u32,
    /// Limits of its requests that are lower than the service's.
    #[serde(default, skip_serializing_if = "KeyLimits::is_empty")]
    pub limits: KeyLimits,
    /// When the secret that it used was created, which identifies the secret within its key for the duration of a
    /// request.
    #[serde(skip)]
    pub secret_created_at: Option<DateTime<Utc>>,
}

impl Principal {
    /// Only for code that has checked the facts.
    pub(in crate::access) fn new(facts: Facts) -> Self {
        Self(Arc::new(facts))
    }

    /// What is known of it.
    pub fn facts(&self) -> &Facts {
        &self.0
    }

    /// Whether it has this permission.
    pub fn may(&self, permission: Permission) -> bool {
        self.0.permissions.contains(&permission)
    }

    /// Whether it sees audit events, on pages or in exports.
    pub fn reads_events(&self) -> bool {
        self.may(Permission::ReadAudit) || self.may(Permission::ExportAudit)
    }

    /// Refuses a principal without this permission.
    pub fn require(&self, permission: Permission) -> Result<(), Problem> {
        match self.may(permission) {
            true => Ok(()),
            false => Err(Problem::forbidden(format!("this needs the permission {permission}"))),
        }
    }

    /// For tests: a principal with this role and tenant.
    #[cfg(test)]
    pub(crate) fn of(role: Role, tenant: TenantGrant) -> Self {
        Self::named("test", role, tenant, 1_000)
    }

    /// For tests: the same, with a name and a limit.
    #[cfg(test)]
    pub(crate) fn named(name: &str, role: Role, tenant: TenantGrant, requests_per_hour: u32) -> Self {
        Self::new(Facts {
            identity: Identity::Subject(name.to_owned()),
            name: name.to_owned(),
            role,
            teams: Vec::new(),
            permissions: role.permissions(&tenant),
            tenant,
            requests_per_hour,
            limits: KeyLimits::default(),
            secret_created_at: None,
        })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Principal {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get().cloned().ok_or(Problem::Unauthorized)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_one_tenant_cannot_hand_out_another() {
        let [red, blue, any] = ["red", "blue", "*"].map(|text| TenantGrant::parse(text).unwrap());
        assert!(red.covers(&red) && any.covers(&red) && any.covers(&any));
        assert!(!red.covers(&blue) && !red.covers(&any));
        assert_eq!(TenantGrant::parse(""), None);
    }
}
