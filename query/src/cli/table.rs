//! Rows of an answer as an aligned table, and one document as names and values.
//!
//! Enters: JSON and columns. Leaves: text in which terminal control characters are replaced, so that a record cannot
//! steer the reader's terminal. Rows that a terminal is too narrow for are lists of names and values; in a pipe each row
//! stays one line.

use comfy_table::presets::NOTHING;
use comfy_table::{Cell, CellAlignment, ContentArrangement};
use serde_json::Value;

use horolog_stage::steering::steers;

/// Significant digits of a measurement in a table.
const SIGNIFICANT_DIGITS: i32 = 6;

/// A column: its title, and the path of its value in a row (`kafka.offset` is a nested member).
#[derive(Debug, Clone, Copy)]
pub struct Column {
    title: &'static str,
    path: &'static str,
    is_number: bool,
}

/// A column of text.
pub const fn text(title: &'static str, path: &'static str) -> Column {
    Column {
        title,
        path,
        is_number: false,
    }
}

/// A column of numbers.
pub const fn number(title: &'static str, path: &'static str) -> Column {
    Column {
        title,
        path,
        is_number: true,
    }
}

/// Rows with a header. Columns that are empty in every row are left out. If a terminal is too narrow for them, each row
/// is a list of names and values: in cells of a few characters nobody reads a number, or copies an id.
pub fn of_rows(columns: &[Column], rows: &[Value]) -> String {
    let used = |column: &&Column| rows.iter().any(|row| !shown(at(row, column.path)).is_empty());
    let columns: Vec<&Column> = columns.iter().filter(used).collect();
    let cell = |column: &Column, text: String| {
        let cell = Cell::new(text);
        if column.is_number {
            cell.set_alignment(CellAlignment::Right)
        } else {
            cell
        }
    };
    let mut table = empty();
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(columns.iter().map(|column| cell(column, column.title.to_owned())));
    for row in rows {
        let texts = columns
            .iter()
            .map(|column| (column, one_line(&shown(at(row, column.path)))));
        table.add_row(texts.map(|(column, text)| cell(column, text)));
    }
    // A blank on either side of each.
    let widths = table.column_max_content_widths();
    let needed: usize = widths.iter().map(|width| usize::from(*width) + 2).sum();
    // A terminal that does not say how wide it is has a width of 0.
    let width = table.width().filter(|width| *width > 0 && table.is_tty());
    match width.is_some_and(|width| needed > usize::from(width)) {
        true => listed(&columns, rows),
        false => rendered(&table),
    }
}

fn listed(columns: &[&Column], rows: &[Value]) -> String {
    let one = |row: &Value| {
        let mut table = empty();
        for column in columns {
            let value = shown(at(row, column.path));
            if !value.is_empty() {
                table.add_row([column.title.to_owned(), value]);
            }
        }
        rendered(&table)
    };
    rows.iter().map(one).collect::<Vec<_>>().join("\n\n")
}

/// A text that must not make a second line.
pub fn one_line(text: &str) -> String {
    text.replace('\n', "\u{fffd}")
}

/// Members of a document by their paths, one per line; empty ones are left out.
pub fn of_members(document: &Value, paths: &[&'static str]) -> String {
    let mut table = empty();
    for &path in paths {
        let value = shown(at(document, path));
        if !value.is_empty() {
            table.add_row([path.to_owned(), value]);
        }
    }
    rendered(&table)
}

/// The member of a document at a path of names, `null` if there is none.
fn at<'a>(document: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(document, |value, name| &value[name])
}

/// A value in human-readable form.
pub fn shown(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => plain(text),
        Value::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
            Some(measured) => rounded(measured),
            None => number.to_string(),
        },
        Value::Object(members) if members.is_empty() => String::new(),
        Value::Array(entries) => entries.iter().map(shown).collect::<Vec<_>>().join(", "),
        other => plain(&other.to_string()),
    }
}

/// Replaces terminal control characters, except line breaks.
pub fn plain(text: &str) -> String {
    let replaced = |c: char| {
        if steers(c) && c != '\n' {
            char::REPLACEMENT_CHARACTER
        } else {
            c
        }
    };
    text.chars().map(replaced).collect()
}

fn rounded(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let magnitude = value.abs().log10().floor() as i32;
    if !(-5..15).contains(&magnitude) {
        return format!("{value:.5e}");
    }
    let decimals = (SIGNIFICANT_DIGITS - 1 - magnitude).max(0) as usize;
    let text = format!("{value:.decimals$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

fn empty() -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table.load_preset(NOTHING);
    // A terminal that does not say how wide it is has no columns.
    let arrangement = if table.is_tty() && table.width() != Some(0) {
        ContentArrangement::Dynamic
    } else {
        ContentArrangement::Disabled
    };
    table.set_content_arrangement(arrangement);
    table
}

fn rendered(table: &comfy_table::Table) -> String {
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_are_aligned_and_empty_ones_left_out() {
        let rows = [
            json!({"a": "x", "n": 1, "k": {"o": 7}}),
            json!({"a": "long", "n": 1234.5, "k": {"o": 12}}),
        ];
        let columns = [
            text("NAME", "a"),
            text("TEAM", "t"),
            number("N", "n"),
            number("OFFSET", "k.o"),
        ];
        assert_eq!(
            of_rows(&columns, &rows),
            " NAME       N  OFFSET\n x          1       7\n long  1234.5      12"
        );
    }

    #[test]
    fn a_row_is_one_line() {
        let rows = [json!({"a": "x\ny", "n": 1})];
        let columns = [text("NAME", "a"), number("N", "n")];
        assert_eq!(of_rows(&columns, &rows), " NAME  N\n x\u{fffd}y   1");
    }

    #[test]
    fn a_record_cannot_steer_the_terminal() {
        assert_eq!(
            shown(&json!("\u{1b}[2Jgone\u{9b}1m\u{2066}")),
            "\u{fffd}[2Jgone\u{fffd}1m\u{fffd}"
        );
    }

    #[test]
    fn a_list_is_its_entries() {
        assert_eq!(shown(&json!(["a", 1, "b\u{1b}"])), "a, 1, b\u{fffd}");
        assert_eq!(shown(&json!([])), "");
    }

    #[test]
    fn measurements_have_six_digits() {
        for (value, text) in [
            (0.1 + 0.2, "0.3"),
            (123456.789, "123457"),
            (-1.5, "-1.5"),
            (1e-9, "1.00000e-9"),
            (2.5e20, "2.50000e20"),
            (0.0, "0"),
            (12000.0, "12000"),
        ] {
            assert_eq!(shown(&json!(value)), text);
        }
    }
}
