//! What is done to keys: made, rotated, revoked; the same over HTTP and in a terminal.
//!
//! Enters: who does it, and what. Leaves: a change of the journal, which running processes follow, and its audit event. Guarantees:
//! nothing is handed out that nobody could account for, since the trail is written first; a leaked key is revoked without waiting for it, and
//! even where it cannot be written; nobody hands out what they are not given themselves, neither tenants nor teams nor anything beyond the
//! bounds of their key ([`delegation`]), nor once that has ended. The administrators of a tenant have one revocation at a time under way and one other change, since the
//! journal takes changes in the order of asking: no tenant keeps the others from ending their keys.

use std::collections::BTreeMap;

use chrono::{TimeDelta, Utc};

use crate::access::delegation;
use crate::access::gate::Gate;
use crate::access::key::Key;
use crate::access::new_key::NewKey;
use crate::access::token::Token;
use crate::access::trail::{Act, Actor};
use crate::access::{Identity, Principal};
use crate::api::Problem;
use crate::api::places::{Place, Places};

/// The secret before is taken for so long after a rotation, unless said otherwise. Seconds.
pub const OVERLAP_DEFAULT_S: u32 = 86_400;
/// And for so long at most. Seconds.
pub const OVERLAP_MAX_S: u32 = 30 * 86_400;

/// Changes that somebody makes.
pub struct Changes<'a> {
    gate: &'a Gate,
    actor: &'a Actor,
    /// Who it is, as keys and the trail name them.
    by: String,
}

impl<'a> Changes<'a> {
    /// Of an administrator, or of whoever runs the service, who has no key and is above them all.
    pub fn new(gate: &'a Gate, actor: &'a Actor) -> Self {
        let principal = actor.principal.as_ref();
        let by = principal.map_or_else(operator, |principal| principal.facts().identity.to_string());
        Self { gate, actor, by }
    }

    /// Makes a key. Gives its first token, too.
    pub async fn create(&self, new: NewKey) -> Result<(Key, Token), Problem> {
        let now = Utc::now();
        let (key, token) = new.make(&self.by, now)?;
        let _turn = self.turn(&self.gate.turns).await?;
        self.require_within(&key)?;
        let is_one = |known: &Key| known.tenant == key.tenant && known.is_in_force(now);
        let known = self.gate.keys.all();
        if known.filter(|known| is_one(known)).count() >= self.gate.keys_per_tenant_max {
            return Err(Problem::Conflict(
                "this tenant has as many keys in force as access.keys_per_tenant_max allows; revoke some first",
            ));
        }
        self.add(std::slice::from_ref(&key)).await?;
        Ok((key, token))
    }

    /// Keys that were made, all of them or none.
    pub async fn add(&self, keys: &[Key]) -> Result<(), Problem> {
        for key in keys {
            self.record("key.create", key).await?;
        }
        self.gate.keys.add(keys).await
    }

    /// Gives a key a new secret; the one before is taken for `overlap_s` seconds yet. Gives the new token, too.
    pub async fn rotate(&self, key: &Key, overlap_s: u32) -> Result<(Key, Token), Problem> {
        if overlap_s > OVERLAP_MAX_S {
            return Err(Problem::parameter(
                "overlap_s",
                format!("expected at most {OVERLAP_MAX_S}"),
            ));
        }
        let _turn = self.turn(&self.gate.turns).await?;
        self.require_within(key)?;
        self.record("key.rotate", key).await?;
        let (token, now) = (Token::random(&key.id), Utc::now());
        let hash = token.hash();
        let change = move |key: &mut Key| key.rotate(hash, now, TimeDelta::seconds(overlap_s.into()));
        Ok((self.gate.keys.change(&key.id, change).await?, token))
    }

    /// Ends a key, at once and for good; also when whoever asked for it goes away meanwhile.
    pub async fn revoke(&self, key: &Key) -> Result<Key, Problem> {
        self.require(key)?;
        let (gate, actor, key) = (self.gate.clone(), self.actor.clone(), key.clone());
        let ended = tokio::spawn(async move { Changes::new(&gate, &actor).end(&key).await });
        ended.await.map_err(|_| Problem::Internal)?
    }

    async fn end(&self, key: &Key) -> Result<Key, Problem> {
        // A leaked key does not go on for as long as the trail takes, or because it cannot be written.
        let (ended, recorded) = tokio::join!(self.end_in_turn(key), self.record("key.revoke", key));
        if let Err(problem) = recorded {
            tracing::error!(%problem, key = %key.id, by = self.by, "a key is revoked without a trail");
        }
        ended
    }

    /// Whoever asks for the end of a key again and again asks the journal for it once.
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

    /// Held while a change is under way that may wait for others.
    async fn turn(&self, turns: &Places<String>) -> Result<Place, Problem> {
        let facts = self.actor.principal.as_ref().map(Principal::facts);
        let tenant = facts.map_or("", |facts| facts.tenant.as_str());
        let turn = turns.take(tenant.to_owned()).await;
        turn.map_err(|_| Problem::Internal)
    }

    /// No tenants and no teams (all of them, where none are named) that are not theirs.
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
            false => Err(Problem::forbidden("teams has to name teams of this key, and no others")),
        }
    }

    /// Nor anything else that goes beyond the key they come with, where they are given the secret; nothing at all once that key has ended, or their
    /// secret of it, which it may have while they waited for their turn, or were slow to say what they want.
    fn require_within(&self, key: &Key) -> Result<(), Problem> {
        self.require(key)?;
        // Whoever runs the service is above all keys, and the provider's tokens have no bounds but tenant and teams.
        let Some(facts) = self.actor.principal.as_ref().map(Principal::facts) else {
            return Ok(());
        };
        let Identity::Key(id) = &facts.identity else {
            return Ok(());
        };
        let now = Utc::now();
        let own = self.gate.keys.get(id).filter(|own| own.is_in_force(now));
        let own = own.ok_or(Problem::Unauthorized)?;
        // As it is by now: another one may follow it since the request began.
        let secret = facts.secret_created_at.and_then(|at| own.secret_in_force(at, now));
        let secret = secret.ok_or(Problem::Unauthorized)?;
        delegation::require_within(&own, secret.expires_at, key)
    }

    async fn record(&self, action: &'static str, key: &Key) -> Result<(), Problem> {
        let facts = BTreeMap::from([
            ("caller".to_owned(), self.by.clone()),
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

/// Who runs this, as the system knows them.
pub(super) fn operator() -> String {
    let user = std::env::var("USER").unwrap_or_else(|_| "unknown".to_owned());
    format!("operator:{user}")
}
