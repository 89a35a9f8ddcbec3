drop view if exists access_review${on_cluster} sync
