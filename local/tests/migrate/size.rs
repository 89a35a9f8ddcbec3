//! Bytes per sample, with everything: keys, labels, coordinates, indexes, marks.

use crate::target::Target;

/// A day of 600 regular one-minute series in 4 partitions: a random walk with 2 decimals, whose steps have 0.96 bytes of
/// entropy. Every minute each producer sends its series in the same order.
const ONE_DAY: &str = "insert into metrics \
    with 600 as series, intDiv(number, 1440) as serie, number % 1440 as minute, serie % 60 as service, service % 4 as partition, \
         [cos(2 * pi() * (cityHash64(number) % 100003) / 100003), sqrt(-2 * log((sipHash64(number) % 100003 + 1) / 100004))] as box, \
         toStartOfDay(now('UTC')) - interval 3 day as day \
    select 'demo', toDateTime64(day + minute * 60, 6, 'UTC'), concat('metric_', toString(intDiv(serie, 60))), 'gauge', \
        concat('service-', toString(service)), 'plugin-a', '', 'team-1', 'production', \
        round(100 + sum(0.5 * box[1] * box[2]) over (partition by serie order by minute rows unbounded preceding), 2), 'ms', \
        map('host', concat('host-', toString(service)), 'region', ['eu-west-1', 'us-east-1'][service % 2 + 1]), \
        'metrics', partition, minute * 150 + intDiv(serie, 60) * 15 + intDiv(service, 4), \
        toDateTime64(day + minute * 60, 3, 'UTC') + interval serie * 37 % 5000 millisecond, 0, now64(3) \
    from numbers(600 * 1440) settings max_insert_threads = 1, min_insert_block_size_rows = 1000000, \
        min_insert_block_size_bytes = 1000000000";

fn bytes_a_sample(target: &Target) -> f64 {
    target.execute("optimize table metrics final");
    target.one(&format!(
        "select sum(bytes_on_disk) / sum(rows) from system.parts where database = '{}' and table = 'metrics' and active",
        target.database
    ))
}

#[test]
fn a_regular_sample_takes_less_than_2_7_bytes_and_less_than_2_5_once_recompressed() {
    let target = Target::migrated();
    target.execute(ONE_DAY);
    let fresh = bytes_a_sample(&target);
    // As the shipped TTL rule does after seven days, but at once.
    target.execute("alter table metrics modify ttl toDateTime(time) + toIntervalDay(1) recompress codec(ZSTD(9)) settings mutations_sync = 2");
    let recompressed = bytes_a_sample(&target);
    println!("bytes a sample: {fresh:.3}, recompressed {recompressed:.3}");
    assert!(fresh < 2.7, "{fresh}");
    assert!(recompressed < 2.5, "{recompressed}");
}
