//! The log as an operator's command sees it: questions, and reading a partition from one offset to another. Never joins
//! the group, never commits. All calls block.

use std::time::{Duration, Instant};

use horolog_stage::config::KafkaConfig;
use horolog_stage::connection::Connection;
use horolog_stage::probe::Probe;
use horolog_stage::range::{Filling, PartitionId, Range, raw_record};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};

use crate::cut::Position;
use crate::tool_error::ToolError;

/// How long the broker may send nothing in the middle of a partition.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Clients of the broker.
pub struct Broker {
    /// For questions.
    pub probe: Probe,
    consumer: BaseConsumer<Connection>,
}

impl Broker {
    /// A client that looks at the offsets of `group`.
    pub fn new(config: &KafkaConfig, group: &str) -> Result<Self, KafkaError> {
        let mut client = config.consumer_config(group);
        client.set("enable.partition.eof", "true");
        Ok(Self {
            probe: Probe::new(config, group)?,
            consumer: client.create_with_context(Connection::default())?,
        })
    }

    /// Hands over the records of `log` from `start` on, before `end`. Offsets without a record are skipped.
    pub fn read(&self, log: &PartitionId, start: Position, end: i64) -> Result<Range, ToolError> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&log.topic, log.partition, Offset::Offset(start.offset))?;
        self.consumer.assign(&list)?;
        let mut filling = Filling::new(start.offset);
        let filled = self.fill(&mut filling, log, end);
        self.consumer.unassign()?;
        filled?;
        Ok(filling.close(log, start.log_epoch, end))
    }

    fn fill(&self, filling: &mut Filling, log: &PartitionId, end: i64) -> Result<(), ToolError> {
        let mut heard = Instant::now();
        let mut last_error = None;
        while filling.next() < end {
            match self.consumer.poll(Duration::from_millis(100)) {
                None => (),
                // Transaction markers, which are never handed out, may follow the last record.
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(()),
                Some(Err(KafkaError::MessageConsumption(
                    RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange,
                ))) => {
                    let next = filling.next();
                    return Err(ToolError::Refused(format!(
                        "the log no longer has offset {next} of {log}"
                    )));
                }
                // librdkafka reconnects by itself.
                Some(Err(error @ KafkaError::MessageConsumption(_))) => last_error = Some(error),
                Some(Err(error)) => return Err(error.into()),
                Some(Ok(message)) if message.offset() >= end => return Ok(()),
                Some(Ok(message)) => {
                    heard = Instant::now();
                    filling.push(&raw_record(&message), heard);
                }
            }
            if heard.elapsed() > SILENCE_MAX {
                let silent = || {
                    let next = filling.next();
                    ToolError::Refused(format!("kafka: no records arrive from {log} from offset {next} on"))
                };
                return Err(last_error.map_or_else(silent, ToolError::from));
            }
        }
        Ok(())
    }
}
