drop view if exists label_sets_view${on_cluster} sync
