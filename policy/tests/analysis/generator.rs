//! Random pairs of documents. Of most pairs, one thing differs, so that each kind of difference decides by itself.

use serde_json::{Value, json};

use crate::dice::Dice;

/// What rules of a pair speak of beside effect and ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Dimension {
    Paths,
    Captures,
    Except,
    Methods,
    Hosts,
    Routes,
    Ports,
    Sni,
    Headers,
    Sources,
    Windows,
    Expires,
    Scope,
    Relationship,
    Revoked,
    DryRun,
    Effects,
    From,
    Rules,
    // Of what is above, in what alone a pair differs.
    PathsStrict,
    PathsLenient,
    HeaderIs,
    HeaderMatches,
    HeaderPresent,
    HeaderNegated,
    HeaderLines,
    SourceUnknown,
    Lengths,
    // Of what hops bring.
    Via,
    Hops,
}

/// In what pairs differ.
pub(crate) const DIMENSIONS: [Dimension; 30] = [
    // Few pairs differ in one length alone, so there are more of them.
    Dimension::Lengths,
    Dimension::Lengths,
    Dimension::Lengths,
    Dimension::PathsStrict,
    Dimension::PathsLenient,
    // The same of segments that are the same.
    Dimension::Captures,
    Dimension::Captures,
    Dimension::Captures,
    Dimension::Except,
    Dimension::Methods,
    Dimension::Hosts,
    Dimension::Routes,
    Dimension::Ports,
    Dimension::Sni,
    Dimension::HeaderIs,
    Dimension::HeaderMatches,
    Dimension::HeaderPresent,
    Dimension::HeaderNegated,
    Dimension::HeaderLines,
    Dimension::Sources,
    Dimension::SourceUnknown,
    Dimension::Windows,
    Dimension::Expires,
    Dimension::Scope,
    Dimension::Relationship,
    Dimension::Revoked,
    Dimension::DryRun,
    Dimension::Effects,
    Dimension::From,
    Dimension::Rules,
];

/// In what pairs differ that have hops, which are drawn apart from the others.
pub(crate) const OF_HOPS: [Dimension; 3] = [Dimension::Via, Dimension::Hops, Dimension::Hops];
/// How many pairs of a hundred have hops.
const WITH_HOPS: usize = 30;

/// What only requests have.
const OF_REQUESTS: &[Dimension] = &[
    Dimension::Paths,
    Dimension::Captures,
    Dimension::Methods,
    Dimension::Hosts,
    Dimension::Routes,
    Dimension::Headers,
];
/// What connections have, too.
const OF_ALL: &[Dimension] = &[
    Dimension::Except,
    Dimension::Ports,
    Dimension::Sni,
    Dimension::Sources,
    Dimension::Windows,
    Dimension::Expires,
];

impl Dimension {
    /// What rules look at where it is this in which a pair differs.
    fn looked_at(self) -> Self {
        match self {
            Self::PathsStrict | Self::PathsLenient | Self::Lengths => Self::Paths,
            Self::HeaderIs | Self::HeaderMatches | Self::HeaderPresent | Self::HeaderNegated | Self::HeaderLines => {
                Self::Headers
            }
            Self::SourceUnknown => Self::Sources,
            other => other,
        }
    }
}

/// Two documents.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) old: Value,
    pub(crate) new: Value,
    /// Who and what, to ask the old one about.
    pub(crate) subject: Value,
    /// Which kinds of things rules look at, so that nothing else need be tried.
    pub(crate) used: Vec<Dimension>,
    /// In what they differ, if in one thing.
    pub(crate) differ_in: Option<Dimension>,
    /// Whether expressions are in it, about which not all can be decided.
    pub(crate) has_expressions: bool,
}

/// What the documents of one pair are made of.
struct Maker<'d> {
    dice: &'d mut Dice,
    used: Vec<Dimension>,
    lenient: bool,
    shared: bool,
    expressions: bool,
    /// Whether patterns say nothing but how many segments there are.
    lengths: bool,
    /// Whether most rules capture, and there are few other texts.
    captures: bool,
    /// The names of the hops that there are.
    hops: Vec<&'static str>,
}

pub(crate) const TIMES: [&str; 4] = [
    "2026-11-23T12:00:00Z",
    "2026-11-24T00:00:00Z",
    "2026-12-01T00:00:00Z",
    "2027-01-01T00:00:00Z",
];

pub(crate) fn pair(dice: &mut Dice) -> Pair {
    let mut of_hops = Dice::new(!dice.clone().next());
    let has_hops = of_hops.percent(WITH_HOPS);
    let mut differ_in = *dice.one(&DIMENSIONS);
    if has_hops && of_hops.percent(60) {
        differ_in = *of_hops.one(&OF_HOPS);
    }
    let listener = *dice.one(if has_hops || OF_REQUESTS.contains(&differ_in.looked_at()) {
        &["http", "http", "http", "shared"]
    } else {
        &["http", "http", "tcp", "shared"]
    });
    let more = if listener == "tcp" {
        OF_ALL.to_vec()
    } else {
        [OF_REQUESTS, OF_ALL].concat()
    };
    let mut used = dice.some(&more, 2);
    used.push(differ_in.looked_at());
    if differ_in == Dimension::Captures {
        used.push(Dimension::Paths);
    } else if used.contains(&Dimension::Paths) && dice.percent(40) {
        used.push(Dimension::Captures);
    }
    let lenient = match differ_in {
        Dimension::PathsStrict => false,
        Dimension::PathsLenient => true,
        _ => dice.percent(25),
    };
    let expressions = differ_in == Dimension::HeaderMatches || dice.percent(30);
    let hops = if has_hops { hops(&mut of_hops) } else { Vec::new() };
    let mut maker = Maker {
        dice,
        used,
        lenient,
        shared: listener == "shared",
        expressions,
        lengths: differ_in == Dimension::Lengths,
        captures: differ_in == Dimension::Captures,
        hops: hops.iter().map(|hop| hop.name).collect(),
    };
    let count = if maker.lengths || maker.captures { 3 } else { 1 } + maker.dice.below(3);
    let rules: Vec<Value> = (0..count).map(|_| maker.rule()).collect();
    let mut old = json!({
        "trust_domain": "td",
        "chain": "proxy",
        "listener": listener,
        "paths": if lenient { "lenient" } else { "strict" },
        "federation": maker.federation(),
        "revoked": maker.revoked(),
        "rules": rules,
    });
    if has_hops {
        maker.used.push(Dimension::Hops);
        old["chain"] = json!("verify");
        old["authorities"] = json!({ "workload_api": { "cluster": "agent" } });
        old["xfcc"] = json!("hop");
        old["hops"] = hops.iter().map(|hop| hop.written.clone()).collect();
    }
    let mut new = old.clone();
    let is_rewritten = maker.dice.percent(12);
    if is_rewritten {
        maker.rewrite(&mut new);
    } else {
        maker.change(differ_in, &mut new);
    }
    let differ_in = (!is_rewritten).then_some(differ_in);
    let (used, has_expressions) = (maker.used.clone(), maker.expressions);
    // Then what differs differs in what is no longer than brute force looks at.
    let is_short = maker.lengths || maker.dice.percent(50);
    let [old, new] = [old, new].map(|document| named(if is_short { shortened(document, &used) } else { document }));
    let mut subject = maker.rule();
    for name in ["effect", "expires", "dry_run"] {
        subject.as_object_mut().unwrap().remove(name);
    }
    if has_hops {
        // Of whom a rule forbids something, the hop may be the one, and of a subject never.
        let except = subject["except"].as_array().cloned().unwrap_or_default();
        subject["except"] = except.into_iter().chain([json!(NO_HOP)]).collect();
    }
    Pair {
        old,
        new,
        subject,
        used,
        differ_in,
        has_expressions,
    }
}

/// With denials of all that is longer than what brute force looks at.
fn shortened(mut document: Value, used: &[Dimension]) -> Value {
    let has_requests = document["listener"] != "tcp";
    let rules = document["rules"].as_array_mut().unwrap();
    rules.push(json!({ "effect": "deny", "from": ["spiffe://*/*/*/*/*/**"] }));
    if has_requests && used.contains(&Dimension::Paths) {
        let to = json!([{ "paths": ["/*/*/*/*/**"] }]);
        rules.push(json!({ "effect": "deny", "from": ["spiffe://*/**"], "to": to }));
    }
    document
}

fn named(mut document: Value) -> Value {
    let mut hops = document["hops"].as_array().into_iter().flatten();
    if hops.any(|hop| hop["assertion"] == "jwt_svid") {
        document["jwt_svid"] = json!({ "audiences": ["us"] });
    }
    let uses = uses(&document["hops"]);
    let rules = document["rules"].as_array_mut().unwrap();
    rules.extend(uses);
    for (place, rule) in rules.iter_mut().enumerate() {
        rule["name"] = json!(format!("r{place}"));
    }
    document
}

/// A rule that names all hops and says nothing any more: a hop that no rule names is a mistake.
pub(crate) fn uses(hops: &Value) -> Option<Value> {
    let hops = hops.as_array().filter(|hops| !hops.is_empty())?;
    let names: Vec<&Value> = hops.iter().map(|hop| &hop["name"]).collect();
    Some(json!({
        "name": "uses", "effect": "allow", "from": ["spiffe://*/**"], "via": names, "expires": "2026-01-01T00:00:00Z",
    }))
}

/// Ids of hops, and of nobody else.
const NO_HOP: &str = "spiffe://*/h/**";

/// A hop as it is written.
struct Hop {
    name: &'static str,
    written: Value,
}

/// One to three. Of most no two bring the same caller in the same way; a document with others is refused.
fn hops(dice: &mut Dice) -> Vec<Hop> {
    let mut all = Vec::new();
    for name in dice.some(&["one", "two", "three"], 3) {
        let written = hop(dice, name);
        all.push(Hop { name, written });
    }
    all
}

fn hop(dice: &mut Dice, name: &'static str) -> Value {
    let (peers, foreign): (&[&[&str]], bool) = match name {
        "one" => (
            &[
                &["spiffe://td/h/a"],
                &["spiffe://td/h/a"],
                &["spiffe://td/h/a", "spiffe://td/h/b/*"],
            ],
            false,
        ),
        "two" => (&[&["spiffe://td/h/b"], &["spiffe://td/h/c", "spiffe://td/h/b"]], false),
        _ => (
            &[&["spiffe://fd/h/a"], &["spiffe://fd/h/*"], &["spiffe://td/h/*"]],
            true,
        ),
    };
    let peers = *dice.one(peers);
    let is_foreign = foreign && peers[0].starts_with("spiffe://fd");
    let callers: &[&str] = if is_foreign {
        &[
            "spiffe://fd/**",
            "spiffe://fd/a/**",
            "spiffe://fd/*",
            "spiffe://fd/b",
            "spiffe://fd/*/a",
        ]
    } else {
        &[
            "spiffe://td/**",
            "spiffe://*/**",
            "spiffe://td/a/**",
            "spiffe://td/*",
            "spiffe://td/b",
            "spiffe://*/*/b",
            "spiffe://fd/a",
        ]
    };
    let mut except = vec![NO_HOP];
    if dice.percent(40) {
        except.push(*dice.one(&["spiffe://*/a", "spiffe://td/*/a", "spiffe://td/b/**", "spiffe://fd/*"]));
    }
    let assertion = if name == "three" || dice.percent(20) {
        "jwt_svid"
    } else {
        "xfcc"
    };
    let mut written = json!({
        "name": name, "peers": peers, "callers": dice.some(callers, 2), "except": except, "assertion": assertion,
    });
    if dice.percent(25) {
        written["expires"] = json!(dice.one(&TIMES));
    }
    written
}

impl Maker<'_> {
    fn uses(&self, dimension: Dimension) -> bool {
        self.used.contains(&dimension)
    }

    fn federation(&mut self) -> Value {
        let mut fd = json!({ "trust_domain": "fd" });
        if self.dice.percent(30) {
            fd["scope"] = self.scope();
        }
        if self.dice.percent(20) {
            fd["expires"] = json!(self.dice.one(&TIMES));
        }
        json!([fd])
    }

    fn scope(&mut self) -> Value {
        json!(self.dice.some(&["/a/**", "/b/**", "/*", "/a/b", "/*/a"], 2))
    }

    fn revoked(&mut self) -> Value {
        if self.dice.percent(25) {
            json!([self.revocation()])
        } else {
            json!([])
        }
    }

    fn revocation(&mut self) -> Value {
        let id = *self
            .dice
            .one(&["spiffe://td/a", "spiffe://td/a/**", "spiffe://fd/*", "spiffe://td/*/b"]);
        let mut entry = json!({ "id": id });
        if self.dice.percent(40) {
            entry["until"] = json!(self.dice.one(&TIMES));
        }
        entry
    }

    fn segments(&mut self, captures: &[&str], least: usize) -> String {
        let (alphabet, most): (&[&str], usize) = if self.lengths {
            (&["*"], 3)
        } else if self.captures {
            (&["a", "*"], 2)
        } else {
            (&["a", "b", "*", "*"], 2)
        };
        let mut list: Vec<&str> = (0..least + self.dice.below(most + 1 - least))
            .map(|_| *self.dice.one(alphabet))
            .collect();
        for capture in captures {
            let place = self.dice.below(list.len() + 1);
            list.insert(place, capture);
        }
        if self.dice.percent(40) {
            list.push("**");
        }
        if list.is_empty() {
            list.push("**");
        }
        list.iter().map(|segment| format!("/{segment}")).collect()
    }

    fn id(&mut self, captures: &[&str]) -> String {
        let domain = *self.dice.one(&["td", "td", "fd", "*"]);
        let least = usize::from(captures.is_empty());
        format!("spiffe://{domain}{}", self.segments(captures, least))
    }

    fn rule(&mut self) -> Value {
        let captures: &[&str] =
            if self.uses(Dimension::Captures) && self.dice.percent(if self.captures { 90 } else { 60 }) {
                match self.dice.below(4) {
                    0 => &["{x}", "{x}"],
                    1 => &["{x}", "{y}"],
                    _ => &["{x}"],
                }
            } else {
                &[]
            };
        let from: Vec<String> = (0..1 + self.dice.below(2)).map(|_| self.id(captures)).collect();
        let mut rule = json!({
            "effect": self.dice.one(&["allow", "allow", "deny"]),
            "from": from,
        });
        if self.uses(Dimension::Except) && self.dice.percent(50) {
            rule["except"] = self.except();
        }
        let mut named: Vec<&str> = captures.to_vec();
        named.dedup();
        let mut to = vec![self.target(&named)];
        if self.dice.percent(25) {
            to.push(self.target(&[]));
        }
        let is_shared_allow = self.shared && rule["effect"] == "allow";
        to.iter_mut().for_each(|target| {
            if is_shared_allow {
                target["ports"] = json!([80]);
            }
        });
        if to
            .iter()
            .all(|target| target.as_object().is_some_and(|members| !members.is_empty()))
        {
            rule["to"] = json!(to);
        }
        let when = self.when();
        if when.as_object().is_some_and(|members| !members.is_empty()) {
            rule["when"] = when;
        }
        if self.uses(Dimension::Expires) && self.dice.percent(60) {
            rule["expires"] = json!(self.dice.one(&TIMES));
        }
        if !self.hops.is_empty() && self.dice.percent(70) {
            rule["via"] = self.via();
        }
        if self.dice.percent(10) {
            rule["dry_run"] = json!(true);
        }
        rule
    }

    fn via(&mut self) -> Value {
        let mut named = self.hops.clone();
        named.push("direct");
        json!(self.dice.some(&named, 2))
    }

    fn change_hops(&mut self, document: &mut Value) {
        let count = document["hops"].as_array().unwrap().len();
        let place = self.dice.below(count);
        let name = self.hops[place];
        match self.dice.below(4) {
            0 => {
                let other = hop(self.dice, name);
                document["hops"][place]["callers"] = other["callers"].clone();
            }
            1 => {
                let other = hop(self.dice, name);
                document["hops"][place]["peers"] = other["peers"].clone();
                document["hops"][place]["callers"] = other["callers"].clone();
            }
            2 => {
                let other = hop(self.dice, name);
                document["hops"][place]["except"] = other["except"].clone();
            }
            _ => document["hops"][place] = hop(self.dice, name),
        }
    }

    fn except(&mut self) -> Value {
        let list: Vec<String> = (0..1 + self.dice.below(2)).map(|_| self.id(&[])).collect();
        json!(list)
    }

    fn paths(&mut self, captures: &[&str]) -> Value {
        let mut paths = vec![self.path(captures)];
        if self.dice.percent(30) {
            paths.push(self.path(&[]));
        }
        json!(paths)
    }

    fn path(&mut self, captures: &[&str]) -> String {
        let path = self.segments(captures, 0);
        if self.lenient && self.dice.percent(20) {
            path.replace("/b", "/a%2Fb")
        } else {
            path
        }
    }

    fn target(&mut self, captures: &[&str]) -> Value {
        let mut target = json!({});
        if !captures.is_empty() || (self.uses(Dimension::Paths) && self.dice.percent(70)) {
            target["paths"] = self.paths(captures);
        }
        for dimension in [
            Dimension::Methods,
            Dimension::Hosts,
            Dimension::Routes,
            Dimension::Ports,
            Dimension::Sni,
        ] {
            if self.uses(dimension) && self.dice.percent(60) {
                self.demand(dimension, &mut target);
            }
        }
        target
    }

    fn demand(&mut self, dimension: Dimension, target: &mut Value) {
        let hosts = ["a.x", "b.x", "*.x", "**.x", "**.a.x", "[::1]", "*.a.x"];
        match dimension {
            Dimension::Methods => target["methods"] = json!(self.dice.some(&["GET", "POST", "CONNECT"], 2)),
            Dimension::Hosts => target["hosts"] = json!(self.dice.some(&hosts, 2)),
            Dimension::Sni => target["sni"] = json!(self.dice.some(&hosts, 2)),
            Dimension::Routes => target["routes"] = json!(self.dice.some(&["r1", "r2"], 2)),
            Dimension::Ports => target["ports"] = json!(self.dice.some(&[80, 443, 5432], 2)),
            _ => panic!("{dimension:?} is no demand of a target"),
        }
    }

    fn when(&mut self) -> Value {
        let mut when = json!({});
        for dimension in [Dimension::Headers, Dimension::Sources, Dimension::Windows] {
            if self.uses(dimension) && self.dice.percent(60) {
                self.condition(dimension, &mut when);
            }
        }
        when
    }

    fn condition(&mut self, dimension: Dimension, when: &mut Value) {
        let positive = self.dice.percent(60);
        match dimension {
            Dimension::Headers => {
                let name = if positive { "headers" } else { "not_headers" };
                let list: Vec<Value> = (0..1 + self.dice.below(2)).map(|_| self.header()).collect();
                when[name] = json!(list);
            }
            Dimension::Sources => {
                let name = if positive { "source_ips" } else { "not_source_ips" };
                let nets = [
                    "10.0.0.0/8",
                    "10.0.0.0/16",
                    "10.1.0.0/16",
                    "2001:db8::/32",
                    "0.0.0.0/0",
                    "::/0",
                    "10.1.1.1",
                ];
                when[name] = json!(self.dice.some(&nets, 2));
            }
            Dimension::Windows => {
                let name = if positive { "time" } else { "not_time" };
                let list: Vec<Value> = (0..1 + self.dice.below(2)).map(|_| self.window()).collect();
                when[name] = json!(list);
            }
            _ => panic!("{dimension:?} is no condition"),
        }
    }

    fn header(&mut self) -> Value {
        match self.dice.below(if self.expressions { 5 } else { 4 }) {
            0 => self.header_of(Dimension::HeaderPresent),
            1..=3 => self.header_of(Dimension::HeaderIs),
            _ => self.header_of(Dimension::HeaderMatches),
        }
    }

    fn header_of(&mut self, kind: Dimension) -> Value {
        let name = *self.dice.one(&["h", "h", "x-h"]);
        match kind {
            Dimension::HeaderPresent => json!({ "name": name, "present": true }),
            Dimension::HeaderMatches => {
                json!({ "name": name, "matches": self.dice.one(&["a|b", "a.*", "[ab]+"]) })
            }
            _ => json!({ "name": name, "is": self.dice.one(&["a", "b", ""]) }),
        }
    }

    fn window(&mut self) -> Value {
        let windows = [
            json!({ "days": ["mon", "tue"] }),
            json!({ "from": "11:00", "until": "13:00" }),
            json!({ "from": "22:00", "until": "06:00" }),
            json!({ "days": ["mon"], "from": "23:00", "until": "01:00" }),
            json!({ "from": "12:00" }),
        ];
        self.dice.one(&windows).clone()
    }

    fn change(&mut self, dimension: Dimension, document: &mut Value) {
        let count = document["rules"].as_array().unwrap().len();
        let place = self.dice.below(count);
        match dimension {
            Dimension::Scope => {
                let scope = self.scope();
                document["federation"][0]["scope"] = scope;
            }
            Dimension::Relationship => {
                if self.dice.percent(50) {
                    document["federation"][0]["expires"] = json!(self.dice.one(&TIMES));
                } else {
                    document["federation"] = json!([{ "trust_domain": "xd" }]);
                    let revoked = document["revoked"].as_array_mut().unwrap();
                    revoked.retain(|entry| !entry["id"].as_str().unwrap().contains("fd"));
                }
            }
            Dimension::Revoked => document["revoked"] = json!([self.revocation()]),
            Dimension::DryRun => {
                let rule = &mut document["rules"][place];
                rule["dry_run"] = json!(rule["dry_run"] != true);
            }
            Dimension::Effects => {
                let rule = &mut document["rules"][place];
                rule["effect"] = json!(if rule["effect"] == "allow" { "deny" } else { "allow" });
            }
            Dimension::From => {
                let has_captures = document["rules"][place]["from"][0].as_str().unwrap().contains('{');
                if has_captures {
                    return self.replace(document, place);
                }
                let id = self.id(&[]);
                document["rules"][place]["from"][0] = json!(id);
            }
            Dimension::Rules => {
                let rules = document["rules"].as_array_mut().unwrap();
                if self.dice.percent(50) && rules.len() > 1 {
                    rules.remove(place);
                } else {
                    let rule = self.rule();
                    document["rules"].as_array_mut().unwrap().push(rule);
                }
            }
            Dimension::HeaderIs | Dimension::HeaderMatches | Dimension::HeaderPresent => {
                let header = self.header_of(dimension);
                document["rules"][place]["when"]["headers"] = json!([header]);
            }
            Dimension::HeaderNegated => {
                let header = self.header();
                document["rules"][place]["when"]["not_headers"] = json!([header]);
            }
            // Where it is, and where it is not: all but where several lines leave it open.
            Dimension::HeaderLines => {
                let header = self.header_of(Dimension::HeaderIs);
                let rules = document["rules"].as_array_mut().unwrap();
                let mut other = rules[place].clone();
                rules[place]["when"]["headers"] = json!([header]);
                other["when"]["not_headers"] = json!([header]);
                rules.push(other);
            }
            // The same of the address, which may not be known.
            Dimension::SourceUnknown => {
                let nets = json!(self.dice.some(&["10.0.0.0/8", "10.1.0.0/16", "::/0"], 2));
                let rules = document["rules"].as_array_mut().unwrap();
                let mut other = rules[place].clone();
                rules[place]["when"]["source_ips"] = nets.clone();
                other["when"]["not_source_ips"] = nets;
                rules.push(other);
            }
            Dimension::Except => document["rules"][place]["except"] = self.except(),
            Dimension::Via => {
                let via = self.via();
                let rule = document["rules"][place].as_object_mut().unwrap();
                if rule.contains_key("via") && self.dice.percent(30) {
                    rule.remove("via");
                } else {
                    rule.insert("via".to_owned(), via);
                }
            }
            Dimension::Hops => self.change_hops(document),
            Dimension::Expires => document["rules"][place]["expires"] = json!(self.dice.one(&TIMES)),
            Dimension::Headers | Dimension::Sources | Dimension::Windows => {
                let mut when = document["rules"][place]["when"].clone();
                if when.is_null() {
                    when = json!({});
                }
                self.condition(dimension, &mut when);
                document["rules"][place]["when"] = when;
            }
            Dimension::Methods | Dimension::Hosts | Dimension::Routes | Dimension::Ports | Dimension::Sni => {
                let mut to = document["rules"][place]["to"].clone();
                if to.is_null() {
                    to = json!([{}]);
                }
                self.demand(dimension, &mut to[0]);
                document["rules"][place]["to"] = to;
            }
            Dimension::Paths
            | Dimension::PathsStrict
            | Dimension::PathsLenient
            | Dimension::Lengths
            | Dimension::Captures => {
                let first = document["rules"][place]["from"][0].as_str().unwrap().to_owned();
                let mut captures: Vec<&str> = ["{x}", "{y}"].into_iter().filter(|name| first.contains(name)).collect();
                if dimension == Dimension::Captures && captures.is_empty() {
                    return self.replace(document, place);
                }
                if dimension == Dimension::Captures && captures.len() == 2 {
                    captures.reverse();
                }
                let mut to = document["rules"][place]["to"].clone();
                if to.is_null() {
                    to = json!([{}]);
                }
                to[0]["paths"] = self.paths(&captures);
                document["rules"][place]["to"] = to;
            }
        }
    }

    fn replace(&mut self, document: &mut Value, place: usize) {
        document["rules"][place] = self.rule();
    }

    /// The same in other words.
    fn rewrite(&mut self, document: &mut Value) {
        let rules = document["rules"].as_array_mut().unwrap();
        let place = self.dice.below(rules.len());
        let rule = rules[place].clone();
        match self.dice.below(4) {
            0 => rules.reverse(),
            1 => rules.push(rule),
            // A rule for each of its `from`.
            2 => {
                rules.remove(place);
                for from in rule["from"].as_array().unwrap() {
                    let mut one = rule.clone();
                    one["from"] = json!([from]);
                    rules.push(one);
                }
            }
            // A rule for each of its targets.
            _ => {
                if let Some(to) = rule["to"].as_array() {
                    let has_captures = rule["from"][0].as_str().unwrap().contains('{');
                    if !has_captures {
                        rules.remove(place);
                        for target in to {
                            let mut one = rule.clone();
                            one["to"] = json!([target]);
                            rules.push(one);
                        }
                    }
                }
            }
        }
    }
}
