//! Answers about metrics as CSV and Arrow.

use crate::bed::{Bed, http};
use crate::client::{Answer, HOURS, send, service};
use crate::series::{ON_TIME, insert};

fn ask_as(accept: &str, more: &[(&str, &str)]) -> Answer {
    let url = url::Url::parse_with_params(&format!("{}{HOURS}?tenant_id=forms", service().http()), more).unwrap();
    send(Bed::shared(), http().get(url).header("accept", accept))
}

#[test]
fn an_answer_has_the_form_that_is_asked_for() {
    insert("forms", "a,\"b\"", 0, 1, 10.0, ON_TIME, 0);
    let csv = ask_as("text/csv", &[("measures", "avg"), ("group_by", "service_id")]);
    assert_eq!(csv.header("content-type"), "text/csv");
    assert_eq!(
        csv.text,
        "start,end,complete,metric_name,service_id,metric_type,unit,count,late_count,fresh_count,avg\n\
         2026-01-01T00:00:00Z,2026-01-01T01:00:00Z,false,latency,\"a,\"\"b\"\"\",gauge,ms,1,0,0,10.0\n"
    );
    let wins = ask_as("application/json", &[("format", "csv")]);
    assert_eq!(wins.header("content-type"), "text/csv");
    let arrow = ask_as("application/vnd.apache.arrow.stream", &[]);
    assert_eq!(arrow.header("content-type"), "application/vnd.apache.arrow.stream");
    let none = ask_as("image/png", &[]);
    assert_eq!(none.status, 406);
    crate::client::assert_is_problem(&none);
    let bad = ask_as("*/*", &[("format", "xml")]);
    assert_eq!(bad.refused_parameter(), "format");
}

#[test]
fn arrow_is_read_by_others_as_what_it_is() {
    insert("arrow", "api", 0, 4, 2.0, ON_TIME, 0);
    let url = format!("{}{HOURS}?tenant_id=arrow&format=arrow&measures=avg", service().http());
    let key = Bed::shared().key("auditor");
    let bytes = Bed::shared().block_on(async {
        http()
            .get(url)
            .bearer_auth(key)
            .send()
            .await
            .unwrap()
            .bytes()
            .await
            .unwrap()
    });
    let reader = arrow::ipc::reader::StreamReader::try_new(std::io::Cursor::new(bytes), None).unwrap();
    let batches: Vec<_> = reader.map(Result::unwrap).collect();
    assert_eq!(
        batches.iter().map(arrow::array::RecordBatch::num_rows).sum::<usize>(),
        1
    );
    let avg = batches[0].column_by_name("avg").unwrap();
    assert_eq!(
        avg.as_any()
            .downcast_ref::<arrow::array::Float64Array>()
            .unwrap()
            .value(0),
        2.0
    );
}
