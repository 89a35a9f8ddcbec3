//! The classification of each field: how confidential, whether personal or health data, whether to encrypt, who owns
//! it.
//!
//! The Avro schemas declare it; `build.rs` refuses a field that does not and generates the constants, which can be
//! queried here.

use crate::Kind;

include!(concat!(env!("OUT_DIR"), "/field_classes.rs"));

/// How confidential a field is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// May be shown to anyone.
    Public,
    /// For people who work with the system.
    Internal,
    /// For people who need it for their work.
    Confidential,
    /// For a few named people.
    Restricted,
}

/// What the Avro schema declares of one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldClass {
    /// The name of the field.
    pub name: &'static str,
    /// How confidential it is.
    pub class: Class,
    /// Whether it may identify a person.
    pub personal: bool,
    /// Whether it may reveal something about a person's health.
    pub health: bool,
    /// Whether it must be encrypted at rest. Declared only; nothing here acts on it.
    pub encrypt: bool,
    /// The team responsible for it.
    pub owner: &'static str,
}

/// The fields of a kind, in the order of its schema.
pub fn fields(kind: Kind) -> &'static [FieldClass] {
    match kind {
        Kind::MetricSample => METRIC_SAMPLE,
        Kind::AuditEvent => AUDIT_EVENT,
    }
}
