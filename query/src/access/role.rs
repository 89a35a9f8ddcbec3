//! What callers may do: permissions, and the roles that are made of them.
//!
//! A role is the most a caller can do; the scopes of a key take away from it and never add. What is told of all tenants together is for
//! those alone who may see any of them. Pure constants.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::access::TenantGrant;

/// One thing a caller may do. Keys name them as scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
pub enum Permission {
    /// Ask for aggregates of metrics.
    #[serde(rename = "metrics:read")]
    ReadMetrics,
    /// Count audit events by columns that are not masked, without seeing one.
    #[serde(rename = "audit:count")]
    CountAudit,
    /// Search and read audit events.
    #[serde(rename = "audit:read")]
    ReadAudit,
    /// Make and fetch exports of audit events.
    #[serde(rename = "audit:export")]
    ExportAudit,
    /// See restricted fields (values before and after, sessions, metadata) as they are.
    #[serde(rename = "restricted:read")]
    ReadRestricted,
    /// See how the system is: lag, ledger, storage. They are of all tenants together, so it is for those of any tenant alone.
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

    /// By its name.
    pub fn parse(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|permission| permission.as_str() == text);
        found.ok_or_else(|| format!("expected one of {}", Self::ALL.map(Self::as_str).join(", ")))
    }

    /// As scopes name it.
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

/// Who somebody is to the system.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, clap::ValueEnum, ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Aggregates, and no personal data.
    Analyst,
    /// Audit events and their exports.
    Auditor,
    /// Keys and configuration, and no contents.
    Admin,
    /// A program: aggregates, and audit events with what is personal or restricted masked.
    Service,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Analyst, Self::Auditor, Self::Admin, Self::Service];

    /// The most it can do for somebody who belongs to these tenants.
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

    /// Whether personal data are what it works with.
    pub const fn sees_persons(self) -> bool {
        matches!(self, Self::Auditor)
    }

    /// By its name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }

    /// As keys and claims name it.
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
