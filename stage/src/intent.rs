//! The metadata of a commit: the life of the log that it belongs to and, if a batch is in progress, the batch.
//!
//! The metadata travels in the group's offset commit (Kafka protocol, OffsetCommit, `committed_metadata`, at most 4,096
//! bytes by default), so the offset and the intent change together or not at all.

use serde::{Deserialize, Serialize};

use crate::range::RecordMark;

/// Version of the encoding.
const VERSION: u8 = 1;

/// A batch in progress: where its range `[committed offset, end)` ends, and all that it is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Offset after the last record of the batch.
    pub end: i64,
    /// Version of the validation rules.
    #[serde(rename = "rules")]
    pub rules_version: u32,
    /// Watermark of the partition before the batch, ms since 1970; 0 where there is none.
    #[serde(rename = "mark")]
    pub watermark_ms: i64,
    /// Wall clock when the batch began, ms since 1970.
    #[serde(rename = "at")]
    pub at_ms: i64,
    /// Epoch of the partial aggregates, even; 0 before the first rebuild and for a stage without epochs.
    #[serde(rename = "epoch", default, skip_serializing_if = "is_default")]
    pub write_epoch: u32,
    /// Only what is missing of the batch is inserted: its records may be stored under unknown tokens.
    #[serde(default, skip_serializing_if = "is_default")]
    pub fill: bool,
    /// Mark of the last record, by which whoever repeats the batch sees whether the log still has the same records.
    #[serde(default, skip_serializing_if = "is_default")]
    pub tail: Option<RecordMark>,
}

/// Defaults are left out to keep the metadata short.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The metadata of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitMetadata {
    v: u8,
    /// Life of the log that the offset belongs to.
    #[serde(rename = "log")]
    pub log_epoch: u32,
    /// The batch in progress.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub intent: Option<Intent>,
}

/// The group's commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// The offset.
    pub offset: i64,
    /// Its metadata; `None` after an operator's offset reset.
    pub metadata: Option<CommitMetadata>,
}

impl Committed {
    /// As if no batch were in progress.
    pub fn without_intent(self) -> Self {
        let without = |metadata| CommitMetadata {
            intent: None,
            ..metadata
        };
        Self {
            metadata: self.metadata.map(without),
            ..self
        }
    }

    /// The batch in progress.
    pub fn intent(self) -> Option<Intent> {
        self.metadata?.intent
    }
}

/// The metadata is not ours, or of a newer version.
#[derive(Debug, thiserror::Error)]
#[error("the commit's metadata {0:?} is not horolog's: is another consumer using the group of source.group?")]
pub struct ForeignMetadata(String);

impl CommitMetadata {
    /// Metadata of the current version.
    pub fn new(log_epoch: u32, intent: Option<Intent>) -> Self {
        Self {
            v: VERSION,
            log_epoch,
            intent,
        }
    }

    /// As text for the commit.
    pub fn encode(&self) -> String {
        serde_json::json!(self).to_string()
    }

    /// Decodes the metadata of a commit; `None` if there is none, as after an operator's offset reset.
    pub fn decode(text: &str) -> Result<Option<Self>, ForeignMetadata> {
        if text.is_empty() {
            return Ok(None);
        }
        match serde_json::from_str::<Self>(text) {
            Ok(metadata) if metadata.v == VERSION => Ok(Some(metadata)),
            _ => Err(ForeignMetadata(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn round_trips(
            log_epoch: u32, end: i64, rules_version: u32, watermark_ms: i64, at_ms: i64, write_epoch: u32, fill: bool,
            pending: bool, tail: Option<(i64, u64)>,
        ) {
            let tail = tail.map(RecordMark::from);
            let intent = pending.then_some(Intent { end, rules_version, watermark_ms, at_ms, write_epoch, fill, tail });
            let metadata = CommitMetadata::new(log_epoch, intent);
            prop_assert_eq!(CommitMetadata::decode(&metadata.encode()).unwrap(), Some(metadata));
        }

        #[test]
        fn never_panics_on_foreign_text(text: String) {
            drop(CommitMetadata::decode(&text));
        }
    }

    #[test]
    fn stays_readable_for_the_next_version() {
        let text = r#"{"v":1,"log":2,"intent":{"end":100,"rules":1,"mark":0,"at":1700000000000}}"#;
        let intent = Intent {
            end: 100,
            rules_version: 1,
            watermark_ms: 0,
            at_ms: 1_700_000_000_000,
            write_epoch: 0,
            fill: false,
            tail: None,
        };
        assert_eq!(
            CommitMetadata::decode(text).unwrap(),
            Some(CommitMetadata::new(2, Some(intent)))
        );
        assert_eq!(CommitMetadata::new(2, Some(intent)).encode().len(), text.len());
    }
}
