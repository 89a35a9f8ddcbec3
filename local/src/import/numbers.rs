//! How the user says that numbers are written.
//!
//! Enters: the flag `--decimal`; then texts. Leaves: numbers. Whether `1,234` is a thousand or little more than one is
//! never guessed: where a file may have either, the user says it. Pure.

use clap::{Args, ValueEnum};

use super::delimiter::COMMA;
use super::detect_error::DetectError;
use super::header::Header;

/// What separates the whole part of a number from its fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Decimal {
    /// 1234.5
    Point,
    /// 1234,5
    Comma,
}

/// The flag about numbers.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct Numbers {
    /// The decimal sign of the numbers in CSV [default: a point].
    #[arg(long, value_enum)]
    pub decimal: Option<Decimal>,
}

impl Numbers {
    /// Reads a number; `NaN` and infinities are some.
    pub fn read(self, text: &str) -> Option<f64> {
        match self.decimal {
            Some(Decimal::Comma) if text.contains('.') => None, // of thousands, if of anything
            Some(Decimal::Comma) => text.replacen(',', ".", 1).parse().ok(),
            Some(Decimal::Point) | None => text.parse().ok(),
        }
    }

    /// Refuses a file whose columns are not separated by commas, if numbers have some in them and nobody said what they
    /// mean: as text they would be labels.
    pub fn check<'a>(self, header: &Header, first_lines: impl Iterator<Item = &'a str>) -> Result<(), DetectError> {
        if self.decimal.is_some() || header.delimiter == COMMA {
            return Ok(());
        }
        let mut fields = header.fields();
        for line in first_lines {
            let is_row = fields.split_row(line, header.cells.len()).is_ok();
            if let Some((column, text)) =
                (header.cells.iter().zip(fields.iter())).find(|(_, text)| is_row && has_decimal_comma(text))
            {
                return Err(DetectError::Decimal {
                    column: column.clone(),
                    text: text.to_owned(),
                });
            }
        }
        Ok(())
    }
}

/// Whether it is a number with one comma in it.
pub fn has_decimal_comma(text: &str) -> bool {
    let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    (unsigned.split_once(',')).is_some_and(|(whole, fraction)| are_digits(whole) && are_digits(fraction))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_with_the_sign_that_the_user_says() {
        let read = |text, decimal| Numbers { decimal }.read(text);
        assert_eq!(read("-1234.5", None), Some(-1234.5));
        assert_eq!(read("1,5", None), None);
        assert_eq!(read("1,5", Some(Decimal::Point)), None);
        for (text, number) in [("1,5", Some(1.5)), ("-,5e3", Some(-500.0)), ("17", Some(17.0))] {
            assert_eq!(read(text, Some(Decimal::Comma)), number, "{text}");
        }
        for text in ["1.5", "1.234,5", "1,2,3", "1 234,5", ""] {
            assert_eq!(read(text, Some(Decimal::Comma)), None, "{text}");
        }
    }

    #[test]
    fn a_decimal_comma_stands_between_digits() {
        assert!(["1,5", "-0,25", "+10,0", "1,234"].into_iter().all(has_decimal_comma));
        assert!(
            !["1", ",5", "1,", "1,2,3", "a,1", "1.5", "1,5 V", ""]
                .into_iter()
                .any(has_decimal_comma)
        );
    }
}
