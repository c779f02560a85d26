//! `svidgate guard`: where does the gate stand in an Envoy, and where does it not?

use std::path::{Path, PathBuf};

use clap::Args;

use crate::{
    exit::Exit,
    finding::Level,
    guard::{
        admin::Admin,
        at_work::{Statistics, judge},
        expect::Expected,
        findings::findings,
        json, markdown,
        read::read,
        remark::Verdict,
        report::{Report, Scope},
        text,
    },
    input::files,
    options::{Output, ReportFormat},
    report::{Format, Report as Findings, step_summary},
    terminal::Terminal,
};

/// Judges each way into an Envoy: listener, filter chain, route. Each is guarded, shut (nobody gets through), not guarded, or not
/// known. A file or a dump shows what is configured; --admin also asks the running Envoy what is at work.
///
/// Ends with 0 where every door is guarded or shut, 1 where one is not guarded, 4 where one is not known.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  curl -s localhost:9901/config_dump | svidgate guard -
  svidgate guard --admin http://127.0.0.1:9901 --expect expected.yaml")]
pub struct Arguments {
    /// The /config_dump of an Envoy, or the configuration that one starts with; `-` is standard input.
    #[arg(value_name = "FILE", required_unless_present = "admin", conflicts_with = "admin")]
    pub file: Option<PathBuf>,
    /// Ask the running Envoy at this address of loopback, like http://127.0.0.1:9901: what it has, and what is at work.
    #[arg(long, value_name = "URL")]
    pub admin: Option<String>,
    /// Which document each listener is to have, or why one needs no guard: a file like
    /// `listeners: { web: { version: "2" }, metrics: { unguarded: only Prometheus gets there } }`.
    #[arg(long, value_name = "FILE")]
    pub expect: Option<PathBuf>,
    /// Judge listeners with `traffic_direction: OUTBOUND`, too.
    #[arg(long)]
    pub outbound: bool,
    #[command(flatten)]
    format: ReportFormat,
    #[command(flatten)]
    output: Output,
}

/// Judges.
pub fn run(arguments: &Arguments) -> Exit {
    let terminal = arguments.output.terminal();
    match judged(arguments) {
        Ok(report) => {
            show(&report, arguments, terminal);
            arguments.output.exit(exit(&report))
        }
        Err(trouble) => {
            terminal.trouble(trouble);
            Exit::BadInput
        }
    }
}

fn judged(arguments: &Arguments) -> Result<Report, String> {
    let scope = Scope {
        outbound: arguments.outbound,
    };
    let expected = arguments.expect.as_deref().map(expected).transpose()?;
    let mut report = match (&arguments.admin, &arguments.file) {
        (Some(url), _) => of_running(url, scope)?,
        (None, Some(file)) => of_file(file, scope)?,
        (None, None) => return Err("give a file, or --admin".to_owned()),
    };
    if let Some(expected) = expected {
        expected.judge(&mut report);
    }
    Ok(report)
}

fn of_file(file: &Path, scope: Scope) -> Result<Report, String> {
    Report::of(&value(file)?, scope).map_err(|error| format!("{}: {error}", files::shown(file)))
}

fn of_running(url: &str, scope: Scope) -> Result<Report, String> {
    let admin = Admin::parse(url)?;
    let at = |error: String| format!("{url}: {error}");
    let dump = read(&admin.get("/config_dump?include_eds")?).map_err(at)?;
    let server = read(&admin.get("/server_info")?).map_err(at)?;
    let statistics = Statistics::parse(&admin.get("/stats?usedonly")?);
    let mut report = Report::of(&dump, scope).map_err(at)?;
    let state = server
        .get("state")
        .and_then(serde_json::Value::as_str)
        .unwrap_or("not told");
    judge(&mut report, state, &statistics);
    Ok(report)
}

fn expected(file: &Path) -> Result<Expected, String> {
    Expected::read(&value(file)?).map_err(|error| format!("{}: {error}", files::shown(file)))
}

fn value(file: &Path) -> Result<serde_json::Value, String> {
    let shown = files::shown(file);
    let bytes = files::read(file).map_err(|trouble| format!("{shown}: {}", trouble.what))?;
    let text = String::from_utf8(bytes).map_err(|_| format!("{shown}: it is not UTF-8"))?;
    read(&text).map_err(|error| format!("{shown}: {error}"))
}

/// What the verdict says to a shell: an open door is a certain no.
fn exit(report: &Report) -> Exit {
    match report.verdict() {
        Verdict::Guarded | Verdict::Shut => Exit::Yes,
        Verdict::NotKnown => Exit::Undecided,
        Verdict::Open => Exit::No,
    }
}

fn show(report: &Report, arguments: &Arguments, terminal: Terminal) {
    let format = arguments.format.format;
    let shared = || Findings {
        command: "guard",
        files: arguments
            .file
            .iter()
            .map(|file| files::shown(file))
            .chain(arguments.admin.clone())
            .collect(),
        findings: findings(report),
        counted: vec![crate::report::counted(report.doors.len(), "door")],
        fail_on: Some(Level::Error),
    };
    terminal.print(match format {
        Format::Text => text::render(report),
        Format::Json => json::render(report),
        Format::Markdown => markdown::render(report),
        Format::Junit | Format::Sarif | Format::Github => shared().render(format),
    });
    if format == Format::Github
        && let Some(file) = std::env::var_os("GITHUB_STEP_SUMMARY")
        && let Err(error) = step_summary(&markdown::render(report), Path::new(&file))
    {
        terminal.trouble(format_args!("{}: {error}", Path::new(&file).display()));
    }
}
