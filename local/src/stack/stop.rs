//! Requests to stop: Ctrl-C, SIGTERM, a closed terminal. A second one is urgent.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Whether somebody has asked to stop, and how often.
#[derive(Debug, Clone)]
pub struct StopRequest(Arc<AtomicU32>);

impl StopRequest {
    /// Listens from now on. Must be called inside the runtime.
    pub fn listen() -> std::io::Result<Self> {
        let requests = Arc::new(AtomicU32::new(0));
        for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
            tokio::spawn(count(signal(kind)?, Arc::clone(&requests)));
        }
        Ok(Self(requests))
    }

    /// How often somebody has asked.
    pub fn requests(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// Asked once.
    pub fn is_requested(&self) -> bool {
        self.requests() > 0
    }

    /// Asked again.
    pub fn is_urgent(&self) -> bool {
        self.requests() > 1
    }
}

async fn count(mut signals: Signal, requests: Arc<AtomicU32>) {
    while signals.recv().await.is_some() {
        requests.fetch_add(1, Ordering::Relaxed);
    }
}
