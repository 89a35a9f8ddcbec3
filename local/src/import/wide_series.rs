//! One series of a wide file: its cells become samples, one after the other in the same record.
//!
//! Enters: what its column stands for, then the cells of each line. Leaves: a sample, or why there is none. Pure.

use horolog_schemas::MetricSample;

use super::fields::is_absent;
use super::mapping::{Columns, Mapping};
use super::numbers::Numbers;
use super::output::{Skip, excerpt};

/// A column of numbers.
#[derive(Debug)]
pub struct Series {
    /// Its index.
    pub cell: usize,
    /// Its sample from the line that was read last.
    pub sample: MetricSample,
}

impl Series {
    /// Of a column of this name; its samples have what is `common` to all.
    pub fn new(cell: usize, name: &str, columns: Columns, common: &MetricSample, mapping: &Mapping) -> Self {
        let mut sample = common.clone();
        match columns {
            Columns::Services => name.clone_into(&mut sample.service_id),
            Columns::Metrics => {
                name.clone_into(&mut sample.metric_name);
                if mapping.unit.is_none() {
                    unit_in(name).clone_into(&mut sample.unit);
                }
            }
        }
        Self { cell, sample }
    }

    /// Sets a label for this line, replacing the previous line's; empty text removes it.
    pub fn label(&mut self, name: &str, text: &str) {
        match self.sample.labels.get_mut(name) {
            _ if text.is_empty() => drop(self.sample.labels.remove(name)),
            Some(label) => text.clone_into(label),
            None => drop(self.sample.labels.insert(name.to_owned(), text.to_owned())),
        }
    }

    /// Reads the value from this cell, in the column of this name.
    pub fn read(&mut self, name: &str, cell: &str, numbers: Numbers, time: i64) -> Result<(), Skip> {
        if is_absent(cell) {
            return Err(Skip::EmptyCell);
        }
        let not_a_number = || Skip::Number {
            column: name.to_owned(),
            text: excerpt(cell),
        };
        self.sample.value = numbers.read(cell).ok_or_else(not_a_number)?;
        self.sample.time = time;
        Ok(())
    }
}

/// The unit in a header: the content of the parentheses at its end.
fn unit_in(header: &str) -> &str {
    header
        .strip_suffix(')')
        .and_then(|rest| rest.rsplit_once('('))
        .map_or("", |(_, unit)| unit.trim())
}
