//! SQL text that holds nothing a caller sent.
//!
//! It is put together from texts of this program alone (`&'static str`), and no function takes anything else: what a caller sent can only travel as a bound parameter. Pure.

/// A piece of a statement.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sql(String);

impl Sql {
    /// The pieces, one after the other.
    pub fn concat<const N: usize>(pieces: [&'static str; N]) -> Self {
        Self(pieces.concat())
    }

    /// Items with a text of the program between them.
    pub fn join(items: impl IntoIterator<Item = Sql>, between: &'static str) -> Self {
        let items: Vec<String> = items.into_iter().map(|item| item.0).collect();
        Self(items.join(between))
    }

    /// The bucket of a column's value, as the aggregate stage counts it.
    pub fn bucket_index(column: &'static str) -> Self {
        Self(horolog_schemas::buckets::bucket_index_sql(column))
    }

    /// Whether a partial aggregate of `metrics_hourly as …` counts, among the visible rebuilds that meet a further condition.
    pub fn visible_epochs(of: &'static str, and: &'static str) -> Self {
        let rebuilds = format!("({}{and})", horolog_schemas::epochs::VISIBLE_REBUILDS_SQL);
        Self(horolog_schemas::epochs::visible_epochs_sql(of, &rebuilds))
    }

    /// The same where no rebuild is visible.
    pub fn unrebuilt_epochs(of: &'static str) -> Self {
        Self(horolog_schemas::epochs::unrebuilt_epochs_sql(of))
    }

    /// A number that is another one whenever other rebuilds are visible; 0 when none is.
    pub fn visible_rebuilds_hash() -> Self {
        let rebuilds = horolog_schemas::epochs::VISIBLE_REBUILDS_SQL;
        Self(format!(
            "sipHash64(arraySort(({rebuilds}) as visible_rebuilds)) * notEmpty(visible_rebuilds)"
        ))
    }

    /// And then this.
    pub fn then(mut self, piece: impl Into<Sql>) -> Self {
        self.0.push_str(&piece.into().0);
        self
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&'static str> for Sql {
    fn from(text: &'static str) -> Self {
        Self(text.to_owned())
    }
}
