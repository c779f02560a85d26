//! What is the answer, and what is told with it?

use std::fmt;

use crate::{
    name::path::PathError,
    reason::Reason,
    rules::{effect::Effect, reading::Overridden},
};

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision<'g> {
    /// Whether it may pass.
    pub effect: Effect,
    /// Why.
    pub reason: Reason,
    /// The rule that decided.
    pub rule: Option<&'g str>,
    /// What the decision would have been with the rules that are in a dry run, where that is another one.
    pub dry_run: Option<DryRun<'g>>,
    /// Whether that would have cost too much to find out.
    pub would_be_is_unknown: bool,
    /// What exactly is behind a refusal, where there is more to say than the reason.
    pub detail: Option<Detail>,
}

/// What exactly is behind a refusal. Nothing in it is a peer's own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// The path, or the header that some upstreams take for it, has no one reading.
    Path {
        /// Why.
        error: PathError,
        /// The header.
        from: Option<&'static str>,
    },
    /// The path has an encoded slash, and the rule that is named could allow it and does not say that it reads one.
    ReadStrictly,
    /// The path, with its encoded slashes as data.
    SlashesAsData,
    /// The path, with its encoded slashes as slashes.
    SlashesAsSlashes,
    /// The request, as some upstreams read it.
    Overridden(Overridden),
    /// It opens a tunnel.
    Tunnel,
    /// The peer brings the requests of others, and this one is of nobody.
    BringsOthersOnly,
    /// Of those through whom it has come, one may not bring this caller.
    NotItsCaller,
    /// It has come through more hops than `depth` says.
    TooDeep,
    /// It has come through fewer.
    NotDeepEnough,
    /// The hop gives its word for this caller, and the document wants the certificate.
    NameAlone,
    /// The hop has come to its end.
    HopIsOver,
}

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path { error, from: None } => write!(f, "{error}"),
            Self::Path {
                error,
                from: Some(header),
            } => write!(f, "`{header}`, which some upstreams take for the path: {error}"),
            Self::ReadStrictly => f.write_str(
                "path has an encoded slash, and this rule could allow it, too, but does not say `encoded_slashes: true` for it",
            ),
            Self::SlashesAsData => f.write_str("read with its encoded slashes as data within their segment"),
            Self::SlashesAsSlashes => {
                f.write_str("read with its encoded slashes as slashes, as some upstreams do: both readings must be allowed")
            }
            Self::Overridden(overridden) => write!(f, "{overridden}"),
            Self::BringsOthersOnly => f.write_str(
                "the peer is a hop, which makes no requests of its own, and this one names no caller (it must forward \
                 the certificate of who calls it, and refuse who shows none)",
            ),
            Self::NotItsCaller => f.write_str(
                "no entry of `hops` with this peer in `peers` has this caller in `callers`, less `except` (so must one of \
                 each through whom it has come)",
            ),
            Self::TooDeep => f.write_str(
                "the caller has come through more hops than `depth` of the entry of `hops` says",
            ),
            Self::NotDeepEnough => f.write_str(
                "the caller has come through fewer hops than `depth` of the entry of `hops` says",
            ),
            Self::NameAlone => f.write_str(
                "the hop gives its word for this caller and not the certificate, which its entry of `hops` wants",
            ),
            Self::HopIsOver => f.write_str("the entry of `hops` has come to its `expires`"),
            Self::Tunnel => f.write_str(
                "a tunnel, inside which nothing is known: deny rules on methods, paths, hosts and headers apply, and \
                 only an \
                 allow rule that names the method CONNECT opens it",
            ),
        }
    }
}

/// What a decision would have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DryRun<'g> {
    /// Whether it would have passed.
    pub effect: Effect,
    /// The rule that would have decided.
    pub rule: &'g str,
}

impl Decision<'_> {
    /// A refusal that no rule made.
    pub fn refused(reason: Reason) -> Self {
        Self {
            effect: Effect::Deny,
            reason,
            rule: None,
            dry_run: None,
            would_be_is_unknown: false,
            detail: None,
        }
    }

    /// Whether it may pass.
    pub fn is_allowed(&self) -> bool {
        match self.effect {
            Effect::Allow => true,
            Effect::Deny => false,
        }
    }
}
