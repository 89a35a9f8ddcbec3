//! What processes used and what was inserted into tables between two moments.

use serde::Serialize;

use crate::exposition::Exposition;
use crate::local_stack::Running;
use crate::machine::CpuTime;
use crate::process::{Process, Used};
use crate::store::Parts;

use super::{AGGREGATE, INGEST};

const INSERTS: &str = "horolog_insert_seconds_count";
const INSERT_SECONDS: &str = "horolog_insert_seconds_sum";

/// A process between two moments.
#[derive(Debug, Clone, Serialize)]
pub struct ProcessUse {
    /// Its name.
    pub name: String,
    /// CPU seconds.
    pub cpu_s: f64,
    /// CPU microseconds per record.
    pub cpu_us_a_record: f64,
    /// Resident at the end.
    pub resident_bytes: u64,
}

impl From<&crate::results::ProcessFigures> for ProcessUse {
    fn from(figures: &crate::results::ProcessFigures) -> Self {
        Self {
            name: figures.name.clone(),
            cpu_s: figures.cpu_s,
            cpu_us_a_record: figures.cpu_us_a_record,
            resident_bytes: figures.samples.last().map_or(0, |sample| sample.resident_bytes),
        }
    }
}

/// A table between two moments.
#[derive(Debug, Clone, Serialize)]
pub struct TableGrowth {
    /// Its name.
    pub table: String,
    /// Blocks that a stage inserted.
    pub inserts: u64,
    /// Mean duration of an insert, as the stage measures it.
    pub insert_ms: f64,
    /// Parts created. Rows of the protocol itself (ledger, progress) create parts that no stage counts as inserts.
    pub parts_made: i64,
    /// Parts at the end.
    pub parts_active: u64,
    /// Rows at the end.
    pub rows: u64,
    /// Compressed bytes of a row at the end.
    pub bytes_a_row: f64,
}

/// The values of all counters at a moment.
pub(super) struct Counters {
    cpu: CpuTime,
    used: Vec<(String, Used)>,
    parts: Vec<Parts>,
    stages: [Exposition; 2],
}

impl Counters {
    /// Reads the current values.
    pub(super) async fn read(running: &Running) -> anyhow::Result<Self> {
        let stages = [running.exposition(INGEST).await?, running.exposition(AGGREGATE).await?];
        let parts = running.store.parts().await?;
        Ok(Self {
            cpu: CpuTime::now()?,
            used: used(running)?,
            parts,
            stages,
        })
    }

    /// The same, with current CPU times: paused stages do not answer.
    pub(super) fn with_cpu_of_now(self, running: &Running) -> anyhow::Result<Self> {
        Ok(Self {
            cpu: CpuTime::now()?,
            used: used(running)?,
            ..self
        })
    }

    /// What each process has used since.
    pub(super) fn processes_since(&self, before: &Self, records: u64) -> Vec<ProcessUse> {
        let figures = |(name, after): &(String, Used), before: &Used| {
            let cpu_s = after.cpu_s - before.cpu_s;
            ProcessUse {
                name: name.clone(),
                cpu_s,
                cpu_us_a_record: cpu_s * 1e6 / records as f64,
                resident_bytes: after.resident_bytes,
            }
        };
        let both = self.used.iter().zip(&before.used);
        both.map(|(after, (_, before))| figures(after, before)).collect()
    }

    /// The share of the CPU used since by other processes.
    pub(super) fn others_cpu_share_since(&self, before: &Self) -> f64 {
        let sum = |counters: &Self| counters.used.iter().map(|(_, used)| used.cpu_s).sum::<f64>();
        self.cpu.share_of_others(&before.cpu, sum(self) - sum(before))
    }

    /// What was inserted into each table since.
    pub(super) fn tables_since(&self, before: &Self) -> Vec<TableGrowth> {
        let figures = |after: &Parts| {
            let table = &after.table;
            let made_before = before.parts.iter().find(|parts| parts.table == *table);
            let inserts = self.stage_sum(INSERTS, table) - before.stage_sum(INSERTS, table);
            let seconds = self.stage_sum(INSERT_SECONDS, table) - before.stage_sum(INSERT_SECONDS, table);
            TableGrowth {
                table: table.clone(),
                inserts: inserts as u64,
                insert_ms: seconds * 1e3 / inserts.max(1.0),
                parts_made: after.made - made_before.map_or(0, |parts| parts.made),
                parts_active: after.active,
                rows: after.rows,
                bytes_a_row: after.bytes as f64 / after.rows.max(1) as f64,
            }
        };
        self.parts.iter().map(figures).collect()
    }

    fn stage_sum(&self, name: &str, table: &str) -> f64 {
        self.stages.iter().map(|stage| stage.value(name, "table", table)).sum()
    }
}

/// The stack's processes and this one, always in the same order.
fn used(running: &Running) -> anyhow::Result<Vec<(String, Used)>> {
    let mut processes = running.processes()?;
    processes.push(Process::own()?);
    let used = processes.into_iter().map(|process| {
        let used = process.used()?;
        Ok((process.name, used))
    });
    used.collect()
}
