//! The table `rebuilds`: which rebuild is in progress, and which are visible.
//!
//! A rebuild is claimed by inserting its number under a token that every claimant would use for it: of two that claim
//! the same number the server keeps the first, and the other sees that the row is not its own. Only one rebuild runs at
//! a time, because its number determines which records it must recompute.

use clickhouse::Row;
use horolog_stage::clock::now_ms;
use horolog_stage::store::Store;
use serde::{Deserialize, Serialize};

use crate::scope::Scope;
use crate::tool_error::ToolError;

const TABLE: &str = "rebuilds";
/// How many numbers are tried for a new rebuild.
const CLAIMS_MAX: u32 = 3;

/// Where the records of a rebuild come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Source {
    /// The raw rows in ClickHouse.
    Raw = 1,
    /// The log.
    Kafka = 2,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Registered = 1,
    Visible = 2,
    Abandoned = 3,
}

/// A row, as the table has it.
#[derive(Debug, Clone, PartialEq, Eq, Row, Serialize, Deserialize)]
struct Stored {
    number: u32,
    hour_from: u32,
    hour_to: u32,
    tenant_id: String,
    metric_name: String,
    source: i8,
    state: i8,
    registered_at: i64,
    visible_at: i64,
    requested_by: String,
    inserted_at: i64,
}

/// A rebuild in progress.
#[derive(Debug, Clone)]
pub struct Rebuild {
    row: Stored,
    /// Whether it was begun before.
    pub is_resumed: bool,
}

impl Rebuild {
    /// Its number.
    pub fn number(&self) -> u32 {
        self.row.number
    }

    /// The epoch that it writes.
    pub fn epoch(&self) -> u32 {
        2 * self.row.number - 1
    }

    /// The epoch that the stage writes once it knows of the rebuild.
    pub fn write_epoch(&self) -> u32 {
        2 * self.row.number
    }

    /// Continues the unfinished rebuild of the same hours, or registers a new one.
    pub async fn claim(store: &Store, scope: &Scope, source: Source, requested_by: &str) -> Result<Self, ToolError> {
        let known = read(store).await?;
        if let Some(unfinished) = known.iter().find(|row| row.state == State::Registered as i8) {
            if is_of(unfinished, scope, source) {
                let row = unfinished.clone();
                return Ok(Self { row, is_resumed: true });
            }
            return Err(other_is_unfinished(unfinished));
        }
        let now_ms = now_ms();
        let newest = known.iter().map(|row| row.number).max().unwrap_or(0);
        let numbered = |number| Stored {
            number,
            hour_from: scope.from,
            hour_to: scope.to,
            tenant_id: scope.tenant.clone(),
            metric_name: scope.metric.clone(),
            source: source as i8,
            state: State::Registered as i8,
            registered_at: now_ms,
            visible_at: 0,
            requested_by: requested_by.to_owned(),
            inserted_at: now_ms,
        };
        // An engine that lost power may remember the token of a number without its row: then the next number is free.
        for number in (newest + 1)..=(newest + CLAIMS_MAX) {
            let row = numbered(number);
            insert(store, &row).await?;
            let known = read(store).await?;
            match known.into_iter().find(|known| known.number == number) {
                Some(known) if known.requested_by == row.requested_by => return Ok(Self { row, is_resumed: false }),
                Some(other) => return Err(other_is_unfinished(&other)),
                None => {}
            }
        }
        Err(ToolError::Refused(
            "the rebuild was registered but is missing from the table rebuilds".to_owned(),
        ))
    }

    /// Refuses if the rebuild was abandoned meanwhile, or is no longer the newest.
    pub async fn require_current(&self, store: &Store) -> Result<(), ToolError> {
        let known = read(store).await?;
        let newest = known.iter().max_by_key(|row| row.number);
        match newest {
            Some(row) if row.number == self.row.number && row.state != State::Abandoned as i8 => Ok(()),
            _ => Err(ToolError::Refused(format!(
                "rebuild {} was abandoned meanwhile: start it again",
                self.row.number
            ))),
        }
    }

    /// Makes it visible, by one row.
    pub async fn make_visible(&self, store: &Store) -> Result<(), ToolError> {
        let mut row = self.in_state(State::Visible);
        row.visible_at = row.inserted_at;
        insert(store, &row).await
    }

    /// Gives it up, so that what it wrote never becomes visible; unless another process continued it and made it
    /// visible.
    pub async fn abandon(&self, store: &Store) -> Result<(), ToolError> {
        let known = read(store).await?;
        let unfinished = |row: &Stored| row.number == self.row.number && row.state == State::Registered as i8;
        if !known.iter().any(unfinished) {
            return Ok(());
        }
        insert(store, &self.in_state(State::Abandoned)).await
    }

    /// The newest state of a rebuild counts, even if a host with a slower clock writes it.
    fn in_state(&self, state: State) -> Stored {
        Stored {
            state: state as i8,
            inserted_at: now_ms().max(self.row.inserted_at + 1),
            ..self.row.clone()
        }
    }
}

/// Gives up the unfinished rebuild with this number.
pub async fn abandon(store: &Store, number: u32) -> Result<(), ToolError> {
    let known = read(store).await?;
    let unfinished = known
        .into_iter()
        .find(|row| row.number == number && row.state == State::Registered as i8);
    let row = unfinished.ok_or_else(|| ToolError::Refused(format!("there is no unfinished rebuild {number}")))?;
    Rebuild { row, is_resumed: true }.abandon(store).await
}

fn other_is_unfinished(row: &Stored) -> ToolError {
    let scope = Scope {
        from: row.hour_from,
        to: row.hour_to,
        tenant: row.tenant_id.clone(),
        metric: row.metric_name.clone(),
    };
    let source = if row.source == Source::Kafka as i8 {
        "kafka"
    } else {
        "raw"
    };
    ToolError::Refused(format!(
        "rebuild {number} ({scope}, --source {source}), begun by {by}, is not finished: the same command continues it, \
         `horolog-aggregate rebuild --abandon {number}` abandons it",
        number = row.number,
        by = row.requested_by,
    ))
}

fn is_of(row: &Stored, scope: &Scope, source: Source) -> bool {
    (row.hour_from, row.hour_to) == (scope.from, scope.to)
        && (&row.tenant_id, &row.metric_name) == (&scope.tenant, &scope.metric)
        && row.source == source as i8
}

async fn read(store: &Store) -> Result<Vec<Stored>, ToolError> {
    store.catch_up(&[TABLE]).await?;
    let query = "select number, toUnixTimestamp(hour_from) as hour_from, toUnixTimestamp(hour_to) as hour_to, tenant_id, \
         metric_name, toInt8(source) as source, toInt8(state) as state, \
         toUnixTimestamp64Milli(registered_at) as registered_at, toUnixTimestamp64Milli(visible_at) as visible_at, \
         requested_by, toUnixTimestamp64Milli(inserted_at) as inserted_at from rebuilds final order by number";
    Ok(store.client.query(query).fetch_all().await?)
}

/// The first to register a number has it; the other states replace one another.
async fn insert(store: &Store, row: &Stored) -> Result<(), ToolError> {
    let token = match row.state == State::Registered as i8 {
        true => format!("rebuild/{}/registered", row.number),
        false => format!("rebuild/{}/{}/{}", row.number, row.state, row.inserted_at),
    };
    Ok(store.insert_row(TABLE, row, &token).await?)
}
