//! A result of the engine, or a part of one.

use super::{Functions, ResultHandle};

/// A result, or a part of one: bytes in the asked format and the engine's counters.
pub struct Chunk {
    functions: &'static Functions,
    handle: ResultHandle,
}

// SAFETY: a result is plain memory of the engine, read and freed by one owner at a time.
unsafe impl Send for Chunk {}

impl Drop for Chunk {
    fn drop(&mut self) {
        // SAFETY: the handle came from the engine and is freed here only.
        unsafe { (self.functions.chdb_destroy_query_result)(self.handle) }
    }
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: buffer and length describe memory that lives until the result is destroyed, and nothing writes to it.
        unsafe {
            let length = (self.functions.chdb_result_length)(self.handle);
            let buffer = (self.functions.chdb_result_buffer)(self.handle);
            if length == 0 || buffer.is_null() {
                &[]
            } else {
                std::slice::from_raw_parts(buffer, length)
            }
        }
    }
}

/// What the engine counted for a result.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    /// Rows read from storage.
    pub read_rows: u64,
    /// Bytes read from storage.
    pub read_bytes: u64,
    /// Rows written, those of materialized views included.
    pub written_rows: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Rows of the result.
    pub result_rows: u64,
}

impl Chunk {
    /// # Safety
    /// `handle` comes from the engine, is not null, and is freed by nobody else.
    pub(super) unsafe fn new(functions: &'static Functions, handle: ResultHandle) -> Self {
        Self { functions, handle }
    }

    pub(super) fn handle(&self) -> ResultHandle {
        self.handle
    }

    /// The counters of this chunk.
    pub fn counters(&self) -> Counters {
        // SAFETY: the handle is valid; these only read numbers.
        unsafe {
            Counters {
                read_rows: (self.functions.chdb_result_storage_rows_read)(self.handle),
                read_bytes: (self.functions.chdb_result_storage_bytes_read)(self.handle),
                written_rows: (self.functions.chdb_result_rows_written)(self.handle),
                written_bytes: (self.functions.chdb_result_bytes_written)(self.handle),
                result_rows: (self.functions.chdb_result_rows_read)(self.handle),
            }
        }
    }
}

impl std::ops::Add for Counters {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            read_rows: self.read_rows + other.read_rows,
            read_bytes: self.read_bytes + other.read_bytes,
            written_rows: self.written_rows + other.written_rows,
            written_bytes: self.written_bytes + other.written_bytes,
            result_rows: self.result_rows + other.result_rows,
        }
    }
}
