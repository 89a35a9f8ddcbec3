//! The response, from the thread that runs the statement to the socket.
//!
//! Enters: a head once, then bytes, then an end or an exception. Leaves: an HTTP response.
//! Guarantees: an exception before the first byte becomes a status code; a later one goes out as ClickHouse's tagged
//! exception and the connection is aborted, so that no client takes a part for the whole. A bounded number of chunks
//! wait in between, and a client that does not read for [`SEND_TIMEOUT`] is given up.

use std::task::Poll;
use std::time::Duration;

use axum::body::Body;
use axum::http::response::Builder;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{Stream, stream};
use serde_json::json;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::encoding::{Encoder, Encoding};
use super::exception::{Code, Exception};
use super::ffi::Counters;
use super::format;
use super::request::Request;
use super::running::Interest;

/// Chunks between statement and socket; a chunk is one block of the engine, or a piece of a result held in memory.
const CHUNKS_MAX: usize = 2;
/// ClickHouse's default `http_send_timeout`.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);
const TAG_LENGTH: usize = 16;

/// What is known when the first byte goes out.
#[derive(Debug, Clone, Default)]
pub struct Head {
    /// The format of the body; none for a statement without a result.
    pub format: Option<String>,
    /// What the engine counted so far.
    pub counters: Counters,
    /// Time since the statement began.
    pub elapsed: Duration,
}

enum Event {
    Data(Bytes),
    Broken,
    End,
}

/// The client does not take the response.
#[derive(Debug, PartialEq, Eq)]
pub struct ClientGone;

/// The statement's side.
pub struct Reply {
    head: Option<oneshot::Sender<Result<Head, Exception>>>,
    events: mpsc::Sender<Event>,
    encoder: Encoder,
    handle: Handle,
    identity: Identity,
}

/// The socket's side.
pub struct Pending {
    head: oneshot::Receiver<Result<Head, Exception>>,
    events: mpsc::Receiver<Event>,
    identity: Identity,
    encoding: Encoding,
}

/// What the response says about itself.
#[derive(Clone)]
pub struct Identity {
    query_id: String,
    tag: String,
    version: String,
}

impl Identity {
    /// For one request to an engine of this version. A request without a query id gets one.
    pub fn new(query_id: Option<&str>, version: &str) -> Self {
        let mut tag = Uuid::new_v4().simple().to_string();
        tag.truncate(TAG_LENGTH);
        let named = query_id.map(|id| id.chars().filter(char::is_ascii_graphic).collect::<String>());
        let query_id = named
            .filter(|id| !id.is_empty())
            .unwrap_or_else(|| Uuid::new_v4().to_string());
        Self {
            query_id,
            tag,
            version: version.to_owned(),
        }
    }

    /// The response to a request that failed before its first byte.
    pub fn refuse(&self, exception: &Exception) -> Response {
        let builder = self
            .headers(exception.status())
            .header("x-clickhouse-exception-code", exception.code())
            .header(header::CONTENT_TYPE, "text/plain; charset=UTF-8");
        finished(builder, Body::from(exception.body(&self.version)))
    }

    fn headers(&self, status: StatusCode) -> Builder {
        Response::builder()
            .status(status)
            .header("x-clickhouse-query-id", &self.query_id)
            .header("x-clickhouse-server-display-name", "horolog")
            .header("x-clickhouse-timezone", "UTC")
    }
}

/// Connects the two sides for a request.
pub fn channel(request: &Request, headers: &HeaderMap, identity: Identity) -> Result<(Reply, Pending), Exception> {
    let accepted = headers
        .get(header::ACCEPT_ENCODING)
        .and_then(|value| value.to_str().ok());
    let encoding = match accepted {
        Some(accepted) if request.http_compression && !request.compress => Encoding::accepted(accepted),
        _ => Encoding::Identity,
    };
    let encoder = if request.compress {
        Encoder::Blocks
    } else {
        Encoder::new(encoding).map_err(unencodable)?
    };
    let (head_sender, head) = oneshot::channel();
    let (sender, events) = mpsc::channel(CHUNKS_MAX);
    let pending = Pending {
        head,
        events,
        identity: identity.clone(),
        encoding,
    };
    let reply = Reply {
        head: Some(head_sender),
        events: sender,
        encoder,
        handle: Handle::current(),
        identity,
    };
    Ok((reply, pending))
}

impl Reply {
    /// Sends the head, unless it is out: from here on the status is 200.
    pub fn begin(&mut self, head: Head) -> Result<(), ClientGone> {
        match self.head.take() {
            Some(sender) => sender.send(Ok(head)).map_err(|_| ClientGone),
            None => Ok(()),
        }
    }

    /// What the client and the log call the statement.
    pub fn query_id(&self) -> &str {
        &self.identity.query_id
    }

    /// Sends a piece of the body; waits while the client is behind.
    pub fn send(&mut self, piece: Bytes) -> Result<(), ClientGone> {
        let encoded = self.encoder.push(piece).map_err(|_| ClientGone)?;
        if encoded.is_empty() {
            Ok(())
        } else {
            self.push(Event::Data(encoded))
        }
    }

    /// Ends the response.
    pub fn finish(mut self) {
        let encoder = std::mem::replace(&mut self.encoder, Encoder::Identity);
        let ended = encoder.finish().map_err(|_| ClientGone).and_then(|rest| {
            if rest.is_empty() {
                Ok(())
            } else {
                self.push(Event::Data(rest))
            }
        });
        if ended.is_ok() {
            let _ = self.push(Event::End); // the client may have left; there is nothing more to do for it
        }
    }

    /// Ends the response with an exception.
    pub fn fail(mut self, exception: Exception) {
        if let Some(head) = self.head.take() {
            let _ = head.send(Err(exception)); // as in `finish`
            return;
        }
        let Identity { tag, version, .. } = &self.identity;
        let text = exception.body(version);
        let marker = format!(
            "\r\n__exception__\r\n{tag}\r\n{text}{} {tag}\r\n__exception__\r\n",
            text.len()
        );
        let told = self.send(Bytes::from(marker));
        let encoder = std::mem::replace(&mut self.encoder, Encoder::Identity);
        if let (Ok(()), Ok(rest)) = (told, encoder.finish()) {
            let _ = self.push(Event::Data(rest)).and_then(|()| self.push(Event::Broken)); // as in `finish`
        }
    }

    fn push(&self, event: Event) -> Result<(), ClientGone> {
        self.handle
            .block_on(self.events.send_timeout(event, SEND_TIMEOUT))
            .map_err(|_| ClientGone)
    }
}

impl Pending {
    /// Waits for the head. `interest` lives as long as anybody reads the body.
    pub async fn response(self, interest: Interest) -> Response {
        let head = match self.head.await {
            Ok(Ok(head)) => head,
            Ok(Err(exception)) => return self.identity.refuse(&exception),
            Err(_) => {
                return self
                    .identity
                    .refuse(&Exception::new(Code::ABORTED, "the statement was abandoned"));
            }
        };
        let mut builder = self
            .identity
            .headers(StatusCode::OK)
            .header("x-clickhouse-exception-tag", &self.identity.tag)
            .header("x-clickhouse-summary", summary(&head));
        if let Some(format) = &head.format {
            builder = builder
                .header("x-clickhouse-format", format)
                .header(header::CONTENT_TYPE, format::content_type(format));
        }
        if let Some(name) = self.encoding.name() {
            builder = builder.header(header::CONTENT_ENCODING, name);
        }
        finished(builder, Body::from_stream(body(self.events, interest)))
    }
}

enum State {
    Streaming { _interest: Interest },
    Breaking,
    Ended,
}

/// The body's frames. The stream fails after an exception, and when the statement's thread ended without finishing it.
fn body(mut events: mpsc::Receiver<Event>, interest: Interest) -> impl Stream<Item = Result<Bytes, ClientGone>> {
    let mut state = State::Streaming { _interest: interest };
    stream::poll_fn(move |context| match state {
        State::Streaming { .. } => match std::task::ready!(events.poll_recv(context)) {
            Some(Event::Data(bytes)) => Poll::Ready(Some(Ok(bytes))),
            Some(Event::End) => {
                state = State::Ended;
                Poll::Ready(None)
            }
            Some(Event::Broken) | None => {
                // One wake-up without a frame, in which hyper flushes its buffer: otherwise the exception's text would
                // be lost with the connection.
                state = State::Breaking;
                context.waker().wake_by_ref();
                Poll::Pending
            }
        },
        State::Breaking => {
            state = State::Ended;
            Poll::Ready(Some(Err(ClientGone)))
        }
        State::Ended => Poll::Ready(None),
    })
}

impl std::fmt::Display for ClientGone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the response was aborted")
    }
}

impl std::error::Error for ClientGone {}

fn summary(head: &Head) -> String {
    let Counters {
        read_rows,
        read_bytes,
        written_rows,
        written_bytes,
        result_rows,
    } = head.counters;
    json!({
        "read_rows": read_rows.to_string(),
        "read_bytes": read_bytes.to_string(),
        "written_rows": written_rows.to_string(),
        "written_bytes": written_bytes.to_string(),
        "total_rows_to_read": "0",
        "result_rows": result_rows.to_string(),
        "result_bytes": "0",
        "elapsed_ns": head.elapsed.as_nanos().to_string(),
    })
    .to_string()
}

fn unencodable(error: std::io::Error) -> Exception {
    Exception::new(Code::UNKNOWN_EXCEPTION, format!("cannot encode the response: {error}"))
}

/// All header values are ours and valid, so building the response cannot fail.
fn finished(builder: Builder, body: Body) -> Response {
    builder
        .body(body)
        .unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}
