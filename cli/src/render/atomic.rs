//! A file is written whole, or stays as it was.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

/// Writes a file beside and moves it into place: whoever reads sees the old or the new one. Its mode stays; a link stays a link.
///
/// # Errors
/// When it cannot be written; then nothing has changed.
pub fn write(path: &Path, text: &str) -> io::Result<()> {
    let target = match fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
        found => found?,
    };
    let beside = beside(&target)?;
    // Whatever has that name is somebody else's, and stays.
    let file = OpenOptions::new().write(true).create_new(true).open(&beside)?;
    let written = fill(file, &target, text).and_then(|()| fs::rename(&beside, &target));
    if written.is_err() {
        // What is left over is ours; that it cannot be removed says less than why it was not moved.
        let _ = fs::remove_file(&beside);
    }
    written
}

/// A name that nothing has: the process is part of it, and an older one is not overwritten.
fn beside(target: &Path) -> io::Result<PathBuf> {
    let name = target
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "it is no file"))?;
    Ok(target.with_file_name(format!(".{}.svidgate-{}", name.to_string_lossy(), std::process::id())))
}

fn fill(mut file: File, target: &Path, text: &str) -> io::Result<()> {
    file.write_all(text.as_bytes())?;
    if let Ok(metadata) = fs::metadata(target) {
        file.set_permissions(metadata.permissions())?;
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_over_and_an_older_one_is_not_overwritten() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a.yaml");
        write(&path, "one").unwrap();
        write(&path, "two").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
        let beside = beside(&fs::canonicalize(&path).unwrap()).unwrap();
        fs::write(&beside, "somebody's").unwrap();
        assert!(write(&path, "three").is_err());
        assert_eq!(fs::read_to_string(&beside).unwrap(), "somebody's");
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
    }
}
