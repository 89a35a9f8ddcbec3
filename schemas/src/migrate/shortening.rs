//! What a table would lose with a new TTL: rows deleted sooner, or no longer moved.
//!
//! Enters: two TTLs, as written by the server or by us. Leaves: a description of the loss. Guarantees: an age in an
//! unknown unit counts as unlimited, so that replacing it by one of ours is reported as a loss. Pure. Never does:
//! evaluate an expression; it only extracts the ages in it.

use super::definition::{join, split_list};
use super::sql::{Depth, Token, TokenKind, tokens};

/// Units of age in hours. A month is a twelfth of a year.
const UNITS: [(&str, u64); 5] = [("hour", 1), ("day", 24), ("week", 168), ("month", 730), ("year", 8_760)];

/// What the table would lose; `None` if it keeps its rows at least as long and moves them as before.
pub(super) fn loss(before: Option<&str>, after: Option<&str>) -> Option<String> {
    let before = Rules::of(before.unwrap_or_default());
    let after = Rules::of(after.unwrap_or_default());
    let sooner = std::iter::zip(after.ends(), before.ends()).any(|(after, before)| after < before);
    let deletion = sooner.then(|| format!("from {} to {}", before.kept(), after.kept()));
    let moved_to = before.moved_to.filter(|_| after.moved_to.is_none());
    let losses = [deletion, moved_to.map(|to| format!("no longer moved to {to}"))];
    let losses: Vec<String> = losses.into_iter().flatten().collect();
    (!losses.is_empty()).then(|| losses.join(" and "))
}

/// What a TTL does with the rows of a table. Recompression is ignored: losing it loses no data.
#[derive(Default)]
struct Rules {
    /// Ages at which rows are deleted; several if kinds differ.
    ages: Vec<Age>,
    /// Where rows are moved before that.
    moved_to: Option<String>,
}

struct Age {
    count: u64,
    unit: &'static str,
    hours: u64,
}

impl Rules {
    fn of(ttl: &str) -> Self {
        let is = |token: &Token<'_>, action: &str| token.text.eq_ignore_ascii_case(action);
        let mut rules = Self::default();
        for rule in split_list(&tokens(ttl)) {
            let mut depth = Depth::default();
            let action = rule
                .iter()
                .position(|token| depth.is_outside(token) && (is(token, "recompress") || is(token, "to")));
            match action {
                None => rules.ages.extend(ages(rule)),
                Some(at) if is(&rule[at], "to") => rules.moved_to = Some(join(&rule[at + 1..])),
                Some(_) => {}
            }
        }
        rules
    }

    /// The ages in hours at which the first and the last rows are deleted.
    fn ends(&self) -> [u64; 2] {
        let hours = || self.ages.iter().map(|age| age.hours);
        [hours().min(), hours().max()].map(|end| end.unwrap_or(u64::MAX))
    }

    fn kept(&self) -> String {
        let ages = self.ages.iter().map(|age| format!("{} {}s", age.count, age.unit));
        let ages: Vec<String> = ages.collect();
        if ages.is_empty() {
            "unlimited".to_owned()
        } else {
            ages.join(" or ")
        }
    }
}

/// The numbers that follow a function named after their unit: `toIntervalDay(30)`, `addDays(…, 30)`.
fn ages(rule: &[Token<'_>]) -> Vec<Age> {
    let mut unit = None;
    let mut ages = Vec::new();
    for word in rule.iter().filter(|token| token.kind == TokenKind::Word) {
        unit = unit_of(word.text).or(unit);
        if let (Ok(count), Some((unit, hours))) = (word.text.parse::<u64>(), unit) {
            let hours = count.saturating_mul(hours);
            ages.push(Age { count, unit, hours });
        }
    }
    ages
}

fn unit_of(function: &str) -> Option<(&'static str, u64)> {
    let function = function.to_ascii_lowercase();
    let unit = function
        .strip_prefix("tointerval")
        .or_else(|| function.strip_prefix("add"))?
        .trim_end_matches('s');
    UNITS.into_iter().find(|(name, _)| *name == unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECOMPRESSED: &str = "toDateTime(time) + toIntervalDay(7) RECOMPRESS CODEC(ZSTD(9))";
    const MOVED: &str = "toDateTime(time) + toIntervalDay(90) TO VOLUME 'cold'";

    fn deleted(age: &str) -> String {
        format!("{RECOMPRESSED}, toDateTime(time) + {age}")
    }

    /// As for rejected records.
    fn by_kind(days: u32) -> String {
        format!("if(kind = 'metric_sample', addMonths(toDateTime(time), 13), addDays(toDateTime(time), {days}))")
    }

    #[track_caller]
    fn assert_loss(before: Option<&str>, after: Option<&str>, expected: Option<&str>) {
        assert_eq!(loss(before, after).as_deref(), expected, "{before:?} {after:?}");
    }

    #[test]
    fn rows_that_go_sooner_are_a_loss_and_rows_that_stay_longer_are_none() {
        let (year, month) = (deleted("toIntervalDay(365)"), deleted("toIntervalDay(30)"));
        assert_loss(Some(&year), Some(&month), Some("from 365 days to 30 days"));
        assert_loss(Some(&month), Some(&year), None);
        assert_loss(Some(&month), Some(&month), None);
    }

    #[test]
    fn what_was_never_deleted_loses_by_any_age() {
        let month = deleted("toIntervalDay(30)");
        assert_loss(Some(RECOMPRESSED), Some(&month), Some("from unlimited to 30 days"));
        assert_loss(Some(&month), Some(RECOMPRESSED), None);
        let hours = Some("hour + toIntervalMonth(25)");
        assert_loss(None, hours, Some("from unlimited to 25 months"));
        assert_loss(hours, None, None);
        assert_loss(None, None, None);
    }

    #[test]
    fn each_kind_counts() {
        let (before, after) = (by_kind(3_650), by_kind(2_555));
        let said = "from 13 months or 3650 days to 13 months or 2555 days";
        assert_loss(Some(&before), Some(&after), Some(said));
        assert_loss(Some(&after), Some(&before), None);
    }

    #[test]
    fn a_move_that_ends_is_a_loss_and_recompression_is_nobodys() {
        let both = format!("{MOVED}, {}", deleted("toIntervalDay(3650)"));
        let neither = "toDateTime(time) + toIntervalDay(2555)";
        let said = "from 3650 days to 2555 days and no longer moved to VOLUME 'cold'";
        assert_loss(Some(&both), Some(neither), Some(said));
        assert_loss(Some(MOVED), None, Some("no longer moved to VOLUME 'cold'"));
        assert_loss(Some(MOVED), Some(&MOVED.to_lowercase()), None);
        assert_loss(Some(RECOMPRESSED), None, None);
    }

    #[test]
    fn units_compare_and_an_unknown_one_is_no_age() {
        let months = Some("hour + toIntervalMonth(12)");
        assert_loss(Some("hour + toIntervalYear(1)"), months, None);
        assert_loss(
            Some("hour + toIntervalYear(2)"),
            months,
            Some("from 2 years to 12 months"),
        );
        assert_loss(Some("hour + 86400"), months, Some("from unlimited to 12 months"));
    }
}
