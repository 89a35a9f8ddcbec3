//! Topics of the bed's broker: made, set, deleted and recreated.

use horolog_local::broker::{self, Topic};
use horolog_stage::config::KafkaConfig;
use horolog_stage::probe::Probe;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, NewPartitions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;

use super::{Bed, START_DEADLINE, wait_until};

impl Bed {
    /// Makes a topic and waits until its partitions have leaders.
    pub fn topic(&self, name: &str, partitions: i32) {
        self.block_on(broker::ensure_topics(
            &self.kafka(),
            &[Topic { name, partitions }],
            START_DEADLINE,
        ))
        .unwrap();
    }

    /// Adds partitions to a topic, so that it has `partitions`.
    pub fn add_partitions(&self, topic: &str, partitions: i32) {
        let all = NewPartitions::new(topic, partitions as usize);
        let added = self.block_on(self.admin().create_partitions([&all], &AdminOptions::new()));
        added.unwrap().into_iter().for_each(|result| drop(result.unwrap()));
    }

    /// A client that changes topics and groups.
    pub fn admin(&self) -> AdminClient<DefaultClientContext> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.kafka());
        config.create().unwrap()
    }

    /// A client that asks about the logs and about the commits of a group.
    pub fn probe(&self, group: &str) -> Probe {
        let kafka = KafkaConfig {
            bootstrap: self.kafka(),
            ..KafkaConfig::default()
        };
        Probe::new(&kafka, group).unwrap()
    }

    /// Gives a topic these settings and otherwise the broker's defaults, and waits until the broker applies them.
    pub fn set_topic(&self, topic: &str, settings: &[(&str, &str)]) {
        let (admin, options) = (self.admin(), AdminOptions::new());
        let topic = ResourceSpecifier::Topic(topic);
        let changed = settings.iter().fold(AlterConfig::new(topic), |changed, (name, value)| {
            changed.set(name, value)
        });
        let altered = self.block_on(admin.alter_configs([&changed], &options)).unwrap();
        altered.into_iter().for_each(|result| drop(result.unwrap()));
        wait_until(START_DEADLINE, "the broker tells the new settings", || {
            let described = self.block_on(admin.describe_configs([&topic], &options)).unwrap();
            let described = described[0].as_ref().unwrap();
            settings
                .iter()
                .all(|(name, value)| described.get(name).unwrap().value.as_deref() == Some(*value))
        });
    }

    /// Deletes and recreates a topic.
    pub fn recreate_topic(&self, name: &str, partitions: i32) {
        let admin = self.admin();
        let deleted = self
            .block_on(admin.delete_topics(&[name], &AdminOptions::new()))
            .unwrap();
        deleted.into_iter().for_each(|result| drop(result.unwrap()));
        // The broker learns of it after the controller: until then it shows the old topic, and would accept records for
        // it.
        wait_until(START_DEADLINE, "the topic is gone", || {
            let metadata = admin.inner().fetch_metadata(None, START_DEADLINE);
            metadata.is_ok_and(|metadata| metadata.topics().iter().all(|topic| topic.name() != name))
        });
        // The name is free again only when the broker has released it.
        wait_until(START_DEADLINE, "the topic can be recreated", || {
            let made = std::panic::AssertUnwindSafe(|| self.topic(name, partitions));
            std::panic::catch_unwind(made).is_ok()
        });
    }
}
