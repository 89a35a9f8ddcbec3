//! A request to create a key, over HTTP or on the command line.
//!
//! Enters: its fields. Leaves: the key and its first token, or a problem that names the field to change. Whether the
//! creator may hand out this tenant is not decided here. Pure except for randomness.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use ipnet::IpNet;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::access::key::{Key, REQUESTS_PER_HOUR_DEFAULT, REQUESTS_PER_HOUR_MAX};
use crate::access::token::Token;
use crate::access::{KeyLimits, Permission, Role, TenantGrant};
use crate::api::Problem;

const NAME_CHARS_MAX: usize = 100;
const LIST_MAX: usize = 100;

/// A key to be created.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewKey {
    /// Its display name.
    #[schema(min_length = 1, max_length = 100)]
    pub name: String,
    /// The role of its holder.
    pub role: Role,
    /// The tenant of its holder, or `*` for any.
    #[schema(value_type = String, min_length = 1)]
    pub tenant: TenantGrant,
    /// The teams whose rows it shows; empty means all.
    #[serde(default)]
    pub teams: BTreeSet<String>,
    /// What it allows, as a subset of what its role allows for this tenant; empty means all of that.
    #[serde(default)]
    pub scopes: BTreeSet<Permission>,
    /// Networks that it may be used from (CIDR); empty means any.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub addresses: BTreeSet<IpNet>,
    /// Requests per hour.
    #[serde(default = "requests_per_hour")]
    #[schema(minimum = 1, maximum = 1000000, default = 1000)]
    pub requests_per_hour: u32,
    /// Limits of its requests that are lower than the service's.
    #[serde(default)]
    pub limits: KeyLimits,
    /// When it expires.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<DateTime<Utc>>,
}

fn requests_per_hour() -> u32 {
    REQUESTS_PER_HOUR_DEFAULT
}

impl NewKey {
    /// Creates it.
    pub fn make(self, by: &str, now: DateTime<Utc>) -> Result<(Key, Token), Problem> {
        self.check(now)?;
        let (mut key, token) = Key::new(self.name.trim(), self.role, self.tenant, by, now);
        key.teams = self.teams.into_iter().collect();
        key.scopes = self.scopes;
        key.addresses = self.addresses.into_iter().collect();
        key.requests_per_hour = self.requests_per_hour;
        key.limits = self.limits;
        key.expires_at = self.expires_at;
        Ok((key, token))
    }

    fn check(&self, now: DateTime<Utc>) -> Result<(), Problem> {
        let refuse = |member: &str, reason: String| Err(Problem::parameter(member, reason));
        let name = self.name.trim();
        if name.is_empty() || name.chars().count() > NAME_CHARS_MAX || name.chars().any(char::is_control) {
            return refuse("name", format!("expected 1 to {NAME_CHARS_MAX} printable characters"));
        }
        if !(1..=REQUESTS_PER_HOUR_MAX).contains(&self.requests_per_hour) {
            return refuse("requests_per_hour", format!("expected 1 to {REQUESTS_PER_HOUR_MAX}"));
        }
        if self.expires_at.is_some_and(|end| end <= now) {
            return refuse("expires_at", "is in the past".to_owned());
        }
        if self.teams.contains("") {
            return refuse("teams", "the name of a team must not be empty".to_owned());
        }
        for (member, entries) in [("teams", self.teams.len()), ("addresses", self.addresses.len())] {
            if entries > LIST_MAX {
                return refuse(member, format!("has more than {LIST_MAX} entries"));
            }
        }
        match self.scopes.difference(&self.role.permissions(&self.tenant)).next() {
            Some(scope) => refuse(
                "scopes",
                format!(
                    "the role {} has no {scope} for the tenant {}",
                    self.role,
                    self.tenant.as_str()
                ),
            ),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_body_is_a_key_within_its_role_or_a_problem_that_names_a_member(
            name in "\\PC{0,110}|[a-z\n\t]{0,5}",
            role in prop::sample::select(&Role::ALL[..]),
            scopes in prop::collection::btree_set(prop::sample::select(&Permission::ALL[..]), 0..4),
            teams in prop::collection::btree_set("[ab]{0,2}", 0..3),
            requests_per_hour in 0u32..3,
            ends in prop::option::of(-5i64..5),
        ) {
            let now = DateTime::UNIX_EPOCH;
            let new = NewKey {
                name,
                role,
                tenant: TenantGrant::Any,
                teams,
                scopes,
                addresses: BTreeSet::new(),
                requests_per_hour,
                limits: KeyLimits::default(),
                expires_at: ends.map(|seconds| now + chrono::TimeDelta::seconds(seconds)),
            };
            match new.make("test", now) {
                Ok((key, token)) => {
                    prop_assert!(key.permissions().is_subset(&role.permissions(&TenantGrant::Any)) && !key.permissions().is_empty());
                    prop_assert!(key.is_in_force(now));
                    prop_assert!(key.admit(&token.hash(), [127, 0, 0, 1].into(), now).is_some());
                }
                Err(problem) => prop_assert!(problem.named_parameter().is_some(), "{problem}"),
            }
        }
    }
}
