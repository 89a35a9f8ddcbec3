//! What tests share: a bed, a topic with both stages running, and two days of hours, some of whose records came late.
//! Each test has hours of its own. There is one rebuild at a time, so there is one test at a time in a world, and there
//! are two worlds.

use std::time::Duration;

use parking_lot::{MappedMutexGuard, Mutex, MutexGuard};

use crate::bed::{Bed, Proc, Record, now_ms};
use crate::flow::Flow;

const DEADLINE: Duration = Duration::from_secs(300);
/// How often a test looks for a world that is free.
const LOOK: Duration = Duration::from_millis(50);
const HOUR_MS: i64 = 3_600_000;
/// Dead members and new partitions are noticed soon: a rebuild waits until a new partition has been.
const NOTICES: &str =
    r#"{"session.timeout.ms"="6000","heartbeat.interval.ms"="1000","topic.metadata.refresh.interval.ms"="1000"}"#;
/// Hours with records. Tests take 45 of them, and none of the newest eight, which the stage verifies by itself.
const HOURS: u32 = 56;
/// Records of each hour that are on time, and that are late.
const ON_TIME: u64 = 60;
const LATE: u64 = 12;
pub const PARTITIONS: i32 = 2;
/// Keys of a tenant's hour in a batch before they are folded.
pub const KEYS_MAX: u64 = 20;

pub struct World {
    pub flow: Flow<'static>,
    /// The running stage.
    pub aggregate: Proc,
    _ingest: Proc,
    /// Stages of other topics.
    pub others: Vec<Proc>,
    next_hour: u32,
    newest_hour: u32,
    number: u64,
}

/// A command that has ended.
pub struct Ended {
    pub code: i32,
    pub text: String,
}

/// A world, for one test at a time.
pub fn world() -> MappedMutexGuard<'static, World> {
    static WORLDS: [Mutex<Option<World>>; 2] = [const { Mutex::new(None) }; 2];
    loop {
        if let Some(free) = WORLDS.iter().find_map(Mutex::try_lock) {
            return MutexGuard::map(free, |world| world.get_or_insert_with(World::begin));
        }
        std::thread::sleep(LOOK);
    }
}

impl World {
    fn begin() -> Self {
        let bed: &'static Bed = Box::leak(Box::new(Bed::start()));
        let flow = Flow::new(bed, "rebuild", PARTITIONS);
        let (ingest, aggregate) = (
            flow.ingest(&[]),
            flow.aggregate(&[
                ("HOROLOG_AGGREGATE__COMPLETENESS__ALLOWED_LATENESS_S", "0"),
                ("HOROLOG_AGGREGATE__COMPLETENESS__IDLE_AFTER_S", "1"),
                (
                    "HOROLOG_AGGREGATE__AGGREGATE__KEYS_PER_TENANT_MAX",
                    &KEYS_MAX.to_string(),
                ),
                ("HOROLOG_AGGREGATE__VERIFY__INTERVAL_S", "1"),
                ("HOROLOG_AGGREGATE__VERIFY__HOURS", "8"),
                ("HOROLOG_AGGREGATE__KAFKA__PROPERTIES", NOTICES),
            ]),
        );
        let first_hour = (now_ms() / HOUR_MS - i64::from(HOURS) - 2) as u32 * 3_600;
        let mut world = Self {
            flow,
            aggregate,
            _ingest: ingest,
            others: Vec::new(),
            next_hour: first_hour,
            newest_hour: first_hour + (HOURS - 1) * 3_600,
            number: 0,
        };
        for hour in 0..HOURS {
            world.send(world.next_hour + hour * 3_600, ON_TIME);
        }
        world.flow.wait_until_stored();
        // Both partitions are at their end: complete up to now. What arrives for those hours from now on is late.
        let complete = world.next_hour + HOURS * 3_600;
        crate::bed::wait_until(DEADLINE, "the hours are complete", || {
            let marks: Vec<u32> = world.flow.bed.sql(&format!(
                "select toUnixTimestamp(max(watermark)) from partition_progress where kafka_topic = '{}' \
                 group by kafka_partition",
                world.flow.topic
            ));
            marks.len() == PARTITIONS as usize && marks.iter().all(|mark| *mark >= complete)
        });
        for hour in 0..HOURS {
            world.send(world.next_hour + hour * 3_600, LATE);
        }
        world.flow.wait_until_stored();
        world
    }

    /// Reserves this many hours for a test; returns the start of the first.
    pub fn take_hours(&mut self, hours: u32) -> u32 {
        let first = self.next_hour;
        self.next_hour += hours * 3_600;
        first
    }

    /// The newest hour with records, which is among those that the stage verifies by itself.
    pub fn newest_hour(&self) -> u32 {
        self.newest_hour
    }

    /// Sends samples of an hour: gauges and counters, of either sign and zero, with long tails, to both partitions.
    pub fn send(&mut self, hour: u32, records: u64) {
        for partition in 0..PARTITIONS {
            let records: Vec<Record> = (0..records / PARTITIONS as u64).map(|_| self.sample(hour)).collect();
            self.flow.bed.produce(&self.flow.topic, partition, &records);
            self.flow.count_sent(records.len() as u64);
        }
    }

    fn sample(&mut self, hour: u32) -> Record {
        self.number += 1;
        let number = self.number;
        let noise = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 11;
        self.flow.changed_sample(|sample| {
            sample.time = i64::from(hour) * 1_000_000 + (number % 3_600) as i64 * 1_000_000;
            sample.metric_name = format!("metric_{}", number % 3);
            sample.service_id = format!("service '{}?", number % 2);
            sample.value = match number % 10 {
                0 => 0.0,
                1..4 => -(noise as f64 / (1u64 << 53) as f64).powi(-2),
                _ => noise as f64 / 1e9,
            };
        })
    }

    /// Runs a command of `horolog-aggregate` on the world's topic.
    pub fn run(&self, args: &[&str]) -> Ended {
        self.run_with(args, &[])
    }

    /// Likewise, with variables.
    pub fn run_with(&self, args: &[&str], env: &[(&str, &str)]) -> Ended {
        let mut command = self.start(args, env);
        let status = command.wait(DEADLINE);
        Ended {
            code: status.code().unwrap_or(-1),
            text: std::fs::read_to_string(command.log()).unwrap(),
        }
    }

    /// Starts a command.
    pub fn start(&self, args: &[&str], env: &[(&str, &str)]) -> Proc {
        let group = format!("{}-aggregate", self.flow.topic);
        let mut all = vec![
            ("HOROLOG_AGGREGATE__SOURCE__METRICS_TOPIC", self.flow.topic.as_str()),
            ("HOROLOG_AGGREGATE__SOURCE__GROUP", group.as_str()),
            ("HOROLOG_AGGREGATE__REBUILD__PART_RECORDS_MAX", "1"),
        ];
        all.extend_from_slice(env);
        self.flow.bed.spawn_command("horolog-aggregate", args, &all)
    }

    /// Rebuilds hours; panics with what it said when it fails.
    #[track_caller]
    pub fn rebuild(&self, from: u32, to: u32, more: &[&str]) -> String {
        let ended = self.run(&command("rebuild", from, to, more));
        assert_eq!(ended.code, 0, "{}", ended.text);
        ended.text
    }

    /// Verifies hours.
    pub fn verify(&self, from: u32, to: u32) -> Ended {
        self.run(&command("verify", from, to, &[]))
    }

    /// Verifies hours, which have to be equal.
    #[track_caller]
    pub fn assert_verified(&self, from: u32, to: u32) {
        let ended = self.verify(from, to);
        assert_eq!(ended.code, 0, "{}", ended.text);
    }

    /// All that is visible of some hours, as rows by key and revision; the sums are separate.
    pub fn visible(&self, from: u32, to: u32) -> (Vec<String>, Vec<f64>) {
        let rows: Vec<(String, f64)> = self.flow.bed.sql(&format!(
            "select toString((hour, metric_name, service_id, revised_at, sum(h.count), sum(h.late_count), min(h.min), max(h.max), \
             max(h.last), mapSort(sumMap(h.positive)), mapSort(sumMap(h.negative)), sum(h.zero_count))) as row, sum(h.sum) \
             from visible_partials as h where tenant_id = '{}' and hour >= toDateTime({from}, 'UTC') and hour < toDateTime({to}, 'UTC') \
             group by hour, metric_name, service_id, revised_at order by hour, metric_name, service_id, revised_at",
            self.flow.topic
        ));
        rows.into_iter().unzip()
    }

    /// Asserts that what is visible is unchanged; sums to 1e-9.
    #[track_caller]
    pub fn assert_visible(&self, from: u32, to: u32, was: &(Vec<String>, Vec<f64>)) {
        let is = self.visible(from, to);
        assert_eq!(is.0, was.0);
        for (is, was) in is.1.iter().zip(&was.1) {
            assert!((is - was).abs() <= 1e-9 * was.abs().max(1.0) * 1e6, "{is} {was}");
        }
    }

    /// Records that a table of hours counts, whatever its epochs; rows merge.
    pub fn total(&self, table: &str) -> u64 {
        self.flow.bed.one(&format!("select sum(h.count) from {table} as h"))
    }

    pub fn count(&self, what: &str) -> u64 {
        self.count_of(&format!("select count() from {what}"))
    }

    pub fn count_of(&self, query: &str) -> u64 {
        self.flow.bed.one(query)
    }
}

pub fn command<'a>(name: &'a str, from: u32, to: u32, more: &[&'a str]) -> Vec<&'a str> {
    let hour = |hour: u32| -> &'static str { show(hour).leak() };
    let mut args = vec![name, "--from", hour(from), "--to", hour(to)];
    args.extend_from_slice(more);
    args
}

/// An hour as the commands print it.
pub fn show(hour: u32) -> String {
    let time = chrono::DateTime::from_timestamp_secs(i64::from(hour)).unwrap();
    time.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}
