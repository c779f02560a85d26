//! What does a branch come to, as a rule would say it?

use std::fmt;

use jiff::Timestamp;

use crate::{
    analysis::{
        branch::Branch,
        demand::{Aspect, Demand, Verdicts},
        literal::{MANY, Place, Space},
        manner::{Form, Manner, Way, Who},
        terms::{Terms, Wanted},
    },
    name::host::HostPattern,
    rules::{
        condition::{Conditions, TimeWindow, When},
        header::HeaderTest,
    },
};

/// Identities and what they ask for, and from when to when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// The ids of those on whose behalf, as a pattern.
    pub id: String,
    /// The ids of the hops that bring it, as a pattern; `None` where it comes through nobody.
    pub via: Option<String>,
    /// Requests, tunnels or connections.
    pub form: Form,
    /// The paths, as a pattern; `None` is any.
    pub path: Option<String>,
    /// What else holds, each as `name: value, value` or `not name: value`.
    pub conditions: Vec<String>,
    /// Only from this moment on, where it is not the one that was asked about.
    pub from: Option<Timestamp>,
    /// Only up to this moment.
    pub until: Option<Timestamp>,
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id)?;
        if let Some(via) = &self.via {
            write!(f, " via {via}")?;
        }
        match (self.form, &self.path) {
            (Form::Request, Some(path)) => write!(f, " {path}")?,
            (Form::Request, None) => f.write_str(" any path")?,
            (Form::Tunnel, _) => f.write_str(" tunnels")?,
            (Form::Connection, _) => f.write_str(" connections")?,
        }
        for condition in &self.conditions {
            write!(f, "; {condition}")?;
        }
        if let Some(from) = self.from {
            write!(f, "; from {from}")?;
        }
        if let Some(until) = self.until {
            write!(f, "; until {until}")?;
        }
        Ok(())
    }
}

/// Says it. `at` is the moment that was asked about.
pub(crate) fn region(branch: &Branch, manner: Manner, at: Timestamp, terms: &Terms) -> Region {
    let Manner { form, way } = manner;
    let mut conditions = Vec::new();
    let id = |who| {
        let domain = match branch.text(Place::trust_domain(who)) {
            Some(domain) => terms.vocabulary.text(domain),
            None => "*",
        };
        format!("spiffe://{domain}{}", pattern(branch, Space::Id(who), terms))
    };
    let any_path = branch.length(Space::Path) == (0, MANY);
    let path = (form == Form::Request && !any_path).then(|| pattern(branch, Space::Path, terms));
    exclusions(branch, terms, &mut conditions);
    for (aspect, wanted) in &branch.wanted {
        if let Some(aspect) = terms.vocabulary.aspect(*aspect) {
            conditions.extend(of_aspect(aspect, wanted, terms));
        }
    }
    Region {
        id: id(Who::Caller),
        via: matches!(way, Way::Brought(_)).then(|| id(Who::Hop)),
        form,
        path,
        conditions,
        from: (branch.span.from > at).then_some(branch.span.from),
        until: branch.span.until,
    }
}

/// A segment that is the same as another gets a name.
fn pattern(branch: &Branch, space: Space, terms: &Terms) -> String {
    let (least, most) = branch.length(space);
    // The least that any id has is no demand of its own.
    let is_id = space != Space::Path;
    let shown = if is_id && least == 1 && most == MANY && branch.text(Place { space, number: 1 }).is_none() {
        0
    } else {
        least
    };
    let mut text = String::new();
    for number in 1..=shown {
        let place = Place { space, number };
        text.push('/');
        match (branch.text(place), branch.group(place)) {
            (Some(symbol), _) => text.push_str(terms.vocabulary.text(symbol)),
            (None, Some(group)) if branch.known().filter(|(_, other)| *other == group).count() > 1 => {
                text.push_str(&format!("{{s{group}}}"));
            }
            (None, Some(_) | None) => text.push('*'),
        }
    }
    if most > least {
        text.push_str("/**");
    } else if text.is_empty() {
        text.push('/');
    }
    text
}

fn exclusions(branch: &Branch, terms: &Terms, conditions: &mut Vec<String>) {
    let mut told = Vec::new();
    for (place, group) in branch.known() {
        if branch.text(place).is_some() || told.contains(&group) {
            continue;
        }
        told.push(group);
        let not: Vec<&str> = branch
            .not(place)
            .iter()
            .map(|symbol| terms.vocabulary.text(*symbol))
            .filter(|text| !text.is_empty())
            .collect();
        if not.is_empty() {
            continue;
        }
        let what = match (place.space, place.number) {
            (Space::Id(who), 0) => format!("trust domain{}", whose(who)),
            (Space::Id(who), number) => format!("segment {number} of the id{}", whose(who)),
            (Space::Path, number) => format!("segment {number} of the path"),
        };
        conditions.push(format!("not {what}: {}", not.join(", ")));
    }
    let spaces = [
        (Space::Id(Who::Caller), "id"),
        (Space::Id(Who::Hop), "id of the hop"),
        (Space::Path, "path"),
    ];
    for (space, what) in spaces {
        let (least, most) = branch.length(space);
        if most != MANY && most > least {
            conditions.push(format!("at most {most} segments of the {what}"));
        }
    }
}

fn whose(who: Who) -> &'static str {
    match who {
        Who::Caller => "",
        Who::Hop => " of the hop",
    }
}

fn of_aspect(aspect: &Aspect, wanted: &Wanted, terms: &Terms) -> Vec<String> {
    let mut met: Option<Vec<String>> = None;
    let mut missed = Vec::new();
    let mut told = Vec::new();
    for (demand, verdicts) in wanted {
        let Some(demand) = terms.vocabulary.demanded(*demand) else {
            continue;
        };
        let entries = entries(demand);
        match verdicts {
            Verdicts {
                yes: true, no: true, ..
            } => {}
            Verdicts {
                yes: true, no: false, ..
            } if is_of_lists(aspect) => {
                met = Some(match met {
                    None => entries,
                    Some(met) => met.into_iter().filter(|entry| entries.contains(entry)).collect(),
                });
            }
            Verdicts {
                yes: true, no: false, ..
            } => told.push(format!("{}: {}", word(aspect), entries.join(", "))),
            Verdicts { yes: false, .. } if is_of_lists(aspect) => missed.extend(entries),
            Verdicts { yes: false, .. } => told.push(format!("not {}: {}", word(aspect), entries.join(", "))),
        }
    }
    match met {
        Some(mut met) => {
            met.retain(|entry| !missed.contains(entry));
            told.push(format!("{}: {}", word(aspect), met.join(", ")));
        }
        None if !missed.is_empty() => told.push(format!("not {}: {}", word(aspect), missed.join(", "))),
        None => {}
    }
    told
}

/// Whether a value is one of the entries, so that lists can be told as one.
fn is_of_lists(aspect: &Aspect) -> bool {
    match aspect {
        Aspect::Method | Aspect::Route | Aspect::Port => true,
        Aspect::Host | Aspect::Sni | Aspect::Source | Aspect::Time | Aspect::Header(_) => false,
    }
}

fn word(aspect: &Aspect) -> &'static str {
    match aspect {
        Aspect::Method => "methods",
        Aspect::Route => "routes",
        Aspect::Port => "ports",
        Aspect::Host => "hosts",
        Aspect::Sni => "sni",
        Aspect::Source => "source_ips",
        Aspect::Time => "time",
        Aspect::Header(_) => "headers",
    }
}

fn entries(demand: &Demand) -> Vec<String> {
    fn each<T: ToString>(list: &Option<Vec<T>>) -> impl Iterator<Item = String> {
        list.iter().flatten().map(ToString::to_string)
    }
    match demand {
        Demand::Target(Conditions {
            methods,
            hosts,
            routes,
            ports,
            sni,
            encoded_slashes: _,
        }) => each(methods)
            .chain(each(routes))
            .chain(each(ports))
            .chain(hosts.iter().flatten().map(host))
            .chain(sni.iter().flatten().map(host))
            .collect(),
        Demand::When(When {
            headers,
            source_ips,
            time,
            ..
        }) => {
            let header = headers.iter().map(|condition| match &condition.test {
                HeaderTest::Present => format!("{} present", condition.name),
                HeaderTest::Is(value) => format!("{} is `{value}`", condition.name),
                HeaderTest::Matches(expression) => format!("{} matches `{}`", condition.name, expression.source),
            });
            header
                .chain(each(source_ips))
                .chain(time.iter().flatten().map(window))
                .collect()
        }
    }
}

fn host(pattern: &HostPattern) -> String {
    let joined = |labels: &[Option<Box<str>>]| {
        let labels: Vec<&str> = labels.iter().map(|label| label.as_deref().unwrap_or("*")).collect();
        labels.join(".")
    };
    match pattern {
        HostPattern::Exact(name) => name.to_string(),
        HostPattern::Labels(labels) => joined(labels),
        HostPattern::Below(labels) => format!("**.{}", joined(labels)),
        HostPattern::Address(address) => format!("[{address}]"),
    }
}

fn window(window: &TimeWindow) -> String {
    const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let days: Vec<&str> = DAYS
        .into_iter()
        .zip(window.days)
        .filter_map(|(name, is_on)| is_on.then_some(name))
        .collect();
    let minute = |minute: u16| format!("{:02}:{:02}", minute / 60, minute.checked_rem(60).unwrap_or_default());
    let days = if days.len() == DAYS.len() {
        String::new()
    } else {
        format!("{} ", days.join(" "))
    };
    format!("{days}{} to {}", minute(window.from), minute(window.until))
}
