-- Whoever goes on with a partition after a crash knows from the ledger what its last owner may still state, and need not
-- wait until that owner cannot any more.
alter table batch_ledger${on_cluster} add column if not exists reached DateTime64(3, 'UTC') default toDateTime64(0, 3, 'UTC') comment 'the watermark that is stated once the batch is stored; 1970 where the stage has none' after watermark
