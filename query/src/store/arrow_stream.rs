//! The rows of a select as Arrow, for code that passes many rows on.
//!
//! Enters: a [`TenantSelect`]. Leaves: the bytes of an Arrow IPC stream from the engine. Dropping it cancels the
//! statement. Its total time depends on the reader: only silence of the engine is bounded here.

use std::time::Duration;

use bytes::Bytes;
use clickhouse::query::BytesCursor;
use tokio::time::timeout;

use super::bounds::Bounds;
use super::error::classify;
use super::{Store, StoreError, TenantSelect, prepared};
use crate::api::RequestId;

/// A stream that is silent for this long is dead: even a statement that sorts before it answers has a result by then.
const SILENCE_MAX: Duration = Duration::from_secs(300);

/// Bytes of an Arrow stream.
pub struct ArrowStream {
    bytes: BytesCursor,
    bounds: Bounds,
}

impl ArrowStream {
    /// The next bytes.
    pub async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        let silent = |_| StoreError::Unavailable("no answer in time".to_owned());
        timeout(SILENCE_MAX, self.bytes.next())
            .await
            .map_err(silent)?
            .map_err(|error| classify(error, &self.bounds))
    }
}

impl Store {
    /// The rows of `select`, with texts as strings, in blocks of at most `block_rows`, which the engine holds in memory
    /// however large they are.
    pub fn arrow(
        &self,
        request: &RequestId,
        select: &TenantSelect,
        block_rows: u32,
    ) -> Result<ArrowStream, StoreError> {
        let (query, bounds) = self.ask(select);
        let bytes = prepared(query, request, &bounds)
            .with_setting("max_block_size", block_rows.to_string())
            // Otherwise each part would buffer blocks for threads that a statement of an export does not have.
            .with_setting("read_in_order_use_buffering", "0")
            .with_setting("output_format_arrow_string_as_string", "1")
            .with_setting("output_format_arrow_low_cardinality_as_dictionary", "0")
            .with_setting("output_format_arrow_compression_method", "none")
            .fetch_bytes("ArrowStream");
        match bytes {
            Ok(bytes) => Ok(ArrowStream { bytes, bounds }),
            Err(error) => Err(classify(error, &bounds)),
        }
    }
}
