//! Bearer tokens of an OpenID Connect provider, beside API keys.
//!
//! Enters: a JWT. Leaves: a principal, or nothing. Guarantees: the algorithm is one that the configuration allows and fits the
//! provider's key, never the token's choice; issuer, audience and expiry are checked; a claim that is missing or says something unknown
//! lets nobody in. The provider's keys (JWKS, RFC 7517) are fetched when they are first needed, again now and then, and when a
//! token names a key that is not known, which a caller cannot make happen often.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use horolog_stage::config::ConfigError;
use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::Mutex;

use crate::access::key::REQUESTS_PER_HOUR_DEFAULT;
use crate::access::{Facts, Identity, Principal, Role, TenantGrant};

const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// Clocks may differ by so much. Seconds.
const LEEWAY_S: u64 = 30;
/// What the provider answers may be so large.
const KEYS_BYTES_MAX: usize = 1 << 20;
/// A token that is longer is not looked at.
const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// `[access.oidc]`: tokens of an identity provider. Off while `issuer` is empty.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OidcConfig {
    /// What `iss` must be.
    pub issuer: String,
    /// What `aud` must hold.
    pub audience: String,
    /// Where the provider's keys are.
    pub jwks_url: String,
    /// Signatures that are taken: RS256, PS256, ES256, EdDSA and their longer relatives; never `none`, never a shared secret.
    pub algorithms: Vec<Algorithm>,
    /// The claim that names the tenant. `*` in it is refused: a provider cannot hand out all tenants.
    pub tenant_claim: String,
    /// The claim that names the role, as text or as a list of which the first known one counts.
    pub role_claim: String,
    /// What the provider calls the roles: `compliance = "auditor"`. The roles' own names are known without.
    pub roles: BTreeMap<String, Role>,
    /// The claim with the list of teams; a token of an analyst without it sees all teams of the tenant.
    pub teams_claim: String,
    /// Requests an hour of each subject.
    pub requests_per_hour: u32,
    /// The provider's keys are fetched again after so long: as long a key that it withdrew may be taken. Seconds.
    pub keys_age_max_s: u64,
    /// When a token names a key that is not known they are fetched at once, but not sooner than after so long. Seconds.
    pub keys_age_min_s: u64,
}

impl Default for OidcConfig {
    fn default() -> Self {
        Self {
            issuer: String::new(),
            audience: "horolog".to_owned(),
            jwks_url: String::new(),
            algorithms: vec![Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA],
            tenant_claim: "tenant".to_owned(),
            role_claim: "role".to_owned(),
            roles: BTreeMap::new(),
            teams_claim: "teams".to_owned(),
            requests_per_hour: REQUESTS_PER_HOUR_DEFAULT,
            keys_age_max_s: 600,
            keys_age_min_s: 30,
        }
    }
}

impl OidcConfig {
    /// Refuses what cannot work.
    pub fn check(&self) -> Result<(), ConfigError> {
        let invalid = |setting: &str, reason: &str| {
            Err(ConfigError::Invalid {
                setting: format!("access.oidc.{setting}"),
                reason: reason.to_owned(),
            })
        };
        if self.issuer.is_empty() {
            return Ok(());
        }
        if self.audience.is_empty() {
            return invalid("audience", "must be set, or tokens for other services are taken");
        }
        if !is_safe(&self.jwks_url) {
            return invalid(
                "jwks_url",
                "must be an https address, or one of this machine's loopback",
            );
        }
        for (setting, value) in [
            ("requests_per_hour", u64::from(self.requests_per_hour)),
            ("keys_age_max_s", self.keys_age_max_s),
            ("keys_age_min_s", self.keys_age_min_s),
        ] {
            if value == 0 {
                return invalid(setting, "must be at least 1");
            }
        }
        let shared = [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
        if self.algorithms.is_empty() || self.algorithms.iter().any(|algorithm| shared.contains(algorithm)) {
            return invalid("algorithms", "must name signatures with a public key, such as RS256");
        }
        Ok(())
    }
}

/// Whoever can change the answer of this address can make tokens: it is asked over TLS, or on this machine.
fn is_safe(url: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(url) else {
        return false;
    };
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let is_loopback = host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    url.scheme() == "https" || (url.scheme() == "http" && is_loopback)
}

/// The provider.
pub struct Oidc {
    config: OidcConfig,
    http: reqwest::Client,
    known: RwLock<HashMap<String, Jwk>>,
    fetched: Mutex<Option<Instant>>,
}

impl Oidc {
    /// As configured; `None` where it is off.
    pub fn new(config: &OidcConfig) -> anyhow::Result<Option<Self>> {
        if config.issuer.is_empty() {
            return Ok(None);
        }
        let http = reqwest::Client::builder()
            .timeout(FETCH_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none());
        Ok(Some(Self {
            config: config.clone(),
            http: http.build().context("access.oidc.jwks_url")?,
            known: RwLock::default(),
            fetched: Mutex::default(),
        }))
    }

    /// The holder of a token.
    pub async fn admit(&self, token: &str) -> Option<Principal> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let header = decode_header(token).ok()?;
        if !self.config.algorithms.contains(&header.alg) {
            return None;
        }
        let key = self.key(&header.kid?).await.filter(|key| signs(key, header.alg))?;
        let mut validation = Validation::new(header.alg);
        validation.set_issuer(&[&self.config.issuer]);
        validation.set_audience(&[&self.config.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.validate_nbf = true;
        validation.leeway = LEEWAY_S;
        let claims = decode::<Value>(token, &DecodingKey::from_jwk(&key).ok()?, &validation)
            .ok()?
            .claims;
        principal(&self.config, &claims).map(Principal::new)
    }

    async fn key(&self, id: &str) -> Option<Jwk> {
        let known = || {
            self.known
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .get(id)
                .cloned()
        };
        let mut fetched = match self.fetched.try_lock() {
            Ok(fetched) => fetched,
            // Somebody is fetching. Who has a known key does not wait for it.
            Err(_) if known().is_some() => return known(),
            Err(_) => self.fetched.lock().await,
        };
        let age = fetched.map(|at| at.elapsed());
        let found = known();
        let age_max = match found {
            Some(_) => self.config.keys_age_max_s,
            None => self.config.keys_age_min_s,
        };
        if age.is_some_and(|age| age < Duration::from_secs(age_max)) {
            return found;
        }
        *fetched = Some(Instant::now());
        match self.fetch().await {
            Ok(keys) => *self.known.write().unwrap_or_else(PoisonError::into_inner) = keys,
            // What was known goes on being taken: a provider that is away locks nobody out.
            Err(error) => tracing::warn!(%error, url = self.config.jwks_url, "cannot fetch the provider's keys"),
        }
        known()
    }

    async fn fetch(&self) -> anyhow::Result<HashMap<String, Jwk>> {
        let mut answer = self.http.get(&self.config.jwks_url).send().await?.error_for_status()?;
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
            body.extend_from_slice(&chunk);
            if body.len() > KEYS_BYTES_MAX {
                bail!("the answer is larger than {KEYS_BYTES_MAX} bytes");
            }
        }
        let set: JwkSet = serde_json::from_slice(&body)?;
        let named = set
            .keys
            .into_iter()
            .filter_map(|key| Some((key.common.key_id.clone()?, key)));
        let keys: HashMap<_, _> = named.collect();
        if keys.is_empty() {
            bail!("there is no key with a kid");
        }
        Ok(keys)
    }
}

/// Whether a key is for signatures of this algorithm, as far as it says what it is for.
fn signs(key: &Jwk, algorithm: Algorithm) -> bool {
    let is_for_signatures = !matches!(key.common.public_key_use, Some(PublicKeyUse::Encryption));
    let named = key.common.key_algorithm.as_ref().map(|named| named.to_string());
    is_for_signatures && named.is_none_or(|named| named == format!("{algorithm:?}"))
}

/// What claims say.
fn principal(config: &OidcConfig, claims: &Value) -> Option<Facts> {
    let subject = claims.get("sub")?.as_str().filter(|subject| !subject.is_empty())?;
    let role = texts(claims.get(&config.role_claim)?)
        .find_map(|name| config.roles.get(name).copied().or_else(|| Role::parse(name)))?;
    let tenant = match TenantGrant::parse(claims.get(&config.tenant_claim)?.as_str()?)? {
        TenantGrant::Any => return None,
        one => one,
    };
    let teams: BTreeSet<String> = match claims.get(&config.teams_claim) {
        None => BTreeSet::new(),
        // A list that is there and empty is nobody's team, not everybody's.
        Some(teams) => {
            Some(texts(teams).map(str::to_owned).collect()).filter(|teams: &BTreeSet<_>| !teams.is_empty())?
        }
    };
    Some(Facts {
        identity: Identity::Subject(subject.to_owned()),
        name: subject.to_owned(),
        role,
        tenant,
        teams: teams.into_iter().collect(),
        permissions: role.permissions(),
        requests_per_hour: config.requests_per_hour,
    })
}

/// A text, or the texts of a list.
fn texts(value: &Value) -> impl Iterator<Item = &str> {
    let list = value.as_array().map(Vec::as_slice).unwrap_or_default();
    value.as_str().into_iter().chain(list.iter().filter_map(Value::as_str))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn facts(claims: Value) -> Option<Facts> {
        let config = OidcConfig {
            roles: BTreeMap::from([("compliance".to_owned(), Role::Auditor)]),
            ..OidcConfig::default()
        };
        principal(&config, &claims)
    }

    #[test]
    fn claims_say_who_it_is() {
        let claims = json!({"sub": "ann", "tenant": "red", "role": ["staff", "compliance"], "teams": ["b", "a"]});
        let facts = facts(claims).unwrap();
        assert_eq!(
            (facts.role, facts.tenant.as_str(), facts.teams),
            (Role::Auditor, "red", vec!["a".into(), "b".into()])
        );
    }

    #[test]
    fn what_is_missing_or_unknown_lets_nobody_in() {
        for claims in [
            json!({"tenant": "red", "role": "auditor"}),
            json!({"sub": "", "tenant": "red", "role": "auditor"}),
            json!({"sub": "ann", "role": "auditor"}),
            json!({"sub": "ann", "tenant": "", "role": "auditor"}),
            json!({"sub": "ann", "tenant": "*", "role": "auditor"}),
            json!({"sub": "ann", "tenant": ["red"], "role": "auditor"}),
            json!({"sub": "ann", "tenant": "red"}),
            json!({"sub": "ann", "tenant": "red", "role": "root"}),
            json!({"sub": "ann", "tenant": "red", "role": "analyst", "teams": []}),
            json!({"sub": "ann", "tenant": "red", "role": "analyst", "teams": null}),
        ] {
            assert!(facts(claims.clone()).is_none(), "{claims}");
        }
    }

    #[test]
    fn a_shared_secret_is_no_signature() {
        let mut config = OidcConfig {
            issuer: "https://id.example".to_owned(),
            jwks_url: "https://id.example/jwks".to_owned(),
            ..OidcConfig::default()
        };
        assert!(config.check().is_ok());
        config.algorithms = vec![Algorithm::RS256, Algorithm::HS256];
        assert!(
            config
                .check()
                .unwrap_err()
                .to_string()
                .starts_with("access.oidc.algorithms")
        );
        config.algorithms = vec![Algorithm::RS256];
        for (url, is_taken) in [
            ("http://id.example/jwks", false),
            ("http://127.0.0.1.id.example/jwks", false),
            ("ftp://127.0.0.1/jwks", false),
            ("jwks", false),
            ("http://127.0.0.1:7/jwks", true),
            ("http://[::1]:7/jwks", true),
        ] {
            config.jwks_url = url.to_owned();
            let refused = config.check().err().map(|error| error.to_string());
            assert_eq!(refused.is_none(), is_taken, "{url}");
            assert!(
                refused.is_none_or(|error| error.starts_with("access.oidc.jwks_url")),
                "{url}"
            );
        }
    }
}
