//! Where the time of a row stands: in one column, or its date in one and its time of day in another.
//!
//! Enters: the header, some first lines, the flags; then the cells of each row. Leaves: its time. Pure.

use super::fields::Fields;
use super::header::{Header, HeaderError};
use super::mapping::Mapping;
use super::output::Skip;
use super::times::Times;
use super::timestamp::{parse_micros, time_of};

/// The columns of the time.
#[derive(Debug)]
pub struct TimeColumns {
    /// One, or those of the date and the time of day.
    cells: Vec<usize>,
    /// Their names, for messages.
    name: String,
    times: Times,
    /// The text of several.
    joined: String,
}

impl TimeColumns {
    /// The columns that the flags name, else the one that is named like a time. If that one holds no time by itself, but
    /// does behind the date that a column `date` holds, it is both.
    pub fn of<'a>(
        header: &Header,
        mut first_lines: impl Iterator<Item = &'a str>,
        mapping: &Mapping,
    ) -> Result<Self, HeaderError> {
        let one = Self::new(header, header.time(&mapping.time_column)?, mapping);
        let date = header
            .date()
            .filter(|date| mapping.time_column.is_empty() && !one.contains(*date));
        let Some(date) = date else { return Ok(one) };
        let mut both = Self::new(header, vec![date, one.cells[0]], mapping);
        let mut fields = header.fields();
        let has_row = first_lines.any(|line| fields.split_row(line, header.cells.len()).is_ok());
        let is_time = |text: &str| parse_micros(text, &mapping.times).is_some();
        let are_both = has_row && !is_time(fields.get(one.cells[0])) && is_time(both.text(&fields));
        Ok(if are_both { both } else { one })
    }

    fn new(header: &Header, cells: Vec<usize>, mapping: &Mapping) -> Self {
        let names: Vec<&str> = cells.iter().map(|&cell| header.cells[cell].as_str()).collect();
        Self {
            name: names.join(" "),
            cells,
            times: mapping.times.clone(),
            joined: String::new(),
        }
    }

    /// Whether it is one of them.
    pub fn contains(&self, cell: usize) -> bool {
        self.cells.contains(&cell)
    }

    /// The time of this row.
    pub fn read(&mut self, fields: &Fields) -> Result<i64, Skip> {
        self.text(fields);
        time_of(&self.name, &self.joined, &self.times)
    }

    fn text(&mut self, fields: &Fields) -> &str {
        self.joined.clear();
        for (index, &cell) in self.cells.iter().enumerate() {
            if index > 0 {
                self.joined.push(' ');
            }
            self.joined.push_str(fields.get(cell));
        }
        &self.joined
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::delimiter::COMMA;
    use crate::import::testing::mapping;

    /// The time of the first line after the header.
    fn time(text: &str, flags: &[&str]) -> Result<i64, String> {
        let (header, line) = text.split_once('\n').unwrap();
        let (header, mapping) = (Header::new(header, COMMA), mapping(flags));
        let mut columns = TimeColumns::of(&header, std::iter::once(line), &mapping).map_err(|e| e.to_string())?;
        let mut fields = header.fields();
        fields.split(line);
        columns.read(&fields).map_err(|skip| skip.to_string())
    }

    const MICROS: i64 = 1_078_941_600_000_000; // 2004-03-10 18:00:00 UTC

    #[test]
    fn a_date_and_a_time_of_day_are_one_time() {
        assert_eq!(time("Date,Time,x\n2004-03-10,18:00:00,1", &[]), Ok(MICROS));
        let format = ["--time-format", "%d/%m/%Y %H.%M.%S"];
        assert_eq!(time("x,Time,Date\n1,18.00.00,10/03/2004", &format), Ok(MICROS));
        let named = ["--time-column", "Tag", "--time-column", "Uhrzeit"];
        assert_eq!(time("Tag,Uhrzeit\n2004-03-10,18:00", &named), Ok(MICROS));
    }

    #[test]
    fn a_column_that_holds_the_time_needs_no_other() {
        assert_eq!(time("date,time\n2004-03-11,2004-03-10T18:00:00Z", &[]), Ok(MICROS));
        assert_eq!(time("date,x\n2004-03-10T18:00:00Z,1", &[]), Ok(MICROS));
        let error = time("date,time\n10.3.2004,18:00", &[]).unwrap_err();
        assert!(error.contains("`18:00` in `time` is not a time"), "{error}");
        let named = ["--time-column", "time"];
        let error = time("date,time\n2004-03-10,18:00", &named).unwrap_err();
        assert!(
            error.contains("name the column of its date as well: --time-column DATE"),
            "{error}"
        );
    }

    #[test]
    fn each_column_that_is_named_must_be_there() {
        let named = ["--time-column", "date", "--time-column", "hour"];
        let error = time("date,time\n2004-03-10,18:00", &named).unwrap_err();
        assert!(error.contains("there is no column `hour` (--time-column)"), "{error}");
    }
}
