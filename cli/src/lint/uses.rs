//! Rules beside all others: those that come to nothing.

use svidgate_policy::analysis::{Policy, RemarkBounds, What, Why, remarks};

use crate::{
    codes::{rules as codes, time},
    finding::{Code, Finding},
    lint::view::{Rule, View},
};

/// Most rules that are shown beside a finding.
const MAX_SHOWN: usize = 3;

pub(super) fn lint(view: &View<'_>, policy: &Policy, findings: &mut Vec<Finding>) {
    let without_window = starts(findings, &time::NO_WINDOW);
    let same_but_name = starts(findings, &codes::SAME_BUT_NAME);
    let mut undecided = Undecided::default();
    for remark in remarks(policy, view.now, RemarkBounds::default()) {
        let Some(rule) = view.rules.get(remark.rule) else {
            continue;
        };
        let finding = match &remark.what {
            // It has been said, and why.
            What::Dead if is_within(&without_window, rule) => None,
            What::Redundant { .. } if is_within(&same_but_name, rule) => None,
            What::Dead => Some(dead(view, rule)),
            What::Shadowed { by, example } => {
                let sentence = format!(
                    "rule `{}` allows nothing: all of it is denied, for example where {example}",
                    rule.name
                );
                let finding = Finding::new(&codes::SHADOWED, view.rule_place(rule), sentence);
                let finding = finding.right("leave it out, or take its callers out of what denies it");
                Some(beside(view, finding, by, "denies some of it"))
            }
            What::Redundant { beside } => Some(redundant(view, rule, beside)),
            What::Idle => {
                let sentence = format!("rule `{}` denies nothing that any rule allows", rule.name);
                let finding = Finding::new(&codes::IDLE_DENY, view.rule_place(rule), sentence);
                Some(finding.right("compare it with what is allowed; as a guard against later rules it may stay"))
            }
            What::IdleException { except } => idle_exception(view, rule, *except),
            What::Undecided(why) => {
                undecided.add(rule, *why);
                None
            }
            What::Fault { witness, answer } => {
                let sentence = format!(
                    "a fault of ours: {witness} is answered with {}, which the analysis of rule `{}` does not expect",
                    answer.reason.code(),
                    rule.name
                );
                let finding = Finding::new(&codes::FAULT, view.rule_place(rule), sentence);
                Some(finding.right("please report it, with the document"))
            }
        };
        findings.extend(finding);
    }
    findings.extend(undecided.finding(view));
}

/// Where findings of a kind are, in their order.
fn starts(findings: &[Finding], code: &Code) -> Vec<usize> {
    let found = findings.iter().filter(|finding| finding.code == code);
    let mut starts: Vec<usize> = found
        .filter_map(|finding| Some(finding.place.as_ref()?.range.start))
        .collect();
    starts.sort_unstable();
    starts
}

fn is_within(starts: &[usize], rule: &Rule<'_>) -> bool {
    let range = rule.node.range();
    let first = starts.partition_point(|start| *start < range.start);
    starts.get(first).is_some_and(|start| *start < range.end)
}

fn dead(view: &View<'_>, rule: &Rule<'_>) -> Finding {
    let sentence = format!(
        "rule `{}` matches nothing that anybody asks for who may come in",
        rule.name
    );
    let finding = Finding::new(&codes::DEAD, view.rule_place(rule), sentence);
    finding.right("mend what contradicts, or leave the rule out")
}

fn redundant(view: &View<'_>, rule: &Rule<'_>, others: &[usize]) -> Finding {
    let sentence = format!("without rule `{}` nothing is decided otherwise", rule.name);
    let finding = Finding::new(&codes::REDUNDANT, view.rule_place(rule), sentence);
    let finding = finding.right("leave it out, or narrow the others if they say more than they should");
    beside(view, finding, others, "says it, too, or some of it")
}

fn idle_exception(view: &View<'_>, rule: &Rule<'_>, except: usize) -> Option<Finding> {
    let except = rule.except.get(except)?;
    let sentence = format!("`{}` takes nothing out of rule `{}`", except.text, rule.name);
    let finding = Finding::new(&codes::IDLE_EXCEPTION, view.place(except.node), sentence);
    Some(finding.right("an exception that matches some id of `from` that may come in, or none"))
}

/// With the rules that make it so, or the first of them.
fn beside(view: &View<'_>, finding: Finding, places: &[usize], words: &str) -> Finding {
    let more = places.len().saturating_sub(MAX_SHOWN);
    let shown: Vec<&Rule<'_>> = places
        .iter()
        .filter_map(|place| view.rules.get(*place))
        .take(MAX_SHOWN)
        .collect();
    let last = shown.len().saturating_sub(1);
    shown.into_iter().enumerate().fold(finding, |finding, (number, rule)| {
        let words = match more {
            more if more > 0 && number == last => format!("{words}; so do {more} more"),
            _ => words.to_owned(),
        };
        finding.also(view.rule_place(rule), words)
    })
}

/// Rules of which it was not decided, told together: a document may have very many.
#[derive(Default)]
struct Undecided<'v> {
    first: Option<(&'v Rule<'v>, Why)>,
    count: usize,
}

impl<'v> Undecided<'v> {
    fn add(&mut self, rule: &'v Rule<'v>, why: Why) {
        self.first.get_or_insert((rule, why));
        self.count = self.count.saturating_add(1);
    }

    fn finding(self, view: &View<'_>) -> Option<Finding> {
        let (rule, why) = self.first?;
        let why = match why {
            Why::Steps => "it takes more steps than there are for it",
            Why::Values => "there may be headers, or an id, that make the difference, and none was found",
            Why::EncodedSlashes => "it may have a say in paths with an encoded slash, which some rule opens",
            Why::Hops => {
                "of requests that callers make themselves it is of none, and there are too many hops to look at all"
            }
            Why::TooCostly => "what was found costs the gate too much to decide",
        };
        let more = match self.count.saturating_sub(1) {
            0 => String::new(),
            more => format!("; nor of {more} more"),
        };
        let sentence = format!(
            "whether rule `{}` is of use beside all others was not decided: {why}{more}",
            rule.name
        );
        let finding = Finding::new(&codes::USE_NOT_DECIDED, view.rule_place(rule), sentence);
        Some(finding.right("nothing has to be mended; the rule may be of use, or come to nothing"))
    }
}
