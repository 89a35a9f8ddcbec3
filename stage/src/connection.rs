//! What librdkafka reports about its connections. A failed request says only that it failed, so the last report is kept
//! as the reason.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// How long to wait for reports about a failed request.
const WORDS_TIMEOUT: Duration = Duration::from_millis(200);

/// Logs the reports and keeps the last one.
#[derive(Debug, Default)]
pub struct Connection {
    last_word: Mutex<Option<String>>,
}

impl Connection {
    /// Why a request failed: its error, and the client's last report about its connections. The client must be polled
    /// for it.
    pub fn why(&self, error: &KafkaError, poll: impl Fn(Duration)) -> String {
        let deadline = Instant::now() + WORDS_TIMEOUT;
        while Instant::now() < deadline {
            poll(WORDS_TIMEOUT);
        }
        match &*self.last_word.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(word) => format!("{error}: {word}"),
            None => error.to_string(),
        }
    }
}

impl ClientContext for Connection {
    fn error(&self, error: KafkaError, reason: &str) {
        match error.rdkafka_error_code() {
            // Expected by whoever reads to the end.
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
