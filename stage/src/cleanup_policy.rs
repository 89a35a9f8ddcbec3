//! The `cleanup.policy` of a topic, as the broker reports it. Never changes it.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::KafkaResult;

/// The topic's setting.
pub const CLEANUP_POLICY: &str = "cleanup.policy";
/// Its value for a log that keeps only the newest record of each key.
pub const COMPACT: &str = "compact";
/// How long the broker may take to tell.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The policy of a topic; `None` if it may not be read.
pub async fn of_topic(config: &ClientConfig, topic: &str) -> KafkaResult<Option<String>> {
    let admin: AdminClient<DefaultClientContext> = config.create()?;
    let timeout = AdminOptions::new().request_timeout(Some(REQUEST_TIMEOUT));
    let described = admin
        .describe_configs([&ResourceSpecifier::Topic(topic)], &timeout)
        .await?;
    let policy = |described: &ConfigResource| described.get(CLEANUP_POLICY)?.value.clone();
    Ok(described.iter().flatten().find_map(policy))
}
