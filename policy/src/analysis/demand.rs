//! What does a rule demand of one thing beside identity and path, as a gate would judge it?
//!
//! Each demand is a [`Conditions`] or a [`When`] with one member, so that what judges it is what judges it in a gate.

use std::net::IpAddr;

use jiff::Timestamp;

use crate::{
    effort::Effort,
    name::host::HostName,
    rules::{
        condition::{Conditions, Facts, When},
        effect::Effect,
        header::{HeaderCondition, Headers, folded},
        verdict::Verdict,
    },
};

/// What is looked at. Demands on different aspects never hang together.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Aspect {
    Method,
    Route,
    Port,
    Host,
    Sni,
    Source,
    Time,
    /// All headers that some upstream takes for one, by their folded name.
    Header(Box<[u8]>),
}

/// A demand on one aspect.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Demand {
    Target(Conditions),
    When(When),
}

/// Verdicts, of which one is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Verdicts {
    pub(crate) yes: bool,
    pub(crate) no: bool,
    pub(crate) unknown: bool,
}

impl Verdicts {
    pub(crate) const ALL: Self = Self {
        yes: true,
        no: true,
        unknown: true,
    };

    /// Those with which a rule of this effect applies: in doubt an allow rule does not, a deny rule does.
    pub(crate) fn that_apply(effect: Effect) -> Self {
        Self {
            yes: Verdict::Yes.applies_to(effect),
            no: Verdict::No.applies_to(effect),
            unknown: Verdict::Unknown.applies_to(effect),
        }
    }

    /// The same of the opposite demand.
    pub(crate) fn negated(self) -> Self {
        Self {
            yes: self.no,
            no: self.yes,
            ..self
        }
    }

    /// All others.
    pub(crate) fn others(self) -> Self {
        Self {
            yes: !self.yes,
            no: !self.no,
            unknown: !self.unknown,
        }
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            yes: self.yes && other.yes,
            no: self.no && other.no,
            unknown: self.unknown && other.unknown,
        }
    }

    pub(crate) fn is_empty(self) -> bool {
        !(self.yes || self.no || self.unknown)
    }

    pub(crate) fn contains(self, verdict: Verdict) -> bool {
        match verdict {
            Verdict::Yes => self.yes,
            Verdict::No => self.no,
            Verdict::Unknown => self.unknown,
        }
    }
}

/// What one aspect of a request is; `None` is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Method(String),
    Route(Option<String>),
    Port(Option<u16>),
    Host(Option<String>),
    Sni(Option<String>),
    Source(Option<IpAddr>),
    Time(Timestamp),
    /// Lines of headers.
    Lines(Vec<(String, String)>),
    /// A header of this name, and it is not known which values it has.
    Unread(String),
}

impl Value {
    /// Whether a gate comes to one of the wanted verdicts on each demand.
    pub(crate) fn meets(&self, demands: &[(&Demand, Verdicts)]) -> bool {
        demands
            .iter()
            .all(|(demand, wanted)| wanted.contains(demand.verdict(self)))
    }
}

impl Demand {
    /// What a gate says of it, nothing else being known.
    pub(crate) fn verdict(&self, value: &Value) -> Verdict {
        let effort = Effort::of(u32::MAX);
        let mut facts = Facts {
            method: None,
            host: None,
            headers: None,
            route: None,
            port: None,
            sni: None,
            source_ip: None,
            now: Timestamp::UNIX_EPOCH,
            has_encoded_slash: false,
            is_tunnel: false,
            effort: &effort,
        };
        let lines: &[(String, String)] = match value {
            Value::Lines(lines) => lines,
            Value::Method(_)
            | Value::Route(_)
            | Value::Port(_)
            | Value::Host(_)
            | Value::Sni(_)
            | Value::Source(_)
            | Value::Time(_)
            | Value::Unread(_) => &[],
        };
        let headers: &dyn Headers = &lines;
        match value {
            Value::Method(method) => facts.method = Some(method.as_bytes()),
            Value::Route(route) => facts.route = route.as_deref().map(str::as_bytes),
            Value::Port(port) => facts.port = *port,
            Value::Host(host) => facts.host = host.as_deref().and_then(|host| HostName::read(host.as_bytes())),
            Value::Sni(name) => facts.sni = name.as_deref().and_then(|name| HostName::name(name.as_bytes())),
            Value::Source(address) => facts.source_ip = address.map(|address| address.to_canonical()),
            Value::Time(now) => facts.now = *now,
            Value::Lines(_) => facts.headers = Some(headers),
            Value::Unread(_) => {}
        }
        match self {
            Self::Target(conditions) => conditions.verdict(&facts),
            Self::When(when) => when.verdict(&facts),
        }
    }

    /// The demand on a header that this is, if it is one.
    pub(crate) fn header(&self) -> Option<&HeaderCondition> {
        match self {
            Self::When(when) => when.headers.first(),
            Self::Target(_) => None,
        }
    }

    pub(crate) fn target(&self) -> Option<&Conditions> {
        match self {
            Self::Target(conditions) => Some(conditions),
            Self::When(_) => None,
        }
    }

    pub(crate) fn when(&self) -> Option<&When> {
        match self {
            Self::When(when) => Some(when),
            Self::Target(_) => None,
        }
    }
}

/// The demands of a target, each alone.
pub(crate) fn of_target(conditions: &Conditions) -> Vec<(Aspect, Demand)> {
    let Conditions {
        methods,
        hosts,
        routes,
        ports,
        sni,
        // No demand.
        encoded_slashes: _,
    } = conditions;
    let alone = Conditions::default;
    let mut demands = Vec::new();
    if let Some(methods) = methods {
        let mut methods = methods.clone();
        methods.sort();
        let methods = Some(methods);
        demands.push((Aspect::Method, Conditions { methods, ..alone() }));
    }
    if let Some(routes) = routes {
        let mut routes = routes.clone();
        routes.sort();
        let routes = Some(routes);
        demands.push((Aspect::Route, Conditions { routes, ..alone() }));
    }
    if ports.is_some() {
        let ports = ports.clone();
        demands.push((Aspect::Port, Conditions { ports, ..alone() }));
    }
    if hosts.is_some() {
        let hosts = hosts.clone();
        demands.push((Aspect::Host, Conditions { hosts, ..alone() }));
    }
    if sni.is_some() {
        let sni = sni.clone();
        demands.push((Aspect::Sni, Conditions { sni, ..alone() }));
    }
    let target = |(aspect, conditions)| (aspect, Demand::Target(conditions));
    demands.into_iter().map(target).collect()
}

/// The demands of a `when`, each alone, and with which verdicts a rule of this effect applies.
pub(crate) fn of_when(when: &When, effect: Effect) -> Vec<(Aspect, Demand, Verdicts)> {
    let When {
        headers,
        not_headers,
        source_ips,
        not_source_ips,
        time,
        not_time,
    } = when;
    let apply = Verdicts::that_apply(effect);
    let alone = When::default;
    let mut demands = Vec::new();
    for (list, wanted) in [(source_ips, apply), (not_source_ips, apply.negated())] {
        if let Some(list) = list {
            let mut list = list.clone();
            list.sort();
            let source_ips = Some(list);
            demands.push((Aspect::Source, When { source_ips, ..alone() }, wanted));
        }
    }
    for (time, wanted) in [(time, apply), (not_time, apply.negated())] {
        if time.is_some() {
            let time = time.clone();
            demands.push((Aspect::Time, When { time, ..alone() }, wanted));
        }
    }
    for (list, wanted) in [(headers, apply), (not_headers, apply.negated())] {
        for condition in list {
            let aspect = Aspect::Header(folded(condition.name.as_bytes()).collect());
            let headers = vec![condition.clone()];
            demands.push((aspect, When { headers, ..alone() }, wanted));
        }
    }
    let when = |(aspect, when, wanted)| (aspect, Demand::When(when), wanted);
    demands.into_iter().map(when).collect()
}
