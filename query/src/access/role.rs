//! What callers may do: permissions, and the roles that combine them.
//!
//! A role is the most that a caller can do; the scopes of a key only restrict it. Whatever aggregates over all tenants
//! is only for callers who may see any of them. Pure constants.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::access::TenantGrant;

/// A permission. The scopes of a key name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
pub enum Permission {
    /// Query aggregates of metrics.
    #[serde(rename = "metrics:read")]
    ReadMetrics,
    /// Count audit events by columns that are not masked, without seeing any event.
    #[serde(rename = "audit:count")]
    CountAudit,
    /// Search and read audit events.
    #[serde(rename = "audit:read")]
    ReadAudit,
    /// Create and download exports of audit events.
    #[serde(rename = "audit:export")]
    ExportAudit,
    /// See restricted fields (values before and after, sessions, metadata) unmasked.
    #[serde(rename = "restricted:read")]
    ReadRestricted,
    /// See the state of the system: lag, ledger, storage. These span all tenants, so this is only for principals of any
    /// tenant.
    #[serde(rename = "system:read")]
    ReadSystem,
    /// Create, list, rotate and revoke keys; review who may see what.
    #[serde(rename = "keys:manage")]
    ManageKeys,
}

impl Permission {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::ReadMetrics,
        Self::CountAudit,
        Self::ReadAudit,
        Self::ExportAudit,
        Self::ReadRestricted,
        Self::ReadSystem,
        Self::ManageKeys,
    ];

    /// The permission with this name.
    pub fn parse(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|permission| permission.as_str() == text);
        found.ok_or_else(|| format!("expected one of {}", Self::ALL.map(Self::as_str).join(", ")))
    }

    /// Its name as a scope.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReadMetrics => "metrics:read",
            Self::CountAudit => "audit:count",
            Self::ReadAudit => "audit:read",
            Self::ExportAudit => "audit:export",
            Self::ReadRestricted => "restricted:read",
            Self::ReadSystem => "system:read",
            Self::ManageKeys => "keys:manage",
        }
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The role of a principal.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, clap::ValueEnum, ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Aggregates, no personal data.
    Analyst,
    /// Audit events and their exports.
    Auditor,
    /// Keys and configuration, no contents.
    Admin,
    /// A program: aggregates, and audit events with personal and restricted fields masked.
    Service,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Analyst, Self::Auditor, Self::Admin, Self::Service];

    /// The most that the role allows a principal of these tenants.
    pub fn permissions(self, tenant: &TenantGrant) -> BTreeSet<Permission> {
        use Permission::*;
        match self {
            Self::Analyst => BTreeSet::from([ReadMetrics, CountAudit]),
            Self::Auditor => BTreeSet::from([ReadMetrics, CountAudit, ReadAudit, ExportAudit, ReadRestricted]),
            Self::Admin if *tenant == TenantGrant::Any => BTreeSet::from([ReadSystem, ManageKeys]),
            Self::Admin => BTreeSet::from([ManageKeys]),
            Self::Service => BTreeSet::from([ReadMetrics, CountAudit, ReadAudit]),
        }
    }

    /// Whether the role works with personal data.
    pub const fn sees_persons(self) -> bool {
        matches!(self, Self::Auditor)
    }

    /// The role with this name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }

    /// Its name in keys and claims.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Analyst => "analyst",
            Self::Auditor => "auditor",
            Self::Admin => "admin",
            Self::Service => "service",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_is_written_in_keys() {
        for permission in Permission::ALL {
            assert_eq!(serde_json::to_value(permission).unwrap(), permission.as_str());
        }
        for role in Role::ALL {
            assert_eq!(serde_json::to_value(role).unwrap(), role.as_str());
        }
    }

    #[test]
    fn those_who_hand_out_keys_see_no_contents_and_the_other_way_round() {
        for role in Role::ALL {
            let permissions = role.permissions(&TenantGrant::Any);
            let contents = [Permission::ReadMetrics, Permission::CountAudit, Permission::ReadAudit];
            let sees = contents.iter().any(|permission| permissions.contains(permission));
            assert_ne!(sees, permissions.contains(&Permission::ManageKeys), "{role}");
        }
    }

    #[test]
    fn whoever_belongs_to_one_tenant_sees_nothing_of_all_of_them_together() {
        let one = TenantGrant::parse("red").unwrap();
        for role in Role::ALL {
            let (any, one) = (role.permissions(&TenantGrant::Any), role.permissions(&one));
            assert!(!one.contains(&Permission::ReadSystem), "{role}");
            let beyond: Vec<_> = any.difference(&one).collect();
            assert!(
                beyond.iter().all(|&&beyond| beyond == Permission::ReadSystem),
                "{role}: {beyond:?}"
            );
        }
    }
}
