//! Which rules come to nothing beside all others?
//!
//! A rule is of use where some request is decided in another way without it. Of an allow rule, that is one which it
//! allows and no other rule does; of a deny rule, one which some rule allows and no other denies. The first one found
//! settles it, and a gate is asked whether it names the rule. Where there is none, the rule comes to nothing, and
//! further searches tell why.
//!
//! Of rules that come to the same, the last is said to be too much, and does not count beside those before it: so all
//! that is said to be too much can go at once. What is meant is whether a request may pass: the reason for which one is
//! refused may be another without the rule.

use hashbrown::HashSet;
use jiff::Timestamp;

use crate::{
    analysis::{
        brought::{is_looked_at, speaks, spoken_of},
        comparison::Why,
        cube::{Cube, Cubes, of_hop, of_id},
        manner::{Form, Manner, Way, Who},
        policy::Policy,
        region::Region,
        sayings::Scope,
        search::{Go, Steps},
        seek::{Sought, meeting, seek},
        side::{Side, View, Voice},
        terms::Terms,
        values::Span,
        witness::{Answer, Witness},
    },
    pattern::id_pattern::IdPattern,
    reason::Reason,
    rules::{effect::Effect, rule::Rule},
};

/// How much remarks may cost.
#[derive(Clone, Copy, Debug)]
pub struct RemarkBounds {
    /// Steps for all rules together, each a demand that is looked at.
    pub steps: u64,
    /// Steps for one rule.
    pub steps_of_rule: u64,
}

impl Default for RemarkBounds {
    /// Our decision: some seconds for a whole document, some tenths of one for a rule.
    fn default() -> Self {
        Self {
            steps: 50_000_000,
            steps_of_rule: 2_000_000,
        }
    }
}

/// Something about one rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// Its place in `rules`.
    pub rule: usize,
    /// What.
    pub what: What,
}

/// What is to be said about a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// It matches nothing that anybody asks for who may come in.
    Dead,
    /// An allow rule: everything that it allows is denied.
    Shadowed {
        /// The places of the rules that deny some of it.
        by: Vec<usize>,
        /// Something that it would allow.
        example: Box<Witness>,
    },
    /// Without it nothing is decided otherwise, because rules of the same effect say it, too.
    Redundant {
        /// Their places.
        beside: Vec<usize>,
    },
    /// A deny rule: no rule allows anything that it denies.
    Idle,
    /// An entry of `except` that matches no id which `from` matches and which may come in.
    IdleException {
        /// Its place in `except`.
        except: usize,
    },
    /// Whether it is of use was not decided.
    Undecided(Why),
    /// The gate decides this in another way than the analysis: a mistake of ours.
    Fault {
        /// What was asked.
        witness: Box<Witness>,
        /// What the gate decides.
        answer: Box<Answer>,
    },
}

/// Most rules of which those that are needed are picked out, one by one. Of more, all are told that have something in
/// common with the rule. Our decision: nobody reads on.
const MAX_PICKED: usize = 16;

/// All that is to be said about the rules of a policy from a moment on, in the order of the document. Nothing is said
/// of the use of rules that are over or in a dry run.
pub fn remarks(policy: &Policy, at: Timestamp, bounds: RemarkBounds) -> Vec<Remark> {
    let mut means = Means {
        terms: Terms::new(),
        steps: Steps::of(0),
    };
    let mut left = Steps::of(bounds.steps);
    let has_dry_run = policy.rules.iter().any(|rule| rule.dry_run);
    // Some rule may be of use once those in a dry run are in force.
    let with_dry_run = has_dry_run.then_some(View::WithDryRun);
    let views = [View::InForce].into_iter().chain(with_dry_run);
    let mut views: Vec<Asking<'_>> = views
        .map(|view| Asking::new(policy, view, at, &mut means.terms))
        .collect();
    let mut remarks = Vec::new();
    for (place, rule) in policy.rules.iter().enumerate().rev() {
        let asked = Asked { place, rule };
        means.steps = left.share(bounds.steps_of_rule);
        let mut said = of_exceptions(&mut views, asked, &mut means);
        said.extend(of_use(&mut views, asked, &mut means));
        left.give_back(&mut means.steps);
        remarks.extend(said.into_iter().rev().map(|what| Remark { rule: place, what }));
    }
    remarks.reverse();
    remarks
}

/// What a search goes on with.
struct Means {
    terms: Terms,
    steps: Steps,
}

/// A rule that is asked about.
#[derive(Clone, Copy)]
struct Asked<'r> {
    place: usize,
    rule: &'r Rule,
}

/// What there is to be said of a rule's use; `None` where it has one, or is over or in a dry run.
fn of_use(views: &mut [Asking<'_>], asked: Asked<'_>, means: &mut Means) -> Option<What> {
    let is_in_force = |view: &Asking<'_>| {
        view.manners
            .iter()
            .any(|manner| view.side.counts(asked.rule, manner.way))
    };
    // What is not looked at may be of use.
    let is_unseen = speaks_unseen(views, asked.rule);
    if !views.first().is_some_and(is_in_force) && !is_unseen {
        return None;
    }
    let mut said = None;
    for view in views.iter_mut() {
        let what = view.of_use(asked, means)?;
        match what {
            // Why is told as it is in force.
            What::Dead | What::Shadowed { .. } | What::Redundant { .. } | What::Idle => {
                said.get_or_insert(what);
            }
            What::IdleException { .. } | What::Undecided(_) | What::Fault { .. } => return Some(what),
        }
    }
    if said.is_some() && is_unseen {
        return Some(What::Undecided(Why::Hops));
    }
    if let Some(What::Redundant { .. } | What::Idle) = said {
        for view in views {
            view.gone.insert(asked.place);
        }
    }
    said
}

/// Whether a rule says anything of what comes through hops, where that is not looked at.
fn speaks_unseen(views: &[Asking<'_>], rule: &Rule) -> bool {
    let mut sides = views.iter().map(|view| &view.side);
    let is_unseen = sides.any(|side| !is_looked_at(side.hops()));
    let speaks = match rule.via {
        None => rule.effect == Effect::Deny,
        Some(via) => !via.hops.is_empty(),
    };
    is_unseen && speaks
}

fn of_exceptions(views: &mut [Asking<'_>], asked: Asked<'_>, means: &mut Means) -> Vec<What> {
    // An exception may be for whoever brings others.
    if speaks_unseen(views, asked.rule) {
        return Vec::new();
    }
    let Some(view) = views.first_mut() else {
        return Vec::new();
    };
    let exceptions = 0..asked.rule.except.len();
    exceptions
        .filter_map(|except| view.of_exception(asked.rule, except, means))
        .collect()
}

/// One way to look at a policy, and what has been said so far.
struct Asking<'p> {
    side: Side<'p>,
    view: View,
    at: Timestamp,
    manners: Vec<Manner>,
    /// Rules that have been said to be too much.
    gone: HashSet<usize>,
}

/// What a search for something comes to.
enum Left {
    Something(Box<Witness>),
    Nothing,
    Unknown(Why),
    Fault(Box<Witness>, Box<Answer>),
}

/// Which rules of the same effect count beside one.
#[derive(Clone, Copy)]
enum Beside<'l> {
    None,
    Those(&'l [usize]),
    /// All that have not been said to be too much.
    All,
}

impl<'p> Asking<'p> {
    fn new(policy: &'p Policy, view: View, at: Timestamp, terms: &mut Terms) -> Self {
        let side = Side::new(policy, view, at, terms);
        let manners = Manner::all(&side.forms(), &side.ways());
        Self {
            side,
            view,
            at,
            manners,
            gone: HashSet::new(),
        }
    }

    fn forever(&self) -> Span {
        Span {
            from: self.at,
            until: None,
        }
    }

    /// `None` where something is decided otherwise without the rule.
    fn of_use(&mut self, asked: Asked<'_>, means: &mut Means) -> Option<What> {
        match self.decided_by(asked, Beside::All, means) {
            Left::Something(_) => return None,
            Left::Unknown(why) => return Some(What::Undecided(why)),
            Left::Fault(witness, answer) => return Some(What::Fault { witness, answer }),
            Left::Nothing => {}
        }
        if let Some(why) = self.behind_encoded_slashes(asked, means) {
            return Some(What::Undecided(why));
        }
        let example = match self.matched_by(asked, means) {
            Left::Something(example) => example,
            Left::Nothing => return Some(What::Dead),
            Left::Unknown(why) => return Some(What::Undecided(why)),
            Left::Fault(witness, answer) => return Some(What::Fault { witness, answer }),
        };
        let alone = self.decided_by(asked, Beside::None, means);
        Some(match (alone, asked.rule.effect) {
            (Left::Nothing, Effect::Allow) => self.shadowed(asked, example, means),
            (Left::Nothing, Effect::Deny) => What::Idle,
            // Whatever there is beside no others, there is nothing beside all of them.
            (Left::Something(_) | Left::Unknown(_) | Left::Fault(..), _) => What::Redundant {
                beside: self.needed(asked, means),
            },
        })
    }

    fn shadowed(&mut self, asked: Asked<'_>, example: Box<Witness>, means: &mut Means) -> What {
        let answer = example.ask(self.side.policy.configuration());
        let effect = match self.view {
            View::InForce => answer.effect,
            View::WithDryRun => answer.would_be,
        };
        if effect == Effect::Allow {
            let answer = Box::new(answer);
            return What::Fault {
                witness: example,
                answer,
            };
        }
        let by = self.meeting(asked, Effect::Deny, means);
        What::Shadowed { by, example }
    }

    /// Rules of the same effect that suffice for the rule to come to nothing.
    fn needed(&mut self, asked: Asked<'_>, means: &mut Means) -> Vec<usize> {
        let mut needed = self.meeting(asked, asked.rule.effect, means);
        if needed.len() > MAX_PICKED {
            return needed;
        }
        let mut suffice = |those: &[usize]| {
            let left = self.decided_by(asked, Beside::Those(those), means);
            matches!(left, Left::Nothing)
        };
        if let Some(alone) = needed.iter().find(|other| suffice(&[**other])) {
            return vec![*alone];
        }
        for other in needed.clone() {
            let without: Vec<usize> = needed.iter().copied().filter(|known| *known != other).collect();
            if suffice(&without) {
                needed = without;
            }
        }
        needed
    }

    /// The rules of an effect that are left and have something in common with the rule.
    fn meeting(&mut self, asked: Asked<'_>, effect: Effect, means: &mut Means) -> Vec<usize> {
        let terms = &mut means.terms;
        let mut found = Vec::new();
        for (voice, scope, manner) in self.said_by(asked) {
            let own = self.side.cubes(voice, manner, terms);
            for other in self.side.about(effect, &scope, manner.way, terms) {
                let Voice::Rule { rule, .. } = other else { continue };
                if rule == asked.place || self.gone.contains(&rule) || found.contains(&rule) {
                    continue;
                }
                let others = self.side.cubes(other, manner, terms);
                let mut pairs = own.iter().flat_map(|one| others.iter().map(move |two| [one, two]));
                if pairs.any(|pair| meeting(terms, &pair, self.forever()).is_some()) {
                    found.push(rule);
                }
            }
        }
        found.sort_unstable();
        found
    }

    /// A rule through each of its `from`, in each manner of which it says anything, of each of those on the way.
    fn said_by(&self, Asked { place, rule }: Asked<'_>) -> Vec<(Voice, Scope<'p>, Manner)> {
        let manners = self.manners.iter().copied();
        let mut said = Vec::new();
        for manner in manners.filter(|manner| self.side.counts(rule, manner.way)) {
            for who in manner.way.asked_by(rule.effect).iter().copied() {
                for from in 0..rule.from.len() {
                    let voice = Voice::Rule { rule: place, from, who };
                    let scope = self.side.scope(voice, manner);
                    said.extend(scope.map(|scope| (voice, scope, manner)));
                }
            }
        }
        said
    }

    /// Looks for something that a rule decides: allows and no denial denies, or denies and some rule allows.
    fn decided_by(&mut self, asked: Asked<'_>, beside: Beside<'_>, means: &mut Means) -> Left {
        let mut doubt = None;
        for (voice, scope, manner) in self.said_by(asked) {
            let own = self.side.cubes(voice, manner, &mut means.terms);
            let passing: Vec<Option<Voice>> = match asked.rule.effect {
                Effect::Allow => vec![None],
                Effect::Deny => {
                    let allows = self.side.about(Effect::Allow, &scope, manner.way, &mut means.terms);
                    allows.into_iter().map(Some).collect()
                }
            };
            let mut clauses = None;
            for passing in passing {
                let left = self.passing(asked, (&own, passing), (&scope, manner), beside, &mut clauses, means);
                match left {
                    Left::Nothing => {}
                    Left::Unknown(Why::Steps) => return left,
                    Left::Unknown(why) => doubt = Some(why),
                    Left::Something(_) | Left::Fault(..) => return left,
                }
            }
        }
        doubt.map_or(Left::Nothing, Left::Unknown)
    }

    /// The same of what passes through one other rule, if it is a rule that denies.
    fn passing(
        &mut self,
        asked: Asked<'_>,
        (own, passing): (&Cubes, Option<Voice>),
        (scope, manner): (&Scope<'_>, Manner),
        beside: Beside<'_>,
        clauses: &mut Option<Vec<Cubes>>,
        means: &mut Means,
    ) -> Left {
        let through = match passing {
            Some(Voice::Rule { rule, .. }) if self.gone.contains(&rule) => return Left::Nothing,
            Some(voice) => Some(self.side.cubes(voice, manner, &mut means.terms)),
            None => None,
        };
        let through: Vec<Option<&Cube>> = match &through {
            Some(cubes) => cubes.iter().map(Some).collect(),
            None => vec![None],
        };
        let mut doubt = None;
        for (own, through) in own
            .iter()
            .flat_map(|own| through.iter().map(move |through| (own, *through)))
        {
            if means.steps.take(1).is_err() {
                return Left::Unknown(Why::Steps);
            }
            let cubes: Vec<&Cube> = [own].into_iter().chain(through).collect();
            // Most have nothing in common, and what else counts is only asked about those that have.
            if meeting(&mut means.terms, &cubes, self.forever()).is_none() {
                continue;
            }
            if clauses.is_none() {
                *clauses = Some(self.clauses(asked, scope, manner, beside, means));
            }
            let clauses = clauses.as_deref().unwrap_or_default();
            let judges = match beside {
                // Only then nothing else is there for the gate to name.
                Beside::All => Some(asked.rule),
                Beside::None | Beside::Those(_) => None,
            };
            match self.look(&cubes, clauses, manner, judges, means) {
                Left::Nothing => {}
                Left::Unknown(why) => doubt = Some(why),
                found @ (Left::Something(_) | Left::Fault(..)) => return found,
            }
        }
        doubt.map_or(Left::Nothing, Left::Unknown)
    }

    /// What must not hold of something for the rule to decide it.
    fn clauses(
        &mut self,
        asked: Asked<'_>,
        scope: &Scope<'_>,
        manner: Manner,
        beside: Beside<'_>,
        means: &mut Means,
    ) -> Vec<Cubes> {
        let terms = &mut means.terms;
        let is_left = |rule: usize, effect: Effect| {
            let is_of_same = effect == asked.rule.effect;
            rule != asked.place
                && match beside {
                    Beside::None => !is_of_same && !self.gone.contains(&rule),
                    Beside::Those(those) if is_of_same => those.contains(&rule),
                    Beside::Those(_) | Beside::All => !self.gone.contains(&rule),
                }
        };
        let mut voices = self.side.about(Effect::Deny, scope, manner.way, terms);
        voices.retain(|voice| match voice {
            Voice::Rule { rule, .. } => is_left(*rule, Effect::Deny),
            Voice::Standing(..) => true,
        });
        if asked.rule.effect == Effect::Allow {
            let mut allows = self.side.about(Effect::Allow, scope, manner.way, terms);
            allows.retain(|voice| matches!(voice, Voice::Rule { rule, .. } if is_left(*rule, Effect::Allow)));
            voices.append(&mut allows);
        }
        let voices = voices.into_iter();
        voices.map(|voice| self.side.cubes(voice, manner, terms)).collect()
    }

    /// Looks for something that the rule matches, of whom may come in.
    fn matched_by(&mut self, asked: Asked<'_>, means: &mut Means) -> Left {
        let mut doubt = None;
        for (voice, scope, manner) in self.said_by(asked) {
            let own = self.side.cubes(voice, manner, &mut means.terms);
            let clauses = self.standing(&scope, manner, &mut means.terms);
            let Voice::Rule { from, who, .. } = voice else { continue };
            let coming = self.coming(asked.rule, (from, who), manner, &mut means.terms);
            for (own, coming) in own
                .iter()
                .flat_map(|own| coming.iter().map(move |coming| (own, coming)))
            {
                match self.look(&[own, coming], &clauses, manner, None, means) {
                    Left::Nothing => {}
                    Left::Unknown(why) => doubt = Some(why),
                    found @ (Left::Something(_) | Left::Fault(..)) => return found,
                }
            }
        }
        doubt.map_or(Left::Nothing, Left::Unknown)
    }

    /// What keeps ids out before a rule is asked.
    fn standing(&mut self, scope: &Scope<'_>, manner: Manner, terms: &mut Terms) -> Vec<Cubes> {
        let mut voices = self.side.about(Effect::Deny, scope, manner.way, terms);
        voices.retain(|voice| matches!(voice, Voice::Standing(..)));
        let voices = voices.into_iter();
        voices.map(|voice| self.side.cubes(voice, manner, terms)).collect()
    }

    /// How somebody whom one `from` of a rule means comes in this manner: of a way through hops, as whom they bring, or as
    /// one of them.
    fn coming(&self, rule: &Rule, (from, who): (usize, Who), manner: Manner, terms: &mut Terms) -> Vec<Cube> {
        let Some(from) = rule.from.get(from).filter(|_| manner.way != Way::Direct) else {
            return vec![Cube::plain(Vec::new())];
        };
        let hops = spoken_of(rule, self.side.hops(), manner.way);
        hops.flat_map(|hop| of_hop(terms, hop, (from, who))).collect()
    }

    /// Looks for the first example. `judges`: the rule that a gate must name for it.
    fn look(
        &self,
        cubes: &[&Cube],
        clauses: &[Cubes],
        manner: Manner,
        judges: Option<&Rule>,
        means: &mut Means,
    ) -> Left {
        let sought = Sought {
            cubes,
            clauses,
            manner,
            span: self.forever(),
            domains: &self.side.domains,
        };
        let mut left = Left::Nothing;
        let mut show = |_: Region, witness: Witness| {
            left = match judges {
                Some(rule) => self.judge(rule, Box::new(witness)),
                None => Left::Something(Box::new(witness)),
            };
            match left {
                Left::Something(_) | Left::Fault(..) => Go::Home,
                Left::Nothing | Left::Unknown(_) => Go::On,
            }
        };
        let doubt = seek(&mut means.terms, &mut means.steps, sought, self.at, &mut show);
        match (left, doubt) {
            (Left::Nothing, Some(why)) => Left::Unknown(why),
            (left, _) => left,
        }
    }

    /// Asks the gate whether it decides this by the rule.
    fn judge(&self, rule: &Rule, witness: Box<Witness>) -> Left {
        let answer = witness.ask(self.side.policy.configuration());
        let is_unknown = match self.view {
            View::InForce => answer.reason == Reason::RuleTooCostly,
            View::WithDryRun => answer.reason == Reason::RuleTooCostly || answer.would_be_is_unknown,
        };
        let is_so = match self.view {
            View::InForce => answer.effect == rule.effect && answer.rule.as_deref() == Some(&*rule.name),
            // Which rule it would be is not told.
            View::WithDryRun => answer.would_be == rule.effect,
        };
        match (is_so, is_unknown) {
            (true, _) => Left::Something(witness),
            (false, true) => Left::Unknown(Why::TooCostly),
            (false, false) => Left::Fault(witness, Box::new(answer)),
        }
    }

    /// A path with an encoded slash has two readings, which are not looked at here: where some rule opens such paths,
    /// one that comes to nothing else may have a say in it.
    fn behind_encoded_slashes(&mut self, asked: Asked<'_>, means: &mut Means) -> Option<Why> {
        if !self.side.opens_encoded_slashes() {
            return None;
        }
        let form = Form::Request;
        for way in self.side.ways() {
            if !self.side.counts(asked.rule, way) {
                continue;
            }
            for (said, ids, who) in self.side.anything_said(asked.place, way, &mut means.terms) {
                let scope = self.side.scope_of(&ids, who, way);
                for voice in self.side.about(Effect::Allow, &scope, way, &mut means.terms) {
                    for opening in self.side.opening(voice, way, &mut means.terms) {
                        match self.look(&[&said, &opening], &[], Manner { way, form }, None, means) {
                            Left::Nothing => {}
                            Left::Something(_) | Left::Fault(..) => return Some(Why::EncodedSlashes),
                            Left::Unknown(why) => return Some(why),
                        }
                    }
                }
            }
        }
        None
    }

    /// Whether an exception takes out nobody who may come in, by any way of which the rule says anything.
    fn of_exception(&mut self, rule: &Rule, except: usize, means: &mut Means) -> Option<What> {
        let exception = rule.except.get(except)?;
        let first = self.manners.first()?.form;
        let manners: Vec<Manner> = self
            .manners
            .iter()
            .copied()
            .filter(|manner| manner.form == first)
            .collect();
        for manner in manners {
            if !speaks(rule, self.side.hops(), manner.way) {
                continue;
            }
            for who in manner.way.asked_by(rule.effect).iter().copied() {
                match self.taken_out(rule, (exception, who), manner, means) {
                    Left::Nothing => {}
                    Left::Unknown(why) => return Some(What::Undecided(why)),
                    Left::Something(_) | Left::Fault(..) => return None,
                }
            }
        }
        Some(What::IdleException { except })
    }

    /// Looks for somebody whom an exception takes out.
    fn taken_out(&mut self, rule: &Rule, (except, who): (&IdPattern, Who), manner: Manner, means: &mut Means) -> Left {
        let exception = Cube::plain(of_id(&mut means.terms, who, except));
        for (from, pattern) in rule.from.iter().enumerate() {
            let of_from = Cube::plain(of_id(&mut means.terms, who, pattern));
            let scope = self.side.scope_of(pattern, who, manner.way);
            let clauses = self.standing(&scope, manner, &mut means.terms);
            for coming in self.coming(rule, (from, who), manner, &mut means.terms) {
                match self.look(&[&of_from, &exception, &coming], &clauses, manner, None, means) {
                    Left::Nothing => {}
                    found @ (Left::Unknown(_) | Left::Something(_) | Left::Fault(..)) => return found,
                }
            }
        }
        Left::Nothing
    }
}
