//! What time changes.

use svidgate_policy::{SignedDuration, Timestamp};

use crate::{
    codes::time as codes,
    finding::{Finding, Level},
    input::tree::Node,
    lint::view::{Rule, View, moment},
};

/// What is soon. Our decision: a change of policy takes weeks where several people have to agree.
pub(super) const SOON: SignedDuration = SignedDuration::from_hours(30 * 24);
/// The longest life of an SVID that is usual.
const USUAL_LIFE: SignedDuration = SignedDuration::from_hours(24);

pub(super) fn lint(view: &View<'_>, findings: &mut Vec<Finding>) {
    for rule in &view.rules {
        if let Some((node, end)) = rule.expires {
            ends(view, node, end, &format!("rule `{}`", rule.name), findings);
            needs(view, rule, end, findings);
        }
        windows(view, rule, findings);
    }
    for relationship in &view.federation {
        let name = relationship
            .get("trust_domain")
            .and_then(Node::as_str)
            .unwrap_or_default();
        if let Some((node, end)) = moment(*relationship, "expires") {
            ends(view, node, end, &format!("the relationship with `{name}`"), findings);
        }
        long_life(view, *relationship, &format!("of `{name}`"), findings);
    }
    for hop in view.root.get("hops").into_iter().flat_map(Node::items) {
        let name = hop.get("name").and_then(Node::as_str).unwrap_or_default();
        if let Some((node, end)) = moment(hop, "expires") {
            ends(view, node, end, &format!("hop `{name}`"), findings);
        }
    }
    long_life(view, view.root, "of our own trust domain", findings);
    for revoked in view.root.get("revoked").into_iter().flat_map(Node::items) {
        if let Some((node, end)) = moment(revoked, "until")
            && end <= view.now
        {
            let sentence = format!("the revocation is over since {end}");
            let mut finding = Finding::new(&codes::OVER, view.place(node), sentence);
            finding.level = Level::Note;
            findings.push(finding.right("take it out, or give it another end"));
        }
    }
}

fn ends(view: &View<'_>, node: Node<'_>, end: Timestamp, what: &str, findings: &mut Vec<Finding>) {
    let place = view.place(node);
    if end <= view.now {
        let finding = Finding::new(&codes::OVER, place, format!("{what} is over since {end}"));
        findings.push(finding.right("take it out, or give it another end"));
    } else if end.duration_since(view.now) <= SOON {
        let finding = Finding::new(
            &codes::ENDS_SOON,
            place,
            format!("{what} ends in {}", days(view.now, end)),
        );
        findings.push(finding.right("renew it, or let it end knowingly"));
    }
}

/// `12 days`, `1 day`, `5 hours`.
pub(super) fn days(now: Timestamp, end: Timestamp) -> String {
    let hours = end.duration_since(now).as_hours();
    match hours {
        48.. => format!("{} days", hours.div_euclid(24)),
        24..48 => "1 day".to_owned(),
        _ => format!("{} hours", hours.max(0)),
    }
}

/// A rule that outlives all relationships that could bring its callers.
fn needs(view: &View<'_>, rule: &Rule<'_>, end: Timestamp, findings: &mut Vec<Finding>) {
    let relationships = &view.configuration.relationships;
    let last = rule.from.iter().map(|from| {
        let name = from.pattern.trust_domain()?;
        relationships.with(name)?.expires
    });
    let last: Option<Vec<_>> = last.collect();
    if let Some(last) = last.and_then(|ends| ends.into_iter().max())
        && last < end
        && last > view.now
        && let Some((node, _)) = rule.expires
    {
        let sentence = format!(
            "rule `{}` ends at {end}, and its callers' relationship at {last}",
            rule.name
        );
        let finding = Finding::new(&codes::ENDS_BEFORE_RULE, view.place(node), sentence);
        findings.push(finding.right("give both the same end, or the relationship a later one"));
    }
}

fn long_life(view: &View<'_>, node: Node<'_>, whose: &str, findings: &mut Vec<Finding>) {
    let Some(value) = node.get("svid_max_lifetime") else {
        return;
    };
    let name = node.get("trust_domain").and_then(Node::as_str);
    let relationships = &view.configuration.relationships;
    let life = relationships
        .iter()
        .find(|relationship| Some(relationship.trust_domain.as_str()) == name)
        .and_then(|relationship| relationship.svid_max_lifetime);
    if life.is_some_and(|life| life > USUAL_LIFE) {
        let written = value.as_str().unwrap_or_default();
        let sentence = format!("SVIDs {whose} may live for {written}, more than 24 hours");
        let finding = Finding::new(&codes::LONG_LIFE, view.place(value), sentence);
        findings.push(finding.right("what the issuer is set to: an hour with SPIRE, a day with Istio"));
    }
}

const DAY_MINUTES: usize = 24 * 60;
const WEEK_MINUTES: usize = 7 * DAY_MINUTES;
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

fn windows(view: &View<'_>, rule: &Rule<'_>, findings: &mut Vec<Finding>) {
    let Some(when) = rule.when else { return };
    let (Some(time), Some(not_time)) = (when.get("time"), when.get("not_time")) else {
        return;
    };
    let (open, shut) = (week(time), week(not_time));
    if !open.iter().zip(&shut).any(|(open, shut)| *open && !*shut) {
        let sentence = format!("rule `{}` never matches: `not_time` has all of `time`", rule.name);
        let finding = Finding::new(&codes::NO_WINDOW, view.name_place(when, "time"), sentence);
        let finding = finding.right("windows that leave some time; they are in UTC");
        findings.push(finding.also(view.name_place(when, "not_time"), "these take it away"));
    }
}

/// Which minutes of the week windows have, from Monday on.
fn week(windows: Node<'_>) -> Vec<bool> {
    let mut week = vec![false; WEEK_MINUTES];
    for window in windows.items() {
        let minute = |name: &str, otherwise| {
            window
                .get(name)
                .and_then(Node::as_str)
                .and_then(minute)
                .unwrap_or(otherwise)
        };
        let (from, until) = (minute("from", 0), minute("until", DAY_MINUTES));
        let length = if from < until {
            until.saturating_sub(from)
        } else {
            // Over midnight; it belongs to the day on which it begins.
            until.saturating_add(DAY_MINUTES).saturating_sub(from)
        };
        let is_on = |day: &str| match window.get("days") {
            Some(days) => days.items().any(|named| named.as_str() == Some(day)),
            None => true,
        };
        for (number, _) in DAYS.iter().enumerate().filter(|(_, day)| is_on(day)) {
            let begin = number.saturating_mul(DAY_MINUTES).saturating_add(from);
            for minute in begin..begin.saturating_add(length) {
                if let Some(slot) = week.get_mut(minute.checked_rem(WEEK_MINUTES).unwrap_or_default()) {
                    *slot = true;
                }
            }
        }
    }
    week
}

fn minute(text: &str) -> Option<usize> {
    let (hours, minutes) = text.split_once(':')?;
    let (hours, minutes): (usize, usize) = (hours.parse().ok()?, minutes.parse().ok()?);
    hours.checked_mul(60)?.checked_add(minutes)
}
