//! The kinds of record that Horolog carries, and what belongs to each: names, topic, table, schema.
//!
//! A new kind starts here; for the other steps see ARCHITECTURE.md, "Where a new line belongs". Constants only.

/// A kind of record. Each has its own topic, Avro schema, table, rules and mapping to rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// One observation of a metric.
    MetricSample,
    /// Who did what to which resource.
    AuditEvent,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 2] = [Self::MetricSample, Self::AuditEvent];

    /// The name of the kind, as in `rejected_records.kind`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::MetricSample => "metric_sample",
            Self::AuditEvent => "audit_event",
        }
    }

    /// The ClickHouse table of its rows.
    pub const fn table(self) -> &'static str {
        match self {
            Self::MetricSample => "metrics",
            Self::AuditEvent => "audit_logs",
        }
    }

    /// The column of its time, microseconds since 1970.
    pub const fn time_column(self) -> &'static str {
        match self {
            Self::MetricSample => "time",
            Self::AuditEvent => "occurred_at",
        }
    }

    /// The Kafka topic it travels on, unless configured otherwise.
    pub const fn default_topic(self) -> &'static str {
        match self {
            Self::MetricSample => "metrics",
            Self::AuditEvent => "audit-events",
        }
    }

    /// The current Avro schema: our producers write it, and every record is read as it.
    pub const fn avro_schema(self) -> &'static str {
        match self {
            Self::MetricSample => include_str!("../avro/metric_sample.avsc"),
            Self::AuditEvent => include_str!("../avro/audit_event.avsc"),
        }
    }
}
