//! Who gains what, and who loses what, from one document to another?
//!
//! What the new document allows and the old one does not is allowed by a rule, and either no old rule allows it, so that
//! the rule is not among the old ones, or an old denial is about it that is not among the new ones. So the search begins
//! with what only one of the documents says, and costs what has changed. Each leaf gets an example, and both documents
//! are asked about it as a gate asks.

use jiff::Timestamp;

use crate::{
    analysis::{
        branch::Branch,
        comparison::{Bounds, Cause, Change, Changes, Comparison, Fault, LeftOut, Shown, Undecided, Why},
        cube::{Cube, Form},
        literal::Literal,
        members::differences,
        policy::Policy,
        realise::{Example, realise},
        region::region,
        search::{Go, Steps, leaves},
        side::{Side, Standing, View, Voice},
        terms::Terms,
        values::Span,
        witness::{Answer, Witness},
    },
    document::settings::Listeners,
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
    let opens = |policy: &Policy| {
        let rules = &policy.configuration().rules.0;
        rules.enforced.opens_encoded_slashes || rules.dry_run.opens_encoded_slashes
    };
    let mut left_out = vec![LeftOut::TooCostly];
    left_out.extend((opens(old) || opens(new)).then_some(LeftOut::EncodedSlashes));
    Comparison {
        in_force,
        with_dry_run,
        mode: (modes.0 != modes.1).then_some(modes),
        not_compared: differences(old, new),
        left_out,
    }
}

fn changes(old: &Policy, new: &Policy, at: Timestamp, bounds: Bounds, view: View, steps: &mut Steps) -> Changes {
    let mut terms = Terms::new();
    let mut old = Side::new(old, view, at, &mut terms);
    let mut new = Side::new(new, view, at, &mut terms);
    let mut changes = Changes::default();
    let forms = forms(&old, &new);
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

/// The forms in which something is asked for at the listeners of either.
fn forms(old: &Side<'_>, new: &Side<'_>) -> Vec<Form> {
    let listeners = [old, new].map(|side| side.policy.configuration().listener);
    let has_requests = listeners.iter().any(|listeners| listeners.have_requests());
    let has_connections = listeners.iter().any(|listeners| match listeners {
        Listeners::Only(listener) => !listener.has_requests(),
        Listeners::Shared => true,
    });
    let requests = has_requests.then_some([Form::Request, Form::Tunnel]);
    let connections = has_connections.then_some(Form::Connection);
    requests.into_iter().flatten().chain(connections).collect()
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
            for form in forms {
                self.denied_by(&denying, &standing.pattern(), *form, &mut change);
            }
            changes.extend((!change.regions.is_empty()).then_some(change));
        }
        changes
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
        let mut branch = Branch::new(Span {
            from: self.at,
            until: None,
        });
        if !cubes.iter().all(|cube| branch.add_all(&cube.literals, self.terms)) {
            return;
        }
        let exceptions = cubes.iter().flat_map(|cube| cube.exceptions.iter());
        let exceptions: Vec<Cube> = exceptions
            .map(|literals: &Vec<Literal>| Cube::plain(literals.clone()))
            .collect();
        let clauses: Vec<&Cube> = exceptions.iter().chain(clauses).collect();
        let mut search = Search::default();
        let (allowing, refusing) = (self.allowing.policy, self.refusing.policy);
        let domains = &self.allowing.domains;
        let (view, at) = (self.view, self.at);
        let mut show = |terms: &mut Terms, branch: &Branch| {
            match realise(branch, form, domains, terms) {
                Example::None => {}
                Example::Unknown => search.doubt = Some(Why::Values),
                Example::Is(witness) => {
                    let region = region(branch, form, at, terms);
                    search.judge(region, *witness, allowing, refusing, view);
                }
            }
            search.has_more = search.shown.len() >= most;
            if search.has_more { Go::Home } else { Go::On }
        };
        if leaves(self.terms, self.steps, branch, &clauses, &mut show).is_err() {
            search.doubt = Some(Why::Steps);
        }
        change.has_more |= search.has_more;
        if let Some(why) = search.doubt {
            change.has_more = true;
            let undecided = Undecided {
                cause: change.cause.clone(),
                is_gain: self.is_gain,
                why,
            };
            // What was found is certain, and there may be more.
            if search.shown.is_empty() && !self.undecided.contains(&undecided) {
                self.undecided.push(undecided);
            }
        }
        change.regions.append(&mut search.shown);
        self.faults.append(&mut search.faults);
    }
}

impl Search {
    /// Asks both documents.
    fn judge(
        &mut self,
        region: crate::analysis::region::Region,
        witness: Witness,
        allowing: &Policy,
        refusing: &Policy,
        view: View,
    ) {
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
