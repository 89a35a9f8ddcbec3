"""What DuckDB takes for the aggregates of the step "dataflow, 1 worker, 100,000 keys": one query over the same rows.

    python3 -m venv target/duck && target/duck/bin/pip install duckdb && target/duck/bin/python load-tests/benches/aggregate_in_duckdb.py

The rows are those of `steps::sample`, made by the same formula and held in a table in memory. The quantiles are printed once with
t-digest (approx_quantile, whose answer depends on the order of the rows) and once exactly; Horolog's distribution gives any quantile
within 0.6 %, merges, and does not depend on the order.
"""

import time

import duckdb

RECORDS, KEYS, ROUNDS = 1_000_000, 100_000, 5

ROWS = f"""
create table samples as select
    'acme' as tenant_id,
    make_timestamp(1767614400000000 + (n // {KEYS}) * 60000000) as time,
    format('http_request_duration_{{:03d}}', n % {KEYS} % 200) as metric_name,
    'gauge' as metric_type,
    format('service-{{:03d}}', n % {KEYS} // 200 % 500) as service_id,
    'core' as plugin_id, '' as team_id, 'production' as environment, 'ms' as unit,
    ((n * 7919) % 1000003) / 100.0 as value,
    n as kafka_offset
from range({RECORDS}) as r(n)
"""

QUERY = """
select tenant_id, team_id, metric_name, metric_type, unit, service_id, plugin_id, environment, date_trunc('hour', time) as hour,
    count(*), sum(value), min(value), max(value), arg_max(value, (time, kafka_offset)), {quantiles}
from samples group by all
"""
QUANTILES = "[0.5, 0.9, 0.95, 0.99, 0.999]"


def seconds(connection, query):
    best = float("inf")
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        connection.execute(f"create or replace table aggregates as {query}")
        best = min(best, time.perf_counter() - begun)
    return best


def main():
    print(f"DuckDB {duckdb.__version__}, {RECORDS:,} rows, {KEYS:,} keys, best of {ROUNDS}")
    for threads in (1, 2):
        connection = duckdb.connect()
        connection.execute(f"set threads = {threads}")
        connection.execute(ROWS)
        for name in ("approx_quantile", "quantile_cont"):
            took = seconds(connection, QUERY.format(quantiles=f"{name}(value, {QUANTILES})"))
            print(f"{threads} thread(s), {name}: {took:.2f} s, {RECORDS / took:,.0f} rows/s")


main()
