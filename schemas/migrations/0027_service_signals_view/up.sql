-- The metrics of a service's health: rows of service_signals, and the conventions of OpenTelemetry (HTTP and RPC
-- metrics, stable and older), of Prometheus' client libraries, and of the sample stream.
create view if not exists service_signals_view${on_cluster} as
select tenant_id, toString(signal) as signal, metric_name, label_name, label_pattern, rank from service_signals final
union all
select '' as tenant_id, t.1 as signal, t.2 as metric_name, t.3 as label_name, t.4 as label_pattern, toUInt8(t.5) as rank
from
(
    select arrayJoin([
        ('latency', 'http.server.request.duration', '', '', 100),
        ('latency', 'http_server_request_duration_seconds', '', '', 101),
        ('latency', 'http_request_duration_seconds', '', '', 102),
        ('latency', 'http_request_duration', '', '', 103),
        ('latency', 'http.server.duration', '', '', 104),
        ('latency', 'rpc.server.call.duration', '', '', 105),
        ('latency', 'rpc.server.duration', '', '', 106),
        ('requests', 'http_requests_total', '', '', 100),
        ('requests', 'http_server_requests_total', '', '', 101),
        ('requests', 'rpc_server_requests_total', '', '', 102),
        ('errors', 'http_errors_total', '', '', 100),
        ('errors', 'http_requests_total', 'http.response.status_code', '5__', 101),
        ('errors', 'http_requests_total', 'status', '5__', 102),
        ('errors', 'http_requests_total', 'code', '5__', 103),
        ('errors', 'http_server_requests_total', 'http.response.status_code', '5__', 104),
        ('errors', 'http_server_requests_total', 'status', '5__', 105)
    ]) as t
)
