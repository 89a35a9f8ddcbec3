//! The socket and what is spoken on it: HTTP, or HTTP over TLS.
//!
//! Enters: an address, the routes, and a certificate or none. Leaves: a task that serves until it is told to stop, then lets requests
//! under way come to their end within a deadline. A handshake has ten seconds; how many connections there are, and how long one may be
//! held without a request, is configured ([`crate::service::connections`]).

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

/// Requests under way when the service is told to stop have so long.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// Headers of a request over HTTP/2, the path among them: room for the longest query string, which hyper alone would refuse.
const HEADERS_BYTES_MAX: u32 = 64 * 1024;
/// Requests of a connection over HTTP/2 at once: small answers wait in memory uncounted ([`crate::api::outgoing`]), as many as there are of these.
const STREAMS_MAX: u32 = 32;

/// A listener that serves.
pub struct Listening {
    handle: Handle<SocketAddr>,
    served: JoinHandle<io::Result<()>>,
}

impl Listening {
    /// Begins to serve.
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
        // HTTP/2 has no such limit; who does not answer a ping is gone.
        protocols
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(idle_max)
            .keep_alive_timeout(idle_max)
            .max_concurrent_streams(STREAMS_MAX)
            .max_header_list_size(HEADERS_BYTES_MAX);
        // Without it small answers wait for the caller's delayed acknowledgement.
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

    /// Returns when it ends by itself, which is an error.
    pub async fn ended(&mut self) -> anyhow::Result<()> {
        Ok((&mut self.served).await??)
    }

    /// Takes no more requests, and lets those under way come to their end.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.handle.graceful_shutdown(Some(DRAIN_TIMEOUT));
        Ok(self.served.await??)
    }
}
