//! What an administrator's key may hand out: nothing that ends later, is accepted from other networks or has higher
//! limits than the key itself.
//!
//! Enters: that key, when the secret that its holder used expires, and the key whose secret they are to be given,
//! because it is created or rotated. Leaves: a problem that names the field, or nothing. So the holder of a key that is
//! bounded in time or by network cannot turn it into an unbounded one; nor can the holder of a secret that has been
//! replaced, which may have leaked. Pure.
//!
//! Permissions to see contents do not count: no administrator has them, and each may hand them out. Tenant and teams
//! are checked by [`crate::access::changes`]. Requests per hour do not count either: they are per key, and there may be
//! many keys.

use chrono::{DateTime, Utc};
use ipnet::IpNet;

use crate::access::key::Key;
use crate::api::Problem;

/// Refuses a key that goes beyond the one that hands it out, or beyond the secret used if that expires.
pub fn require_within(own: &Key, secret_expires_at: Option<DateTime<Utc>>, other: &Key) -> Result<(), Problem> {
    if secret_expires_at.is_some() && own.id == other.id {
        return Err(Problem::forbidden(
            "a secret that has been replaced cannot rotate its own key, or let it end later: use the newest secret, or \
             another key",
        ));
    }
    let ends_later = |end| other.expires_at.is_none_or(|other| other > end);
    if [own.expires_at, secret_expires_at]
        .into_iter()
        .flatten()
        .any(ends_later)
    {
        return Err(Problem::forbidden(
            "expires_at must be set, and no later than when this key expires, or its secret if that has been replaced",
        ));
    }
    let is_inside = |network: &IpNet| own.addresses.iter().any(|own| own.contains(network));
    let are_inside = !other.addresses.is_empty() && other.addresses.iter().all(is_inside);
    if !own.addresses.is_empty() && !are_inside {
        return Err(Problem::forbidden(
            "addresses must list at least one network, and only networks within those of this key",
        ));
    }
    if let Some(limit) = other.limits.beyond(&own.limits) {
        let reason = format!("limits.{limit} must be set, and no higher than that of this key");
        return Err(Problem::forbidden(reason));
    }
    // Scopes taken away from this administrator cannot be regained through another key.
    let lacking = &own.role.permissions(&own.tenant) - &own.permissions();
    match other.permissions().intersection(&lacking).next() {
        Some(scope) => Err(Problem::forbidden(format!(
            "scopes must not include {scope}, which this key does not have"
        ))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use chrono::{DateTime, TimeDelta};

    use super::*;
    use crate::access::{KeyLimits, Permission, Role, TenantGrant};

    type Change = fn(&mut Key);

    fn key(role: Role, change: Change) -> Key {
        let (mut key, _) = Key::new("test", role, TenantGrant::Any, "nobody", DateTime::UNIX_EPOCH);
        change(&mut key);
        key
    }

    fn ends(key: &mut Key, seconds: i64) {
        key.expires_at = Some(DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds));
    }

    fn networks(key: &mut Key, networks: &[&str]) {
        key.addresses = networks.iter().map(|network| network.parse().unwrap()).collect();
    }

    fn limits(key: &mut Key, limits: &str) {
        key.limits = serde_json::from_str::<KeyLimits>(limits).unwrap();
    }

    const NONE: Change = |_| {};

    #[test]
    fn what_goes_beyond_a_bound_is_refused_by_its_member() {
        let refused: [(Change, Change, &str); 9] = [
            (|key| ends(key, 10), NONE, "expires_at"),
            (|key| ends(key, 10), |key| ends(key, 11), "expires_at"),
            (|key| networks(key, &["10.0.0.0/8"]), NONE, "addresses"),
            (
                |key| networks(key, &["10.0.0.0/8"]),
                |key| networks(key, &["0.0.0.0/0"]),
                "addresses",
            ),
            (
                |key| networks(key, &["10.0.0.0/8"]),
                |key| networks(key, &["10.1.0.0/16", "::1/128"]),
                "addresses",
            ),
            (
                |key| limits(key, r#"{"statement_timeout_s":5}"#),
                NONE,
                "limits.statement_timeout_s",
            ),
            (
                |key| limits(key, r#"{"concurrent_requests_max":2}"#),
                |key| limits(key, r#"{"concurrent_requests_max":3,"statement_timeout_s":1}"#),
                "limits.concurrent_requests_max",
            ),
            (
                |key| key.scopes = BTreeSet::from([Permission::ManageKeys]),
                NONE,
                "scopes",
            ),
            (
                |key| key.scopes = BTreeSet::from([Permission::ManageKeys]),
                |key| key.scopes = BTreeSet::from([Permission::ReadSystem]),
                "scopes",
            ),
        ];
        for (number, (own, other, member)) in refused.into_iter().enumerate() {
            let [own, other] = [own, other].map(|change| key(Role::Admin, change));
            let problem = require_within(&own, None, &other).unwrap_err();
            assert!(problem.to_string().starts_with(member), "{number}: {problem}");
        }
    }

    #[test]
    fn what_is_within_is_handed_out_and_so_is_what_an_administrator_never_sees() {
        let bounded: Change = |key| {
            ends(key, 10);
            networks(key, &["10.0.0.0/8", "::1/128"]);
            limits(key, r#"{"statement_timeout_s":5}"#);
            key.scopes = BTreeSet::from([Permission::ManageKeys]);
        };
        let narrower: Change = |key| {
            ends(key, 9);
            networks(key, &["10.1.0.0/16"]);
            limits(key, r#"{"statement_timeout_s":5,"concurrent_requests_max":1}"#);
        };
        let own = key(Role::Admin, bounded);
        assert_eq!(require_within(&own, None, &own), Ok(()));
        for role in [Role::Analyst, Role::Auditor, Role::Service] {
            assert_eq!(require_within(&own, None, &key(role, narrower)), Ok(()));
            assert_eq!(require_within(&key(Role::Admin, NONE), None, &key(role, NONE)), Ok(()));
        }
    }

    #[test]
    fn a_secret_that_ends_hands_out_nothing_that_ends_later_and_no_other_secret_of_its_key() {
        let secret_expires_at = Some(DateTime::UNIX_EPOCH + TimeDelta::seconds(10));
        let refused = |own: &Key, other: &Key| {
            let refused = require_within(own, secret_expires_at, other).err();
            refused.map(|problem| problem.to_string())
        };
        let key = |change| key(Role::Admin, change);
        for own in [key(NONE), key(|key| ends(key, 20)), key(|key| ends(key, 9))] {
            for other in [key(NONE), key(|key| ends(key, 11))] {
                let refused = refused(&own, &other);
                assert!(
                    refused.is_some_and(|problem| problem.starts_with("expires_at")),
                    "{own:?}"
                );
            }
            assert_eq!(refused(&own, &key(|key| ends(key, 9))), None);
            let refused = refused(&own, &own);
            assert!(
                refused.is_some_and(|problem| problem.contains("its own key")),
                "{own:?}"
            );
        }
    }
}
