//! Records that arrived after their hour was complete, by tenant and hour: how many, from which offsets, how late.
//!
//! Enters: late samples, one at a time. Leaves: [`LateRecords`], which add up in any order.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Late records of one tenant and hour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LateRecords {
    /// How many.
    pub records: u64,
    /// Smallest offset.
    pub first_offset: i64,
    /// Largest offset.
    pub last_offset: i64,
    /// The largest distance behind the watermark among them, seconds.
    pub lateness_max_s: u32,
    /// Records by class of lateness: see [`class`].
    pub classes: BTreeMap<u8, u64>,
}

impl LateRecords {
    /// Of one record.
    pub fn of(offset: i64, lateness_s: u32) -> Self {
        Self {
            records: 1,
            first_offset: offset,
            last_offset: offset,
            lateness_max_s: lateness_s,
            classes: BTreeMap::from([(class(lateness_s), 1)]),
        }
    }

    /// Adds one record.
    pub fn add_one(&mut self, offset: i64, lateness_s: u32) {
        self.records += 1;
        self.first_offset = self.first_offset.min(offset);
        self.last_offset = self.last_offset.max(offset);
        self.lateness_max_s = self.lateness_max_s.max(lateness_s);
        *self.classes.entry(class(lateness_s)).or_default() += 1;
    }

    /// Adds others.
    pub fn add(&mut self, others: &Self) {
        self.records += others.records;
        self.first_offset = self.first_offset.min(others.first_offset);
        self.last_offset = self.last_offset.max(others.last_offset);
        self.lateness_max_s = self.lateness_max_s.max(others.lateness_max_s);
        for (class, records) in &others.classes {
            *self.classes.entry(*class).or_default() += records;
        }
    }
}

/// Late records by tenant and hour.
pub type LateHours = BTreeMap<(String, u32), LateRecords>;

/// Adds some hours to others.
pub fn add_hours(to: &mut LateHours, others: &LateHours) {
    for (hour, records) in others {
        match to.get_mut(hour) {
            Some(known) => known.add(records),
            None => drop(to.insert(hour.clone(), records.clone())),
        }
    }
}

/// Lateness within a factor of two: 0 is under a second, n is [2^(n-1), 2^n) seconds.
pub fn class(lateness_s: u32) -> u8 {
    (u32::BITS - lateness_s.leading_zeros()) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_a_power_of_two() {
        let classes: Vec<u8> = [0, 1, 2, 3, 4, 7, 8, u32::MAX].map(class).into();
        assert_eq!(classes, [0, 1, 2, 2, 3, 3, 4, 32]);
    }
}
