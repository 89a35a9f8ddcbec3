//! What the header of a CSV file says: which columns are the time, the value and the service.
//!
//! Enters: the cells of the first line. Leaves: indexes of columns, or what is missing; with the first lines behind it,
//! what each column holds. Pure.

use std::collections::HashSet;

use super::content::Content;
use super::fields::{Fields, is_absent};
use super::mapping::ImportedType;
use super::numbers::Numbers;
use super::role::Role;

/// Names of a time column, most trusted first: of `Time` and `TimeStamp`, `Time` is taken.
const TIME_NAMES: [&str; 7] = [
    "time",
    "timestamp",
    "datetime",
    "date time",
    "date_time",
    "date",
    "@timestamp",
];

/// The cells of a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The cells, as written.
    pub cells: Vec<String>,
    /// What separates them.
    pub delimiter: u8,
    /// Whether the line ends inside quotes.
    is_open: bool,
}

/// Why a header cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The column that a flag names is not there.
    #[error("there is no column `{wanted}` ({flag}); the columns are {}", found.join(", "))]
    Named {
        /// The flag.
        flag: &'static str,
        /// What the flag said.
        wanted: String,
        /// What there is.
        found: Vec<String>,
    },
    /// None of the names of a time column is there.
    #[error("there is no time column; name it with --time-column: the columns are {}", found.join(", "))]
    Time {
        /// What there is.
        found: Vec<String>,
    },
    /// A name with a line break in it, or a quote that is never closed.
    #[error("its header ends inside quotes; a column name cannot contain a line break")]
    OpenQuote,
    /// Two columns that would be one metric, service or label.
    #[error("the column `{name}` appears twice; give each column its own name")]
    Repeated {
        /// The name.
        name: String,
    },
}

impl Header {
    /// Takes the first line.
    pub fn new(line: &str, delimiter: u8) -> Self {
        let mut fields = Fields::new(delimiter);
        fields.split(line);
        Self {
            cells: fields.iter().map(str::to_owned).collect(),
            delimiter,
            is_open: fields.is_open(),
        }
    }

    /// Checks that the names of its columns are whole and unique; columns without a name are ignored.
    pub fn check(&self) -> Result<(), HeaderError> {
        if self.is_open {
            return Err(HeaderError::OpenQuote);
        }
        let mut names = HashSet::new();
        match self.cells.iter().find(|name| !name.is_empty() && !names.insert(*name)) {
            Some(name) => Err(HeaderError::Repeated { name: name.clone() }),
            None => Ok(()),
        }
    }

    /// Splits the lines that follow.
    pub fn fields(&self) -> Fields {
        Fields::new(self.delimiter)
    }

    /// The indexes of the time columns: those that the flag names, which must exist, else the one with the usual name.
    pub fn time(&self, named: &[String]) -> Result<Vec<usize>, HeaderError> {
        if !named.is_empty() {
            return named.iter().map(|wanted| self.named("--time-column", wanted)).collect();
        }
        let usual = TIME_NAMES.iter().find_map(|name| self.position(name));
        usual.map(|time| vec![time]).ok_or_else(|| HeaderError::Time {
            found: self.cells.clone(),
        })
    }

    /// The index of the column `date`.
    pub fn date(&self) -> Option<usize> {
        self.position("date")
    }

    /// The index of the column `value`.
    pub fn value(&self) -> Option<usize> {
        self.position("value")
    }

    /// The index of the service column: the one that the flag names, which must exist, else one with a usual name, if
    /// any.
    pub fn service(&self, named: Option<&str>) -> Result<Option<usize>, HeaderError> {
        match named {
            Some(wanted) => self.named("--service-column", wanted).map(Some),
            None => Ok((self.cells.iter()).position(|cell| Role::of(cell) == Some(Role::Service))),
        }
    }

    /// The index of the column of this name, in any case.
    fn position(&self, name: &str) -> Option<usize> {
        self.cells.iter().position(|cell| cell.eq_ignore_ascii_case(name))
    }

    fn named(&self, flag: &'static str, wanted: &str) -> Result<usize, HeaderError> {
        let is_wanted = |cell: &String| cell == wanted;
        (self.cells.iter().position(is_wanted)).ok_or_else(|| HeaderError::Named {
            flag,
            wanted: wanted.to_owned(),
            found: self.cells.clone(),
        })
    }

    /// The index of a column `type` that is not the type of metrics: it has values in the first lines, and none of them
    /// is a metric type.
    pub fn other_type<'a>(&self, first_lines: impl Iterator<Item = &'a str>) -> Option<usize> {
        let cell = self.position("type")?;
        let (mut fields, mut has_values) = (self.fields(), false);
        for line in first_lines {
            if fields.split_row(line, self.cells.len()).is_err() {
                continue;
            }
            let text = fields.get(cell);
            if ImportedType::read(text).is_some() {
                return None;
            }
            has_values |= !is_absent(text);
        }
        has_values.then_some(cell)
    }

    /// What each column holds in the first lines.
    pub fn contents<'a>(&self, first_lines: impl Iterator<Item = &'a str>, numbers: Numbers) -> Vec<Content> {
        let mut fields = self.fields();
        let mut contents = vec![Content::Empty; self.cells.len()];
        for line in first_lines {
            // Lines that are no rows say nothing about the columns: the rest of a text with a line break would count
            // for the wrong ones.
            if fields.split_row(line, self.cells.len()).is_err() {
                continue;
            }
            for (content, text) in contents.iter_mut().zip(fields.iter()) {
                *content = content.and(Content::of(text, numbers));
            }
        }
        contents
    }

    /// Whether a column says what was measured.
    pub fn has_metric(&self) -> bool {
        self.cells.iter().any(|cell| Role::of(cell) == Some(Role::Metric))
    }
}

/// Whether a column is named like a time: a second one is no metric.
pub fn is_time_name(cell: &str) -> bool {
    TIME_NAMES.iter().any(|name| cell.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::delimiter::COMMA;

    #[test]
    fn finds_time_value_and_service_in_any_case() {
        let header = Header::new("TimeStamp,Time,pod_name,VALUE", COMMA);
        assert_eq!(header.time(&[]), Ok(vec![1]));
        assert_eq!(header.time(&["TimeStamp".to_owned()]), Ok(vec![0]));
        assert_eq!(header.service(None), Ok(Some(2)));
        assert_eq!(header.service(Some("VALUE")), Ok(Some(3)));
        assert_eq!(header.value(), Some(3));
    }

    #[test]
    fn a_column_type_is_that_of_metrics_unless_its_values_are_others() {
        let header = Header::new("time,Type,value", COMMA);
        assert_eq!(header.other_type(["1,,1", "2,disk,1", "3"].into_iter()), Some(1));
        assert_eq!(header.other_type(["1,disk,1", "2,Gauge,1"].into_iter()), None);
        assert_eq!(header.other_type(["1,,1", "2,N/A,1"].into_iter()), None);
        assert_eq!(
            Header::new("time,metric_type", COMMA).other_type(["1,disk"].into_iter()),
            None
        );
    }

    #[test]
    fn the_name_of_a_column_is_whole_and_its_own() {
        let check = |line: &str| Header::new(line, COMMA).check();
        assert_eq!(check("time,\"cpu, all\""), Ok(()));
        assert_eq!(check("time,\"cpu"), Err(HeaderError::OpenQuote));
        assert_eq!(check("time,,Time,TimeStamp,cpu,CPU,"), Ok(()));
        let error = check("time,pod,cpu, cpu ").unwrap_err().to_string();
        assert!(error.contains("the column `cpu` appears twice"), "{error}");
    }

    #[test]
    fn lines_that_are_no_rows_say_nothing_of_the_columns() {
        let header = Header::new("time,host,text", COMMA);
        let lines = ["1,web,\"Traceback", "at line, 3", "called by,7,8,9\"", "2,db,ok"];
        assert_eq!(
            header.contents(lines.into_iter(), Numbers::default()),
            [Content::Whole, Content::Text, Content::Text]
        );
    }

    #[test]
    fn one_number_makes_what_may_be_a_series_and_nan_does_not() {
        let lines = [",a,,a,nan,7", "1,,N/A,2,db-1,-0.5", ",,null,b,,8"];
        let (whole, numbers) = (Content::Whole, Content::Numbers);
        assert_eq!(
            Header::new("a,b,c,d,e,f", COMMA).contents(lines.into_iter(), Numbers::default()),
            [
                whole,
                Content::Text,
                Content::Empty,
                Content::Mixed,
                Content::Text,
                numbers
            ]
        );
    }

    #[test]
    fn names_the_columns_when_there_is_no_time() {
        let header = Header::new("Source,Target", COMMA);
        assert!(
            header
                .time(&[])
                .unwrap_err()
                .to_string()
                .contains("--time-column: the columns are Source, Target")
        );
        assert!(
            header
                .time(&["ts".to_owned()])
                .unwrap_err()
                .to_string()
                .contains("`ts` (--time-column)")
        );
        let error = header.service(Some("app")).unwrap_err().to_string();
        assert!(error.contains("`app` (--service-column)"), "{error}");
    }
}
