//! What each field of a record is: how confidential, whether personal or health data, whether to encrypt, whose.
//!
//! The Avro schemas say it, `build.rs` refuses a field that does not and writes the constants; here they can be asked.

use crate::Kind;

include!(concat!(env!("OUT_DIR"), "/field_classes.rs"));

/// How confidential a field is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// May be shown to anyone.
    Public,
    /// For those who work with the system.
    Internal,
    /// For those who need it for their work.
    Confidential,
    /// For the few who are named.
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
    /// Whether it may say something of a person's health.
    pub health: bool,
    /// Whether it must be encrypted at rest; a declaration, which nothing here acts on.
    pub encrypt: bool,
    /// The team that answers for it.
    pub owner: &'static str,
}

/// The fields of a kind, in the order of its schema.
pub fn fields(kind: Kind) -> &'static [FieldClass] {
    match kind {
        Kind::MetricSample => METRIC_SAMPLE,
        Kind::AuditEvent => AUDIT_EVENT,
    }
}
