//! Limits on requests with one key that are lower than the service's.
//!
//! Enters: the limits that the key was created with. Leaves: the same, with each request. The smaller of these and
//! `[limits]` applies: the engine gets it with each statement ([`crate::store`]), and so does admission
//! ([`crate::api::admission`]). Pure.

use std::num::{NonZeroU32, NonZeroU64};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A key's own limits. Where one is absent or higher than the service's setting, that setting applies.
// A limit that this release does not know cannot be enforced, so a key that has one is not accepted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct KeyLimits {
    /// A statement that runs longer is cancelled. Seconds.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>, nullable = false, minimum = 1)]
    pub statement_timeout_s: Option<NonZeroU64>,
    /// Memory that one statement may use in the engine. Bytes.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>, nullable = false, minimum = 1)]
    pub statement_memory_bytes_max: Option<NonZeroU64>,
    /// What one statement may read from tables. Bytes, uncompressed.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>, nullable = false, minimum = 1)]
    pub statement_read_bytes_max: Option<NonZeroU64>,
    /// Rows that one statement may return.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>, nullable = false, minimum = 1)]
    pub statement_result_rows_max: Option<NonZeroU64>,
    /// Requests for data that are answered at the same time, and as many downloads of exports; further ones wait.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u32>, nullable = false, minimum = 1)]
    pub concurrent_requests_max: Option<NonZeroU32>,
}

impl KeyLimits {
    /// Whether no limit is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The first limit that is higher than that of another key.
    pub fn beyond(&self, other: &Self) -> Option<&'static str> {
        let of = |limits: &Self| {
            let long = |limit: Option<NonZeroU64>| limit.map(NonZeroU64::get);
            [
                ("statement_timeout_s", long(limits.statement_timeout_s)),
                ("statement_memory_bytes_max", long(limits.statement_memory_bytes_max)),
                ("statement_read_bytes_max", long(limits.statement_read_bytes_max)),
                ("statement_result_rows_max", long(limits.statement_result_rows_max)),
                (
                    "concurrent_requests_max",
                    limits.concurrent_requests_max.map(|max| max.get().into()),
                ),
            ]
        };
        let pairs = of(self).into_iter().zip(of(other));
        let is_beyond = |own: Option<u64>, max: u64| own.is_none_or(|own| own > max);
        let mut beyond = pairs.filter(|((_, own), (_, max))| max.is_some_and(|max| is_beyond(*own, max)));
        beyond.next().map(|((name, _), _)| name)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_and_nothing_is_written_of_what_is_not_said(
            long in prop::array::uniform4(prop::option::of(1u64..)),
            short in prop::option::of(1u32..),
        ) {
            let [timeout, memory, read, rows] = long.map(|value| value.and_then(NonZeroU64::new));
            let limits = KeyLimits {
                statement_timeout_s: timeout,
                statement_memory_bytes_max: memory,
                statement_read_bytes_max: read,
                statement_result_rows_max: rows,
                concurrent_requests_max: short.and_then(NonZeroU32::new),
            };
            let written = serde_json::to_value(limits).unwrap();
            let said = long.iter().flatten().count() + short.iter().count();
            prop_assert_eq!(written.as_object().unwrap().len(), said);
            prop_assert_eq!(limits.is_empty(), said == 0);
            prop_assert_eq!(serde_json::from_value::<KeyLimits>(written).unwrap(), limits);
        }
    }

    #[test]
    fn a_limit_that_lets_nothing_through_or_that_is_not_known_is_refused() {
        for wrong in [
            json!({"statement_result_rows_max": 0}),
            json!({"concurrent_requests_max": 0}),
            json!({"statement_timeout_s": 1.5}),
            json!({"statement_rows_max": 1}),
        ] {
            assert!(serde_json::from_value::<KeyLimits>(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
