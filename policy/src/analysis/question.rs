//! Does something hold of all identities and all requests?

use std::rc::Rc;

use jiff::{SignedDuration, Timestamp};

use crate::{
    analysis::{
        brought::{is_looked_at, on, speaks, spoken_of},
        comparison::{Bounds, Why},
        cube::{Cube, Cubes, cubes, of_hop, of_id},
        manner::{Form, Manner, Way, Who},
        policy::Policy,
        region::Region,
        sayings::Scope,
        search::{Go, Steps},
        seek::{Sought, seek},
        side::{Side, View},
        subject::{Subject, anybody},
        terms::Terms,
        values::Span,
        witness::{Answer, Witness},
    },
    pattern::id_pattern::IdPattern,
    reason::Reason,
    rules::{effect::Effect, hop::Hop, rule::Rule},
};

/// What is said of a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Nothing of it is allowed, from the moment that is asked about on; without `via`, whoever brings it. A request of
    /// which is not known whether it belongs to the subject does.
    Never,
    /// All of it is allowed, at that moment; without `via`, all that its callers ask for themselves. With hops, whoever of
    /// their peers brings it, and whether they may bring these callers or not. A request of which is not known whether it
    /// belongs to the subject does not.
    Always,
    /// What `to` and `when` say is allowed to nobody but `from`, and with `via` in no other way, from that moment on.
    Only,
}

/// Whether a claim holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holds {
    /// It does.
    Yes,
    /// It does not.
    No(Vec<Counterexample>),
    /// It may, and it may not.
    Undecided(Why),
    /// The gate decides this in another way than the analysis: a mistake of ours.
    Fault(Box<Counterexample>),
}

/// Something of which a claim does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counterexample {
    /// As a rule would say it.
    pub region: Region,
    /// An example.
    pub witness: Witness,
    /// What a gate decides about it.
    pub answer: Answer,
}

/// Decides whether a claim holds.
pub fn holds(policy: &Policy, claim: Claim, subject: &Subject, at: Timestamp, bounds: Bounds) -> Holds {
    let mut terms = Terms::new();
    let mut side = Side::new(policy, View::InForce, at, &mut terms);
    let manners = Manner::all(&side.forms(), &side.ways());
    let mut asking = Asking {
        side: &mut side,
        terms: &mut terms,
        steps: Steps::of(bounds.steps),
        bounds,
        at,
        wanted: match claim {
            Claim::Never | Claim::Only => Effect::Allow,
            Claim::Always => Effect::Deny,
        },
        found: Vec::new(),
        doubt: None,
        fault: None,
    };
    match claim {
        Claim::Never => asking.never(&subject.rule(Effect::Deny), None, &manners),
        Claim::Only => asking.never(
            &subject.of_anybody(Effect::Deny),
            Some(&subject.rule(Effect::Deny)),
            &manners,
        ),
        Claim::Always => asking.always(&subject.rule(Effect::Allow), &manners),
    }
    let is_perhaps_brought = !is_looked_at(asking.side.hops())
        && match claim {
            Claim::Never => brings(policy, &subject.rule(Effect::Deny).from, at),
            Claim::Only => brings(policy, &[anybody()], at),
            Claim::Always => subject.rule(Effect::Allow).via.is_some_and(|via| !via.hops.is_empty()),
        };
    match (asking.fault, asking.found, asking.doubt) {
        (Some(fault), _, _) => Holds::Fault(fault),
        (None, found, _) if !found.is_empty() => Holds::No(found),
        (None, _, Some(why)) => Holds::Undecided(why),
        (None, _, None) if is_perhaps_brought => Holds::Undecided(Why::Hops),
        (None, _, None) => Holds::Yes,
    }
}

/// Whether some rule in force lets somebody through of these ids, or may, who comes through a hop.
fn brings(policy: &Policy, ids: &[IdPattern], at: Timestamp) -> bool {
    let is_over = |expires: Option<Timestamp>| expires.is_some_and(|expires| at >= expires);
    let is_heard = |rule: &&Rule| rule.effect == Effect::Allow && !rule.dry_run && !is_over(rule.expires);
    let names_hop = |rule: &&Rule| rule.via.is_some_and(|via| !via.hops.is_empty());
    let mut rules = policy.rules.iter().filter(is_heard).filter(names_hop);
    rules.any(|rule| rule.from.iter().any(|from| ids.iter().any(|id| from.overlaps(id))))
}

struct Asking<'a, 'p> {
    side: &'a mut Side<'p>,
    terms: &'a mut Terms,
    steps: Steps,
    bounds: Bounds,
    at: Timestamp,
    /// What a gate decides about a counterexample.
    wanted: Effect,
    found: Vec<Counterexample>,
    doubt: Option<Why>,
    fault: Option<Box<Counterexample>>,
}

impl Asking<'_, '_> {
    fn is_done(&self) -> bool {
        self.found.len() >= self.bounds.regions || self.fault.is_some()
    }

    /// Looks for what is allowed of a subject, but for what belongs to another.
    fn never(&mut self, subject: &Rule, but: Option<&Rule>, manners: &[Manner]) {
        let hops = self.side.hops();
        let manners = manners.iter().filter(|manner| speaks(subject, hops, manner.way));
        for (from, manner) in pairs(&subject.from, manners) {
            let reads = self.side.reads(manner);
            let of_subject = cubes(self.terms, subject, (from, Who::Caller), reads);
            let mut spared = Vec::new();
            for but in but.iter().filter(|but| speaks(but, hops, manner.way)) {
                for pattern in &but.from {
                    spared.extend(cubes(self.terms, but, (pattern, Who::Caller), reads));
                }
            }
            let spared: Cubes = spared.into();
            let scope = self.side.scope_of(from, Who::Caller, manner.way);
            let scope = scope.of_rule(subject, manner.form);
            for voice in self.side.about(Effect::Allow, &scope, manner.way, self.terms) {
                let Some(scope) = self.side.scope(voice, manner) else {
                    continue;
                };
                let mut clauses = self.side.cubes_about(Effect::Deny, &scope, manner, self.terms);
                clauses.push(Rc::clone(&spared));
                let allows = self.side.cubes(voice, manner, self.terms);
                for (one, two) in of_subject
                    .iter()
                    .flat_map(|one| allows.iter().map(move |two| (one, two)))
                {
                    if self.is_done() {
                        return;
                    }
                    self.look(&[one, two], &clauses, manner, self.forever());
                }
            }
            if manner.form == Form::Request && self.side.opens_encoded_slashes() {
                self.look_behind_encoded_slashes(from, &of_subject, manner.way);
            }
        }
    }

    /// Looks for what is not allowed of a subject.
    fn always(&mut self, subject: &Rule, manners: &[Manner]) {
        let hops = self.side.hops();
        let manners = manners.iter().filter(|manner| speaks(subject, hops, manner.way));
        for (from, manner) in pairs(&subject.from, manners) {
            if manner.way == Way::Direct {
                self.always_allowed(subject, from, None, manner);
            }
            for hop in spoken_of(subject, hops, manner.way) {
                self.always_allowed(subject, from, Some(hop), manner);
            }
        }
    }

    /// The same of one manner, and of one hop if it comes through any.
    fn always_allowed(&mut self, subject: &Rule, from: &IdPattern, hop: Option<&Hop>, manner: Manner) {
        // Whom the hop may bring is a matter of what is allowed.
        let without_via = Rule {
            via: None,
            ..subject.clone()
        };
        let reads = self.side.reads(manner);
        let of_subject = cubes(self.terms, &without_via, (from, Who::Caller), reads);
        let peers: Vec<Cube> = match hop {
            Some(hop) => {
                let peers = hop.peers.ids().iter();
                peers
                    .map(|peer| Cube::plain(of_id(self.terms, Who::Hop, peer)))
                    .collect()
            }
            None => vec![Cube::plain(Vec::new())],
        };
        let elsewhere = self.through_others(subject, from, manner);
        let scope = Scope::of_ids(from, Who::Caller, hop.into_iter()).of_rule(subject, manner.form);
        let mut allows = self.side.cubes_about(Effect::Allow, &scope, manner, self.terms);
        allows.push(Rc::clone(&elsewhere));
        let denies = self.side.cubes_about(Effect::Deny, &scope, manner, self.terms);
        for (one, peer) in of_subject
            .iter()
            .flat_map(|one| peers.iter().map(move |peer| (one, peer)))
        {
            if self.is_done() {
                return;
            }
            self.look(&[one, peer], &allows, manner, self.now());
            for deny in denies.iter().flat_map(|denies| denies.iter()) {
                if self.is_done() {
                    return;
                }
                self.look(&[one, peer, deny], &[Rc::clone(&elsewhere)], manner, self.now());
            }
        }
    }

    /// What the same peers bring as hops that the subject does not name.
    fn through_others(&mut self, subject: &Rule, from: &IdPattern, Manner { way, .. }: Manner) -> Cubes {
        let hops = self.side.hops();
        let named: Vec<&Hop> = spoken_of(subject, hops, way).collect();
        let is_named = |hop: &&Hop| named.iter().any(|named| named.name == hop.name);
        let others = on(hops, way).filter(|hop| !is_named(hop));
        others
            .flat_map(|hop| of_hop(self.terms, hop, (from, Who::Caller)))
            .collect()
    }

    fn forever(&self) -> Span {
        Span {
            from: self.at,
            until: None,
        }
    }

    fn now(&self) -> Span {
        Span {
            from: self.at,
            until: self.at.checked_add(SignedDuration::from_nanos(1)).ok(),
        }
    }

    fn look(&mut self, cubes: &[&Cube], clauses: &[Cubes], manner: Manner, span: Span) {
        let sought = Sought {
            cubes,
            clauses,
            manner,
            span,
            domains: &self.side.domains,
        };
        let policy = self.side.policy;
        let (wanted, most, found, fault) = (self.wanted, self.bounds.regions, &mut self.found, &mut self.fault);
        let mut is_costly = false;
        let mut show = |region: Region, witness: Witness| {
            let answer = witness.ask(policy.configuration());
            let counterexample = Counterexample {
                region,
                witness,
                answer,
            };
            if counterexample.answer.effect == wanted {
                found.push(counterexample);
            } else if counterexample.answer.reason == Reason::RuleTooCostly {
                is_costly = true;
            } else {
                *fault = Some(Box::new(counterexample));
            }
            if found.len() >= most || fault.is_some() {
                Go::Home
            } else {
                Go::On
            }
        };
        let doubt = seek(self.terms, &mut self.steps, sought, self.at, &mut show);
        let doubt = doubt.or(is_costly.then_some(Why::TooCostly));
        self.doubt = self.doubt.or(doubt);
    }

    /// A path with an encoded slash has two readings, which are not looked at here: whatever path a rule opens, it may
    /// be one of the subject.
    fn look_behind_encoded_slashes(&mut self, from: &IdPattern, of_subject: &[Cube], way: Way) {
        let form = Form::Request;
        let mut opening = Vec::new();
        let scope = self.side.scope_of(from, Who::Caller, way);
        for voice in self.side.about(Effect::Allow, &scope, way, self.terms) {
            opening.extend(self.side.opening(voice, way, self.terms));
        }
        for (one, two) in of_subject
            .iter()
            .flat_map(|one| opening.iter().map(move |two| (one, two)))
        {
            let (one, two) = (one.without_path(), two.without_path());
            let sought = Sought {
                cubes: &[&one, &two],
                clauses: &[],
                manner: Manner { way, form },
                span: self.forever(),
                domains: &self.side.domains,
            };
            let mut is_some = false;
            let mut show = |_: Region, _: Witness| {
                is_some = true;
                Go::Home
            };
            let doubt = seek(self.terms, &mut self.steps, sought, self.at, &mut show);
            let doubt = is_some.then_some(Why::EncodedSlashes).or(doubt);
            self.doubt = self.doubt.or(doubt);
        }
    }
}

fn pairs<'p>(
    from: &'p [IdPattern],
    manners: impl Iterator<Item = &'p Manner> + Clone,
) -> impl Iterator<Item = (&'p IdPattern, Manner)> {
    from.iter()
        .flat_map(move |pattern| manners.clone().map(move |manner| (pattern, *manner)))
}
