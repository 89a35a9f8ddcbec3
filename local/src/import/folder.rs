//! The files of an import, where the user names folders.
//!
//! Enters: the paths on the command line. Leaves: a source for each file, in the order in which they are read. A folder
//! stands for the files in it and in its folders, by name, without hidden ones; anything else in it is an error, since
//! it might be what the user means. Never opens a file, and does not go where links lead, which may be in a circle.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use super::source::Source;

/// The sources that these paths name.
pub fn sources(paths: &[PathBuf]) -> anyhow::Result<Vec<Source>> {
    let mut sources = Vec::new();
    for path in paths {
        if path.is_dir() {
            let files = files_below(path)?;
            ensure!(!files.is_empty(), "there is no file in {}", path.display());
            sources.extend(files.into_iter().map(Source::File));
        } else {
            sources.push(Source::new(path));
        }
    }
    Ok(sources)
}

fn files_below(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        let unreadable = || format!("cannot read the folder {}", folder.display());
        for entry in fs::read_dir(&folder).with_context(unreadable)? {
            let entry = entry.with_context(unreadable)?;
            let path = entry.path();
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            if entry.file_type().with_context(unreadable)?.is_dir() {
                folders.push(path);
                continue;
            }
            ensure!(
                path.is_file(),
                "{} is neither a file nor a folder; name what is to be imported one by one",
                path.display()
            );
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn names(paths: &[&Path]) -> Result<Vec<String>, String> {
        let paths: Vec<PathBuf> = paths.iter().map(|path| (*path).to_owned()).collect();
        let sources = sources(&paths).map_err(|error| error.to_string())?;
        Ok(sources.iter().map(Source::display).collect())
    }

    #[test]
    fn a_folder_stands_for_the_files_in_it_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("2024/05")).unwrap();
        fs::create_dir(at(".git")).unwrap();
        for name in [
            "b.csv",
            "2024/05/2.json.gz",
            "2024/05/1.json.gz",
            ".DS_Store",
            ".git/HEAD",
        ] {
            fs::write(at(name), "").unwrap();
        }
        symlink(at("b.csv"), at("c.csv")).unwrap();
        let found = names(&[Path::new("first.csv"), folder.path(), Path::new("-")]).unwrap();
        let shown = |name: &str| at(name).display().to_string();
        let files = ["2024/05/1.json.gz", "2024/05/2.json.gz", "b.csv", "c.csv"].map(shown);
        assert_eq!(found[0], "first.csv", "whether it is there is told when it is read");
        assert_eq!(found[1..5], files);
        assert_eq!(found[5..], ["stdin"]);
    }

    #[test]
    fn what_a_folder_does_not_have_or_only_links_to_is_told() {
        let folder = tempfile::tempdir().unwrap();
        assert!(names(&[folder.path()]).unwrap_err().starts_with("there is no file in "));
        symlink(folder.path(), folder.path().join("circle")).unwrap();
        let error = names(&[folder.path()]).unwrap_err();
        assert!(error.contains("circle is neither a file nor a folder"), "{error}");
    }
}
