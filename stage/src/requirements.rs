//! What a stage needs before it joins its group: tables that agree with its settings, and topics that keep every record
//! until it is read.
//!
//! Enters: the configuration. Leaves: what the protocol needs to know from the servers (life of a lease, identity of
//! the cluster), or why the stage cannot run, with the setting to change. Never changes anything.

use std::sync::Arc;
use std::time::Duration;

use horolog_schemas::migrate::stated::LEASE_S;

use crate::cleanup_policy::{self, CLEANUP_POLICY, COMPACT};
use crate::ledger;
use crate::probe::Probe;
use crate::run_options::{RunError, RunOptions};
use crate::store::{Store, StoreError, answered};

/// Checks that the tables agree with the settings; returns the life of a lease by their constraints.
pub async fn require_lease(store: &Store, options: &RunOptions) -> Result<Duration, RunError> {
    let refused = |reason: String| RunError::ClickHouse {
        url: options.clickhouse_url.clone(),
        reason,
    };
    match answered(store.quorum_fits()).await {
        Ok(true) => (),
        Ok(false) => return Err(RunError::Quorum),
        Err(error) => return Err(refused(error.to_string())),
    }
    let lease_s = answered(store.lease_s())
        .await
        .map_err(|error| refused(error.to_string()))?;
    options.delivery.check_lease(lease_s)?;
    Ok(Duration::from_secs(lease_s))
}

impl Store {
    /// Whether `clickhouse.quorum` is set exactly if the tables are replicated.
    pub async fn quorum_fits(&self) -> Result<bool, StoreError> {
        let query =
            "select engine like 'Replicated%' from system.tables where database = currentDatabase() and name = ?";
        let replicated = self.client.query(query).bind(ledger::TABLE).fetch_one::<u8>().await;
        Ok((replicated? != 0) == self.quorum)
    }

    /// Life of a lease by the tables' constraint, seconds.
    async fn lease_s(&self) -> Result<u64, StoreError> {
        let query = format!("select {LEASE_S} from system.tables where database = currentDatabase() and name = ?");
        let lease = self.client.query(&query).bind(ledger::TABLE).fetch_one::<u64>();
        lease.await.map_err(StoreError::from)
    }
}

/// Checks that all topics exist and keep their records; returns the cluster's identifier, which is part of every token.
pub async fn require_topics(probe: Arc<Probe>, options: &RunOptions) -> Result<String, RunError> {
    let (topics, bootstrap) = (options.topics.clone(), options.kafka.bootstrap.clone());
    let asked = tokio::task::spawn_blocking(move || {
        for (topic, setting) in topics {
            let partitions = probe.partition_count(&topic).map_err(|error| RunError::Kafka {
                bootstrap: bootstrap.clone(),
                why: probe.why(&error),
            })?;
            if partitions == 0 {
                return Err(RunError::Topic {
                    setting,
                    topic,
                    bootstrap,
                });
            }
        }
        probe.cluster_id().ok_or(RunError::ClusterId { bootstrap })
    });
    let cluster_id = asked.await.map_err(|_| RunError::Panic)??;
    for (topic, setting) in &options.topics {
        require_all_records(topic, setting, options).await?;
    }
    Ok(cluster_id)
}

/// A compacted topic silently loses records from its middle.
async fn require_all_records(topic: &str, setting: &'static str, options: &RunOptions) -> Result<(), RunError> {
    match cleanup_policy::of_topic(&options.kafka.client_config(), topic).await {
        Ok(Some(policy)) if policy.split(',').any(|part| part.trim() == COMPACT) => Err(RunError::Compacted {
            setting,
            topic: topic.to_owned(),
            policy,
        }),
        Ok(Some(_)) => Ok(()),
        // Reading a topic and reading its configuration are separate permissions.
        Ok(None) => {
            tracing::warn!(
                topic,
                "the broker does not report the topic's {CLEANUP_POLICY}: the topic must not be compacted"
            );
            Ok(())
        }
        Err(error) => {
            tracing::warn!(topic, %error, "cannot read the topic's {CLEANUP_POLICY}: the topic must not be compacted");
            Ok(())
        }
    }
}
