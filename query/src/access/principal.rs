//! Who somebody proved to be, and what is known of them.
//!
//! Enters: a key or a token that was checked. Leaves: a [`Principal`] for the life of a request. Guarantees: only this part of
//! the program makes one. Pure.

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

/// Which tenants somebody belongs to. Written as the tenant's name, or `*`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum TenantGrant {
    /// One; the rule.
    One(TenantId),
    /// Each request names the one it is about: for programs that stand in front of many tenants, and for those who run
    /// the platform.
    Any,
}

impl TenantGrant {
    const ANY: &str = "*";

    /// `*` is any tenant; the empty text is none.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            Self::ANY => Some(Self::Any),
            name => TenantId::new(name).map(Self::One),
        }
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        match self {
            Self::One(tenant) => tenant.as_str(),
            Self::Any => Self::ANY,
        }
    }

    /// Whether somebody with this grant may give `other` to somebody else.
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

/// How somebody proved who they are.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Identity {
    /// By an API key.
    Key(KeyId),
    /// By a token of the OIDC provider: its `sub`.
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

/// Who sent a request, whatever it is about. A handler that takes one is only reached by somebody who was let in.
#[derive(Debug, Clone)]
pub struct Principal(Arc<Facts>);

/// What is known of somebody.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Facts {
    /// Who it is.
    pub identity: Identity,
    /// What people call it: a key's name, or the subject.
    pub name: String,
    /// What it is.
    pub role: Role,
    /// Which tenants it belongs to.
    pub tenant: TenantGrant,
    /// The teams whose rows it may see; all of the tenant's where empty.
    pub teams: Vec<String>,
    /// What it may do: all that its role may, or less.
    pub permissions: BTreeSet<Permission>,
    /// Requests an hour.
    pub requests_per_hour: u32,
    /// What its requests may take, where that is less than the service allows.
    #[serde(default, skip_serializing_if = "KeyLimits::is_empty")]
    pub limits: KeyLimits,
    /// When the secret that was shown was made, by which its key knows it for as long as a request lasts.
    #[serde(skip)]
    pub secret_created_at: Option<DateTime<Utc>>,
}

impl Principal {
    /// Only for those who have checked the facts.
    pub(in crate::access) fn new(facts: Facts) -> Self {
        Self(Arc::new(facts))
    }

    /// What is known of it.
    pub fn facts(&self) -> &Facts {
        &self.0
    }

    /// Whether it may do this.
    pub fn may(&self, permission: Permission) -> bool {
        self.0.permissions.contains(&permission)
    }

    /// Refuses one that may not do this.
    pub fn require(&self, permission: Permission) -> Result<(), Problem> {
        match self.may(permission) {
            true => Ok(()),
            false => Err(Problem::forbidden(format!("this needs the permission {permission}"))),
        }
    }

    /// For tests: somebody of this role and tenant.
    #[cfg(test)]
    pub(crate) fn of(role: Role, tenant: TenantGrant) -> Self {
        Self::named("test", role, tenant, 1_000)
    }

    /// For tests: likewise, with a name and a limit.
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
