//! Bearer tokens of an OpenID Connect provider, beside API keys.
//!
//! Enters: a JWT. Leaves: a principal, or nothing. Guarantees: the algorithm is one that the configuration allows and
//! that fits the provider's key ([`crate::access::provider_keys`]), never the token's choice; issuer, audience and
//! expiry are checked; a token with a missing or unknown claim is refused, and the log names the claim.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use horolog_stage::config::ConfigError;
use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::access::key::REQUESTS_PER_HOUR_DEFAULT;
use crate::access::provider_keys::ProviderKeys;
use crate::access::{Facts, Identity, KeyLimits, Principal, Role, TenantGrant};
use crate::api::Problem;
use crate::config::at_least_one;
use horolog_stage::loopback::is_loopback;

/// Tolerated clock skew. Seconds.
const LEEWAY_S: u64 = 30;
/// A longer token is refused without parsing it.
const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// `[access.oidc]`: tokens of an identity provider. Off while `issuer` is empty.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OidcConfig {
    /// The required `iss`.
    pub issuer: String,
    /// The audience that `aud` must contain.
    pub audience: String,
    /// URL of the provider's keys.
    pub jwks_url: String,
    /// Accepted signature algorithms: RS256, PS256, ES256, EdDSA and their longer variants; never `none`, never a
    /// shared secret.
    pub algorithms: Vec<Algorithm>,
    /// The claim that names the tenant. The value `*` is refused: a provider cannot grant all tenants.
    pub tenant_claim: String,
    /// The claim that names the role, as a string, or as a list of which the first known role counts.
    pub role_claim: String,
    /// The provider's names for roles: `compliance = "auditor"`. The roles' own names are always known.
    pub roles: BTreeMap<String, Role>,
    /// The claim with the list of teams whose rows are shown. A token without it is refused, so that a provider that
    /// does not send it yet shows nothing instead of everything. If empty, no claim is read, and every token shows all
    /// teams of its tenant.
    pub teams_claim: String,
    /// Requests per hour of each subject.
    pub requests_per_hour: u32,
    /// How often the provider's keys are fetched again, which is also how long a withdrawn key may still be accepted, but
    /// for when the provider is not reachable: then it is as long as that, and the log says so. Seconds.
    pub keys_age_max_s: u64,
    /// A token that names an unknown key triggers a fetch, but at most one in this time. Seconds.
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
    /// Refuses settings that cannot work.
    pub fn check(&self) -> Result<(), ConfigError> {
        let invalid = |setting: &str, reason: &str| {
            let setting = format!("access.oidc.{setting}");
            Err(ConfigError::invalid(setting, reason))
        };
        if self.issuer.is_empty() {
            return Ok(());
        }
        if self.audience.is_empty() {
            return invalid(
                "audience",
                "must be set: without it, tokens issued for other services would be accepted",
            );
        }
        if !is_safe(&self.jwks_url) {
            return invalid("jwks_url", "must be an https:// address, or a loopback address");
        }
        at_least_one([
            ("access.oidc.requests_per_hour", u64::from(self.requests_per_hour)),
            ("access.oidc.keys_age_max_s", self.keys_age_max_s),
            ("access.oidc.keys_age_min_s", self.keys_age_min_s),
        ])?;
        let shared = [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
        if self.algorithms.is_empty() || self.algorithms.iter().any(|algorithm| shared.contains(algorithm)) {
            return invalid(
                "algorithms",
                "must name only algorithms with a public key, such as RS256",
            );
        }
        Ok(())
    }
}

/// Whoever controls the response of this URL can forge tokens: it must use TLS or be on this host.
fn is_safe(url: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(url) else {
        return false;
    };
    url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url))
}

/// The identity provider.
pub struct Oidc {
    config: OidcConfig,
    keys: ProviderKeys,
}

impl Oidc {
    /// As configured; `None` if it is off.
    pub fn new(config: &OidcConfig) -> anyhow::Result<Option<Self>> {
        if config.issuer.is_empty() {
            return Ok(None);
        }
        let keys = ProviderKeys::new(&config.jwks_url, config.keys_age_max_s, config.keys_age_min_s);
        Ok(Some(Self {
            config: config.clone(),
            keys: keys.context("access.oidc.jwks_url")?,
        }))
    }

    /// The holder of a token; an error if the provider would have to be asked and does not answer.
    pub async fn admit(&self, token: &str) -> Result<Option<Principal>, Problem> {
        let Some((algorithm, key_id)) = self.signature(token) else {
            return Ok(None);
        };
        let key = self.keys.get(&key_id).await?;
        let claims = key.and_then(|key| self.claims(token, algorithm, &key));
        Ok(claims.and_then(|claims| match principal(&self.config, &claims) {
            Ok(facts) => Some(Principal::new(facts)),
            Err(claim) => {
                // The response reveals nothing, so the log says what to fix.
                tracing::info!(
                    claim,
                    "a token of the identity provider is refused because of a claim that is missing or not as configured"
                );
                None
            }
        }))
    }

    /// The algorithm and key id of a token, if the algorithm is allowed.
    fn signature(&self, token: &str) -> Option<(Algorithm, String)> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let header = decode_header(token).ok()?;
        let is_allowed = self.config.algorithms.contains(&header.alg);
        header.kid.filter(|_| is_allowed).map(|kid| (header.alg, kid))
    }

    /// The claims of a token, if it is signed with the key, meant for this service, and valid now.
    fn claims(&self, token: &str, algorithm: Algorithm, key: &Jwk) -> Option<Value> {
        if !signs(key, algorithm) {
            return None;
        }
        let mut validation = Validation::new(algorithm);
        validation.set_issuer(&[&self.config.issuer]);
        validation.set_audience(&[&self.config.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.validate_nbf = true;
        validation.leeway = LEEWAY_S;
        let decoded = decode::<Value>(token, &DecodingKey::from_jwk(key).ok()?, &validation);
        decoded.ok().map(|token| token.claims)
    }
}

/// Whether a key may sign with this algorithm, as far as the key states its purpose.
fn signs(key: &Jwk, algorithm: Algorithm) -> bool {
    let is_for_signatures = !matches!(key.common.public_key_use, Some(PublicKeyUse::Encryption));
    let named = key.common.key_algorithm.as_ref().map(|named| named.to_string());
    is_for_signatures && named.is_none_or(|named| named == format!("{algorithm:?}"))
}

/// What the claims say of the caller, or the name of the first claim that is missing or invalid.
fn principal<'a>(config: &'a OidcConfig, claims: &Value) -> Result<Facts, &'a str> {
    let subject = claims.get("sub").and_then(Value::as_str);
    let subject = subject.filter(|subject| !subject.is_empty()).ok_or("sub")?;
    let known = |name: &str| config.roles.get(name).copied().or_else(|| Role::parse(name));
    let role = texts(claims.get(&config.role_claim)).find_map(known);
    let role = role.ok_or(config.role_claim.as_str())?;
    let tenant = claims.get(&config.tenant_claim).and_then(Value::as_str);
    let tenant = tenant
        .and_then(TenantGrant::parse)
        .filter(|tenant| *tenant != TenantGrant::Any);
    let tenant = tenant.ok_or(config.tenant_claim.as_str())?;
    let mut teams = BTreeSet::new();
    if !config.teams_claim.is_empty() {
        let named = texts(claims.get(&config.teams_claim)).filter(|team| !team.is_empty());
        teams.extend(named.map(str::to_owned));
        // No list, or an empty one, is refused: it must mean neither all teams nor rows without a team.
        if teams.is_empty() {
            return Err(&config.teams_claim);
        }
    }
    Ok(Facts {
        identity: Identity::Subject(subject.to_owned()),
        name: subject.to_owned(),
        role,
        teams: teams.into_iter().collect(),
        permissions: role.permissions(&tenant),
        tenant,
        requests_per_hour: config.requests_per_hour,
        limits: KeyLimits::default(),
        secret_created_at: None,
    })
}

/// A string, or the strings of a list.
fn texts(value: Option<&Value>) -> impl Iterator<Item = &str> {
    let list = value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let text = value.and_then(Value::as_str);
    text.into_iter().chain(list.iter().filter_map(Value::as_str))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config() -> OidcConfig {
        OidcConfig {
            roles: BTreeMap::from([("compliance".to_owned(), Role::Auditor)]),
            ..OidcConfig::default()
        }
    }

    #[test]
    fn claims_say_who_it_is() {
        let claims = json!({"sub": "ann", "tenant": "red", "role": ["staff", "compliance"], "teams": ["b", "a"]});
        let facts = principal(&config(), &claims).unwrap();
        assert_eq!(
            (facts.role, facts.tenant.as_str(), facts.teams),
            (Role::Auditor, "red", vec!["a".into(), "b".into()])
        );
    }

    #[test]
    fn a_claim_that_is_missing_or_unknown_lets_nobody_in_and_is_named() {
        for (change, named) in [
            (json!({"sub": null}), "sub"),
            (json!({"sub": ""}), "sub"),
            (json!({"tenant": null}), "tenant"),
            (json!({"tenant": ""}), "tenant"),
            (json!({"tenant": "*"}), "tenant"),
            (json!({"tenant": ["red"]}), "tenant"),
            (json!({"role": null}), "role"),
            (json!({"role": "root"}), "role"),
            (json!({"teams": null}), "teams"),
            (json!({"teams": []}), "teams"),
            (json!({"teams": [7]}), "teams"),
            (json!({"teams": ""}), "teams"),
            (json!({"teams": [""]}), "teams"),
        ] {
            for role in Role::ALL {
                let mut claims = json!({"sub": "ann", "tenant": "red", "role": role.as_str(), "teams": ["a"]});
                assert!(principal(&config(), &claims).is_ok(), "{claims}");
                for (name, value) in change.as_object().unwrap() {
                    claims[name] = value.clone();
                }
                assert_eq!(principal(&config(), &claims).unwrap_err(), named, "{claims}");
            }
        }
        let missing = json!({"sub": "ann", "tenant": "red", "role": "auditor"});
        assert_eq!(principal(&config(), &missing).unwrap_err(), "teams");
    }

    #[test]
    fn all_teams_are_shown_only_where_the_configuration_says_so() {
        let every_team = OidcConfig {
            teams_claim: String::new(),
            ..config()
        };
        let claims = json!({"sub": "ann", "tenant": "red", "role": "analyst", "": ["a"]});
        assert!(principal(&every_team, &claims).unwrap().teams.is_empty());
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
