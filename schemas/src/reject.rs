//! Why a record cannot become a row: the step that refused it, a stable code, and a detail in words.
//!
//! Codes are stored in `rejected_records` and used as metric labels: never rename one. The detail never quotes the
//! record's text, which may be confidential; its bytes are stored beside it anyway.

/// The step that refused a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// Identifying the writer's schema.
    Framing,
    /// Decoding the fields.
    Decode,
    /// Checking the validation rules.
    Validate,
    /// Inserting it into ClickHouse.
    Insert,
}

impl Step {
    /// The code of the step.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Framing => "framing",
            Self::Decode => "decode",
            Self::Validate => "validate",
            Self::Insert => "insert",
        }
    }
}

/// Declares each reason once: variant, step, code, meaning.
macro_rules! reasons {
    ($($variant:ident $step:ident $code:literal $meaning:literal,)*) => {
        /// Why a record was rejected.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason {
            $(#[doc = $meaning] $variant,)*
        }

        impl Reason {
            /// All reasons, for example to initialise metrics to zero.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The stable code.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// The step that detects it.
            pub const fn step(self) -> Step {
                match self { $(Self::$variant => Step::$step,)* }
            }
        }
    };
}

reasons! {
    Tombstone Framing "tombstone" "The record has no payload.",
    EmptyPayload Framing "empty_payload" "The payload has no bytes.",
    RecordTooLarge Framing "record_too_large" "The payload is over `RECORD_BYTES_MAX`.",
    UnknownFraming Framing "unknown_framing" "The payload starts like neither of the two framings: it is not Avro.",
    TruncatedHeader Framing "truncated_header" "The payload ends inside the framing's header.",
    UnknownSchema Framing "unknown_schema" "No schema is known by that id or fingerprint.",
    IncompatibleSchema Framing "incompatible_schema" "The schema is known, but is not one that this kind can be read from.",
    Truncated Decode "truncated" "A field declares or needs more bytes than there are.",
    TrailingBytes Decode "trailing_bytes" "There are bytes after the last field.",
    NotUtf8 Decode "not_utf8" "A text is not UTF-8.",
    MalformedNumber Decode "malformed_number" "A variable-length number is too long, or a boolean is neither 0 nor 1.",
    MalformedLength Decode "malformed_length" "A length, count or block size is negative, too large or not what follows.",
    UnknownSymbol Decode "unknown_symbol" "An enum's or union's index is out of range, or its symbol is not one of ours.",
    Undecodable Decode "undecodable" "The decoder refused the record for another reason.",
    KafkaTimestampOutOfRange Validate "kafka_timestamp_out_of_range" "Kafka's timestamp is before 1970 or not before 2100.",
    TimeTooEarly Validate "time_too_early" "The time is before 2000-01-01.",
    TimeInFuture Validate "time_in_future" "The time is more than a day after Kafka's timestamp.",
    EmptyTenantId Validate "empty_tenant_id" "The tenant is empty.",
    EmptyMetricName Validate "empty_metric_name" "The metric's name is empty.",
    EmptyAction Validate "empty_action" "The action is empty.",
    ValueNotFinite Validate "value_not_finite" "The value is NaN or infinite.",
    EventIdNotUuid Validate "event_id_not_uuid" "The event id is not a UUID.",
    OldValueNotJson Validate "old_value_not_json" "The old value is neither empty nor JSON.",
    NewValueNotJson Validate "new_value_not_json" "The new value is neither empty nor JSON.",
    DuplicateMapKey Validate "duplicate_map_key" "A map has a key twice: which of the values is meant?",
    RefusedByClickHouse Insert "refused_by_clickhouse" "ClickHouse refused the row for its content.",
}

/// A record that cannot become a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Its index in the batch.
    pub position: u32,
    /// The stable code, which implies the step.
    pub reason: Reason,
    /// What is wrong, for people.
    pub detail: String,
}

impl Rejected {
    /// A rejection of the record at `position`.
    pub fn new(position: u32, reason: Reason, detail: impl Into<String>) -> Self {
        Self {
            position,
            reason,
            detail: detail.into(),
        }
    }
}

/// What is wrong with a record, before its position is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) reason: Reason,
    pub(crate) detail: String,
}

impl Fault {
    pub(crate) fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self {
            reason,
            detail: detail.into(),
        }
    }

    pub(crate) fn of(self, position: u32) -> Rejected {
        Rejected::new(position, self.reason, self.detail)
    }
}
