//! An insert that is fed piece by piece.

use super::chunk::Chunk;
use super::connection::Connection;
use super::{InsertHandle, text};
use crate::engine::exception::{Code, Exception};

/// A running insert. Dropped without `done`, it is cancelled.
pub struct Insert<'c> {
    connection: &'c Connection,
    handle: InsertHandle,
}

impl<'c> Insert<'c> {
    /// # Safety
    /// `handle` comes from the engine, on this connection, is not null, and is freed by nobody else.
    pub(super) unsafe fn new(connection: &'c Connection, handle: InsertHandle) -> Result<Self, Exception> {
        let insert = Self { connection, handle };
        insert.error().map_or(Ok(insert), Err)
    }

    /// Hands over bytes in the insert's format; blocks while the engine is behind.
    pub fn append(&mut self, data: &[u8]) -> Result<(), Exception> {
        // SAFETY: the engine copies `data` before it returns.
        let state =
            unsafe { (self.connection.functions.chdb_stream_append)(self.handle, data.as_ptr().cast(), data.len()) };
        if state == 0 {
            return Ok(());
        }
        // The message is only complete once the stream is finalised: that is what `done` reports.
        Err(self
            .finish()
            .err()
            .unwrap_or_else(|| Exception::new(Code::UNKNOWN_EXCEPTION, "the insert failed")))
    }

    /// Ends the data and waits until the rows are stored.
    pub fn done(mut self) -> Result<Chunk, Exception> {
        self.finish()
    }

    fn finish(&mut self) -> Result<Chunk, Exception> {
        // SAFETY: the handle is valid; a second call reports the first one's error.
        let handle = unsafe { (self.connection.functions.chdb_stream_done)(self.handle) };
        self.connection.owned(handle)
    }

    fn error(&self) -> Option<Exception> {
        // SAFETY: the handle is valid; the message belongs to the stream and is copied.
        let message = unsafe { text((self.connection.functions.chdb_stream_insert_error)(self.handle)) };
        message
            .filter(|message| !message.is_empty())
            .map(|message| Exception::from_engine(&message))
    }
}

impl Drop for Insert<'_> {
    fn drop(&mut self) {
        // SAFETY: cancelling a finished stream does nothing; the handle is freed here only.
        unsafe {
            (self.connection.functions.chdb_stream_cancel_insert)(self.handle);
            (self.connection.functions.chdb_destroy_insert_stream)(self.handle);
        }
    }
}
