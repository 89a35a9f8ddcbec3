//! The wish to stop: Ctrl-C or SIGTERM, seen by threads and tasks alike.
//!
//! The first ends what is going on in order, with everything written that there is.

use horolog_schemas::Termination;
use tokio::sync::watch;

/// Whether somebody wants it to stop.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Listens for signals from now on.
    pub fn on_signals() -> std::io::Result<Self> {
        let mut termination = Termination::listen()?;
        let (wish, stop) = watch::channel(false);
        tokio::spawn(async move {
            termination.requested().await;
            eprintln!("interrupted, writing what there is");
            // Kept as long as the program runs, so that nobody takes its end for a wish.
            let _ = wish.send(true);
            std::future::pending::<()>().await;
        });
        Ok(Self(stop))
    }

    /// One that never comes.
    pub fn never() -> Self {
        Self(watch::channel(false).1)
    }

    /// Whether it has come.
    pub fn is_requested(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits for it.
    pub async fn requested(&self) {
        let mut wish = self.0.clone();
        if wish.wait_for(|stop| *stop).await.is_err() {
            std::future::pending().await
        }
    }
}
