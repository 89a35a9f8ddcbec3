//! Whose constraint refuses a row: that of the lease, or one that somebody added to the table.
//!
//! Enters: the text of ClickHouse's error 469. Leaves: what it says of somebody else's constraint. The values of the row
//! come from callers, so only what stands before them is read. Whatever cannot be read is the lease: the end of a lease
//! must never reject a record.

/// The name of the constraint in `schemas/migrations/`.
const LEASE: &str = "lease";
/// The column that it is about. A constraint of another name about the same column is taken for a lease, too.
const LEASE_COLUMN: &str = "inserted_at";
/// Before the name, which is always quoted.
const BEFORE_NAME: &str = "Code: 469. DB::Exception: Constraint `";
/// Between the name and the table.
const BEHIND_NAME: &str = "` for table ";
/// Before the values of the row.
const BEFORE_VALUES: &str = "Column values: ";

/// What is said of a violated constraint that is surely not that of the lease. Without the values of the row, which may
/// be confidential: the text is logged, and stored as the reason of the rejection.
pub fn foreign(message: &str) -> Option<&str> {
    let said = message.split_once(BEFORE_VALUES).map_or(message, |(said, _)| said);
    let (name, definition) = said.strip_prefix(BEFORE_NAME)?.split_once(BEHIND_NAME)?;
    (name != LEASE && !definition.contains(LEASE_COLUMN)).then_some(said.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn violated(name: &str, expression: &str, values: &str) -> String {
        format!(
            "Code: 469. DB::Exception: Constraint `{name}` for table horolog.metrics \
             (5d2b3a0e-3f5c-4c0a-9c6e-0f7d5a1b2c3d) is violated at row 1. Expression: ({expression}). Column values: \
             {values}. (VIOLATED_CONSTRAINT) (version 26.7.2.1 (official build))"
        )
    }

    fn is_foreign(message: &str) -> bool {
        foreign(message).is_some()
    }

    #[test]
    fn the_constraint_of_the_lease_is_told_by_its_name_and_its_column() {
        let lease = "(inserted_at > (now64(3) - toIntervalSecond(60))) AND \
                     (inserted_at < (now64(3) + toIntervalSecond(60)))";
        let at = "inserted_at = '2026-01-01 00:00:00.000'";
        assert!(!is_foreign(&violated("lease", lease, at)));
        assert!(!is_foreign(&violated("fresh", lease, at)));
        assert!(is_foreign(&violated("finite", "value < 100", "value = 250")));
        assert!(is_foreign(&violated("lease_2", "value < 100", "value = 250")));
        assert!(is_foreign(
            "Code: 469. DB::Exception: Constraint `known` for table horolog.metrics is violated. Expression: \
             (nullIf(unit, '') = 'ms').Constraint expression returns nullable column that contains null value. \
             (VIOLATED_CONSTRAINT)"
        ));
        assert!(is_foreign(
            "Code: 469. DB::Exception: Constraint `small` for table horolog.seen is violated at row 1. Expression: \
             (id < 5). Column values: id = 9: while pushing to view horolog.seeing. (VIOLATED_CONSTRAINT)"
        ));
    }

    #[test]
    fn values_of_a_row_decide_nothing() {
        let lease_in_values = "unit = 'Constraint `lease` for table t is violated: inserted_at'";
        assert!(is_foreign(&violated("known", "unit = 'ms'", lease_in_values)));
        let known_in_values = "unit = 'Code: 469. DB::Exception: Constraint `known` for table t'";
        assert!(!is_foreign(&violated(
            "lease",
            "(inserted_at, unit) > now64(3)",
            known_in_values
        )));
    }

    #[test]
    fn what_is_said_tells_no_value() {
        let message = violated("known", "unit = 'ms'", "unit = 'hunter2'");
        let said = foreign(&message).unwrap();
        assert!(
            said.ends_with("is violated at row 1. Expression: (unit = 'ms')."),
            "{said}"
        );
    }

    #[test]
    fn what_cannot_be_read_is_the_lease() {
        for text in [
            "",
            "Code: 469. DB::Exception: ",
            "Code: 469. DB::Exception: Some constraints are not satisfied. (VIOLATED_CONSTRAINT)",
            "Code: 469. DB::Exception: Constraint known for table t is violated at row 1.",
            "Code: 469. DB::Exception: Constraint `known` is violated at row 1.",
            "Code: 469. DB::Exception: Received from ch:9000. DB::Exception: Constraint `known` for table t is violated",
            "bad gateway: Code: 469. DB::Exception: Constraint `known` for table t is violated",
        ] {
            assert!(!is_foreign(text), "{text}");
        }
    }
}
