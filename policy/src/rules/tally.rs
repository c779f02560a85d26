//! Which rules match, and what comes of them together?

use crate::{
    name::path::PathError,
    reason::Reason,
    rules::{
        condition::{Conditions, Facts},
        decision::{Decision, Detail, DryRun},
        effect::Effect,
        hop::Heard,
        rule_set::{Candidate, RuleHead, Rules, at},
        verdict::Verdict,
    },
};

/// What it costs to come to the `when` of a rule: it stands in places of its own in memory, which no cache holds where
/// there are thousands. Measured in the VM beside other work: 620 ns with one condition on a header, where a node of
/// the tree takes 210.
const WHEN_STEPS: usize = 10;

/// Whether all holds that a rule and one of its targets demand beside the path.
pub(super) fn verdict(conditions: &Conditions, rule: &RuleHead, facts: &Facts<'_>) -> Verdict {
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
pub(super) struct Tally {
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
    pub(super) fn consider(&mut self, rules: &Rules, candidate: &Candidate, heard: Heard, facts: &Facts<'_>) {
        if !facts.effort.spend(1) {
            return;
        }
        let (Some(rule), Some(conditions)) = (
            at(&rules.rules, candidate.rule),
            at(&rules.conditions, candidate.conditions),
        ) else {
            return;
        };
        if !heard.has(rule.effect) {
            return;
        }
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
    pub(super) fn answer(&self) -> Answer {
        match (self.denies, self.allows, self.expired) {
            (Some(deny), _, _) => Answer::deny(Reason::RuleDenied, Some(deny)),
            (None, Some(allow), _) => Answer::allow(allow),
            (None, None, Some(expired)) => Answer::deny(Reason::RuleExpired, Some(expired)),
            (None, None, None) => Answer::deny(Reason::RuleNoneMatched, None),
        }
    }

    /// The same with the rules that are in a dry run.
    pub(super) fn with_dry_run(&self) -> Self {
        Self {
            // Of the two, the one whose rule is told is the one that would make the difference.
            denies: self.denies.or(self.would_deny),
            allows: self.allows.or(self.would_allow),
            strict: self.strict.or(self.would_be_strict),
            ..Self::default()
        }
    }

    /// Why a path with an encoded slash is refused whatever rules say about its two readings: no rule opens it, or one
    /// that could allow it does not. That rule's upstream may be the one that reads the path, and in which way is not
    /// known.
    pub(super) fn ambiguity(readings: [&Self; 2]) -> Option<Answer> {
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
pub(super) struct Answer {
    effect: Effect,
    reason: Reason,
    rule: Option<u32>,
    /// What there would be to say of its refusal.
    detail: Option<Detail>,
}

impl Answer {
    pub(super) fn deny(reason: Reason, rule: Option<u32>) -> Self {
        Self {
            effect: Effect::Deny,
            reason,
            rule,
            detail: None,
        }
    }

    pub(super) fn allow(rule: u32) -> Self {
        Self {
            effect: Effect::Allow,
            rule: Some(rule),
            ..Self::deny(Reason::RuleAllowed, None)
        }
    }

    pub(super) fn with(self, detail: Option<Detail>) -> Self {
        Self { detail, ..self }
    }

    /// Whether this is the answer, and not one to an earlier reading: the first that is denied, else the first.
    pub(super) fn replaces(self, known: Option<Self>) -> bool {
        match known.map(|known| (known.effect, self.effect)) {
            None | Some((Effect::Allow, Effect::Deny)) => true,
            Some((Effect::Allow, Effect::Allow) | (Effect::Deny, Effect::Allow | Effect::Deny)) => false,
        }
    }
}

/// What rules say about all readings so far.
#[derive(Default)]
pub(super) struct Answers {
    answer: Option<Answer>,
    /// With the rules that are in a dry run.
    would_be: Option<Answer>,
}

impl Answers {
    /// Adds what the rules say about a path with an encoded slash, which is one within its segment or separates two.
    pub(super) fn add_both(&mut self, kept: &Tally, split: &Tally, from: Option<Detail>) {
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

    pub(super) fn add(&mut self, answer: Answer, would_be: Answer) {
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

    pub(super) fn decision<'g>(&self, rules: &'g Rules, would_be_is_unknown: bool) -> Decision<'g> {
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
