//! A small event-sourced state: keys with JSON values in one compacted topic, the same for all processes.
//!
//! Enters: changes decided on the newest state. Leaves: a view that every process follows. Guarantees: a change is
//! decided on all changes before it and written with the acknowledgement of all replicas, or not at all; once
//! [`Journal::update`] returns, this process sees it; others see it as soon as they have read it. It reports if the
//! topic is no longer the one that was read ([`Journal::lost`]), and how long ago its end was seen
//! ([`Journal::unconfirmed_for`]). Holds only what fits into memory: keys, exports, reviews.

mod log;
pub mod projection;
mod view;

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use horolog_stage::cleanup_policy::COMPACT;
use horolog_stage::config::KafkaConfig;
use horolog_stage::retry::Backoff;
use parking_lot::{Mutex, RwLock};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use tokio::sync::watch;

use crate::api::Problem;

pub use log::Change;
use log::{Log, Polled, Reader, is_lost};
pub use view::View;

/// How long a fenced writer starts new attempts: a commit that the broker refuses can look like fencing.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often to ask the broker for the end: it sends nothing to a reader that has reached it.
const CONFIRM_INTERVAL: Duration = Duration::from_secs(15);

/// Why the journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Kafka returned an error.
    #[error("journal {topic}: {source}")]
    Kafka {
        /// The topic.
        topic: String,
        /// The error of the Kafka client.
        source: KafkaError,
    },
    /// The topic does not exist.
    #[error(
        "access.journal_topic = {topic}: the topic does not exist and cannot be created: create it with one partition and cleanup.policy=compact"
    )]
    Topic {
        /// The topic.
        topic: String,
    },
    /// The topic deletes records by age.
    #[error(
        "access.journal_topic = {topic}: cleanup.policy is {policy}, so keys would eventually be deleted: set it to compact"
    )]
    Policy {
        /// The topic.
        topic: String,
        /// Its cleanup policy.
        policy: String,
    },
    /// The topic is not the one that was read before.
    #[error(
        "access.journal_topic = {topic}: the topic was recreated or lost its end, so keys may be accepted that it does not have: \
         restart the service, which reads it from its beginning"
    )]
    Lost {
        /// The topic.
        topic: String,
    },
    /// A thread panicked.
    #[error("the journal's thread ended")]
    Ended,
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError<E> {
    /// `decide` refused it.
    #[error("{0}")]
    Refused(E),
    /// The journal cannot be written.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// The problem that a caller gets.
impl From<UpdateError<Problem>> for Problem {
    fn from(error: UpdateError<Problem>) -> Self {
        match error {
            UpdateError::Refused(problem) => problem,
            UpdateError::Journal(error) => {
                tracing::warn!(%error, "the journal cannot be written");
                Self::LogUnavailable
            }
        }
    }
}

/// The journal.
#[derive(Clone)]
pub struct Journal(Arc<Shared>);

struct Shared {
    log: Log,
    view: RwLock<View>,
    seen: watch::Sender<i64>,
    /// When the view was last known to be up to date.
    confirmed: Mutex<Instant>,
    lost: watch::Sender<bool>,
    /// Writers of one process take turns, so that they do not fence each other.
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Journal {
    /// Reads the topic to its end, and follows it from then on. Creates the topic if it does not exist.
    pub async fn open(kafka: &KafkaConfig, topic: &str) -> Result<Self, JournalError> {
        let log = Log::new(kafka.client_config(), topic);
        let failed = |source| error(topic, source);
        log.ensure().await.map_err(failed)?;
        let waiting = log.clone();
        blocking(move || waiting.wait_for_leader()).await?.map_err(failed)?;
        match log.cleanup_policy().await.map_err(failed)? {
            Some(policy) if policy != COMPACT => {
                let topic = topic.to_owned();
                return Err(JournalError::Policy { topic, policy });
            }
            Some(_) => {}
            None => tracing::warn!(topic, "cannot ask whether the journal's topic is compacted"),
        }
        let journal = Self(Arc::new(Shared {
            log,
            view: RwLock::default(),
            seen: watch::Sender::new(0),
            confirmed: Mutex::new(Instant::now()),
            lost: watch::Sender::new(false),
            turn: Arc::default(),
        }));
        let shared = journal.0.clone();
        let reader = blocking(move || {
            let reader = shared.log.reader(0)?;
            reader.read_to_end(|record| shared.apply(record))?;
            shared.confirm();
            Ok(reader)
        });
        let reader = reader.await?.map_err(failed)?;
        let followed = Arc::downgrade(&journal.0);
        std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || follow(reader, &followed))
            .map_err(|_| JournalError::Ended)?;
        Ok(journal)
    }

    /// Reads the current view.
    pub fn view<T>(&self, look: impl FnOnce(&View) -> T) -> T {
        look(&self.0.view.read())
    }

    /// Changes with the view: the offset after the last record seen.
    pub fn changes(&self) -> watch::Receiver<i64> {
        self.0.seen.subscribe()
    }

    /// How long ago the end of the topic was seen. Changes since then may not be known here.
    pub fn unconfirmed_for(&self) -> Duration {
        let confirmed = self.0.confirmed.lock();
        confirmed.elapsed()
    }

    /// Returns once the topic is no longer the one that was read: recreated, or truncated. The view keeps what it has.
    pub async fn lost(&self) -> JournalError {
        // Cannot fail: the sender lives as long as the journal.
        let _ = self.0.lost.subscribe().wait_for(|lost| *lost).await;
        let topic = self.0.log.topic().to_owned();
        JournalError::Lost { topic }
    }

    /// Decides on the newest state and writes the changes: all, or none if another process wrote meanwhile; then
    /// `decide` is called again. When this returns, the view has the changes.
    pub async fn update<T, E>(
        &self,
        decide: impl Fn(&View) -> Result<(Vec<Change>, T), E> + Send + 'static,
    ) -> Result<T, UpdateError<E>>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        let turn = self.0.turn.clone().lock_owned().await;
        let shared = self.0.clone();
        let update = move || {
            // Held to the end even if the caller disconnects: the next writer would fence this one, and be fenced by
            // it.
            let _turn = turn;
            shared.update(&decide)
        };
        blocking(update).await?
    }
}

impl Shared {
    fn apply(&self, record: view::Record) {
        let mut view = self.view.write();
        if view.apply(record) {
            let next = view.next();
            drop(view);
            self.seen.send_modify(|seen| *seen = next.max(*seen));
        }
    }

    fn confirm(&self) {
        *self.confirmed.lock() = Instant::now();
    }

    fn failed(&self, source: KafkaError) -> JournalError {
        if is_lost(&source) {
            self.lost.send_replace(true);
        }
        error(self.log.topic(), source)
    }

    /// Fetches what comes next, including the end, with a new client if the previous one got no answer. That one may
    /// never get one: librdkafka keeps the leader epoch of a partition, which starts again in a recreated topic.
    fn ask(&self, reader: &mut Reader, is_answered: bool) -> KafkaResult<()> {
        if is_answered {
            return reader.start(self.next());
        }
        *reader = self.log.reader(self.next())?;
        Ok(())
    }

    fn next(&self) -> i64 {
        self.view.read().next()
    }

    fn update<T, E>(&self, decide: &impl Fn(&View) -> Result<(Vec<Change>, T), E>) -> Result<T, UpdateError<E>> {
        // Processes fence each other until one is alone for as long as a commit takes, which is seconds on a busy
        // machine: so they back off exponentially, with jitter.
        let (begun, mut backoff) = (Instant::now(), Backoff::default());
        loop {
            match self.try_update(decide) {
                Ok(decided) => return decided.map_err(UpdateError::Refused),
                Err(source) if begun.elapsed() < PATIENCE && is_fenced(&source) => {
                    std::thread::sleep(backoff.next_wait());
                }
                Err(source) => return Err(self.failed(source).into()),
            }
        }
    }

    /// Nobody else can write between taking the right to write and the commit: what is read in between stays true.
    fn try_update<T, E>(
        &self,
        decide: &impl Fn(&View) -> Result<(Vec<Change>, T), E>,
    ) -> Result<Result<T, E>, KafkaError> {
        // Taking the right to write fences the others, so do the slow part first, to let them finish.
        let reader = self.log.prompt_reader(self.next())?;
        reader.read_to_end(|record| self.apply(record))?;
        let writer = self.log.writer()?;
        reader.start(self.next())?;
        reader.read_to_end(|record| self.apply(record))?;
        let decided = decide(&self.view.read());
        let (changes, result) = match decided {
            Ok(decided) => decided,
            Err(refused) => return Ok(Err(refused)),
        };
        if !changes.is_empty() {
            let last = writer.commit(&changes, self.next())?;
            // The commit is acknowledged shortly before readers see it.
            reader.read_until(|record| self.apply(record), || self.next() > last)?;
        }
        Ok(Ok(result))
    }
}

/// Whether another process took the right to write, in any of the forms in which the client reports that.
fn is_fenced(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{Fenced, InvalidProducerEpoch, ProducerFenced, State};
    match error {
        KafkaError::Transaction(error) => error.is_fatal() || error.txn_requires_abort(),
        error => matches!(
            error.rdkafka_error_code(),
            Some(Fenced | InvalidProducerEpoch | ProducerFenced | State)
        ),
    }
}

fn error(topic: &str, source: KafkaError) -> JournalError {
    let topic = topic.to_owned();
    match source.rdkafka_error_code() {
        Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
            JournalError::Topic { topic }
        }
        _ if is_lost(&source) => JournalError::Lost { topic },
        _ => JournalError::Kafka { topic, source },
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, JournalError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| JournalError::Ended)
}

/// Reads on until the journal is dropped or lost.
fn follow(mut reader: Reader, followed: &Weak<Shared>) {
    let (mut asked, mut is_answered) = (Instant::now(), true);
    while let Some(shared) = followed.upgrade() {
        let polled = if asked.elapsed() < CONFIRM_INTERVAL {
            reader.poll()
        } else {
            asked = Instant::now();
            let begun = shared.ask(&mut reader, std::mem::take(&mut is_answered));
            begun.map(|()| Polled::Nothing)
        };
        is_answered |= matches!(polled, Ok(Polled::Record(_) | Polled::End));
        match polled {
            Ok(Polled::Record(record)) => shared.apply(record),
            Ok(Polled::End) => shared.confirm(),
            Ok(Polled::Nothing) => {}
            Err(source) => {
                let error = shared.failed(source);
                tracing::warn!(%error, "cannot follow the journal");
                if matches!(error, JournalError::Lost { .. }) {
                    return;
                }
            }
        }
    }
}
