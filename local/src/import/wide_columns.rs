//! What each column of a wide file is: a field of all samples of its line, a label of theirs, or a series.
//!
//! Enters: the header, some first lines, and which columns are the time and the service. Leaves: the indexes of the others, sorted, and
//! what fills a field. A column that is named like a field fills it; what else has text and not a single number is a label. Pure.

use horolog_schemas::MetricSample;

use super::header::{Content, Header, Role, is_time_name};
use super::metrics_long::text_field;

/// The columns of a wide file. Those of times and those without a name are not among them.
#[derive(Debug, PartialEq, Eq)]
pub struct WideColumns {
    /// They say a field of all samples of their line, each another one.
    pub fields: Vec<(usize, Role)>,
    /// They are labels of all samples of their line.
    pub labels: Vec<usize>,
    /// Each of their numbers is a sample.
    pub series: Vec<usize>,
}

impl WideColumns {
    /// Learns from the first lines which columns hold numbers.
    pub fn of<'a>(
        header: &Header,
        first_lines: impl Iterator<Item = &'a str>,
        time: usize,
        service: Option<usize>,
    ) -> Self {
        let contents = header.contents(first_lines);
        let mut fields: Vec<(usize, Role)> = service.map(|cell| (cell, Role::Service)).into_iter().collect();
        let (mut labels, mut series) = (Vec::new(), Vec::new());
        for (cell, name) in header.cells.iter().enumerate() {
            if cell == time || Some(cell) == service || is_time_name(name) || name.is_empty() {
                continue;
            }
            match Role::of_line(name, contents[cell]) {
                // The first of two columns with the same meaning has it, the other one is told as it is called.
                Some(role) if !fields.iter().any(|(_, taken)| *taken == role) => fields.push((cell, role)),
                None if contents[cell] != Content::Text => series.push(cell),
                _ => labels.push(cell),
            }
        }
        Self { fields, labels, series }
    }
}

/// A column that says a field of all samples of its line.
#[derive(Debug)]
pub struct LineField {
    /// Which.
    pub cell: usize,
    /// What it is called.
    pub header: String,
    /// Which field.
    pub role: Role,
    /// What it says where it is empty.
    otherwise: String,
}

impl LineField {
    /// Of a column; where it is empty, samples have what is `common` to all.
    pub fn new(cell: usize, role: Role, header: &Header, common: &mut MetricSample) -> Self {
        Self {
            cell,
            header: header.cells[cell].clone(),
            role,
            otherwise: text_field(common, role).cloned().unwrap_or_default(),
        }
    }

    /// Fills the field, in place of that of the line before.
    pub fn fill(&self, sample: &mut MetricSample, text: &str) {
        let said = if text.is_empty() { self.otherwise.as_str() } else { text };
        if let Some(field) = text_field(sample, self.role) {
            said.clone_into(field);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(header: &str, line: &str, service: Option<usize>) -> WideColumns {
        WideColumns::of(&Header::new(header), std::iter::once(line), 0, service)
    }

    #[test]
    fn who_owns_a_line_is_neither_a_series_nor_a_label_also_as_a_number() {
        let found = columns("time,Tenant,pod,env,cpu,zone,,date", "1,1001,p,prod,2,eu,3,4", Some(2));
        let fields = vec![(2, Role::Service), (1, Role::Tenant), (3, Role::Environment)];
        let (labels, series) = (vec![5], vec![4]);
        assert_eq!(found, WideColumns { fields, labels, series });
    }

    #[test]
    fn numbers_are_a_series_by_the_name_of_a_user_and_none_by_that_of_an_id() {
        assert_eq!(columns("time,user,team", "1,60,", None).series, [1, 2]);
        assert_eq!(columns("time,user,cpu", "1,ann,2", None).fields, [(1, Role::User)]);
        assert_eq!(columns("time,user_id,cpu", "1,7,2", None).fields, [(1, Role::User)]);
    }

    #[test]
    fn a_column_without_a_value_in_the_first_lines_is_a_series_that_begins_later() {
        assert_eq!(columns("time,cpu,io,net", "1,2,N/A,", None).series, [1, 2, 3]);
    }

    #[test]
    fn the_second_of_two_columns_with_one_meaning_is_a_label() {
        let found = columns("time,tenant,tenant_id,cpu", "1,8,9,2", None);
        assert_eq!((found.fields, found.labels), (vec![(1, Role::Tenant)], vec![2]));
    }
}
