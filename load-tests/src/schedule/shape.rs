//! The shapes of a schedule, as written on the command line.
//!
//! `constant`, `poisson`, `bursts:PERIOD/LENGTH/FACTOR`, `ramp:FROM`, `trace:FILE`. The caller reads the file of a
//! trace.

use std::time::Duration;

use crate::span;

/// How the rate varies over time.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// Evenly spaced.
    Constant,
    /// Exponential gaps, as from many independent services.
    Poisson,
    /// A burst at a multiple of the mean rate at the start of each period, then a rate that keeps the mean.
    Bursts {
        /// From one burst to the next.
        period: Duration,
        /// Length of a burst.
        length: Duration,
        /// Rate in a burst, relative to the mean rate.
        factor: f64,
    },
    /// Linear, from this rate to that of the schedule.
    Ramp {
        /// Records a second at the beginning.
        from: f64,
    },
    /// At recorded times.
    Trace(Vec<Duration>),
}

/// Why a schedule is invalid.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum ShapeError {
    /// Not a known shape.
    #[error("unknown schedule `{0}`: use constant, poisson, bursts:PERIOD/LENGTH/FACTOR, ramp:FROM or trace:FILE")]
    Unknown(String),
    /// Not a duration.
    #[error("schedule: {0}")]
    Duration(String),
    /// Not a number.
    #[error("schedule: `{0}` is not a number above zero")]
    Number(String),
    /// The rest of the period would need a negative rate.
    #[error(
        "schedule: bursts of {length:?} in {period:?} at {factor} times the mean rate leave a negative rate for the rest"
    )]
    Bursts {
        /// From one burst to the next.
        period: Duration,
        /// Length of a burst.
        length: Duration,
        /// Rate in a burst, relative to the mean rate.
        factor: f64,
    },
    /// A rate that is not positive.
    #[error("rate: {0} records a second; it must be above 0")]
    Rate(f64),
}

impl Shape {
    /// Parses a shape that needs no file; `None` for a trace.
    pub fn parse(text: &str) -> Result<Option<Self>, ShapeError> {
        let (name, rest) = text.split_once(':').unwrap_or((text, ""));
        match (name, rest) {
            ("constant", "") => Ok(Some(Self::Constant)),
            ("poisson", "") => Ok(Some(Self::Poisson)),
            ("bursts", rest) if rest.split('/').count() == 3 => bursts(rest).map(Some),
            ("ramp", from) if !from.is_empty() => Ok(Some(Self::Ramp {
                from: number(from, 0.0)?,
            })),
            ("trace", file) if !file.is_empty() => Ok(None),
            _ => Err(ShapeError::Unknown(text.to_owned())),
        }
    }

    pub(super) fn check(&self, per_second: f64) -> Result<(), ShapeError> {
        match self {
            Self::Trace(_) => Ok(()),
            _ if !(per_second.is_finite() && per_second > 0.0) => Err(ShapeError::Rate(per_second)),
            &Self::Bursts { period, length, factor } => {
                let share = length.as_secs_f64() / period.as_secs_f64();
                if share > 0.0 && share < 1.0 && share * factor <= 1.0 {
                    Ok(())
                } else {
                    Err(ShapeError::Bursts { period, length, factor })
                }
            }
            _ => Ok(()),
        }
    }
}

fn bursts(text: &str) -> Result<Shape, ShapeError> {
    let mut parts = text.split('/');
    let mut next = || parts.next().unwrap_or_default();
    let (period, length, factor) = (next(), next(), next());
    Ok(Shape::Bursts {
        period: span::parse(period).map_err(ShapeError::Duration)?,
        length: span::parse(length).map_err(ShapeError::Duration)?,
        factor: number(factor, f64::MIN_POSITIVE)?,
    })
}

fn number(text: &str, min: f64) -> Result<f64, ShapeError> {
    let number = text
        .parse::<f64>()
        .ok()
        .filter(|number| number.is_finite() && *number >= min);
    number.ok_or_else(|| ShapeError::Number(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_is_read() {
        assert_eq!(Shape::parse("constant"), Ok(Some(Shape::Constant)));
        assert_eq!(Shape::parse("poisson"), Ok(Some(Shape::Poisson)));
        let bursts = Shape::Bursts {
            period: Duration::from_secs(10),
            length: Duration::from_secs(2),
            factor: 4.0,
        };
        assert_eq!(Shape::parse("bursts:10s/2s/4"), Ok(Some(bursts)));
        assert_eq!(Shape::parse("ramp:100"), Ok(Some(Shape::Ramp { from: 100.0 })));
        assert_eq!(Shape::parse("trace:times.txt"), Ok(None));
    }

    #[test]
    fn an_unknown_one_is_named_with_those_there_are() {
        for text in ["", "sinus", "constant:1", "bursts", "bursts:1s/2s", "ramp", "trace:"] {
            let error = Shape::parse(text).unwrap_err().to_string();
            assert!(
                error.contains("unknown schedule") && error.contains("poisson"),
                "{error}"
            );
        }
    }

    #[test]
    fn bursts_that_leave_less_than_nothing_are_refused() {
        let shape = |text: &str| Shape::parse(text).unwrap().unwrap();
        assert_eq!(shape("bursts:10s/2s/5").check(100.0), Ok(()));
        assert!(shape("bursts:10s/2s/6").check(100.0).is_err());
        assert!(shape("bursts:10s/10s/1").check(100.0).is_err());
        assert!(shape("constant").check(0.0).is_err());
        assert!(Shape::parse("ramp:-1").is_err());
    }
}
