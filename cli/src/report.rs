//! Findings in the format of whoever reads them.

mod escape;
mod github;
mod json;
mod junit;
mod markdown;
mod outcome;
mod sarif;
mod text;

pub use self::{
    escape::markdown as escape_markdown,
    github::step_summary,
    outcome::{Report, counted},
};

/// A format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people: each finding with its source line.
    #[default]
    Text,
    /// For programs: one object, to which members are only ever added.
    Json,
    /// For CI systems that show tests.
    Junit,
    /// For code scanning; use it with --exit-zero.
    Sarif,
    /// For GitHub Actions: annotations, and a summary where GITHUB_STEP_SUMMARY is set.
    Github,
    /// For comments on pull requests.
    Markdown,
}

impl Report {
    /// The report in a format.
    pub fn render(&self, format: Format) -> String {
        match format {
            Format::Text => text::render(self),
            Format::Json => json::render(self),
            Format::Junit => junit::render(self),
            Format::Sarif => sarif::render(self),
            Format::Github => github::render(self),
            Format::Markdown => markdown::render(self),
        }
    }
}
