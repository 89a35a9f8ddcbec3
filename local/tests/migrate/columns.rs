//! The columns of the blocks that ingest inserts, compared with the tables.

use std::sync::Arc;

use arrow::array::RecordBatch;
use horolog_schemas::{
    Decoder, EVENT_IDS_TABLE, Kind, Origin, REJECTED_TABLE, WriterSchemas, event_id_rows, rejected_rows, rows,
};

use crate::target::Target;

const ORIGIN: Origin<'_> = Origin {
    topic: "t",
    partition: 0,
    log_epoch: 1,
};

#[test]
fn blocks_have_the_columns_of_their_tables_in_their_order() {
    let target = Target::migrated();
    // The lease becomes a column when a block is inserted.
    let assert_columns = |block: &RecordBatch, table: &str| {
        let schema = block.schema();
        let ours: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
        let theirs: Vec<String> = target.rows(&format!(
            "select name from system.columns where database = currentDatabase() and table = '{table}' \
             and name != 'inserted_at' order by position"
        ));
        assert_eq!(ours, theirs, "{table}");
        let nullable = schema.fields().iter().find(|field| field.is_nullable());
        assert_eq!(nullable, None, "{table}");
    };
    for kind in Kind::ALL {
        let mut decoder = Decoder::new(Arc::new(WriterSchemas::load(kind, None).unwrap()));
        let block = rows(kind, &decoder.decode(&[]).unwrap(), &[], &ORIGIN).unwrap();
        assert_columns(&block, kind.table());
        assert_columns(&rejected_rows(kind, &[], &[], &ORIGIN).unwrap(), REJECTED_TABLE);
        if kind == Kind::AuditEvent {
            assert_columns(&event_id_rows(&block).unwrap(), EVENT_IDS_TABLE);
        }
    }
}
