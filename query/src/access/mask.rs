//! How much of a field a caller sees: all of it, a part, a keyed hash, or nothing.
//!
//! Enters: what the schema declares of a field, and who asks. Leaves: an SQL expression in place of the column.
//! Guarantees: [`crate::store::TenantSelect`] reads audit events only through these expressions, so a masked value
//! never leaves the engine, and a filter, order or count on a masked column sees only what the caller sees: it cannot
//! be used to guess values. A filter on a hashed column is therefore a filter by pseudonym. Pure.

use horolog_schemas::{Class, FieldClass, Kind, fields};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use crate::access::shared_secret::SharedSecret;
use crate::access::{Permission, Principal, TenantId};

/// How a value is masked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mask {
    /// Not masked.
    Clear,
    /// An address without the part that identifies a single device (the last 8 bits of IPv4, the last 80 of IPv6).
    Partial,
    /// A pseudonym: SipHash-2-4-128 under a key of the tenant, over the name of the column and the value. Within a column
    /// of a tenant, equal values have equal pseudonyms. Callers choose what is in some columns, as their own user agent in
    /// the trail: if its pseudonym were the same in all columns, they could look for any value in the others.
    KeyedHash,
    /// Replaced by the empty value.
    Hidden,
}

impl Mask {
    /// Its name in answers and manifests.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Clear => "clear",
            Self::Partial => "partial",
            Self::KeyedHash => "keyed_hash",
            Self::Hidden => "hidden",
        }
    }
}

/// The mask of one field for one caller.
pub fn mask(principal: &Principal, field: &FieldClass) -> Mask {
    let sees_persons = principal.facts().role.sees_persons();
    let is_address = field.name == "ip_address";
    match field.class {
        Class::Public | Class::Internal if !field.personal => Mask::Clear,
        Class::Restricted if sees_persons && principal.may(Permission::ReadRestricted) => Mask::Clear,
        Class::Restricted => Mask::Hidden,
        _ if !principal.reads_events() => Mask::Hidden,
        _ if !field.personal || sees_persons => Mask::Clear,
        _ if is_address => Mask::Partial,
        _ => Mask::KeyedHash,
    }
}

/// The fields of records of this kind that are masked for this caller.
pub fn masked(principal: &Principal, kind: Kind) -> Vec<(&'static str, Mask)> {
    fields(kind)
        .iter()
        .map(|field| (field.name, mask(principal, field)))
        .filter(|(_, mask)| *mask != Mask::Clear)
        .collect()
}

/// The key from which the keys of pseudonyms are derived.
#[derive(Clone)]
pub struct MaskKey([u8; 32]);

impl MaskKey {
    /// The same for all processes.
    pub fn of(secret: &SharedSecret) -> Self {
        Self(secret.key_for("mask"))
    }

    /// The halves of one tenant's key; each tenant has its own, so that pseudonyms of two tenants cannot be joined.
    pub fn of_tenant(&self, tenant: &TenantId) -> [u64; 2] {
        let digest: [u8; 32] = Sha256::new()
            .chain_update(self.0)
            .chain_update(tenant.as_str())
            .finalize()
            .into();
        let half = |at: usize| {
            digest[at..at + 8]
                .iter()
                .fold(0, |number, &byte| number << 8 | u64::from(byte))
        };
        [half(0), half(8)]
    }
}

impl std::fmt::Debug for MaskKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// The SQL that replaces a masked column. `{mask_key_0:UInt64}` and `{mask_key_1:UInt64}` must be bound.
pub fn expression(column: &'static str, mask: Mask) -> String {
    match mask {
        Mask::Clear => column.to_owned(),
        Mask::Hidden if column == "metadata" => "cast(map(), 'Map(LowCardinality(String), String)')".to_owned(),
        Mask::Hidden => "''".to_owned(),
        Mask::KeyedHash => format!(
            "if({column} = '', '', lower(hex(sipHash128Keyed(({{mask_key_0:UInt64}}, {{mask_key_1:UInt64}}), \
             concat('{column}', char(0), {column})))))"
        ),
        Mask::Partial => format!(
            "multiIf(isIPv4String({column}), \
             concat(toString(tupleElement(IPv4CIDRToRange(toIPv4OrDefault({column}), 24), 1)), '/24'), isIPv6String({column}), \
             concat(toString(tupleElement(IPv6CIDRToRange(toIPv6OrDefault({column}), 48), 1)), '/48'), '')"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Role, TenantGrant};

    fn masks(role: Role) -> Vec<(&'static str, Mask)> {
        masked(&Principal::of(role, TenantGrant::Any), Kind::AuditEvent)
    }

    #[test]
    fn what_each_role_sees_is_written_down_here() {
        use Mask::{Hidden, KeyedHash, Partial};
        assert_eq!(masks(Role::Auditor), []);
        assert_eq!(
            masks(Role::Service),
            [
                ("user_id", KeyedHash),
                ("resource_name", KeyedHash),
                ("old_value", Hidden),
                ("new_value", Hidden),
                ("ip_address", Partial),
                ("user_agent", KeyedHash),
                ("session_id", Hidden),
                ("error_message", KeyedHash),
                ("metadata", Hidden),
            ]
        );
        for role in [Role::Analyst, Role::Admin] {
            let names: Vec<_> = masks(role)
                .into_iter()
                .map(|(name, mask)| (name, mask == Hidden))
                .collect();
            let hidden = [
                "user_id",
                "resource_id",
                "resource_name",
                "old_value",
                "new_value",
                "ip_address",
                "user_agent",
                "session_id",
                "error_message",
                "metadata",
            ];
            assert_eq!(names, hidden.map(|name| (name, true)));
        }
    }

    #[test]
    fn an_auditor_without_the_scope_sees_nothing_restricted() {
        let mut facts = Principal::of(Role::Auditor, TenantGrant::Any).facts().clone();
        facts.permissions.remove(&Permission::ReadRestricted);
        let names: Vec<_> = masked(&Principal::new(facts), Kind::AuditEvent)
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        assert_eq!(names, ["old_value", "new_value", "session_id", "metadata"]);
    }

    #[test]
    fn what_a_schema_declares_restricted_or_personal_is_never_clear_to_a_program() {
        let service = Principal::of(Role::Service, TenantGrant::Any);
        for field in fields(Kind::AuditEvent) {
            let sensitive = field.personal || field.health || field.class == Class::Restricted;
            assert_eq!(mask(&service, field) != Mask::Clear, sensitive, "{}", field.name);
        }
    }

    #[test]
    fn pseudonyms_of_two_tenants_have_different_keys() {
        let key = MaskKey::of(&SharedSecret::named("secret"));
        let of = |name| key.of_tenant(&TenantId::new(name).unwrap());
        assert_ne!(of("red"), of("blue"));
        assert_eq!(of("red"), of("red"));
    }
}
