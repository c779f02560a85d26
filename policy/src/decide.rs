//! The decision: what one principal's grants say about one request, now.
//!
//! The table, whole:
//!
//! | a deny rule matches | an allow rule matches | decision |
//! |---|---|---|
//! | yes | any | deny, `rule.denied` |
//! | no | yes | allow, `rule.allowed` |
//! | no | one that has expired | deny, `rule.expired` |
//! | no | no | deny, `rule.none_matched` |
//!
//! A path that has two readings is refused before any rule is asked. Of several rules that match, the first of the
//! document is named; their order means nothing else. Rules in a dry run are left out of the decision and tell what it
//! would have been. There is no error: what cannot be read is denied, and so is what would cost too much to find out
//! (`rule.too_costly`), whatever has been found by then. Nothing is allocated.

use std::net::IpAddr;

use jiff::Timestamp;

use crate::{
    condition::{Conditions, Facts, Headers, Verdict},
    document::Effect,
    effort::{DECISION_STEPS, Effort},
    grants::{Granted, Grants},
    host::{Host, MAX_AUTHORITY_BYTES},
    path::{PathError, RequestPath, Segment},
    reason::Reason,
    rule::is_token,
    ruleset::{Candidate, Router, RuleHead, Rules, Until, at},
};

/// What is asked for: a request, or (without `http`) a connection.
#[derive(Clone, Copy, Default)]
pub struct Request<'a> {
    /// The HTTP part; none on a TCP listener.
    pub http: Option<HttpRequest<'a>>,
    /// The name of the route that the proxy chose; where it has none, empty.
    pub route: Option<&'a [u8]>,
    /// The local port.
    pub port: Option<u16>,
    /// The server name of the TLS handshake. Where the client sent none it is unknown, as is one that is no host name.
    pub sni: Option<&'a [u8]>,
    /// The peer's address.
    pub source_ip: Option<IpAddr>,
}

/// The HTTP part of a request, in the bytes that came.
#[derive(Clone, Copy)]
pub struct HttpRequest<'a> {
    /// `:method`.
    pub method: &'a [u8],
    /// `:authority`.
    pub authority: &'a [u8],
    /// `:path`, which only a plain CONNECT has not.
    pub path: Option<&'a [u8]>,
    /// All headers.
    pub headers: &'a dyn Headers,
}

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

impl Grants {
    /// Decides a request, or a connection of a TCP listener.
    pub fn decide(&self, request: &Request<'_>, now: Timestamp) -> Decision<'_> {
        let rules = &*self.rules.0;
        let (path, facts) = match read(rules, request, now) {
            Ok(read) => read,
            Err(reason) => return Decision::refused(reason),
        };
        if self.is_too_costly {
            return Decision::refused(Reason::RuleTooCostly);
        }
        let mut tally = Tally::default();
        for granted in &self.granted {
            let Some(router) = at(&rules.routers, granted.router).filter(|_| facts.effort.spend(1)) else {
                break;
            };
            walk(rules, router, granted, path, &facts, &mut tally);
        }
        if facts.effort.is_exhausted() {
            return Decision::refused(Reason::RuleTooCostly);
        }
        tally.decision(rules)
    }

    /// Decides whether a connection in front of HTTP is worth having: whether any request could be allowed.
    pub fn admit(&self, now: Timestamp) -> Decision<'_> {
        if self.is_too_costly {
            return Decision::refused(Reason::RuleTooCostly);
        }
        let rules = &*self.rules.0;
        let routers = || {
            self.granted
                .iter()
                .filter_map(|granted| at(&rules.routers, granted.router))
        };
        let allows = routers().filter_map(|router| router.allows).max();
        // A rule in a dry run must see the requests that it would have allowed.
        let dry_allows = routers().filter_map(|router| router.dry_allows).max();
        let in_force = |until: Option<Until>| until.is_some_and(|until| !until.is_over(now));
        if in_force(allows) || in_force(dry_allows) {
            Decision {
                effect: Effect::Allow,
                reason: Reason::RuleAllowed,
                rule: None,
                dry_run: None,
            }
        } else if allows.is_some() {
            Decision::refused(Reason::RuleExpired)
        } else {
            Decision::refused(Reason::RuleNoneMatched)
        }
    }
}

type Read<'a> = (Option<RequestPath<'a>>, Facts<'a>);

/// Reads a request as far as rules look at it, and refuses what has no one reading.
fn read<'a>(rules: &Rules, request: &Request<'a>, now: Timestamp) -> Result<Read<'a>, Reason> {
    let mut facts = Facts {
        method: None,
        host: None,
        headers: None,
        route: request.route,
        port: request.port,
        // Without a server name, or with one that is no host name, where a connection was meant to go is not known.
        sni: request.sni.and_then(Host::name),
        source_ip: request.source_ip.map(|ip| ip.to_canonical()),
        now,
        effort: Effort::of(DECISION_STEPS),
    };
    let Some(http) = &request.http else {
        return Ok((None, facts));
    };
    if !is_token(http.method) {
        return Err(Reason::RequestMalformed);
    }
    // A longer one has no name in it that a rule could speak of, and is unknown: it would be compared with each pattern.
    if (1..=MAX_AUTHORITY_BYTES).contains(&http.authority.len()) {
        facts.host = Some(Host::read(http.authority).ok_or(Reason::RequestMalformed)?);
    }
    facts.method = Some(http.method);
    facts.headers = Some(http.headers);
    let path = match http.path {
        Some(path) => Some(RequestPath::read(path, rules.reading).map_err(path_reason)?),
        // RFC 9110 9.3.6: a tunnel has no path, so no rule that speaks of paths is about it.
        None if http.method == b"CONNECT" => None,
        None => return Err(Reason::RequestMalformed),
    };
    facts.effort.spend(path.map_or(0, RequestPath::reading_steps));
    Ok((path, facts))
}

fn path_reason(error: PathError) -> Reason {
    match error {
        PathError::NoLeadingSlash => Reason::RequestMalformed,
        PathError::DotSegment
        | PathError::EmptySegment
        | PathError::EncodedSeparator
        | PathError::Parameter
        | PathError::BrokenEscape
        | PathError::DoubleEscape
        | PathError::ControlByte
        | PathError::Fragment
        | PathError::EncodedDelimiter
        | PathError::NotUtf8 => Reason::RequestAmbiguousPath,
    }
}

/// Asks every rule of a router whose path matches.
fn walk(
    rules: &Rules,
    router: &Router,
    granted: &Granted,
    path: Option<RequestPath<'_>>,
    facts: &Facts<'_>,
    tally: &mut Tally,
) {
    router
        .anywhere
        .iter()
        .for_each(|candidate| tally.consider(rules, candidate, facts));
    let Some(path) = path else { return };
    rules.paths.visit(
        router.paths,
        path.segments(),
        &facts.effort,
        &mut |candidate: &Candidate| {
            if captures_agree(rules, candidate, granted, path, &facts.effort) {
                tally.consider(rules, candidate, facts);
            }
        },
    );
}

/// Whether every captured segment of the path is what the id has in the same capture.
fn captures_agree(
    rules: &Rules,
    candidate: &Candidate,
    granted: &Granted,
    path: RequestPath<'_>,
    effort: &Effort,
) -> bool {
    let Some(captures) = at(&rules.captures, candidate.captures) else {
        return false;
    };
    // For each, the path is read from its beginning.
    let steps = captures.len().saturating_mul(path.steps());
    let agrees = |(place, slot): &(usize, usize)| {
        let segment = path.segments().nth(*place);
        let value = granted.captures.get(*slot);
        segment
            .zip(value)
            .is_some_and(|(segment, value): (Segment<'_>, _)| segment.is(value.as_bytes()))
    };
    effort.spend(steps) && captures.iter().all(agrees)
}

/// Whether all holds that a rule and one of its targets demand beside the path.
fn verdict(conditions: &Conditions, rule: &RuleHead, facts: &Facts<'_>) -> Verdict {
    match conditions.verdict(facts) {
        Verdict::No => Verdict::No,
        so_far @ (Verdict::Yes | Verdict::Unknown) => match &rule.when {
            Some(when) => Verdict::all([so_far, when.verdict(facts)].into_iter()),
            None => so_far,
        },
    }
}

/// The rules that matched so far, the first of the document of each kind.
#[derive(Default)]
struct Tally {
    denies: Option<u32>,
    allows: Option<u32>,
    expired: Option<u32>,
    would_deny: Option<u32>,
    would_allow: Option<u32>,
}

impl Tally {
    fn consider(&mut self, rules: &Rules, candidate: &Candidate, facts: &Facts<'_>) {
        if !facts.effort.spend(1) {
            return;
        }
        let (Some(rule), Some(conditions)) = (
            at(&rules.rules, candidate.rule),
            at(&rules.conditions, candidate.conditions),
        ) else {
            return;
        };
        let is_over = rule.expires.is_some_and(|expires| facts.now >= expires);
        let first = match (rule.effect, rule.dry_run, is_over) {
            (Effect::Deny, false, false) => &mut self.denies,
            (Effect::Allow, false, false) => &mut self.allows,
            (Effect::Allow, false, true) => &mut self.expired,
            (Effect::Deny, true, false) => &mut self.would_deny,
            (Effect::Allow, true, false) => &mut self.would_allow,
            (Effect::Deny, _, true) | (Effect::Allow, true, true) => return,
        };
        // Only an earlier rule of the document could change what is known.
        let known = first.is_some_and(|known| known <= candidate.rule);
        if !known && verdict(conditions, rule, facts).applies_to(rule.effect) {
            *first = Some(candidate.rule);
        }
    }

    /// The table at the top of this file.
    fn decision<'g>(&self, rules: &'g Rules) -> Decision<'g> {
        let name = |rule: u32| at(&rules.rules, rule).map(|rule| rule.name.as_ref());
        let (effect, reason, rule) = match (self.denies, self.allows, self.expired) {
            (Some(deny), _, _) => (Effect::Deny, Reason::RuleDenied, name(deny)),
            (None, Some(allow), _) => (Effect::Allow, Reason::RuleAllowed, name(allow)),
            (None, None, Some(expired)) => (Effect::Deny, Reason::RuleExpired, name(expired)),
            (None, None, None) => (Effect::Deny, Reason::RuleNoneMatched, None),
        };
        let would_be = match (self.would_deny, self.would_allow) {
            (Some(deny), _) => Some((Effect::Deny, deny)),
            // An allow rule changes nothing where a deny rule matches.
            (None, Some(allow)) if self.denies.is_none() => Some((Effect::Allow, allow)),
            (None, _) => None,
        };
        let other = would_be.filter(|(would_be, _)| *would_be != effect);
        let dry_run = other.and_then(|(effect, rule)| {
            Some(DryRun {
                effect,
                rule: name(rule)?,
            })
        });
        Decision {
            effect,
            reason,
            rule,
            dry_run,
        }
    }
}
