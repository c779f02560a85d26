//! A real Envoy, started for one test and gone with it.
//!
//! ```
//! # async fn example(server: support::ca::Identity, upstream: std::net::SocketAddr) {
//! use support::envoy::{ClientCertificate, Cluster, Envoy, Listener, Route, Scenario};
//!
//! let listener = Listener::http("web", [Route::to("all", "/", "app")])
//!     .tls(&server, ClientCertificate::AcceptUntrusted);
//! let envoy = Envoy::start(Scenario::of(listener, [Cluster::new("app", upstream)])).await;
//! let addr = envoy.listener_addr("web");
//! # }
//! ```

mod binary;
mod listener;
mod process;
mod scenario;
mod wasm;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use tokio::time::sleep;

use self::listener::{connection_log_path, request_log_path};
use self::process::Process;
use self::scenario::{lds_path, lds_response};
use self::wasm::{Place, ecds_path};
use crate::client::{Connection, Outcome, PATIENCE};

pub use binary::envoy_version;
pub use listener::{
    Action, CERTIFICATE_KEY, ClientCertificate, Dial, Http, Keeping, Kind, Listener, Route, Tcp, Tls, Xfcc,
};
pub use scenario::{CONTROL_PLANE, Cluster, Endpoint, Scenario};
pub use wasm::{Configuration, Delivery, FailurePolicy, Wasm};

/// How long an Envoy may take to start: it compiles the module first.
const START: Duration = Duration::from_secs(60);

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(20);

/// How many lines of the log a failed test prints.
const TAIL: usize = 60;

/// What `envoy --mode validate` makes of a configuration in YAML: its exit code, and what it says.
///
/// # Panics
/// When there is no Envoy.
pub fn validate(yaml: &str) -> (Option<i32>, String) {
    let home = tempfile::tempdir().expect("a temporary directory");
    let path = home.path().join("bootstrap.yaml");
    fs::write(&path, yaml).expect("the bootstrap is written");
    let output = Command::new(binary::binary())
        .args(["--mode", "validate", "--log-level", "error", "--config-path"])
        .arg(path)
        .output()
        .expect("Envoy runs");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

/// A running Envoy. Dropping it ends it; a test that fails prints the end of its log.
#[derive(Debug)]
pub struct Envoy {
    // Before `home`, so that the process ends before its directory goes.
    process: Process,
    admin: SocketAddr,
    listeners: HashMap<String, SocketAddr>,
    discovered: Vec<(Place, Wasm)>,
    /// The version of the next file of discovery.
    version: AtomicU64,
    home: TempDir,
}

impl Envoy {
    /// Starts Envoy and waits until it is live.
    ///
    /// # Panics
    /// With the end of its log, when it does not become live; with what to do, when there is no Envoy.
    pub async fn start(scenario: Scenario) -> Self {
        Envoy::try_start(scenario)
            .await
            .unwrap_or_else(|log| panic!("Envoy did not start:\n{}", tail(&log)))
    }

    /// Starts Envoy and waits until it is live.
    ///
    /// # Errors
    /// With its whole log, when it does not become live.
    ///
    /// # Panics
    /// With what to do, when there is no Envoy.
    pub async fn try_start(scenario: Scenario) -> Result<Self, String> {
        let home = tempfile::Builder::new()
            .prefix("svidgate-envoy-")
            .tempdir()
            .expect("a temporary directory");
        let discovered: Vec<(Place, Wasm)> = scenario
            .listeners
            .iter()
            .flat_map(Listener::plugins)
            .filter(|(_, wasm)| wasm.delivery == Delivery::Ecds)
            .map(|(place, wasm)| (place, wasm.clone()))
            .collect();
        for (place, wasm) in &discovered {
            write_ecds(home.path(), *place, wasm, 0);
        }
        if scenario.lds {
            write_lds(home.path(), &scenario.listeners, 0);
        }
        let (name, text) = match &scenario.text {
            Some(yaml) => (
                "bootstrap.yaml",
                yaml.replace("${HOME}", &home.path().display().to_string()),
            ),
            None => ("bootstrap.json", scenario.bootstrap(home.path()).to_string()),
        };
        let bootstrap = home.path().join(name);
        fs::write(&bootstrap, text).expect("the bootstrap is written");
        let mut process = Process::spawn(&scenario, &bootstrap, home.path());
        let Some(admin) = wait_until_live(&mut process, home.path()).await else {
            return Err(read_log(home.path()));
        };
        let listeners = listener_addresses(admin)
            .await
            .expect("the admin interface lists listeners");
        Ok(Envoy {
            process,
            admin,
            listeners,
            discovered,
            version: AtomicU64::new(1),
            home,
        })
    }

    /// Where a listener listens.
    ///
    /// # Panics
    /// When there is none of that name.
    pub fn listener_addr(&self, name: &str) -> SocketAddr {
        *self
            .listeners
            .get(name)
            .unwrap_or_else(|| panic!("no listener `{name}`: {:?}", self.listeners))
    }

    /// Where the listeners listen now, by name: one that came after the start, or went and came again, is not in
    /// [`Envoy::listener_addr`]. `None` when Envoy does not answer.
    pub async fn listeners_now(&self) -> Option<HashMap<String, SocketAddr>> {
        listener_addresses(self.admin).await
    }

    /// Where its admin interface listens.
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin
    }

    /// Counters and gauges whose names start with `prefix`.
    pub async fn stats(&self, prefix: &str) -> BTreeMap<String, u64> {
        let text = self.admin("/stats").await;
        let numbers = text.lines().filter_map(|line| line.split_once(": "));
        numbers
            .filter(|(name, _)| name.starts_with(prefix))
            .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
            .collect()
    }

    /// One counter or gauge; 0 when it does not exist yet.
    pub async fn stat(&self, name: &str) -> u64 {
        self.stats(name).await.get(name).copied().unwrap_or(0)
    }

    /// Waits until a counter or gauge has reached `least`.
    ///
    /// # Panics
    /// When it does not.
    pub async fn wait_stat(&self, name: &str, least: u64) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let now = self.stat(name).await;
            if now >= least {
                return;
            }
            assert!(Instant::now() < deadline, "`{name}` is {now}, not yet {least}");
            sleep(POLL).await;
        }
    }

    /// What an admin path answers, where Envoy may have ended: `None` when it does not answer.
    pub async fn try_admin(&self, path: &str) -> Option<String> {
        get_admin(self.admin, path).await
    }

    /// What the admin interface answers to a GET.
    pub async fn admin(&self, path: &str) -> String {
        get_admin(self.admin, path)
            .await
            .unwrap_or_else(|| panic!("no answer of the admin interface to {path}"))
    }

    /// Everything that Envoy and the module have logged.
    pub fn log(&self) -> String {
        read_log(self.home.path())
    }

    /// Waits until the log contains `text`.
    ///
    /// # Panics
    /// When it does not.
    pub async fn wait_log(&self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.log().contains(text) {
            assert!(Instant::now() < deadline, "the log does not say `{text}`");
            sleep(POLL).await;
        }
    }

    /// The decisions that have a line in the log.
    ///
    /// # Panics
    /// When one is not JSON.
    pub fn decisions(&self) -> Vec<Value> {
        let log = self.log();
        let lines = log
            .lines()
            .filter_map(|line| line.split_once("svidgate: decision ")?.1.into());
        lines
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("`{line}` is not JSON: {error}")))
            .collect()
    }

    /// Waits until a decision with all members of `wanted` has its line; gives that.
    ///
    /// # Panics
    /// When there is none.
    pub async fn wait_decision(&self, wanted: &Value) -> Value {
        let has_all = |line: &Value| {
            let wanted = wanted.as_object().expect("an object");
            wanted.iter().all(|(name, value)| line[name] == *value)
        };
        let deadline = Instant::now() + PATIENCE;
        loop {
            let decisions = self.decisions();
            if let Some(found) = decisions.iter().find(|line| has_all(line)) {
                return found.clone();
            }
            assert!(Instant::now() < deadline, "no line has {wanted}: {decisions:#?}");
            sleep(POLL).await;
        }
    }

    /// The access log of the HTTP connection manager: one entry a request.
    pub fn request_log(&self, listener: &str) -> Vec<Value> {
        json_lines(&request_log_path(self.home.path(), listener))
    }

    /// The access log of the listener: one entry a connection, written when it ends.
    pub fn connection_log(&self, listener: &str) -> Vec<Value> {
        json_lines(&connection_log_path(self.home.path(), listener))
    }

    /// Waits until [`Envoy::request_log`] has `count` entries.
    ///
    /// # Panics
    /// When it does not.
    pub async fn wait_request_log(&self, listener: &str, count: usize) -> Vec<Value> {
        wait_lines(&request_log_path(self.home.path(), listener), count).await
    }

    /// Waits until [`Envoy::connection_log`] has `count` entries.
    ///
    /// # Panics
    /// When it does not.
    pub async fn wait_connection_log(&self, listener: &str, count: usize) -> Vec<Value> {
        wait_lines(&connection_log_path(self.home.path(), listener), count).await
    }

    /// Replaces the configuration of a filter that is delivered by discovery, and returns before Envoy has read it:
    /// wait for what the new one does, or for a counter under `extension_config_discovery`.
    ///
    /// # Panics
    /// When no filter of that name is delivered by discovery.
    pub fn replace_ecds(&self, filter: &str, configuration: Configuration) {
        let (place, wasm) = self
            .discovered
            .iter()
            .find(|(place, _)| place.filter_name() == filter)
            .unwrap_or_else(|| panic!("no filter `{filter}` is delivered by discovery"));
        let wasm = Wasm {
            configuration,
            ..wasm.clone()
        };
        write_ecds(
            self.home.path(),
            *place,
            &wasm,
            self.version.fetch_add(1, Ordering::SeqCst),
        );
    }

    /// Replaces all listeners of a scenario with [`Scenario::lds`], and returns before Envoy has read it: wait for a
    /// counter under `listener_manager.lds`. One that is not there any more is removed.
    pub fn replace_listeners(&self, listeners: &[Listener]) {
        write_lds(self.home.path(), listeners, self.version.fetch_add(1, Ordering::SeqCst));
    }

    /// How its process ended, where it has.
    pub fn exit(&mut self) -> Option<ExitStatus> {
        self.process.exit()
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The directory of its files, gone with it.
    pub fn home(&self) -> &Path {
        self.home.path()
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the last of Envoy's log\n{}", tail(&self.log()));
        }
    }
}

async fn wait_until_live(process: &mut Process, home: &Path) -> Option<SocketAddr> {
    let deadline = Instant::now() + START;
    while Instant::now() < deadline && process.is_running() {
        let admin = fs::read_to_string(process::admin_path(home))
            .ok()
            .and_then(|text| text.trim().parse().ok());
        if let Some(admin) = admin
            && get_admin(admin, "/ready")
                .await
                .is_some_and(|body| body.trim() == "LIVE")
        {
            return Some(admin);
        }
        sleep(POLL).await;
    }
    None
}

async fn get_admin(admin: SocketAddr, path: &str) -> Option<String> {
    let mut http = Connection::plain(admin).await.ok()?.http1().await.ok()?;
    match http.get(path).await {
        Outcome::Response(response) => Some(response.text()),
        Outcome::Refused(_) => None,
    }
}

async fn listener_addresses(admin: SocketAddr) -> Option<HashMap<String, SocketAddr>> {
    let text = get_admin(admin, "/listeners?format=json").await?;
    let listeners: Value = serde_json::from_str(&text).expect("the list of listeners is JSON");
    let statuses = listeners["listener_statuses"].as_array().cloned().unwrap_or_default();
    let addresses = statuses
        .iter()
        // One that other listeners of the same Envoy lead to has none.
        .filter(|status| !status["local_address"]["socket_address"].is_null())
        .map(|status| {
            let address = &status["local_address"]["socket_address"];
            let (ip, port) = (address["address"].as_str().unwrap_or_default(), &address["port_value"]);
            let addr = format!("{ip}:{port}").parse().expect("a listener has an address");
            (status["name"].as_str().unwrap_or_default().to_owned(), addr)
        })
        .collect();
    Some(addresses)
}

/// Writes beside and renames: Envoy reads a file of discovery when it is moved into place.
fn write_ecds(home: &Path, place: Place, wasm: &Wasm, version: u64) {
    let path = ecds_path(home, place.filter_name());
    move_into_place(&path, &wasm.discovery_response(place, version));
}

fn write_lds(home: &Path, listeners: &[Listener], version: u64) {
    move_into_place(&lds_path(home), &lds_response(listeners, home, version));
}

fn move_into_place(path: &Path, discovered: &Value) {
    let fresh = path.with_extension("new");
    fs::write(&fresh, discovered.to_string()).expect("the discovery file is written");
    fs::rename(fresh, path).expect("the discovery file is moved into place");
}

fn read_log(home: &Path) -> String {
    let read = |path: PathBuf| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
    read(process::stderr_path(home)) + &read(process::log_path(home))
}

/// The end of a log, without the long list of extensions that Envoy begins with.
fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().filter(|line| !line.contains("[info][main]")).collect();
    lines[lines.len().saturating_sub(TAIL)..].join("\n")
}

/// The whole lines of an access log.
fn json_lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole
        .lines()
        .map(|line| serde_json::from_str(line).expect("an access log line is JSON"))
        .collect()
}

async fn wait_lines(path: &Path, count: usize) -> Vec<Value> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let lines = json_lines(path);
        if lines.len() >= count {
            return lines;
        }
        assert!(
            Instant::now() < deadline,
            "{} of {count} entries in {}: {lines:#?}",
            lines.len(),
            path.display()
        );
        sleep(POLL).await;
    }
}
