//! What one statement may use in the engine, and which setting limits it.
//!
//! Enters: the limits of the service or of exports, and those of the caller's key. Leaves: settings of the statement;
//! for an error code of the engine, what was exceeded and the setting to change. Guarantees: a key narrows what the
//! service allows and never widens it. Pure.

use std::num::NonZeroU64;
use std::time::Duration;

use crate::access::KeyLimits;
use crate::audit::exports::config::ExportsConfig;
use crate::config::LimitsConfig;

/// What one statement may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    timeout_s: Bound,
    memory_bytes: Bound,
    read_bytes: Bound,
    result_rows: Bound,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bound {
    /// The value for the engine; 0 is unlimited.
    max: u64,
    /// The setting that defines it.
    setting: &'static str,
}

impl Bound {
    const NONE: Self = Self { max: 0, setting: "" };

    const fn new(max: u64, setting: &'static str) -> Self {
        Self { max, setting }
    }

    fn narrowed(self, own: Option<NonZeroU64>, setting: &'static str) -> Self {
        match own.map(NonZeroU64::get) {
            Some(own) if self.max == 0 || own < self.max => Self::new(own, setting),
            _ => self,
        }
    }
}

impl Bounds {
    /// The bounds of the service, `[limits]`.
    pub const fn of_service(limits: &LimitsConfig) -> Self {
        Self {
            timeout_s: Bound::new(limits.statement_timeout_s, "limits.statement_timeout_s"),
            memory_bytes: Bound::new(limits.statement_memory_bytes_max, "limits.statement_memory_bytes_max"),
            read_bytes: Bound::new(limits.statement_read_bytes_max, "limits.statement_read_bytes_max"),
            result_rows: Bound::new(limits.statement_result_rows_max, "limits.statement_result_rows_max"),
        }
    }

    /// The bounds of exports, which may read and return any number of rows.
    pub const fn of_exports(limits: &ExportsConfig) -> Self {
        Self {
            timeout_s: Bound::new(limits.statement_timeout_s, "exports.statement_timeout_s"),
            memory_bytes: Bound::new(limits.statement_memory_bytes_max, "exports.statement_memory_bytes_max"),
            read_bytes: Bound::NONE,
            result_rows: Bound::NONE,
        }
    }

    /// These, or less if a key has less.
    pub fn narrowed(self, own: &KeyLimits) -> Self {
        Self {
            timeout_s: self
                .timeout_s
                .narrowed(own.statement_timeout_s, "limits.statement_timeout_s of this key"),
            memory_bytes: self.memory_bytes.narrowed(
                own.statement_memory_bytes_max,
                "limits.statement_memory_bytes_max of this key",
            ),
            read_bytes: self.read_bytes.narrowed(
                own.statement_read_bytes_max,
                "limits.statement_read_bytes_max of this key",
            ),
            result_rows: self.result_rows.narrowed(
                own.statement_result_rows_max,
                "limits.statement_result_rows_max of this key",
            ),
        }
    }

    /// How long a statement may run.
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_s.max)
    }

    /// As settings of the engine.
    pub fn settings(&self) -> [(&'static str, u64); 4] {
        [
            ("max_execution_time", self.timeout_s.max),
            ("max_memory_usage", self.memory_bytes.max),
            ("max_bytes_to_read", self.read_bytes.max),
            ("max_result_rows", self.result_rows.max),
        ]
    }

    /// What was exceeded if the engine answers with this code, and the setting that limits it.
    pub fn reached(&self, code: u32) -> Option<(&'static str, &'static str)> {
        match code {
            159 | 160 => Some(("time", self.timeout_s.setting)),
            241 => Some(("memory", self.memory_bytes.setting)),
            158 | 307 => Some(("reading", self.read_bytes.setting)),
            396 => Some(("rows", self.result_rows.setting)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CODES: [u32; 4] = [159, 241, 307, 396];

    proptest! {
        #[test]
        fn of_service_and_key_the_smaller_counts_and_is_named(
            service in prop::array::uniform4(1u64..5),
            own in prop::array::uniform4(prop::option::of(1u64..5)),
        ) {
            let bounds = Bounds::of_service(&LimitsConfig {
                statement_timeout_s: service[0],
                statement_memory_bytes_max: service[1],
                statement_read_bytes_max: service[2],
                statement_result_rows_max: service[3],
                ..LimitsConfig::default()
            });
            let of_key = |at: usize| own[at].and_then(NonZeroU64::new);
            let narrowed = bounds.narrowed(&KeyLimits {
                statement_timeout_s: of_key(0),
                statement_memory_bytes_max: of_key(1),
                statement_read_bytes_max: of_key(2),
                statement_result_rows_max: of_key(3),
                concurrent_requests_max: None,
            });
            for at in 0..4 {
                let (_, max) = narrowed.settings()[at];
                prop_assert_eq!(max, own[at].map_or(service[at], |own| own.min(service[at])));
                let ((_, before), (_, named)) = (bounds.reached(CODES[at]).unwrap(), narrowed.reached(CODES[at]).unwrap());
                let expected = if max < service[at] { format!("{before} of this key") } else { before.to_owned() };
                prop_assert_eq!(named, expected);
            }
        }
    }
}
