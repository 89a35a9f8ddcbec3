-- The partial aggregates that count: rows of metrics_hourly that the newest visible rebuild of their hour has not
-- replaced. The rule is explained in the migration `rebuilds`; every query reads this view. Filters on key columns
-- reach the primary key.
create view if not exists visible_partials${on_cluster} as
with (${visible_rebuilds}) as visible
select h.*
from metrics_hourly as h
where ${visible_epochs h}
