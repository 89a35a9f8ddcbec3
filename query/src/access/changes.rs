//! Changes of keys: create, rotate, give another end, revoke; the same over HTTP and on the command line.
//!
//! Enters: who makes the change, and the change. Leaves: a change in the journal, which running processes follow, and
//! its audit event. Guarantees: no secret is handed out without a record, since the trail is written first; a leaked
//! key is revoked without waiting for the trail, and even if that cannot be written; nobody hands out more than they
//! have themselves: no other tenants or teams, nothing beyond the bounds of their key ([`delegation`]), and nothing
//! once that key has ended. The administrators of a tenant have one revocation and one other change in progress at a
//! time, because the journal takes changes in order: no tenant can keep the others from revoking their keys.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use crate::access::delegation;
use crate::access::gate::Gate;
use crate::access::key::Key;
use crate::access::new_key::NewKey;
use crate::access::token::Token;
use crate::access::trail::{Act, Actor};
use crate::access::{Identity, Principal};
use crate::api::Problem;
use crate::api::places::{Place, Places};

/// How long the previous secret stays valid after a rotation by default. Seconds.
pub const OVERLAP_DEFAULT_S: u32 = 86_400;
/// The longest that can be asked for. Seconds.
pub const OVERLAP_MAX_S: u32 = 30 * 86_400;

/// Changes made by one actor.
pub struct Changes<'a> {
    gate: &'a Gate,
    actor: &'a Actor,
    /// The name of the actor, as keys and the trail have it.
    by: String,
}

impl<'a> Changes<'a> {
    /// For an administrator, or for the operator of the service, who has no key and is not bounded by one.
    pub fn new(gate: &'a Gate, actor: &'a Actor) -> Self {
        let principal = actor.principal.as_ref();
        let by = principal.map_or_else(operator, |principal| principal.facts().identity.to_string());
        Self { gate, actor, by }
    }

    /// Creates a key; also returns its first token.
    pub async fn create(&self, new: NewKey) -> Result<(Key, Token), Problem> {
        let now = Utc::now();
        let (key, token) = new.make(&self.by, now)?;
        let _turn = self.turn(&self.gate.turns).await?;
        self.require_within(&key)?;
        let is_one = |known: &Key| known.tenant == key.tenant && known.is_in_force(now);
        let known = self.gate.keys.all();
        if known.filter(|known| is_one(known)).count() >= self.gate.keys_per_tenant_max {
            return Err(Problem::Conflict(
                "this tenant already has access.keys_per_tenant_max keys in force; revoke one first",
            ));
        }
        self.add(std::slice::from_ref(&key)).await?;
        Ok((key, token))
    }

    /// Adds created keys, all or none.
    pub async fn add(&self, keys: &[Key]) -> Result<(), Problem> {
        for key in keys {
            self.record("key.create", key).await?;
        }
        self.gate.keys.add(keys).await
    }

    /// Gives a key a new secret; the previous one stays valid for `overlap_s` seconds. Also returns the new token.
    pub async fn rotate(&self, key: &Key, overlap_s: u32) -> Result<(Key, Token), Problem> {
        if overlap_s > OVERLAP_MAX_S {
            return Err(Problem::parameter(
                "overlap_s",
                format!("expected at most {OVERLAP_MAX_S}"),
            ));
        }
        let _turn = self.turn(&self.gate.turns).await?;
        // As it is now: it may have been given another end since the request began.
        let key = self.gate.keys.get(&key.id).ok_or(Problem::NotFound)?;
        self.require_within(&key)?;
        self.record("key.rotate", &key).await?;
        let (token, now) = (Token::random(&key.id), Utc::now());
        let (hash, known) = (token.hash(), key.expires_at);
        let change = move |key: &mut Key| key.rotate(hash, known, now, TimeDelta::seconds(overlap_s.into()));
        Ok((self.gate.keys.change(&key.id, change).await?, token))
    }

    /// Gives a key another end, or none. An earlier one hands out nothing, so it is not bounded by the actor's own key.
    pub async fn expire(&self, key: &Key, end: Option<DateTime<Utc>>) -> Result<Key, Problem> {
        let now = Utc::now();
        if end.is_some_and(|end| end <= now) {
            return Err(Problem::parameter(
                "expires_at",
                "is in the past; to end a key now, revoke it",
            ));
        }
        let (known, mut wanted) = (key.expires_at, key.clone());
        wanted.expires_at = end;
        let is_earlier = end.is_some_and(|end| known.is_none_or(|known| end <= known));
        let _turn = self.turn(&self.gate.turns).await?;
        match is_earlier {
            true => self.require(key)?,
            false => self.require_within(&wanted)?,
        }
        self.record("key.expire", &wanted).await?;
        let change = move |key: &mut Key| key.expire(known, end, now);
        self.gate.keys.change(&key.id, change).await
    }

    /// Revokes a key, immediately and permanently, even if the caller disconnects meanwhile.
    pub async fn revoke(&self, key: &Key) -> Result<Key, Problem> {
        self.require(key)?;
        let (gate, actor, key) = (self.gate.clone(), self.actor.clone(), key.clone());
        let ended = tokio::spawn(async move { Changes::new(&gate, &actor).end(&key).await });
        ended.await.map_err(|_| Problem::Internal)?
    }

    async fn end(&self, key: &Key) -> Result<Key, Problem> {
        // A leaked key must not stay valid for as long as writing the trail takes, or because it cannot be written.
        let (ended, recorded) = tokio::join!(self.end_in_turn(key), self.record("key.revoke", key));
        if let Err(problem) = recorded {
            tracing::error!(%problem, key = %key.id, by = self.by, "a key was revoked without an audit event");
        }
        ended
    }

    /// Revokes the key once, however often that is asked for.
    async fn end_in_turn(&self, key: &Key) -> Result<Key, Problem> {
        let _turn = self.turn(&self.gate.ends).await?;
        if let Some(known) = self.gate.keys.get(&key.id)
            && known.revoked_at.is_some()
        {
            return Ok(Key::clone(&known));
        }
        let now = Utc::now();
        let change = move |key: &mut Key| {
            key.revoked_at.get_or_insert(now);
            Ok(())
        };
        self.gate.keys.change(&key.id, change).await
    }

    /// Held during a change that may have to wait for others.
    async fn turn(&self, turns: &Places<String>) -> Result<Place, Problem> {
        let facts = self.actor.principal.as_ref().map(Principal::facts);
        let tenant = facts.map_or("", |facts| facts.tenant.as_str());
        turns.turn(tenant.to_owned()).await
    }

    /// Refuses tenants and teams that are not the actor's own; no teams means all of them.
    fn require(&self, key: &Key) -> Result<(), Problem> {
        let Some(facts) = self.actor.principal.as_ref().map(Principal::facts) else {
            return Ok(());
        };
        if !facts.tenant.covers(&key.tenant) {
            return Err(Problem::forbidden("tenant is not the tenant of this key"));
        }
        let names_theirs = !key.teams.is_empty() && key.teams.iter().all(|team| facts.teams.contains(team));
        let are_theirs = facts.teams.is_empty() || names_theirs;
        match are_theirs {
            true => Ok(()),
            false => Err(Problem::forbidden(
                "teams must list at least one team, and only teams of this key",
            )),
        }
    }

    /// Also refuses anything beyond the actor's own key where they are given the secret, and everything once that key
    /// or their secret of it has ended, which may happen while they wait for their turn or send the body slowly.
    fn require_within(&self, key: &Key) -> Result<(), Problem> {
        self.require(key)?;
        // The operator is not bounded by a key, and tokens of the identity provider are bounded only by tenant and
        // teams.
        let Some(facts) = self.actor.principal.as_ref().map(Principal::facts) else {
            return Ok(());
        };
        let Identity::Key(id) = &facts.identity else {
            return Ok(());
        };
        let now = Utc::now();
        let own = self.gate.keys.get(id).filter(|own| own.is_in_force(now));
        let own = own.ok_or(Problem::Unauthorized)?;
        // Its current state: it may have been rotated since the request began.
        let secret = facts.secret_created_at.and_then(|at| own.secret_in_force(at, now));
        let secret = secret.ok_or(Problem::Unauthorized)?;
        delegation::require_within(&own, secret.expires_at, key)
    }

    async fn record(&self, action: &'static str, key: &Key) -> Result<(), Problem> {
        let end = key
            .expires_at
            .map_or_else(|| "never".to_owned(), |end| end.to_rfc3339());
        let facts = BTreeMap::from([
            ("caller".to_owned(), self.by.clone()),
            ("expires_at".to_owned(), end),
            ("name".to_owned(), key.name.clone()),
            ("key_role".to_owned(), key.role.to_string()),
            ("key_tenant".to_owned(), key.tenant.as_str().to_owned()),
        ]);
        let act = Act::done(
            self.gate.tenant_of(&key.tenant),
            action,
            ("key", key.id.to_string()),
            facts,
        );
        self.gate.trail.record(self.actor, act).await
    }
}

/// The user that runs this process, by the name that the system has for them.
pub(super) fn operator() -> String {
    let user = std::env::var("USER").unwrap_or_else(|_| "unknown".to_owned());
    format!("operator:{user}")
}
