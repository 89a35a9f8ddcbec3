//! What separates the columns of a CSV file.
//!
//! Enters: the line of the header, and those after it. Leaves: a character. Pure.

use super::head::first_lines;
use super::header::Header;
use super::mapping::Mapping;

/// Separates the columns where nothing tells of another.
pub const COMMA: u8 = b',';

/// What else does. A header whose columns are separated by one of them may have commas in their names.
const OTHERS: [u8; 3] = [b';', b'\t', b'|'];

/// What separates the columns of a file with this header: what gives it a time column, commas first, else what makes as
/// many columns of the next line.
pub fn delimiter(header: &str, rest: &[u8], mapping: &Mapping) -> u8 {
    let split = |line: &str, by: u8| Some(Header::new(line, by)).filter(|header| header.cells.len() > 1);
    let has_time = |by: &u8| split(header, *by).is_some_and(|header| header.time(&mapping.time_column).is_ok());
    let next = first_lines(rest).find(|line| !line.trim().is_empty());
    let is_regular = |by: &u8| {
        let columns = |line: &str| split(line, *by).map(|header| header.cells.len());
        columns(header).is_some() && next.and_then(columns) == columns(header)
    };
    let mut all = std::iter::once(COMMA).chain(OTHERS);
    (all.find(has_time))
        .or_else(|| OTHERS.into_iter().find(is_regular))
        .unwrap_or(COMMA)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::testing::mapping;

    #[test]
    fn columns_are_separated_by_what_makes_a_table_of_the_first_lines() {
        for (text, by) in [
            ("time,a;b\n1,2", b','),
            ("time;a,b\n1;2", b';'),
            ("\"Time\"\ta\n1\t2", b'\t'),
            ("Datum;Temperatur, innen\n31.12.2024;1,5\n", b';'),
            ("Datum\tWert\n\n31.12.2024\t1,5\n", b'\t'),
            ("at|value|x\n1|2|3\n", b'|'),
            ("Hello; this is a text\nof two lines\n", b','),
            ("at,value;x\n1,2", b','),
        ] {
            let (header, rest) = text.split_once('\n').unwrap();
            assert_eq!(delimiter(header, rest.as_bytes(), &mapping(&[])), by, "{text}");
        }
        let named = mapping(&["--time-column", "a;at"]);
        assert_eq!(delimiter("a;at,b;c", b"1,2", &named), b',');
    }
}
