//! What every subject needs: the program, a registry on loopback, `skopeo`, and files read back.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::module_path;
use svidgate_image::registry::Repository;
use tempfile::TempDir;

/// How long the registry may take to start.
const START: Duration = Duration::from_secs(30);

/// The version of the module, which is the tag.
pub(crate) const VERSION: &str = "0.1.0";
/// The tag of the Wasm OCI artifact.
pub(crate) const WASM_VERSION: &str = "0.1.0-wasm";

/// A registry that holds nothing at first and is gone with the test.
pub(crate) struct Registry {
    process: Child,
    host: String,
    home: TempDir,
}

impl Registry {
    pub(crate) fn start() -> Self {
        let home = temporary();
        let storage = home.path().join("storage");
        let configuration = home.path().join("registry.yml");
        let text = format!(
            "version: 0.1\nlog: {{ level: info }}\nhttp: {{ addr: \"127.0.0.1:0\" }}\n\
             storage: {{ filesystem: {{ rootdirectory: {} }}, delete: {{ enabled: true }} }}\n",
            storage.display()
        );
        fs::write(&configuration, text).unwrap();
        let log = home.path().join("registry.log");
        let errors = File::create(&log).unwrap();
        // Ended by the kernel when the thread of the test ends, however it ends.
        let mut process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--", "docker-registry", "serve"])
            .arg(&configuration)
            .stdout(errors.try_clone().unwrap())
            .stderr(errors)
            .spawn()
            .expect("setpriv of util-linux runs");
        let host = listening(&mut process, &log);
        Registry { process, host, home }
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// `127.0.0.1:PORT/team/svidgate`.
    pub(crate) fn place(&self) -> String {
        format!("{}/team/svidgate", self.host)
    }

    pub(crate) fn repository(&self) -> Repository {
        Repository::new(&self.place()).unwrap()
    }

    /// What `skopeo` calls one of the images.
    pub(crate) fn url(&self, tag: &str) -> String {
        format!("docker://{}:{tag}", self.place())
    }

    /// Where the registry keeps a blob.
    pub(crate) fn blob(&self, digest: &str) -> PathBuf {
        let hash = digest.strip_prefix("sha256:").unwrap();
        let blobs = self.home.path().join("storage/docker/registry/v2/blobs/sha256");
        blobs.join(&hash[..2]).join(hash).join("data")
    }

    /// The images of the module, pushed.
    pub(crate) fn filled() -> Self {
        let registry = Registry::start();
        succeeded(
            program()
                .args(["push", "--module"])
                .arg(module_path())
                .arg(registry.place()),
        );
        registry
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(self.home.path().join("registry.log")).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!(
                "--- the last of the registry's log\n{}",
                lines[lines.len().saturating_sub(20)..].join("\n")
            );
        }
        // Both fail only when it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The registry chooses a port and logs it: `msg="listening on 127.0.0.1:PORT"`.
fn listening(process: &mut Child, log: &Path) -> String {
    let deadline = Instant::now() + START;
    loop {
        let text = fs::read_to_string(log).unwrap_or_default();
        if let Some((_, rest)) = text.split_once("listening on 127.0.0.1:") {
            let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
            return format!("127.0.0.1:{port}");
        }
        let ended = process.try_wait().unwrap();
        assert!(
            ended.is_none() && Instant::now() < deadline,
            "no registry: apt-get install docker-registry skopeo\n{text}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The program under test, run for the workspace of the module.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_svidgate-image"));
    command.arg("--workspace").arg(support::repository());
    command
        .env_remove("SOURCE_DATE_EPOCH")
        .env("COSIGN_PASSWORD", PASSWORD)
        // Nobody's login.
        .env("DOCKER_CONFIG", "/nonexistent");
    command
}

/// The password of every key here.
pub(crate) const PASSWORD: &str = "only for tests";

pub(crate) fn skopeo(arguments: &[&str]) -> Command {
    let mut command = Command::new("skopeo");
    command.args(arguments);
    command
}

/// Runs a command that must succeed; gives what it printed.
pub(crate) fn succeeded(command: &mut Command) -> String {
    let output = run(command);
    assert!(output.status.success(), "{command:?}\n{}", text(&output.stderr));
    text(&output.stdout)
}

/// Runs a command that must fail; gives what it complained about.
pub(crate) fn refused(command: &mut Command) -> String {
    let output = run(command);
    assert!(
        !output.status.success(),
        "{command:?} succeeded: {}",
        text(&output.stdout)
    );
    text(&output.stderr)
}

/// Runs the program, which must fail with one line, and gives it.
pub(crate) fn complaint(command: &mut Command) -> String {
    let said = refused(command);
    let line = said.strip_suffix('\n').unwrap_or(&said);
    assert!(!line.contains('\n'), "more than one line: {said}");
    line.strip_prefix("svidgate-image: ").unwrap_or(line).to_owned()
}

fn run(command: &mut Command) -> Output {
    command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error} (apt-get install docker-registry skopeo)"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A manifest or configuration, as `skopeo` hands it out.
pub(crate) fn inspected(url: &str, what: &str) -> Value {
    let mut arguments = vec!["inspect", what];
    if url.starts_with("docker:") {
        arguments.push("--tls-verify=false");
    }
    arguments.push(url);
    serde_json::from_str(&succeeded(&mut skopeo(&arguments))).unwrap()
}

/// An image, pulled by `skopeo` into a directory: `manifest.json`, and each blob under its hash.
pub(crate) fn pulled(url: &str) -> TempDir {
    let home = temporary();
    let target = format!("dir:{}", home.path().join("image").display());
    succeeded(&mut skopeo(&[
        "copy",
        "--quiet",
        "--src-tls-verify=false",
        url,
        &target,
    ]));
    home
}

/// One blob of what [`pulled`] gives.
pub(crate) fn blob(home: &TempDir, digest: &Value) -> PathBuf {
    let hash = digest.as_str().unwrap().strip_prefix("sha256:").unwrap();
    home.path().join("image").join(hash)
}

/// Unpacks a layer with `tar`; gives the module in it.
pub(crate) fn unpacked(layer: &Path) -> PathBuf {
    let home = layer.parent().unwrap();
    succeeded(Command::new("tar").arg("-xzf").arg(layer).arg("-C").arg(home));
    home.join("plugin.wasm")
}

/// Every file below a directory, with its bytes.
pub(crate) fn files(home: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut directories = vec![home.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else {
                files.insert(path.strip_prefix(home).unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    files
}

pub(crate) fn temporary() -> TempDir {
    tempfile::Builder::new().prefix("svidgate-image-").tempdir().unwrap()
}
