//! The ClickHouse engine as a library, through npm: one file out of a pinned package.

use std::path::Path;
use std::process::Command;

use horolog_schemas::digest;

use super::SetupError;
use super::artifact::{Artifact, Pin};
use super::fetch::{FetchError, Growth, run};

/// The library's file name.
pub(super) const LIBRARY: &str = "libchdb.so";
/// By version: the registry's `latest` is older.
const PACKAGE: &str = "@chdb/lib-linux-x64-gnu@26.7.3-stable.1";
const TARBALL_SHA256: &str = "c0d32b129e988f2b9a9a31c9141aecf5e1e2453f9a079efc4d36ab8e3f92b2ad";
const TARBALL_BYTES: u64 = 177_817_999;
const LIBRARY_SHA256: &str = "36ad4e999882821ef13cf2d0f52c93f48e6ee1b4498b35a201c23ce4b8d15bf5";
const LIBRARY_BYTES: u64 = 566_330_096;

/// The library by checksum.
pub(super) fn artifact(cache: &Path) -> Result<Artifact, SetupError> {
    if std::env::consts::ARCH != "x86_64" {
        return Err(SetupError::Architecture(std::env::consts::ARCH));
    }
    let pins = vec![Pin {
        name: LIBRARY.to_owned(),
        sha256: LIBRARY_SHA256.to_owned(),
    }];
    Ok(Artifact {
        title: "ClickHouse engine 26.7.3",
        folder: cache.join("engine-26.7.3"),
        pins,
    })
}

/// Fills the folder with the library.
pub(super) fn fetch(folder: &Path, work: &Path) -> Result<(), FetchError> {
    let io = FetchError::io(work);
    let mut pack = Command::new("npm");
    // npm writes to its cache as bytes arrive, so a cache of its own shows the progress.
    pack.args(["pack", PACKAGE, "--loglevel=error", "--pack-destination"])
        .arg(work);
    pack.arg("--cache").arg(work.join("cache")).current_dir(work);
    run(
        &mut pack,
        &Growth {
            title: "fetching the ClickHouse engine",
            path: work,
            bytes: TARBALL_BYTES,
        },
    )?;
    let tarball = tarball(work).map_err(io)?;
    let (_, found) = digest::of_file(&tarball).map_err(io)?;
    if found != TARBALL_SHA256 {
        return Err(FetchError::Checksum {
            path: tarball,
            found,
            expected: TARBALL_SHA256.to_owned(),
        });
    }
    let mut unpack = Command::new("tar");
    unpack
        .arg("--extract")
        .arg("--gzip")
        .arg("--file")
        .arg(&tarball)
        .arg("--directory")
        .arg(folder);
    unpack.args(["--strip-components=1", "--no-same-owner", "package/libchdb.so"]);
    run(
        &mut unpack,
        &Growth {
            title: "unpacking the ClickHouse engine",
            path: &folder.join(LIBRARY),
            bytes: LIBRARY_BYTES,
        },
    )
}

fn tarball(folder: &Path) -> std::io::Result<std::path::PathBuf> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "tgz") {
            return Ok(path);
        }
    }
    Err(std::io::Error::new(
        std::io::ErrorKind::NotFound,
        "npm pack produced no tarball",
    ))
}
