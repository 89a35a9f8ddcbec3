//! `horolog down`: asks the supervisor to stop, and waits until nothing runs any more.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::process::{Identity, Signal};
use crate::stack::{DataFolder, PARTS_STOP, StackState};

use super::data::DataOption;

/// More than all parts may take together: the request has to be noticed, and what does not stop has to be killed.
const STOP_DEADLINE: Duration = PARTS_STOP.saturating_add(Duration::from_secs(30));
/// How long a killed supervisor's processes may take to be gone.
const KILL_DEADLINE: Duration = Duration::from_secs(20);

/// Options of `horolog down`.
#[derive(Debug, Clone, clap::Args)]
pub struct DownOptions {
    #[command(flatten)]
    data: DataOption,
}

/// Runs it.
pub fn run(options: &DownOptions) -> anyhow::Result<ExitCode> {
    let folder = options.data.folder()?;
    println!("{}", if stop(&folder)? { "stopped" } else { "not running" });
    Ok(ExitCode::SUCCESS)
}

/// Stops the stack of this folder; false when none was running.
pub(super) fn stop(folder: &DataFolder) -> anyhow::Result<bool> {
    if !folder.is_locked() {
        return Ok(false);
    }
    let Some(mut asked) = ask(folder)? else {
        bail!(
            "the stack on {} is just starting; try again in a moment",
            folder.path().display()
        );
    };
    let is_stopped = wait_until_unlocked(folder, STOP_DEADLINE, || {
        // A supervisor that has locked the folder but not yet written its state: the state read was of its predecessor.
        if StackState::read(folder).is_some_and(|state| state.supervisor != asked) {
            asked = ask(folder)?.unwrap_or(asked);
        }
        Ok(())
    })?;
    if is_stopped {
        return Ok(true);
    }
    eprintln!(
        "the supervisor (pid {}) did not stop within {} s; killing it",
        asked.pid,
        STOP_DEADLINE.as_secs()
    );
    signal(asked, Signal::SIGKILL)?; // its processes end with it
    if !wait_until_unlocked(folder, KILL_DEADLINE, || Ok(()))? {
        bail!("the supervisor (pid {}) cannot be killed", asked.pid);
    }
    Ok(true)
}

/// Asks the supervisor that the state file names to stop, and returns it.
fn ask(folder: &DataFolder) -> anyhow::Result<Option<Identity>> {
    let Some(state) = StackState::read(folder) else {
        return Ok(None);
    };
    signal(state.supervisor, Signal::SIGTERM)?;
    Ok(Some(state.supervisor))
}

fn signal(supervisor: Identity, signal: Signal) -> anyhow::Result<()> {
    let sent = supervisor.signal(signal);
    sent.with_context(|| {
        format!(
            "the supervisor (pid {}) cannot be stopped; run this as the user who started it",
            supervisor.pid
        )
    })
}

fn wait_until_unlocked(
    folder: &DataFolder,
    deadline: Duration,
    mut meanwhile: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<bool> {
    let end = Instant::now() + deadline;
    while folder.is_locked() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(50));
        meanwhile()?;
    }
    Ok(!folder.is_locked())
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// A process that holds the folder, as a supervisor does, until it is asked to stop.
    fn holder(folder: &DataFolder) -> Child {
        let holds = "import fcntl, sys, time
lock = open(sys.argv[1], 'a')
fcntl.flock(lock, fcntl.LOCK_EX)
print('held', flush=True)
time.sleep(600)";
        let mut child = Command::new("python3")
            .args(["-c", holds])
            .arg(folder.path().join("lock"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // Its pipe stays open: a holder that cannot end its line would end itself.
        child.stdout.as_mut().unwrap().read_exact(&mut [0; 4]).unwrap();
        child
    }

    fn identity(child: &Child) -> Identity {
        Identity::of(child.id().cast_signed()).unwrap()
    }

    #[test]
    fn who_holds_the_folder_is_stopped_though_the_state_was_still_that_of_another() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = DataFolder::at(temporary.path()).unwrap();
        let mut predecessor = Command::new("sleep").arg("600").spawn().unwrap();
        let mut supervisor = holder(&folder);
        let write = |supervisor: &Child| {
            let state = StackState::ready(&folder, identity(supervisor), &[]);
            state.write(&folder).unwrap();
        };
        write(&predecessor);
        let stopping = std::thread::spawn({
            let folder = folder.clone();
            move || stop(&folder)
        });
        predecessor.wait().unwrap(); // so the state of before was read
        write(&supervisor);
        assert!(stopping.join().unwrap().unwrap());
        supervisor.wait().unwrap();
        assert!(!stop(&folder).unwrap(), "nothing runs any more");
    }

    #[test]
    fn who_holds_the_folder_and_has_not_said_who_it_is_is_left_alone() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = DataFolder::at(temporary.path()).unwrap();
        let _lock = folder.lock().unwrap();
        let refused = stop(&folder).unwrap_err().to_string();
        assert!(refused.contains("just starting"), "{refused}");
    }
}
