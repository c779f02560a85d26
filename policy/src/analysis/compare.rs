//! Who gains what, and who loses what, from one document to another?
//!
//! What the new document allows and the old one does not is allowed by a rule, and either no old rule allows it, so that
//! the rule is not among the old ones, or an old denial is about it that is not among the new ones. So the search begins
//! with what only one of the documents says, and costs what has changed. Each leaf gets an example, and both documents
//! are asked about it as a gate asks. What comes through hops is looked at in the same way; a rule is another one where
//! the hops that it names are others.

use std::{collections::BTreeMap, rc::Rc};

use hashbrown::HashMap;
use jiff::Timestamp;

use crate::{
    analysis::{
        brought::is_looked_at,
        comparison::{Bounds, Cause, Change, Changes, Comparison, Fault, LeftOut, Shown, Undecided, Why},
        cube::{Cube, Cubes},
        expected::{Expected, expected},
        manner::{Form, Manner, Way, Who},
        members::differences,
        policy::Policy,
        region::Region,
        sayings::Scope,
        search::{Go, Steps},
        seek::{Sought, meeting, seek},
        side::{Side, Standing, View, Voice, rules_of_one},
        subject::Subject,
        terms::Terms,
        values::Span,
        witness::{Answer, Witness},
    },
    pattern::id_pattern::IdPattern,
    reason::Reason,
    rules::{effect::Effect, rule::Rule},
};

/// Compares two documents from a moment on.
pub fn compare(old: &Policy, new: &Policy, at: Timestamp, bounds: Bounds) -> Comparison {
    compare_beyond(&Expected::default(), old, new, at, bounds)
}

/// The same, but for changes that are expected.
pub fn compare_beyond(expected: &Expected, old: &Policy, new: &Policy, at: Timestamp, bounds: Bounds) -> Comparison {
    let mut steps = Steps::of(bounds.steps);
    let mut changes = |view| changes(expected, old, new, at, bounds, view, &mut steps);
    let in_force = changes(View::InForce);
    let has_dry_run = |policy: &Policy| policy.rules.iter().any(|rule| rule.dry_run);
    let with_dry_run = (has_dry_run(old) || has_dry_run(new)).then(|| changes(View::WithDryRun));
    let modes = (old.configuration().mode, new.configuration().mode);
    Comparison {
        in_force,
        with_dry_run,
        mode: (modes.0 != modes.1).then_some(modes),
        not_compared: differences(old, new),
        left_out: vec![LeftOut::TooCostly],
    }
}

fn changes(
    expected: &Expected,
    old: &Policy,
    new: &Policy,
    at: Timestamp,
    bounds: Bounds,
    view: View,
    steps: &mut Steps,
) -> Changes {
    let mut terms = Terms::new();
    let mut old = Side::new(old, view, at, &mut terms);
    let mut new = Side::new(new, view, at, &mut terms);
    let mut changes = Changes::default();
    let manners = manners(&old, &new);
    let [of_old, of_new] = rules_of_one_by_way(&old, &new);
    for is_gain in [true, false] {
        let (allowing, refusing, of_allowing, of_refusing) = if is_gain {
            (&mut new, &mut old, &of_new, &of_old)
        } else {
            (&mut old, &mut new, &of_old, &of_new)
        };
        let mut comparing = Comparing {
            allowing,
            refusing,
            of_allowing,
            of_refusing,
            view,
            at,
            bounds,
            is_gain,
            expected: expected.of(is_gain),
            expected_cubes: HashMap::new(),
            terms: &mut terms,
            steps,
            undecided: Vec::new(),
            faults: Vec::new(),
        };
        let found = comparing.found(&manners);
        changes.undecided.append(&mut comparing.undecided);
        changes.faults.append(&mut comparing.faults);
        *(if is_gain {
            &mut changes.gains
        } else {
            &mut changes.losses
        }) = found;
    }
    changes
}

/// In which manners something is asked for, of one of two documents at least. Where what comes through hops is not looked
/// at in one, it cannot be compared.
fn manners(old: &Side<'_>, new: &Side<'_>) -> Vec<Manner> {
    let mut forms = [old.forms(), new.forms()].concat();
    forms.sort_unstable();
    forms.dedup();
    Manner::all(&forms, &both_ways(old, new))
}

fn both_ways(old: &Side<'_>, new: &Side<'_>) -> Vec<Way> {
    if ![old, new].iter().all(|side| is_looked_at(side.hops())) {
        return vec![Way::Direct];
    }
    let mut ways = [old.ways(), new.ways()].concat();
    ways.sort_unstable();
    ways.dedup();
    ways
}

/// The rules that only one of two documents has, each with the ways of which that is so.
fn rules_of_one_by_way(one: &Side<'_>, other: &Side<'_>) -> [Vec<RuleOfOne>; 2] {
    let mut rules: [BTreeMap<usize, Vec<Way>>; 2] = Default::default();
    for way in both_ways(one, other) {
        for (all, places) in rules.iter_mut().zip(rules_of_one(one, other, way)) {
            for place in places {
                all.entry(place).or_default().push(way);
            }
        }
    }
    rules.map(|rules| {
        let rules = rules.into_iter();
        rules.map(|(place, ways)| RuleOfOne { place, ways }).collect()
    })
}

/// A rule that only one of two documents has.
struct RuleOfOne {
    place: usize,
    ways: Vec<Way>,
}

struct Comparing<'c, 'p> {
    allowing: &'c mut Side<'p>,
    refusing: &'c mut Side<'p>,
    /// The rules that only the one has.
    of_allowing: &'c [RuleOfOne],
    /// That only the other has.
    of_refusing: &'c [RuleOfOne],
    view: View,
    at: Timestamp,
    bounds: Bounds,
    is_gain: bool,
    expected: &'c [Subject],
    expected_cubes: HashMap<Manner, Rc<[Cube]>>,
    terms: &'c mut Terms,
    steps: &'c mut Steps,
    undecided: Vec<Undecided>,
    faults: Vec<Fault>,
}

/// What a search comes to.
#[derive(Default)]
struct Search {
    shown: Vec<Shown>,
    has_more: bool,
    /// Why there may be more than was found.
    doubt: Option<Why>,
    faults: Vec<Fault>,
}

impl Comparing<'_, '_> {
    fn found(&mut self, manners: &[Manner]) -> Vec<Change> {
        let mut changes = Vec::new();
        for RuleOfOne { place, ways } in self.of_allowing {
            let allowing = self.allowing.rule(*place);
            let Some(written) = allowing.filter(|written| written.effect == Effect::Allow) else {
                continue;
            };
            let mut change = Change::new(Cause::Allow(*place));
            for from in 0..written.from.len() {
                for manner in manners.iter().filter(|manner| ways.contains(&manner.way)) {
                    let (rule, who) = (*place, Who::Caller);
                    self.allowed_by(Voice::Rule { rule, from, who }, *manner, &mut change);
                }
            }
            changes.extend((!change.regions.is_empty()).then_some(change));
        }
        for of_one in self.of_refusing {
            let refusing = self.refusing.rule(of_one.place);
            let Some(written) = refusing.filter(|written| written.effect == Effect::Deny) else {
                continue;
            };
            let mut change = Change::new(Cause::Deny(of_one.place));
            self.denied_by_rule(of_one, written, manners, &mut change);
            changes.extend((!change.regions.is_empty()).then_some(change));
        }
        for standing in self.refusing.standing_beside(self.allowing) {
            let mut change = Change::new(cause(&standing));
            let pattern = standing.pattern();
            for manner in manners.iter().filter(|manner| standing.is_about(**manner)) {
                for who in manner.way.asked_by(Effect::Deny) {
                    let denying = [standing.cube(*who, self.terms)];
                    let scope = self.allowing.scope_of(&pattern, *who, manner.way);
                    self.denied_by(&denying, &scope, *manner, &mut change);
                }
            }
            changes.extend((!change.regions.is_empty()).then_some(change));
        }
        self.behind_encoded_slashes(manners);
        changes
    }

    fn denied_by_rule(&mut self, of_one: &RuleOfOne, written: &Rule, manners: &[Manner], change: &mut Change) {
        for (from, pattern) in written.from.iter().enumerate() {
            for manner in manners.iter().filter(|manner| of_one.ways.contains(&manner.way)) {
                for who in manner.way.asked_by(Effect::Deny).iter().copied() {
                    let rule = of_one.place;
                    let denying = self
                        .refusing
                        .cubes(Voice::Rule { rule, from, who }, *manner, self.terms);
                    let scope = self.allowing.scope_of(pattern, who, manner.way);
                    let scope = scope.of_rule(written, manner.form);
                    self.denied_by(&denying, &scope, *manner, change);
                }
            }
        }
    }

    /// A path with an encoded slash has two readings, which are not looked at here. Whatever only one document says may
    /// make a difference to one, where some rule opens such paths.
    fn behind_encoded_slashes(&mut self, manners: &[Manner]) {
        if !self.allowing.opens_encoded_slashes() {
            return;
        }
        let mut said: Vec<(Cube, IdPattern, Who, Way)> = Vec::new();
        let sides = [
            (&*self.allowing, self.of_allowing, &*self.refusing),
            (&*self.refusing, self.of_refusing, &*self.allowing),
        ];
        for (side, rules, other) in sides {
            for RuleOfOne { place, ways } in rules {
                for way in ways.iter().copied() {
                    let cubes = side.anything_said(*place, way, self.terms).into_iter();
                    said.extend(cubes.map(|(cube, ids, who)| (cube, ids, who, way)));
                }
            }
            for standing in side.standing_beside(other) {
                let requests = manners.iter().filter(|manner| manner.form == Form::Request);
                for Manner { way, .. } in requests.filter(|manner| standing.is_about(**manner)) {
                    let whom = way.asked_by(Effect::Deny).iter();
                    said.extend(whom.map(|who| (standing.cube(*who, self.terms), standing.pattern(), *who, *way)));
                }
            }
        }
        for (said, pattern, who, way) in said {
            self.look_behind_encoded_slashes(&said, (&pattern, who), way);
        }
    }

    /// What an allow rule opens that no rule of the other document does.
    fn allowed_by(&mut self, voice: Voice, manner: Manner, change: &mut Change) {
        let allowing = self.allowing.cubes(voice, manner, self.terms);
        let Some(scope) = self.allowing.scope(voice, manner).filter(|_| !allowing.is_empty()) else {
            return;
        };
        let mut clauses = self.not_sought(&scope, manner);
        clauses.append(&mut self.refusing.cubes_about(Effect::Allow, &scope, manner, self.terms));
        for cube in allowing.iter() {
            let most = self.bounds.regions.saturating_sub(change.regions.len()).max(1);
            self.look(&[cube], &clauses, manner, most, change);
        }
    }

    /// What a denial of the other document keeps shut, and some rule opens.
    fn denied_by(&mut self, denying: &[Cube], scope: &Scope<'_>, manner: Manner, change: &mut Change) {
        for voice in self.allowing.about(Effect::Allow, scope, manner.way, self.terms) {
            if change.through.len() >= self.bounds.through {
                change.has_more = true;
                return;
            }
            let (Some(of_allow), Voice::Rule { rule, .. }) = (self.allowing.scope(voice, manner), voice) else {
                continue;
            };
            let allowing = self.allowing.cubes(voice, manner, self.terms);
            // Most pairs have nothing in common, and what else denies is only asked about those that have.
            let mut clauses: Option<Vec<Cubes>> = None;
            let before = change.regions.len();
            for (deny, cube) in denying
                .iter()
                .flat_map(|deny| allowing.iter().map(move |cube| (deny, cube)))
            {
                if meeting(self.terms, &[deny, cube], self.forever()).is_none() {
                    continue;
                }
                let clauses = clauses.get_or_insert_with(|| self.not_sought(&of_allow, manner));
                self.look(&[deny, cube], clauses, manner, 1, change);
            }
            if change.regions.len() > before && change.through.last() != Some(&rule) {
                change.through.push(rule);
            }
        }
    }

    /// What the document that allows denies itself, and what is expected.
    fn not_sought(&mut self, scope: &Scope<'_>, manner: Manner) -> Vec<Cubes> {
        let mut clauses = self.allowing.cubes_about(Effect::Deny, scope, manner, self.terms);
        clauses.push(self.expected(manner));
        clauses
    }

    fn expected(&mut self, manner: Manner) -> Rc<[Cube]> {
        let reads = self.allowing.reads(manner);
        let (terms, subjects) = (&mut *self.terms, self.expected);
        let made = self.expected_cubes.entry(manner);
        Rc::clone(made.or_insert_with(|| expected(terms, subjects, reads).into()))
    }

    /// Looks for what all of these cubes have, and none of the clauses.
    fn look(&mut self, cubes: &[&Cube], clauses: &[Cubes], manner: Manner, most: usize, change: &mut Change) {
        let sought = Sought {
            cubes,
            clauses,
            manner,
            span: self.forever(),
            domains: &self.allowing.domains,
        };
        let (allowing, refusing) = (self.allowing.policy, self.refusing.policy);
        let view = self.view;
        let mut search = Search::default();
        let mut show = |region: Region, witness: Witness| {
            search.judge(region, witness, allowing, refusing, view);
            search.has_more = search.shown.len() >= most;
            if search.has_more { Go::Home } else { Go::On }
        };
        let doubt = seek(self.terms, self.steps, sought, self.at, &mut show);
        change.has_more |= search.has_more;
        if let Some(why) = doubt.or(search.doubt) {
            change.has_more = true;
            // What was found is certain, and there may be more.
            if search.shown.is_empty() {
                self.doubt(&change.cause, why);
            }
        }
        change.regions.append(&mut search.shown);
        self.faults.append(&mut search.faults);
    }

    fn forever(&self) -> Span {
        Span {
            from: self.at,
            until: None,
        }
    }

    fn doubt(&mut self, cause: &Cause, why: Why) {
        let undecided = Undecided {
            cause: cause.clone(),
            is_gain: self.is_gain,
            why,
        };
        if !self.undecided.contains(&undecided) {
            self.undecided.push(undecided);
        }
    }

    /// Whether a rule opens such paths where something is said that the other document does not say.
    fn look_behind_encoded_slashes(&mut self, said: &Cube, (pattern, who): (&IdPattern, Who), way: Way) {
        let form = Form::Request;
        let scope = self.allowing.scope_of(pattern, who, way);
        for voice in self.allowing.about(Effect::Allow, &scope, way, self.terms) {
            let Voice::Rule { rule, .. } = voice else { continue };
            for opening in self.allowing.opening(voice, way, self.terms) {
                let sought = Sought {
                    cubes: &[said, &opening],
                    clauses: &[],
                    manner: Manner { way, form },
                    span: self.forever(),
                    domains: &self.allowing.domains,
                };
                let mut is_some = false;
                let mut show = |_: Region, _: Witness| {
                    is_some = true;
                    Go::Home
                };
                let doubt = seek(self.terms, self.steps, sought, self.at, &mut show);
                if let Some(why) = is_some.then_some(Why::EncodedSlashes).or(doubt) {
                    self.doubt(&Cause::Allow(rule), why);
                }
            }
        }
    }
}

impl Search {
    /// Asks both documents.
    fn judge(&mut self, region: Region, witness: Witness, allowing: &Policy, refusing: &Policy, view: View) {
        let allowed = witness.ask(allowing.configuration());
        let refused = witness.ask(refusing.configuration());
        let is_too_costly = [&allowed, &refused].into_iter().any(|answer| {
            answer.reason == Reason::RuleTooCostly || (view == View::WithDryRun && answer.would_be_is_unknown)
        });
        let effects = [&allowed, &refused].map(|answer| effect(answer, view));
        if effects == [Effect::Allow, Effect::Deny] {
            self.shown.push(Shown {
                region,
                witness,
                allowed,
                refused,
            });
        } else if is_too_costly {
            self.doubt = Some(Why::TooCostly);
        } else {
            self.faults.push(Fault {
                witness,
                allowed,
                refused,
            });
        }
    }
}

fn effect(answer: &Answer, view: View) -> Effect {
    match view {
        View::InForce => answer.effect,
        View::WithDryRun => answer.would_be,
    }
}

fn cause(standing: &Standing) -> Cause {
    match standing {
        Standing::Scope(name, _) => Cause::Scope(name.to_string()),
        Standing::Expiry(name, expires) => Cause::Expiry(name.to_string(), *expires),
        Standing::Unknown(name) => Cause::Unknown(name.to_string()),
        Standing::Hop(pattern) => Cause::Hop(pattern.to_string()),
        Standing::Revoked(pattern, _) => Cause::Revoked(pattern.to_string()),
    }
}

impl Change {
    fn new(cause: Cause) -> Self {
        Self {
            cause,
            through: Vec::new(),
            regions: Vec::new(),
            has_more: false,
        }
    }
}
