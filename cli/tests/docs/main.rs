//! The sessions of the documentation, run as they stand there.
//!
//! Each page has a folder of its own, and its commands are run one after the other in it. In the folder is what the page
//! shows as files: blocks that begin with `# NAME`. `TRYCMD=overwrite` writes what the commands print now into the pages.

#![allow(clippy::unwrap_used, reason = "a test that meets the unexpected must stop")]

use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// The pages with a session.
const PAGES: [&str; 3] = ["command.md", "first-policy.md", "ci.md"];
/// What the sessions call beside `svidgate`.
const PROGRAMS: [&str; 3] = ["git", "sed", "sh"];

const COMMAND: &str = env!("CARGO_BIN_EXE_svidgate");

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

/// Where programs are, and the command first.
fn folders() -> Vec<PathBuf> {
    let own = Path::new(COMMAND).parent().unwrap().to_owned();
    let paths = env::var_os("PATH").unwrap_or_default();
    [own].into_iter().chain(env::split_paths(&paths)).collect()
}

fn program(name: &str) -> PathBuf {
    let mut places = folders().into_iter().map(|folder| folder.join(name));
    places.find(|path| path.is_file()).unwrap()
}

/// The files that a page shows, by their names.
fn files(page: &str) -> Vec<(&str, String)> {
    let blocks = page.split("\n```yaml\n# ").skip(1);
    let files = blocks.map(|block| {
        let (name, text) = block.split_once('\n').unwrap();
        (name, format!("{}\n", text.split("\n```").next().unwrap()))
    });
    files.collect()
}

fn run(page: &str) {
    let home = tempfile::tempdir().unwrap();
    let copy = home.path().join(page);
    let text = fs::read_to_string(docs().join(page)).unwrap();
    fs::write(&copy, &text).unwrap();
    // A folder that the commands may change; nothing is asked of what is left in it.
    for end in ["in", "out"] {
        fs::create_dir(copy.with_extension(end)).unwrap();
    }
    for (name, text) in files(&text) {
        let place = copy.with_extension("in").join(name);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(place, text).unwrap();
    }
    let cases = trycmd::TestCases::new();
    cases
        .case(&copy)
        .register_bin("svidgate", Path::new(COMMAND))
        .register_bins(PROGRAMS.map(|name| (name, program(name))))
        .env("PATH", env::join_paths(folders()).unwrap().to_string_lossy())
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_AUTHOR_NAME", "a")
        .env("GIT_AUTHOR_EMAIL", "a@example.com")
        .env("GIT_COMMITTER_NAME", "a")
        .env("GIT_COMMITTER_EMAIL", "a@example.com")
        .env("NO_COLOR", "1");
    cases.run();
    if env::var("TRYCMD").is_ok_and(|mode| mode == "overwrite") {
        fs::copy(&copy, docs().join(page)).unwrap();
    }
}

#[test]
fn pages_print_what_the_command_prints() {
    for page in PAGES {
        run(page);
    }
}

/// A page without a session would hold nothing.
#[test]
fn every_page_has_a_session() {
    for page in PAGES {
        let text = fs::read_to_string(docs().join(page)).unwrap();
        assert!(text.matches("\n$ svidgate ").count() >= 3, "{page}");
    }
}
