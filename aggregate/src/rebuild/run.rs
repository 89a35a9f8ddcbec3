//! The steps of a rebuild, one after the other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use horolog_schemas::{Kind, WriterSchemas};
use horolog_stage::crash;
use horolog_stage::retry::Backoff;
use horolog_stage::store::{Store, StoreError};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::difference::{self, Difference};
use super::parts::Done;
use super::plan::{self, Part};
use super::reading::{Read, Reader};
use super::recompute::{Recomputation, Recomputed};
use super::register::{self, Rebuild, Source};
use super::switch::Switch;
use super::{Args, now_ms, panicked, parts, possible};
use crate::broker::Broker;
use crate::config::Config;
use crate::cut::Cut;
use crate::ledger;
use crate::scope::{Scope, show_hour};
use crate::tool_error::ToolError;

/// Attempts of an insert before the command gives up; it can be continued.
const ATTEMPTS_MAX: u32 = 12;
/// Records of the log that are held in memory at the most.
const RANGE_RECORDS_MAX: u64 = 250_000;
/// Between two looks at what ingest has stored.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// Between two messages that say what is waited for.
const TELL_INTERVAL: Duration = Duration::from_secs(10);

/// What became of a rebuild.
#[derive(Debug, Serialize)]
struct Report {
    rebuild: u32,
    from: String,
    to: String,
    records: u64,
    partials: u64,
    resumed: bool,
    seconds: f64,
}

/// Runs the command.
pub async fn run(config: &Config, args: &Args) -> Result<(), ToolError> {
    let store = Store::new(&config.clickhouse)?;
    let current = horolog_schemas::migrate::require_current(&store.client).await;
    current.map_err(|error| ToolError::Refused(format!("clickhouse.url = {}: {error}", config.clickhouse.url)))?;
    if let Some(number) = args.abandon {
        register::abandon(&store, number).await?;
        println!("rebuild {number} is given up");
        return Ok(());
    }
    let scope = args.scope()?;
    let schemas = WriterSchemas::load(Kind::MetricSample, config.source.schema_folder.as_deref())?;
    let work = Work {
        switch: Switch {
            store: store.clone(),
            broker: Arc::new(Broker::new(&config.kafka, &config.source.group)?),
            topic: config.source.metrics_topic.clone(),
        },
        store,
        schemas: Arc::new(schemas),
        workers: config.aggregate.worker_count(),
        part_records_max: config.rebuild.part_records_max,
        scope,
        source: args.source,
    };
    if args.dry_run {
        difference::print(&work.dry_run().await?, args.json);
        return Ok(());
    }
    let report = work.rebuild().await?;
    if args.json {
        println!("{}", serde_json::json!(report));
    } else {
        println!(
            "rebuild {} is visible: {} to {}, {} records in {} partial aggregates, {:.1} s",
            report.rebuild, report.from, report.to, report.records, report.partials, report.seconds
        );
    }
    Ok(())
}

/// What a rebuild works with.
struct Work {
    store: Store,
    switch: Switch,
    schemas: Arc<WriterSchemas>,
    workers: usize,
    part_records_max: u64,
    scope: Scope,
    source: Source,
}

impl Work {
    async fn rebuild(&self) -> Result<Report, ToolError> {
        let begun = Instant::now();
        // What is impossible now will not become possible: refused before anything is registered.
        let aggregated = ledger::aggregated(&ledger::progress(&self.store).await?);
        self.wait_for_ingest(&aggregated).await?;
        self.parts(&aggregated, &Done::default()).await?;

        let rebuild = Rebuild::claim(&self.store, &self.scope, self.source, &requested_by()).await?;
        let number = rebuild.number();
        let resumed = rebuild.is_resumed;
        say(&format!(
            "rebuild {number} of {}: {}",
            self.scope,
            if resumed { "continued" } else { "begun" }
        ));
        crash::point("rebuild-registered");
        let cut = self.switch.wait(rebuild.write_epoch(), |waiting| say(&waiting)).await?;
        self.wait_for_ingest(&cut).await?;

        let mut done = parts::read(&self.store, number).await?;
        let todo = self.parts(&cut, &done).await?;
        let bar = bar(
            done.records() + todo.iter().map(Part::records).sum::<u64>(),
            done.records(),
        );
        let recomputation = Arc::new(Recomputation::start(self.workers, topics(&cut))?);
        let reader = self.reader(cut.clone());
        for part in &todo {
            let (hours, partials) = self.recompute(&rebuild, part, &reader, &recomputation, &bar).await?;
            parts::write(&self.store, number, &part.name(), &hours, partials).await?;
            crash::point("rebuild-part");
            done.add(part.name(), &hours, partials);
        }
        bar.finish_and_clear();

        self.require_whole(&rebuild, &done).await?;
        rebuild.require_current(&self.store).await?;
        if let Err(moved) = self.switch.require(rebuild.write_epoch(), &cut).await {
            rebuild.abandon(&self.store).await?;
            return Err(moved);
        }
        crash::point("rebuild-before-visible");
        rebuild.make_visible(&self.store).await?;
        Ok(Report {
            rebuild: number,
            from: show_hour(self.scope.from),
            to: show_hour(self.scope.to),
            records: done.records(),
            partials: done.partials,
            resumed,
            seconds: begun.elapsed().as_secs_f64(),
        })
    }

    /// What would change, as of what both the hours and the source hold just now.
    async fn dry_run(&self) -> Result<Vec<Difference>, ToolError> {
        let progress = ledger::progress(&self.store).await?;
        let cut = ledger::aggregated(&progress);
        self.wait_for_ingest(&cut).await?;
        let todo = self.parts(&cut, &Done::default()).await?;
        let recomputation = Arc::new(Recomputation::start(self.workers, topics(&cut))?);
        let reader = self.reader(cut.clone());
        let bar = bar(todo.iter().map(Part::records).sum(), 0);
        let mut found = difference::Summaries::default();
        for part in &todo {
            let recomputed = self.read(part, &reader, &recomputation, &bar).await?;
            found.add(recomputed)?;
        }
        bar.finish_and_clear();
        let stored = difference::stored(&self.store, &self.scope).await?;
        let moving = ledger::hours_since(&self.store, &self.scope, &cut).await?;
        if !moving.is_empty() {
            let hours: Vec<String> = moving.iter().map(|hour| show_hour(*hour)).collect();
            say(&format!(
                "records came for {} meanwhile: not compared",
                hours.join(", ")
            ));
        }
        Ok(difference::between(&stored, &found, &moving))
    }

    fn reader(&self, cut: Cut) -> Reader {
        Reader {
            store: self.store.clone(),
            broker: self.switch.broker.clone(),
            schemas: self.schemas.clone(),
            scope: self.scope.clone(),
            cut,
        }
    }

    /// The parts that are not done. Refuses what can no longer be recomputed.
    async fn parts(&self, cut: &Cut, done: &Done) -> Result<Vec<Part>, ToolError> {
        match self.source {
            Source::Raw => {
                let missing = possible::missing_raw(&self.store, &self.scope, cut).await?;
                if !missing.is_empty() {
                    return Err(possible::refuse(&self.store, &self.scope, self.source, &missing).await);
                }
                let counts = ledger::raw_counts(&self.store, &self.scope, cut).await?;
                let hours: BTreeSet<u32> = done.hours.keys().copied().collect();
                Ok(plan::hours(&self.scope, &counts, &hours, self.part_records_max))
            }
            Source::Kafka => {
                let batches = ledger::batches(&self.store, "aggregate", &self.scope, cut).await?;
                let (asked, broker, before) = (batches.clone(), self.switch.broker.clone(), cut.clone());
                let missing = tokio::task::spawn_blocking(move || possible::missing_in_log(&asked, &before, &broker));
                let missing = missing.await.map_err(panicked)??;
                if !missing.is_empty() {
                    return Err(possible::refuse(&self.store, &self.scope, self.source, &missing).await);
                }
                let parts = plan::offsets(&batches, self.part_records_max.min(RANGE_RECORDS_MAX));
                Ok(parts
                    .into_iter()
                    .filter(|part| !done.names.contains(&part.name()))
                    .collect())
            }
        }
    }

    /// Raw rows are only all there once ingest has stored everything before the cut.
    async fn wait_for_ingest(&self, cut: &Cut) -> Result<(), ToolError> {
        if self.source == Source::Kafka {
            return Ok(());
        }
        let mut told: Option<Instant> = None;
        loop {
            let stored = ledger::stored_ends(&self.store, "ingest").await?;
            let mut behind = cut
                .iter()
                .filter(|(log, end)| end.offset > 0 && stored.get(log).is_none_or(|at| at < end));
            let Some((log, end)) = behind.next() else {
                return Ok(());
            };
            if told.is_none_or(|at| at.elapsed() > TELL_INTERVAL) {
                told = Some(Instant::now());
                say(&format!(
                    "waiting for ingest: it has not stored {log} up to offset {}, and {} more partitions; is it running?",
                    end.offset,
                    behind.count()
                ));
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    /// Recomputes and stores a part; its records by hour and its rows.
    async fn recompute(
        &self,
        rebuild: &Rebuild,
        part: &Part,
        reader: &Reader,
        recomputation: &Arc<Recomputation>,
        bar: &ProgressBar,
    ) -> Result<(BTreeMap<u32, u64>, u64), ToolError> {
        let recomputed = self.read(part, reader, recomputation, bar).await?;
        let epoch = rebuild.epoch();
        let made = tokio::task::spawn_blocking(move || recomputed.into_block(epoch)).await;
        let (pieces, hours) = made.map_err(panicked)??;
        let mut partials = 0;
        for (number, piece) in pieces.iter().enumerate() {
            let token = format!("rebuild/{}/{}/{number}", rebuild.number(), part.name());
            self.insert(piece, &token).await?;
            partials += piece.num_rows() as u64;
            crash::point("rebuild-piece");
        }
        Ok((hours, partials))
    }

    /// Reads and recomputes a part. Finds out when it is not what the plan counted.
    async fn read(
        &self,
        part: &Part,
        reader: &Reader,
        recomputation: &Arc<Recomputation>,
        bar: &ProgressBar,
    ) -> Result<Recomputed, ToolError> {
        let latenesses = Arc::new(ledger::latenesses(&self.store, &self.scope_of(part)).await?);
        let mut batches = reader.read(part);
        let mut recomputed = Recomputed::default();
        let mut found = BTreeMap::new();
        while let Some(read) = batches.recv().await {
            match read? {
                Read::End(Some(seen)) => found = seen,
                Read::End(None) => (),
                Read::Rows(rows) => {
                    let records: usize = rows.iter().map(crate::rows::Rows::len).sum();
                    if self.source == Source::Raw {
                        count(&rows, &mut found);
                    }
                    let (recomputation, latenesses) = (recomputation.clone(), latenesses.clone());
                    let added = tokio::task::spawn_blocking(move || {
                        recomputation.add(rows, &latenesses, &mut recomputed)?;
                        Ok::<_, ToolError>(recomputed)
                    });
                    recomputed = added.await.map_err(panicked)??;
                    bar.inc(records as u64);
                }
            }
        }
        if found != part.expected {
            let hour = part
                .expected
                .keys()
                .chain(found.keys())
                .find(|hour| found.get(hour) != part.expected.get(hour));
            return Err(ToolError::Refused(format!(
                "{}: {} has {} records now and {} are known of: the source changed, or does not agree with the ledger; \
                 `horolog-aggregate verify` tells more",
                part.name(),
                hour.map(|hour| show_hour(*hour)).unwrap_or_default(),
                hour.and_then(|hour| found.get(hour)).unwrap_or(&0),
                hour.and_then(|hour| part.expected.get(hour)).unwrap_or(&0),
            )));
        }
        Ok(recomputed)
    }

    fn scope_of(&self, part: &Part) -> Scope {
        match part.place {
            plan::Place::Hours(from, to) => self.scope.in_hours(from, to),
            plan::Place::Offsets(..) => self.scope.clone(),
        }
    }

    /// Inserts until the outcome is known. The lease is taken at each attempt, so that a process that slept cannot add rows after
    /// it was given up.
    async fn insert(&self, piece: &RecordBatch, token: &str) -> Result<(), ToolError> {
        let mut backoff = Backoff::default();
        let mut attempt = 1;
        loop {
            match self.store.insert("metrics_hourly", piece, token, now_ms()).await {
                Ok(()) => return Ok(()),
                Err(error @ (StoreError::Unknown(_) | StoreError::Lease(_))) if attempt < ATTEMPTS_MAX => {
                    tracing::warn!(%error, attempt, "clickhouse did not take the rows, repeating");
                    attempt += 1;
                    tokio::time::sleep(backoff.next_wait()).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// All that was recomputed is in the table, once. A rebuild of which that is not true is given up.
    async fn require_whole(&self, rebuild: &Rebuild, done: &Done) -> Result<(), ToolError> {
        let query = format!(
            "select toUnixTimestamp(hour) as start, sum(h.count) as records from metrics_hourly as h where epoch = ? and {} \
             group by start",
            self.scope.hourly_condition()
        );
        self.store.catch_up(&["metrics_hourly"]).await?;
        let query = self.scope.bind(self.store.client.query(&query).bind(rebuild.epoch()));
        let stored: BTreeMap<u32, u64> = query.fetch_all::<(u32, u64)>().await?.into_iter().collect();
        if stored == done.hours {
            return Ok(());
        }
        let differs = done
            .hours
            .keys()
            .chain(stored.keys())
            .find(|hour| stored.get(hour) != done.hours.get(hour));
        rebuild.abandon(&self.store).await?;
        Err(ToolError::Refused(format!(
            "rebuild {} is given up: {} has {} records in it where {} were recomputed; it was interrupted for too long, or \
             rows were removed: start it again",
            rebuild.number(),
            differs.map(|hour| show_hour(*hour)).unwrap_or_default(),
            differs.and_then(|hour| stored.get(hour)).unwrap_or(&0),
            differs.and_then(|hour| done.hours.get(hour)).unwrap_or(&0),
        )))
    }
}

fn count(rows: &[crate::rows::Rows], hours: &mut BTreeMap<u32, u64>) {
    for time in rows.iter().flat_map(|rows| rows.samples().time.values()) {
        *hours.entry(crate::rows::hour_of(*time)).or_default() += 1;
    }
}

fn topics(cut: &Cut) -> Vec<String> {
    cut.topics().into_iter().map(str::to_owned).collect()
}

/// Who asks, and an id that no other process has.
fn requested_by() -> String {
    let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME"));
    format!("{} {}", user.as_deref().unwrap_or("unknown"), uuid::Uuid::new_v4())
}

fn bar(records: u64, done: u64) -> ProgressBar {
    let bar = ProgressBar::new(records);
    let template = "{bar:40} {human_pos} of {human_len} records, {per_sec}, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_position(done);
    bar
}

/// To the operator, beside the progress bar; standard output is for the result.
fn say(message: &str) {
    eprintln!("{message}");
}
