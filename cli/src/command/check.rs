//! `svidgate check`: is anything wrong, or probably not meant?

use std::path::{Path, PathBuf};

use clap::Args;

use crate::{
    codes::rules as codes,
    exit::Exit,
    finding::{Finding, Level},
    input::{
        compiled::compile,
        files::{Trouble, read_text, shown},
        load::load,
    },
    lint::{lint, read_known},
    options::{Moment, Output, ReportFormat},
    report::{Format, Report, counted, step_summary},
    source::Source,
    suppression::{apply, in_comments, read_list},
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
    /// Ids that there are: `spire-server entry show -output json`, or a list. Patterns that match none are found, and ids
    /// without a grant.
    #[arg(long, value_name = "FILE")]
    pub known: Option<PathBuf>,
    /// What is borne, with reasons, where a comment cannot say it: `allow: [ { code, file, place, because } ]`.
    #[arg(long, value_name = "FILE")]
    pub allow: Vec<PathBuf>,
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
    let mut loaded = load(&arguments.files, arguments.recursive);
    let mut troubles = std::mem::take(&mut loaded.troubles);
    let now = arguments.moment.time();
    let known = arguments.known.as_ref().and_then(|path| {
        let read = read_text(path).and_then(|text| {
            let of_file = |what| Trouble {
                path: path.clone(),
                what,
            };
            read_known(&text, now).map_err(of_file)
        });
        read.map_err(|trouble| troubles.push(trouble)).ok()
    });
    let (mut findings, mut rules) = (std::mem::take(&mut loaded.findings), 0usize);
    let mut looked_through = true;
    for document in &loaded.documents {
        match compile(document) {
            Ok(policy) => {
                rules = rules.saturating_add(policy.rule_names().count());
                findings.extend(lint(document, &policy, now, known.as_ref()));
            }
            Err(mistakes) => {
                findings.extend(mistakes);
                looked_through = false;
            }
        }
    }
    let mut suppressions = in_comments(&loaded.trees, &mut findings);
    for path in &arguments.allow {
        match read_text(path) {
            Ok(text) => suppressions.extend(read_list(&Source::new(shown(path), text), &mut findings)),
            Err(trouble) => troubles.push(trouble),
        }
    }
    let borne = apply(&suppressions, &loaded.documents, looked_through, &mut findings);
    findings.sort_by(Finding::order);
    // What makes the answer no is shown in any case.
    findings.retain(|finding| finding.level >= arguments.level.min(arguments.fail_on));
    let mut counts = vec![counted(loaded.documents.len(), "document"), counted(rules, "rule")];
    counts.extend((borne > 0).then(|| format!("{borne} suppressed")));
    let report = Report {
        command: "check",
        files: loaded.sources.iter().map(|source| source.name().to_owned()).collect(),
        findings,
        counted: counts,
        fail_on: Some(arguments.fail_on),
    };
    terminal.print(report.render(arguments.format.format));
    if arguments.format.format == Format::Github
        && let Some(file) = std::env::var_os("GITHUB_STEP_SUMMARY")
        && let Err(error) = step_summary(&report.render(Format::Markdown), Path::new(&file))
    {
        terminal.trouble(format_args!("{}: {error}", Path::new(&file).display()));
    }
    for trouble in &troubles {
        terminal.trouble(format_args!("{}: {}", trouble.path.display(), trouble.what));
    }
    let is_doubtful = report.findings.iter().any(|finding| finding.code == &codes::FAULT);
    if troubles.is_empty() && is_doubtful {
        Exit::Undecided
    } else if troubles.is_empty() {
        arguments.output.exit(report.exit())
    } else {
        Exit::BadInput
    }
}
