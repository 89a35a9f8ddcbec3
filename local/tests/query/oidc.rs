//! Bearer tokens of an identity provider: one that runs on loopback, and whose keys change.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::asking::{call_at, get_as, make_key};
use crate::bed::{Bed, Proc, http, wait_until};
use crate::client::{DEADLINE, EVENTS, HOURS, assert_is_problem, ready};
use crate::rows::{event_numbers, insert_event};

const ISSUER: &str = "https://id.example";

/// A provider and its keys, of which it shows some.
struct Provider {
    shown: Arc<Mutex<Vec<Jwk>>>,
    asked: Arc<AtomicUsize>,
    mood: watch::Sender<Mood>,
    address: SocketAddr,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Mood {
    /// Answers.
    Well,
    /// Answers with an error.
    Ill,
    /// Answers only once its mood has changed.
    Silent,
}

struct Signing {
    key: EncodingKey,
    algorithm: Algorithm,
    id: &'static str,
}

/// The content of a PEM file.
fn der(pem: &str) -> Vec<u8> {
    let text: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    STANDARD.decode(text).unwrap()
}

fn rsa(id: &'static str, algorithm: Algorithm) -> Signing {
    let key = EncodingKey::from_rsa_der(&der(include_str!("oidc/rsa.pem")));
    Signing { key, algorithm, id }
}

fn elliptic(id: &'static str) -> Signing {
    let key = EncodingKey::from_ec_der(&der(include_str!("oidc/ec.pem")));
    Signing {
        key,
        algorithm: Algorithm::ES256,
        id,
    }
}

impl Signing {
    fn public(&self) -> Jwk {
        let mut jwk = Jwk::from_encoding_key(&self.key, self.algorithm).unwrap();
        jwk.common.key_id = Some(self.id.to_owned());
        jwk
    }

    fn token(&self, claims: &Value) -> String {
        let mut header = Header::new(self.algorithm);
        header.kid = Some(self.id.to_owned());
        encode(&header, claims, &self.key).unwrap()
    }
}

impl Provider {
    fn start(keys: Vec<Jwk>) -> Self {
        let shown = Arc::new(Mutex::new(keys));
        let told = Arc::clone(&shown);
        let asked = Arc::<AtomicUsize>::default();
        let (mood, moods) = watch::channel(Mood::Well);
        let counted = Arc::clone(&asked);
        let answer = move || async move {
            counted.fetch_add(1, Ordering::Relaxed);
            let mood = *moods.clone().wait_for(|mood| *mood != Mood::Silent).await.unwrap();
            let keys = told.lock().unwrap().clone();
            match mood {
                Mood::Ill => Err(StatusCode::INTERNAL_SERVER_ERROR),
                _ => Ok(Json(JwkSet { keys })),
            }
        };
        let address = Bed::shared().block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let routes = Router::new().route("/jwks", get(answer));
            tokio::spawn(async move { axum::serve(listener, routes).await });
            address
        });
        Self {
            shown,
            asked,
            mood,
            address,
        }
    }

    fn service(&self) -> Proc {
        self.service_with(&[("HOROLOG_QUERY__ACCESS__OIDC__KEYS_AGE_MIN_S", "1")])
    }

    fn service_with(&self, more: &[(&str, &str)]) -> Proc {
        let url = format!("http://{}/jwks", self.address);
        let mut settings = vec![
            ("HOROLOG_QUERY__ACCESS__OIDC__ISSUER", ISSUER),
            ("HOROLOG_QUERY__ACCESS__OIDC__JWKS_URL", &url),
            ("HOROLOG_QUERY__ACCESS__OIDC__ROLES", "{compliance=\"auditor\"}"),
        ];
        settings.extend(more);
        ready(Bed::shared(), &settings)
    }

    fn is(&self, mood: Mood) {
        self.mood.send(mood).unwrap();
    }
}

fn claims(change: &Value) -> Value {
    let now = chrono::Utc::now().timestamp();
    let mut claims = json!({
        "iss": ISSUER, "aud": ["other", "horolog"], "sub": "ann", "exp": now + 3_000, "nbf": now - 5,
        "tenant": "federated", "role": "compliance", "teams": ["a", "b"],
    });
    for (name, value) in change.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

fn status(service: &Proc, token: &str, path: &str) -> u16 {
    call_at(service, token, Method::GET, path, None).status
}

#[test]
fn a_token_of_the_provider_is_taken_for_what_it_says_and_no_other() {
    let (rsa, elliptic) = (rsa("one", Algorithm::RS256), elliptic("two"));
    let service = Provider::start(vec![rsa.public(), elliptic.public()]).service();
    for (number, team) in ["'a'", "'b'"].into_iter().enumerate() {
        insert_event("federated", number as u32, &[("team_id", team)]);
    }
    for signing in [&rsa, &elliptic] {
        let answer = call_at(&service, &signing.token(&claims(&json!({}))), Method::GET, EVENTS, None);
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(answer.header("ratelimit-policy"), "\"hour\";q=1000;w=3600");
        assert_eq!(event_numbers(answer.json()["rows"].as_array().unwrap()), [1, 0]);
    }
    let of_team = rsa.token(&claims(&json!({"teams": ["b"]})));
    let answer = call_at(&service, &of_team, Method::GET, EVENTS, None).json();
    assert_eq!(event_numbers(answer["rows"].as_array().unwrap()), [1]);
    let analyst = rsa.token(&claims(&json!({"role": "analyst"})));
    assert_eq!(
        (status(&service, &analyst, HOURS), status(&service, &analyst, EVENTS)),
        (200, 403)
    );
    let elsewhere = format!("{EVENTS}?tenant_id=another");
    assert_eq!(status(&service, &rsa.token(&claims(&json!({}))), &elsewhere), 403);

    let now = chrono::Utc::now().timestamp();
    for change in [
        json!({"iss": "https://evil.example"}),
        json!({"aud": "other"}),
        json!({"aud": null}),
        json!({"exp": now - 120}),
        json!({"exp": null}),
        json!({"nbf": now + 1_000}),
        json!({"sub": ""}),
        json!({"tenant": "*"}),
        json!({"tenant": ""}),
        json!({"role": "root"}),
        json!({"teams": []}),
        json!({"teams": null}),
        json!({"teams": ""}),
        json!({"teams": [""]}),
    ] {
        assert_eq!(status(&service, &rsa.token(&claims(&change)), EVENTS), 401, "{change}");
    }
    let now = chrono::Utc::now().timestamp();
    let within_the_leeway = json!({"exp": now - 1, "nbf": now + 5});
    assert_eq!(
        status(&service, &rsa.token(&claims(&within_the_leeway)), EVENTS),
        200,
        "clocks differ a little"
    );
}

#[test]
fn no_proxy_is_asked_for_the_keys_of_a_provider_on_this_machine() {
    let signing = rsa("one", Algorithm::RS256);
    let provider = Provider::start(vec![signing.public()]);
    let service = provider.service_with(&[("http_proxy", "http://127.0.0.1:1"), ("no_proxy", "")]);
    assert_eq!(status(&service, &signing.token(&claims(&json!({}))), EVENTS), 200);
}

#[test]
fn a_token_that_chooses_its_own_algorithm_is_refused() {
    let rsa = rsa("one", Algorithm::RS256);
    let service = Provider::start(vec![rsa.public()]).service();
    let claims = claims(&json!({}));
    let good = rsa.token(&claims);
    assert_eq!(status(&service, &good, EVENTS), 200);
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let none = json!({"alg": "none", "typ": "JWT", "kid": "one"});
    let unsigned = format!("{}.{}.", part(&none), part(&claims));
    // The public key used as a shared secret: a verifier that trusts the header's algorithm would accept it.
    let mut header = Header::new(Algorithm::HS256);
    header.kid = Some("one".to_owned());
    let shared = encode(
        &header,
        &claims,
        &EncodingKey::from_secret(include_bytes!("oidc/rsa.pem")),
    )
    .unwrap();
    let not_allowed = Signing {
        key: rsa.key.clone(),
        algorithm: Algorithm::RS512,
        id: "one",
    }
    .token(&claims);
    let other_key = Signing {
        id: "one",
        ..elliptic("two")
    }
    .token(&claims);
    let nameless = encode(&Header::new(Algorithm::RS256), &claims, &rsa.key).unwrap();
    let (head, signature) = good.rsplit_once('.').unwrap();
    let changed = format!(
        "{}.{}.{signature}",
        head.split('.').next().unwrap(),
        part(&json!({"sub": "eve"}))
    );
    let cut = format!("{head}.{}", &signature[..signature.len() - 2]);
    let long = format!("{head}.{signature}{}", "A".repeat(20_000));
    for (token, what) in [
        (unsigned, "no signature"),
        (shared, "a shared secret"),
        (not_allowed, "an algorithm that is not configured"),
        (other_key, "another key under this name"),
        (nameless, "no name of a key"),
        (changed, "changed claims"),
        (cut, "a cut signature"),
        (long, "a long token"),
    ] {
        let answer = call_at(&service, &token, Method::GET, EVENTS, None);
        assert_eq!(answer.status, 401, "{what}");
        assert_is_problem(&answer);
    }
}

#[test]
fn keys_that_the_provider_adds_are_taken_and_those_it_withdraws_are_not() {
    let (first, second) = (rsa("one", Algorithm::RS256), elliptic("two"));
    let provider = Provider::start(vec![first.public()]);
    let service = provider.service();
    let (one, two) = (first.token(&claims(&json!({}))), second.token(&claims(&json!({}))));
    assert_eq!(
        (status(&service, &one, EVENTS), status(&service, &two, EVENTS)),
        (200, 401)
    );
    *provider.shown.lock().unwrap() = vec![second.public()];
    wait_until(DEADLINE, "the new key is known", || {
        status(&service, &two, EVENTS) == 200
    });
    assert_eq!(
        status(&service, &one, EVENTS),
        401,
        "the old key is withdrawn with the same answer"
    );
}

/// An hour: unknown key ids cause no other fetch while this test runs.
const SELDOM: (&str, &str) = ("HOROLOG_QUERY__ACCESS__OIDC__KEYS_AGE_MIN_S", "3600");

#[test]
fn a_caller_who_asks_for_an_unknown_key_and_leaves_keeps_nobody_out() {
    let (known, unknown) = (rsa("one", Algorithm::RS256), elliptic("two"));
    let provider = Provider::start(vec![known.public()]);
    let service = provider.service_with(&[SELDOM]);
    provider.is(Mood::Silent);
    let token = unknown.token(&claims(&json!({})));
    let request = http().get(format!("{}{EVENTS}", service.http()));
    let left = Bed::shared().block_on(async {
        let leaves = tokio::spawn(request.bearer_auth(token).send());
        let is_asked = async {
            while provider.asked.load(Ordering::Relaxed) == 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            leaves.abort();
        };
        tokio::time::timeout(DEADLINE, is_asked).await
    });
    assert!(left.is_ok(), "the provider is asked");
    provider.is(Mood::Well);
    let answer = call_at(&service, &known.token(&claims(&json!({}))), Method::GET, EVENTS, None);
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(
        provider.asked.load(Ordering::Relaxed),
        1,
        "the fetch that was begun is the one that counts"
    );
}

#[test]
fn a_provider_that_is_away_is_said_so_and_locks_nobody_out_whose_key_is_known() {
    let (first, second) = (rsa("one", Algorithm::RS256), elliptic("two"));
    let provider = Provider::start(vec![first.public()]);
    let service = provider.service_with(&[("HOROLOG_QUERY__ACCESS__OIDC__KEYS_AGE_MAX_S", "1")]);
    let (one, two) = (first.token(&claims(&json!({}))), second.token(&claims(&json!({}))));
    provider.is(Mood::Ill);
    let answer = call_at(&service, &one, Method::GET, EVENTS, None);
    assert_eq!(
        (answer.status, answer.header("retry-after")),
        (503, "5"),
        "{}",
        answer.text
    );
    assert_is_problem(&answer);
    provider.is(Mood::Well);
    wait_until(DEADLINE, "it is asked again", || status(&service, &one, EVENTS) == 200);
    provider.is(Mood::Ill);
    let asked = provider.asked.load(Ordering::Relaxed);
    wait_until(DEADLINE, "its keys are too old, and it is asked in vain", || {
        assert_eq!(status(&service, &one, EVENTS), 200);
        provider.asked.load(Ordering::Relaxed) > asked + 1
    });
    assert_eq!(status(&service, &two, EVENTS), 401, "what was never known is not taken");
}

#[test]
fn a_subject_is_in_the_access_review_with_what_its_last_token_said() {
    let signing = rsa("one", Algorithm::RS256);
    let provider = Provider::start(vec![signing.public()]);
    let service = provider.service_with(&[("HOROLOG_QUERY__ACCESS__LAST_USE_INTERVAL_S", "1")]);
    let admin = make_key("admin", "reviewed", json!({})).token;
    let review = || get_as(&admin, "/v1/admin/access-review").json()["subjects"].clone();
    assert_eq!(review(), json!([]));
    for (tenant, role) in [
        ("reviewed", "analyst"),
        ("reviewed", "compliance"),
        ("elsewhere", "analyst"),
    ] {
        let token = signing.token(&claims(&json!({"tenant": tenant, "role": role})));
        assert_eq!(status(&service, &token, HOURS), 200);
    }
    wait_until(DEADLINE, "the last token is known", || review()[0]["role"] == "auditor");
    let mut subjects = review();
    assert_eq!(
        subjects.as_array().unwrap().len(),
        1,
        "one of another tenant is not shown: {subjects}"
    );
    let subject = subjects[0].as_object_mut().unwrap();
    let used = subject.remove("last_used").unwrap();
    assert_eq!(used["from"], "127.0.0.1");
    subject.remove("permissions").unwrap();
    assert_eq!(
        json!(subject),
        json!({"subject": "ann", "role": "auditor", "tenant": "reviewed", "teams": ["a", "b"], "masked": {}, "notes": []})
    );
    let row = "select toString(tuple(role, teams, last_used_from)) from access_subjects final where tenant = 'reviewed' and subject = 'ann'";
    wait_until(DEADLINE, "so it is in SQL", || {
        Bed::shared().sql::<String>(row) == ["('auditor',['a','b'],'127.0.0.1')"]
    });
}
