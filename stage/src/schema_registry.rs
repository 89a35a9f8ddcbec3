//! The schema registry that services use whose records are in Confluent's framing: asked by id for schemas that records
//! name and that are not known.
//!
//! In: payloads. Out: what [`WriterSchemas`] learns about their ids, before the records are judged. The registry decides
//! on a record only by what it knows, never by whether it answers: it is asked until it does. An id stands for one
//! schema for ever, so it is asked about each once. The API is
//! [Confluent's](https://docs.confluent.io/platform/current/schema-registry/develop/api.html), which other registries
//! have, too.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use horolog_schemas::WriterSchemas;
use reqwest::{Client, Response, StatusCode, Url};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::config::{ConfigError, SchemaRegistryConfig};
use crate::loopback;
use crate::retry::Backoff;

const URL_SETTING: &str = "schema_registry.url";
const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json, application/json";
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// The code of the answer that there is no such schema. Any other "not found" is of a wrong address.
const NO_SUCH_SCHEMA: u32 = 40_403;
/// Ids of one batch that are asked about, those of the most records first. Services that share a topic use a few; random
/// bytes that begin like Confluent's framing name another one in each record.
const IDS_MAX: usize = 4_096;
/// The longest answer that is read.
const ANSWER_BYTES_MAX: usize = 8 << 20;
/// For so long the registry is asked again about an id that it does not know: a service registers its schema before its
/// first record, but the replica that answers here may lag.
const LAG_MAX: Duration = Duration::from_secs(5);
/// Time between two of these questions.
const LAG_INTERVAL: Duration = Duration::from_secs(1);
/// Time between two questions about an id that is unknown for longer.
const UNKNOWN_INTERVAL: Duration = Duration::from_secs(10);
/// Ids that are remembered as unknown.
const UNKNOWN_MAX: usize = 100_000;

/// A client of the registry.
pub struct SchemaRegistry {
    url: String,
    user: String,
    password: String,
    http: Client,
    /// Ids that it does not know.
    unknown: Mutex<HashMap<u32, Unknown>>,
    /// Since when it has not answered, and why.
    failing: Mutex<Option<(Instant, String)>>,
}

/// When the registry did not know an id, first and last.
#[derive(Clone, Copy)]
struct Unknown {
    since: Instant,
    asked: Instant,
}

impl Unknown {
    fn may_lag(&self) -> bool {
        self.since.elapsed() < LAG_MAX
    }

    fn is_due(&self) -> bool {
        let interval = if self.may_lag() { LAG_INTERVAL } else { UNKNOWN_INTERVAL };
        self.asked.elapsed() >= interval
    }
}

/// What the registry says of an id.
#[derive(Deserialize)]
struct Registered {
    schema: String,
    #[serde(rename = "schemaType")]
    schema_type: Option<String>,
    #[serde(default)]
    references: Vec<IgnoredAny>,
}

#[derive(Deserialize)]
struct Refusal {
    error_code: u32,
}

impl Registered {
    fn schema(&self) -> Result<&str, String> {
        match self.schema_type.as_deref() {
            None | Some("AVRO") if self.references.is_empty() => Ok(&self.schema),
            None | Some("AVRO") => Err("it refers to other schemas: register it as one that contains them".to_owned()),
            Some(other) => Err(format!("it is a schema of the type {other}")),
        }
    }
}

/// Why the registry did not answer.
#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error("{}", horolog_schemas::errors::in_words(.0))]
    Http(#[from] reqwest::Error),
    #[error("it refuses schema_registry.user and its password ({0})")]
    Credentials(StatusCode),
    #[error("it answers {0}")]
    Status(StatusCode),
    #[error("it answers {0}, and not as a schema registry does: is the address right?")]
    NoRegistry(StatusCode),
}

impl SchemaRegistry {
    /// The registry of these settings; `None` if they name none. Does not connect.
    pub fn new(config: &SchemaRegistryConfig) -> Result<Option<Self>, ConfigError> {
        let Some(url) = &config.url else { return Ok(None) };
        let invalid = |reason: String| ConfigError::invalid(URL_SETTING, reason);
        let parsed = Url::parse(url).map_err(|error| invalid(error.to_string()))?;
        if !matches!(parsed.scheme(), "http" | "https") {
            return Err(invalid(
                "expected an address that begins with http:// or https://".into(),
            ));
        }
        if !parsed.username().is_empty() || parsed.password().is_some() {
            let reason = "user and password belong in schema_registry.user and schema_registry.password_file";
            return Err(invalid(reason.into()));
        }
        let http = loopback::client(url).timeout(REQUEST_TIMEOUT).build();
        Ok(Some(Self {
            url: url.trim_end_matches('/').to_owned(),
            user: config.user.clone(),
            password: config.read_password()?,
            http: http.map_err(|error| invalid(error.to_string()))?,
            unknown: Mutex::default(),
            failing: Mutex::default(),
        }))
    }

    /// Lets `schemas` learn what the registry knows of the ids in the payloads. Returns once it has answered, or once
    /// `is_over` says that nobody waits any more.
    pub async fn complete<'a>(
        &self,
        schemas: &WriterSchemas,
        payloads: impl Iterator<Item = Option<&'a [u8]>>,
        is_over: impl Fn() -> bool + Sync,
    ) {
        let mut ids = schemas.unknown_ids(payloads);
        let is_open = |unknown: &Unknown| unknown.may_lag() || unknown.is_due();
        ids.retain(|id| self.unknown().get(id).is_none_or(is_open));
        if ids.len() > IDS_MAX {
            let ids = ids.len();
            tracing::warn!(
                ids,
                "a batch names more than {IDS_MAX} ids of schemas that are not known: the others are taken for random bytes"
            );
        }
        ids.truncate(IDS_MAX);
        while let Some(lagging) = self.teach(schemas, ids, &is_over).await
            && !lagging.is_empty()
        {
            ids = lagging;
            tokio::time::sleep(LAG_INTERVAL).await;
        }
    }

    /// Why it does not answer, if it has not for at least `time`.
    pub fn failing_for(&self, time: Duration) -> Option<String> {
        let failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, why) = failing.as_ref()?;
        (since.elapsed() >= time).then(|| format!("{URL_SETTING} = {}: {why}", self.url))
    }

    /// Asks about each id that is due; returns those that the registry does not know yet, or `None` if nobody waits any
    /// more.
    async fn teach(
        &self,
        schemas: &WriterSchemas,
        ids: Vec<u32>,
        is_over: &(impl Fn() -> bool + Sync),
    ) -> Option<Vec<u32>> {
        let mut lagging = Vec::new();
        for id in ids {
            if self.unknown().get(&id).is_none_or(Unknown::is_due) {
                let registered = self.ask_patiently(id, is_over).await?;
                if let Some(registered) = &registered {
                    tracing::info!(id, "learned a schema of the registry");
                    schemas.learn(id, registered.schema());
                }
                self.remember(id, registered.is_some());
            }
            if self.unknown().get(&id).is_some_and(Unknown::may_lag) {
                lagging.push(id);
            }
        }
        Some(lagging)
    }

    async fn ask_patiently(&self, id: u32, is_over: &(impl Fn() -> bool + Sync)) -> Option<Option<Registered>> {
        let mut backoff = Backoff::default();
        while !is_over() {
            let answer = self.ask(id).await;
            self.note(answer.as_ref().err());
            match answer {
                Ok(answer) => return Some(answer),
                Err(error) => {
                    let wait = backoff.next_wait();
                    tracing::warn!(id, url = self.url, %error, wait_ms = wait.as_millis() as u64,
                        "the schema registry does not answer, retrying");
                    tokio::time::sleep(wait).await;
                }
            }
        }
        // Whoever else waits says so again.
        self.note(None);
        None
    }

    /// What the registry knows of an id; `None` if nothing.
    async fn ask(&self, id: u32) -> Result<Option<Registered>, AskError> {
        let mut request = self.http.get(format!("{}/schemas/ids/{id}", self.url));
        if !self.user.is_empty() {
            request = request.basic_auth(&self.user, Some(&self.password));
        }
        let answer = request.header("accept", MEDIA_TYPE).send().await?;
        match answer.status() {
            status @ StatusCode::OK => Ok(Some(read(answer).await?.ok_or(AskError::NoRegistry(status))?)),
            status @ StatusCode::NOT_FOUND => match read::<Refusal>(answer).await? {
                Some(refusal) if refusal.error_code == NO_SUCH_SCHEMA => Ok(None),
                _ => Err(AskError::NoRegistry(status)),
            },
            status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => Err(AskError::Credentials(status)),
            status => Err(AskError::Status(status)),
        }
    }

    fn note(&self, error: Option<&AskError>) {
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        let since =
            |failing: &Option<(Instant, String)>| failing.as_ref().map_or_else(Instant::now, |(since, _)| *since);
        *failing = error.map(|error| (since(&failing), error.to_string()));
    }

    fn remember(&self, id: u32, is_known: bool) {
        let mut unknown = self.unknown();
        if is_known {
            unknown.remove(&id);
            return;
        }
        if unknown.len() >= UNKNOWN_MAX {
            unknown.clear();
        }
        let asked = Instant::now();
        unknown.entry(id).or_insert(Unknown { since: asked, asked }).asked = asked;
    }

    fn unknown(&self) -> MutexGuard<'_, HashMap<u32, Unknown>> {
        self.unknown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The body of an answer; `None` if it is something else, or too long.
async fn read<T: DeserializeOwned>(mut answer: Response) -> reqwest::Result<Option<T>> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        body.extend_from_slice(&chunk);
        if body.len() > ANSWER_BYTES_MAX {
            return Ok(None);
        }
    }
    Ok(serde_json::from_slice(&body).ok())
}
