//! Connections: a bounded number, none that opens and stays silent, and none that does not read its answer.
//!
//! Enters: an accepted socket. Leaves: the stream for HTTP, which holds its place until it is closed; or the socket is
//! closed immediately, because otherwise a refused caller would wait. Hyper limits the time to a request, but only once
//! it knows the HTTP version: a caller that sends nothing, or only part of the HTTP/2 preface, is limited here; so is
//! one that reads nothing of what is sent over HTTP/1, which nothing else limits.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum_server::accept::Accept;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};

use crate::config::HttpConfig;

/// The preface of HTTP/2 (RFC 9113, 3.4). Until a connection has sent more or anything else, its HTTP version is
/// unknown.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Accepts connections as another acceptor does, within bounds.
#[derive(Clone)]
pub struct Bounded<A> {
    inner: A,
    places: Arc<Semaphore>,
    /// Whether the last connection was refused.
    is_full: Arc<AtomicBool>,
    silence_max: Duration,
}

impl<A> Bounded<A> {
    /// As configured.
    pub fn new(inner: A, config: &HttpConfig) -> Self {
        Self {
            inner,
            places: Arc::new(Semaphore::new(config.connections_max)),
            is_full: Arc::default(),
            silence_max: Duration::from_secs(config.idle_timeout_s),
        }
    }

    fn place(&self) -> io::Result<OwnedSemaphorePermit> {
        let place = self.places.clone().try_acquire_owned();
        let was_full = self.is_full.swap(place.is_err(), Ordering::Relaxed);
        place.map_err(|_| {
            if !was_full {
                tracing::warn!("connections are refused: there are as many as http.connections_max allows");
            }
            io::ErrorKind::ConnectionRefused.into()
        })
    }
}

impl<A, S> Accept<TcpStream, S> for Bounded<A>
where
    A: Accept<TcpStream, S>,
    A::Stream: Send + 'static,
    A::Service: Send + 'static,
    A::Future: Send + 'static,
    S: Send + 'static,
{
    type Stream = Connection<A::Stream>;
    type Service = A::Service;
    type Future = BoxFuture<'static, io::Result<(Self::Stream, Self::Service)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let place = match self.place() {
            Ok(place) => place,
            Err(refused) => return Box::pin(async { Err(refused) }),
        };
        let (accepted, silence_max) = (self.inner.accept(stream, service), self.silence_max);
        Box::pin(async move {
            let (stream, service) = accepted.await?;
            Ok((Connection::new(stream, place, silence_max), service))
        })
    }
}

/// A connection with its place.
pub struct Connection<S> {
    stream: S,
    _place: OwnedSemaphorePermit,
    /// `None` once the HTTP version is known.
    beginning: Option<Beginning>,
    /// When the peer must have read some of the pending output; `None` while nothing is pending.
    stuck: Option<Pin<Box<Sleep>>>,
    silence_max: Duration,
}

struct Beginning {
    /// How much of [`PREFACE`] was received.
    matched: usize,
    over: Pin<Box<Sleep>>,
}

impl<S> Connection<S> {
    fn new(stream: S, place: OwnedSemaphorePermit, silence_max: Duration) -> Self {
        let over = Box::pin(sleep(silence_max));
        Self {
            stream,
            _place: place,
            beginning: Some(Beginning { matched: 0, over }),
            stuck: None,
            silence_max,
        }
    }

    /// The result of a write, or a timeout if nothing was accepted for too long.
    fn taken<T>(&mut self, cx: &mut Context<'_>, sent: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if sent.is_ready() {
            self.stuck = None;
            return sent;
        }
        let silence_max = self.silence_max;
        let over = self.stuck.get_or_insert_with(|| Box::pin(sleep(silence_max)));
        over.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl Beginning {
    /// Whether more is needed after these bytes to know the HTTP version.
    fn goes_on(&mut self, read: &[u8]) -> bool {
        let expected = &PREFACE[self.matched..];
        self.matched += read.len().min(expected.len());
        read.len() < expected.len() && expected.starts_with(read)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Connection<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let Some(beginning) = &mut self.beginning else {
            return read;
        };
        if read.is_pending() {
            return beginning
                .over
                .as_mut()
                .poll(cx)
                .map(|()| Err(io::ErrorKind::TimedOut.into()));
        }
        if !beginning.goes_on(&buffer.filled()[before..]) {
            self.beginning = None;
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.taken(cx, sent)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.taken(cx, sent)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let sent = Pin::new(&mut self.stream).poll_flush(cx);
        self.taken(cx, sent)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_spoken_is_known_by_the_first_byte_that_differs_or_by_all_of_them() {
        for (reads, goes_on) in [
            (&["P"][..], true),
            (&["PR", "I * HTTP/2.0\r\n\r\nSM\r\n\r"], true),
            (&["PR", "I * HTTP/2.0\r\n\r\nSM\r\n\r\n"], false),
            (&["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n and more"], false),
            (&["P", "OST /"], false),
            (&["GET"], false),
        ] {
            let over = Box::pin(sleep(Duration::ZERO));
            let mut beginning = Beginning { matched: 0, over };
            let last = reads.iter().map(|read| beginning.goes_on(read.as_bytes())).last();
            assert_eq!(last, Some(goes_on), "{reads:?}");
        }
    }
}
