//! How a topic forgets records: what its `cleanup.policy` is, as the broker tells it. Never changes it.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::KafkaResult;

/// The topic's setting.
pub const CLEANUP_POLICY: &str = "cleanup.policy";
/// Its value where the newest record of each key is kept, and older ones vanish.
pub const COMPACT: &str = "compact";
/// How long the broker may take to tell.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The policy of a topic; none where that may not be asked.
pub async fn of_topic(config: &ClientConfig, topic: &str) -> KafkaResult<Option<String>> {
    let admin: AdminClient<DefaultClientContext> = config.create()?;
    let timeout = AdminOptions::new().request_timeout(Some(REQUEST_TIMEOUT));
    let described = admin
        .describe_configs([&ResourceSpecifier::Topic(topic)], &timeout)
        .await?;
    let policy = |described: &ConfigResource| described.get(CLEANUP_POLICY)?.value.clone();
    Ok(described.iter().flatten().find_map(policy))
}
