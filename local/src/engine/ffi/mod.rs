//! libchdb's C interface: the only unsafe code of the project.
//!
//! Enters: the path of `libchdb.so`, SQL and bytes. Leaves: owned results, or an [`Exception`]. [`Library`] opens a
//! [`Connection`], which runs a statement at once, as a select that is fetched, or as an insert that is fed.
//! Guarantees: each handle is freed once, by its `Drop`; a stream cannot outlive its connection. The library itself is
//! never unloaded: its threads and exit handlers live as long as the process.
//! Never does: I/O or scheduling of its own. Every call blocks its thread for as long as the engine takes.
#![allow(unsafe_code)]

mod chunk;
mod connection;
mod insert;

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::Path;

use super::exception::{Code, Exception};

pub use chunk::{Chunk, Counters};
pub use connection::{Class, Connection};

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
        // SAFETY: checked just above; the engine leaves the connection to its caller.
        Ok(unsafe { Connection::new(self.0, handle) })
    }

    /// Stops the engine's threads. False while a connection is still open: then nothing happened.
    pub fn shutdown(self) -> bool {
        // SAFETY: safe from any thread; refuses by itself while connections are open.
        unsafe { (self.0.chdb_shutdown)() == 0 }
    }
}

/// # Safety
/// `pointer` is null or a NUL-terminated string that lives through the call.
unsafe fn text(pointer: *const c_char) -> Option<String> {
    // SAFETY: the caller's promise.
    (!pointer.is_null()).then(|| unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned())
}
