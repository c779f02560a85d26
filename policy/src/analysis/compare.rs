//! Who gains what, and who loses what, from one document to another?
//!
//! What the new document allows and the old one does not is allowed by a rule, and either no old rule allows it, so that
//! the rule is not among the old ones, or an old denial is about it that is not among the new ones. So the search begins
//! with what only one of the documents says, and costs what has changed. Each leaf gets an example, and both documents
//! are asked about it as a gate asks.

use std::rc::Rc;

use hashbrown::HashMap;
use jiff::Timestamp;

use crate::{
    analysis::{
        comparison::{Bounds, Cause, Change, Changes, Comparison, Fault, LeftOut, Shown, Undecided, Why},
        cube::{Cube, Cubes, Form, Reads},
        expected::{Expected, expected},
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
    rules::effect::Effect,
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
    let mut forms = [old.forms(), new.forms()].concat();
    forms.sort_unstable();
    forms.dedup();
    let [of_old, of_new] = rules_of_one(&old, &new);
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
    /// The places of the rules that only the one has.
    of_allowing: &'c [usize],
    /// That only the other has.
    of_refusing: &'c [usize],
    view: View,
    at: Timestamp,
    bounds: Bounds,
    is_gain: bool,
    expected: &'c [Subject],
    expected_cubes: HashMap<Form, Rc<[Cube]>>,
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
        for rule in self.of_allowing.iter().copied() {
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
                    let scope = Scope::of_rule(written, pattern, *form);
                    self.allowed_by(Voice::Rule { rule, from }, &scope, *form, &mut change);
                }
            }
            changes.extend((!change.regions.is_empty()).then_some(change));
        }
        for rule in self.of_refusing.iter().copied() {
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
                    let scope = Scope::of_rule(written, pattern, *form);
                    let denying = self.refusing.cubes(Voice::Rule { rule, from }, *form, self.terms);
                    self.denied_by(&denying, &scope, *form, &mut change);
                }
            }
            changes.extend((!change.regions.is_empty()).then_some(change));
        }
        for standing in self.refusing.standing_beside(self.allowing) {
            let mut change = Change::new(cause(&standing));
            let denying = [standing.cube(self.terms)];
            for form in forms.iter().filter(|form| standing.is_about(**form)) {
                self.denied_by(&denying, &Scope::of_ids(&standing.pattern()), *form, &mut change);
            }
            changes.extend((!change.regions.is_empty()).then_some(change));
        }
        self.behind_encoded_slashes();
        changes
    }

    /// A path with an encoded slash has two readings, which are not looked at here. Whatever only one document says may
    /// make a difference to one, where some rule opens such paths.
    fn behind_encoded_slashes(&mut self) {
        if !self.allowing.opens_encoded_slashes() {
            return;
        }
        let mut said: Vec<(Cube, IdPattern)> = Vec::new();
        let sides = [
            (&*self.allowing, self.of_allowing, &*self.refusing),
            (&*self.refusing, self.of_refusing, &*self.allowing),
        ];
        for (side, rules, other) in sides {
            for rule in rules {
                said.extend(side.anything_said(*rule, self.terms));
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
    fn allowed_by(&mut self, voice: Voice, scope: &Scope<'_>, form: Form, change: &mut Change) {
        let allowing = self.allowing.cubes(voice, form, self.terms);
        if allowing.is_empty() {
            return;
        }
        let mut clauses = self.not_sought(scope, form);
        clauses.append(&mut self.refusing.cubes_about(Effect::Allow, scope, form, self.terms));
        for cube in allowing.iter() {
            let most = self.bounds.regions.saturating_sub(change.regions.len()).max(1);
            self.look(&[cube], &clauses, form, most, change);
        }
    }

    /// What a denial of the other document keeps shut, and some rule opens.
    fn denied_by(&mut self, denying: &[Cube], scope: &Scope<'_>, form: Form, change: &mut Change) {
        for voice in self.allowing.about(Effect::Allow, scope, self.terms) {
            if change.through.len() >= self.bounds.through {
                change.has_more = true;
                return;
            }
            let (Some(of_allow), Voice::Rule { rule, .. }) = (self.allowing.scope(voice, form), voice) else {
                continue;
            };
            let allowing = self.allowing.cubes(voice, form, self.terms);
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
                let clauses = clauses.get_or_insert_with(|| self.not_sought(&of_allow, form));
                self.look(&[deny, cube], clauses, form, 1, change);
            }
            if change.regions.len() > before && change.through.last() != Some(&rule) {
                change.through.push(rule);
            }
        }
    }

    /// What the document that allows denies itself, and what is expected.
    fn not_sought(&mut self, scope: &Scope<'_>, form: Form) -> Vec<Cubes> {
        let mut clauses = self.allowing.cubes_about(Effect::Deny, scope, form, self.terms);
        clauses.push(self.expected(form));
        clauses
    }

    fn expected(&mut self, form: Form) -> Rc<[Cube]> {
        let paths = self.allowing.policy.reading().paths;
        let (terms, subjects) = (&mut *self.terms, self.expected);
        let made = self.expected_cubes.entry(form);
        Rc::clone(made.or_insert_with(|| expected(terms, subjects, Reads { form, paths }).into()))
    }

    /// Looks for what all of these cubes have, and none of the clauses.
    fn look(&mut self, cubes: &[&Cube], clauses: &[Cubes], form: Form, most: usize, change: &mut Change) {
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
        for voice in self.allowing.about(Effect::Allow, &Scope::of_ids(pattern), self.terms) {
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
