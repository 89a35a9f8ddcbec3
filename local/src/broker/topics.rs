//! Whether the broker answers, and the topics it must have.
//!
//! An open port and "Server started" do not mean ready: the first metadata requests may still fail. So both functions
//! ask the broker itself. Existing topics are left as they are.

use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

/// One request to the broker.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause between attempts.
const RETRY_INTERVAL: Duration = Duration::from_millis(200);

/// A topic that must exist.
#[derive(Debug, Clone, Copy)]
pub struct Topic<'a> {
    /// Its name.
    pub name: &'a str,
    /// How many partitions to create it with.
    pub partitions: i32,
}

/// Why topics do not exist.
#[derive(Debug, thiserror::Error)]
pub enum TopicError {
    /// The client could not be made.
    #[error("kafka client: {0}")]
    Client(#[from] KafkaError),
    /// The broker refused.
    #[error("cannot create the topic {topic}: {code}")]
    Refused {
        /// The topic.
        topic: String,
        /// Kafka's code.
        code: RDKafkaErrorCode,
    },
    /// It took too long.
    #[error("the topics {topics} were still missing after {seconds} s: {last}")]
    Deadline {
        /// The topics.
        topics: String,
        /// How long it was tried.
        seconds: u64,
        /// The last error.
        last: String,
    },
}

/// Whether the broker answers a metadata request. Blocks for a second at most.
pub fn is_ready(bootstrap: &str) -> bool {
    let consumer: Result<BaseConsumer, _> = client_config(bootstrap).create();
    consumer.is_ok_and(|consumer| {
        consumer
            .fetch_metadata(None, Duration::from_secs(1))
            .is_ok_and(|metadata| !metadata.brokers().is_empty())
    })
}

/// Creates the missing topics and waits until every partition of all has a leader.
pub async fn ensure_topics(bootstrap: &str, topics: &[Topic<'_>], deadline: Duration) -> Result<(), TopicError> {
    let admin: AdminClient<DefaultClientContext> = client_config(bootstrap).create()?;
    let end = Instant::now() + deadline;
    loop {
        let last = match create(&admin, topics).await? {
            Ok(()) => match leaders(&admin, topics) {
                Ok(()) => return Ok(()),
                Err(reason) => reason,
            },
            Err(reason) => reason,
        };
        if Instant::now() >= end {
            let topics = topics.iter().map(|topic| topic.name).collect::<Vec<_>>().join(", ");
            return Err(TopicError::Deadline {
                topics,
                seconds: deadline.as_secs(),
                last,
            });
        }
        tokio::time::sleep(RETRY_INTERVAL).await;
    }
}

fn client_config(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap)
        .set("socket.timeout.ms", "5000");
    config
}

/// The inner error is worth another attempt, the outer one is not.
async fn create(
    admin: &AdminClient<DefaultClientContext>,
    topics: &[Topic<'_>],
) -> Result<Result<(), String>, TopicError> {
    let wanted: Vec<NewTopic<'_>> = topics
        .iter()
        .map(|topic| NewTopic::new(topic.name, topic.partitions, TopicReplication::Fixed(1)))
        .collect();
    let options = AdminOptions::new()
        .operation_timeout(Some(REQUEST_TIMEOUT))
        .request_timeout(Some(REQUEST_TIMEOUT));
    let results = match admin.create_topics(&wanted, &options).await {
        Ok(results) => results,
        Err(error) => return Ok(Err(error.to_string())),
    };
    for result in results {
        match result {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((
                topic,
                code @ (RDKafkaErrorCode::InvalidTopic
                | RDKafkaErrorCode::InvalidPartitions
                | RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::PolicyViolation),
            )) => return Err(TopicError::Refused { topic, code }),
            Err((topic, code)) => return Ok(Err(format!("{topic}: {code}"))),
        }
    }
    Ok(Ok(()))
}

fn leaders(admin: &AdminClient<DefaultClientContext>, topics: &[Topic<'_>]) -> Result<(), String> {
    let metadata = admin
        .inner()
        .fetch_metadata(None, REQUEST_TIMEOUT)
        .map_err(|error| error.to_string())?;
    for topic in topics {
        let found = metadata.topics().iter().find(|found| found.name() == topic.name);
        let led = found.is_some_and(|found| {
            !found.partitions().is_empty() && found.partitions().iter().all(|partition| partition.leader() >= 0)
        });
        if !led {
            return Err(format!("{} has partitions without a leader", topic.name));
        }
    }
    Ok(())
}
