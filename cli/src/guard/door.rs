//! What was found of one door: a filter chain of a listener, by which peers come in.

use super::{
    plugin::Gate,
    remark::{Kind, Remark, Verdict, verdict},
    tls::Tls,
};

/// What stands behind the network filters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Behind {
    /// The HTTP connection manager.
    Http,
    /// A proxy of bytes.
    Tcp,
    /// Something else, by its type.
    Other(String),
    /// Nothing that could be told.
    #[default]
    NotKnown,
}

impl Behind {
    /// As reports have it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Http => "http",
            Self::Tcp => "tcp",
            Self::Other(kind) => kind,
            Self::NotKnown => "-",
        }
    }
}

/// What the connection manager does with what decisions stand on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// `forward_client_cert_details`.
    pub xfcc: &'static str,
    /// `normalize_path`; `None` where Envoy's own default counts.
    pub normalize_path: Option<bool>,
    /// `merge_slashes`.
    pub merge_slashes: bool,
    /// `path_with_escaped_slashes_action`.
    pub escaped_slashes: &'static str,
}

/// A filter chain of a listener.
#[derive(Clone, Debug, Default)]
pub struct Door {
    /// The listener's name.
    pub listener: String,
    /// Where it listens.
    pub address: String,
    /// Which chain of it, in words.
    pub chain: String,
    /// What stands behind.
    pub behind: Behind,
    /// The network filter, where there is one.
    pub connection: Option<Gate>,
    /// The HTTP filters of ours; more than one where routes choose.
    pub requests: Vec<Gate>,
    /// How many routes were looked at; `None` where there are none, or they could not be had.
    pub routes: Option<usize>,
    /// Whether Envoy's RBAC behind lets only what svidgate has let through pass.
    pub lock: bool,
    /// What its TLS demands.
    pub tls: Option<Tls>,
    /// What its connection manager does.
    pub reading: Option<Reading>,
    /// What is to be said.
    pub remarks: Vec<Remark>,
}

impl Door {
    /// Notes something about the whole of it.
    pub(crate) fn note(&mut self, kind: Kind, text: impl Into<String>) {
        self.remarks.push(Remark::new(kind, text));
    }

    /// What it comes to.
    pub fn verdict(&self) -> Verdict {
        verdict(self.remarks.iter())
    }

    /// All filters of ours in it.
    pub fn gates(&self) -> impl Iterator<Item = &Gate> {
        self.connection.iter().chain(&self.requests)
    }
}
