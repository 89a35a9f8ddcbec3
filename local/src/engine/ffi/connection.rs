//! A session of the engine, and the select that runs on it.

use std::ffi::c_char;

use super::chunk::Chunk;
use super::insert::Insert;
use super::{Analysis, ConnectionHandle, Functions, ResultHandle, text};
use crate::engine::exception::{Code, Exception};

/// Named query parameters, `{name:Type}` in the SQL.
pub type Parameters = [(String, String)];

/// What a statement does to state that outlives it, as the engine's own parser sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Leaves no trace: select, show, describe, explain, exists, check.
    ReadOnly,
    /// Changes a database.
    Mutating,
    /// Acts on the session or the process (set, use, system, kill, backup), or could not be classified.
    Control,
    /// Is not a statement the engine's parser understands.
    Unknown,
}

/// One session of the engine: runs one statement at a time.
pub struct Connection {
    pub(super) functions: &'static Functions,
    handle: *mut ConnectionHandle,
}

// SAFETY: the engine allows calls from any thread as long as they do not overlap on one connection; it is not `Sync`.
unsafe impl Send for Connection {}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: the handle came from chdb_connect and is closed here only; streams borrow `self`, so none is left.
        unsafe { (self.functions.chdb_close_conn)(self.handle) }
    }
}

impl Connection {
    /// # Safety
    /// `handle` comes from chdb_connect, points to a handle that is not null, and is closed by nobody else.
    pub(super) unsafe fn new(functions: &'static Functions, handle: *mut ConnectionHandle) -> Self {
        Self { functions, handle }
    }

    fn inner(&self) -> ConnectionHandle {
        // SAFETY: checked for null in `connect`, valid until `drop`.
        unsafe { *self.handle }
    }

    /// What the statement does.
    pub fn classify(&self, sql: &[u8]) -> Class {
        let size = size_of::<Analysis>() as u32;
        let mut analysis = Analysis {
            struct_size: size,
            statement_count: 0,
            flags: 0,
            query_class: u32::MAX,
        };
        // SAFETY: `sql` lives through the call, `analysis` is as large as its struct_size says.
        let state = unsafe {
            let classify = self.functions.chdb_classify_query_n;
            classify(
                self.inner(),
                sql.as_ptr().cast(),
                sql.len(),
                std::ptr::null(),
                0,
                &mut analysis,
            )
        };
        match (state, analysis.query_class) {
            (0, 0) => Class::ReadOnly,
            (0, 1) => Class::Mutating,
            (0, 2 | 3) => Class::Control,
            _ => Class::Unknown,
        }
    }

    /// Runs a statement to its end; the whole result is in memory.
    pub fn query(&self, sql: &[u8], format: &str, parameters: &Parameters) -> Result<Chunk, Exception> {
        let handle = self.begin(self.functions.chdb_query_with_params_n, sql, format, parameters);
        self.owned(handle)
    }

    /// Starts a select whose result is fetched chunk by chunk.
    pub fn select(&self, sql: &[u8], format: &str, parameters: &Parameters) -> Result<Select<'_>, Exception> {
        let handle = self.begin(self.functions.chdb_stream_query_with_params_n, sql, format, parameters);
        Ok(Select {
            connection: self,
            stream: self.owned(handle)?,
            open: true,
        })
    }

    /// Starts an insert that is fed with `append`; `sql` is the statement without its FORMAT clause and data.
    pub fn insert(&self, sql: &[u8], format: &str, parameters: &Parameters) -> Result<Insert<'_>, Exception> {
        let handle = self.begin(self.functions.chdb_stream_insert_with_params_n, sql, format, parameters);
        // SAFETY: the engine returns a handle even where it refuses the insert, and leaves it to its caller.
        unsafe { Insert::new(self, handle) }
    }

    /// Passes a statement to one of the functions that take one.
    fn begin<Handle>(&self, function: Begin<Handle>, sql: &[u8], format: &str, parameters: &Parameters) -> Handle {
        let list = ParameterList::new(parameters);
        // SAFETY: the functions are those of the engine, and all pointers come from slices that live through the call,
        // with their true lengths.
        unsafe {
            function(
                self.inner(),
                sql.as_ptr().cast(),
                sql.len(),
                format.as_ptr().cast(),
                format.len(),
                list.names.as_ptr(),
                list.name_lengths.as_ptr(),
                list.values.as_ptr(),
                list.value_lengths.as_ptr(),
                list.names.len(),
            )
        }
    }

    /// Takes ownership of a result and turns its error, if it has one, into an exception.
    pub(super) fn owned(&self, handle: ResultHandle) -> Result<Chunk, Exception> {
        if handle.is_null() {
            return Err(Exception::new(Code::UNKNOWN_EXCEPTION, "the engine returned no result"));
        }
        // SAFETY: not null, and the engine leaves each result to its caller.
        let chunk = unsafe { Chunk::new(self.functions, handle) };
        // SAFETY: the handle is valid; the message belongs to the result and is copied.
        match unsafe { text((self.functions.chdb_result_error)(handle)) } {
            Some(message) => Err(Exception::from_engine(&message)),
            None => Ok(chunk),
        }
    }
}

/// A running select. Dropped before its end, it is cancelled.
pub struct Select<'c> {
    connection: &'c Connection,
    stream: Chunk,
    open: bool,
}

impl Select<'_> {
    /// The next chunk, `None` at the end.
    pub fn next(&mut self) -> Result<Option<Chunk>, Exception> {
        let connection = self.connection;
        // SAFETY: both handles are valid, and `&mut self` keeps fetches of this stream from overlapping.
        let handle =
            unsafe { (connection.functions.chdb_stream_fetch_result)(connection.inner(), self.stream.handle()) };
        let chunk = connection.owned(handle)?;
        if chunk.as_ref().is_empty() {
            self.open = false;
            return Ok(None);
        }
        Ok(Some(chunk))
    }
}

impl Drop for Select<'_> {
    fn drop(&mut self) {
        if self.open {
            // SAFETY: both handles are valid. Without this a failed query stays in system.processes for ever.
            unsafe {
                (self.connection.functions.chdb_stream_cancel_query)(self.connection.inner(), self.stream.handle());
            }
        }
    }
}

/// A function of the engine that takes a statement: its text, the format, the names and the values of the parameters.
type Begin<Handle> = unsafe extern "C" fn(
    ConnectionHandle,
    *const c_char,
    usize,
    *const c_char,
    usize,
    *const *const c_char,
    *const usize,
    *const *const c_char,
    *const usize,
    usize,
) -> Handle;

/// The four arrays in which the engine takes parameters.
struct ParameterList {
    names: Vec<*const c_char>,
    name_lengths: Vec<usize>,
    values: Vec<*const c_char>,
    value_lengths: Vec<usize>,
}

impl ParameterList {
    /// The pointers are valid for as long as `parameters` is borrowed by the caller.
    fn new(parameters: &Parameters) -> Self {
        Self {
            names: parameters.iter().map(|(name, _)| name.as_ptr().cast()).collect(),
            name_lengths: parameters.iter().map(|(name, _)| name.len()).collect(),
            values: parameters.iter().map(|(_, value)| value.as_ptr().cast()).collect(),
            value_lengths: parameters.iter().map(|(_, value)| value.len()).collect(),
        }
    }
}
