//! Inserts the blocks of a batch. A block whose content ClickHouse refuses is bisected down to the records at fault,
//! which are rejected.
//!
//! The cuts depend on the content alone, so a repeated batch makes the same ones under the same tokens.

use arrow::array::RecordBatch;

use crate::crash;
use crate::delivery::Delivery;
use crate::inserts::{Batch, DeliveryError, Failed, fatal};
use crate::read_back;
use crate::stage::{Block, Prepared};

impl Delivery {
    /// Inserts all blocks; returns the numbers of rows and of rejected records, which differ from the prepared ones if
    /// ClickHouse refused records for their content.
    pub(crate) async fn insert_all(&self, batch: &Batch<'_>, made: &Prepared) -> Result<(u64, u64), DeliveryError> {
        let mut refused = Vec::new();
        if let Some(announced) = &made.announced {
            self.insert_block(batch, announced, &mut refused).await?;
            crash::point("after-announced");
        }
        for block in &made.blocks {
            self.insert_block(batch, block, &mut refused).await?;
            crash::point(if block.table == horolog_schemas::REJECTED_TABLE {
                "after-rejected"
            } else {
                "after-rows"
            });
        }
        self.insert_refused(batch, &refused).await?;
        let refused = refused.len() as u64;
        Ok((made.rows - refused, made.rejected + refused))
    }

    async fn insert_block(
        &self,
        batch: &Batch<'_>,
        block: &Block,
        refused: &mut Vec<(i64, String)>,
    ) -> Result<(), DeliveryError> {
        for (number, piece) in block.pieces.iter().enumerate() {
            let token = format!("{}/{}/{number}", batch.token, block.table);
            self.insert_or_bisect(batch, block.table, piece, token, refused).await?;
            crash::point("between-pieces");
        }
        Ok(())
    }

    /// Rejects what ClickHouse refused.
    async fn insert_refused(&self, batch: &Batch<'_>, refused: &[(i64, String)]) -> Result<(), DeliveryError> {
        if refused.is_empty() {
            return Ok(());
        }
        let block = self.stage.refused(batch.range, refused);
        let block = block.map_err(|error| DeliveryError::Stopped(error.to_string()))?;
        for (number, piece) in block.pieces.iter().enumerate() {
            let token = format!("{}/{}/refused/{number}", batch.token, block.table);
            self.inserts.insert(batch, block.table, piece, &token).await?;
        }
        Ok(())
    }

    /// Inserts `piece`; if ClickHouse refuses its content, its halves, down to the single records that it refuses.
    async fn insert_or_bisect(
        &self,
        batch: &Batch<'_>,
        table: &str,
        piece: &RecordBatch,
        token: String,
        refused: &mut Vec<(i64, String)>,
    ) -> Result<(), DeliveryError> {
        let mut work = vec![(piece.clone(), token)];
        while let Some((rows, token)) = work.pop() {
            let message = match self.inserts.insert(batch, table, &rows, &token).await {
                Ok(()) => continue,
                Err(Failed::Content(message)) => message,
                Err(other) => return Err(other.into()),
            };
            let tables = self.stage.tables(&batch.range.id.topic);
            if tables.is_none_or(|tables| tables.rows != table) {
                return Err(DeliveryError::Stopped(format!("clickhouse refuses {table}: {message}")));
            }
            if rows.num_rows() == 1 {
                let offset = read_back::offsets(&rows).map_err(fatal)?.value(0);
                refused.push((offset, message));
                continue;
            }
            let half = rows.num_rows() / 2;
            work.push((rows.slice(half, rows.num_rows() - half), format!("{token}.1")));
            work.push((rows.slice(0, half), format!("{token}.0")));
        }
        refused.sort_unstable();
        Ok(())
    }
}
