//! The request's body, from the socket to the thread that runs the statement.
//!
//! Enters: body frames, on the asynchronous side. Leaves: decoded bytes, read blocking on the statement's thread.
//! Guarantees: a bounded number of frames wait in between; a body that the client cut off, or that stalls, ends in an
//! error and never looks complete. The delivery protocol relies on this: a writer that was suspended in the middle of
//! an insert must not complete it much later. Never does: a temporary file.

use std::io::{self, Read};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::{Buf, Bytes};
use futures_util::StreamExt;
use tokio::sync::mpsc;

use super::blocks;
use super::encoding::{Decoder, Encoding};
use super::exception::{Code, Exception};

/// Frames between socket and statement; a frame is at most about 400 KB (hyper's read buffer).
const FRAMES_MAX: usize = 8;
/// Decoded bytes handed on at a time.
const PIECE_BYTES: usize = 1 << 18;

enum Event {
    Data(Bytes),
    Failed(Exception),
    End,
}

/// The socket's side.
pub struct Pump {
    body: Body,
    events: mpsc::Sender<Event>,
    receive_timeout: Duration,
}

/// The statement's side.
pub struct Reader {
    decoded: Decoder<Frames>,
    blocks: Option<blocks::Decoder>,
    piece: Vec<u8>,
}

/// Frames as a blocking byte stream.
struct Frames {
    events: mpsc::Receiver<Event>,
    current: Bytes,
    ended: bool,
}

/// Connects both sides for a body with these headers; `decompress` says that it is in ClickHouse's compressed blocks. A
/// body that stalls for longer than `receive_timeout` has failed.
pub fn channel(
    body: Body,
    headers: &HeaderMap,
    decompress: bool,
    receive_timeout: Duration,
) -> Result<(Pump, Reader), Exception> {
    let encoding = match headers.get(header::CONTENT_ENCODING) {
        None => Encoding::Identity,
        Some(name) => Encoding::named(name.to_str().unwrap_or_default()).ok_or_else(|| {
            let reason = "unknown Content-Encoding: send gzip, deflate, lz4 or zstd";
            Exception::new(Code::UNKNOWN_COMPRESSION_METHOD, reason)
        })?,
    };
    let (sender, receiver) = mpsc::channel(FRAMES_MAX);
    let frames = Frames {
        events: receiver,
        current: Bytes::new(),
        ended: false,
    };
    let reader = Reader {
        decoded: Decoder::new(encoding, frames),
        blocks: decompress.then(blocks::Decoder::default),
        piece: vec![0; PIECE_BYTES],
    };
    Ok((
        Pump {
            body,
            events: sender,
            receive_timeout,
        },
        reader,
    ))
}

impl Pump {
    /// Forwards the body until its end, its error, or until nobody reads it any more. If this is dropped earlier, the
    /// reader gets an error.
    pub async fn run(self) {
        let Self {
            body,
            events,
            receive_timeout,
        } = self;
        let mut frames = body.into_data_stream();
        loop {
            let event = match tokio::time::timeout(receive_timeout, frames.next()).await {
                Ok(Some(Ok(data))) => Event::Data(data),
                Ok(None) => Event::End,
                Ok(Some(Err(error))) => Event::Failed(cut_off(error)),
                Err(_) => Event::Failed(stalled(receive_timeout)),
            };
            let last = !matches!(event, Event::Data(_));
            if events.send(event).await.is_err() || last {
                break;
            }
        }
        // Drain the rest: a client that is still writing would not read the response. The server bounds how long it
        // waits for this.
        while let Ok(Some(Ok(_))) = tokio::time::timeout(receive_timeout, frames.next()).await {}
    }
}

impl Reader {
    /// Waits for the next piece and hands its content to `take`. False at the end.
    pub fn next(&mut self, mut take: impl FnMut(&[u8]) -> Result<(), Exception>) -> Result<bool, Exception> {
        let length = self.decoded.read(&mut self.piece).map_err(undecodable)?;
        let piece = &self.piece[..length];
        match &mut self.blocks {
            Some(blocks) if piece.is_empty() => blocks.finish()?,
            Some(blocks) => blocks.push(piece, take)?,
            None => take(piece)?,
        }
        Ok(length > 0)
    }
}

impl Read for Frames {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() && !self.ended {
            match self.events.blocking_recv() {
                Some(Event::Data(data)) => self.current = data,
                Some(Event::End) => self.ended = true,
                Some(Event::Failed(exception)) => return Err(io::Error::other(exception)),
                None => return Err(io::Error::other(cut_off("the client disconnected"))),
            }
        }
        let length = buffer.len().min(self.current.len());
        self.current.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}

/// A decoder's own error, or the transport's error that it passed on.
fn undecodable(error: io::Error) -> Exception {
    match error.downcast::<Exception>() {
        Ok(exception) => exception,
        Err(error) => Exception::new(
            Code::CANNOT_DECOMPRESS,
            format!("cannot decode the request's body: {error}"),
        ),
    }
}

fn cut_off(reason: impl std::fmt::Display) -> Exception {
    Exception::new(Code::NETWORK_ERROR, format!("the request's body was cut off: {reason}"))
}

fn stalled(receive_timeout: Duration) -> Exception {
    let seconds = receive_timeout.as_secs();
    Exception::new(
        Code::SOCKET_TIMEOUT,
        format!("no part of the request's body arrived for {seconds} seconds"),
    )
}
