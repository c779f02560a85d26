//! `svidgate diff`: who gains what, and who loses what, by another policy?

use std::path::{Path, PathBuf};

use clap::Args;
use svidgate_policy::analysis::{Bounds, compare};

use crate::{
    command::policy::not_read,
    comparing::{
        expected::Awaited,
        findings::{files, findings},
        json::json,
        pair::{Found, Pair, of_files, since},
        text::{markdown, narrow, text},
        verdict::{Compared, FailOn, exit},
    },
    exit::Exit,
    finding::{Finding, Level},
    options::{Moment, Output, ReportFormat},
    report::{Format, Report, counted, step_summary},
    terminal::Terminal,
};

/// Says who gains what and who loses what between two policies, each with a request that both were asked about.
#[derive(Args, Debug)]
#[command(override_usage = "svidgate diff [OPTIONS] <OLD> <NEW>
       svidgate diff [OPTIONS] --git <COMMIT> [FILE]...")]
#[command(after_help = "Examples:
  svidgate diff old.yaml new.yaml --fail-on gains
  svidgate diff --git origin/main --format github
  svidgate diff --git HEAD~1 policy.yaml --expect expected.yaml

A file of expected changes says regions, as a rule does. Any other change makes the answer no:
  gains:
    - from: [ \"spiffe://prod.example/ns/shop/sa/web\" ]
      to: [ { methods: [ POST ], paths: [ \"/orders/**\" ] } ]
  losses: []")]
pub struct Arguments {
    /// The policy as it is, and as it will be. With --git, files that were something else at that commit; without any, all
    /// that changed.
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Compare what is here with what was at a commit: a branch, a tag, HEAD~1.
    #[arg(long, value_name = "COMMIT")]
    pub git: Option<String>,
    /// Changes that are expected. Any other makes the answer no, and so does one of these that is not there.
    #[arg(long, value_name = "FILE")]
    pub expect: Option<PathBuf>,
    /// For which changes the answer is no.
    #[arg(long, value_enum, default_value_t, value_name = "WHICH")]
    pub fail_on: FailOn,
    #[command(flatten)]
    moment: Moment,
    #[command(flatten)]
    format: ReportFormat,
    #[command(flatten)]
    output: Output,
}

/// Compares.
pub fn run(arguments: &Arguments) -> Exit {
    let terminal = arguments.output.terminal();
    let compared = found(arguments, terminal).and_then(|found| {
        let compared = compared(arguments, found.pairs, terminal)?;
        print(arguments, &compared, found.passed_over, terminal);
        Ok(compared)
    });
    match compared {
        Ok(compared) => {
            let exit = arguments.output.exit(exit(&compared, arguments.fail_on));
            // The process ends, and its memory with it: to give back what 100,000 rules have, piece by piece, takes as long
            // as to read them.
            std::mem::forget(compared);
            exit
        }
        Err(exit) => exit,
    }
}

fn found(arguments: &Arguments, terminal: Terminal) -> Result<Found, Exit> {
    let found = match (&arguments.git, arguments.files.as_slice()) {
        (Some(commit), files) => since(commit, files),
        (None, [old, new]) => of_files(old, new).map(|pair| Found {
            pairs: vec![pair],
            passed_over: 0,
        }),
        (None, _) => {
            terminal.trouble("write two policies, OLD and NEW, or --git COMMIT and those that changed since");
            return Err(Exit::BadInput);
        }
    };
    found.map_err(|why| not_read(why, terminal))
}

fn compared(arguments: &Arguments, pairs: Vec<Pair>, terminal: Terminal) -> Result<Vec<Compared>, Exit> {
    let now = arguments.moment.time();
    let Some(expect) = &arguments.expect else {
        let compared = pairs.into_iter().map(|pair| Compared {
            comparison: compare(&pair.old.policy, &pair.new.policy, now, Bounds::default()),
            missing: Vec::new(),
            pair,
        });
        return Ok(compared.collect());
    };
    let [pair] = <[Pair; 1]>::try_from(pairs).map_err(|pairs| {
        let number = pairs.len();
        terminal.trouble(format_args!(
            "--expect is about the changes of one policy, and there are {number} that changed; name one"
        ));
        Exit::BadInput
    })?;
    let (old, new) = (&pair.old.policy, &pair.new.policy);
    let awaited = Awaited::read(expect, old, new).map_err(|troubles| {
        troubles.into_iter().for_each(|what| terminal.trouble(what));
        Exit::BadInput
    })?;
    let comparison = awaited.beyond(old, new, now);
    let missing = awaited.missing(&comparison.in_force, old, new, now);
    Ok(vec![Compared {
        comparison,
        missing,
        pair,
    }])
}

fn print(arguments: &Arguments, all: &[Compared], passed_over: usize, terminal: Terminal) {
    let told = || match (&arguments.git, all) {
        (Some(commit), []) => format!(
            "no policy changed since {commit} ({} that changed and may carry one: none does)\n",
            counted(passed_over, "file")
        ),
        (git, all) => {
            let told = all.iter().map(|one| text(one, git.is_some()));
            told.collect::<Vec<_>>().join("\n")
        }
    };
    let report = || {
        let mut findings: Vec<Finding> = all.iter().flat_map(|one| findings(one, arguments.fail_on)).collect();
        findings.sort_by(Finding::order);
        Report {
            command: "diff",
            files: files(all),
            findings,
            counted: Vec::new(),
            fail_on: Some(Level::Error),
        }
    };
    terminal.print(match arguments.format.format {
        Format::Text => narrow(&told()),
        Format::Json => json(all),
        Format::Markdown => markdown(&told()),
        format @ (Format::Junit | Format::Sarif | Format::Github) => report().render(format),
    });
    if arguments.format.format == Format::Github
        && let Some(file) = std::env::var_os("GITHUB_STEP_SUMMARY")
        && let Err(error) = step_summary(&markdown(&told()), Path::new(&file))
    {
        terminal.trouble(format_args!("{}: {error}", Path::new(&file).display()));
    }
}
