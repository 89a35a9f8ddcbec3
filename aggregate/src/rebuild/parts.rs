//! The table `rebuild_parts`: the finished parts of a rebuild, which are not done again.

use std::collections::{BTreeMap, BTreeSet};

use clickhouse::Row;
use horolog_stage::clock::now_ms;
use horolog_stage::store::Store;
use serde::{Deserialize, Serialize};

use crate::tool_error::ToolError;

const TABLE: &str = "rebuild_parts";

#[derive(Debug, Clone, Row, Serialize)]
struct Stored {
    number: u32,
    part: String,
    records: u64,
    partials: u64,
    hours: Vec<(u32, u64)>,
    inserted_at: i64,
}

/// The finished parts.
#[derive(Debug, Default)]
pub struct Done {
    /// Their names.
    pub names: BTreeSet<String>,
    /// Their records by hour.
    pub hours: BTreeMap<u32, u64>,
    /// Rows of `metrics_hourly` that they produced.
    pub partials: u64,
}

impl Done {
    /// Adds a part.
    pub fn add(&mut self, name: String, hours: &BTreeMap<u32, u64>, partials: u64) {
        self.names.insert(name);
        self.partials += partials;
        for (hour, records) in hours {
            *self.hours.entry(*hour).or_default() += records;
        }
    }

    /// Records in all.
    pub fn records(&self) -> u64 {
        self.hours.values().sum()
    }
}

/// Reads the finished parts of rebuild `number`.
pub async fn read(store: &Store, number: u32) -> Result<Done, ToolError> {
    #[derive(Row, Deserialize)]
    struct Found {
        part: String,
        partials: u64,
        by_hour: Vec<(u32, u64)>,
    }
    store.catch_up(&[TABLE]).await?;
    let query = "select part, partials, arrayMap(hour -> (toUnixTimestamp(hour.1), hour.2), \
         hours::Array(Tuple(DateTime('UTC'), UInt64))) as by_hour from rebuild_parts final where number = ?";
    let rows: Vec<Found> = store.client.query(query).bind(number).fetch_all().await?;
    let mut done = Done::default();
    for row in rows {
        done.add(row.part, &row.by_hour.into_iter().collect(), row.partials);
    }
    Ok(done)
}

/// Records that a part is finished.
pub async fn write(
    store: &Store,
    number: u32,
    part: &str,
    hours: &BTreeMap<u32, u64>,
    partials: u64,
) -> Result<(), ToolError> {
    let row = Stored {
        number,
        part: part.to_owned(),
        records: hours.values().sum(),
        partials,
        hours: hours.iter().map(|(hour, records)| (*hour, *records)).collect(),
        inserted_at: now_ms(),
    };
    Ok(store
        .insert_row(TABLE, &row, &format!("rebuild/{number}/{part}/done"))
        .await?)
}
