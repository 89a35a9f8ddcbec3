//! The request to terminate: SIGTERM, which stops services, or SIGINT from Ctrl-C.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Listens for the request. From then on, neither signal ends the process by itself.
#[derive(Debug)]
pub struct Termination {
    terminate: Signal,
    interrupt: Signal,
}

impl Termination {
    /// Starts listening. Must be called inside the runtime.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Completes at the next request. A request that arrives while nobody waits is kept.
    pub async fn requested(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
