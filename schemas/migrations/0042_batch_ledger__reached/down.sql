alter table batch_ledger${on_cluster} drop column if exists reached
