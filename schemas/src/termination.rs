//! The request to end: SIGTERM, as services are stopped, or SIGINT, as Ctrl-C sends it.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Listens for the request. From then on neither signal ends the process by itself.
#[derive(Debug)]
pub struct Termination {
    terminate: Signal,
    interrupt: Signal,
}

impl Termination {
    /// Listens from now on. Must be called inside the runtime.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Done at the next request. One that comes while nobody waits is kept.
    pub async fn requested(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
