//! What callers may do: permissions, and the roles that are made of them.
//!
//! A role is the most a caller can do; the scopes of a key take away from it and never add. Pure constants.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

/// One thing a caller may do. Keys name them as scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Permission {
    /// Ask for aggregates of metrics.
    #[serde(rename = "metrics:read")]
    ReadMetrics,
    /// Count audit events by their columns, personal ones among them, without seeing one.
    #[serde(rename = "audit:count")]
    CountAudit,
    /// Search and read audit events.
    #[serde(rename = "audit:read")]
    ReadAudit,
    /// Make and fetch exports of audit events.
    #[serde(rename = "audit:export")]
    ExportAudit,
    /// See how the system is: lag, ledger, storage.
    #[serde(rename = "system:read")]
    ReadSystem,
    /// Create, list, rotate and revoke keys; review who may see what.
    #[serde(rename = "keys:manage")]
    ManageKeys,
}

impl Permission {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::ReadMetrics,
        Self::CountAudit,
        Self::ReadAudit,
        Self::ExportAudit,
        Self::ReadSystem,
        Self::ManageKeys,
    ];

    /// As scopes name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReadMetrics => "metrics:read",
            Self::CountAudit => "audit:count",
            Self::ReadAudit => "audit:read",
            Self::ExportAudit => "audit:export",
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Aggregates, and no personal data.
    Analyst,
    /// Audit events and their exports.
    Auditor,
    /// Keys and configuration, and no contents.
    Admin,
    /// A program: aggregates.
    Service,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Analyst, Self::Auditor, Self::Admin, Self::Service];

    /// The most it can do.
    pub fn permissions(self) -> BTreeSet<Permission> {
        use Permission::*;
        match self {
            // Counting by a column of personal data, or with a filter on one, tells what is in it: no audit data at all.
            Self::Analyst | Self::Service => BTreeSet::from([ReadMetrics]),
            Self::Auditor => BTreeSet::from([ReadMetrics, CountAudit, ReadAudit, ExportAudit]),
            Self::Admin => BTreeSet::from([ReadSystem, ManageKeys]),
        }
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
    fn personal_data_are_for_auditors_alone() {
        let audit = [Permission::CountAudit, Permission::ReadAudit, Permission::ExportAudit];
        for role in Role::ALL {
            let permissions = role.permissions();
            let sees = audit.iter().any(|permission| permissions.contains(permission));
            assert_eq!(sees, role == Role::Auditor, "{role}");
        }
    }

    #[test]
    fn those_who_hand_out_keys_see_no_contents_and_the_other_way_round() {
        for role in Role::ALL {
            let permissions = role.permissions();
            let contents = [Permission::ReadMetrics, Permission::CountAudit, Permission::ReadAudit];
            let sees = contents.iter().any(|permission| permissions.contains(permission));
            assert_ne!(sees, permissions.contains(&Permission::ManageKeys), "{role}");
        }
    }
}
