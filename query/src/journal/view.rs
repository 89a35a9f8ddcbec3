//! The current state of a journal: the newest value of each key.
//!
//! Enters: the log's records in order. Leaves: values by key, each with the offset that wrote it. Guarantees: a record
//! seen before changes nothing. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;

/// One record of the log.
#[derive(Debug, Clone)]
pub struct Record {
    /// Its offset.
    pub offset: i64,
    /// Its key.
    pub key: String,
    /// Its value; `None` deletes the key.
    pub value: Option<Value>,
}

/// The newest value of a key.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The value.
    pub value: Arc<Value>,
    /// The offset of the record that wrote it; larger than that of every earlier value of the key.
    pub offset: i64,
}

impl Entry {
    /// The value as what it is of.
    pub fn parsed<T: DeserializeOwned>(&self) -> serde_json::Result<T> {
        T::deserialize(self.value.as_ref())
    }
}

/// The newest value of each key.
#[derive(Debug, Default)]
pub struct View {
    entries: BTreeMap<String, Entry>,
    next: i64,
}

impl View {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// The keys with this prefix, in order.
    pub fn beginning<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a Entry)> {
        self.entries
            .range(prefix.to_owned()..)
            .take_while(move |(key, _)| key.starts_with(prefix))
            .map(|(key, entry)| (key.as_str(), entry))
    }

    /// The keys with this prefix, without it, each with the offset that wrote its value.
    pub fn versions(&self, prefix: &str) -> Vec<(String, i64)> {
        let entries = self.beginning(prefix);
        entries
            .map(|(key, entry)| (key[prefix.len()..].to_owned(), entry.offset))
            .collect()
    }

    /// The offset after the last record seen.
    pub fn next(&self) -> i64 {
        self.next
    }

    /// Applies one record; false if it was seen before.
    pub(super) fn apply(&mut self, record: Record) -> bool {
        if record.offset < self.next {
            return false;
        }
        self.next = record.offset + 1;
        match record.value {
            None => {
                self.entries.remove(&record.key);
            }
            Some(value) => {
                let entry = Entry {
                    value: Arc::new(value),
                    offset: record.offset,
                };
                self.entries.insert(record.key, entry);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(offset: i64, key: &str, value: Option<i64>) -> Record {
        Record {
            offset,
            key: key.to_owned(),
            value: value.map(Value::from),
        }
    }

    proptest! {
        /// Two readers apply the same log to one view, each in order: the follower, and a writer that catches up.
        #[test]
        fn two_readers_of_one_log_are_as_good_as_one(
            log in prop::collection::vec(("[ab]/[0-3]", prop::option::of(0i64..100)), 0..40),
            turns in prop::collection::vec(any::<bool>(), 0..100),
        ) {
            let records: Vec<_> = log.iter().enumerate().map(|(offset, (key, value))| record(offset as i64, key, *value)).collect();
            let (mut one, mut both) = (View::default(), View::default());
            records.iter().cloned().for_each(|record| { one.apply(record); });
            let mut readers = [records.iter(), records.iter()];
            for turn in turns {
                if let Some(record) = readers[usize::from(turn)].next() {
                    both.apply(record.clone());
                }
            }
            readers.into_iter().flatten().cloned().for_each(|record| { both.apply(record); });
            let all = |view: &View| view.beginning("").map(|(key, entry)| (key.to_owned(), entry.value.clone(), entry.offset)).collect::<Vec<_>>();
            prop_assert_eq!(all(&one), all(&both));
            prop_assert_eq!(one.beginning("a/").count(), all(&one).iter().filter(|(key, ..)| key.starts_with("a/")).count());
        }
    }
}
