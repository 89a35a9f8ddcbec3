//! The steps of a rebuild, in order. What is done with one part is in [`super::part`].

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use horolog_schemas::{Kind, WriterSchemas};
use horolog_stage::crash;
use horolog_stage::schema_registry::SchemaRegistry;
use horolog_stage::store::Store;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::difference::{self, Difference};
use super::parts::Done;
use super::plan::{self, Part};
use super::reading::Reader;
use super::recompute::Recomputation;
use super::register::{self, Rebuild, Source};
use super::switch::Switch;
use super::waiting::{say, wait_until};
use super::{Args, parts, possible};
use crate::broker::Broker;
use crate::config::Config;
use crate::cut::Cut;
use crate::ledger;
use crate::scope::{Scope, show_hour};
use crate::tool_error::ToolError;

/// Maximum number of records of the log held in memory.
const RANGE_RECORDS_MAX: u64 = 250_000;

/// The outcome of a rebuild.
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
    let store = Store::with_current_tables(&config.clickhouse).await?;
    if let Some(number) = args.abandon {
        register::abandon(&store, number).await?;
        println!("rebuild {number} is abandoned");
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
        schema_registry: SchemaRegistry::new(&config.schema_registry)?.map(Arc::new),
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

/// Everything a rebuild needs.
pub(super) struct Work {
    pub(super) store: Store,
    switch: Switch,
    schemas: Arc<WriterSchemas>,
    schema_registry: Option<Arc<SchemaRegistry>>,
    workers: usize,
    part_records_max: u64,
    pub(super) scope: Scope,
    pub(super) source: Source,
}

impl Work {
    async fn rebuild(&self) -> Result<Report, ToolError> {
        let begun = Instant::now();
        // What is impossible now will not become possible, so refuse it before anything is registered.
        possible::refuse_folded(&self.store, &self.scope, u32::MAX).await?;
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
        let cut = self.switch.wait(rebuild.write_epoch()).await?;
        // A batch stored meanwhile may have folded keys.
        let folded = possible::refuse_folded(&self.store, &self.scope, rebuild.epoch()).await;
        self.or_abandon(&rebuild, folded).await?;
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

        let whole = self.require_whole(&rebuild, &done).await;
        self.or_abandon(&rebuild, whole).await?;
        rebuild.require_current(&self.store).await?;
        let unmoved = self.switch.require(rebuild.write_epoch(), &cut).await;
        self.or_abandon(&rebuild, unmoved).await?;
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

    /// Gives up a rebuild that would be wrong. One that merely failed can be continued.
    async fn or_abandon(&self, rebuild: &Rebuild, outcome: Result<(), ToolError>) -> Result<(), ToolError> {
        if matches!(outcome, Err(ToolError::Refused(_))) {
            rebuild.abandon(&self.store).await?;
        }
        outcome
    }

    /// What would change, for the records that both the hours and the source hold just now.
    async fn dry_run(&self) -> Result<Vec<Difference>, ToolError> {
        possible::refuse_folded(&self.store, &self.scope, u32::MAX).await?;
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
                "records arrived for {} meanwhile: not compared",
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
            schema_registry: self.schema_registry.clone(),
            scope: self.scope.clone(),
            cut,
        }
    }

    /// The parts that are not done. Refuses if something can no longer be recomputed.
    async fn parts(&self, cut: &Cut, done: &Done) -> Result<Vec<Part>, ToolError> {
        match self.source {
            Source::Raw => {
                let missing = possible::missing_raw(&self.store, &self.scope, cut).await?;
                if !missing.is_empty() {
                    return Err(possible::refuse(&self.store, &self.scope, self.source, &missing).await);
                }
                let counts = ledger::raw_counts(&self.store, &self.scope, cut).await?;
                let hours: BTreeSet<u32> = done.hours.keys().copied().collect();
                Ok(plan::hours(&counts, &hours, self.part_records_max))
            }
            Source::Kafka => {
                let batches = ledger::batches(&self.store, &self.scope, cut).await?;
                let (asked, broker, before) = (batches.clone(), self.switch.broker.clone(), cut.clone());
                let missing = tokio::task::spawn_blocking(move || possible::missing_in_log(&asked, &before, &broker));
                let missing = missing.await??;
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

    /// Waits until ingest has stored everything before the cut, except in logs that nobody reads any more: only then
    /// are the raw rows complete, and hours that lack some are refused.
    async fn wait_for_ingest(&self, cut: &Cut) -> Result<(), ToolError> {
        if self.source == Source::Kafka {
            return Ok(());
        }
        wait_until(async || {
            let progress = ledger::progress(&self.store).await?;
            let gone = ledger::gone(&self.store, &progress, &self.switch.topic).await?;
            let awaited = cut.without(&gone);
            let stored = ledger::stored_ends(&self.store, "ingest").await?;
            let mut behind = awaited.behind(&stored);
            Ok(match behind.next() {
                None => ControlFlow::Break(()),
                Some((log, end)) => ControlFlow::Continue(format!(
                    "ingest: it has not yet stored {log} up to offset {}, nor {} more partitions; is it running?",
                    end.offset,
                    behind.count()
                )),
            })
        })
        .await
    }
}

fn topics(cut: &Cut) -> Vec<String> {
    cut.topics().into_iter().map(str::to_owned).collect()
}

/// Who asks, with an id that no other process has.
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
