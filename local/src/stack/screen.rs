//! What a person sees while a stack runs: the addresses, what to try, one line now and then about what flows.

use std::fmt::Write as _;
use std::io::Write as _;

use indicatif::HumanCount;

use super::flow::Flow;
use super::state::StackState;

/// A line with the time of day before it, on standard error.
pub(super) fn say(message: &str) {
    // Not `eprintln!`: it panics where the log lies on a full disk, and with the supervisor all processes would end.
    let _ = writeln!(
        std::io::stderr(),
        "{}  {message}",
        chrono::Local::now().format("%H:%M:%S")
    );
}

/// The addresses, and three commands to try.
pub fn welcome(state: &StackState) -> String {
    let StackState {
        query,
        clickhouse,
        kafka,
        data,
        ..
    } = state;
    let password_file = clickhouse.password_file.display();
    format!(
        "
  web page     {query}   sign in with the key in {keys}/demo-auditor
  query API    {query}   keys in {keys}
  ClickHouse   {clickhouse}   user {user}, password in {password_file}
  Kafka        {kafka}   topics metrics, audit-events
  data, logs   {data}

Try (hourly rows follow their records after about ten seconds):
  curl -H \"authorization: Bearer $(cat '{keys}/demo-analyst')\" '{query}/v1/metrics/hourly?limit=5'
  curl -H \"authorization: Bearer $(cat '{keys}/demo-auditor')\" '{query}/v1/audit/events?limit=5'
  curl -u \"{user}:$(cat '{password_file}')\" '{clickhouse}/?database={database}' --data-binary 'select metric_name, count() from metrics group by all format PrettyCompact'
",
        query = query.url,
        keys = query.keys.display(),
        clickhouse = clickhouse.url,
        user = clickhouse.user,
        database = clickhouse.database,
        kafka = kafka.bootstrap,
        data = data.display(),
    )
}

/// What is shown once, when the key of the first administrator has just been made.
pub fn first_admin(key: &str) -> String {
    format!(
        "The first administrator's key, which can create others at /v1/admin/keys; it is shown only once:\n  {key}\n"
    )
}

/// `1,203 records/s in, 1,198 stored, lag 340, complete through 2026-01-01T09:00:00Z`.
pub(super) fn flow_line(before: &Flow, after: &Flow, seconds: f64) -> String {
    let rate = |after: i64, before: i64| thousands(((after - before).max(0) as f64 / seconds).round() as i64);
    let mut line = format!(
        "{} records/s in, {} stored, {} aggregated; lag {}",
        rate(after.produced, before.produced),
        rate(after.stored, before.stored),
        rate(after.aggregated, before.aggregated),
        thousands(after.lag()),
    );
    if let Some(complete_through) = &after.complete_through {
        let _ = write!(line, "; complete through {complete_through}");
    }
    line
}

/// The table that `status` prints.
pub fn table(state: &StackState) -> String {
    let mut text = format!(
        "{:<18} {:>8} {:<11} {:>8}  {}\n",
        "process", "pid", "state", "restarts", "address"
    );
    for process in &state.processes {
        let pid = process.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string());
        let phase = serde_json::to_value(process.state).unwrap_or_default();
        let phase = phase.as_str().unwrap_or_default().replace('_', " ");
        let address = process.address.as_deref().unwrap_or("-");
        let _ = writeln!(
            text,
            "{:<18} {pid:>8} {phase:<11} {:>8}  {address}",
            process.name, process.restarts
        );
    }
    text
}

/// A number with commas between thousands.
pub fn thousands(number: i64) -> String {
    let sign = if number < 0 { "-" } else { "" };
    format!("{sign}{}", HumanCount(number.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_separated() {
        let texts: Vec<String> = [0, 999, 1_000, 12_345, 1_234_567, -1_000].map(thousands).into();
        assert_eq!(texts, ["0", "999", "1,000", "12,345", "1,234,567", "-1,000"]);
    }
}
