//! What differs between two documents, found by asking both about very many requests.
//!
//! It knows nothing of the analysis but the type of a request: rules name `a` and `b`, so `c` and `d` stand for
//! everything else.

use std::net::IpAddr;

use svidgate_policy::{
    Assertion, Configuration, HttpRequest, IdPattern, Request, SpiffeId, Timestamp,
    analysis::{Brought, Claimed, ClaimedGrants, ClaimedWay, Form, Witness},
};

use crate::{
    dice::Dice,
    generator::{Dimension, Pair},
};

pub(crate) const AT: &str = "2026-11-23T12:00:00Z";

/// What may pass, and what could with the rules in a dry run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct May {
    pub(crate) pass: bool,
    pub(crate) would: bool,
}

/// The first request that one document lets pass and the other does not, each way, in force and with dry runs.
#[derive(Debug, Default)]
pub(crate) struct Differences {
    pub(crate) gain: Option<Witness>,
    pub(crate) loss: Option<Witness>,
    pub(crate) would_gain: Option<Witness>,
    pub(crate) would_lose: Option<Witness>,
}

/// Texts of one to three segments; those of three are there for their length.
fn texts(domain: &str) -> Vec<String> {
    let letters = ["a", "b", "c", "d"];
    let mut texts: Vec<String> = letters.iter().map(|one| format!("{domain}/{one}")).collect();
    for one in letters {
        for two in letters {
            texts.push(format!("{domain}/{one}/{two}"));
            texts.push(format!("{domain}/{one}/{two}/c"));
        }
    }
    texts
}

fn times() -> Vec<Timestamp> {
    [
        AT,
        "2026-11-23T13:00:00Z",
        "2026-11-23T23:30:00Z",
        "2026-11-24T00:30:00Z",
        "2026-11-24T12:30:00Z",
        "2026-11-25T11:30:00Z",
        "2026-11-25T23:30:00Z",
        "2026-12-01T00:30:00Z",
        "2026-12-01T12:00:00Z",
        "2026-12-02T11:00:00Z",
        "2027-01-01T00:00:00Z",
        "2027-01-04T12:00:00Z",
        "2027-01-07T23:00:00Z",
    ]
    .map(|time| time.parse().unwrap())
    .to_vec()
}

type Lines = Vec<(String, String)>;

/// A line that stands for a header of which nothing is known.
const UNREAD: &str = "unread";

fn headers() -> Vec<Lines> {
    let line = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut all = vec![Vec::new()];
    for name in ["h", "x-h"] {
        for value in ["a", "b", "", "z", "a, b", "a, z", "b, z", "ab", "a z", "aa"] {
            all.push(vec![line(name, value)]);
        }
        for (one, two) in [("a", "b"), ("a", "z"), ("b", ""), ("", "z"), ("a", ""), ("aa", "b")] {
            all.push(vec![line(name, one), line(name, two)]);
        }
        all.push(vec![line(name, ""), line(name, "a, b, z")]);
        all.push(vec![line(name, "ab"), line(name, "az")]);
    }
    for value in ["a", "", "z", "a, b, z"] {
        all.push(vec![line("x_h", value)]);
    }
    all.push(vec![line("x_h", "a"), line("x-h", "a")]);
    all.push(vec![line("h", "a"), line("x-h", "a")]);
    all.push(vec![line("h", "a"), line("x-h", "b")]);
    all.push(vec![line(UNREAD, "h")]);
    all.push(vec![line(UNREAD, "x_h")]);
    all.push(vec![line(UNREAD, "h"), line("x-h", "a")]);
    all
}

/// The values to try of each thing that rules may look at.
struct Values {
    /// Through nobody first.
    ways: Vec<Option<Brought>>,
    forms: Vec<Form>,
    paths: Vec<String>,
    methods: Vec<&'static str>,
    hosts: Vec<Option<&'static str>>,
    routes: Vec<Option<&'static str>>,
    ports: Vec<Option<u16>>,
    sni: Vec<Option<&'static str>>,
    sources: Vec<Option<IpAddr>>,
    headers: Vec<Lines>,
    times: Vec<Timestamp>,
}

impl Values {
    fn of(pair: &Pair) -> Self {
        let uses = |dimension| pair.used.contains(&dimension);
        fn all<T: Clone>(uses: bool, values: &[T]) -> Vec<T> {
            values[..if uses { values.len() } else { 1 }].to_vec()
        }
        let forms = match pair.old["listener"].as_str() {
            Some("tcp") => vec![Form::Connection],
            Some("shared") => vec![Form::Request, Form::Tunnel, Form::Connection],
            _ => vec![Form::Request, Form::Tunnel],
        };
        let mut paths = texts("");
        paths.insert(0, "/".to_owned());
        if pair.old["paths"] == "lenient" {
            paths.extend(["//", "/a//", "//a", "/a//b", "/a%2Fb", "/c/a%2Fb", "/a;b"].map(str::to_owned));
        }
        let hosts = ["c.y", "a.x", "b.x", "c.x", "x", "c.a.x", "d.c.a.x", "[::1]", "[::2]"];
        let names: Vec<Option<&str>> = hosts.into_iter().map(Some).chain([None]).collect();
        let sources = [
            "11.0.0.1",
            "10.1.1.1",
            "10.1.2.1",
            "10.2.0.1",
            "2001:db8::1",
            "2001:db9::1",
        ];
        let sources: Vec<_> = sources
            .map(|ip| Some(ip.parse().unwrap()))
            .into_iter()
            .chain([None])
            .collect();
        let is_timed = pair
            .used
            .iter()
            .any(|used| matches!(used, Dimension::Windows | Dimension::Expires))
            || pair.old.to_string().contains("2026-")
            || pair.new.to_string().contains("2026-")
            || pair.new.to_string().contains("2027-");
        Self {
            ways: ways(uses(Dimension::Hops)),
            forms,
            paths: all(uses(Dimension::Paths), &paths),
            methods: all(
                uses(Dimension::Methods),
                &["GET", "POST", "PUT", "get", "connect", "CONNECT"],
            ),
            hosts: all(uses(Dimension::Hosts), &names),
            routes: all(
                uses(Dimension::Routes),
                &[Some(""), Some("r1"), Some("r2"), Some("r3"), None],
            ),
            // A document for all listeners has some in any case.
            ports: all(
                uses(Dimension::Ports) || pair.old["listener"] == "shared",
                &[Some(80), Some(443), Some(5432), Some(1), None],
            ),
            sni: all(uses(Dimension::Sni), &names),
            sources: all(uses(Dimension::Sources), &sources),
            headers: all(uses(Dimension::Headers), &headers()),
            times: all(is_timed, &times()),
        }
    }

    fn count(&self) -> usize {
        [
            self.forms.len(),
            self.paths.len(),
            self.methods.len(),
            self.hosts.len(),
            self.routes.len(),
            self.ports.len(),
            self.sni.len(),
            self.sources.len(),
            self.headers.len(),
        ]
        .into_iter()
        .product()
    }

    /// One by its number, for a known id that comes by a known way.
    fn at(&self, mut number: usize, (id, via): (&SpiffeId, &Option<Brought>), now: Timestamp) -> Witness {
        let mut take = |count: usize| {
            let place = number % count;
            number /= count;
            place
        };
        let form = self.forms[take(self.forms.len())];
        let method = self.methods[take(self.methods.len())];
        let path = self.paths[take(self.paths.len())].clone();
        let host = self.hosts[take(self.hosts.len())];
        let route = self.routes[take(self.routes.len())];
        let port = self.ports[take(self.ports.len())];
        let sni = self.sni[take(self.sni.len())];
        let source_ip = self.sources[take(self.sources.len())];
        let mut headers = self.headers[take(self.headers.len())].clone();
        if form == Form::Request && method == "CONNECT" {
            headers.push((":protocol".to_owned(), "websocket".to_owned()));
        }
        let unread = headers
            .iter()
            .filter(|(name, _)| name == UNREAD)
            .map(|(_, name)| name.clone())
            .collect();
        headers.retain(|(name, _)| name != UNREAD);
        Witness {
            unread,
            id: id.clone(),
            via: via.clone(),
            form,
            method: if form == Form::Tunnel { "CONNECT" } else { method }.to_owned(),
            host: host.map(str::to_owned),
            path: (form == Form::Request).then_some(path),
            headers,
            // A connection has none.
            route: route.filter(|_| form != Form::Connection).map(str::to_owned),
            port,
            sni: sni.map(str::to_owned),
            source_ip,
            now,
        }
    }
}

/// What a gate says about a request of an identity that it has let in.
fn may(grants: Option<&ClaimedGrants>, witness: &Witness) -> May {
    let Some(grants) = grants else {
        return May {
            pass: false,
            would: false,
        };
    };
    let http = HttpRequest {
        method: witness.method.as_bytes(),
        authority: witness.host.as_deref().unwrap_or_default().as_bytes(),
        path: witness.path.as_deref().map(str::as_bytes),
        headers: &witness,
    };
    let request = Request {
        http: (witness.form != Form::Connection).then_some(http),
        route: witness.route.as_deref().map(str::as_bytes),
        port: witness.port,
        sni: witness.sni.as_deref().map(str::as_bytes),
        source_ip: witness.source_ip,
    };
    let decision = grants.decide(&request, witness.now);
    let pass = decision.is_allowed();
    May {
        pass,
        would: decision
            .dry_run
            .map_or(pass, |dry_run| dry_run.effect.as_str() == "allow"),
    }
}

fn ways(uses_hops: bool) -> Vec<Option<Brought>> {
    let mut ways = vec![None];
    if uses_hops {
        for id in [
            "td/h/a", "td/h/b", "td/h/c", "td/h/b/a", "td/h/d", "fd/h/a", "fd/h/b", "td/a",
        ] {
            for assertion in [Assertion::Xfcc, Assertion::JwtSvid] {
                let id = SpiffeId::parse(format!("spiffe://{id}")).unwrap();
                ways.push(Some(Brought { id, assertion }));
            }
        }
    }
    ways
}

fn grants(
    configuration: &Configuration,
    id: &SpiffeId,
    via: &Option<Brought>,
    now: Timestamp,
) -> Option<ClaimedGrants> {
    let claimed = |id: &SpiffeId| Claimed::new(id.clone(), configuration, now).ok();
    let caller = claimed(id)?;
    let hop = match via {
        Some(via) => Some((claimed(&via.id)?, via.assertion)),
        None => None,
    };
    Some(ClaimedGrants::of(&configuration.rules, &ClaimedWay { caller, hop }))
}

/// Whether somebody is a hop that may bring somebody else, as a document says.
fn may_bring(configuration: &Configuration, id: &SpiffeId, via: &Brought) -> bool {
    let means = |patterns: &[IdPattern], id: &SpiffeId| patterns.iter().any(|pattern| pattern.matches(id));
    configuration.rules.hops().any(|hop| {
        let is_it = hop.assertion == via.assertion && means(hop.peers.ids(), &via.id);
        is_it && means(&hop.callers, id) && !means(&hop.except, id)
    })
}

/// Asks documents about at most so many requests, all of them where there are no more, and shows what they say.
pub(crate) fn each(
    pair: &Pair,
    documents: &[&Configuration],
    most: usize,
    dice: &mut Dice,
    show: &mut dyn FnMut(&Witness, &[May]),
) {
    let values = Values::of(pair);
    let ids: Vec<String> = ["spiffe://td", "spiffe://fd", "spiffe://xd"]
        .into_iter()
        .flat_map(texts)
        .collect();
    let count = values.count();
    // Those of hops are asked beside.
    let share = (most / (ids.len() * values.times.len())).max(1);
    let ids: Vec<SpiffeId> = ids.into_iter().map(|id| SpiffeId::parse(id).unwrap()).collect();
    for (id, via) in ids.iter().flat_map(|id| values.ways.iter().map(move |via| (id, via))) {
        let is_brought = |via: &Brought| documents.iter().any(|document| may_bring(document, id, via));
        if via.as_ref().is_some_and(|via| !is_brought(via)) {
            continue;
        }
        for now in &values.times {
            let granted = documents.iter().map(|document| grants(document, id, via, *now));
            let granted: Vec<_> = granted.collect();
            if granted.iter().all(Option::is_none) {
                continue;
            }
            for number in 0..count.min(share) {
                let number = if count <= share { number } else { dice.below(count) };
                let witness = values.at(number, (id, via), *now);
                // A connection is brought by nobody.
                if via.is_some() && witness.form == Form::Connection {
                    continue;
                }
                let said: Vec<May> = granted.iter().map(|grants| may(grants.as_ref(), &witness)).collect();
                show(&witness, &said);
            }
        }
    }
}

/// What differs between two documents.
pub(crate) fn differences(
    pair: &Pair,
    old: &Configuration,
    new: &Configuration,
    most: usize,
    dice: &mut Dice,
) -> Differences {
    let mut found = Differences::default();
    each(pair, &[old, new], most, dice, &mut |witness, said| {
        found.add(said[0], said[1], witness);
    });
    found
}

impl Differences {
    fn add(&mut self, old: May, new: May, witness: &Witness) {
        let is_first = |place: &mut Option<Witness>, is_it: bool| {
            if is_it && place.is_none() {
                *place = Some(witness.clone());
            }
        };
        is_first(&mut self.gain, new.pass && !old.pass);
        is_first(&mut self.loss, old.pass && !new.pass);
        is_first(&mut self.would_gain, new.would && !old.would);
        is_first(&mut self.would_lose, old.would && !new.would);
    }
}
