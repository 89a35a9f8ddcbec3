drop view if exists live_keys_view${on_cluster} sync
