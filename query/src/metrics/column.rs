//! The columns that identify a metrics series, and which of them can be merged over.
//!
//! Different metrics are never merged, nor samples of different type or unit: the other columns of the key can be
//! merged over. Pure.

use serde::de::value::StringDeserializer;
use serde::de::{Error as _, IntoDeserializer};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::api::parameters::ValueError;

/// A column of the key that can be merged over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyColumn {
    /// The service that sent the samples.
    ServiceId,
    /// The plugin within the service.
    PluginId,
    /// The environment that the service runs in.
    Environment,
    /// The team that owns the service.
    TeamId,
}

impl KeyColumn {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 4] = [Self::ServiceId, Self::PluginId, Self::Environment, Self::TeamId];

    /// Its name in the API and in the tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::ServiceId => "service_id",
            Self::PluginId => "plugin_id",
            Self::Environment => "environment",
            Self::TeamId => "team_id",
        }
    }
}

/// The type of a metric. Part of the key, and never merged over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum MetricType {
    /// A number that only increases, or is reset.
    Counter,
    /// A number that goes up and down.
    Gauge,
    /// Observations, counted by size.
    Histogram,
}

impl MetricType {
    /// Its name in the API and in the tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// What a row can contain of its samples besides their count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Measure {
    /// Their sum.
    Sum,
    /// Their mean.
    Avg,
    /// The smallest.
    Min,
    /// The largest.
    Max,
    /// The value with the latest time.
    Last,
    /// Median, exact to 0.6 % as all quantiles.
    P50,
    /// 90th percentile.
    P90,
    /// 95th percentile.
    P95,
    /// 99th percentile.
    P99,
    /// 99.9th percentile.
    P999,
}

impl Measure {
    /// The default measures.
    pub const DEFAULT: [Self; 8] = [
        Self::Sum,
        Self::Avg,
        Self::Min,
        Self::Max,
        Self::Last,
        Self::P50,
        Self::P95,
        Self::P99,
    ];

    /// Its name in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Avg => "avg",
            Self::Min => "min",
            Self::Max => "max",
            Self::Last => "last",
            Self::P50 => "p50",
            Self::P90 => "p90",
            Self::P95 => "p95",
            Self::P99 => "p99",
            Self::P999 => "p999",
        }
    }

    /// For a quantile, the share of samples above it.
    pub fn share_above(self) -> Option<&'static str> {
        match self {
            Self::P50 => Some("0.5"),
            Self::P90 => Some("0.1"),
            Self::P95 => Some("0.05"),
            Self::P99 => Some("0.01"),
            Self::P999 => Some("0.001"),
            _ => None,
        }
    }
}

/// A comma-separated list, or the parameter repeated; an empty value is an empty list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Words<T>(pub Vec<T>);

/// An element of such a list.
pub trait Word: for<'de> Deserialize<'de> + Ord {
    /// Names that are accepted although they are always included.
    const TOLD_ANYWAY: &'static [&'static str] = &[];
}

impl Word for KeyColumn {}
impl Word for Measure {
    const TOLD_ANYWAY: &'static [&'static str] = &["count", "late_count"];
}

impl<'de, T: Word> Deserialize<'de> for Words<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let given = Vec::<String>::deserialize(deserializer)?;
        let words = given
            .iter()
            .flat_map(|text| text.split(','))
            .map(str::trim)
            .filter(|word| !word.is_empty() && !T::TOLD_ANYWAY.contains(word));
        let parse = |word: &str| {
            let word: StringDeserializer<ValueError> = word.to_owned().into_deserializer();
            T::deserialize(word).map_err(D::Error::custom)
        };
        let mut words = words.map(parse).collect::<Result<Vec<T>, _>>()?;
        words.sort();
        words.dedup();
        Ok(Self(words))
    }
}

#[cfg(test)]
mod tests {
    use utoipa::PartialSchema;

    use super::*;

    #[test]
    fn a_count_may_be_asked_for_and_is_told_anyway() {
        let measures = |json| serde_json::from_str::<Words<Measure>>(json).map(|words| words.0);
        assert_eq!(
            measures(r#"["p99,count", "avg"]"#).unwrap(),
            [Measure::Avg, Measure::P99]
        );
        assert_eq!(measures(r#"["count"]"#).unwrap(), []);
        assert!(measures(r#"["counts"]"#).is_err());
        assert!(serde_json::from_str::<Words<KeyColumn>>(r#"["count"]"#).is_err());
    }

    #[test]
    fn metric_types_are_those_of_the_records() {
        let types = horolog_schemas::MetricType::ALL.map(horolog_schemas::MetricType::as_str);
        let described = serde_json::to_value(MetricType::schema()).unwrap();
        assert_eq!(described["enum"], serde_json::json!(types));
    }
}
