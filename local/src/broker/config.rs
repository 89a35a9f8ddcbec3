//! The broker's configuration files, with the reason beside each setting that is not Kafka's default.

use super::{Broker, RECORDS};

/// Largest record batch the broker takes. Above the size limit of the pipeline, so that an oversized record reaches the
/// pipeline and ends among the rejected records, where it can be seen, instead of failing in its producer only.
pub const MESSAGE_BYTES_MAX: &str = "8388608";

/// How long the log keeps records: long enough to rebuild the tables of a week.
const RETENTION_HOURS: u32 = 7 * 24;

/// `server.properties`.
pub(super) fn server_properties(broker: &Broker) -> String {
    let Broker {
        port, controller_port, ..
    } = broker;
    format!(
        "\
# Written by horolog at every start.
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={RECORDS}

# One node: internal topics have one replica, and few partitions so that a start is quick.
default.replication.factor=1
min.insync.replicas=1
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1

# A misspelt topic is an error, not a new topic.
auto.create.topics.enable=false
# The stages of one machine join within moments of each other; waiting for more members only delays the first answer.
group.initial.rebalance.delay.ms=0
# After a kill a new start waits until the session of the old registration is over (default 9 s).
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
# A dead producer's transaction is aborted soon after its time-out (default: a look every 10 s).
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000

# An oversized record is to reach the pipeline, which rejects it where it can be seen.
message.max.bytes={MESSAGE_BYTES_MAX}
replica.fetch.max.bytes={MESSAGE_BYTES_MAX}
log.retention.hours={RETENTION_HOURS}
# One copy: a power cut loses what was not flushed, at the most a second of records. Without the second setting Kafka
# looks at the first only once, soon after its start.
log.flush.interval.ms=500
log.flush.scheduler.interval.ms=500

# A small machine.
num.network.threads=2
num.io.threads=4
num.recovery.threads.per.data.dir=1
log.cleaner.dedupe.buffer.size=16777216
log.segment.bytes=134217728
"
    )
}

/// `log4j2.xml`: warnings, and the line that says that it started.
pub(super) const LOG_CONFIGURATION: &str = r#"<Configuration status="WARN">
  <Appenders>
    <Console name="out" target="SYSTEM_OUT"><PatternLayout pattern="%d{ISO8601} %p %m (%c)%n%throwable"/></Console>
  </Appenders>
  <Loggers>
    <Logger name="kafka.server.KafkaRaftServer" level="INFO"/>
    <Root level="WARN"><AppenderRef ref="out"/></Root>
  </Loggers>
</Configuration>
"#;
