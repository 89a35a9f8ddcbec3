//! Members that come and go while records flow at speed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::bed::{Bed, Proc, seed};
use crate::flow::{Flow, STORED_DEADLINE, Stop};

const PARTITIONS: i32 = 12;
const RECORDS_A_SECOND: u64 = 20_000;
const TICK: Duration = Duration::from_millis(50);
const CHANGES: usize = 10;

/// Produces on a schedule until told to stop; returns how many records the broker acknowledged, which is all of them.
fn pump(flow: &Flow<'_>, stop: &AtomicBool) -> u64 {
    let mut config = rdkafka::ClientConfig::new();
    config
        .set("bootstrap.servers", flow.bed.kafka())
        .set("enable.idempotence", "true")
        .set("linger.ms", "5");
    let producer: BaseProducer = config.create().unwrap();
    let begun = Instant::now();
    let mut sent = 0;
    while !stop.load(Ordering::SeqCst) {
        let due = (begun.elapsed().as_secs_f64() * RECORDS_A_SECOND as f64) as u64;
        for number in sent..due {
            send(flow, &producer, number);
        }
        sent = due;
        producer.poll(TICK);
    }
    producer.flush(STORED_DEADLINE).unwrap();
    assert_eq!(producer.in_flight_count(), 0);
    sent
}

fn send(flow: &Flow<'_>, producer: &BaseProducer, number: u64) {
    let record = flow.record(number, crate::bed::now_ms());
    let payload = record.payload.unwrap();
    let partition = (number % PARTITIONS as u64) as i32;
    let mut message = BaseRecord::<[u8], [u8]>::to(&flow.topic)
        .partition(partition)
        .payload(&payload);
    while let Err((error, back)) = producer.send(message) {
        assert_eq!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull));
        producer.poll(TICK);
        message = back;
    }
}

#[test]
fn ten_changes_of_members_lose_and_double_nothing() {
    let seed = seed();
    let mut random = StdRng::seed_from_u64(seed);
    let flow = Flow::new(Bed::shared(), "members", PARTITIONS);
    let start = |place: usize| {
        if place < 3 {
            flow.ingest(&[])
        } else {
            flow.aggregate(&[])
        }
    };
    let mut members: Vec<Option<Proc>> = (0..6).map(|place| Some(start(place))).collect();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let pump = scope.spawn(|| pump(&flow, &stop));
        let pumping = Stop(&stop);
        for _ in 0..CHANGES {
            std::thread::sleep(Duration::from_millis(random.random_range(500..3_000)));
            let place = random.random_range(0..6);
            members[place] = match members[place].take() {
                // Half of the members that leave are asked to, half are killed.
                Some(mut member) if random.random_bool(0.5) => {
                    flow.end(&mut member);
                    None
                }
                Some(_killed) => None,
                None => Some(start(place)),
            };
        }
        drop(pumping);
        flow.count_sent(pump.join().unwrap());
    });
    for (place, member) in members.iter_mut().enumerate() {
        member.get_or_insert_with(|| start(place));
    }
    flow.wait_until_stored();
    flow.assert_exactly_once();
}
