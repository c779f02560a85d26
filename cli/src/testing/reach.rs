//! Which files may a file of tests name?
//!
//! Whoever runs the tests of a pull request lets a stranger name files whose lines stand in messages. So he may name what is
//! his: the files of the repository that the tests are in, or of the folder that was given to the command.

use std::{
    fs,
    path::{Component, Path, PathBuf},
};

/// Folders, links followed.
#[derive(Clone, Debug)]
pub struct Reach {
    /// The folder of the tests.
    folder: PathBuf,
    roots: Vec<PathBuf>,
}

impl Reach {
    /// Of a file of tests that was named, or found in a folder that was. Without a repository, it reaches its own folder.
    ///
    /// # Errors
    /// In words, where it is not there, or is a link that leads out of what it reaches.
    pub fn of(tests: &Path, given: Option<&Path>) -> Result<Self, String> {
        let whole = |path: &Path| fs::canonicalize(path).map_err(|error| error.to_string());
        let folder = match tests.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => whole(parent)?,
            Some(_) | None => whole(Path::new("."))?,
        };
        let repository = folder.ancestors().find(|above| above.join(".git").exists());
        let mut roots = vec![repository.unwrap_or(&folder).to_owned()];
        roots.extend(given.map(whole).transpose()?);
        let reach = Self { folder, roots };
        if reach.has(&whole(tests)?) {
            Ok(reach)
        } else {
            Err(format!("is a link that leads out of {}", reach.shown()))
        }
    }

    /// Whether a file may be named: by what is written, and by where its links lead. A file that may not is not looked for.
    ///
    /// # Errors
    /// In words, where it may not, or is not there.
    pub fn check(&self, named: &str) -> Result<(), String> {
        let refused = || {
            format!(
                "lies outside of {}; a file of tests may name files of its repository, or of a folder that is given to \
                 the command",
                self.shown()
            )
        };
        let written = written(&self.folder, Path::new(named));
        if !written.is_some_and(|written| self.has(&written)) {
            return Err(refused());
        }
        let whole = fs::canonicalize(self.folder.join(named)).map_err(|error| error.to_string())?;
        if self.has(&whole) { Ok(()) } else { Err(refused()) }
    }

    fn has(&self, path: &Path) -> bool {
        self.roots.iter().any(|root| path.starts_with(root))
    }

    fn shown(&self) -> String {
        let shown: Vec<String> = self.roots.iter().map(|root| root.display().to_string()).collect();
        shown.join(" and ")
    }
}

/// A path as it is written, without `.` and `..`. None above the root of all.
fn written(folder: &Path, named: &Path) -> Option<PathBuf> {
    let mut path = PathBuf::new();
    for component in folder.join(named).components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => path.pop().then_some(())?,
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => path.push(component),
        }
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_are_followed_as_they_are_written() {
        let path = |named: &str| written(Path::new("/a/b"), Path::new(named));
        assert_eq!(path("../c"), Some("/a/c".into()));
        assert_eq!(path("x/./../y"), Some("/a/b/y".into()));
        assert_eq!(path("/etc/x"), Some("/etc/x".into()));
        assert_eq!(path("../../../c"), None);
    }
}
