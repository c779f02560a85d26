//! Through whom does a request come, as people write it?
//!
//! A rule names a hop, and a hop is whoever has one of its `peers`. What is forbidden may depend on which, so where there
//! are several it must be said: nothing is made up.

use std::{fmt, str::FromStr};

use svidgate_policy::{Assertion, Hop, Mistake, Peers, SpiffeId, SpiffeIdError, analysis::Policy};

/// What stands in `via` for a request that its caller makes itself.
const DIRECT: &str = "direct";

/// A hop: `partner-edge`, or `partner-edge=spiffe://prod.example/ns/edge/sa/gateway`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Via {
    /// Its name in `hops`, or `direct`.
    pub name: String,
    /// Which of its `peers`.
    pub id: Option<SpiffeId>,
}

impl FromStr for Via {
    type Err = ViaError;

    fn from_str(text: &str) -> Result<Self, ViaError> {
        let (name, id) = match text.split_once('=') {
            Some((name, id)) => (name, Some(SpiffeId::parse(id).map_err(ViaError::Id)?)),
            None => (text, None),
        };
        if name.is_empty() {
            return Err(ViaError::NoName);
        }
        Ok(Self {
            name: name.to_owned(),
            id,
        })
    }
}

/// What is no hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ViaError {
    /// It has no name.
    NoName,
    /// What stands behind the name is no id.
    Id(SpiffeIdError),
}

impl fmt::Display for ViaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoName => {
                f.write_str("write the name of an entry of `hops`, and behind it, where needed, `=SPIFFE_ID`")
            }
            Self::Id(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for ViaError {}

/// Who brings a request, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Whose certificate the connection has.
    pub id: SpiffeId,
    /// How it says who the caller is.
    pub assertion: Assertion,
}

/// Finds who brings a request, in a policy; `None` where its caller makes it itself.
///
/// # Errors
/// In words: a name that is no hop's, several hops, an id that is not the hop's, or several that it may be.
pub fn peer(written: &[Via], policy: &Policy) -> Result<Option<Peer>, String> {
    let via = match written {
        [] => return Ok(None),
        [via] => via,
        [_, _, ..] if written.iter().any(|via| via.name == DIRECT) => {
            return Err("`direct` beside a hop: a request that comes through nobody comes through no hop".to_owned());
        }
        [_, _, ..] => {
            return Err("more than one hop: what comes through several is not asked here".to_owned());
        }
    };
    if via.name == DIRECT {
        return match &via.id {
            None => Ok(None),
            Some(_) => Err("`direct` is nobody, and has no id".to_owned()),
        };
    }
    let hops = || policy.configuration().rules.hops();
    let Some(hop) = hops().find(|hop| *hop.name == *via.name) else {
        let name = via.name.clone();
        let known = hops().take(10).map(|hop| hop.name.to_string()).collect();
        return Err(Mistake::UnknownHop { name, known }.to_string());
    };
    if hop.depth > 1 {
        return Err(format!(
            "hop `{}` is the last of {}: what comes through several is not asked here",
            hop.name, hop.depth
        ));
    }
    let id = match &via.id {
        Some(id) if hop.peers.ids().iter().any(|peer| peer.matches(id)) => id.clone(),
        Some(id) => {
            return Err(format!(
                "{id} is none of the `peers` of hop `{}`: {}",
                hop.name,
                peers(hop)
            ));
        }
        None => only(hop)?,
    };
    let assertion = hop.assertion;
    Ok(Some(Peer { id, assertion }))
}

/// The id of a hop that has one.
fn only(hop: &Hop) -> Result<SpiffeId, String> {
    if hop.peers == Peers::Anonymous {
        return Err(format!(
            "hop `{}` is whoever shows no certificate: what comes through it is not asked here",
            hop.name
        ));
    }
    let id = match hop.peers.ids() {
        [peer] => SpiffeId::parse(peer.to_string()).ok(),
        [] | [_, _, ..] => None,
    };
    id.ok_or_else(|| {
        format!(
            "hop `{name}` may be several: write which, as `{name}=SPIFFE_ID`, of its `peers`: {}",
            peers(hop),
            name = hop.name
        )
    })
}

fn peers(hop: &Hop) -> String {
    let peers: Vec<String> = hop
        .peers
        .ids()
        .iter()
        .take(10)
        .map(|peer| format!("`{peer}`"))
        .collect();
    peers.join(", ")
}
