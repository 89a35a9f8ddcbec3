//! A query that takes an hour, for tests of what ends it and of what goes on meanwhile.

use std::sync::Once;

use tokio::task::AbortHandle;

use crate::bed::{Bed, Proc, http, wait_until};
use crate::client::{DEADLINE, ready};

/// The tenant that it is about; also the name of the database.
pub(crate) const TENANT: &str = "slow";
pub(crate) const QUESTION: &str = "/v1/metrics/health?tenant_id=slow";

/// A service with a slow database. Neither statement nor request is ended by a limit of the service, however late it is
/// checked, and a request that finds no place is refused at once.
pub(crate) fn service() -> Proc {
    static DATABASE: Once = Once::new();
    let bed = Bed::shared();
    DATABASE.call_once(|| {
        bed.migrate(&[("HOROLOG_MIGRATE__CLICKHOUSE__DATABASE".to_owned(), TENANT.to_owned())]);
        let none = |name: &&str| format!("cast(null as Nullable(Float64)) as {name}");
        let measures = ["latency_p50_s", "latency_p99_s", "requests", "errors", "throughput_per_s", "error_rate", "availability", "burn_rate"];
        let measures: Vec<String> = measures.iter().map(none).collect();
        bed.execute(&format!(
            "create or replace view {TENANT}.service_health_summary as select '{TENANT}' as tenant_id, 'metrics' as kafka_topic, \
             toString(number) as service_id, '' as environment, toDateTime(0, 'UTC') as hour, 1. as objective, {} from numbers(36000) \
             where sleepEachRow(0.1) = 0 settings max_block_size = 1",
            measures.join(", ")
        ));
    });
    ready(
        bed,
        &[
            ("HOROLOG_QUERY__CLICKHOUSE__DATABASE", TENANT),
            ("HOROLOG_QUERY__LIMITS__STATEMENT_TIMEOUT_S", "7200"),
            ("HOROLOG_QUERY__LIMITS__REQUEST_TIMEOUT_S", "7200"),
            ("HOROLOG_QUERY__LIMITS__ADMISSION_WAIT_MS_MAX", "0"),
        ],
    )
}

/// Asks it, and returns while its statement runs. Aborted, its caller has left.
pub(crate) fn ask(service: &Proc, token: &str, request_id: &str) -> AbortHandle {
    let request = http()
        .get(format!("{}{QUESTION}", service.http()))
        .bearer_auth(token)
        .header("x-request-id", request_id.to_owned());
    let asked = Bed::shared().block_on(async { tokio::spawn(request.send()).abort_handle() });
    wait_until(DEADLINE, "the statement is seen in the engine", || {
        assert!(!asked.is_finished(), "the statement has ended");
        is_running(request_id)
    });
    asked
}

/// Whether a statement of a request runs: it is found in the engine by the request's id.
pub(crate) fn is_running(request_id: &str) -> bool {
    let statements =
        format!("select count() from system.processes where Settings['log_comment'] = 'horolog-query {request_id}'");
    Bed::shared().one::<u64>(&statements) > 0
}
