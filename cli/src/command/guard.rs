//! `svidgate guard`: where does the gate stand in an Envoy, and where does it not?

use std::path::{Path, PathBuf};

use clap::Args;

use crate::{
    exit::Exit,
    finding::Level,
    guard::{
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
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
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
    let shown = files::shown(&arguments.file);
    let bytes = files::read(&arguments.file).map_err(|trouble| format!("{shown}: {}", trouble.what))?;
    let text = String::from_utf8(bytes).map_err(|_| format!("{shown}: it is not UTF-8"))?;
    let configuration = read(&text).map_err(|error| format!("{shown}: {error}"))?;
    let scope = Scope {
        outbound: arguments.outbound,
    };
    Report::of(&configuration, scope).map_err(|error| format!("{shown}: {error}"))
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
        files: vec![files::shown(&arguments.file)],
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
