//! The verdict as JUnit XML for CI systems. Pure.
//!
//! One test case for the account of every record, one for the tester itself, one for each objective.

use std::fmt::Write as _;

use super::figures::Results;
use super::verdict::Outcome;

/// A test case, and why it failed if it did.
struct Case {
    name: String,
    fault: Option<Fault>,
}

enum Fault {
    /// The test found a fault.
    Failure(String),
    /// The test could not be carried out.
    Error(String),
}

/// The text of a `junit.xml`.
pub fn junit(results: &Results) -> String {
    let cases = cases(results);
    let count = |wanted: fn(&Fault) -> bool| {
        cases
            .iter()
            .filter(|case| case.fault.as_ref().is_some_and(wanted))
            .count()
    };
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
        <testsuite name=\"horolog-load {} {}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" time=\"{:.3}\" timestamp=\"{}\">\n",
        escaped(&results.mode),
        escaped(&results.settings.label),
        cases.len(),
        count(|fault| matches!(fault, Fault::Failure(_))),
        count(|fault| matches!(fault, Fault::Error(_))),
        results.total_s,
        escaped(&results.started_at),
    );
    for case in cases {
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "  <testcase classname=\"horolog-load\" name=\"{}\"",
            escaped(&case.name)
        );
        let _ = match case.fault {
            None => writeln!(text, "/>"),
            Some(Fault::Failure(why)) => writeln!(text, "><failure message=\"{}\"/></testcase>", escaped(&why)),
            Some(Fault::Error(why)) => writeln!(text, "><error message=\"{}\"/></testcase>", escaped(&why)),
        };
    }
    text.push_str("</testsuite>\n");
    text
}

fn cases(results: &Results) -> Vec<Case> {
    let reasons = || results.verdict.reasons.join("; ");
    let outcome = results.verdict.outcome;
    let mut cases = vec![
        Case {
            name: "run".to_owned(),
            fault: match outcome {
                Outcome::Passed => None,
                Outcome::Failed => Some(Fault::Failure(reasons())),
                Outcome::Refused | Outcome::Interrupted => Some(Fault::Error(reasons())),
            },
        },
        Case {
            name: "every record in its place once".to_owned(),
            fault: match &results.account {
                None => Some(Fault::Error("not checked".to_owned())),
                Some(account) => {
                    let faults = account.faults();
                    (!faults.is_empty()).then(|| Fault::Failure(faults.join("; ")))
                }
            },
        },
        Case {
            name: "the tester kept to its schedule".to_owned(),
            fault: results
                .tester
                .was_bottleneck()
                .then(|| Fault::Error(format!("{} records left late", results.tester.late))),
        },
    ];
    cases.extend(results.objectives.iter().map(|objective| {
        let missed = || match objective.found_us {
            Some(found) => Fault::Failure(format!("{:.3} s", found as f64 / 1e6)),
            None => Fault::Error("not measured".to_owned()),
        };
        Case {
            name: objective.objective.clone(),
            fault: (!objective.held).then(missed),
        }
    }));
    cases
}

/// Escapes text for XML or HTML, including attributes.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            // XML 1.0 cannot represent them.
            '\0'..='\x08' | '\x0b' | '\x0c' | '\x0e'..='\x1f' => escaped.push('\u{fffd}'),
            _ => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_ends_it() {
        assert_eq!(escaped("a<b>&\"\u{1}é\n"), "a&lt;b&gt;&amp;&quot;\u{fffd}é\n");
    }
}
