//! The folders of beds: removed by the next run, and named when a test fails.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, Once};

use horolog_local::process::Identity;

use super::lock;

/// A folder in the target folder whose name tells which test process owns it. Those of test processes that have ended are
/// removed: a shared bed is never dropped, and the logs of a failed test are kept until the next run.
pub(super) fn new_folder() -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let root = Path::new(env!("CARGO_TARGET_TMPDIR"));
    for entry in std::fs::read_dir(root).into_iter().flatten().flatten() {
        if owner(&entry.file_name().to_string_lossy()).is_some_and(|owner| !owner.is_alive()) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
    let own = Identity::own().unwrap();
    root.join(format!(
        "bed-{}-{}-{}",
        own.pid,
        own.started,
        NUMBER.fetch_add(1, Ordering::Relaxed)
    ))
}

fn owner(folder: &str) -> Option<Identity> {
    let mut parts = folder.strip_prefix("bed-")?.split('-');
    Some(Identity {
        pid: parts.next()?.parse().ok()?,
        started: parts.next()?.parse().ok()?,
    })
}

pub(super) fn print_logs_on_panic(logs: &Path) {
    static FOLDERS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
    static HOOK: Once = Once::new();
    lock(&FOLDERS).push(logs.to_owned());
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            before(panic);
            for folder in lock(&FOLDERS).iter() {
                eprintln!("logs of broker, engine and services: {}", folder.display());
            }
        }));
    });
}
