//! Common text that is neither JSON nor CSV: what it is, and how to convert it.
//!
//! Enters: the first bytes of a file. Leaves: the error that says so, or nothing. Pure.

use super::foreign::Foreign;

/// A kind of text.
struct Kind {
    what: &'static str,
    /// Whether its first line may be this.
    begins: fn(&str) -> bool,
    remedy: &'static str,
}

const KINDS: [Kind; 4] = [
    Kind {
        what: "what a program shows to Prometheus: values of one moment",
        begins: |line| line.starts_with("# HELP ") || line.starts_with("# TYPE "),
        remedy: PROMETHEUS,
    },
    Kind {
        what: "a dump of Prometheus",
        begins: |line| line.starts_with("{__name__="),
        remedy: PROMETHEUS,
    },
    Kind {
        what: "InfluxDB's line protocol",
        begins: is_line_protocol,
        remedy: r##"convert it with `jq -cR 'split(" ") as [$key, $fields, $time] | ($key / ",") as $key | ($fields / ",")[] / "=" | {metric_name: "\($key[0])_\(.[0])", time: $time, value: (.[1] | rtrimstr("i")), labels: ($key[1:] | map(. / "=" | {(.[0]): .[1]}) | add)}' FILE > NEW.ndjson`, which takes no text with spaces or commas, and import that"##,
    },
    Kind {
        what: "a log of auditd",
        begins: |line| line.contains("type=") && line.contains("msg=audit("),
        remedy: r##"convert it with `jq -cR 'capture("type=(?<type>[^ ]+) msg=audit\\((?<time>[0-9.]+):(?<serial>[0-9]+)\\): *(?<text>.*)") | {occurred_at: .time, action: .type, user_id: (.text | capture("(^| )auid=(?<id>[^ ]+)").id // null), service_id: "auditd", source: "system", request_id: .serial, status: (if .text | test("success=no|res=(failed|0)") then "failure" else "success" end), metadata: {text: .text}}' FILE > NEW.ndjson`, and import that"##,
    },
];

const PROMETHEUS: &str = "get the history from Prometheus with `curl 'http://PROMETHEUS:9090/api/v1/query_range?query=NAME&start=\
                          2024-05-01T00:00:00Z&end=2024-05-02T00:00:00Z&step=60' > NEW.json`; importing that tells how \
                          to convert it";

/// What a file is whose first line is known.
pub fn find(head: &[u8]) -> Option<Foreign> {
    let line = (head.split(|&byte| byte == b'\n')).find(|line| !line.trim_ascii().is_empty())?;
    let line = std::str::from_utf8(line).ok()?.trim();
    let Kind { what, remedy, .. } = KINDS.into_iter().find(|kind| (kind.begins)(line))?;
    Some(Foreign { what, remedy })
}

/// `measurement,tag=value field=value,field=value time`.
fn is_line_protocol(line: &str) -> bool {
    let are_assigned = |mut parts: std::str::Split<'_, char>| parts.all(|part| part.contains('='));
    let mut words = line.split(' ');
    let (Some(key), Some(fields), time, None) = (words.next(), words.next(), words.next(), words.next()) else {
        return false;
    };
    let mut tags = key.split(',');
    let is_measured = tags
        .next()
        .is_some_and(|name| !name.is_empty() && !name.contains(['{', '=', '"', '#']));
    let is_time = |time: &str| !time.is_empty() && time.bytes().all(|byte| byte.is_ascii_digit());
    is_measured && are_assigned(tags) && are_assigned(fields.split(',')) && time.is_none_or(is_time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Option<String> {
        find(text.as_bytes()).map(|foreign| foreign.to_string())
    }

    #[test]
    fn text_that_is_no_table_is_told_with_what_to_do() {
        for (text, said) in [
            (
                "# HELP up Whether.\n# TYPE up gauge\nup 1\n",
                "it is what a program shows to Prometheus",
            ),
            (
                "{__name__=\"up\", job=\"a\"} 1 1714557600000\n",
                "it is a dump of Prometheus",
            ),
            (
                "\ncpu,host=a idle=99.5,user=0.5 1714557600000000000\n",
                "it is InfluxDB's line protocol",
            ),
            ("mem used=5i\n", "it is InfluxDB's line protocol"),
            (
                "type=CWD msg=audit(1364481363.243:24287): cwd=\"/\"\n",
                "it is a log of auditd",
            ),
            (
                "node=a type=CWD msg=audit(1364481363.243:1): \n",
                "it is a log of auditd",
            ),
        ] {
            let found = words(text);
            assert!(
                found.as_ref().is_some_and(|words| words.starts_with(said)),
                "{text}: {found:?}"
            );
        }
    }

    #[test]
    fn tables_and_json_are_none_of_these() {
        for text in [
            "",
            "# Data source: a=b\ntime,value\n",
            "# unit=ms\ntime,value\n",
            "time,value\n",
            "time stamp,a=b\n",
            "time,value b=c\n",
            "{\"a\": \"b=c\"}\n",
        ] {
            assert_eq!(words(text), None, "{text}");
        }
    }
}
