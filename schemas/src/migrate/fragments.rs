//! Pieces of SQL that several migrations share.
//!
//! Enters: the text of a migration with `${fragment}` in it. Leaves: the text with the fragment in its place; other tokens stand as
//! they are. A fragment is a part of the migrations that use it: it counts in their checksums, and is as immutable as they are.

use crate::buckets::bucket_index_sql;

/// By token: its text, from `migrations/`. One may contain another.
const FRAGMENTS: [(&str, &str); 8] = [
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
    ("merged_columns", include_str!("../../migrations/merged_columns.sql")),
    ("merged_partials", include_str!("../../migrations/merged_partials.sql")),
    (
        "quantile_functions",
        include_str!("../../migrations/quantile_functions.sql"),
    ),
    ("series_id", include_str!("../../migrations/series_id.sql")),
];

/// The token of [`bucket_index_sql`], with the SQL of the value after a blank: `${bucket_index m.value}`.
const BUCKET_INDEX: &str = "bucket_index ";

/// The text with every fragment in its place.
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
