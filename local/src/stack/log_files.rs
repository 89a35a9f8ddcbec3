//! Keeps the logs of a stack bounded: each run begins with empty ones, and a log that grows too long is cut.
//!
//! Either way the previous text is kept once, as `NAME.log.1`. Never does: move the supervisor's own log at a start,
//! since it is already being written to.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use super::SUPERVISOR;
use super::folder::DataFolder;

/// A log that is longer is cut.
const LOG_BYTES_MAX: u64 = 64 << 20;

/// Puts the logs of the previous run aside.
pub(super) fn begin(folder: &DataFolder) -> std::io::Result<()> {
    std::fs::create_dir_all(folder.logs())?;
    for log in logs(folder) {
        if log.file_stem().is_some_and(|stem| stem != SUPERVISOR) {
            std::fs::rename(&log, before(&log))?;
        }
    }
    Ok(())
}

/// Cuts those that are too long. Their writers append, so they go on at the new end; what they write during the copy is lost.
pub(super) fn cut(folder: &DataFolder) -> std::io::Result<()> {
    for log in logs(folder) {
        if std::fs::metadata(&log)?.len() > LOG_BYTES_MAX {
            let file = OpenOptions::new().read(true).write(true).open(&log)?;
            std::io::copy(&mut &file, &mut File::create(before(&log))?)?;
            file.set_len(0)?;
        }
    }
    Ok(())
}

fn logs(folder: &DataFolder) -> impl Iterator<Item = PathBuf> {
    let entries = std::fs::read_dir(folder.logs()).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
}

fn before(log: &Path) -> PathBuf {
    log.with_added_extension("1")
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_log_that_grew_too_long_is_cut_and_its_writer_goes_on() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = DataFolder::at(temporary.path()).unwrap();
        begin(&folder).unwrap();
        let log = folder.log("broker");
        let mut writer = OpenOptions::new().create(true).append(true).open(&log).unwrap();
        writer.set_len(LOG_BYTES_MAX + 1).unwrap();
        cut(&folder).unwrap();
        writer.write_all(b"on").unwrap();
        assert_eq!(std::fs::read(&log).unwrap(), b"on");
        assert_eq!(std::fs::metadata(before(&log)).unwrap().len(), LOG_BYTES_MAX + 1);
    }

    #[test]
    fn a_run_begins_with_empty_logs_and_keeps_those_before() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = DataFolder::at(temporary.path()).unwrap();
        begin(&folder).unwrap();
        for name in ["broker", SUPERVISOR] {
            std::fs::write(folder.log(name), "before").unwrap();
        }
        begin(&folder).unwrap();
        assert!(!folder.log("broker").exists() && before(&folder.log("broker")).exists());
        assert!(folder.log(SUPERVISOR).exists());
    }
}
