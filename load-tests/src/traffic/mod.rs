//! The records of a run, from a seed: what services would send, and what goes wrong when they do.
//!
//! Enters: a [`Mix`], tenant names, a seed, then a time for each record. Leaves: topic, key and payload. The same seed
//! and times give the same bytes. Valid records are generated first, then altered as a network and careless producers
//! would: duplicates, old times, invalid bytes. Fast enough to saturate the pipeline with a fraction of a core. No
//! clock, no I/O.

mod events;
mod mix;
pub mod replay;
mod series;
mod spoil;

use horolog_schemas::Kind;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use events::Events;
pub use mix::{ByteRange, Mix, share};
pub use series::Fleet;

/// A record to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outgoing<'a> {
    /// The kind, which decides the topic.
    pub kind: Kind,
    /// Its key.
    pub key: &'a str,
    /// Its value.
    pub payload: &'a [u8],
    /// Whether the pipeline must reject it.
    pub bad: bool,
}

impl<'a> Outgoing<'a> {
    /// A valid metric sample.
    pub fn metric(key: &'a str, payload: &'a [u8]) -> Self {
        Self {
            kind: Kind::MetricSample,
            key,
            payload,
            bad: false,
        }
    }
}

/// A source of records: a generator or a file.
pub trait Source {
    /// The next record, observed at this time, microseconds since 1970.
    fn next(&mut self, time_us: i64) -> Outgoing<'_>;
}

/// An endless stream of generated records.
pub struct Traffic {
    mix: Mix,
    metrics: Fleet,
    audit: Events,
    random: StdRng,
    last: Last,
}

/// The last record generated.
struct Last {
    kind: Kind,
    key: String,
    payload: Vec<u8>,
    bad: bool,
}

impl Traffic {
    /// Records of the tenants `prefix-0`, `prefix-1`, ….
    pub fn new(mix: &Mix, prefix: &str, seed: u64) -> Self {
        let tenants: Vec<String> = (0..mix.tenants.get())
            .map(|number| format!("{prefix}-{number}"))
            .collect();
        Self {
            mix: mix.clone(),
            metrics: Fleet::of(mix, &tenants, seed),
            audit: Events::new(mix, &tenants, seed),
            random: StdRng::seed_from_u64(seed.wrapping_add(1)),
            last: Last {
                kind: Kind::MetricSample,
                key: String::new(),
                payload: Vec::new(),
                bad: false,
            },
        }
    }

    /// True with this probability. Draws no random number for a share of 0.
    fn happens(&mut self, share: f64) -> bool {
        share > 0.0 && self.random.random::<f64>() < share
    }

    fn make(&mut self, time_us: i64) {
        let disordered = self.happens(self.mix.disorder);
        let time_us = if disordered {
            let most = self.mix.disorder_max.as_micros() as i64;
            time_us - self.random.random_range(0..=most)
        } else {
            time_us
        };
        let kind = if self.happens(self.mix.audit) {
            Kind::AuditEvent
        } else {
            Kind::MetricSample
        };
        let payload = &mut self.last.payload;
        let key = match kind {
            Kind::MetricSample => self.metrics.record(time_us, payload),
            Kind::AuditEvent => self.audit.record(time_us, payload),
        };
        self.last.key.clear();
        self.last.key.push_str(key);
        self.last.kind = kind;
        self.last.bad = self.happens(self.mix.bad);
        if self.last.bad {
            spoil::spoil(&mut self.last.payload, &mut self.random);
        }
    }
}

impl Source for Traffic {
    fn next(&mut self, time_us: i64) -> Outgoing<'_> {
        // A duplicate of the last record, as from a producer that missed its acknowledgement.
        let copy = !self.last.payload.is_empty() && self.happens(self.mix.duplicates);
        if !copy {
            self.make(time_us);
        }
        let Last {
            kind,
            key,
            payload,
            bad,
        } = &self.last;
        Outgoing {
            kind: *kind,
            key,
            payload,
            bad: *bad,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use horolog_schemas::{Decoder, RawRecord, WriterSchemas};

    use super::*;

    const TIME_US: i64 = 1_760_000_000_000_000;

    fn mix() -> Mix {
        Mix {
            audit: 0.3,
            bad: 0.1,
            duplicates: 0.05,
            disorder: 0.2,
            disorder_max: Duration::from_secs(600),
            ..Mix::default()
        }
    }

    #[derive(Debug, Clone, PartialEq)]
    struct Owned {
        kind: Kind,
        key: String,
        payload: Vec<u8>,
        bad: bool,
    }

    fn records(mix: &Mix, seed: u64, count: i64) -> Vec<Owned> {
        let mut traffic = Traffic::new(mix, "acme", seed);
        let owned = |record: Outgoing<'_>| Owned {
            kind: record.kind,
            key: record.key.to_owned(),
            payload: record.payload.to_vec(),
            bad: record.bad,
        };
        (0..count)
            .map(|number| owned(traffic.next(TIME_US + number * 1_000)))
            .collect()
    }

    #[test]
    fn a_seed_gives_the_same_records_again() {
        assert_eq!(records(&mix(), 7, 500), records(&mix(), 7, 500));
        assert_ne!(records(&mix(), 7, 500), records(&mix(), 8, 500));
    }

    /// The stages' own decoder accepts all valid records and rejects all bad ones.
    #[test]
    fn exactly_the_bad_records_are_rejected() {
        let all = records(&mix(), 1, 20_000);
        for kind in Kind::ALL {
            let of_kind: Vec<&Owned> = all.iter().filter(|record| record.kind == kind).collect();
            let raw: Vec<RawRecord<'_>> = (0..)
                .zip(&of_kind)
                .map(|(offset, record)| RawRecord {
                    offset,
                    timestamp_ms: TIME_US / 1_000 + 60_000,
                    key: Some(record.key.as_bytes()),
                    payload: Some(&record.payload),
                })
                .collect();
            let schemas = WriterSchemas::load(kind, None).unwrap();
            let decoded = Decoder::new(schemas.into()).decode(&raw).unwrap();
            let rejected: Vec<u32> = decoded.rejected.iter().map(|rejected| rejected.position).collect();
            let bad = (0..)
                .zip(&of_kind)
                .filter(|(_, record)| record.bad)
                .map(|(offset, _)| offset);
            let bad: Vec<u32> = bad.collect();
            let share = bad.len() as f64 / of_kind.len() as f64;
            assert!((0.07..0.13).contains(&share), "{kind:?}: {share}");
            assert_eq!(rejected, bad, "{kind:?}");
        }
    }

    #[test]
    fn shares_come_out_as_asked() {
        let all = records(&mix(), 1, 20_000);
        let share = |count: usize| count as f64 / all.len() as f64;
        let audit = share(all.iter().filter(|record| record.kind == Kind::AuditEvent).count());
        assert!((0.28..0.32).contains(&audit), "{audit}");
        let copies = share(all.windows(2).filter(|pair| pair[0] == pair[1]).count());
        assert!((0.04..0.06).contains(&copies), "{copies}");
    }

    #[test]
    fn keys_begin_with_the_tenant_and_are_as_many_as_asked() {
        let mix = Mix {
            keys: std::num::NonZeroUsize::new(5),
            tenants: std::num::NonZeroUsize::new(2).unwrap(),
            ..Mix::default()
        };
        let keys: std::collections::BTreeSet<String> =
            records(&mix, 1, 5_000).into_iter().map(|record| record.key).collect();
        assert!(
            keys.iter()
                .all(|key| key.starts_with("acme-0/") || key.starts_with("acme-1/"))
        );
        assert_eq!(keys.len(), 5);
    }
}
