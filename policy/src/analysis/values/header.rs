//! Lines of a header. What demands on presence and on plain values can see is known whole; of regular expressions, and
//! of values that are lists, some lines are tried.

use crate::{
    analysis::{
        demand::{Demand, Value, Verdicts},
        values::{
            found::{Found, fresh},
            sample::samples,
        },
    },
    rules::{
        header::{HeaderCondition, HeaderTest, reads_as},
        reading::{is_override, is_protocol},
    },
};

/// Most lines that are tried together, two by two. Our decision.
const MAX_TRIED: usize = 48;

type Lines = Vec<(String, String)>;

pub(super) fn find(demands: &[(&Demand, Verdicts)]) -> Found {
    let conditions: Vec<(&HeaderCondition, Verdicts)> = demands
        .iter()
        .filter_map(|(demand, wanted)| Some((demand.header()?, *wanted)))
        .collect();
    let Some((first, _)) = conditions.first() else {
        return Found::Value(Value::Lines(Vec::new()));
    };
    let absent = Value::Lines(Vec::new());
    let unread = Value::Unread(first.name.to_string());
    // A websocket comes with a line that some upstreams take for one of this name.
    let may_be_absent = !reads_as(first.name.as_bytes(), b":protocol");
    if may_be_absent && absent.meets(demands) {
        return Found::Value(absent);
    }
    // A line of these is part of how a request is read, and no value of its own.
    if is_part_of_reading(first) {
        return Found::Unknown;
    }
    let mut tried = plain(&conditions);
    let is_whole = conditions.iter().all(|(condition, _)| is_plain(condition, first));
    if !is_whole {
        tried.extend(two_by_two(&conditions));
    }
    let tried = tried.into_iter().map(Value::Lines).chain([unread]);
    match Found::first(tried, demands) {
        Found::None if is_whole || cannot_be(demands, &conditions) => Found::None,
        Found::None => Found::Unknown,
        found @ (Found::Value(_) | Found::Unknown) => found,
    }
}

fn is_part_of_reading(condition: &HeaderCondition) -> bool {
    let name = condition.name.as_bytes();
    is_override(name) || is_protocol(name)
}

/// Whether a demand sees no more of a header than whether it is there, and whether it is one value that is no list.
fn is_plain(condition: &HeaderCondition, first: &HeaderCondition) -> bool {
    let is_plain = match &condition.test {
        HeaderTest::Present => true,
        HeaderTest::Is(value) => !value.contains([',', ';']),
        HeaderTest::Matches(_) => false,
    };
    is_plain && condition.name == first.name
}

fn values<'c>(conditions: &[(&'c HeaderCondition, Verdicts)]) -> Vec<&'c str> {
    let value = |(condition, _): &(&'c HeaderCondition, Verdicts)| match &condition.test {
        HeaderTest::Is(value) => Some(value.as_ref()),
        HeaderTest::Present | HeaderTest::Matches(_) => None,
    };
    let mut values: Vec<&str> = conditions.iter().filter_map(value).collect();
    values.sort_unstable();
    values.dedup();
    values
}

/// Each value alone; and, in one line with what nobody asks for, all those that may not be said to be absent. That line
/// once under the very name and once under one that only some upstreams take for it.
fn plain(conditions: &[(&HeaderCondition, Verdicts)]) -> Vec<Lines> {
    let Some((first, _)) = conditions.first() else {
        return Vec::new();
    };
    let named = values(conditions);
    let other = fresh("other", |text| named.contains(&text));
    let doubtful = |value: &&&str| {
        conditions.iter().any(|(condition, wanted)| match &condition.test {
            HeaderTest::Is(is) => is.as_ref() == **value && !wanted.no,
            HeaderTest::Present | HeaderTest::Matches(_) => false,
        })
    };
    let doubtful: Vec<&str> = named.iter().filter(doubtful).copied().collect();
    let list: Vec<&str> = doubtful
        .iter()
        .copied()
        .filter(|value| !value.is_empty())
        .chain([other.as_str()])
        .collect();
    let list = list.join(", ");
    let mut tried = Vec::new();
    for name in [Some(first.name.to_string()), misspelled(&first.name)]
        .into_iter()
        .flatten()
    {
        let line = |value: &str| (name.clone(), value.to_owned());
        tried.extend(named.iter().map(|value| vec![line(value)]));
        let mut lines = vec![line(&list)];
        // What is empty is no entry of a list, and can be a line.
        lines.extend(
            doubtful
                .iter()
                .filter(|value| value.is_empty())
                .map(|value| line(value)),
        );
        tried.push(lines);
    }
    tried
}

/// Another spelling that some upstreams take for the name; a name of letters and digits alone has none.
fn misspelled(name: &str) -> Option<String> {
    let is_other = |letter: char| !letter.is_ascii_alphanumeric();
    let place = name.find(is_other)?;
    let (before, behind) = name.split_at_checked(place)?;
    let mut rest = behind.chars();
    let with = if rest.next()? == '-' { '_' } else { '-' };
    Some(format!("{before}{with}{}", rest.as_str()))
}

/// Lines of one value and of two, under each name.
fn two_by_two(conditions: &[(&HeaderCondition, Verdicts)]) -> Vec<Lines> {
    let mut values: Vec<String> = values(conditions).into_iter().map(str::to_owned).collect();
    for (condition, _) in conditions {
        match &condition.test {
            HeaderTest::Matches(expression) => values.extend(samples(&expression.source)),
            HeaderTest::Present | HeaderTest::Is(_) => {}
        }
    }
    values.push("other".to_owned());
    values.dedup();
    values.truncate(MAX_TRIED);
    let mut names: Vec<String> = conditions
        .iter()
        .flat_map(|(condition, _)| [Some(condition.name.to_string()), misspelled(&condition.name)])
        .flatten()
        .collect();
    names.sort_unstable();
    names.dedup();
    let mut tried = Vec::new();
    for name in &names {
        let line = |value: &String| (name.clone(), value.clone());
        tried.extend(values.iter().map(|value| vec![line(value)]));
    }
    for name in &names {
        let line = |value: &String| (name.clone(), value.clone());
        for one in &values {
            tried.extend(values.iter().map(|two| vec![line(one), line(two)]));
            tried.extend(values.iter().map(|two| vec![(name.clone(), format!("{one}, {two}"))]));
        }
    }
    tried
}

/// What no lines can do, whatever they are.
fn cannot_be(demands: &[(&Demand, Verdicts)], conditions: &[(&HeaderCondition, Verdicts)]) -> bool {
    let must_be_absent = conditions.iter().any(|(condition, wanted)| {
        // A header that is there has no `no` to that.
        let only_no = !wanted.yes && !wanted.unknown;
        only_no && matches!(condition.test, HeaderTest::Present)
    });
    if must_be_absent {
        // Being absent has been tried.
        return true;
    }
    // Who wants one value wants every line to be that; then the verdicts on one such line are those on any number, but
    // that what nobody finds in one line may be found in several that are joined.
    conditions.iter().any(|(condition, wanted)| {
        let HeaderTest::Is(value) = &condition.test else {
            return false;
        };
        let only_yes = !wanted.no && !wanted.unknown;
        let line = Value::Lines(vec![(condition.name.to_string(), value.to_string())]);
        let is_missed = |(demand, wanted): &(&Demand, Verdicts)| {
            let verdict = demand.verdict(&line);
            let may_be_joined = verdict == crate::rules::verdict::Verdict::No && wanted.unknown;
            !wanted.contains(verdict) && !may_be_joined
        };
        only_yes && demands.iter().any(is_missed)
    })
}
