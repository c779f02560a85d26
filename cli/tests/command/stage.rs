//! A folder with files, and the command in it.

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Output, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

/// A folder of its own.
pub(crate) struct Stage {
    home: TempDir,
}

/// How a command ended.
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Stage {
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let stage = Self {
            home: tempfile::tempdir().unwrap(),
        };
        for (name, text) in files {
            stage.write(name, text.as_bytes());
        }
        stage
    }

    pub(crate) fn path(&self) -> &Path {
        self.home.path()
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.home.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        self.run_with(arguments, &[], "")
    }

    /// In a folder below.
    pub(crate) fn run_in(&self, folder: &str, arguments: &[&str]) -> Ended {
        ended(command(&self.home.path().join(folder), arguments), "")
    }

    pub(crate) fn run_with(&self, arguments: &[&str], variables: &[(&str, &str)], input: &str) -> Ended {
        let mut command = command(self.home.path(), arguments);
        command.envs(variables.iter().copied());
        ended(command, input)
    }

    /// The findings of `check`, as JSON has them.
    pub(crate) fn findings(&self, arguments: &[&str]) -> Vec<Value> {
        let arguments: Vec<_> = ["check", "--format", "json"]
            .into_iter()
            .chain(arguments.iter().copied())
            .collect();
        let ended = self.run(&arguments);
        let report: Value = serde_json::from_str(&ended.out).unwrap_or_else(|error| panic!("{error}: {}", ended.out));
        report["findings"].as_array().unwrap().clone()
    }

    /// The same, as `CODE line:column text of the file`.
    pub(crate) fn said(&self, arguments: &[&str]) -> Vec<String> {
        self.findings(arguments)
            .iter()
            .map(|finding| self.shown(finding))
            .collect()
    }

    fn shown(&self, finding: &Value) -> String {
        let place = &finding["place"];
        let text = fs::read(self.home.path().join(place["file"].as_str().unwrap())).unwrap();
        let [start, end] =
            ["start_byte", "end_byte"].map(|name| usize::try_from(place[name].as_u64().unwrap()).unwrap());
        format!(
            "{} {}:{} {}",
            finding["code"].as_str().unwrap(),
            place["line"],
            place["column"],
            String::from_utf8_lossy(&text[start..end])
                .lines()
                .next()
                .unwrap_or_default()
        )
    }
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_svidgate"));
    command
        .args(arguments)
        .current_dir(folder)
        .env_remove("GITHUB_STEP_SUMMARY")
        .env_remove("NO_COLOR");
    command
}

fn ended(mut command: Command, input: &str) -> Ended {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // One that does not read it has closed it.
    let _closed = child.stdin.take().unwrap().write_all(input.as_bytes());
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    Ended {
        code: status.code().expect("the command ended by itself"),
        out: String::from_utf8(stdout).unwrap(),
        err: String::from_utf8(stderr).unwrap(),
    }
}
