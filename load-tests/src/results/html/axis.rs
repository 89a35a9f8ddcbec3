//! Axes: from a value to a position, and the positions of the grid lines. Pure.

/// How values are spread along an axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Scale {
    /// Evenly.
    Linear {
        /// Value at the start.
        from: f64,
        /// Value at the end.
        to: f64,
    },
    /// Each factor of ten takes the same space.
    Log {
        /// Value at the start.
        from: f64,
        /// Value at the end.
        to: f64,
    },
    /// Quantiles: 90 %, 99 % and 99.9 % are equally spaced, as in HdrHistogram's plots.
    Nines {
        /// The number of nines at the end of the axis.
        nines: f64,
    },
}

/// A grid line.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tick {
    /// Position, from 0 to 1.
    pub place: f64,
    /// Its label; empty for a minor line.
    pub text: String,
}

impl Scale {
    /// Linear, from 0 to a round number.
    pub(super) fn from_zero(most: f64) -> Self {
        let most = if most > 0.0 { most } else { 1.0 };
        let step = step(most);
        let to = (most / step).ceil().max(1.0) * step;
        Self::Linear { from: 0.0, to }
    }

    /// Logarithmic, with whole factors of ten around the values.
    pub(super) fn decades(least: f64, most: f64) -> Self {
        let from = 10f64.powf(least.max(f64::MIN_POSITIVE).log10().floor());
        let to = 10f64.powf(most.max(from * 1.01).log10().ceil());
        Self::Log { from, to }
    }

    /// Position along the axis, from 0 to 1.
    pub(super) fn place(self, value: f64) -> f64 {
        let place = match self {
            Self::Linear { from, to } => (value - from) / (to - from),
            Self::Log { from, to } => (value.max(from) / from).log10() / (to / from).log10(),
            Self::Nines { nines } => -(1.0 - value).max(10f64.powf(-nines)).log10() / nines,
        };
        place.clamp(0.0, 1.0)
    }

    /// The grid lines.
    pub(super) fn ticks(self, text: impl Fn(f64) -> String) -> Vec<Tick> {
        let at = |value: f64, text: String| Tick {
            place: self.place(value),
            text,
        };
        match self {
            Self::Linear { from, to } => {
                let step = step(to - from);
                let count = ((to - from) / step).round() as u32;
                (0..=count)
                    .map(|number| {
                        let value = from + step * f64::from(number);
                        at(value, text(value))
                    })
                    .filter(|tick| tick.place <= 1.0)
                    .collect()
            }
            Self::Log { from, to } => {
                let decades = (to / from).log10().round() as u32;
                let lines = (0..=decades).flat_map(|decade| {
                    let value = from * 10f64.powi(decade.cast_signed());
                    let between = (2..10).map(move |digit| (value * f64::from(digit), false));
                    std::iter::once((value, true)).chain(between)
                });
                lines
                    .filter(|(value, _)| *value <= to * 1.001)
                    .map(|(value, named)| at(value, if named { text(value) } else { String::new() }))
                    .collect()
            }
            Self::Nines { nines } => (0..=nines as u32)
                .map(|nines| {
                    let quantile = 1.0 - 10f64.powi(-nines.cast_signed());
                    let digits = nines.saturating_sub(2) as usize;
                    at(quantile, format!("{:.digits$} %", quantile * 100.0))
                })
                .collect(),
        }
    }
}

/// A step of 1, 2 or 5 times a power of ten, so that four to eight of them span the whole.
fn step(whole: f64) -> f64 {
    let rough = whole.max(1e-9) / 5.0;
    let power = 10f64.powf(rough.log10().floor());
    let digit = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .find(|digit| digit * power >= rough * 0.999);
    digit.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(one: f64, other: f64) {
        assert!((one - other).abs() < 1e-9, "{one} is not {other}");
    }

    #[test]
    fn nines_are_at_equal_distances() {
        let scale = Scale::Nines { nines: 4.0 };
        near(scale.place(0.0), 0.0);
        near(scale.place(0.9), 0.25);
        near(scale.place(0.99), 0.5);
        near(scale.place(0.9999), 1.0);
        near(scale.place(1.0), 1.0);
        let texts: Vec<String> = scale
            .ticks(|_| String::new())
            .into_iter()
            .map(|tick| tick.text)
            .collect();
        assert_eq!(texts, ["0 %", "90 %", "99 %", "99.9 %", "99.99 %"]);
    }

    #[test]
    fn a_linear_axis_ends_at_a_round_number() {
        let scale = Scale::from_zero(87_000.0);
        assert_eq!(
            scale,
            Scale::Linear {
                from: 0.0,
                to: 100_000.0
            }
        );
        let texts: Vec<String> = scale
            .ticks(|value| value.to_string())
            .into_iter()
            .map(|tick| tick.text)
            .collect();
        assert_eq!(texts, ["0", "20000", "40000", "60000", "80000", "100000"]);
        assert_eq!(Scale::from_zero(0.0).ticks(|_| String::new()).len(), 6);
    }

    #[test]
    fn decades_hold_all_values() {
        let scale = Scale::decades(0.3, 4_200.0);
        assert_eq!(
            scale,
            Scale::Log {
                from: 0.1,
                to: 10_000.0
            }
        );
        near(scale.place(1.0), 0.2);
        let named = scale
            .ticks(|value| format!("{value}"))
            .into_iter()
            .filter(|tick| !tick.text.is_empty());
        assert_eq!(named.count(), 6);
        assert!(matches!(Scale::decades(0.0, 0.0), Scale::Log { from, to } if from < to));
    }
}
