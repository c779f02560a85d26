//! What was measured, as a table for people and as JSON, with what is needed to judge it: date, machine, versions.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path, process::Command, thread};

use engine::{Engine as _, casbin::CasbinCached, svidgate::Svidgate, workload::SIZES};
use serde_json::{Value, json};
use svidgate_policy::Timestamp;

use crate::{
    beside::{ROUTES, Tried, USUAL},
    growth::Growth,
};

/// One case, in nanoseconds.
struct Row {
    group: String,
    case: String,
    /// Where the case does not depend on it, none.
    rules: Option<usize>,
    median: f64,
    /// The 95 % confidence interval of the median.
    low: f64,
    high: f64,
}

/// Everything that one run measured.
struct Run<'r> {
    rows: Vec<Row>,
    tried: &'r [Tried],
    growth: &'r [Growth],
    rounds: usize,
}

/// Prints the tables and writes `benches/record/engine-latest.md` and `.json`.
pub(crate) fn write(measured: &Path, tried: &[Tried], growth: &[Growth], rounds: usize) {
    let mut rows = Vec::new();
    collect(measured, &mut rows);
    let run = Run {
        rows,
        tried,
        growth,
        rounds,
    };
    let (machine, versions) = (machine(), versions());
    let text = run.markdown(&machine, &versions);
    println!("\n{text}");
    let record = Path::new(env!("CARGO_MANIFEST_DIR")).join("record");
    fs::create_dir_all(&record).expect("a directory for records");
    fs::write(record.join("engine-latest.md"), text).expect("the record can be written");
    let json = format!("{:#}\n", run.json(&machine, &versions));
    fs::write(record.join("engine-latest.json"), json).expect("the record can be written");
}

/// Finds what Criterion left behind, below any directory.
fn collect(directory: &Path, rows: &mut Vec<Row>) {
    let mut entries: Vec<_> = fs::read_dir(directory)
        .expect("a directory")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    entries.sort();
    for path in entries.iter().filter(|path| path.is_dir()) {
        if path.join("benchmark.json").exists() {
            rows.push(row(path));
        } else {
            collect(path, rows);
        }
    }
}

fn read(path: &Path) -> Value {
    let text = fs::read_to_string(path).expect("what Criterion wrote");
    serde_json::from_str(&text).expect("JSON")
}

fn row(directory: &Path) -> Row {
    let (benchmark, estimates) = (
        read(&directory.join("benchmark.json")),
        read(&directory.join("estimates.json")),
    );
    let text = |name: &str| benchmark[name].as_str().unwrap_or_default().to_owned();
    let median = &estimates["median"];
    let nanos = |value: &Value| value.as_f64().expect("a number");
    Row {
        group: text("group_id"),
        case: text("function_id"),
        rules: text("value_str").parse().ok(),
        median: nanos(&median["point_estimate"]),
        low: nanos(&median["confidence_interval"]["lower_bound"]),
        high: nanos(&median["confidence_interval"]["upper_bound"]),
    }
}

fn first_line(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.map_or_else(
        |_| String::new(),
        |output| String::from_utf8_lossy(&output.stdout).into_owned(),
    );
    text.lines().next().unwrap_or_default().to_owned()
}

fn machine() -> BTreeMap<&'static str, String> {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    BTreeMap::from([
        (
            "cores",
            thread::available_parallelism().map_or(0, usize::from).to_string(),
        ),
        ("cpu", model.map_or("unknown", |(_, model)| model).to_owned()),
        (
            "load at the end, one minute",
            load.split(' ').next().unwrap_or_default().to_owned(),
        ),
        ("system", system()),
    ])
}

/// Without what a distribution or a machine adds to its version.
fn system() -> String {
    let whole = first_line("uname", &["-sr"]);
    whole.split('-').next().unwrap_or_default().to_owned()
}

fn versions() -> BTreeMap<&'static str, String> {
    let lock = include_str!("../../Cargo.lock");
    let version = |name: &str| {
        let package = lock
            .split("[[package]]\n")
            .find(|text| text.starts_with(&format!("name = \"{name}\"\n")));
        let version = package.and_then(|text| text.split('"').nth(3));
        version.unwrap_or("unknown").to_owned()
    };
    let mut versions: BTreeMap<_, _> = ["cedar-policy", "regorus", "casbin", "criterion"]
        .map(|name| (name, version(name)))
        .into();
    versions.insert("rustc", first_line("rustc", &["--version"]));
    versions.insert("svidgate", first_line("git", &["describe", "--always", "--dirty"]));
    versions
}

/// Three digits, and the unit that makes them readable.
fn shown(nanos: f64) -> String {
    let (value, unit) = match nanos {
        ..1e3 => (nanos, "ns"),
        ..1e6 => (nanos / 1e3, "us"),
        ..1e9 => (nanos / 1e6, "ms"),
        _ => (nanos / 1e9, "s"),
    };
    let digits = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.digits$} {unit}")
}

/// A number that this issue asks for, and what was measured.
struct Target {
    what: &'static str,
    wanted: &'static str,
    measured: String,
    is_met: bool,
}

impl Run<'_> {
    fn median(&self, group: &str, case: &str, rules: Option<usize>) -> Option<f64> {
        let wanted = |row: &&Row| row.group == group && row.case == case && row.rules == rules;
        self.rows.iter().find(wanted).map(|row| row.median)
    }

    /// The cases of a group, in the order of the alphabet.
    fn cases(&self, group: &str) -> Vec<&str> {
        let mut cases: Vec<&str> = Vec::new();
        for row in self.rows.iter().filter(|row| row.group == group) {
            if !cases.contains(&row.case.as_str()) {
                cases.push(&row.case);
            }
        }
        cases
    }

    /// The engine that comes next after ours. An answer that was remembered is not a decision.
    fn fastest_other(&self, rules: usize) -> Option<(&str, f64)> {
        let ours = Svidgate::NAME;
        let others = self
            .cases(USUAL)
            .into_iter()
            .filter(|case| !case.starts_with(ours) && *case != CasbinCached::NAME);
        let medians = others.filter_map(|case| Some((case, self.median(USUAL, case, Some(rules))?)));
        medians.min_by(|(_, one), (_, two)| one.total_cmp(two))
    }

    fn targets(&self) -> Vec<Target> {
        let [_, _, largest] = SIZES;
        let usual = "usual: ten rules";
        let mut targets = Vec::new();
        let mut add = |what, wanted, measured, is_met| {
            targets.push(Target {
                what,
                wanted,
                measured,
                is_met,
            });
        };
        let decide = self.median("decide", usual, Some(largest));
        if let Some(nanos) = decide {
            add(
                "`decide` at 100,000 rules",
                "at most 300 ns",
                shown(nanos),
                nanos <= 300.0,
            );
        }
        add(
            "allocations of `decide` and `admit`",
            "none",
            "none (a test)".to_owned(),
            true,
        );
        let beside = self.median(USUAL, Svidgate::NAME, Some(largest));
        if let Some((nanos, (name, other))) = beside.zip(self.fastest_other(largest)) {
            let times = other / nanos;
            let measured = format!("{times:.0} times ({name}: {})", shown(other));
            add(
                "`decide` beside the fastest other engine, 100,000 rules",
                "at least 20 times",
                measured,
                times >= 20.0,
            );
        }
        for Growth { workload, ratio } in self.growth {
            let what = if *workload == usual {
                "`decide`, growth from 10 to 100,000 rules"
            } else {
                "`decide`, growth from 10 to 100,000 routes under one prefix"
            };
            add(what, "at most 1.5 times", format!("{ratio:.2} times"), *ratio <= 1.5);
        }
        if let Some(nanos) = self.median("compile", "usual", Some(largest)) {
            add(
                "compile of 100,000 rules",
                "at most 500 ms",
                shown(nanos),
                nanos <= 500e6,
            );
        }
        let specialise = SIZES
            .into_iter()
            .filter_map(|size| self.median("specialise", usual, Some(size)));
        let most = specialise.fold(0.0, f64::max);
        add(
            "specialise for an id that matches ten rules, any size",
            "at most 5 us",
            shown(most),
            most <= 5e3,
        );
        targets
    }

    fn markdown(&self, machine: &BTreeMap<&str, String>, versions: &BTreeMap<&str, String>) -> String {
        let mut text = format!(
            "# The engine alone: `make bench`\n\n{}, {} samples a case, medians.\n\n",
            date(),
            self.rounds
        );
        for (name, value) in machine.iter().chain(versions) {
            let _ = writeln!(text, "* {name}: {value}");
        }
        text.push_str("\n## Against what was asked for\n\n| what | asked for | measured | met |\n|---|---|---|---|\n");
        for target in self.targets() {
            let met = if target.is_met { "yes" } else { "**no**" };
            let _ = writeln!(
                text,
                "| {} | {} | {} | {met} |",
                target.what, target.wanted, target.measured
            );
        }
        text.push_str("\n## A certificate, once a connection\n\n| step | case | median |\n|---|---|---|\n");
        for group in ["parse id", "leaf profile", "verify"] {
            for case in self.cases(group) {
                let median = self.median(group, case, None).map_or_else(String::new, shown);
                let _ = writeln!(text, "| {group} | {case} | {median} |");
            }
        }
        text.push_str("\n## Rules, by their number\n\n| step | case | 10 | 1,000 | 100,000 |\n|---|---|---|---|---|\n");
        for group in ["compile", "specialise", "decide"] {
            for case in self.cases(group) {
                let _ = writeln!(text, "| {group} | {case} | {} |", self.across(group, case));
            }
        }
        text.push_str(BESIDE);
        for (group, title) in [(USUAL, "Usual rules"), (ROUTES, "Routes under one prefix, one caller")] {
            let _ = writeln!(
                text,
                "\n### {title}\n\n| engine | 10 | 1,000 | 100,000 | ready at 100,000 |\n|---|---|---|---|---|"
            );
            for engine in self.engines(group) {
                let ready = self.ready(group, engine);
                let _ = writeln!(text, "| {engine} | {} | {ready} |", self.across(group, engine));
            }
        }
        text
    }

    /// All engines that were tried, in the order of the trial.
    fn engines(&self, group: &str) -> Vec<&'static str> {
        let of_group = self
            .tried
            .iter()
            .filter(|tried| tried.workload == group && tried.size == SIZES[0]);
        of_group.map(|tried| tried.engine).collect()
    }

    fn ready(&self, group: &str, engine: &str) -> String {
        let [_, _, largest] = SIZES;
        let wanted = |tried: &&Tried| tried.workload == group && tried.size == largest && tried.engine == engine;
        let tried = self.tried.iter().find(wanted);
        tried.map_or_else(String::new, |tried| {
            tried
                .ready
                .map_or_else(|| "not within 60 s".to_owned(), |took| shown(took.as_secs_f64() * 1e9))
        })
    }

    fn across(&self, group: &str, case: &str) -> String {
        let medians = SIZES.map(|size| {
            self.median(group, case, Some(size))
                .map_or_else(|| "-".to_owned(), shown)
        });
        medians.join(" | ")
    }

    fn json(&self, machine: &BTreeMap<&str, String>, versions: &BTreeMap<&str, String>) -> Value {
        let rows = self.rows.iter().map(|row| {
            json!({
                "group": row.group, "case": row.case, "rules": row.rules,
                "median_ns": row.median, "low_ns": row.low, "high_ns": row.high,
            })
        });
        let ready = self.tried.iter().map(|tried| {
            json!({
                "workload": tried.workload, "engine": tried.engine, "rules": tried.size,
                "ready_s": tried.ready.map(|took| took.as_secs_f64()),
            })
        });
        let targets = self.targets().into_iter().map(|target| {
            json!({
                "what": target.what, "asked_for": target.wanted, "measured": target.measured, "met": target.is_met,
            })
        });
        let growth = self
            .growth
            .iter()
            .map(|growth| json!({ "workload": growth.workload, "ratio": growth.ratio }));
        json!({
            "date": date(),
            "rounds": self.rounds,
            "machine": machine,
            "versions": versions,
            "targets": targets.collect::<Vec<_>>(),
            "rows": rows.collect::<Vec<_>>(),
            "growth": growth.collect::<Vec<_>>(),
            "ready": ready.collect::<Vec<_>>(),
        })
    }
}

fn date() -> String {
    let now = Timestamp::now().to_string();
    now.split('T').next().unwrap_or_default().to_owned()
}

const BESIDE: &str = "
## Beside other engines

The same rules, the same requests, the same answers (`benches/tests/agreement.rs`), one decision. Requests and entities of
the other engines are made beforehand and not measured. Our grants are made when a connection is; the second row makes
them anew for every request. \"Ready\" is the time from the rules to the first answer, in a process of its own; the rules
are written out in the engine's language and read from there.
";
