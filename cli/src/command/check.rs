//! `svidgate check`: is anything wrong, or probably not meant?

use std::path::{Path, PathBuf};

use clap::Args;

use crate::{
    exit::Exit,
    finding::{Finding, Level},
    input::{compiled::compile, load::load},
    options::{Moment, Output, ReportFormat},
    report::{Format, Report, counted, step_summary},
};

/// Reads policies, alone or in what carries them, and says what is wrong in them.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  svidgate check policy.yaml
  svidgate check -r deploy/ --format github --fail-on warning")]
pub struct Arguments {
    /// Policies, or what carries them: Envoy configurations and dumps, resources of Istio and Envoy Gateway. FILE#NAME is one of
    /// several, `-` standard input.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Read the files of folders, and of those in them.
    #[arg(short, long)]
    pub recursive: bool,
    /// From which level on the answer is no.
    #[arg(long, value_enum, default_value_t = Level::Error, value_name = "LEVEL")]
    pub fail_on: Level,
    /// The least level that is shown.
    #[arg(long, value_enum, default_value_t = Level::Note)]
    pub level: Level,
    #[command(flatten)]
    moment: Moment,
    #[command(flatten)]
    format: ReportFormat,
    #[command(flatten)]
    output: Output,
}

/// Checks.
pub fn run(arguments: &Arguments) -> Exit {
    let terminal = arguments.output.terminal();
    let loaded = load(&arguments.files, arguments.recursive);
    for trouble in &loaded.troubles {
        terminal.trouble(format_args!("{}: {}", trouble.path.display(), trouble.what));
    }
    let (mut findings, mut rules) = (loaded.findings, 0usize);
    for document in &loaded.documents {
        match compile(document) {
            Ok(policy) => rules = rules.saturating_add(policy.configuration().rules.len()),
            Err(mistakes) => findings.extend(mistakes),
        }
    }
    findings.sort_by(Finding::order);
    findings.retain(|finding| finding.level >= arguments.level.min(arguments.fail_on));
    let report = Report {
        command: "check",
        files: loaded.sources.iter().map(|source| source.name().to_owned()).collect(),
        findings,
        counted: vec![counted(loaded.documents.len(), "document"), counted(rules, "rule")],
        fail_on: Some(arguments.fail_on),
    };
    terminal.print(report.render(arguments.format.format));
    if arguments.format.format == Format::Github
        && let Some(file) = std::env::var_os("GITHUB_STEP_SUMMARY")
        && let Err(error) = step_summary(&report.render(Format::Markdown), Path::new(&file))
    {
        terminal.trouble(format_args!("{}: {error}", Path::new(&file).display()));
    }
    if loaded.troubles.is_empty() {
        arguments.output.exit(report.exit())
    } else {
        Exit::BadInput
    }
}
