//! Tables, and where and with what they were measured.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use support::{module_path, repository};

use crate::rounds::{Reached, Rounds, Spread};
use crate::subject::idle_module;

/// One line of a table of requests, as it is kept.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What stood in the listener.
    pub filter: String,
    /// How many rules or policies it had.
    pub rules: Option<usize>,
    /// HTTP/1.1 or HTTP/2; TLS handshakes; a TCP stream.
    pub protocol: String,
    /// CPU time of the Envoy process for each request, connection or MiB.
    pub cpu_us: f64,
    /// What that is more than without a filter.
    pub added_us: f64,
    /// How many times what it is without a filter.
    pub times_none: Spread,
    /// How many a second.
    pub rps: f64,
    /// Half were answered within this.
    pub p50_ms: f64,
    /// 99 in a hundred were.
    pub p99_ms: f64,
    /// The CPU time in each round, in order.
    pub cpu_us_by_round: Rounds,
}

/// A number that was to be reached.
#[derive(Clone, Debug, Serialize)]
pub struct Target {
    /// What was to be.
    pub target: String,
    /// What was measured.
    pub measured: String,
    /// Whether it was reached.
    pub reached: Reached,
}

/// Where and with what something was measured.
pub fn circumstances() -> Value {
    let first = |path: &str, key: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.split_once(':'));
        line.map_or_else(String::new, |(_, value)| value.trim().to_owned())
    };
    let cores = fs::read_to_string("/proc/cpuinfo")
        .unwrap_or_default()
        .matches("processor\t")
        .count();
    let size = |path: PathBuf| fs::metadata(path).map_or(0, |file| file.len());
    json!({
        "date": Timestamp::now().strftime("%Y-%m-%d").to_string(),
        "machine": format!(
            "{}, {cores} cores, {}; Linux {}",
            first("/proc/cpuinfo", "model name"),
            first("/proc/meminfo", "MemTotal"),
            kernel_version(),
        ),
        "load_average": fs::read_to_string("/proc/loadavg").unwrap_or_default().split(' ').take(3).collect::<Vec<_>>().join(" "),
        "envoy": std::env::var("ENVOY_VERSION").unwrap_or_else(|_| "1.40.0".to_owned()),
        "rust": said("rustc", &["--version"]),
        "commit": said("git", &["rev-parse", "--short=12", "HEAD"]),
        "module_bytes": size(module_path()),
        "idle_module_bytes": size(idle_module()),
    })
}

/// Without what a distribution or a machine adds to it.
fn kernel_version() -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let version = release.trim().split('-').next();
    version.unwrap_or_default().to_owned()
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(repository()).output();
    output.map_or_else(
        |_| String::new(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}

/// The circumstances as the head of a page.
pub fn head(title: &str, command: &str, circumstances: &Value) -> String {
    let text = |member: &str| circumstances[member].as_str().unwrap_or_default().to_owned();
    format!(
        "# {title}\n\nWritten by `{command}` on {}. {}. Envoy {}, {}, commit {}. Load average at the start {}.\n",
        text("date"),
        text("machine"),
        text("envoy"),
        text("rust"),
        text("commit"),
        text("load_average"),
    )
}

/// A Markdown table; the first column is text, the others are numbers.
pub fn table(columns: &[&str], rows: &[Vec<String>]) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let names: Vec<String> = columns.iter().map(|&name| name.to_owned()).collect();
    let rule: Vec<String> = (0..columns.len())
        .map(|at| if at == 0 { "---" } else { "---:" }.to_owned())
        .collect();
    let body: String = rows.iter().map(|cells| line(cells)).collect();
    format!("\n{}{}{body}", line(&names), line(&rule))
}

/// The table of what was to be reached.
pub fn targets(targets: &[Target]) -> String {
    let rows = targets.iter().map(|target| {
        let reached = target.reached.as_str().to_owned();
        vec![target.target.clone(), target.measured.clone(), reached]
    });
    table(&["to reach", "measured", "reached"], &rows.collect::<Vec<_>>())
}

/// Writes `benches/record/NAME.md` and `NAME.json`, and prints the page.
///
/// # Panics
/// When they cannot be written.
pub fn write(name: &str, page: &str, json: &Value) {
    let folder = repository().join("benches/record");
    fs::create_dir_all(&folder).expect("a folder for the record");
    fs::write(folder.join(format!("{name}.md")), page).expect("the record is written");
    let text = serde_json::to_string_pretty(json).expect("JSON");
    fs::write(folder.join(format!("{name}.json")), text + "\n").expect("the record is written");
    println!("{page}");
}
