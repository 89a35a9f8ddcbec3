//! Crash points: places where a test lets the process die as if by `kill -9`.
//!
//! `HOROLOG_CRASH_AT=after-intent` dies at the first passage, `after-intent:3` at the third. They are in the shipped
//! binary on purpose: what the tests kill is what runs in production, and whoever can set a process's environment can
//! kill it anyway.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

struct Plan {
    point: String,
    passages_left: AtomicU32,
}

static PLAN: OnceLock<Option<Plan>> = OnceLock::new();

/// Dies here if the environment says so.
pub fn point(name: &str) {
    let plan = PLAN.get_or_init(|| std::env::var("HOROLOG_CRASH_AT").ok().map(|text| parse(&text)));
    if let Some(plan) = plan
        && plan.point == name
        && plan.passages_left.fetch_sub(1, Ordering::Relaxed) == 1
    {
        eprintln!("crash point {name}");
        std::process::abort();
    }
}

fn parse(text: &str) -> Plan {
    let (point, passages) = text.split_once(':').unwrap_or((text, "1"));
    Plan {
        point: point.to_owned(),
        passages_left: AtomicU32::new(passages.parse().unwrap_or(1)),
    }
}
