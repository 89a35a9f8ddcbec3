//! How far a task of the upkeep is, and which hours have got late records since.
//!
//! In: the name of the task. Out: rows of `upkeep_progress`, of which the newest counts, and of `hour_revisions`.

use std::time::Duration;

use clickhouse::Row;
use horolog_schemas::migrate::stated::LEASE_S;
use serde::Deserialize;

use super::statements::{Statements, UpkeepError};

/// How far a task is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Row, Deserialize)]
pub struct TaskProgress {
    /// Hours before this are done, seconds since 1970; 0 if it has not begun.
    pub through: u32,
    /// Revisions up to here have been looked at, ms since 1970.
    pub revisions_seen_ms: i64,
}

/// An hour that got late records.
#[derive(Debug, Row, Deserialize)]
pub struct Revised {
    /// Of this tenant.
    pub tenant_id: String,
    /// Its start, seconds since 1970.
    pub hour: u32,
    /// All revisions up to here are stored, ms since 1970, by the server's clock.
    until_ms: i64,
}

/// Hours that got late records, in order.
#[derive(Debug)]
pub struct Revisions {
    /// The hours.
    pub hours: Vec<Revised>,
    /// All revisions up to here are among them, ms since 1970; `None` if there are none.
    until_ms: Option<i64>,
}

impl TaskProgress {
    /// Reads the progress of a task.
    pub async fn read(statements: &Statements, task: &'static str) -> Result<Self, UpkeepError> {
        let query = "select toUInt32(argMax(u.through, u.inserted_at)) as through, \
                     toUnixTimestamp64Milli(argMax(u.revisions_seen, u.inserted_at)) as revisions_seen_ms \
                     from upkeep_progress as u where u.task = {task:String} and u.kafka_topic = {topic:String}";
        let query = statements.query(query).param("task", task);
        let known = statements.first("read the progress of the upkeep", query).await?;
        Ok(known.unwrap_or_default())
    }

    /// Stores it.
    pub async fn save(self, statements: &Statements, task: &'static str) -> Result<(), UpkeepError> {
        let query = "insert into upkeep_progress (task, kafka_topic, through, revisions_seen, inserted_at) \
                     select {task:String}, {topic:String}, toDateTime({through:UInt32}, 'UTC'), \
                     fromUnixTimestamp64Milli({seen:Int64}, 'UTC'), now64(3)";
        let query = statements
            .query(query)
            .param("task", task)
            .param("through", self.through)
            .param("seen", self.revisions_seen_ms);
        statements.execute("write the progress of the upkeep", query).await
    }

    /// The hours that got late records since.
    pub async fn revised(self, statements: &Statements) -> Result<Revisions, UpkeepError> {
        // A row is dated by its batch's lease, so it may be stored up to a table's lease later, and become visible a
        // moment after that. Those of the last moments are always looked at: if the server's clock was set back, all that
        // come now are dated before what was seen.
        let query = format!(
            "with (select toUnixTimestamp64Milli(now64(3)) - 2000 * toInt64({LEASE_S}) \
               from system.tables where database = currentDatabase() and name = 'hour_revisions') as until \
             select tenant_id, toUInt32(r.hour) as hour, \
             assumeNotNull(until) as until_ms \
             from hour_revisions as r \
             where r.kafka_topic = {{topic:String}} and r.inserted_at > fromUnixTimestamp64Milli(least({{since:Int64}}, assumeNotNull(until)), 'UTC') \
             group by tenant_id, hour order by hour, tenant_id"
        );
        let query = statements.query(&query).param("since", self.revisions_seen_ms);
        let hours: Vec<Revised> = statements.rows("read the revised hours", query).await?;
        Ok(Revisions {
            until_ms: hours.first().map(|revised| revised.until_ms),
            hours,
        })
    }

    /// Marks them as looked at, but for those of the time that is still unseen. Those of the last moments, with any that
    /// are stored among them later, will be looked at again. Returns whether anything has changed.
    pub fn have_seen(&mut self, revisions: &Revisions, unseen: Duration) -> bool {
        let before = self.revisions_seen_ms;
        let seen_ms = revisions
            .until_ms
            .unwrap_or_default()
            .saturating_sub(unseen.as_millis() as i64);
        self.revisions_seen_ms = seen_ms.max(before);
        self.revisions_seen_ms > before
    }
}
