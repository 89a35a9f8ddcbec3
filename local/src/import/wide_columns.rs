//! What each column of a wide file is: a field of all samples of its line, a label of theirs, or a series.
//!
//! Enters: the header, some first lines, which columns are the time and the service, and the flags. Leaves: the indexes
//! of the columns of each kind, in their order, with the service before the other fields. A column that is named like a
//! field fills it; of the others, those with text and no number are labels, and the rest are series. Pure.

use super::content::Content;
use super::header::{Header, is_time_name};
use super::mapping::{Columns, Mapping};
use super::role::{Role, claim};
use super::time_columns::TimeColumns;

/// The columns of a wide file, without time columns and columns without a name.
#[derive(Debug, PartialEq, Eq)]
pub struct WideColumns {
    /// Each fills a different field in all samples of its line.
    pub fields: Vec<(usize, Role)>,
    /// They are labels of all samples of their line.
    pub labels: Vec<usize>,
    /// Each of their numbers is a sample.
    pub series: Vec<usize>,
    /// Series without a value in the first lines.
    pub undecided: Vec<usize>,
}

impl WideColumns {
    /// Learns from the first lines which columns hold numbers.
    pub fn of<'a>(
        header: &Header,
        first_lines: impl Iterator<Item = &'a str>,
        time: &TimeColumns,
        service: Option<usize>,
        mapping: &Mapping,
    ) -> Self {
        let contents = header.contents(first_lines, mapping.numbers);
        let mut fields: Vec<(usize, Role)> = service.map(|cell| (cell, Role::Service)).into_iter().collect();
        let (mut labels, mut series) = (Vec::new(), Vec::new());
        for (cell, name) in header.cells.iter().enumerate() {
            if time.contains(cell) || Some(cell) == service || is_time_name(name) || name.is_empty() {
                continue;
            }
            // Where the user says that columns are services, a numeric `tenant` column is one too.
            let may_fill = |_: &Role| contents[cell] == Content::Text || mapping.columns != Some(Columns::Services);
            match Role::of_line(name, contents[cell]).filter(may_fill) {
                Some(role) if claim(&mut fields, cell, role) => {}
                None if contents[cell] != Content::Text => series.push(cell),
                _ => labels.push(cell),
            }
        }
        let mut undecided = series.clone();
        undecided.retain(|&cell| contents[cell] == Content::Empty);
        Self {
            fields,
            labels,
            series,
            undecided,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::delimiter::COMMA;
    use crate::import::testing::mapping;

    fn columns(header: &str, line: &str, service: Option<usize>) -> WideColumns {
        columns_with(&[], header, line, service)
    }

    fn columns_with(flags: &[&str], header: &str, line: &str, service: Option<usize>) -> WideColumns {
        let (header, first_lines, mapping) = (Header::new(header, COMMA), std::iter::once(line), mapping(flags));
        let time = TimeColumns::of(&header, first_lines.clone(), &mapping).unwrap();
        WideColumns::of(&header, first_lines, &time, service, &mapping)
    }

    #[test]
    fn who_owns_a_line_is_neither_a_series_nor_a_label_also_as_a_number() {
        let found = columns("time,Tenant,pod,env,cpu,zone,,date", "1,1001,p,prod,2,eu,3,4", Some(2));
        let fields = vec![(2, Role::Service), (1, Role::Tenant), (3, Role::Environment)];
        assert_eq!((found.fields, found.labels, found.series), (fields, vec![5], vec![4]));
    }

    #[test]
    fn numbers_are_a_series_by_the_name_of_a_user_and_none_by_that_of_an_id() {
        assert_eq!(columns("time,user,team", "1,60,", None).series, [1, 2]);
        assert_eq!(columns("time,user,cpu", "1,ann,2", None).fields, [(1, Role::User)]);
        assert_eq!(columns("time,user_id,cpu", "1,7,2", None).fields, [(1, Role::User)]);
    }

    #[test]
    fn a_service_that_is_called_like_a_field_is_known_by_its_numbers_or_by_the_flag() {
        assert_eq!(columns("time,tenant,env", "1,0.5,-2", None).series, [1, 2]);
        let services = ["--columns", "services"];
        let found = columns_with(&services, "time,tenant,env,user_id", "1,7,prod,8", None);
        assert_eq!((found.fields, found.series), (vec![(2, Role::Environment)], vec![1, 3]));
    }

    #[test]
    fn a_column_without_a_value_in_the_first_lines_is_a_series_that_may_begin_later() {
        let found = columns("time,cpu,io,net", "1,2,N/A,", None);
        assert_eq!((found.series, found.undecided), (vec![1, 2, 3], vec![2, 3]));
    }

    #[test]
    fn the_second_of_two_columns_with_one_meaning_is_a_label() {
        let found = columns("time,tenant,tenant_id,cpu", "1,8,9,2", None);
        assert_eq!((found.fields, found.labels), (vec![(1, Role::Tenant)], vec![2]));
    }
}
