//! A pinned artifact: a folder in the cache whose files are exactly those with the checked-in checksums.
//!
//! It is fetched into a temporary folder, verified, and renamed into place, so that the folder is either absent or whole.
//! What a set-up that was killed left is removed by the next.
//! The checksums are computed at the first installation; later runs compare names and sizes only.

use std::fs::File;
use std::path::{Path, PathBuf};

use horolog_schemas::digest;

use super::SetupError;
use super::fetch::FetchError;

/// Attempts before a fetch is given up: a hiccup of a registry must not fail the set-up.
const ATTEMPTS: u32 = 3;
/// Written last into the folder: names and sizes of what was verified.
const MANIFEST: &str = "verified";

/// A file and its SHA-256 in hexadecimal.
#[derive(Debug, Clone)]
pub struct Pin {
    /// Name inside the folder.
    pub name: String,
    /// Lower case, 64 characters.
    pub sha256: String,
}

/// A folder of pinned files.
#[derive(Debug, Clone)]
pub struct Artifact {
    /// What people call it: `Kafka 4.4.0`.
    pub title: &'static str,
    /// Where it belongs.
    pub folder: PathBuf,
    /// All of its files.
    pub pins: Vec<Pin>,
}

/// Why an artifact is not there.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// A file is not what was pinned.
    #[error(
        "{title}: {name} has sha256 {found}, expected {expected}: what the registry delivered is not the pinned release"
    )]
    Checksum {
        /// The artifact.
        title: &'static str,
        /// The file.
        name: String,
        /// What it has.
        found: String,
        /// What was pinned.
        expected: String,
    },
    /// A file is missing, or there is one too many.
    #[error("{title}: the registry delivered {found}, expected {expected}")]
    Files {
        /// The artifact.
        title: &'static str,
        /// Names found and not expected, or "nothing more".
        found: String,
        /// Names expected and not found, or "nothing more".
        expected: String,
    },
    /// The file system refused.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Artifact {
    /// Whether it is in place: all files by name and size.
    pub fn is_installed(&self) -> bool {
        let Ok(manifest) = std::fs::read_to_string(self.folder.join(MANIFEST)) else {
            return false;
        };
        let sizes: Vec<(&str, &str)> = manifest.lines().filter_map(|line| line.split_once(' ')).collect();
        self.pins.iter().all(|pin| {
            let size = std::fs::metadata(self.folder.join(&pin.name)).map(|file| file.len().to_string());
            size.is_ok_and(|size| sizes.contains(&(size.as_str(), pin.name.as_str())))
        })
    }

    /// Puts it in place with the help of `fetch`, which fills an empty folder and has another to work in. Returns the
    /// folder.
    pub fn install(&self, fetch: impl Fn(&Path, &Path) -> Result<(), FetchError>) -> Result<PathBuf, SetupError> {
        if self.is_installed() {
            return Ok(self.folder.clone());
        }
        let parent = self.folder.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(parent).map_err(io(parent))?;
        // Two set-ups at the same time: the second waits, and finds it done.
        let lock_path = self.folder.with_added_extension("lock");
        let lock = File::create(&lock_path).map_err(io(&lock_path))?;
        lock.lock().map_err(io(&lock_path))?;
        if self.is_installed() {
            return Ok(self.folder.clone());
        }
        let temporary = self.folder.with_added_extension("incoming");
        let work = self.folder.with_added_extension("work");
        let fetched = self.fetch_verified(&temporary, || {
            for folder in [&temporary, &work] {
                remove(folder)?;
                std::fs::create_dir_all(folder).map_err(io(folder))?;
            }
            Ok(fetch(&temporary, &work)?)
        });
        remove(&work)?;
        fetched?;
        remove(&self.folder)?;
        std::fs::rename(&temporary, &self.folder).map_err(io(&self.folder))?;
        eprintln!("{}: verified, in {}", self.title, self.folder.display());
        Ok(self.folder.clone())
    }

    fn fetch_verified(&self, folder: &Path, fetch: impl Fn() -> Result<(), SetupError>) -> Result<(), SetupError> {
        let mut attempt = 1;
        loop {
            let outcome = fetch().and_then(|()| self.verify(folder).map_err(SetupError::from));
            match outcome {
                Err(error) if attempt < ATTEMPTS => {
                    eprintln!("{error}; attempt {} of {ATTEMPTS}", attempt + 1);
                    std::thread::sleep(std::time::Duration::from_secs(u64::from(attempt) * 3));
                    attempt += 1;
                }
                outcome => return outcome,
            }
        }
    }

    fn verify(&self, folder: &Path) -> Result<(), ArtifactError> {
        self.compare_names(folder)?;
        let mut manifest = String::new();
        for pin in &self.pins {
            let path = folder.join(&pin.name);
            let (size, found) = digest::of_file(&path).map_err(io(&path))?;
            if found != pin.sha256 {
                let (name, expected) = (pin.name.clone(), pin.sha256.clone());
                return Err(ArtifactError::Checksum {
                    title: self.title,
                    name,
                    found,
                    expected,
                });
            }
            manifest += &format!("{size} {}\n", pin.name);
        }
        let path = folder.join(MANIFEST);
        std::fs::write(&path, manifest).map_err(io(&path))
    }

    fn compare_names(&self, folder: &Path) -> Result<(), ArtifactError> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(io(folder))? {
            found.push(entry.map_err(io(folder))?.file_name().to_string_lossy().into_owned());
        }
        let list = |names: Vec<&str>| {
            if names.is_empty() {
                "nothing more".to_owned()
            } else {
                names.join(" ")
            }
        };
        let pinned = |name: &str| self.pins.iter().any(|pin| pin.name == name);
        let missing: Vec<&str> = self
            .pins
            .iter()
            .map(|pin| pin.name.as_str())
            .filter(|name| !found.iter().any(|file| file == name))
            .collect();
        let extra: Vec<&str> = found.iter().map(String::as_str).filter(|name| !pinned(name)).collect();
        if missing.is_empty() && extra.is_empty() {
            return Ok(());
        }
        Err(ArtifactError::Files {
            title: self.title,
            found: list(extra),
            expected: list(missing),
        })
    }
}

fn remove(folder: &Path) -> Result<(), ArtifactError> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io(folder)(error)),
        _ => Ok(()),
    }
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> ArtifactError {
    let path = path.to_owned();
    move |source| ArtifactError::Io { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn artifact(folder: &Path) -> Artifact {
        let pins = vec![Pin {
            name: "a".into(),
            sha256: EMPTY.into(),
        }];
        Artifact {
            title: "test",
            folder: folder.join("thing-1.2.3"),
            pins,
        }
    }

    fn fetch_empty(folder: &Path, _: &Path) -> Result<(), FetchError> {
        std::fs::write(folder.join("a"), "").unwrap();
        Ok(())
    }

    #[test]
    fn what_was_verified_once_is_not_fetched_again() {
        let cache = tempfile::tempdir().unwrap();
        let artifact = artifact(cache.path());
        artifact.install(fetch_empty).unwrap();
        artifact.install(|_, _| panic!("fetched again")).unwrap();
    }

    #[test]
    fn what_a_killed_set_up_left_is_neither_used_nor_kept() {
        let cache = tempfile::tempdir().unwrap();
        let artifact = artifact(cache.path());
        for left in ["thing-1.2.3.incoming", "thing-1.2.3.work"] {
            std::fs::create_dir(cache.path().join(left)).unwrap();
            std::fs::write(cache.path().join(left).join("half"), "x").unwrap();
        }
        let fetch = |folder: &Path, work: &Path| {
            assert_eq!(std::fs::read_dir(work).unwrap().count(), 0);
            std::fs::write(work.join("archive"), "").unwrap();
            fetch_empty(folder, work)
        };
        artifact.install(fetch).unwrap();
        let mut left: Vec<_> = std::fs::read_dir(cache.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        left.sort();
        assert_eq!(left, ["thing-1.2.3", "thing-1.2.3.lock"]);
    }

    #[test]
    fn a_file_that_was_cut_off_later_is_noticed() {
        let cache = tempfile::tempdir().unwrap();
        let artifact = artifact(cache.path());
        artifact.install(fetch_empty).unwrap();
        std::fs::write(artifact.folder.join("a"), "x").unwrap();
        assert!(!artifact.is_installed());
    }

    #[test]
    fn other_bytes_and_other_files_are_refused() {
        let cache = tempfile::tempdir().unwrap();
        let artifact = artifact(cache.path());
        std::fs::write(cache.path().join("a"), "x").unwrap();
        assert!(matches!(
            artifact.verify(cache.path()),
            Err(ArtifactError::Checksum { .. })
        ));
        std::fs::write(cache.path().join("b"), "").unwrap();
        assert!(matches!(
            artifact.verify(cache.path()),
            Err(ArtifactError::Files { .. })
        ));
    }
}
