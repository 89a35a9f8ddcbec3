//! What librdkafka says about its connections. A request that fails for one says only that it failed, so the last word is kept.

use std::sync::{Mutex, PoisonError};

use rdkafka::ClientContext;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// Logs what is said, and keeps the last of it.
#[derive(Debug, Default)]
pub(crate) struct Connection {
    last_word: Mutex<Option<String>>,
}

impl Connection {
    /// Why requests fail, such as `Authentication failed`; none where nothing was said.
    pub(crate) fn last_word(&self) -> Option<String> {
        self.last_word.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ClientContext for Connection {
    fn error(&self, error: KafkaError, reason: &str) {
        match error.rdkafka_error_code() {
            // What whoever reads to the end waits for.
            Some(RDKafkaErrorCode::PartitionEOF) => {}
            // Comes after the reason, of each broker.
            Some(RDKafkaErrorCode::AllBrokersDown) => tracing::warn!(reason, "connection to kafka"),
            _ => {
                tracing::warn!(%error, reason, "connection to kafka");
                *self.last_word.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
            }
        }
    }
}

impl ConsumerContext for Connection {}
