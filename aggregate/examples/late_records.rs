//! The cost of late records, compared with recomputing their hours.
//!
//! Fills an empty stack with a history of 30 days, sends late records spread over all of it, waits until the stage has
//! added them, and then rebuilds the same hours. `./horolog up --no-sample --keep-all --data DIR` starts a stack; then
//! `HOROLOG_AGGREGATE__CLICKHOUSE__PASSWORD_FILE=DIR/clickhouse-password cargo run --release -p horolog-aggregate
//! --example late_records -- --history 20000000 --late 1000000`.
#![allow(missing_docs)]

use std::time::{Duration, Instant};

use anyhow::bail;
use clap::Parser;
use horolog_aggregate::config::Config;
use horolog_aggregate::rebuild;
use horolog_schemas::{MetricSample, MetricType};
use horolog_stage::config::{ConfigArgs, load};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

const DAYS: u64 = 30;
const HOUR_S: u64 = 3_600;
/// Series of the history and of the late records.
const SERIES: u64 = 1_000;
const DEADLINE: Duration = Duration::from_secs(3_600);

#[derive(Parser)]
struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Records stored beforehand.
    #[arg(long, default_value_t = 20_000_000)]
    history: u64,
    /// Records that arrive late.
    #[arg(long, default_value_t = 1_000_000)]
    late: u64,
}

struct Stack {
    config: Config,
    client: clickhouse::Client,
    /// Start of the history, seconds since 1970.
    from: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let config: Config = load("aggregate", &args.config)?;
    let now_s = chrono::Utc::now().timestamp() as u64;
    let stack = Stack {
        client: config.clickhouse.client()?,
        from: (now_s / HOUR_S - 1) * HOUR_S - DAYS * 86_400,
        config,
    };
    if stack.count("select count() from metrics").await? > 0 {
        bail!("the stack has metrics already: this needs one of its own");
    }
    stack.fill(args.history).await?;
    stack.send(1_000, |_| now_s).await?; // completes the hours of the history
    tokio::time::sleep(Duration::from_secs(3)).await;

    let begun = Instant::now();
    let from = stack.from;
    // A step that reaches all hours evenly, and is not a multiple of any of their lengths.
    stack
        .send(args.late, |number| from + number * 7_919 % (DAYS * 86_400))
        .await?;
    let late = begun.elapsed().as_secs_f64();
    let counted = stack
        .count("select sum(late) from batch_ledger final where stage = 'aggregate'")
        .await?;

    let begun = Instant::now();
    let command = rebuild::Args {
        from: Some(from as u32),
        to: Some((from + DAYS * 86_400) as u32),
        tenant: String::new(),
        metric: String::new(),
        source: rebuild::Source::Raw,
        dry_run: false,
        json: false,
        abandon: None,
    };
    rebuild::run(&stack.config, &command).await?;
    let rebuilt = begun.elapsed().as_secs_f64();

    let all = args.history + args.late;
    println!(
        "late: {} records ({counted} counted as late) in {late:.1} s, {:.0} records/s",
        args.late,
        args.late as f64 / late
    );
    println!(
        "rebuild: {all} records in {rebuilt:.1} s, {:.0} records/s",
        all as f64 / rebuilt
    );
    println!("recomputing the hours costs {:.1} times as much", rebuilt / late);
    let history = (20.0 * late * all as f64 / rebuilt - args.late as f64).max(0.0);
    println!("20 times as much from a history of {:.0} records on", history);
    Ok(())
}

impl Stack {
    async fn count(&self, query: &str) -> anyhow::Result<u64> {
        Ok(self.client.query(query).fetch_one().await?)
    }

    /// Inserts a history as the stages would have left it, in an earlier life of the log; day by day.
    async fn fill(&self, records: u64) -> anyhow::Result<()> {
        let (topic, a_day) = (&self.config.source.metrics_topic, records / DAYS);
        for day in 0..DAYS {
            let (start, first) = (self.from + day * 86_400, day * a_day);
            let rows = format!(
                "insert into metrics select concat('tenant-', toString(number % 10)), \
                 toDateTime64({start}, 6, 'UTC') + toIntervalMicrosecond(intDiv(number * 86400000000, {a_day})), \
                 concat('metric_', toString(number % 50)), 'gauge', concat('service-', toString(number % {SERIES})), '', '', '', \
                 'production', (cityHash64(number) % 1000000) / 100, 'ms', map(), '{topic}', 0, {first} + number, \
                 toDateTime64({start}, 3, 'UTC'), 0, now64(3) from numbers({a_day})"
            );
            self.client.query(&rows).execute().await?;
            for stage in ["ingest", "aggregate"] {
                let row = format!(
                    "insert into batch_ledger (stage, kafka_topic, kafka_partition, log_epoch, start_offset, end_offset, entry, \
                     records, rows, hours, inserted_at) \
                     select '{stage}', '{topic}', 0, 0, {first}, {first} + {a_day}, 'batch', {a_day}, {a_day}, \
                     sumMap(map(toDateTime(toStartOfHour(time), 'UTC'), toUInt64(1))), now64(3) from metrics \
                     where log_epoch = 0 and kafka_offset >= {first} and kafka_offset < {first} + {a_day}"
                );
                self.client.query(&row).execute().await?;
            }
        }
        Ok(())
    }

    /// Sends samples to all partitions; returns once the aggregate stage has them.
    async fn send(&self, records: u64, time_s: impl Fn(u64) -> u64) -> anyhow::Result<()> {
        let aggregated = "select sum(records) from batch_ledger final where stage = 'aggregate' and log_epoch > 0 \
             and entry in ('batch', 'recovered')";
        let before = self.count(aggregated).await?;
        let mut client: ClientConfig = self.config.kafka.client_config();
        client
            .set("linger.ms", "20")
            .set("queue.buffering.max.messages", "500000");
        let topic = &self.config.source.metrics_topic;
        let consumer: BaseConsumer = client.create()?;
        let metadata = consumer.fetch_metadata(Some(topic), Duration::from_secs(10))?;
        let partitions = metadata
            .topics()
            .first()
            .map_or(1, |topic| topic.partitions().len().max(1)) as u64;
        let producer: BaseProducer = client.create()?;
        let mut payload = Vec::new();
        for number in 0..records {
            payload.clear();
            sample(number, time_s(number)).encode_single_object(&mut payload);
            let record = || {
                BaseRecord::<(), [u8]>::to(topic)
                    .partition((number % partitions) as i32)
                    .payload(&payload[..])
            };
            while let Err((error, _)) = producer.send(record()) {
                match error {
                    KafkaError::MessageProduction(rdkafka::types::RDKafkaErrorCode::QueueFull) => {
                        producer.poll(Duration::from_millis(20));
                    }
                    other => return Err(other.into()),
                }
            }
        }
        producer.flush(DEADLINE)?;
        let begun = Instant::now();
        while self.count(aggregated).await? < before + records {
            if begun.elapsed() > DEADLINE {
                bail!("the aggregate stage did not take {records} records: is it running?");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }
}

fn sample(number: u64, time_s: u64) -> MetricSample {
    MetricSample {
        tenant_id: format!("tenant-{}", number % 10),
        time: time_s as i64 * 1_000_000,
        metric_name: format!("metric_{}", number % 50),
        metric_type: MetricType::Gauge,
        service_id: format!("service-{}", number % SERIES),
        environment: "production".to_owned(),
        value: (number % 1_000_000) as f64 / 100.0,
        unit: "ms".to_owned(),
        ..MetricSample::default()
    }
}
