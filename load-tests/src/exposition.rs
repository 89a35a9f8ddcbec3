//! Reads a stage's `/metrics`: the values of a metric, by labels.
//!
//! Enters: Prometheus' text format. Leaves: numbers. Supports only what our stages write: no escaped label values. No
//! I/O.

/// A scraped page.
#[derive(Debug, Clone, Default)]
pub struct Exposition(String);

impl Exposition {
    /// Wraps a page.
    pub fn new(page: String) -> Self {
        Self(page)
    }

    /// The value of the sample with this name that has, among others, this label; 0 if there is none.
    pub fn value(&self, name: &str, label: &str, value: &str) -> f64 {
        let wanted = format!("{label}=\"{value}\"");
        let sample = |line: &str| {
            let (labels, number) = line.strip_prefix(name)?.strip_prefix('{')?.rsplit_once("} ")?;
            labels
                .split(',')
                .any(|label| label == wanted)
                .then(|| number.parse().ok())?
        };
        self.0.lines().find_map(sample).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_label_chooses_the_sample() {
        let page = "# TYPE horolog_insert_seconds histogram\n\
                    horolog_insert_seconds_sum{table=\"metrics\"} 1.5\n\
                    horolog_insert_seconds_count{table=\"metrics_hourly\"} 2\n\
                    horolog_insert_seconds_count{table=\"metrics\"} 7\n";
        let page = Exposition::new(page.to_owned());
        let name = "horolog_insert_seconds_count";
        assert_eq!(page.value(name, "table", "metrics"), 7.0);
        assert_eq!(page.value(name, "table", "metrics_hourly"), 2.0);
        assert_eq!(page.value(name, "table", "audit_logs"), 0.0);
        assert_eq!(page.value("horolog_insert_seconds_sum", "table", "metrics"), 1.5);
    }
}
