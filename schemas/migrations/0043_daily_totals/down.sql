drop table if exists daily_totals${on_cluster} sync
