//! The socket and its protocol: HTTP, or HTTP over TLS.
//!
//! Enters: an address, the routes, and possibly a certificate. Leaves: a task that serves until it is told to stop,
//! then lets running requests finish within a deadline. A handshake has ten seconds; the number of connections, and how
//! long one may be held without a request, are configured ([`crate::service::connections`]).

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum_server::Handle;
use axum_server::accept::NoDelayAcceptor;
use axum_server::tls_rustls::RustlsAcceptor;
use hyper_util::rt::TokioTimer;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::config::HttpConfig;
use crate::service::connections::Bounded;
use crate::service::tls::Certificate;

/// How long running requests have to finish when the service stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// Headers of an HTTP/2 request, including the path: enough for the longest query string, which hyper's default would
/// refuse.
const HEADERS_BYTES_MAX: u32 = 64 * 1024;
/// Concurrent streams of an HTTP/2 connection; they also bound its small answers, which are in memory uncounted
/// ([`crate::api::outgoing`]).
const STREAMS_MAX: u32 = 32;

/// A serving listener.
pub struct Listening {
    handle: Handle<SocketAddr>,
    served: JoinHandle<io::Result<()>>,
}

impl Listening {
    /// Starts serving.
    pub fn start(
        listener: TcpListener,
        app: Router,
        certificate: Option<&Certificate>,
        config: &HttpConfig,
    ) -> io::Result<Self> {
        let handle = Handle::new();
        let app = app.into_make_service_with_connect_info::<SocketAddr>();
        let mut server = axum_server::from_tcp(listener.into_std()?)?.handle(handle.clone());
        let idle_max = Duration::from_secs(config.idle_timeout_s);
        let protocols = server.http_builder();
        protocols.http1().timer(TokioTimer::new()).header_read_timeout(idle_max);
        // HTTP/2 has no such limit: a peer that does not answer a ping is gone.
        protocols
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(idle_max)
            .keep_alive_timeout(idle_max)
            .max_concurrent_streams(STREAMS_MAX)
            .max_header_list_size(HEADERS_BYTES_MAX);
        // Without it small answers wait for the client's delayed acknowledgement.
        let no_delay = NoDelayAcceptor::new();
        let served = match certificate {
            None => tokio::spawn(server.acceptor(Bounded::new(no_delay, config)).serve(app)),
            Some(certificate) => {
                let tls = RustlsAcceptor::new(certificate.config()).acceptor(no_delay);
                tokio::spawn(server.acceptor(Bounded::new(tls, config)).serve(app))
            }
        };
        Ok(Self { handle, served })
    }

    /// Returns if serving ends by itself, which is an error.
    pub async fn ended(&mut self) -> anyhow::Result<()> {
        Ok((&mut self.served).await??)
    }

    /// Accepts no more requests, and lets running ones finish.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.handle.graceful_shutdown(Some(DRAIN_TIMEOUT));
        Ok(self.served.await??)
    }
}
