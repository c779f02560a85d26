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
//! A path that has two readings is refused before any rule is asked; a request that headers make several of
//! ([`crate::rules::reading`]) is allowed where each of these is. A path of which an encoded slash is all that has two readings
//! is asked about in both, and refused all the same unless a rule opens it and every allow rule that matches one of them
//! says that its upstream reads such paths ([`Tally::ambiguity`]); then each of the two must be allowed. Of several rules that match, the first of the
//! document is named; their order means nothing else. Rules in a dry run are left out of the decision and tell what it
//! would have been. There is no error: what cannot be read is denied, and so is what would cost too much to find out
//! (`rule.too_costly`), whatever has been found by then. A dry run has steps of its own, and where they do not suffice, what
//! would be is unknown. Nothing is allocated.

use std::{fmt, net::IpAddr};

use jiff::Timestamp;

use crate::{
    effort::{DECISION_STEPS, DRY_RUN_DECISION_STEPS, Effort},
    name::{
        host::{HostName, MAX_AUTHORITY_BYTES},
        path::{PathError, PathReading, RequestPath, Segment},
    },
    pattern::trie::Search,
    reason::Reason,
    rules::{
        condition::{Conditions, Facts},
        effect::Effect,
        grants::{Found, Granted, Grants},
        header::Headers,
        reading::{self, CONNECT, Overridden, Overrides, Signs},
        rule::is_token,
        rule_set::{Candidate, RuleGroup, RuleHead, Rules, Until, at},
        verdict::Verdict,
    },
};

/// What it costs to come to the `when` of a rule: it stands in places of its own in memory, which no cache holds where there are
/// thousands. Measured in the VM beside other work: 620 ns with one condition on a header, where a node of the tree takes 210.
const WHEN_STEPS: usize = 10;

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
    /// `:path`, which only a plain CONNECT has not. Which protocol is asked for stands among the headers.
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
            Self::Tunnel => f.write_str(
                "a tunnel, inside which nothing is known: deny rules on methods, paths, hosts and headers apply, and only an \
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

impl Grants {
    /// Decides a request, or a connection of a TCP listener.
    pub fn decide(&self, request: &Request<'_>, now: Timestamp) -> Decision<'_> {
        let (effort, dry_run) = (Effort::of(DECISION_STEPS), Effort::of(DRY_RUN_DECISION_STEPS));
        let facts = Facts {
            method: None,
            host: None,
            headers: None,
            route: request.route,
            port: request.port,
            // Without a server name, or with one that is no host name, where a connection was meant to go is not known.
            sni: request.sni.and_then(HostName::name),
            source_ip: request.source_ip.map(|ip| ip.to_canonical()),
            now,
            has_encoded_slash: false,
            is_tunnel: false,
            effort: &effort,
        };
        let mut asking = Asking {
            grants: self,
            facts,
            dry_run: &dry_run,
            signs: Signs::default(),
            refused: None,
            answers: Answers::default(),
        };
        let asked = match &request.http {
            Some(http) => asking.ask_each_reading(http),
            None => {
                asking.ask(None, Overridden::default());
                Ok(())
            }
        };
        let would_be_is_unknown = self.dry_run.is_too_costly || dry_run.is_exhausted();
        match (asked, asking.refused) {
            (Err(_), Some((reason, detail))) | (Err((reason, detail)), None) => Decision {
                detail,
                ..Decision::refused(reason)
            },
            (Ok(()), None) if self.enforced.is_too_costly || effort.is_exhausted() => {
                Decision::refused(Reason::RuleTooCostly)
            }
            (Ok(()), Some(_) | None) => asking.answers.decision(&self.rules.0, would_be_is_unknown),
        }
    }

    /// Decides whether a connection in front of HTTP is worth having: whether any request could be allowed.
    pub fn admit(&self, now: Timestamp) -> Decision<'_> {
        if self.enforced.is_too_costly {
            return Decision::refused(Reason::RuleTooCostly);
        }
        let rules = &*self.rules.0;
        let allows = |found: &Found| {
            let groups = found.groups.iter();
            let groups = groups.filter_map(|granted| at(&rules.groups, granted.group));
            groups.filter_map(|group| group.allows).max()
        };
        // A rule in a dry run must see the requests that it would have allowed.
        let (allows, dry_allows) = (allows(&self.enforced), allows(&self.dry_run));
        let in_force = |until: Option<Until>| until.is_some_and(|until| !until.is_over(now));
        if in_force(allows) || in_force(dry_allows) {
            Decision {
                effect: Effect::Allow,
                reason: Reason::RuleAllowed,
                rule: None,
                dry_run: None,
                would_be_is_unknown: false,
                detail: None,
            }
        } else {
            let reason = match allows {
                Some(_) => Reason::RuleExpired,
                None => Reason::RuleNoneMatched,
            };
            Decision {
                would_be_is_unknown: self.dry_run.is_too_costly,
                ..Decision::refused(reason)
            }
        }
    }
}

/// Why a reading is refused before any rule is asked.
type Refused = (Reason, Option<Detail>);

fn overridden(overridden: Overridden) -> Option<Detail> {
    (overridden != Overridden::default()).then_some(Detail::Overridden(overridden))
}

/// A request that is being decided on.
struct Asking<'a> {
    grants: &'a Grants,
    facts: Facts<'a>,
    /// What the rules in a dry run may still cost.
    dry_run: &'a Effort,
    signs: Signs,
    /// Why it is refused without a rule in force being asked, where those in a dry run are.
    refused: Option<Refused>,
    answers: Answers,
}

impl<'a> Asking<'a> {
    /// Asks about every reading of a request.
    fn ask_each_reading(&mut self, http: &HttpRequest<'a>) -> Result<(), Refused> {
        let effort = self.facts.effort;
        self.facts.headers = Some(http.headers);
        self.signs = Signs::of(http.headers, effort);
        self.read_method(http.method, Overridden::default())?;
        // A longer one has no name in it that a rule could speak of, and is unknown: it would be compared with each pattern.
        if (1..=MAX_AUTHORITY_BYTES).contains(&http.authority.len()) {
            let host = HostName::read(http.authority);
            self.facts.host = Some(host.ok_or((Reason::RequestMalformed, None))?);
        }
        let path = match http.path {
            Some(path) => Some(self.read_own_path(path)?),
            // RFC 9110 9.3.6: a tunnel has no path.
            None if http.method == CONNECT => None,
            None => return Err((Reason::RequestMalformed, None)),
        };
        let in_query = |path| reading::has_method_in_query(path, effort);
        let has_overrides = match self.grants.rules.0.reading.overrides {
            Overrides::Read => self.signs.has_overrides || http.path.is_some_and(in_query),
            Overrides::Ignore => false,
        };
        // Inside a tunnel no method and no path is known anyway.
        if !has_overrides || self.signs.is_tunnel(http.method, path.is_some()) {
            self.ask(path, Overridden::default());
            return Ok(());
        }
        self.ask_with_each_method(http, path, None)?;
        let mut asked = Ok(());
        reading::each_path(http.headers, effort, &mut |written, header| {
            if asked.is_ok() {
                asked = self
                    .read_path(written, Some(header))
                    .and_then(|path| self.ask_with_each_method(http, Some(path), Some((written, header))));
            }
        });
        asked
    }

    /// Asks about a path with every method that the request may be read with. `from`: as it is written in which header.
    fn ask_with_each_method(
        &mut self,
        http: &HttpRequest<'a>,
        path: Option<RequestPath<'a>>,
        from: Option<(&'a [u8], &'static str)>,
    ) -> Result<(), Refused> {
        let effort = self.facts.effort;
        let with = |method| Overridden {
            method,
            path: from.map(|(_, header)| header),
        };
        self.read_method(http.method, with(None))?;
        self.ask(path, with(None));
        let mut asked = Ok(());
        let mut ask = |method, name| {
            if asked.is_ok() {
                asked = self
                    .read_method(method, with(Some(name)))
                    .map(|()| self.ask(path, with(Some(name))));
            }
        };
        reading::each_method(http.headers, effort, &mut ask);
        // Who takes the path from a header may keep the query of the other.
        for written in [http.path, from.map(|(written, _)| written)].into_iter().flatten() {
            reading::each_method_in_query(written, effort, &mut ask);
        }
        asked
    }

    fn read_method(&mut self, method: &'a [u8], from: Overridden) -> Result<(), Refused> {
        self.facts.method = Some(method);
        if is_token(method) {
            Ok(())
        } else {
            Err((Reason::RequestMalformed, overridden(from)))
        }
    }

    fn read_own_path(&mut self, path: &'a [u8]) -> Result<RequestPath<'a>, Refused> {
        let refused = match self.read_path(path, None) {
            Err(refused) => refused,
            read @ Ok(_) => return read,
        };
        let rules = &*self.grants.rules.0;
        let is_opened = rules.enforced.opens_encoded_slashes;
        let would_be_opened = is_opened || rules.dry_run.opens_encoded_slashes;
        if !would_be_opened || self.grants.enforced.is_too_costly {
            return Err(refused);
        }
        let read = RequestPath::read(path, PathReading::EncodedSlashes).map_err(|_| refused)?;
        if !is_opened {
            // All else is asked for the dry run, and costs it alone.
            self.refused = Some(refused);
            self.facts.effort = self.dry_run;
        }
        // It was read strictly, too.
        self.facts.effort.spend(read.reading_steps().saturating_mul(2));
        Ok(read)
    }

    fn read_path(&self, path: &'a [u8], from: Option<&'static str>) -> Result<RequestPath<'a>, Refused> {
        let reading = self.grants.rules.0.reading.paths;
        let read = RequestPath::read(path, reading).map_err(|error| {
            let reason = match from {
                None => path_reason(error),
                // To one who takes it for the path, it may be one all the same.
                Some(_) => Reason::RequestAmbiguousPath,
            };
            (reason, Some(Detail::Path { error, from }))
        })?;
        self.facts.effort.spend(read.reading_steps());
        Ok(read)
    }

    /// Asks the rules about a method and a path.
    fn ask(&mut self, path: Option<RequestPath<'a>>, from: Overridden) {
        let is_tunnel = |method: &[u8]| self.signs.is_tunnel(method, path.is_some());
        self.facts.is_tunnel = self.facts.method.is_some_and(is_tunnel);
        let split = path.and_then(RequestPath::split_at_encoded_slashes);
        self.facts.has_encoded_slash = split.is_some();
        let tally = self.tally(path);
        let from = overridden(from);
        if let Some(split) = split {
            let split = self.tally(Some(split));
            self.answers.add_both(&tally, &split, from);
        } else {
            let detail = from.or(self.facts.is_tunnel.then_some(Detail::Tunnel));
            self.answers
                .add(tally.answer().with(detail), tally.with_dry_run().answer());
        }
    }

    /// What the rules say about one reading.
    fn tally(&self, path: Option<RequestPath<'a>>) -> Tally {
        let mut tally = Tally::default();
        let segments = path.into_iter().flat_map(RequestPath::segments);
        let mut search = self.grants.rules.0.paths.search(segments);
        self.ask_those(&self.grants.enforced, path, &mut search, &self.facts, &mut tally);
        let facts = Facts {
            effort: self.dry_run,
            ..self.facts
        };
        self.ask_those(&self.grants.dry_run, path, &mut search, &facts, &mut tally);
        tally
    }

    fn ask_those(
        &self,
        found: &Found,
        path: Option<RequestPath<'a>>,
        search: &mut Search<'_, Candidate, impl Iterator<Item = Segment<'a>>>,
        facts: &Facts<'a>,
        tally: &mut Tally,
    ) {
        let rules = &*self.grants.rules.0;
        for granted in &found.groups {
            let group = at(&rules.groups, granted.group);
            let Some(group) = group.filter(|_| !found.is_too_costly && facts.effort.spend(1)) else {
                break;
            };
            walk(rules, group, granted, path, search, facts, tally);
        }
    }
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

/// Asks every rule of a group whose path matches.
fn walk<'a>(
    rules: &Rules,
    group: &RuleGroup,
    granted: &Granted,
    path: Option<RequestPath<'a>>,
    search: &mut Search<'_, Candidate, impl Iterator<Item = Segment<'a>>>,
    facts: &Facts<'_>,
    tally: &mut Tally,
) {
    group
        .anywhere
        .iter()
        .for_each(|candidate| tally.consider(rules, candidate, facts));
    let Some(path) = path.filter(|_| !facts.is_tunnel) else {
        let denied = group.denied_somewhere.iter();
        return denied.for_each(|candidate| tally.consider(rules, candidate, facts));
    };
    search.visit(group.paths, facts.effort, &mut |candidate| {
        if captures_agree(rules, candidate, granted, path, facts.effort) {
            tally.consider(rules, candidate, facts);
        }
    });
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
            Some(_) if !facts.effort.spend(WHEN_STEPS) => Verdict::Unknown,
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
    /// Allow rules that match, or may, and do not read the encoded slash that the path has.
    strict: Option<u32>,
    would_deny: Option<u32>,
    would_allow: Option<u32>,
    would_be_strict: Option<u32>,
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
        // Inside a tunnel nobody reads this path.
        let reads = !facts.has_encoded_slash || (conditions.encoded_slashes && !facts.is_tunnel);
        let first = match (rule.effect, reads, rule.dry_run, is_over) {
            (Effect::Deny, _, false, false) => &mut self.denies,
            (Effect::Deny, _, true, false) => &mut self.would_deny,
            (Effect::Allow, true, false, false) => &mut self.allows,
            (Effect::Allow, true, false, true) => &mut self.expired,
            (Effect::Allow, true, true, false) => &mut self.would_allow,
            (Effect::Allow, false, false, false) => &mut self.strict,
            (Effect::Allow, false, true, false) => &mut self.would_be_strict,
            (Effect::Deny, _, _, true) | (Effect::Allow, true, true, true) | (Effect::Allow, false, _, true) => return,
        };
        // Only an earlier rule of the document could change what is known.
        let known = first.is_some_and(|known| known <= candidate.rule);
        // A rule that keeps a path shut does so in doubt, as a deny rule does.
        let effect = if reads { rule.effect } else { Effect::Deny };
        if !known && verdict(conditions, rule, facts).applies_to(effect) {
            *first = Some(candidate.rule);
        }
    }

    /// The table at the top of this file.
    fn answer(&self) -> Answer {
        match (self.denies, self.allows, self.expired) {
            (Some(deny), _, _) => Answer::deny(Reason::RuleDenied, Some(deny)),
            (None, Some(allow), _) => Answer::allow(allow),
            (None, None, Some(expired)) => Answer::deny(Reason::RuleExpired, Some(expired)),
            (None, None, None) => Answer::deny(Reason::RuleNoneMatched, None),
        }
    }

    /// The same with the rules that are in a dry run.
    fn with_dry_run(&self) -> Self {
        Self {
            // Of the two, the one whose rule is told is the one that would make the difference.
            denies: self.denies.or(self.would_deny),
            allows: self.allows.or(self.would_allow),
            strict: self.strict.or(self.would_be_strict),
            ..Self::default()
        }
    }

    /// Why a path with an encoded slash is refused whatever rules say about its two readings: no rule opens it, or one that could
    /// allow it does not. That rule's upstream may be the one that reads the path, and in which way is not known.
    fn ambiguity(readings: [&Self; 2]) -> Option<Answer> {
        let opens = |reading: &Self| reading.allows.or(reading.expired).is_some();
        let strict = readings.iter().filter_map(|reading| reading.strict).min();
        let deny = |rule| Answer::deny(Reason::RequestAmbiguousPath, rule);
        match (readings.into_iter().any(opens), strict) {
            (true, None) => None,
            (true, strict @ Some(_)) => Some(deny(strict).with(Some(Detail::ReadStrictly))),
            (false, _) => Some(deny(None).with(Some(Detail::Path {
                error: PathError::EncodedSeparator,
                from: None,
            }))),
        }
    }
}

/// What rules say about one reading.
#[derive(Clone, Copy)]
struct Answer {
    effect: Effect,
    reason: Reason,
    rule: Option<u32>,
    /// What there would be to say of its refusal.
    detail: Option<Detail>,
}

impl Answer {
    fn deny(reason: Reason, rule: Option<u32>) -> Self {
        Self {
            effect: Effect::Deny,
            reason,
            rule,
            detail: None,
        }
    }

    fn allow(rule: u32) -> Self {
        Self {
            effect: Effect::Allow,
            rule: Some(rule),
            ..Self::deny(Reason::RuleAllowed, None)
        }
    }

    fn with(self, detail: Option<Detail>) -> Self {
        Self { detail, ..self }
    }

    /// Whether this is the answer, and not one to an earlier reading: the first that is denied, else the first.
    fn replaces(self, known: Option<Self>) -> bool {
        match known.map(|known| (known.effect, self.effect)) {
            None | Some((Effect::Allow, Effect::Deny)) => true,
            Some((Effect::Allow, Effect::Allow) | (Effect::Deny, Effect::Allow | Effect::Deny)) => false,
        }
    }
}

/// What rules say about all readings so far.
#[derive(Default)]
struct Answers {
    answer: Option<Answer>,
    /// With the rules that are in a dry run.
    would_be: Option<Answer>,
}

impl Answers {
    /// Adds what the rules say about a path with an encoded slash, which is one within its segment or separates two.
    fn add_both(&mut self, kept: &Tally, split: &Tally, from: Option<Detail>) {
        let (kept_would_be, split_would_be) = (kept.with_dry_run(), split.with_dry_run());
        let ambiguity = Tally::ambiguity([kept, split]);
        let would_be_ambiguity = Tally::ambiguity([&kept_would_be, &split_would_be]);
        for (tally, would_be, detail) in [
            (kept, kept_would_be, Detail::SlashesAsData),
            (split, split_would_be, Detail::SlashesAsSlashes),
        ] {
            let answer = ambiguity.unwrap_or_else(|| tally.answer().with(Some(detail)));
            let answer = answer.with(from.or(answer.detail));
            self.add(answer, would_be_ambiguity.unwrap_or_else(|| would_be.answer()));
        }
    }

    fn add(&mut self, answer: Answer, would_be: Answer) {
        let is_the_answer = answer.replaces(self.answer);
        let would_be_allowed = self.would_be.is_some_and(|known| known.effect == Effect::Allow);
        // Where all would be allowed, the rule to be told is the one that this takes of the reading that is denied.
        if would_be.replaces(self.would_be) || (is_the_answer && would_be_allowed) {
            self.would_be = Some(would_be);
        }
        if is_the_answer {
            self.answer = Some(answer);
        }
    }

    fn decision<'g>(&self, rules: &'g Rules, would_be_is_unknown: bool) -> Decision<'g> {
        let Some(answer) = self.answer else {
            return Decision::refused(Reason::RuleNoneMatched);
        };
        let name = |rule: Option<u32>| at(&rules.rules, rule?).map(|rule| rule.name.as_ref());
        let would_be = self.would_be.filter(|_| !would_be_is_unknown);
        let other = would_be.filter(|would_be| would_be.effect != answer.effect);
        let dry_run = other.and_then(|would_be| {
            Some(DryRun {
                effect: would_be.effect,
                rule: name(would_be.rule)?,
            })
        });
        Decision {
            effect: answer.effect,
            reason: answer.reason,
            rule: name(answer.rule),
            dry_run,
            would_be_is_unknown,
            detail: match answer.effect {
                Effect::Allow => None,
                Effect::Deny => answer.detail,
            },
        }
    }
}
