//! The measured latencies, by name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A latency that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Measure {
    /// From a record's intended time until it was handed to the client: the tester's lateness plus the time the target
    /// made it wait.
    Lateness,
    /// Until the broker's acknowledgement arrived.
    Acknowledged,
    /// Until its row could be queried.
    Stored,
    /// Until the hourly answer counted it.
    Hourly,
    /// From a query's intended time until its whole response arrived.
    Query,
}

impl Measure {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Lateness,
        Self::Acknowledged,
        Self::Stored,
        Self::Hourly,
        Self::Query,
    ];
    /// The measures of records, without the tester's lateness.
    pub const OF_RECORDS: [Self; 3] = [Self::Acknowledged, Self::Stored, Self::Hourly];

    /// Its name in files and options.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lateness => "lateness",
            Self::Acknowledged => "acknowledged",
            Self::Stored => "stored",
            Self::Hourly => "hourly",
            Self::Query => "query",
        }
    }

    /// Its description, for people.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Lateness => "handed to the client",
            Self::Acknowledged => "produce to acknowledged",
            Self::Stored => "produce to stored",
            Self::Hourly => "produce to the hourly answer",
            Self::Query => "query under ingest",
        }
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Measure {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|measure| measure.name() == text);
        found.ok_or_else(|| format!("`{text}` is not measured; use lateness, acknowledged, stored, hourly or query"))
    }
}
