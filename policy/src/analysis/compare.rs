//! Who gains what, and who loses what, from one document to another?
//!
//! What the new document allows and the old one does not is allowed by a rule, and either no old rule allows it, so that
//! the rule is not among the old ones, or an old denial is about it that is not among the new ones. So the search begins
//! with what only one of the documents says, and costs what has changed. Each leaf gets an example, and both documents
//! are asked about it as a gate asks.

use jiff::Timestamp;

use crate::{
    analysis::{
        comparison::{Bounds, Cause, Change, Changes, Comparison, Fault, LeftOut, Shown, Undecided, Why},
        cube::{Cube, Form},
        members::differences,
        policy::Policy,
        region::Region,
        search::{Go, Steps},
        seek::{Sought, seek},
        side::{Side, Standing, View, Voice},
        terms::Terms,
        values::Span,
        witness::{Answer, Witness},
    },
    pattern::id_pattern::IdPattern,
    reason::Reason,
    rules::effect::Effect,
};

/// Compares two documents from a moment on.
pub fn compare(old: &Policy, new: &Policy, at: Timestamp, bounds: Bounds) -> Comparison {
    let mut steps = Steps::of(bounds.steps);
    let in_force = changes(old, new, at, bounds, View::InForce, &mut steps);
    let has_dry_run = |policy: &Policy| policy.rules.iter().any(|rule| rule.dry_run);
    let with_dry_run =
        (has_dry_run(old) || has_dry_run(new)).then(|| changes(old, new, at, bounds, View::WithDryRun, &mut steps));
    let modes = (old.configuration().mode, new.configuration().mode);
    Comparison {
        in_force,
        with_dry_run,
        mode: (modes.0 != modes.1).then_some(modes),
        not_compared: differences(old, new),
        left_out: vec![LeftOut::TooCostly],
    }
}

fn changes(old: &Policy, new: &Policy, at: Timestamp, bounds: Bounds, view: View, steps: &mut Steps) -> Changes {
    let mut terms = Terms::new();
    let mut old = Side::new(old, view, at, &mut terms);
    let mut new = Side::new(new, view, at, &mut terms);
    let mut changes = Changes::default();
    let mut forms = [old.forms(), new.forms()].concat();
    forms.sort_unstable();
    forms.dedup();
    for is_gain in [true, false] {
        let (allowing, refusing) = if is_gain {
            (&mut new, &mut old)
        } else {
            (&mut old, &mut new)
        };
        let mut comparing = Comparing {
            allowing,
            refusing,
            view,
            at,
            bounds,
            is_gain,
            terms: &mut terms,
            steps,
            undecided: Vec::new(),
            faults: Vec::new(),
        };
        let found = comparing.found(&forms);
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

struct Comparing<'c, 'p> {
    allowing: &'c mut Side<'p>,
    refusing: &'c mut Side<'p>,
    view: View,
    at: Timestamp,
    bounds: Bounds,
    is_gain: bool,
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
    fn found(&mut self, forms: &[Form]) -> Vec<Change> {
        let mut changes = Vec::new();
        for rule in self.allowing.rules_beside(self.refusing) {
            let Some(written) = self
                .allowing
                .rule(rule)
                .filter(|written| written.effect == Effect::Allow)
            else {
                continue;
            };
            let mut change = Change::new(Cause::Allow(rule));
            for (from, pattern) in written.from.iter().enumerate() {
                for form in forms {
                    self.allowed_by(Voice::Rule { rule, from }, pattern, *form, &mut change);
                }
            }
            changes.extend((!change.regions.is_empty()).then_some(change));
        }
        for rule in self.refusing.rules_beside(self.allowing) {
            let Some(written) = self
                .refusing
                .rule(rule)
                .filter(|written| written.effect == Effect::Deny)
            else {
                continue;
            };
            let mut change = Change::new(Cause::Deny(rule));
            for (from, pattern) in written.from.iter().enumerate() {
                for form in forms {
                    let denying = self.refusing.cubes(Voice::Rule { rule, from }, *form, self.terms);
                    self.denied_by(&denying, pattern, *form, &mut change);
                }
            }
            changes.extend((!change.regions.is_empty()).then_some(change));
        }
        for standing in self.refusing.standing_beside(self.allowing) {
            let mut change = Change::new(cause(&standing));
            let denying = [standing.cube(self.terms)];
            for form in forms.iter().filter(|form| standing.is_about(**form)) {
                self.denied_by(&denying, &standing.pattern(), *form, &mut change);
            }
            changes.extend((!change.regions.is_empty()).then_some(change));
        }
        self.behind_encoded_slashes();
        changes
    }

    /// A path with an encoded slash has two readings, which are not looked at here. Whatever only one document says may
    /// make a difference to one, where some rule opens such paths.
    fn behind_encoded_slashes(&mut self) {
        let opens = |side: &Side<'_>| {
            let counted = side.policy.rules.iter().filter(|rule| side.counts(rule));
            let mut targets = counted.flat_map(|rule| &rule.to);
            targets.any(|target| target.conditions.encoded_slashes)
        };
        if !opens(self.allowing) {
            return;
        }
        let mut said: Vec<(Cube, IdPattern)> = Vec::new();
        for (side, other) in [(&*self.allowing, &*self.refusing), (&*self.refusing, &*self.allowing)] {
            for rule in side.rules_beside(other) {
                said.extend(side.anything_said(rule, self.terms));
            }
            for standing in side.standing_beside(other) {
                said.push((standing.cube(self.terms), standing.pattern()));
            }
        }
        for (said, pattern) in said {
            self.look_behind_encoded_slashes(&said, &pattern);
        }
    }

    /// What an allow rule opens that no rule of the other document does.
    fn allowed_by(&mut self, voice: Voice, pattern: &IdPattern, form: Form, change: &mut Change) {
        let allowing = self.allowing.cubes(voice, form, self.terms);
        if allowing.is_empty() {
            return;
        }
        let mut clauses = self.allowing_denies(pattern, form);
        for other in self.refusing.about(Effect::Allow, pattern, self.terms) {
            clauses.extend(self.refusing.cubes(other, form, self.terms).iter().cloned());
        }
        for cube in allowing.iter() {
            let most = self.bounds.regions.saturating_sub(change.regions.len()).max(1);
            self.look(&[cube], &clauses, form, most, change);
        }
    }

    /// What a denial of the other document keeps shut, and some rule opens.
    fn denied_by(&mut self, denying: &[Cube], pattern: &IdPattern, form: Form, change: &mut Change) {
        for voice in self.allowing.about(Effect::Allow, pattern, self.terms) {
            let (Some(of_allow), Voice::Rule { rule, .. }) = (self.allowing.pattern(voice), voice) else {
                continue;
            };
            let allowing = self.allowing.cubes(voice, form, self.terms);
            let clauses = self.allowing_denies(&of_allow, form);
            let before = change.regions.len();
            for deny in denying {
                for cube in allowing.iter() {
                    self.look(&[deny, cube], &clauses, form, 1, change);
                }
            }
            if change.regions.len() > before {
                change.through.push(rule);
            }
        }
        change.through.dedup();
    }

    fn allowing_denies(&mut self, pattern: &IdPattern, form: Form) -> Vec<Cube> {
        let mut clauses = Vec::new();
        for voice in self.allowing.about(Effect::Deny, pattern, self.terms) {
            clauses.extend(self.allowing.cubes(voice, form, self.terms).iter().cloned());
        }
        clauses
    }

    /// Looks for what all of these cubes have, and none of the clauses.
    fn look(&mut self, cubes: &[&Cube], clauses: &[Cube], form: Form, most: usize, change: &mut Change) {
        let sought = Sought {
            cubes,
            clauses,
            form,
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
    fn look_behind_encoded_slashes(&mut self, said: &Cube, pattern: &IdPattern) {
        for voice in self.allowing.about(Effect::Allow, pattern, self.terms) {
            let Voice::Rule { rule, .. } = voice else { continue };
            for opening in self.allowing.opening(voice, self.terms) {
                let sought = Sought {
                    cubes: &[said, &opening],
                    clauses: &[],
                    form: Form::Request,
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
