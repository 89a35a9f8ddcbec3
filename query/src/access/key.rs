//! What is kept of an API key: whose it is, what it may do, from where, until when. Never its secret.
//!
//! Enters: a token that claims to be of this key, an address and the time. Leaves: a principal, or nothing. Guarantees: says
//! the same of a key that is unknown, expired, revoked or used from elsewhere. Pure.

use std::collections::BTreeSet;
use std::net::IpAddr;

use chrono::{DateTime, Utc};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::access::token::{KeyId, Token, TokenHash};
use crate::access::{Facts, Identity, Permission, Principal, Role, TenantGrant};

/// Requests an hour, unless a key says otherwise.
pub const REQUESTS_PER_HOUR_DEFAULT: u32 = 1_000;

/// One secret of a key. While it is rotated a key has two.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Secret {
    /// SHA-256 of the token.
    pub sha256: TokenHash,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// From when on it is no longer taken; `None` while nothing follows it.
    pub expires_at: Option<DateTime<Utc>>,
}

/// A key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Key {
    /// What it is called in lists and logs, and the visible part of its tokens.
    pub id: KeyId,
    /// What people call it.
    pub name: String,
    /// What its holder is.
    pub role: Role,
    /// Which tenants its holder belongs to.
    pub tenant: TenantGrant,
    /// The teams whose rows it shows; all where empty.
    #[serde(default)]
    pub teams: Vec<String>,
    /// What it may do, of what its role may; all of that where empty.
    #[serde(default)]
    pub scopes: BTreeSet<Permission>,
    /// Networks it may be used from; any where empty.
    #[serde(default)]
    pub addresses: Vec<IpNet>,
    /// Requests an hour.
    pub requests_per_hour: u32,
    /// Its secrets.
    pub secrets: Vec<Secret>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// By whom.
    pub created_by: String,
    /// From when on it is no longer taken.
    pub expires_at: Option<DateTime<Utc>>,
    /// From when on it is no longer taken, because somebody said so.
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
            secrets: vec![secret],
            created_at: now,
            created_by: created_by.to_owned(),
            expires_at: None,
            revoked_at: None,
        };
        (key, token)
    }

    /// The holder of a token, where the token is of this key and the key is in force.
    pub fn admit(&self, token: &TokenHash, from: IpAddr, now: DateTime<Utc>) -> Option<Principal> {
        let is_over = |end: Option<DateTime<Utc>>| end.is_some_and(|end| end <= now);
        // Every secret is compared, so that the time says nothing about how many there are or which one fits.
        let fits = self.secrets.iter().fold(false, |fits, secret| {
            fits | (secret.sha256.matches(token) & !is_over(secret.expires_at))
        });
        let is_in_force = !is_over(self.expires_at) && !is_over(self.revoked_at) && self.is_allowed_from(from);
        (fits && is_in_force).then(|| self.principal())
    }

    /// What it may do.
    pub fn permissions(&self) -> BTreeSet<Permission> {
        let most = self.role.permissions();
        match self.scopes.is_empty() {
            true => most,
            false => most.intersection(&self.scopes).copied().collect(),
        }
    }

    fn is_allowed_from(&self, from: IpAddr) -> bool {
        let from = from.to_canonical();
        self.addresses.is_empty() || self.addresses.iter().any(|network| network.contains(&from))
    }

    fn principal(&self) -> Principal {
        Principal::new(Facts {
            identity: Identity::Key(self.id.clone()),
            name: self.name.clone(),
            role: self.role,
            tenant: self.tenant.clone(),
            teams: self.teams.clone(),
            permissions: self.permissions(),
            requests_per_hour: self.requests_per_hour,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use chrono::TimeDelta;

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
    fn ends_when_it_expires_and_when_it_is_revoked() {
        for set in [
            |key: &mut Key| key.expires_at = Some(at(10)),
            |key: &mut Key| key.revoked_at = Some(at(10)),
        ] {
            let (mut key, token) = key();
            set(&mut key);
            assert!(key.admit(&token.hash(), HOME, at(9)).is_some());
            assert!(key.admit(&token.hash(), HOME, at(10)).is_none());
        }
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

    #[test]
    fn scopes_take_away_and_never_add() {
        let (mut key, _) = key();
        key.scopes = BTreeSet::from([Permission::ReadAudit, Permission::ManageKeys]);
        assert_eq!(key.permissions(), BTreeSet::from([Permission::ReadAudit]));
    }
}
