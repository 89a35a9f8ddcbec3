//! A question that is minutes of work, for tests of what ends it and of what goes on meanwhile.

use std::sync::Once;

use tokio::task::AbortHandle;

use crate::bed::{Bed, Proc, wait_until};
use crate::client::DEADLINE;

/// With these neither a statement nor a request comes to an end by a limit of the service's, however late it is looked at.
pub(crate) const WITHOUT_TIMEOUTS: [(&str, &str); 2] = [
    ("HOROLOG_QUERY__LIMITS__STATEMENT_TIMEOUT_S", "3600"),
    ("HOROLOG_QUERY__LIMITS__REQUEST_TIMEOUT_S", "3600"),
];

/// The tenant that it is about.
pub(crate) const TENANT: &str = "slow";

/// The question, once there is what it asks for: many hours with wide distributions, merged into one row.
pub(crate) fn question() -> String {
    static INSERTED: Once = Once::new();
    // In blocks that a small engine has the memory for.
    INSERTED.call_once(|| {
        Bed::shared().execute(&format!(
            "insert into metrics_hourly select '{TENANT}', 'm', toDateTime('2026-01-01 00:00:00', 'UTC') + 3600 * (number % 2000), \
             toString(intDiv(number, 2000)), '', '', '', 'gauge', '', 0, 0, 'metrics', 1000, 0, 1., 1., 1., (now64(6), 0, 0, 1.), \
             mapFromArrays(arrayMap(i -> toInt32(i * 7 + number % 7), range(1000)), arrayMap(i -> toUInt64(1), range(1000))), \
             map(), 0, now64(3) from numbers(40000) settings max_block_size = 2000, min_insert_block_size_rows = 2000, \
             min_insert_block_size_bytes = 0"
        ));
    });
    format!("/v1/metrics/monthly?tenant_id={TENANT}&group_by=&measures=p99")
}

/// Asks it, and returns while its statement runs. Aborted, its caller has left.
pub(crate) fn ask(service: &Proc, token: &str, request_id: &str) -> AbortHandle {
    let request = reqwest::Client::new()
        .get(format!("{}{}", service.http(), question()))
        .bearer_auth(token)
        .header("x-request-id", request_id.to_owned());
    let asked = Bed::shared().block_on(async { tokio::spawn(request.send()).abort_handle() });
    wait_until(DEADLINE, "the statement is seen in the engine", || {
        assert!(!asked.is_finished(), "the statement is too fast for this test");
        is_running(request_id)
    });
    asked
}

/// Whether a statement of a request runs: it is found in the engine by the request's id.
pub(crate) fn is_running(request_id: &str) -> bool {
    let statements = format!(
        "select count() from system.processes where query like '%metrics_hourly%' \
         and Settings['log_comment'] = 'horolog-query {request_id}'"
    );
    Bed::shared().one::<u64>(&statements) > 0
}
