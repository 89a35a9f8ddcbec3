//! The socket and what is spoken on it: HTTP, or HTTP over TLS.
//!
//! Enters: an address, the routes, and a certificate or none. Leaves: a task that serves until it is told to stop, then lets requests
//! under way come to their end within a deadline. A handshake has ten seconds.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum_server::Handle;
use axum_server::accept::NoDelayAcceptor;
use axum_server::tls_rustls::RustlsAcceptor;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::api::tls::Certificate;

/// Requests under way when the service is told to stop have so long.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// A listener that serves.
pub struct Listening {
    handle: Handle<SocketAddr>,
    served: JoinHandle<io::Result<()>>,
}

impl Listening {
    /// Begins to serve.
    pub fn start(listener: TcpListener, app: Router, certificate: Option<&Certificate>) -> io::Result<Self> {
        let handle = Handle::new();
        let app = app.into_make_service_with_connect_info::<SocketAddr>();
        let server = axum_server::from_tcp(listener.into_std()?)?.handle(handle.clone());
        // Without it small answers wait for the caller's delayed acknowledgement.
        let no_delay = NoDelayAcceptor::new();
        let served = match certificate {
            None => tokio::spawn(server.acceptor(no_delay).serve(app)),
            Some(certificate) => {
                let tls = RustlsAcceptor::new(certificate.config()).acceptor(no_delay);
                tokio::spawn(server.acceptor(tls).serve(app))
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
