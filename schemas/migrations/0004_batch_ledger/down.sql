drop table if exists batch_ledger${on_cluster} sync
