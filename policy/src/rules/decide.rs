//! The decision: what the grants of a caller, and of hops that have brought its request, say about it, now.
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
//! Allow rules are those of the caller, deny rules those of everybody on the way, as far as their `via` speaks of it
//! ([`Heard`]); whether each hop may bring this caller is asked before any rule ([`Way`]).
//!
//! A path that has two readings is refused before any rule is asked; a request that headers make several of
//! ([`crate::rules::reading`]) is allowed where each of these is. A path of which an encoded slash is all that has two
//! readings is asked about in both, and refused all the same unless a rule opens it and every allow rule that matches
//! one of them says that its upstream reads such paths ([`Tally::ambiguity`]); then each of the two must be allowed. Of
//! several rules that match, the first of the document is named; their order means nothing else. Rules in a dry run are
//! left out of the decision and tell what it would have been. There is no error: what cannot be read is denied, and so
//! is what would cost too much to find out (`rule.too_costly`), whatever has been found by then. A dry run has steps of
//! its own, and where they do not suffice, what would be is unknown. Nothing is allocated.

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
        condition::Facts,
        decision::{Decision, Detail},
        effect::Effect,
        grants::{Found, Granted, Grants},
        hop::{Heard, HopSet, KnownHop},
        reading::{self, CONNECT, Overridden, Overrides, Signs},
        request::{HttpRequest, Request},
        rule::is_token,
        rule_set::{Candidate, RuleGroup, Rules, at},
        tally::{Answers, Tally},
        until::Until,
        way::Way,
    },
};

impl Grants {
    /// Decides a request that the peer makes itself, or a connection of a TCP listener.
    pub fn decide(&self, request: &Request<'_>, now: Timestamp) -> Decision<'_> {
        Way::direct(self).decide(request, now)
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
            let direct = groups.filter(|group| Heard::on(HopSet::default(), group.via).has(Effect::Allow));
            direct.filter_map(|group| group.allows).max()
        };
        let brought =
            |until: fn(&KnownHop) -> Option<Until>| rules.hops.in_force(self.brings, now).filter_map(until).max();
        // A rule in a dry run must see the requests that it would have allowed.
        let (allows, dry_allows) = if self.is_hop() {
            (brought(|known| known.allows), brought(|known| known.would_allow))
        } else {
            (allows(&self.enforced), allows(&self.dry_run))
        };
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

impl<'g> Way<'g> {
    /// Decides a request, or a connection of a TCP listener, which comes through nobody.
    pub fn decide(&self, request: &Request<'_>, now: Timestamp) -> Decision<'g> {
        let taken = match self.taken(request.http.is_some(), now) {
            Ok(taken) => taken,
            Err((reason, detail)) => {
                return Decision {
                    detail,
                    ..Decision::refused(reason)
                };
            }
        };
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
            way: *self,
            taken,
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
        let is_any = |is_so: fn(&Grants) -> bool| self.all().any(is_so);
        let would_be_is_unknown = is_any(|grants| grants.dry_run.is_too_costly) || dry_run.is_exhausted();
        match (asked, asking.refused) {
            (Err(_), Some((reason, detail))) | (Err((reason, detail)), None) => Decision {
                detail,
                ..Decision::refused(reason)
            },
            (Ok(()), None) if is_any(|grants| grants.enforced.is_too_costly) || effort.is_exhausted() => {
                Decision::refused(Reason::RuleTooCostly)
            }
            (Ok(()), Some(_) | None) => asking.answers.decision(&self.caller().rules.0, would_be_is_unknown),
        }
    }
}

/// Why a reading is refused before any rule is asked.
type Refused = (Reason, Option<Detail>);

fn overridden(overridden: Overridden) -> Option<Detail> {
    (overridden != Overridden::default()).then_some(Detail::Overridden(overridden))
}

/// What somebody has to do with a request.
#[derive(Clone, Copy, Debug)]
enum Part {
    Asks,
    Brings,
}

/// A request that is being decided on.
struct Asking<'a> {
    way: Way<'a>,
    /// The hops that it has come through.
    taken: HopSet,
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
        // A longer one has no name in it that a rule could speak of, and is unknown: it would be compared with each
        // pattern.
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
        let has_overrides = match self.rules().reading.overrides {
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
        let rules = self.rules();
        let is_opened = rules.enforced.opens_encoded_slashes;
        let would_be_opened = is_opened || rules.dry_run.opens_encoded_slashes;
        if !would_be_opened || self.way.caller().enforced.is_too_costly {
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
        let reading = self.rules().reading.paths;
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

    fn rules(&self) -> &'a Rules {
        &self.way.caller().rules.0
    }

    /// What the rules say about one reading.
    fn tally(&self, path: Option<RequestPath<'a>>) -> Tally {
        let mut tally = Tally::default();
        let segments = path.into_iter().flat_map(RequestPath::segments);
        let mut search = self.rules().paths.search(segments);
        let facts = Facts {
            effort: self.dry_run,
            ..self.facts
        };
        let brings = self.way.hops().map(|hop| (hop, Part::Brings));
        for (grants, part) in [(self.way.caller(), Part::Asks)].into_iter().chain(brings) {
            self.ask_those(&grants.enforced, part, path, &mut search, &self.facts, &mut tally);
            self.ask_those(&grants.dry_run, part, path, &mut search, &facts, &mut tally);
        }
        tally
    }

    fn ask_those(
        &self,
        found: &Found,
        part: Part,
        path: Option<RequestPath<'a>>,
        search: &mut Search<'_, Candidate, impl Iterator<Item = Segment<'a>>>,
        facts: &Facts<'a>,
        tally: &mut Tally,
    ) {
        let rules = self.rules();
        for granted in &found.groups {
            let group = at(&rules.groups, granted.group);
            let Some(group) = group.filter(|_| !found.is_too_costly && facts.effort.spend(1)) else {
                break;
            };
            let heard = Heard::on(self.taken, group.via);
            let heard = match part {
                Part::Asks => heard,
                Part::Brings => heard.denies_only(),
            };
            if !heard.is_none() {
                walk(rules, (group, heard), granted, path, search, facts, tally);
            }
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
    (group, heard): (&RuleGroup, Heard),
    granted: &Granted,
    path: Option<RequestPath<'a>>,
    search: &mut Search<'_, Candidate, impl Iterator<Item = Segment<'a>>>,
    facts: &Facts<'_>,
    tally: &mut Tally,
) {
    group
        .anywhere
        .iter()
        .for_each(|candidate| tally.consider(rules, candidate, heard, facts));
    let Some(path) = path.filter(|_| !facts.is_tunnel) else {
        let denied = group.denied_somewhere.iter();
        return denied.for_each(|candidate| tally.consider(rules, candidate, heard, facts));
    };
    search.visit(group.paths, facts.effort, &mut |candidate| {
        if captures_agree(rules, candidate, granted, path, facts.effort) {
            tally.consider(rules, candidate, heard, facts);
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
