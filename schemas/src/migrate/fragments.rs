//! Pieces of SQL that several migrations share.
//!
//! Enters: the text of a migration that contains `${fragment}`. Leaves: the text with the fragment expanded; other
//! tokens are left as they are. A fragment is part of the migrations that use it: it counts in their checksums
//! (`migrations/checksums`) and is as immutable as they are.

use crate::buckets::bucket_index_sql;
use crate::epochs::{VISIBLE_REBUILDS_SQL, visible_epochs_sql};

/// The text of each token, from `migrations/`. Fragments may contain others.
const FRAGMENTS: [(&str, &str); 10] = [
    (
        "counter_before_columns",
        include_str!("../../migrations/counter_before_columns.sql"),
    ),
    (
        "counter_hour_columns",
        include_str!("../../migrations/counter_hour_columns.sql"),
    ),
    (
        "counter_sample_columns",
        include_str!("../../migrations/counter_sample_columns.sql"),
    ),
    ("counter_steps", include_str!("../../migrations/counter_steps.sql")),
    (
        "counters_through",
        include_str!("../../migrations/counters_through.sql"),
    ),
    ("merged_columns", include_str!("../../migrations/merged_columns.sql")),
    ("merged_partials", include_str!("../../migrations/merged_partials.sql")),
    (
        "quantile_functions",
        include_str!("../../migrations/quantile_functions.sql"),
    ),
    ("series_id", include_str!("../../migrations/series_id.sql")),
    ("visible_rebuilds", VISIBLE_REBUILDS_SQL),
];

/// The token of [`bucket_index_sql`], followed by a blank and the SQL of the value: `${bucket_index m.value}`.
const BUCKET_INDEX: &str = "bucket_index ";
/// The token of [`visible_epochs_sql`], followed by a blank and the name of the partial aggregates: `${visible_epochs
/// h}`. The visible rebuilds are called `visible`.
const VISIBLE_EPOCHS: &str = "visible_epochs ";

/// The token of [`ROLLED_UP_SQL`], followed by the name of the step and the function that gives its start: `${rolled_up
/// day toDate}`.
const ROLLED_UP: &str = "rolled_up ";

/// Hours merged to longer steps.
const ROLLED_UP_SQL: &str = include_str!("../../migrations/rolled_up.sql");

/// The text with all fragments expanded.
pub fn expand(text: &str) -> String {
    let mut parts = text.split("${");
    let mut expanded = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let fragment = part
            .split_once('}')
            .and_then(|(token, after)| Some((fragment(token)?, after)));
        match fragment {
            Some((fragment, after)) => {
                expanded.push_str(&fragment);
                expanded.push_str(after);
            }
            None => {
                expanded.push_str("${");
                expanded.push_str(part);
            }
        }
    }
    expanded
}

fn fragment(token: &str) -> Option<String> {
    if let Some(value) = token.strip_prefix(BUCKET_INDEX) {
        return Some(bucket_index_sql(value));
    }
    if let Some(partials) = token.strip_prefix(VISIBLE_EPOCHS) {
        return Some(visible_epochs_sql(partials, "visible"));
    }
    if let Some((step, start)) = token.strip_prefix(ROLLED_UP).and_then(|step| step.split_once(' ')) {
        let text = ROLLED_UP_SQL
            .replace("${step}", step)
            .replace("${start_of_step}", start);
        return Some(expand(text.trim_end()));
    }
    let (_, text) = FRAGMENTS.iter().find(|(name, _)| *name == token)?;
    Some(expand(text.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fragments_are_put_in_place_and_other_tokens_stand() {
        assert_eq!(expand("a ${on_cluster} b ${lease"), "a ${on_cluster} b ${lease");
        let expanded = expand("select ${bucket_index x}${on_cluster}, ${merged_partials} from t");
        assert!(expanded.starts_with("select toInt32(bitShiftRight("), "{expanded}");
        assert!(expanded.contains("${on_cluster}, -- Columns: "), "{expanded}");
        assert!(expanded.ends_with("as zero_count from t"), "{expanded}");
    }
}
