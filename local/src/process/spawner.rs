//! One thread that starts all children and lives as long as the process.
//!
//! The system sends a child its parent-death signal when the *thread* that started it ends, not the process. A child started
//! by a worker thread or by one test would die with it.

use std::process::{Child, Command};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};

type Request = (Command, Sender<std::io::Result<Child>>);

static SPAWNER: OnceLock<Sender<Request>> = OnceLock::new();

/// Starts the command from the long-lived thread.
pub(super) fn spawn(command: Command) -> std::io::Result<Child> {
    let spawner = SPAWNER.get_or_init(|| {
        let (requests, inbox) = channel::<Request>();
        std::thread::spawn(move || {
            for (mut command, reply) in inbox {
                let _ = reply.send(command.spawn());
            }
        });
        requests
    });
    let gone = |_| std::io::Error::other("the thread that starts processes is gone");
    let (reply, answer) = channel();
    spawner
        .send((command, reply))
        .map_err(|error| gone(error.to_string()))?;
    answer.recv().map_err(|error| gone(error.to_string()))?
}
