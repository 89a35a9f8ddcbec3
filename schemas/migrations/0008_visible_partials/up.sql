-- The partial aggregates that count: those of metrics_hourly that the newest visible rebuild of their hour has not replaced.
-- The rule is told in rebuilds; everything that answers questions reads here. Filters on key columns reach the primary key.
create view if not exists visible_partials${on_cluster} as
with (${visible_rebuilds}) as visible
select h.*
from metrics_hourly as h
where ${visible_epochs h}
