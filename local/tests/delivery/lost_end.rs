//! A log that lost its end, as in a power cut or an unclean election, and got other records there before any stage
//! noticed.

use crate::bed::{Bed, Record, now_ms, wait_until};
use crate::flow::{Flow, STORED_DEADLINE};

/// Samples with a Kafka timestamp of their own, so that the same ones can be produced again.
fn samples(flow: &Flow<'_>, numbers: std::ops::Range<u64>) -> Vec<Record> {
    let now_ms = now_ms();
    let sample = |number| flow.sample(number, now_ms).at(now_ms - 60_000 + number as i64);
    numbers.map(sample).collect()
}

/// Recreates the topic with only the first `kept` of its `records`, followed by `others`.
fn lose_the_end(flow: &Flow<'_>, records: &[Record], kept: usize, others: &[Record]) {
    flow.recreate();
    let log: Vec<Record> = records[..kept].iter().chain(others).cloned().collect();
    flow.bed.produce(&flow.topic, 0, &log);
}

/// The ends of a stage's ledger in a life of the log.
fn ends(flow: &Flow<'_>, stage: &str, log_epoch: u32) -> Vec<(i64, i64)> {
    flow.bed.sql(&format!(
        "select start_offset, end_offset from batch_ledger final where stage = '{stage}' and kafka_topic = '{}' \
         and log_epoch = {log_epoch} and entry in ('batch', 'recovered') order by 1",
        flow.topic
    ))
}

/// What `horolog-aggregate verify` says of yesterday and today.
fn verify(flow: &Flow<'_>) -> String {
    let day = |days: i64| {
        let time = chrono::DateTime::from_timestamp_millis(now_ms() + days * 86_400_000).unwrap();
        time.format("%Y-%m-%d").to_string()
    };
    let group = format!("{}-aggregate", flow.topic);
    let env = [
        ("HOROLOG_AGGREGATE__SOURCE__METRICS_TOPIC", flow.topic.as_str()),
        ("HOROLOG_AGGREGATE__SOURCE__GROUP", group.as_str()),
    ];
    let args = ["verify", "--from", &day(-1), "--to", &day(1)];
    let mut command = flow.bed.spawn_command("horolog-aggregate", &args, &env);
    command.wait(STORED_DEADLINE);
    std::fs::read_to_string(command.log()).unwrap()
}

#[test]
fn goes_on_behind_the_last_batch_that_is_as_it_was() {
    let flow = Flow::new(Bed::shared(), "lost-end", 1);
    let records = samples(&flow, 0..600);
    let small = [
        ("HOROLOG_INGEST__BATCH__ROWS_MAX", "100"),
        ("HOROLOG_AGGREGATE__BATCH__ROWS_MAX", "100"),
    ];
    let mut stages = [flow.ingest(&small), flow.aggregate(&small)];
    flow.bed.produce(&flow.topic, 0, &records);
    flow.count_sent(600);
    flow.wait_until_stored();
    for stage in &mut stages {
        stage.kill9();
    }
    lose_the_end(&flow, &records, 350, &samples(&flow, 1_000..1_400));
    let _stages = [flow.ingest(&small), flow.aggregate(&small)];
    for stage in ["ingest", "aggregate"] {
        wait_until(STORED_DEADLINE, &format!("{stage} has the new end"), || {
            ends(&flow, stage, 2).last().is_some_and(|&(_, end)| end == 750)
        });
        let survived = ends(&flow, stage, 1).into_iter().map(|(_, end)| end);
        let survived = survived.filter(|&end| end <= 350).max().unwrap();
        assert!(survived > 250, "batches of at most 100 records: {survived}");
        let new_life = ends(&flow, stage, 2);
        assert_eq!(new_life[0].0, survived, "{stage}");
        assert!(new_life.windows(2).all(|pair| pair[0].1 == pair[1].0), "{new_life:?}");
    }
    let lives: Vec<(u32, u64)> = flow.bed.sql(&format!(
        "select log_epoch, count() from metrics where kafka_topic = '{}' group by log_epoch order by 1",
        flow.topic
    ));
    let begin = ends(&flow, "ingest", 2)[0].0;
    assert_eq!(lives, [(1, 600), (2, 750 - begin as u64)]);
}

/// Only one stage had read what was lost: the other cannot notice the loss, and takes over the new life.
#[test]
fn both_stages_count_the_same_life_when_only_one_had_read_what_was_lost() {
    for (number, ahead) in ["ingest", "aggregate"].into_iter().enumerate() {
        let flow = Flow::new(Bed::shared(), &format!("lost-by-{number}"), 1);
        let records = samples(&flow, 0..600);
        let mut stages = [flow.ingest(&[]), flow.aggregate(&[])];
        flow.bed.produce(&flow.topic, 0, &records[..300]);
        flow.count_sent(300);
        flow.wait_until_stored();
        let [behind, other] = match ahead {
            "ingest" => [1, 0],
            _ => [0, 1],
        };
        stages[behind].kill9();
        flow.bed.produce(&flow.topic, 0, &records[300..]);
        wait_until(STORED_DEADLINE, "one stage has all", || {
            ends(&flow, ahead, 1).last().is_some_and(|&(_, end)| end == 600)
        });
        stages[other].kill9();
        lose_the_end(&flow, &records, 450, &samples(&flow, 1_000..1_200));
        let _stages = [flow.ingest(&[]), flow.aggregate(&[])];
        let behind = ["ingest", "aggregate"][behind];
        // It may have gone on in the old life for a while before it noticed.
        wait_until(STORED_DEADLINE, &format!("{behind} counts a second life"), || {
            let lives = "select count() from batch_ledger where log_epoch = 2 and entry = 'epoch'";
            flow.bed.one::<u64>(&format!(
                "{lives} and stage = '{behind}' and kafka_topic = '{}'",
                flow.topic
            )) > 0
        });
        flow.bed.produce(&flow.topic, 0, &samples(&flow, 2_000..2_010));
        for stage in ["ingest", "aggregate"] {
            wait_until(STORED_DEADLINE, &format!("{stage} has the new end"), || {
                ends(&flow, stage, 2).last().is_some_and(|&(_, end)| end == 660)
            });
        }
        let (old, new) = (ends(&flow, behind, 1), ends(&flow, behind, 2));
        assert_eq!(old.last().map(|&(_, end)| end), new.first().map(|&(start, _)| start));
        assert!(old.last().is_some_and(|&(_, end)| end >= 300), "{old:?}");
        // The row of the progress follows that of the ledger.
        wait_until(STORED_DEADLINE, "the progress is that of the new life", || {
            let progress: Vec<(u32, i64)> = flow.bed.sql(&format!(
                "select log_epoch, max(aggregated_end) from partition_progress where kafka_topic = '{}' group by log_epoch \
                 order by log_epoch desc limit 1",
                flow.topic
            ));
            progress == [(2, 660)]
        });
        // The loss is reported as what it is; that the new life does not begin where the log begins is no error of the
        // ledger.
        let said = verify(&flow);
        assert!(
            said.contains("hours compared") && !said.contains("its ledger does not"),
            "{said}"
        );
    }
}

#[test]
fn a_pending_batch_is_not_repeated_with_other_records() {
    let flow = Flow::new(Bed::shared(), "lost-pending", 1);
    let records = samples(&flow, 0..300);
    let mut dying = flow.ingest(&[("HOROLOG_CRASH_AT", "after-rows")]);
    flow.bed.produce(&flow.topic, 0, &records);
    wait_until(STORED_DEADLINE, "it dies with its rows stored", || {
        dying.exited().is_some()
    });
    let stored = |log_epoch: u32| -> u64 {
        flow.bed.one(&format!(
            "select count() from metrics where kafka_topic = '{}' and log_epoch = {log_epoch}",
            flow.topic
        ))
    };
    let before = stored(1);
    assert!(before > 0);
    // Only the first record is unchanged, so the pending batch cannot be repeated as it was, wherever it ended.
    lose_the_end(&flow, &records, 1, &samples(&flow, 1_000..1_500));
    let _ingest = flow.ingest(&[]);
    wait_until(STORED_DEADLINE, "the new records are stored", || {
        ends(&flow, "ingest", 2).last().is_some_and(|&(_, end)| end == 501)
    });
    assert_eq!((stored(1), stored(2)), (before, 501));
    let left_behind: (u64, u64) = flow.bed.one(&format!(
        "select sum(rows), sum(arraySum(mapValues(hours))) from batch_ledger final where stage = 'ingest' and kafka_topic = '{}' and log_epoch = 1 \
         and entry = 'gap'",
        flow.topic
    ));
    assert_eq!(
        left_behind,
        (before, before),
        "the ledger knows of what the old life left behind, and when that was"
    );
}
