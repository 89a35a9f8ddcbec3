//! The key of an hourly aggregate, as bytes that compare like the table's order key.
//!
//! In: the key columns of a record and its hour. Out: one byte string, so that hashing, comparing and sorting a key
//! each work on contiguous memory; and the columns again. Equal keys give equal bytes, different keys different ones.
//! Leaves out `revised_at` and `epoch`: within a batch they follow from the hour.

use std::borrow::Cow;

use horolog_schemas::MetricType;
use serde::{Deserialize, Serialize};

/// Seconds in an hour.
pub const HOUR_S: u32 = 3_600;

const HOUR_US: i64 = HOUR_S as i64 * 1_000_000;

/// Start of the hour of a time in microseconds, seconds since 1970. Validation keeps times between 2000 and 2100, so it
/// fits.
pub fn hour_of(time_us: i64) -> u32 {
    (time_us.div_euclid(HOUR_US) * i64::from(HOUR_S)) as u32
}

/// Ends a text in a key; the lowest byte, so that a text sorts before those that it is a prefix of.
const END: u8 = 0;
/// Precedes an escaped byte, since texts may contain [`END`] and this byte itself.
const ESCAPE: u8 = 1;

/// The number of a metric type in keys and in the table: its position among [`MetricType::ALL`], counted from 1.
pub const fn type_number(metric_type: MetricType) -> u8 {
    metric_type as u8 + 1
}

/// The columns of a key, in the order in which they compare.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key<'a> {
    /// Who the samples belong to.
    pub tenant_id: Cow<'a, str>,
    /// What was measured.
    pub metric_name: Cow<'a, str>,
    /// Start of the hour, seconds since 1970.
    pub hour: u32,
    /// The service that emitted them.
    pub service_id: Cow<'a, str>,
    /// The plugin inside the service.
    pub plugin_id: Cow<'a, str>,
    /// Production, staging, …
    pub environment: Cow<'a, str>,
    /// The team that owns the service.
    pub team_id: Cow<'a, str>,
    /// Kind of metric, by [`type_number`].
    pub metric_type: u8,
    /// Unit of the values.
    pub unit: Cow<'a, str>,
}

impl Key<'_> {
    /// Appends the key's bytes.
    #[inline]
    pub fn encode(&self, into: &mut Vec<u8>) {
        push_text(into, &self.tenant_id);
        push_text(into, &self.metric_name);
        into.extend_from_slice(&self.hour.to_be_bytes());
        push_text(into, &self.service_id);
        push_text(into, &self.plugin_id);
        push_text(into, &self.environment);
        push_text(into, &self.team_id);
        into.push(self.metric_type);
        push_text(into, &self.unit);
    }
}

impl<'a> Key<'a> {
    /// The columns of bytes that [`Key::encode`] made; `None` for other bytes.
    pub fn decode(mut bytes: &'a [u8]) -> Option<Self> {
        let bytes = &mut bytes;
        let key = Self {
            tenant_id: take_text(bytes)?,
            metric_name: take_text(bytes)?,
            hour: u32::from_be_bytes(*bytes.split_off(..4)?.first_chunk()?),
            service_id: take_text(bytes)?,
            plugin_id: take_text(bytes)?,
            environment: take_text(bytes)?,
            team_id: take_text(bytes)?,
            metric_type: *bytes.split_off_first()?,
            unit: take_text(bytes)?,
        };
        bytes.is_empty().then_some(key)
    }
}

#[inline]
fn push_text(into: &mut Vec<u8>, text: &str) {
    if text.bytes().all(|byte| byte > ESCAPE) {
        into.extend_from_slice(text.as_bytes());
    } else {
        for byte in text.bytes() {
            match byte {
                END | ESCAPE => into.extend_from_slice(&[ESCAPE, byte + 1]),
                _ => into.push(byte),
            }
        }
    }
    into.push(END);
}

fn take_text<'a>(bytes: &mut &'a [u8]) -> Option<Cow<'a, str>> {
    let end = bytes.iter().position(|byte| *byte == END)?;
    let text = bytes.split_off(..end)?;
    bytes.split_off_first()?;
    if !text.contains(&ESCAPE) {
        return std::str::from_utf8(text).ok().map(Cow::Borrowed);
    }
    let mut unescaped = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        unescaped.push(if *byte == ESCAPE {
            rest.next()?.checked_sub(1)?
        } else {
            *byte
        });
    }
    String::from_utf8(unescaped).ok().map(Cow::Owned)
}

/// Encoded keys, one after the other in one allocation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keys {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Keys {
    /// Appends an encoded key.
    #[inline]
    pub fn push(&mut self, key: &[u8]) {
        self.bytes.extend_from_slice(key);
        self.ends.push(self.bytes.len());
    }

    /// The key at a position, encoded.
    #[inline]
    pub fn get(&self, position: usize) -> &[u8] {
        let start = if position == 0 { 0 } else { self.ends[position - 1] };
        &self.bytes[start..self.ends[position]]
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The keys in the order they were pushed.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        (0..self.len()).map(|position| self.get(position))
    }

    /// Removes all, keeping the allocation.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text() -> impl Strategy<Value = Cow<'static, str>> {
        prop::collection::vec(
            prop::sample::select(vec!['\0', '\u{1}', '\u{2}', 'a', 'b', 'ß', '\u{10ffff}']),
            0..4,
        )
        .prop_map(|chars| Cow::Owned(chars.into_iter().collect()))
    }

    fn key() -> impl Strategy<Value = Key<'static>> {
        let texts = (text(), text(), text(), text(), text(), text(), text());
        (texts, prop::sample::select(vec![0, HOUR_S, u32::MAX]), 1..=3u8).prop_map(
            |((tenant_id, metric_name, service_id, plugin_id, environment, team_id, unit), hour, metric_type)| Key {
                tenant_id,
                metric_name,
                hour,
                service_id,
                plugin_id,
                environment,
                team_id,
                metric_type,
                unit,
            },
        )
    }

    fn encoded(key: &Key<'_>) -> Vec<u8> {
        let mut bytes = Vec::new();
        key.encode(&mut bytes);
        bytes
    }

    proptest! {
        #[test]
        fn a_key_survives_encoding(key in key()) {
            let bytes = encoded(&key);
            prop_assert_eq!(Key::decode(&bytes), Some(key));
        }

        #[test]
        fn bytes_compare_as_the_columns_do(a in key(), b in key()) {
            prop_assert_eq!(encoded(&a).cmp(&encoded(&b)), a.cmp(&b));
        }

        #[test]
        fn other_bytes_are_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Some(key) = Key::decode(&bytes) {
                let again = encoded(&key);
                prop_assert_eq!(Key::decode(&again), Some(key));
            }
        }
    }
}
