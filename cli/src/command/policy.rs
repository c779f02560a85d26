//! The one policy that a command is about, and whoever asks.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;
use svidgate_policy::{Bundle, SpiffeId, TrustDomain};

use crate::{
    asked::{Asked, Header},
    exit::Exit,
    finding::{Finding, Level},
    identity::{Caller, Coming, Shown},
    input::{
        files,
        policy::{self, NotRead, Read},
    },
    report::{Format, Report},
    terminal::Terminal,
    via::Via,
};

/// Reads the one policy of a file. What is wrong with it is told.
///
/// # Errors
/// How the command ends where there is none, or more than one, or one with mistakes.
pub fn read(path: &Path, terminal: Terminal) -> Result<Read, Exit> {
    policy::read(path).map_err(|why| not_read(why, terminal))
}

/// Tells why something was not read, and how the command ends.
pub fn not_read(why: NotRead, terminal: Terminal) -> Exit {
    match why {
        NotRead::Troubles(troubles) => {
            for trouble in troubles {
                terminal.trouble(format_args!("{}: {}", trouble.path.display(), trouble.what));
            }
        }
        NotRead::Mistakes(findings) => mistakes(findings, terminal),
    }
    Exit::BadInput
}

/// Prints mistakes of an input beside what a command prints.
pub fn mistakes(findings: Vec<Finding>, terminal: Terminal) {
    let report = Report {
        command: "input",
        files: Vec::new(),
        findings,
        counted: Vec::new(),
        fail_on: Some(Level::Error),
    };
    terminal.complain(report.render(Format::Text));
}

/// Who asks.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Who asks")]
pub struct Who {
    /// An id, taken at its word.
    #[arg(long, value_name = "SPIFFE_ID")]
    pub id: Option<String>,
    /// An SVID in PEM, leaf first: then the whole verifier runs.
    #[arg(long, value_name = "FILE", conflicts_with = "id")]
    pub svid: Option<PathBuf>,
    /// Certificates that come with it.
    #[arg(long, value_name = "FILE", requires = "svid")]
    pub chain: Vec<PathBuf>,
    /// The bundle of a trust domain that the policy has a source for, in the SPIFFE format.
    #[arg(long, value_name = "TRUST_DOMAIN=FILE", requires = "svid")]
    pub bundle: Vec<String>,
}

impl Who {
    /// Reads what it names.
    ///
    /// # Errors
    /// In words, with the file or the id that is wrong.
    pub fn caller(&self) -> Result<Caller, String> {
        let file = |path: &Path| {
            let bytes = files::read(path);
            bytes.map_err(|trouble| format!("{}: {}", trouble.path.display(), trouble.what))
        };
        match (&self.id, &self.svid) {
            (Some(id), _) => {
                let parsed = SpiffeId::parse(id).map_err(|error| format!("{id}: {error}"))?;
                Ok(Caller::Id(parsed))
            }
            (None, Some(svid)) => {
                let chain: Vec<_> = self.chain.iter().map(|path| file(path)).collect::<Result<_, _>>()?;
                let mut bundles = BTreeMap::new();
                for bundle in &self.bundle {
                    let (name, path) = bundle
                        .split_once('=')
                        .ok_or_else(|| format!("--bundle {bundle}: write TRUST_DOMAIN=FILE"))?;
                    let name = TrustDomain::parse(name).map_err(|error| format!("--bundle {bundle}: {error}"))?;
                    let parsed = Bundle::parse(&file(Path::new(path))?);
                    bundles.insert(name, Arc::new(parsed.map_err(|error| format!("{path}: {error}"))?));
                }
                let shown = Shown::read(&file(svid)?, &chain, bundles);
                let shown = shown.map_err(|error| format!("{}: {error}", svid.display()))?;
                Ok(Caller::Svid(Box::new(shown)))
            }
            (None, None) => Err("say who asks: --id SPIFFE_ID or --svid FILE".to_owned()),
        }
    }
}

/// Through whom.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Who asks")]
pub struct Through {
    /// The hop that brings the request, by its name in `hops`, with its id where it may be several; without it, the
    /// caller makes it itself.
    #[arg(long, value_name = "HOP[=SPIFFE_ID]")]
    pub via: Vec<Via>,
}

impl Through {
    /// Whether something can come so.
    ///
    /// # Errors
    /// In words, where it is a connection.
    pub fn check(&self, asked: &Asked) -> Result<(), String> {
        match (&asked.line, self.via.as_slice()) {
            (None, [_, ..]) => Err("--via: a hop brings requests, and nobody's connection".to_owned()),
            (Some(_), _) | (None, []) => Ok(()),
        }
    }

    /// A caller that comes so.
    pub fn coming(&self, caller: Caller) -> Coming {
        let via = self.via.clone();
        Coming { caller, via }
    }
}

/// What is known of a request beside its line. What is not said is not known, as it would not be to the proxy.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "What is asked")]
pub struct Circumstances {
    /// The host, with or without a port.
    #[arg(long)]
    pub host: Option<String>,
    /// A header; all that are not said are not there.
    #[arg(long, value_name = "NAME=VALUE")]
    pub header: Vec<Header>,
    /// The local port.
    #[arg(long)]
    pub port: Option<u16>,
    /// The server name of the TLS handshake.
    #[arg(long)]
    pub sni: Option<String>,
    /// The address of the peer.
    #[arg(long, value_name = "ADDRESS")]
    pub source_ip: Option<IpAddr>,
    /// The name of the route that the proxy chose.
    #[arg(long)]
    pub route: Option<String>,
}

impl Circumstances {
    /// The request that a line and these ask.
    ///
    /// # Errors
    /// In words, where the line is none.
    pub fn asked(&self, line: &str) -> Result<Asked, String> {
        let asked = Asked::read(line).map_err(|error| format!("{line}: {error}"))?;
        Ok(Asked {
            host: self.host.clone().unwrap_or(asked.host),
            headers: self
                .header
                .iter()
                .map(|Header(name, value)| (name.clone(), value.clone()))
                .collect(),
            port: self.port,
            sni: self.sni.clone(),
            source_ip: self.source_ip,
            route: self.route.clone(),
            line: asked.line,
        })
    }
}

/// Takes the words behind a command apart: what comes before the policy, as one text, and the policy.
///
/// # Errors
/// Where the policy alone is there.
pub fn request_and_policy(words: &[String]) -> Result<(String, PathBuf), String> {
    match words.split_last() {
        Some((policy, request)) if !request.is_empty() => Ok((request.join(" "), PathBuf::from(policy))),
        Some(_) | None => Err("write a request and a policy: \"GET /orders/1\" policy.yaml".to_owned()),
    }
}
