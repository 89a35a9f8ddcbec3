//! The system under test: a new local stack, a running one, or any Kafka, ClickHouse and query API.
//!
//! Enters: options. Leaves: a [`Target`] that responds, has the topics and is migrated: anything else is refused before
//! the first record. A stack started here is removed at the end, also after an error.

mod options;

use anyhow::Context;
use horolog_schemas::Kind;
use horolog_schemas::migrate::require_current;

use crate::http;
use crate::local_stack::{LocalStack, Running};
use crate::process::Process;
use crate::producer::{KafkaAddress, Producer};
use crate::store::Store;

pub use options::TargetOptions;

/// The query API to use.
#[derive(Clone)]
pub struct QueryAddress {
    /// `http://host:port`.
    pub url: String,
    /// Sent as a bearer token.
    pub key: Option<String>,
}

/// The processes whose resource use is measured.
#[derive(Debug, Clone)]
pub enum Processes {
    /// Whatever runs in a local stack at the moment.
    OfStack(LocalStack),
    /// A fixed list.
    Fixed(Vec<Process>),
}

/// A system under test.
#[derive(Clone)]
pub struct Target {
    /// Kafka.
    pub kafka: KafkaAddress,
    /// ClickHouse.
    pub store: Store,
    /// The query API, if there is one.
    pub query: Option<QueryAddress>,
    /// Its processes.
    pub processes: Processes,
    /// Description for people.
    pub name: String,
    /// The stack to remove at the end, if it was started for this measurement.
    own: Option<LocalStack>,
}

impl Processes {
    /// The processes that run now.
    pub async fn now(&self) -> anyhow::Result<Vec<Process>> {
        match self {
            Self::OfStack(stack) => stack.running_processes().await,
            Self::Fixed(processes) => Ok(processes.clone()),
        }
    }
}

impl Target {
    /// Connects to or starts the target that the options name, and checks that it can be measured.
    pub async fn reach(options: &TargetOptions, environment: &[(String, String)]) -> anyhow::Result<Self> {
        let target = Self::find(options, environment).await?;
        match target.check().await {
            Ok(()) => Ok(target),
            Err(error) => {
                target.leave().await;
                Err(error)
            }
        }
    }

    async fn find(options: &TargetOptions, environment: &[(String, String)]) -> anyhow::Result<Self> {
        if let Some(remote) = options.remote()? {
            return Ok(remote);
        }
        let topics_and_properties = options.kafka_address()?;
        let (stack, own) = match &options.stack {
            Some(data) => (LocalStack::existing(options.horolog.clone(), data)?, false),
            None => {
                let stack = LocalStack::new(options.horolog.clone(), options.data.clone(), options.keep)?;
                (stack.with_environment(environment), true)
            }
        };
        let running = if own {
            eprintln!("starting a local stack");
            match stack.up().await {
                Ok(running) => running,
                Err(error) => {
                    stack.remove().await;
                    return Err(error);
                }
            }
        } else {
            stack.running().await?
        };
        let kafka = KafkaAddress {
            bootstrap: running.status.kafka.bootstrap.clone(),
            ..topics_and_properties
        };
        Ok(Self::of_stack(stack, &running, own, kafka, options.query_key.clone()))
    }

    fn of_stack(
        stack: LocalStack,
        running: &Running,
        own: bool,
        kafka: KafkaAddress,
        query_key: Option<String>,
    ) -> Self {
        Self {
            kafka,
            store: running.store.clone(),
            query: Some(QueryAddress {
                url: running.status.query.url.clone(),
                key: query_key.or_else(|| running.load_tester_key()),
            }),
            processes: Processes::OfStack(stack.clone()),
            name: if own {
                "a local stack of its own"
            } else {
                "a running local stack"
            }
            .to_owned(),
            own: own.then_some(stack),
        }
    }

    /// A stack that somebody else started and will stop. Its query API is not used.
    pub fn of_running(stack: &LocalStack, running: &Running) -> Self {
        Self {
            kafka: KafkaAddress::at(&running.status.kafka.bootstrap),
            store: running.store.clone(),
            query: None,
            processes: Processes::OfStack(stack.clone()),
            name: "a running local stack".to_owned(),
            own: None,
        }
    }

    /// Its local stack, if it is one.
    pub fn stack(&self) -> Option<&LocalStack> {
        match &self.processes {
            Processes::OfStack(stack) => Some(stack),
            Processes::Fixed(_) => None,
        }
    }

    async fn check(&self) -> anyhow::Result<()> {
        let address = self.kafka.clone();
        tokio::task::spawn_blocking(move || {
            Producer::connect(&address)
                .context("--kafka-property")?
                .check_topics(&Kind::ALL)
                .map_err(anyhow::Error::from)
        })
        .await??;
        require_current(self.store.client())
            .await
            .context("the target is not migrated; run `horolog-migrate up` of this release on it (--clickhouse-url)")?;
        if let Some(query) = &self.query {
            let ready = http::builder()
                .build()?
                .get(format!("{}/readyz", query.url))
                .send()
                .await;
            ready
                .and_then(reqwest::Response::error_for_status)
                .with_context(|| format!("the query API at {} is not ready (--query-url)", query.url))?;
        }
        Ok(())
    }

    /// Removes the stack if it was started for this measurement.
    pub async fn leave(&self) {
        if let Some(stack) = &self.own {
            stack.remove().await;
        }
    }
}
