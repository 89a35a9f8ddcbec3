//! Merged rows in columns: what many rows have in common is stored once.
//!
//! Enters: rows as the store returns them. Leaves: the same rows, in a few dozen bytes each, with what all rows of a
//! series have in common as prepared JSON. Series count the memory that they take in the account that they were created
//! for, as long as anything references them. Pure.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::api::Instant;
use crate::metrics::point::StoredPoint;

/// The columns that identify a row's series.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesKey {
    /// Metric.
    pub metric_name: String,
    /// Values of the columns that are not merged over.
    pub groups: Vec<String>,
    /// Counter, gauge or histogram.
    pub metric_type: String,
    /// Unit.
    pub unit: String,
}

/// Bytes of all series that are still referenced.
pub type Account = Arc<AtomicUsize>;

/// What the rows of a series have in common.
#[derive(Debug)]
pub struct Series {
    /// The columns that identify it.
    pub key: SeriesKey,
    /// The same as members of a JSON object.
    pub json: Box<str>,
    account: Account,
}

impl Series {
    fn new(key: SeriesKey, groups: &[&'static str], account: Account) -> Self {
        let first = [("metric_name", &key.metric_name)];
        let last = [("metric_type", &key.metric_type), ("unit", &key.unit)];
        let groups = groups.iter().copied().zip(&key.groups);
        let members = first.into_iter().chain(groups).chain(last);
        let members: Vec<String> = members
            .map(|(name, value)| format!("\"{name}\":{}", serde_json::Value::from(value.as_str())))
            .collect();
        let series = Self {
            json: members.join(",").into(),
            key,
            account,
        };
        series.account.fetch_add(series.bytes(), Ordering::Relaxed);
        series
    }

    fn bytes(&self) -> usize {
        let texts = self.key.groups.iter().map(|text| size_of::<String>() + text.len());
        let names = self.key.metric_name.len() + self.key.metric_type.len() + self.key.unit.len();
        size_of::<Self>() + names + texts.sum::<usize>() + self.json.len()
    }
}

impl Drop for Series {
    fn drop(&mut self) {
        self.account.fetch_sub(self.bytes(), Ordering::Relaxed);
    }
}

/// The distinct series of some rows.
#[derive(Debug)]
pub struct SeriesSet {
    known: HashMap<SeriesKey, Arc<Series>>,
    groups: Vec<&'static str>,
    account: Account,
}

impl SeriesSet {
    /// Empty. `groups` are the names of the columns that are not merged over.
    pub fn new(groups: Vec<&'static str>, account: Account) -> Self {
        Self {
            known: HashMap::new(),
            groups,
            account,
        }
    }

    fn of(&mut self, key: SeriesKey) -> Arc<Series> {
        let series = self.known.entry(key);
        let series =
            series.or_insert_with_key(|key| Arc::new(Series::new(key.clone(), &self.groups, self.account.clone())));
        Arc::clone(series)
    }
}

/// Rows, in order.
#[derive(Debug, Clone, Default)]
pub struct Points {
    series: Vec<Arc<Series>>,
    starts: Vec<u32>,
    counts: Vec<u64>,
    numbers: Vec<f64>,
    stored_bytes: usize,
}

/// One row.
#[derive(Debug, Clone, Copy)]
pub struct PointRow<'a> {
    /// Its series.
    pub series: &'a Series,
    /// Seconds since 1970.
    pub start_s: u32,
    /// In the order of their names.
    pub counts: &'a [u64],
    /// In the order of their names.
    pub numbers: &'a [f64],
}

impl<'a> PointRow<'a> {
    /// Its start.
    pub fn start(self) -> Instant {
        Instant::from_seconds(self.start_s)
    }

    /// Its position in the order of an answer.
    pub fn order(self) -> impl Ord + use<'a> {
        let key = &self.series.key;
        (&key.metric_name, self.start_s, &key.groups, &key.metric_type, &key.unit)
    }
}

impl Points {
    /// Rows of one statement.
    pub fn new(rows: impl IntoIterator<Item = StoredPoint>, series: &mut SeriesSet) -> Self {
        let mut points = Self::default();
        for row in rows {
            points.push(row, series);
        }
        points
    }

    /// Adds a row. All rows have as many counts and numbers as the first.
    pub fn push(&mut self, row: StoredPoint, series: &mut SeriesSet) {
        self.stored_bytes += row.bytes();
        self.starts.push(row.start_s());
        let (key, counts, numbers) = row.into_columns();
        self.counts.extend(counts);
        self.numbers.extend(numbers);
        self.series.push(series.of(key));
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// Number of samples of all rows: the first of their counts.
    pub fn samples(&self) -> u64 {
        let width = self.counts.len() / self.len().max(1);
        self.counts.iter().step_by(width.max(1)).sum()
    }

    /// Size of the rows as the store returns them, by which pages are bounded. Bytes.
    pub fn stored_bytes(&self) -> usize {
        self.stored_bytes
    }

    /// Size in memory, without the series. Bytes.
    pub fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.series.capacity() * size_of::<Arc<Series>>()
            + self.starts.capacity() * size_of::<u32>()
            + self.counts.capacity() * size_of::<u64>()
            + self.numbers.capacity() * size_of::<f64>()
    }

    /// Frees unused capacity.
    pub fn shrink(&mut self) {
        self.series.shrink_to_fit();
        self.starts.shrink_to_fit();
        self.counts.shrink_to_fit();
        self.numbers.shrink_to_fit();
    }

    /// The row with this number, which must be below [`Self::len`].
    fn row(&self, number: usize) -> PointRow<'_> {
        let (counts, numbers) = (self.width_of(self.counts.len()), self.width_of(self.numbers.len()));
        PointRow {
            series: &self.series[number],
            start_s: self.starts[number],
            counts: &self.counts[number * counts..][..counts],
            numbers: &self.numbers[number * numbers..][..numbers],
        }
    }

    fn width_of(&self, values: usize) -> usize {
        values.checked_div(self.len()).unwrap_or_default()
    }

    /// Changes the numbers of each row, given its start.
    pub fn change_numbers(&mut self, mut change: impl FnMut(Instant, &mut [f64])) {
        let width = self.width_of(self.numbers.len()).max(1);
        for (start, numbers) in self.starts.iter().zip(self.numbers.chunks_exact_mut(width)) {
            change(Instant::from_seconds(*start), numbers);
        }
    }
}

/// The rows of an answer, in its order, from any number of parts.
#[derive(Debug, Default)]
pub struct PointRows {
    parts: Vec<Arc<Points>>,
    order: Vec<(u32, u32)>,
}

impl PointRows {
    /// Rows of parts that follow each other in time. They are sorted into the order of the answer, unless they are
    /// known to be of one metric.
    pub fn new(parts: Vec<Arc<Points>>, is_one_metric: bool) -> Self {
        let numbered = (0u32..).zip(&parts);
        let places = numbered.flat_map(|(part, points)| (0..points.len() as u32).map(move |row| (part, row)));
        let mut rows = Self {
            order: places.collect(),
            parts,
        };
        if !is_one_metric {
            let mut order = std::mem::take(&mut rows.order);
            order.sort_by(|one, other| rows.row(one).order().cmp(&rows.row(other).order()));
            rows.order = order;
        }
        rows
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Each.
    pub fn iter(&self) -> impl Iterator<Item = PointRow<'_>> + Clone {
        self.order.iter().map(|place| self.row(place))
    }

    fn row(&self, (part, row): &(u32, u32)) -> PointRow<'_> {
        self.parts[*part as usize].row(*row as usize)
    }
}

impl From<Points> for PointRows {
    fn from(points: Points) -> Self {
        Self::new(vec![Arc::new(points)], true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(metric: &str, start_s: u32, service: &str, number: f64) -> StoredPoint {
        StoredPoint::of(metric, start_s, &[service], &[7, 8], &[number])
    }

    #[test]
    fn rows_of_parts_come_in_the_order_of_the_answer() {
        let account = Account::default();
        let mut series = SeriesSet::new(vec!["service_id"], Arc::clone(&account));
        let first = Points::new([point("a", 10, "x", 1.0), point("b", 10, "x", 2.0)], &mut series);
        let second = Points::new([point("a", 20, "x", 3.0), point("b", 20, "x", 4.0)], &mut series);
        let rows = PointRows::new(vec![Arc::new(first), Arc::new(second)], false);
        let shown: Vec<_> = rows.iter().map(|row| (row.start_s, row.numbers[0])).collect();
        assert_eq!(shown, [(10, 1.0), (20, 3.0), (10, 2.0), (20, 4.0)]);
        assert!(rows.iter().all(|row| row.counts == [7, 8]));
        assert_eq!(
            &*rows.parts[0].series[0].json,
            r#""metric_name":"a","service_id":"x","metric_type":"gauge","unit":"ms""#
        );
        let one_series = account.load(Ordering::Relaxed) / 2;
        drop(series);
        assert_eq!(
            account.load(Ordering::Relaxed),
            2 * one_series,
            "rows hold their series"
        );
        drop(rows);
        assert_eq!(account.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn rows_without_numbers_are_rows_too() {
        let mut series = SeriesSet::new(Vec::new(), Account::default());
        let mut points = Points::new([StoredPoint::of("a", 0, &[], &[1], &[])], &mut series);
        points.change_numbers(|_, _| panic!("there are none"));
        assert!(points.row(0).numbers.is_empty());
        assert_eq!(PointRows::from(points).len(), 1);
    }
}
