//! libchdb's C interface: the only unsafe code of the project.
//!
//! Enters: the path of `libchdb.so`, SQL and bytes. Leaves: owned results, or an [`Exception`].
//! Guarantees: each handle is freed once, by its `Drop`; a stream cannot outlive its connection. The library itself is
//! never unloaded: its threads and exit handlers live as long as the process.
//! Never does: I/O or scheduling of its own. Every call blocks its thread for as long as the engine takes.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::Path;

use super::exception::{Code, Exception};

type ResultHandle = *mut c_void;
type ConnectionHandle = *mut c_void;
type InsertHandle = *mut c_void;

/// `chdb_query_analysis_v1`; the caller states its size so that a newer library fills only what fits.
#[repr(C)]
struct Analysis {
    struct_size: u32,
    statement_count: u32,
    flags: u32,
    query_class: u32,
}

/// Declares the functions this module calls once, and resolves all of them when the library is loaded.
macro_rules! functions {
    ($($name:ident: fn($($argument:ty),*) $(-> $result:ty)?;)*) => {
        struct Functions { $($name: unsafe extern "C" fn($($argument),*) $(-> $result)?,)* }

        impl Functions {
            /// # Safety
            /// `library` must be libchdb with the signatures of its `chdb.h`, and must stay loaded for ever.
            unsafe fn resolve(library: &libloading::Library) -> Result<Self, libloading::Error> {
                Ok(Self { $(
                    // SAFETY: the signature is the one that chdb.h declares for this name (see the caller's promise).
                    $name: unsafe { *library.get(concat!(stringify!($name), "\0"))? },
                )* })
            }
        }
    };
}

functions! {
    chdb_set_signal_handlers_enabled: fn(c_int);
    chdb_connect: fn(c_int, *mut *mut c_char) -> *mut ConnectionHandle;
    chdb_close_conn: fn(*mut ConnectionHandle);
    chdb_shutdown: fn() -> c_int;
    chdb_classify_query_n: fn(ConnectionHandle, *const c_char, usize, *const c_char, usize, *mut Analysis) -> c_int;
    chdb_query_with_params_n: fn(ConnectionHandle, *const c_char, usize, *const c_char, usize, *const *const c_char, *const usize, *const *const c_char, *const usize, usize) -> ResultHandle;
    chdb_stream_query_with_params_n: fn(ConnectionHandle, *const c_char, usize, *const c_char, usize, *const *const c_char, *const usize, *const *const c_char, *const usize, usize) -> ResultHandle;
    chdb_stream_fetch_result: fn(ConnectionHandle, ResultHandle) -> ResultHandle;
    chdb_stream_cancel_query: fn(ConnectionHandle, ResultHandle);
    chdb_destroy_query_result: fn(ResultHandle);
    chdb_stream_insert_with_params_n: fn(ConnectionHandle, *const c_char, usize, *const c_char, usize, *const *const c_char, *const usize, *const *const c_char, *const usize, usize) -> InsertHandle;
    chdb_stream_append: fn(InsertHandle, *const c_void, usize) -> c_int;
    chdb_stream_done: fn(InsertHandle) -> ResultHandle;
    chdb_stream_cancel_insert: fn(InsertHandle);
    chdb_stream_insert_error: fn(InsertHandle) -> *const c_char;
    chdb_destroy_insert_stream: fn(InsertHandle);
    chdb_result_buffer: fn(ResultHandle) -> *const u8;
    chdb_result_length: fn(ResultHandle) -> usize;
    chdb_result_rows_read: fn(ResultHandle) -> u64;
    chdb_result_storage_rows_read: fn(ResultHandle) -> u64;
    chdb_result_storage_bytes_read: fn(ResultHandle) -> u64;
    chdb_result_rows_written: fn(ResultHandle) -> u64;
    chdb_result_bytes_written: fn(ResultHandle) -> u64;
    chdb_result_error: fn(ResultHandle) -> *const c_char;
}

/// The loaded engine library.
#[derive(Clone, Copy)]
pub struct Library(&'static Functions);

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

impl Library {
    /// Loads libchdb and keeps it from installing signal handlers of its own.
    pub fn load(path: &Path) -> Result<Self, libloading::Error> {
        // SAFETY: libchdb's initialisers are those of ClickHouse; set-up verifies the file by checksum.
        let library = unsafe { libloading::Library::new(path)? };
        // SAFETY: the signatures above are those of the pinned version's chdb.h; the library is leaked just below.
        let functions = unsafe { Functions::resolve(&library)? };
        std::mem::forget(library);
        // SAFETY: must come before the first connection, which it does: connections are made from the value we return.
        unsafe { (functions.chdb_set_signal_handlers_enabled)(0) };
        Ok(Self(Box::leak(Box::new(functions))))
    }

    /// Opens a connection; the first one starts the engine with these arguments, the others must name the same path.
    pub fn connect(self, arguments: &[String]) -> Result<Connection, Exception> {
        let refused = || Exception::new(Code::UNKNOWN_EXCEPTION, "the engine refused a connection");
        let owned: Vec<CString> = std::iter::once("clickhouse")
            .chain(arguments.iter().map(String::as_str))
            .map(CString::new)
            .collect::<Result<_, _>>()
            .map_err(|_| refused())?;
        let mut pointers: Vec<*mut c_char> = owned.iter().map(|argument| argument.as_ptr().cast_mut()).collect();
        let count = c_int::try_from(pointers.len()).map_err(|_| refused())?;
        // SAFETY: `pointers` holds `count` NUL-terminated strings that live through the call; the engine copies them.
        let handle = unsafe { (self.0.chdb_connect)(count, pointers.as_mut_ptr()) };
        // SAFETY: a connection that is not null points to its inner handle.
        if handle.is_null() || unsafe { *handle }.is_null() {
            return Err(refused());
        }
        Ok(Connection {
            functions: self.0,
            handle,
        })
    }

    /// Stops the engine's threads. False while a connection is still open: then nothing happened.
    pub fn shutdown(self) -> bool {
        // SAFETY: safe from any thread; refuses by itself while connections are open.
        unsafe { (self.0.chdb_shutdown)() == 0 }
    }
}

/// One session of the engine: runs one statement at a time.
pub struct Connection {
    functions: &'static Functions,
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
        let list = ParameterList::new(parameters);
        // SAFETY: all pointers come from slices that live through the call, with their true lengths.
        let handle = unsafe {
            (self.functions.chdb_query_with_params_n)(
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
        };
        self.owned(handle)
    }

    /// Starts a select whose result is fetched chunk by chunk.
    pub fn select(&self, sql: &[u8], format: &str, parameters: &Parameters) -> Result<Select<'_>, Exception> {
        let list = ParameterList::new(parameters);
        // SAFETY: as in `query`.
        let handle = unsafe {
            (self.functions.chdb_stream_query_with_params_n)(
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
        };
        Ok(Select {
            connection: self,
            stream: self.owned(handle)?,
            open: true,
        })
    }

    /// Starts an insert that is fed with `append`; `sql` is the statement without its FORMAT clause and data.
    pub fn insert(&self, sql: &[u8], format: &str, parameters: &Parameters) -> Result<Insert<'_>, Exception> {
        let list = ParameterList::new(parameters);
        // SAFETY: as in `query`; the handle is never null and is freed by `Insert::drop`.
        let handle = unsafe {
            (self.functions.chdb_stream_insert_with_params_n)(
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
        };
        let insert = Insert {
            connection: self,
            handle,
        };
        insert.error().map_or(Ok(insert), Err)
    }

    /// Takes ownership of a result and turns its error, if it has one, into an exception.
    fn owned(&self, handle: ResultHandle) -> Result<Chunk, Exception> {
        if handle.is_null() {
            return Err(Exception::new(Code::UNKNOWN_EXCEPTION, "the engine returned no result"));
        }
        let chunk = Chunk {
            functions: self.functions,
            handle,
        };
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
        let handle = unsafe { (connection.functions.chdb_stream_fetch_result)(connection.inner(), self.stream.handle) };
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
                (self.connection.functions.chdb_stream_cancel_query)(self.connection.inner(), self.stream.handle);
            }
        }
    }
}

/// A running insert. Dropped without `done`, it is cancelled.
pub struct Insert<'c> {
    connection: &'c Connection,
    handle: InsertHandle,
}

impl Insert<'_> {
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

/// # Safety
/// `pointer` is null or a NUL-terminated string that lives through the call.
unsafe fn text(pointer: *const c_char) -> Option<String> {
    // SAFETY: the caller's promise.
    (!pointer.is_null()).then(|| unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned())
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
