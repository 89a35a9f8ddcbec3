//! An API key as it is stored: whose it is, what it may do, from where, until when. Never its secret.
//!
//! Enters: a token that claims to be of this key, an address and the time. Leaves: a principal, or nothing. Guarantees:
//! the same answer for a key that is unknown, expired, revoked or used from a network that is not allowed. Pure.

use std::collections::BTreeSet;
use std::net::IpAddr;

use chrono::{DateTime, TimeDelta, Utc};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::access::token::{KeyId, Token, TokenHash};
use crate::access::{Facts, Identity, KeyLimits, Permission, Principal, Role, TenantGrant};
use crate::api::Problem;

/// Requests per hour, unless the key says otherwise.
pub const REQUESTS_PER_HOUR_DEFAULT: u32 = 1_000;
/// The most that a key may say.
pub const REQUESTS_PER_HOUR_MAX: u32 = 1_000_000;
/// Secrets of a key that may be valid at the same time: a key is one record of the journal, and one that is too large
/// could not even be revoked.
const SECRETS_MAX: usize = 16;

/// Access that was not used for this long is pointed out in the review, also in SQL: in the view `access_review`. Days.
const UNUSED_DAYS: i64 = 90;
const UNUSED: &str = "was not used for 90 days";

/// Why access with this last use should be reviewed.
pub fn unused_note(last_used: DateTime<Utc>, now: DateTime<Utc>) -> Option<&'static str> {
    (now - last_used > TimeDelta::days(UNUSED_DAYS)).then_some(UNUSED)
}

/// One secret of a key. During a rotation a key has more than one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Secret {
    /// SHA-256 of the token.
    pub sha256: TokenHash,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it stops being valid; `None` until it is replaced.
    pub expires_at: Option<DateTime<Utc>>,
}

impl Secret {
    fn is_in_force(&self, now: DateTime<Utc>) -> bool {
        self.expires_at.is_none_or(|end| end > now)
    }
}

/// An API key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Key {
    /// Its id, in lists, logs and the visible part of its tokens.
    pub id: KeyId,
    /// Its display name.
    pub name: String,
    /// The role of its holder.
    pub role: Role,
    /// The tenants that its holder belongs to.
    pub tenant: TenantGrant,
    /// The teams whose rows it shows; empty means all.
    #[serde(default)]
    pub teams: Vec<String>,
    /// What it allows, as a subset of what its role allows for its tenant; empty means all of that.
    #[serde(default)]
    pub scopes: BTreeSet<Permission>,
    /// Networks that it may be used from; empty means any.
    #[serde(default)]
    pub addresses: Vec<IpNet>,
    /// Requests per hour.
    pub requests_per_hour: u32,
    /// Limits of its requests that are lower than the service's.
    #[serde(default, skip_serializing_if = "KeyLimits::is_empty")]
    pub limits: KeyLimits,
    /// Its secrets.
    pub secrets: Vec<Secret>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Who made it.
    pub created_by: String,
    /// When it expires.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
}

impl Key {
    /// A key without limits, and its first token.
    pub fn new(name: &str, role: Role, tenant: TenantGrant, created_by: &str, now: DateTime<Utc>) -> (Self, Token) {
        let id = KeyId::random();
        let token = Token::random(&id);
        let secret = Secret {
            sha256: token.hash(),
            created_at: now,
            expires_at: None,
        };
        let key = Self {
            id,
            name: name.to_owned(),
            role,
            tenant,
            teams: Vec::new(),
            scopes: BTreeSet::new(),
            addresses: Vec::new(),
            requests_per_hour: REQUESTS_PER_HOUR_DEFAULT,
            limits: KeyLimits::default(),
            secrets: vec![secret],
            created_at: now,
            created_by: created_by.to_owned(),
            expires_at: None,
            revoked_at: None,
        };
        (key, token)
    }

    /// The holder of a token, if the token is of this key and the key is valid.
    pub fn admit(&self, token: &TokenHash, from: IpAddr, now: DateTime<Utc>) -> Option<Principal> {
        // Every secret is compared, so that the time reveals neither how many there are nor which one matches.
        let fitting = self.secrets.iter().fold(None, |fitting, secret| {
            let fits = secret.sha256.matches(token) & secret.is_in_force(now);
            if fits { Some(secret) } else { fitting }
        })?;
        (self.is_in_force(now) && self.is_allowed_from(from)).then(|| self.holder(Some(fitting.created_at)))
    }

    /// What it allows.
    pub fn permissions(&self) -> BTreeSet<Permission> {
        let most = self.role.permissions(&self.tenant);
        match self.scopes.is_empty() {
            true => most,
            false => most.intersection(&self.scopes).copied().collect(),
        }
    }

    /// Whether it is valid. One that was revoked is not, whatever the clock of whoever revoked it said.
    pub fn is_in_force(&self, now: DateTime<Utc>) -> bool {
        let is_over = self.revoked_at.is_some() || self.expires_at.is_some_and(|end| end <= now);
        !is_over && self.secrets_in_force(now) > 0
    }

    /// How many of its secrets are valid.
    pub fn secrets_in_force(&self, now: DateTime<Utc>) -> usize {
        self.secrets.iter().filter(|secret| secret.is_in_force(now)).count()
    }

    /// The secret created at this time, if it is valid.
    pub fn secret_in_force(&self, created_at: DateTime<Utc>, now: DateTime<Utc>) -> Option<&Secret> {
        let mut made_then = self.secrets.iter().filter(|secret| secret.created_at == created_at);
        made_then.find(|secret| secret.is_in_force(now))
    }

    /// When its last secret expires; `None` if one does not.
    pub fn secrets_end_at(&self) -> Option<DateTime<Utc>> {
        let ends: Option<Vec<_>> = self.secrets.iter().map(|secret| secret.expires_at).collect();
        ends?.into_iter().max()
    }

    /// Adds a new secret, unless its end is no longer the one that was known when that was decided. The previous ones
    /// stay valid for a while, and expired ones are dropped.
    pub fn rotate(
        &mut self,
        sha256: TokenHash,
        known: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
        overlap: TimeDelta,
    ) -> Result<(), Problem> {
        if !self.is_in_force(now) {
            return Err(Problem::Conflict(
                "an expired or revoked key cannot be rotated; create a new one",
            ));
        }
        self.require_end(known)?;
        let end = now + overlap;
        for secret in &mut self.secrets {
            secret.expires_at = Some(secret.expires_at.map_or(end, |known| known.min(end)));
        }
        self.secrets.retain(|secret| secret.is_in_force(now));
        if self.secrets.len() >= SECRETS_MAX {
            return Err(Problem::Conflict(
                "too many secrets of this key are still accepted; rotate it with a shorter overlap_s, which ends them",
            ));
        }
        self.secrets.push(Secret {
            sha256,
            created_at: now,
            expires_at: None,
        });
        Ok(())
    }

    /// Gives it another end, or none, unless its end is no longer the one that was known when that was decided.
    pub fn expire(
        &mut self,
        known: Option<DateTime<Utc>>,
        end: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Result<(), Problem> {
        if !self.is_in_force(now) {
            return Err(Problem::Conflict(
                "an expired or revoked key is given no other end; create a new one",
            ));
        }
        self.require_end(known)?;
        self.expires_at = end;
        Ok(())
    }

    /// Why it should be reviewed.
    pub fn notes(&self, last_used: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Vec<&'static str> {
        let unused = unused_note(last_used.unwrap_or(self.created_at), now);
        let facts = [
            (!self.is_in_force(now), "is not taken any more"),
            (unused.is_some(), UNUSED),
            (self.expires_at.is_none(), "never expires"),
            (self.tenant == TenantGrant::Any, "is for any tenant"),
            (self.addresses.is_empty(), "is taken from any address"),
        ];
        facts
            .into_iter()
            .filter_map(|(is_true, note)| is_true.then_some(note))
            .collect()
    }

    fn require_end(&self, known: Option<DateTime<Utc>>) -> Result<(), Problem> {
        match self.expires_at == known {
            true => Ok(()),
            false => Err(Problem::Conflict(
                "this key was given another end meanwhile; look at it again",
            )),
        }
    }

    fn is_allowed_from(&self, from: IpAddr) -> bool {
        let from = from.to_canonical();
        self.addresses.is_empty() || self.addresses.iter().any(|network| network.contains(&from))
    }

    /// Its holder, regardless of which secret they used.
    pub fn principal(&self) -> Principal {
        self.holder(None)
    }

    fn holder(&self, secret_created_at: Option<DateTime<Utc>>) -> Principal {
        Principal::new(Facts {
            identity: Identity::Key(self.id.clone()),
            name: self.name.clone(),
            role: self.role,
            tenant: self.tenant.clone(),
            teams: self.teams.clone(),
            permissions: self.permissions(),
            requests_per_hour: self.requests_per_hour,
            limits: self.limits,
            secret_created_at,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    const HOME: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn key() -> (Key, Token) {
        let tenant = TenantGrant::parse("red").unwrap();
        Key::new("test", Role::Auditor, tenant, "nobody", DateTime::UNIX_EPOCH)
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    #[test]
    fn its_token_is_let_in_and_no_other() {
        let (key, token) = key();
        assert!(key.admit(&token.hash(), HOME, at(1)).is_some());
        assert!(key.admit(&Token::random(&key.id).hash(), HOME, at(1)).is_none());
        assert!(key.admit(&TokenHash::NONE, HOME, at(1)).is_none());
    }

    #[test]
    fn ends_when_it_expires_and_once_it_is_revoked() {
        let (mut expiring, token) = key();
        expiring.expires_at = Some(at(10));
        assert!(expiring.admit(&token.hash(), HOME, at(9)).is_some());
        assert!(expiring.admit(&token.hash(), HOME, at(10)).is_none());

        let (mut revoked, token) = key();
        revoked.revoked_at = Some(at(10));
        for seconds in [9, 10] {
            let admitted = revoked.admit(&token.hash(), HOME, at(seconds));
            assert!(admitted.is_none(), "also by a clock that is behind");
        }
    }

    #[test]
    fn is_given_another_end_while_it_is_in_force_by_whoever_knows_its_end() {
        let (mut key, token) = key();
        let taken = |key: &Key, seconds| key.admit(&token.hash(), HOME, at(seconds)).is_some();
        assert_eq!(key.expire(None, Some(at(10)), at(1)), Ok(()));
        assert_eq!([taken(&key, 9), taken(&key, 10)], [true, false]);
        assert!(matches!(
            key.expire(None, Some(at(20)), at(1)),
            Err(Problem::Conflict(_))
        ));
        assert_eq!(key.expire(Some(at(10)), Some(at(20)), at(1)), Ok(()));
        assert!(taken(&key, 19));
        let over = key.expire(Some(at(20)), None, at(20));
        assert!(matches!(over, Err(Problem::Conflict(_))), "nothing brings it back");
    }

    #[test]
    fn a_rotated_key_has_two_secrets_for_a_while() {
        let (mut key, old) = key();
        let new = Token::random(&key.id);
        key.rotate(new.hash(), None, at(100), TimeDelta::seconds(50)).unwrap();
        let taken = |token: &Token, seconds| key.admit(&token.hash(), HOME, at(seconds)).is_some();
        assert_eq!(
            [taken(&old, 149), taken(&new, 149), taken(&old, 150), taken(&new, 150)],
            [true, true, false, true]
        );
        let made = |token: &Token| {
            let holder = key.admit(&token.hash(), HOME, at(149)).unwrap();
            holder.facts().secret_created_at.unwrap()
        };
        let end = |made, seconds| key.secret_in_force(made, at(seconds)).map(|secret| secret.expires_at);
        let [old, new] = [made(&old), made(&new)];
        assert_eq!([end(old, 149), end(new, 149)], [Some(Some(at(150))), Some(None)]);
        assert_eq!([end(old, 150), end(new, 150)], [None, Some(None)]);
    }

    #[test]
    fn a_key_has_so_many_secrets_and_one_more_once_those_before_end() {
        let (mut key, _) = key();
        let mut rotate = |overlap_s| {
            let hash = Token::random(&key.id).hash();
            let rotated = key.rotate(hash, None, at(10), TimeDelta::seconds(overlap_s));
            rotated.map(|()| key.secrets_in_force(at(10)))
        };
        for secrets in 2..=SECRETS_MAX {
            assert_eq!(rotate(50), Ok(secrets));
        }
        assert!(matches!(rotate(50), Err(Problem::Conflict(_))));
        assert_eq!(rotate(0), Ok(1));
    }

    #[test]
    fn rotating_does_not_bring_a_key_back() {
        let (mut key, _) = key();
        key.revoked_at = Some(at(10));
        let new = Token::random(&key.id);
        assert!(key.rotate(new.hash(), None, at(10), TimeDelta::zero()).is_err());
        assert!(key.admit(&new.hash(), HOME, at(11)).is_none());
    }

    #[test]
    fn is_taken_from_its_networks_only() {
        let (mut key, token) = key();
        key.addresses = vec!["10.1.0.0/16".parse().unwrap(), "2001:db8::/32".parse().unwrap()];
        for (address, expected) in [
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("10.2.0.1", false),
            ("2001:db8::7", true),
            ("2001:db9::7", false),
        ] {
            let admitted = key.admit(&token.hash(), address.parse().unwrap(), at(1));
            assert_eq!(admitted.is_some(), expected, "{address}");
        }
    }

    proptest! {
        #[test]
        fn a_network_is_its_first_bits(network in any::<u32>(), bits in 0u8..=32, address in any::<u32>(), near in any::<bool>()) {
            let address = if near { network ^ (address >> 24) } else { address };
            let (mut key, token) = key();
            key.addresses = vec![IpNet::new(IpAddr::from(network.to_be_bytes()), bits).unwrap()];
            let admitted = key.admit(&token.hash(), IpAddr::from(address.to_be_bytes()), at(1)).is_some();
            let differ = u64::from(network ^ address) >> (32 - u32::from(bits));
            prop_assert_eq!(admitted, differ == 0);
        }
    }

    #[test]
    fn a_key_of_an_earlier_release_is_read_and_has_no_limits_of_its_own() {
        let earlier = r#"{"id":"AAAAAAAAAAAA","name":"n","role":"auditor","tenant":"red","teams":[],"scopes":[],"addresses":[],
            "requests_per_hour":3,"secrets":[],"created_at":"2026-01-01T00:00:00Z","created_by":"operator:root","expires_at":null,
            "revoked_at":null}"#;
        let key: Key = serde_json::from_str(earlier).unwrap();
        assert!(key.limits.is_empty());
        let earlier: serde_json::Value = serde_json::from_str(earlier).unwrap();
        assert_eq!(serde_json::to_value(&key).unwrap(), earlier, "and is written as it was");
    }

    #[test]
    fn scopes_take_away_and_never_add() {
        let (mut key, _) = key();
        key.scopes = BTreeSet::from([Permission::ReadAudit, Permission::ManageKeys]);
        assert_eq!(key.permissions(), BTreeSet::from([Permission::ReadAudit]));
    }

    #[test]
    fn the_review_in_sql_has_the_same_notes() {
        let view = include_str!("../../../schemas/migrations/0033_access_review/up.sql");
        assert!(view.contains(&format!("interval {UNUSED_DAYS} day, '{UNUSED}'")));
        let (mut key, _) = key();
        key.tenant = TenantGrant::Any;
        let notes = key.notes(None, at(UNUSED_DAYS * 86_400 + 1));
        assert_eq!(notes.len(), 4, "{notes:?}");
        for note in notes {
            assert!(view.contains(&format!("'{note}'")), "{note}");
        }
    }
}
