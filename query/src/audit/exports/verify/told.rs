//! Checks the values of rows against the manifest: its filter, its teams and its masks.
//!
//! Enters: the batches of all files. Leaves: a claim for each filter that compares a column with a text, for the teams,
//! and for each mask; filters that only the engine can evaluate are reported as unknown. A filter applies to what its
//! requester sees, so it is compared with the values as exported: a pseudonym with pseudonyms.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Schema};
use ipnet::IpNet;

use super::Report;
use crate::access::mask::Mask;
use crate::audit::exports::manifest::Manifest;
use crate::audit::network::Network;

/// What every value of a column must be.
#[derive(Debug)]
enum Must {
    /// Equal to the text of the filter.
    Be(String),
    /// One of these teams.
    BeOf(Vec<String>),
    /// Masked in this way.
    Look(Mask),
}

impl Must {
    fn holds(&self, text: &str) -> bool {
        match self {
            Self::Be(wanted) => text == wanted,
            Self::BeOf(teams) => teams.iter().any(|team| team == text),
            Self::Look(Mask::Clear) => true,
            Self::Look(_) if text.is_empty() => true,
            Self::Look(Mask::KeyedHash) => {
                text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
            }
            Self::Look(Mask::Partial) => text.parse().is_ok_and(|network: IpNet| {
                let bits = if network.addr().is_ipv4() { 24 } else { 48 };
                network.prefix_len() == bits && network.addr() == network.network()
            }),
            Self::Look(Mask::Hidden) => false,
        }
    }
}

struct Rule {
    column: String,
    is_map: bool,
    must: Must,
    broken: u64,
}

impl Rule {
    /// The claim about all rows, and the message if it does not hold.
    fn words(&self) -> (String, String) {
        let (column, broken) = (&self.column, self.broken);
        match &self.must {
            Must::Be(text) => (
                format!("every row has the {column} of the filter, {text:?}"),
                format!("{broken} rows have another {column} than the filter, {text:?}"),
            ),
            Must::BeOf(teams) => (
                format!("every row is of one of the teams {teams:?}"),
                format!("{broken} rows are of none of the teams {teams:?}"),
            ),
            Must::Look(mask) => (
                format!("{column} has the form of the mask {} in every row", mask.as_str()),
                format!(
                    "{column} does not have the form of the mask {} in {broken} rows",
                    mask.as_str()
                ),
            ),
        }
    }
}

/// The rules that follow from the manifest, with the results.
pub struct Told {
    rules: Vec<Rule>,
    unknown: Vec<String>,
}

impl Told {
    /// From a manifest, for files with these columns.
    pub fn by(manifest: &Manifest, schema: &Schema) -> Self {
        let mut told = Self {
            rules: Vec::new(),
            unknown: Vec::new(),
        };
        for (name, value) in &manifest.filter {
            let is_range = name == "ip_address" && Network::parse(value).is_ok();
            let is_span = ["from", "to"].contains(&name.as_str()); // checked separately
            let must = Some(Must::Be(value.clone())).filter(|_| !is_range);
            if !is_span && !told.rule(schema, name, must) {
                let filter = format!("whether every row matches the filter {name} = {value:?}");
                told.unknown.push(filter);
            }
        }
        let teams = Some(manifest.teams.clone()).filter(|teams| !teams.is_empty());
        told.rule(schema, "team_id", teams.map(Must::BeOf));
        for (column, how) in &manifest.masked {
            let mut known = [Mask::Partial, Mask::KeyedHash, Mask::Hidden].into_iter();
            let mask = known.find(|mask| mask.as_str() == how);
            if !told.rule(schema, column, mask.map(Must::Look)) {
                told.unknown.push(format!("whether {column} is masked ({how})"));
            }
        }
        told
    }

    /// Adds a rule, if there is something to compare and the column exists.
    fn rule(&mut self, schema: &Schema, column: &str, must: Option<Must>) -> bool {
        let (Some(must), Ok(field)) = (must, schema.field_with_name(column)) else {
            return false;
        };
        let is_map = match (field.data_type(), &must) {
            (DataType::Utf8, _) => false,
            (DataType::Map(..), Must::Look(Mask::Hidden)) => true,
            _ => return false,
        };
        self.rules.push(Rule {
            column: column.to_owned(),
            is_map,
            must,
            broken: 0,
        });
        true
    }

    /// Checks rows of a file.
    pub fn batch(&mut self, batch: &RecordBatch) {
        for rule in &mut self.rules {
            let Some(column) = batch.column_by_name(&rule.column) else {
                rule.broken += batch.num_rows() as u64;
                continue;
            };
            let holds = |row: &usize| match (column.as_string_opt::<i32>(), column.as_map_opt()) {
                // In CSV a map is JSON text.
                (Some(texts), _) if rule.is_map => texts.value(*row) == "{}",
                (Some(texts), _) => rule.must.holds(texts.value(*row)),
                (_, Some(map)) => map.value_length(*row) == 0,
                _ => false,
            };
            rule.broken += (0..column.len()).filter(|row| !holds(row)).count() as u64;
        }
    }

    /// Adds the results.
    pub fn report(self, report: &mut Report) {
        for rule in self.rules {
            let (claim, otherwise) = rule.words();
            report.claim(rule.broken == 0, claim, || otherwise);
        }
        report.unknown.extend(self.unknown);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_looks_as_its_mask_leaves_it() {
        let pseudonym = "00ff00ff00ff00ff00ff00ff00ff00ff";
        for (mask, good, bad) in [
            (Mask::Hidden, vec![""], vec!["x", "{}"]),
            (
                Mask::KeyedHash,
                vec!["", pseudonym],
                vec!["ann", "00FF00FF00FF00FF00FF00FF00FF00FF"],
            ),
            (
                Mask::Partial,
                vec!["", "10.1.2.0/24", "2001:db8::/48", "::/48"],
                vec!["10.1.2.3", "10.1.2.3/24", "10.0.0.0/8", "2001:db8::1/48", "host"],
            ),
        ] {
            let must = Must::Look(mask);
            assert!(good.iter().all(|text| must.holds(text)), "{mask:?}");
            assert!(!bad.iter().any(|text| must.holds(text)), "{mask:?}");
        }
        assert!(Must::Be(String::new()).holds("") && !Must::Be("ann".to_owned()).holds("bob"));
        let teams = Must::BeOf(vec!["red".to_owned(), "blue".to_owned()]);
        assert!(teams.holds("blue") && !teams.holds("") && !teams.holds("green"));
    }
}
