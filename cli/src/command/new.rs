//! `svidgate new`: a policy to begin with, its tests, and what runs both for each pull request.

use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};
use svidgate_policy::TrustDomain;

use crate::{exit::Exit, options::Output};

const POLICY: &str = include_str!("../starting/policy.yaml");
const TESTS: &str = include_str!("../starting/policy.test.yaml");
const GITHUB: &str = include_str!("../starting/github.yaml");
const GITLAB: &str = include_str!("../starting/gitlab.yaml");
/// The trust domain in those files.
const EXAMPLE: &str = "prod.example";

/// Who runs the checks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Ci {
    /// GitHub Actions.
    #[default]
    Github,
    /// GitLab CI.
    Gitlab,
    /// Nobody.
    None,
}

/// Writes a policy to begin with, its tests, and a file for CI. Nothing that is there is overwritten.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  svidgate new policies
  svidgate new . --trust-domain corp.example --ci gitlab")]
pub struct Arguments {
    /// The folder; it is made if it is not there.
    #[arg(value_name = "FOLDER")]
    pub folder: PathBuf,
    /// Your trust domain.
    #[arg(long, default_value = EXAMPLE, value_parser = trust_domain)]
    pub trust_domain: TrustDomain,
    /// Who runs the checks for each change.
    #[arg(long, value_enum, default_value_t)]
    pub ci: Ci,
    #[command(flatten)]
    output: Output,
}

fn trust_domain(text: &str) -> Result<TrustDomain, String> {
    TrustDomain::parse(text).map_err(|error| error.to_string())
}

/// Writes them.
pub fn run(arguments: &Arguments) -> Exit {
    let terminal = arguments.output.terminal();
    let mut files = vec![("policy.yaml", POLICY), ("policy.test.yaml", TESTS)];
    match arguments.ci {
        Ci::Github => files.push((".github/workflows/policy.yaml", GITHUB)),
        Ci::Gitlab => files.push((".gitlab-ci.yml", GITLAB)),
        Ci::None => {}
    }
    let paths: Vec<_> = files.iter().map(|(name, _)| arguments.folder.join(name)).collect();
    // A link that leads nowhere is there, too.
    let present: Vec<_> = paths.iter().filter(|path| path.symlink_metadata().is_ok()).collect();
    if !present.is_empty() {
        for path in present {
            terminal.trouble(format_args!(
                "{}: is there already, so nothing is written",
                path.display()
            ));
        }
        return Exit::BadInput;
    }
    for (path, (_, text)) in paths.iter().zip(&files) {
        let text = text.replace(EXAMPLE, arguments.trust_domain.as_str());
        if let Err(error) = write(path, &text) {
            terminal.trouble(format_args!("{}: {error}", path.display()));
            return Exit::BadInput;
        }
        terminal.print(format_args!(
            "wrote {}\n",
            crate::visible::visible(&path.to_string_lossy())
        ));
    }
    let folder = crate::visible::visible(&arguments.folder.to_string_lossy());
    terminal.print(format_args!(
        "\nnext: svidgate check {folder}/policy.yaml\n      svidgate test {folder}\n"
    ));
    Exit::Yes
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file: File = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(text.as_bytes())
}
