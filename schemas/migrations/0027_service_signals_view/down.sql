drop view if exists service_signals_view${on_cluster} sync
