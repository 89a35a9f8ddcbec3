//! First pages of a hundred events, one request at a time, each with another value, so that no response is cached.

use std::time::{Duration, Instant};

use crate::Asker;

const EVENTS: &str = "/v1/audit/events";

/// A kind of search: its name, and the parameters of its nth request.
type Kind = (&'static str, fn(usize) -> Vec<(&'static str, String)>);

const KINDS: [Kind; 8] = [
    ("newest", |_| Vec::new()),
    ("a user in a month", |n| [user(n), month(n)].concat()),
    ("a user's time line", |n| [user(n), oldest()].concat()),
    ("a resource's time line", |n| [resource(n), oldest()].concat()),
    ("failures of a month", |n| {
        [vec![("status", "failure".to_owned())], month(n)].concat()
    }),
    ("a network in a month", |n| {
        [vec![("ip_address", format!("10.{}.{}.0/24", n % 8, n % 256))], month(n)].concat()
    }),
    ("two words", |n| {
        vec![("text", format!("word{} name{}", n * 37 % 5_000, n * 91 % 5_000))]
    }),
    ("one word and a failure", |n| {
        vec![("text", format!("word{} denied", n * 37 % 5_000))]
    }),
];

fn user(n: usize) -> Vec<(&'static str, String)> {
    vec![("user_id", format!("user-{}", n * 37 % 10_000))]
}

fn resource(n: usize) -> Vec<(&'static str, String)> {
    vec![
        ("resource_type", "doc".to_owned()),
        ("resource_id", format!("res-{}", n * 1_009 % 200_000)),
    ]
}

fn month(n: usize) -> Vec<(&'static str, String)> {
    let (year, month) = (2024 + n / 12 % 2, 1 + n % 12);
    let (year_after, month_after) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    vec![
        ("from", format!("{year}-{month:02}-01")),
        ("to", format!("{year_after}-{month_after:02}-01")),
    ]
}

fn oldest() -> Vec<(&'static str, String)> {
    vec![("order", "oldest".to_owned())]
}

/// Prints how long each kind takes until the whole response has arrived.
pub async fn measure(asker: &Asker, requests: usize) -> anyhow::Result<()> {
    println!(
        "{:<28} {:>8} {:>8} {:>8} {:>8}",
        "first page, ms", "p50", "p99", "max", "events"
    );
    for (name, parameters) in KINDS {
        let (mut times, mut events) = (Vec::new(), 0);
        for n in 0..requests {
            let parameters = parameters(n);
            let parameters: Vec<_> = parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let begun = Instant::now();
            let page = asker.get(EVENTS, &parameters).await?;
            times.push(begun.elapsed());
            events += page["rows"].as_array().map_or(0, Vec::len);
        }
        times.sort_unstable();
        let at = |share: f64| ms(times[((times.len() as f64 * share).ceil() as usize).clamp(1, times.len()) - 1]);
        let mean = events as f64 / requests as f64;
        println!(
            "{name:<28} {:>8.1} {:>8.1} {:>8.1} {mean:>8.1}",
            at(0.5),
            at(0.99),
            at(1.0)
        );
    }
    Ok(())
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
