//! What a column of a CSV file holds: numbers, text or both.
//!
//! Enters: cells. Leaves: what the column may be, a series or names. Pure.

use super::fields::is_absent;
use super::numbers::Numbers;

/// What a column holds in the first lines; a single number makes it a possible series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Content {
    /// No value yet.
    Empty,
    /// Text and not a single number.
    Text,
    /// Numbers without sign or point, which may be names.
    Whole,
    /// Numbers.
    Numbers,
    /// Numbers and text: numbers with a malformed cell, or names of which one reads like a number (`12e7`).
    Mixed,
}

impl Content {
    /// The content of one cell. `NaN` and infinities prove nothing: they occur among numbers and, like any other word,
    /// among names.
    pub fn of(text: &str, numbers: Numbers) -> Self {
        if is_absent(text) {
            return Self::Empty;
        }
        match numbers.read(text) {
            None => Self::Text,
            Some(number) if !number.is_finite() => Self::Empty,
            Some(_) if text.bytes().all(|byte| byte.is_ascii_digit()) => Self::Whole,
            Some(_) => Self::Numbers,
        }
    }

    /// The content of a column with both.
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Text, number) | (number, Self::Text) if number.is_number() => Self::Mixed,
            (one, other) => one.max(other),
        }
    }

    /// Whether it may be a series.
    pub fn is_number(self) -> bool {
        self >= Self::Whole
    }
}
