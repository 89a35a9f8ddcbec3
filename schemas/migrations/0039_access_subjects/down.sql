drop table if exists access_subjects${on_cluster} sync
