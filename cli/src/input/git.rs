//! What did files say at another point of their history?
//!
//! The program `git` is asked, with commands that change nothing, run no hook and no pager, and fetch nothing. What it prints
//! is bounded, and so is its time.

use std::{
    io::Read,
    path::{Component, Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use crate::input::files::{MAX_FILE_BYTES, has_extension};

/// Longest that one command of git may take. Our decision: reading one object of a large repository from a cold disk takes
/// seconds.
const MAX_TIME: Duration = Duration::from_secs(60);
/// Most bytes of a list of names. Our decision: room for a hundred thousand of a hundred bytes.
const MAX_NAMES_BYTES: u64 = 10 * 1024 * 1024;
/// Longest complaint of git that is passed on, in bytes. Our decision: its first lines say what is wrong.
const MAX_SAID_BYTES: u64 = 4096;

/// One commit of a repository.
#[derive(Clone, Debug)]
pub struct Commit {
    /// As it was asked for: `main`, `HEAD~1`.
    pub written: String,
    id: String,
    /// A folder of the repository.
    folder: PathBuf,
}

impl Commit {
    /// The commit that a name means in the repository of a folder.
    ///
    /// # Errors
    /// In words: without `git`, where there is no repository, and where nothing has that name.
    pub fn find(written: &str, folder: &Path) -> Result<Self, String> {
        // It would be an option.
        if written.starts_with('-') || written.is_empty() {
            return Err(format!("`{written}` is no name of a commit"));
        }
        let inside = git(folder, &["rev-parse", "--is-inside-work-tree"], MAX_SAID_BYTES)?;
        if !inside.is_good {
            return Err(inside.said);
        }
        let commit = format!("{written}^{{commit}}");
        let found = git(folder, &["rev-parse", "--verify", "--quiet", &commit], MAX_SAID_BYTES)?;
        let id = String::from_utf8_lossy(&found.printed).trim().to_owned();
        if !found.is_good || id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(format!(
                "no commit of the name `{written}` is here; where CI fetches one commit alone, let it fetch that one too"
            ));
        }
        Ok(Self {
            written: written.to_owned(),
            id,
            folder: folder.to_owned(),
        })
    }

    /// The same commit for a file: of the repository that the file is in.
    ///
    /// # Errors
    /// As [`Self::find`].
    pub fn of_file(written: &str, file: &Path) -> Result<(Self, String), String> {
        let (folder, name) = place(file);
        Ok((Self::find(written, &folder)?, name))
    }

    /// What a file said, by its name from the folder; `None` where there was none.
    ///
    /// # Errors
    /// In words, where it was no plain file, or had more bytes than a file may have.
    pub fn file(&self, name: &str) -> Result<Option<Vec<u8>>, String> {
        let listed = self.ask(
            &["--literal-pathspecs", "ls-tree", "-l", "-z", &self.id, "--", name],
            MAX_NAMES_BYTES,
        )?;
        let listed = String::from_utf8_lossy(&listed).into_owned();
        // `100644 blob ID    SIZE<tab>NAME<nul>`
        let Some((entry, _)) = listed.split_once('\t') else {
            return Ok(None);
        };
        let mut words = entry.split_whitespace();
        let (Some(mode), Some(_), Some(object), Some(size)) = (words.next(), words.next(), words.next(), words.next())
        else {
            return Err("git says something that is not understood of it".to_owned());
        };
        if !matches!(mode, "100644" | "100755") {
            return Err("was no plain file".to_owned());
        }
        if size.parse::<u64>().is_ok_and(|size| size > MAX_FILE_BYTES) {
            return Err(format!("had more than {MAX_FILE_BYTES} bytes"));
        }
        self.ask(&["cat-file", "blob", object], MAX_FILE_BYTES).map(Some)
    }

    /// The files that may carry a policy and are not what they were, by their paths from here: changed, new, or gone. Those
    /// that git is told to ignore are not among them.
    ///
    /// # Errors
    /// In words, where git cannot say it.
    pub fn changed(&self) -> Result<Vec<PathBuf>, String> {
        let up = self.ask(&["rev-parse", "--show-cdup"], MAX_SAID_BYTES)?;
        let up = PathBuf::from(String::from_utf8_lossy(&up).trim_end_matches('\n'));
        // A file that moved is one that is gone and one that is new: whatever carried it there carries it no more.
        let changed = [
            "diff",
            "--name-only",
            "-z",
            "--no-renames",
            "--no-ext-diff",
            "--no-textconv",
            &self.id,
            "--",
        ];
        let changed = self.ask(&changed, MAX_NAMES_BYTES)?;
        let fresh = [
            "ls-files",
            "-z",
            "--others",
            "--exclude-standard",
            "--full-name",
            "--",
            ":/",
        ];
        let fresh = self.ask(&fresh, MAX_NAMES_BYTES)?;
        let mut names: Vec<String> = Vec::new();
        for list in [changed, fresh] {
            let list = String::from_utf8(list).map_err(|_| "a changed file has a name that is no UTF-8".to_owned())?;
            names.extend(list.split('\0').filter(|name| !name.is_empty()).map(str::to_owned));
        }
        names.sort();
        names.dedup();
        let paths = names.into_iter().map(|name| up.join(name));
        Ok(paths.filter(|path| has_extension(path)).collect())
    }

    fn ask(&self, arguments: &[&str], most: u64) -> Result<Vec<u8>, String> {
        let answer = git(&self.folder, arguments, most)?;
        if answer.is_good {
            Ok(answer.printed)
        } else {
            Err(answer.said)
        }
    }
}

/// The nearest folder above a file that is there, and the file's name from it. A folder may be gone that was there.
fn place(file: &Path) -> (PathBuf, String) {
    let mut folder = file.parent().unwrap_or(Path::new(""));
    while !folder.as_os_str().is_empty() && !folder.is_dir() {
        folder = folder.parent().unwrap_or(Path::new(""));
    }
    let name = file.strip_prefix(folder).unwrap_or(file);
    let name: Vec<_> = name
        .components()
        .filter(|component| !matches!(component, Component::CurDir))
        .map(|component| component.as_os_str().to_string_lossy())
        .collect();
    (folder.to_owned(), name.join("/"))
}

struct Answer {
    is_good: bool,
    printed: Vec<u8>,
    /// What it complains about, in one line.
    said: String,
}

fn git(folder: &Path, arguments: &[&str], most: u64) -> Result<Answer, String> {
    let mut command = Command::new("git");
    command
        // A promised object is not fetched, and no program of a configuration watches files.
        .args(["--no-pager", "-c", "protocol.allow=never", "-c", "core.fsmonitor=false"])
        .args(arguments)
        .env("GIT_NO_LAZY_FETCH", "1")
        .env("GIT_OPTIONAL_LOCKS", "0")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    // The repository is the one that the files are in, also where a hook of another one calls.
    for name in [
        "GIT_DIR",
        "GIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "GIT_PREFIX",
        "GIT_OBJECT_DIRECTORY",
    ] {
        command.env_remove(name);
    }
    if !folder.as_os_str().is_empty() {
        command.current_dir(folder);
    }
    let mut child = command
        .spawn()
        .map_err(|error| format!("the program `git` cannot be started: {error}"))?;
    let printed = gathered(child.stdout.take(), most);
    let complained = gathered(child.stderr.take(), MAX_SAID_BYTES);
    let until = Instant::now().checked_add(MAX_TIME);
    let left = || until.map_or(MAX_TIME, |until| until.saturating_duration_since(Instant::now()));
    let (printed, complained) = match (printed.recv_timeout(left()), complained.recv_timeout(left())) {
        (Ok(printed), Ok(complained)) => (printed, complained),
        (Err(_), _) | (_, Err(_)) => {
            end(&mut child);
            let seconds = MAX_TIME.as_secs();
            return Err(format!("git did not answer within {seconds} s"));
        }
    };
    if u64::try_from(printed.len()).unwrap_or(u64::MAX) > most {
        end(&mut child);
        return Err(format!("git says more than {most} bytes"));
    }
    let status = child.wait().map_err(|error| format!("git: {error}"))?;
    let said = String::from_utf8_lossy(&complained);
    let said = said.lines().next().unwrap_or("no reason is given");
    Ok(Answer {
        is_good: status.success(),
        printed,
        said: format!("git: {}", said.strip_prefix("fatal: ").unwrap_or(said)),
    })
}

/// Reads on one side, so that neither stream keeps the other waiting. One byte too many tells that there are more.
fn gathered(stream: Option<impl Read + Send + 'static>, most: u64) -> mpsc::Receiver<Vec<u8>> {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(stream) = stream {
            // What cannot be read is missing, and the end of the program tells that it failed.
            let _unread = stream.take(most.saturating_add(1)).read_to_end(&mut bytes);
        }
        // Nobody waits for it any more.
        let _gone = send.send(bytes);
    });
    receive
}

fn end(child: &mut Child) {
    let _ended = child.kill();
    let _gone = child.wait();
}
