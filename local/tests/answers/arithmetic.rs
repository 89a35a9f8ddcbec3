//! Files whose answers follow from plain arithmetic: every hour of a series is an arithmetic progression.
//!
//! Enters: a folder. Leaves: files in it, and the answers. The sum of a run is n·first + step·n(n−1)/2, its value of rank k
//! first + step·k; all numbers are multiples of 1/4, so that every sum is exact.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Duration, Utc};

use super::{Answers, Hour};

/// Days of the long history: more than the partitions that one insert may touch.
const HISTORY_DAYS: i64 = 400;

/// A run of numbers in one hour.
#[derive(Clone, Copy)]
struct Run {
    first: f64,
    step: f64,
    count: u32,
}

impl Run {
    fn value(&self, index: u32) -> f64 {
        self.first + self.step * f64::from(index)
    }

    fn answer(&self) -> Hour {
        let n = f64::from(self.count);
        let sum = n * self.first + self.step * n * (n - 1.0) / 2.0;
        let last = self.value(self.count - 1);
        // The value of rank k, counted from the smallest, is the k-th of a rising run, and the k-th from the end of a
        // falling one.
        let rank = |q: f64| {
            let k = (q * n) as u32;
            self.value(if self.step < 0.0 { self.count - 1 - k } else { k })
        };
        Hour {
            count: u64::from(self.count),
            sum,
            avg: sum / n,
            min: self.first.min(last),
            max: self.first.max(last),
            p50: rank(0.5),
            p95: rank(0.95),
            p99: rank(0.99),
        }
    }
}

/// Writes the files; returns each with the unit to import it with.
pub fn write(folder: &Path) -> (Vec<(PathBuf, Option<&'static str>)>, Answers) {
    let mut answers = Answers::default();
    let files = vec![
        (one_metric(folder, &mut answers), Some("percent")),
        (history(folder, &mut answers), Some("requests")),
        (wide(folder, &mut answers), None),
    ];
    (files, answers)
}

fn hour(start: &str, hours: i64) -> DateTime<Utc> {
    start.parse::<DateTime<Utc>>().unwrap() + Duration::hours(hours)
}

fn name(hour: DateTime<Utc>) -> String {
    hour.format("%Y-%m-%d %H:%M:%S").to_string()
}

/// Three hours in reverse order, with a NaN and an empty cell in each.
fn one_metric(folder: &Path, answers: &mut Answers) -> PathBuf {
    let mut text = String::from("timestamp,value\n");
    for index in (0..3).rev() {
        let start = hour("2020-02-29T22:00:00Z", index);
        let run = Run {
            first: 100.0 * (index + 1) as f64,
            step: 0.25,
            count: 200 + index as u32,
        };
        for i in (0..run.count).rev() {
            let time = start + Duration::milliseconds(i64::from(i) * 17_000);
            writeln!(text, "{},{}", time.format("%Y-%m-%d %H:%M:%S%.3f"), run.value(i)).unwrap();
        }
        writeln!(text, "{},NaN\n{},", name(start), name(start)).unwrap();
        answers.add("web", "", "cpu", "percent", name(start), run.answer());
    }
    answers.not_finite.insert("web".to_owned(), 3);
    put(folder, "web/cpu.csv", &text)
}

/// One hour a day.
fn history(folder: &Path, answers: &mut Answers) -> PathBuf {
    let mut text = String::from("value,time\n");
    for day in 0..HISTORY_DAYS {
        let start = hour("2018-06-01T07:00:00Z", 24 * day);
        let run = Run {
            first: day as f64,
            step: 2.0,
            count: 3,
        };
        for i in 0..run.count {
            writeln!(text, "{},{}", run.value(i), start.timestamp() + i64::from(i)).unwrap();
        }
        answers.add("shop", "", "orders", "requests", name(start), run.answer());
    }
    put(folder, "shop/orders.csv", &text)
}

/// Two pods, with one column below zero, one with every other cell empty, and one of text.
fn wide(folder: &Path, answers: &mut Answers) -> PathBuf {
    let mut text = String::from("Time,TimeStamp,PodName,Heat(C),Queue,Zone\n");
    for (pod, first) in [("cart-0", -8.0), ("cart-1", -200.0)] {
        let start = hour("2022-08-22T03:00:00Z", 0);
        let heat = Run {
            first,
            step: -0.5,
            count: 60,
        };
        let queue = Run {
            first: 1.0,
            step: 1.0,
            count: 30,
        };
        for i in 0..heat.count {
            let time = (start + Duration::minutes(i64::from(i))).format("%Y-%m-%d %H:%M:%S.123456789 +0000 UTC m=+0.5");
            let queue = if i % 2 == 0 {
                queue.value(i / 2).to_string()
            } else {
                String::new()
            };
            writeln!(text, "{time},7,{pod},{},{queue},eu", heat.value(i)).unwrap();
        }
        answers.add(pod, "", "Heat(C)", "C", name(start), heat.answer());
        answers.add(pod, "", "Queue", "", name(start), queue.answer());
    }
    put(folder, "pods/cart.csv", &text)
}

fn put(folder: &Path, path: &str, text: &str) -> PathBuf {
    let path = folder.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, text).unwrap();
    path
}
