//! A request to stop, by Ctrl-C or SIGTERM, visible to threads and tasks alike.
//!
//! The first signal ends the current work in an orderly way and writes everything measured so far.

use horolog_schemas::Termination;
use tokio::sync::watch;

/// Whether a stop has been requested.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Listens for signals from now on.
    pub fn on_signals() -> std::io::Result<Self> {
        let mut termination = Termination::listen()?;
        let (wish, stop) = watch::channel(false);
        tokio::spawn(async move {
            termination.requested().await;
            eprintln!("interrupted, stopping");
            // The sender is kept for the lifetime of the program; dropping it would look like a request.
            let _ = wish.send(true);
            std::future::pending::<()>().await;
        });
        Ok(Self(stop))
    }

    /// A request that never comes.
    pub fn never() -> Self {
        Self(watch::channel(false).1)
    }

    /// Whether it has been requested.
    pub fn is_requested(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits for the request.
    pub async fn requested(&self) {
        let mut wish = self.0.clone();
        if wish.wait_for(|stop| *stop).await.is_err() {
            std::future::pending().await
        }
    }
}
