//! One statement, on a thread of its own: the engine's calls block.
//!
//! Enters: a request and its body. Leaves: a reply. An insert with data is fed from the body as it arrives; everything else
//! is read whole first, because the statement may be in the body.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::body::Reader;
use super::exception::{Code, Exception};
use super::ffi::{Chunk, Class, Counters};
use super::file_calls::FileCalls;
use super::format::{self, Header};
use super::pool::{Key, Lease, Pool};
use super::reply::{ClientGone, Head, Reply};
use super::request::Request;
use super::running::Work;
use super::statement::{self, InsertHead, Outline};

/// Longest statement, without insert data. ClickHouse's own limit, `max_query_size`, is lower unless it is raised.
const STATEMENT_BYTES_MAX: usize = 16 << 20;
/// A result that cannot be streamed, or must not be (`wait_end_of_query`), is held in memory up to this size.
const WHOLE_RESULT_BYTES_MAX: usize = 128 << 20;
/// Such a result is sent in pieces of this size.
const PIECE_BYTES: usize = 1 << 20;

/// Why a statement did not end well.
enum Stop {
    Failed(Exception),
    ClientGone,
}

impl From<Exception> for Stop {
    fn from(exception: Exception) -> Self {
        Self::Failed(exception)
    }
}

impl From<ClientGone> for Stop {
    fn from(_: ClientGone) -> Self {
        Self::ClientGone
    }
}

/// All that one statement needs.
pub struct Job {
    /// Where it runs.
    pub pool: Arc<Pool>,
    /// What is asked.
    pub request: Request,
    /// The body.
    pub reader: Reader,
    /// The answer.
    pub reply: Reply,
    /// Its entry among the running statements.
    pub work: Work,
}

impl Job {
    /// Runs it to its end.
    pub fn run(mut self) {
        let started = Instant::now();
        let outcome = self.execute(started);
        let query_id = self.reply.query_id().to_owned();
        match outcome {
            Ok(()) => {
                tracing::debug!(query_id, elapsed = ?started.elapsed(), "statement finished");
                self.reply.finish();
            }
            Err(Stop::Failed(exception)) => {
                tracing::debug!(query_id, elapsed = ?started.elapsed(), %exception, "statement failed");
                self.reply.fail(exception);
            }
            Err(Stop::ClientGone) => tracing::debug!(query_id, "the client disconnected"),
        }
    }

    fn execute(&mut self, started: Instant) -> Result<(), Stop> {
        let mut text = std::mem::take(&mut self.request.query).into_bytes();
        if !text.is_empty() {
            text.push(b'\n'); // as ClickHouse joins the query and the body
        }
        match self.read_head(&mut text)? {
            statement::Head::Insert(head) => self.insert(&text, &head, started),
            statement::Head::Other => {
                while self.read_more(&mut text)? {}
                self.statement(&text, started)
            }
        }
    }

    /// Reads as much of the body as it takes to know what the statement is.
    fn read_head(&mut self, text: &mut Vec<u8>) -> Result<statement::Head, Exception> {
        let mut complete = false;
        loop {
            if let Some(head) = statement::head(text, complete) {
                return Ok(head);
            }
            if complete {
                return Ok(statement::Head::Other);
            }
            complete = !self.read_more(text)?;
        }
    }

    fn read_more(&mut self, text: &mut Vec<u8>) -> Result<bool, Exception> {
        let more = self.reader.next(|piece| {
            text.extend_from_slice(piece);
            Ok(())
        })?;
        if text.len() > STATEMENT_BYTES_MAX {
            let reason = format!("the statement's text is larger than {STATEMENT_BYTES_MAX} bytes");
            return Err(Exception::new(Code::QUERY_IS_TOO_LARGE, reason));
        }
        Ok(more)
    }

    fn key(&self) -> Key {
        Key {
            database: self.request.database.clone(),
            settings: self.request.settings.clone(),
        }
    }

    /// Feeds the body to the engine as it arrives. Any failure on the way cancels the insert: only blocks that the
    /// engine has stored by then stay, which is none for inserts of up to `max_insert_block_size` rows.
    fn insert(&mut self, text: &[u8], head: &InsertHead, started: Instant) -> Result<(), Stop> {
        let pool = Arc::clone(&self.pool);
        let lease = pool.lease(self.key())?;
        self.work.runs_as(lease.tag(), false);
        let mut insert = lease.insert(&text[..head.sql_end], &head.format, &self.request.parameters)?;
        // Values are expressions, so they are checked for forbidden calls like any statement.
        let mut calls = head.format.eq_ignore_ascii_case("values").then(FileCalls::default);
        let mut append = |piece: &[u8]| match &mut calls {
            _ if piece.is_empty() => Ok(()),
            None => insert.append(piece),
            Some(calls) => calls.check(piece).and_then(|()| insert.append(piece)),
        };
        append(&text[head.data_start..])?;
        while self.reader.next(&mut append)? {
            if self.work.is_aborted() {
                return Err(Exception::new(Code::ABORTED, "the engine is shutting down").into());
            }
        }
        let counters = insert.done()?.counters();
        self.give_back(lease, Class::Mutating);
        // ClickHouse counts the rows of an insert as read, too.
        let counters = Counters {
            read_rows: counters.written_rows,
            read_bytes: counters.written_bytes,
            ..counters
        };
        Ok(self.begin(None, counters, started)?)
    }

    fn begin(&mut self, format: Option<&str>, counters: Counters, started: Instant) -> Result<(), ClientGone> {
        self.reply.begin(Head {
            format: format.map(str::to_owned),
            counters,
            elapsed: started.elapsed(),
        })
    }

    fn statement(&mut self, text: &[u8], started: Instant) -> Result<(), Stop> {
        let outline = statement::outline(text);
        refuse(&outline)?;
        let format = outline.format.unwrap_or_else(|| self.request.default_format.clone());
        let settings = &self.request.settings;
        let once = statement::ONCE_A_RESULT.iter().any(|name| settings.contains_key(*name));
        let header = format::stream_header(&format).filter(|_| outline.streams && !once);
        let pool = Arc::clone(&self.pool);
        let lease = pool.lease(self.key())?;
        let class = lease.classify(text);
        self.work.runs_as(lease.tag(), class == Class::ReadOnly);
        if self.work.is_stopped() {
            return Err(Stop::ClientGone);
        }
        match header.filter(|_| class == Class::ReadOnly) {
            Some(header) => self.stream(&lease, text, &format, header, started)?,
            None => self.whole(&lease, text, &format, started)?,
        }
        self.give_back(lease, class);
        Ok(())
    }

    /// Sends a select's result chunk by chunk. The first chunk or error decides the status.
    fn stream(
        &mut self,
        lease: &Lease<'_>,
        sql: &[u8],
        format: &str,
        header: Header,
        started: Instant,
    ) -> Result<(), Stop> {
        let mut select = lease.select(sql, format, &self.request.parameters)?;
        let (mut counters, mut header_length) = (Counters::default(), None);
        let (mut held, trailer) = (Held::default(), header.trailer());
        while let Some(chunk) = select.next()? {
            counters = counters + chunk.counters();
            let length = header_length.unwrap_or(0);
            header_length.get_or_insert_with(|| header.length(chunk.as_ref()));
            let end = chunk.as_ref().strip_suffix(trailer).unwrap_or(chunk.as_ref()).len();
            let piece = Bytes::from_owner(chunk).slice(length.min(end)..end);
            if self.request.wait_end_of_query {
                held.push(piece)?;
            } else {
                self.begin(Some(format), counters, started)?;
                self.reply.send(piece)?;
            }
        }
        drop(select);
        self.begin(Some(format), counters, started)?;
        for piece in held.pieces {
            self.reply.send(piece)?;
        }
        if !trailer.is_empty() && header_length.is_some() {
            self.reply.send(Bytes::from_static(trailer))?;
        }
        Ok(())
    }

    /// Runs a statement whose result cannot be streamed.
    fn whole(&mut self, lease: &Lease<'_>, sql: &[u8], format: &str, started: Instant) -> Result<(), Stop> {
        let chunk: Chunk = lease.query(sql, format, &self.request.parameters)?;
        let counters = chunk.counters();
        let mut held = Held::default();
        held.push(Bytes::from_owner(chunk))?;
        self.begin(Some(format), counters, started)?;
        for mut piece in held.pieces {
            while !piece.is_empty() {
                self.reply.send(piece.split_to(piece.len().min(PIECE_BYTES)))?;
            }
        }
        Ok(())
    }

    /// Returns the connection to the pool, unless the statement was killed or may have changed the session.
    fn give_back(&self, lease: Lease<'_>, class: Class) {
        let untouched = self.work.ended();
        if untouched && matches!(class, Class::ReadOnly | Class::Mutating) {
            lease.release();
        }
    }
}

/// A result that is held back until its statement has ended.
#[derive(Default)]
struct Held {
    pieces: Vec<Bytes>,
    bytes: usize,
}

impl Held {
    fn push(&mut self, piece: Bytes) -> Result<(), Exception> {
        self.bytes += piece.len();
        if self.bytes > WHOLE_RESULT_BYTES_MAX {
            let reason = format!(
                "the result is larger than {WHOLE_RESULT_BYTES_MAX} bytes and cannot be streamed: use a streamed format \
                 such as RowBinary, TSV, CSV or JSONEachRow, without wait_end_of_query"
            );
            return Err(Exception::new(Code::TOO_MANY_ROWS_OR_BYTES, reason));
        }
        self.pieces.push(piece);
        Ok(())
    }
}

fn refuse(outline: &Outline) -> Result<(), Exception> {
    if outline.several {
        return Err(Exception::new(Code::SYNTAX_ERROR, "Multi-statements are not allowed"));
    }
    if outline.calls_file {
        return Err(FileCalls::refusal());
    }
    if outline.names_file {
        return Err(Exception::new(
            Code::INTO_OUTFILE_NOT_ALLOWED,
            "INTO OUTFILE and FROM INFILE are not allowed over HTTP",
        ));
    }
    Ok(())
}
