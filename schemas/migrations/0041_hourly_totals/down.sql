drop table if exists hourly_totals${on_cluster} sync
