//! Decisions: documents, requests, and what is answered.

use std::{collections::BTreeMap, net::IpAddr};

use jiff::SignedDuration;
use reference::identity::{NOW, svid};
use serde::Deserialize;
use serde_json::{Value, json};
use svidgate_policy::{
    Assertion, Configuration, Decision, Detail, Effect, Format, Grants, Headers, HttpRequest, Needs, Reason, Request,
    RuleSet, SpiffeId, Svid, Timestamp, Way,
    analysis::{
        Claimed, ClaimedWay, Policy,
        explain::{AboutRule, Explanation, Which},
    },
};

use crate::vectors;

#[cfg(all(target_family = "wasm", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    scenario: Vec<Scenario>,
}

/// Rules, and requests that are decided by them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scenario {
    name: String,
    why: String,
    /// `listener` and `paths` of the document, where they are not the default.
    #[serde(default)]
    document: BTreeMap<String, Value>,
    rules: Vec<Value>,
    /// Who asks, where a request does not say.
    #[serde(default = "default_id")]
    id: String,
    requests: Vec<Asked>,
}

/// One request and its answer. A request is `GET /` to no host unless it says otherwise.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    id: Option<String>,
    /// The hops that bring it, whoever has connected first, parted by spaces.
    #[serde(default)]
    through: String,
    /// Whether their word is all there is.
    #[serde(default)]
    by_name: bool,
    /// A connection of a TCP listener.
    #[serde(default)]
    tcp: bool,
    #[serde(default = "default_method")]
    method: String,
    /// A character each byte, U+0000 to U+00FF.
    #[serde(default = "default_path")]
    path: String,
    #[serde(default)]
    no_path: bool,
    #[serde(default)]
    host: String,
    #[serde(default)]
    headers: Vec<(String, String)>,
    route: Option<String>,
    port: Option<u16>,
    sni: Option<String>,
    source: Option<IpAddr>,
    at: Option<String>,
    /// Effect, reason code, rule: `allow rule.allowed readers`.
    decision: String,
    /// Effect and rule, where the rules that are in a dry run would have changed the decision.
    dry_run: Option<String>,
    /// The answer at the connection, where it is asked for: effect and reason code.
    admitted: Option<String>,
}

fn default_id() -> String {
    "spiffe://prod.example/ns/shop/sa/api".into()
}

fn default_method() -> String {
    "GET".into()
}

fn default_path() -> String {
    "/".into()
}

/// A document of `prod.example`, which has relationships with two partners.
fn whole(document: &BTreeMap<String, Value>, rules: &[Value]) -> Value {
    let mut whole = json!({
        "trust_domain": "prod.example",
        "chain": "proxy",
        "federation": [{ "trust_domain": "partner.example" }, { "trust_domain": "other.example" }],
        "rules": rules,
    });
    for (name, value) in document {
        whole[name] = value.clone();
    }
    whole
}

/// Compiles its rules.
pub(crate) fn rules(document: &BTreeMap<String, Value>, rules: &[Value]) -> RuleSet {
    let whole = whole(document, rules);
    let compiled = Configuration::compile(whole.to_string().as_bytes(), Format::Json);
    compiled
        .unwrap_or_else(|mistakes| panic!("{mistakes:?}\n{whole:#}"))
        .rules
}

/// The answer in words.
pub(crate) fn shown(decision: &Decision<'_>) -> (String, Option<String>) {
    assert_eq!(decision.is_allowed(), decision.effect == Effect::Allow);
    let rule = decision.rule.map(|rule| format!(" {rule}")).unwrap_or_default();
    let dry_run = decision
        .dry_run
        .map(|dry_run| format!("{} {}", dry_run.effect.as_str(), dry_run.rule))
        .or(decision.would_be_is_unknown.then(|| "unknown".to_owned()));
    (
        format!("{} {}{rule}", decision.effect.as_str(), decision.reason),
        dry_run,
    )
}

impl Asked {
    fn now(&self) -> Timestamp {
        self.at.as_ref().map_or(NOW, |at| at.parse().unwrap())
    }

    fn decide(&self, rules: &RuleSet, svid: &Svid) -> (String, Option<String>) {
        let caller = rules.specialise(svid);
        let hops = self.through.split_whitespace();
        let hops: Vec<Grants> = hops
            .map(|id| rules.specialise(&reference::identity::svid(id)))
            .collect();
        let way = match &hops[..] {
            [] => Way::direct(&caller),
            hops => Way::through(hops, &caller, Assertion::Xfcc),
        };
        let way = if self.by_name { way.by_name() } else { way };
        self.show(|request| shown(&way.decide(request, self.now())))
    }

    fn show<T>(&self, to: impl FnOnce(&Request<'_>) -> T) -> T {
        let path: Vec<u8> = self.path.chars().map(|byte| u8::try_from(byte).unwrap()).collect();
        let headers: &[(String, String)] = &self.headers;
        let headers: &dyn Headers = &headers;
        let http = HttpRequest {
            method: self.method.as_bytes(),
            authority: self.host.as_bytes(),
            path: (!self.no_path).then_some(&path),
            headers,
        };
        let request = Request {
            http: (!self.tcp).then_some(http),
            route: self.route.as_deref().map(str::as_bytes),
            port: self.port,
            sni: self.sni.as_deref().map(str::as_bytes),
            source_ip: self.source,
        };
        to(&request)
    }

    fn admit(&self, rules: &RuleSet, svid: &Svid) -> String {
        shown(&rules.specialise(svid).admit(self.now())).0
    }
}

/// An operator who has only the line knows which of the two readings it is about. Never the path itself.
#[test]
fn refusal_says_what_exactly_is_behind_it() {
    let rules = rules(
        &BTreeMap::new(),
        &[
            json!({ "name": "all", "effect": "allow", "from": [default_id()], "to": [{ "paths": ["/a/**"], "methods": ["GET"] }] }),
        ],
    );
    let grants = rules.specialise(&svid(&default_id()));
    let said = |method: &str, path: &str, headers: &[(&str, &str)]| {
        let headers: &dyn Headers = &headers;
        let http = HttpRequest {
            method: method.as_bytes(),
            authority: b"",
            path: Some(path.as_bytes()),
            headers,
        };
        let request = Request {
            http: Some(http),
            ..Request::default()
        };
        let decision = grants.decide(&request, NOW);
        decision.detail.map(|detail| detail.to_string()).unwrap_or_default()
    };
    for (path, expected) in [
        ("/a/../b", "path has a dot segment"),
        ("/a//b", "path has an empty segment"),
        ("/a%2fb", "path has a backslash or an encoded slash"),
        ("/a;b", "path has a `;`"),
        ("/a%zz", "path has a broken escape"),
        ("/a%2561", "path has an escaped `%`"),
        ("/a%00", "path has a control byte or a space"),
        ("/a#b", "path has a `#`"),
        ("/a%3fb", "path has an escaped `?` or `#`"),
        ("/a%ff", "path is not UTF-8 in ASCII and escapes"),
        ("a", "path does not begin with `/`"),
        ("/a/b", ""),
        ("/b", ""),
    ] {
        assert_eq!(said("GET", path, &[]), expected, "{path}");
    }
    assert_eq!(
        said("GET", "/a", &[("x_original_url", "/a/./b")]),
        "`x-original-url`, which some upstreams take for the path: path has a dot segment"
    );
    assert_eq!(
        said("GET", "/a", &[("x-http-method", "PUT")]),
        "read with its method from `x-http-method`, as some upstreams do (`overrides: ignore` where yours does not)"
    );
    assert!(said("CONNECT", "/a", &[]).starts_with("a tunnel, inside which nothing is known"));
    assert!(
        said("GET", "/a", &[("x-http-method", "CONNECT")]).starts_with("read with its method from `x-http-method`")
    );
    assert!(said("GET", "/b", &[("x-http-method", "CONNECT")]).is_empty());
    assert_eq!(said("GET", "/a", &[("x-http-method", "GET")]), "");
}

/// Of a path with an encoded slash, too: which reading it is about, or which rule keeps it shut.
#[test]
fn refusal_of_an_encoded_slash_says_what_would_open_it() {
    let entry = |path: &str| json!({ "routes": ["r"], "paths": [path], "encoded_slashes": true });
    let allow = |name: &str, to: Value| json!({ "name": name, "effect": "allow", "from": [default_id()], "to": [to] });
    let rules = rules(
        &BTreeMap::new(),
        &[
            allow("open", entry("/a/**")),
            allow("kept", entry("/kept/*")),
            allow("split", entry("/split/*/*")),
            allow("strict", json!({ "paths": ["/a/strict/**"] })),
            json!({ "name": "no", "effect": "deny", "from": [default_id()], "to": [{ "paths": ["/a/*/no"] }] }),
        ],
    );
    let grants = rules.specialise(&svid(&default_id()));
    let said = |path: &str, headers: &[(&str, &str)]| {
        let headers: &dyn Headers = &headers;
        let http = HttpRequest {
            method: b"GET",
            authority: b"",
            path: Some(path.as_bytes()),
            headers,
        };
        let request = Request {
            http: Some(http),
            route: Some(b"r"),
            ..Request::default()
        };
        let decision = grants.decide(&request, NOW);
        decision.detail.map(|detail| detail.to_string()).unwrap_or_default()
    };
    let (kept, split) = (
        "read with its encoded slashes as data",
        "read with its encoded slashes as slashes",
    );
    for (path, expected) in [
        ("/a/x%2Fy", ""),
        ("/x%2Fy", "path has a backslash or an encoded slash"),
        (
            "/a/strict%2Fy",
            "path has an encoded slash, and this rule could allow it, too, but does not say `encoded_slashes: true` for it",
        ),
        ("/kept/x%2Fy", split),
        ("/split/x%2Fy", kept),
        ("/a/x%2Fy/no", kept),
        ("/a/x%2Fno", split),
    ] {
        let found = said(path, &[]);
        assert!(
            found.starts_with(expected) && found.is_empty() == expected.is_empty(),
            "{path}: {found}"
        );
    }
    let found = said("/kept/x%2Fy", &[("x-http-method", "PUT")]);
    assert!(found.starts_with(split), "{found}");
    let found = said("/a/x%2Fy", &[("x-http-method", "CONNECT")]);
    assert!(
        found.starts_with("read with its method from `x-http-method`"),
        "{found}"
    );
}

#[test]
fn every_request_gets_its_decision() {
    let mut wrong = Vec::new();
    for (file, File { scenario }) in vectors::read::<File>("decisions") {
        for scenario in &scenario {
            let rules = rules(&scenario.document, &scenario.rules);
            let mut svids: BTreeMap<&str, Svid> = BTreeMap::new();
            for (place, asked) in scenario.requests.iter().enumerate() {
                let id = asked.id.as_deref().unwrap_or(&scenario.id);
                let svid = svids.entry(id).or_insert_with(|| svid(id));
                let found = asked.decide(&rules, svid);
                let expected = (asked.decision.clone(), asked.dry_run.clone());
                let at = format!(
                    "{file}: {} ({}), request {place}, {:?}",
                    scenario.name, scenario.why, asked.path
                );
                if found != expected {
                    wrong.push(format!("{at}\n  expected {expected:?}\n  found    {found:?}"));
                }
                let admitted = asked.admit(&rules, svid);
                if asked.admitted.as_ref().is_some_and(|expected| *expected != admitted) {
                    wrong.push(format!(
                        "{at}\n  expected {:?} at the connection, found {admitted}",
                        asked.admitted
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is said of each rule is what the decision was made of.
#[test]
fn explanations_are_of_the_decision_that_was_made() {
    let (mut explained, mut by_readings) = (0, 0);
    for (file, File { scenario }) in vectors::read::<File>("decisions") {
        for scenario in &scenario {
            let document = whole(&scenario.document, &scenario.rules).to_string();
            let policy = Policy::read(document.as_bytes(), Format::Json).unwrap();
            for (place, asked) in scenario.requests.iter().enumerate() {
                // No rule is asked of a hop that may not bring this caller, or names none; and one hop is all that is explained.
                let hops: Vec<&str> = asked.through.split_whitespace().collect();
                if hops.len() > 1 || asked.by_name || asked.decision.contains("assertion.") {
                    continue;
                }
                let id = SpiffeId::parse(asked.id.as_deref().unwrap_or(&scenario.id)).unwrap();
                // Of a trust domain that the document does not know, no rule is asked.
                let claimed = |id| Claimed::new(id, policy.configuration(), asked.now());
                let Ok(caller) = claimed(id) else { continue };
                let hop = hops.first().map(|id| SpiffeId::parse(id).unwrap());
                let hop = hop.map(|hop| (claimed(hop).unwrap(), Assertion::Xfcc));
                let way = ClaimedWay { caller, hop };
                let explain = |request: &Request<'_>| Explanation::of(&policy, &way, request, asked.now(), Which::All);
                let explanation = asked.show(explain);
                let at = format!(
                    "{file}: {} ({}), request {place}: {explanation:#?}",
                    scenario.name, scenario.why
                );
                let answer = &explanation.answer;
                let code = answer.reason.code();
                assert!(
                    asked
                        .decision
                        .starts_with(&format!("{} {code}", answer.effect.as_str())),
                    "{at}"
                );
                if explanation.rules.is_empty() {
                    // Of a tunnel to a path with two readings no allow rule is asked, but a deny rule is named.
                    let tunnel = answer.detail == Some(Detail::Tunnel);
                    assert!(
                        code.starts_with("request.") || tunnel || scenario.rules.is_empty(),
                        "{at}"
                    );
                    continue;
                }
                explained += 1;
                let in_force = || explanation.rules.iter().filter(|rule| !rule.dry_run && rule.applies());
                let denies = in_force().any(|rule| rule.effect == Effect::Deny);
                let allows = in_force().any(|rule| rule.effect == Effect::Allow);
                match (answer.reason, denies, allows) {
                    (Reason::RuleDenied, true, _) | (Reason::RuleAllowed, false, true) => {
                        let named = |rule: &AboutRule| Some(rule.name.as_str()) == answer.rule.as_deref();
                        by_readings += usize::from(!in_force().any(named));
                    }
                    (Reason::RuleNoneMatched | Reason::RuleExpired, false, false)
                    | (Reason::RequestAmbiguousPath | Reason::RuleTooCostly, _, _) => {}
                    // Each reading of it is allowed by another rule, or the same rule is met by another demand.
                    (Reason::RuleAllowed, false, false) => by_readings += 1,
                    _ => panic!("{at}"),
                }
            }
        }
    }
    assert!(explained > 300, "{explained}");
    assert!(by_readings < explained / 50, "{by_readings} of {explained}");
}

/// The edges of windows come to all identities at once, so finding the next is a search and no walk over rules.
#[test]
fn next_change_is_found_without_a_walk_over_all_rules() {
    let at = |text: &str| -> Timestamp { text.parse().unwrap() };
    let timed = |count: usize, from: &dyn Fn(usize) -> Value| {
        let rule = |number: usize| {
            let ends = at("2027-01-01T00:00:00Z") + SignedDuration::from_secs(i64::try_from(number).unwrap());
            let minute = format!("{:02}:{:02}", number / 60 % 24, number % 60);
            json!({ "name": format!("r{number}"), "effect": "allow", "from": from(number),
                    "expires": ends.to_string(),
                    "when": { "time": [{ "until": minute, "from": "23:59" }] } })
        };
        let list: Vec<Value> = (0..count).filter(|number| number % 1440 != 1439).map(rule).collect();
        rules(&BTreeMap::new(), &list).specialise(&svid(&default_id()))
    };
    let shared = timed(20_000, &|_| json!([default_id()]));
    assert!(shared.bytes() < 1_000, "{} bytes", shared.bytes());
    let own = timed(5_000, &|number| {
        json!([default_id(), format!("spiffe://prod.example/x{number}")])
    });
    for grants in [&shared, &own] {
        assert_eq!(
            grants.next_change(at("2026-11-23T12:00:30Z")),
            Some(at("2026-11-23T12:01:00Z"))
        );
        assert_eq!(
            grants.next_change(at("2026-11-23T12:01:00Z")),
            Some(at("2026-11-23T12:02:00Z"))
        );
        assert_eq!(
            grants.next_change(at("2026-11-23T23:59:00Z")),
            Some(at("2026-11-24T00:00:00Z"))
        );
        assert_eq!(
            grants.next_change(at("2027-01-01T00:00:00Z")),
            Some(at("2027-01-01T00:00:01Z"))
        );
    }
}

/// What a stream that is let through is cut by: as long as its grants say that nothing changes, nothing may.
#[test]
fn answers_hold_until_the_next_change_and_not_for_longer() {
    let from = ["spiffe://prod.example/**"];
    let rules = rules(
        &BTreeMap::new(),
        &[
            json!({ "name": "ends", "effect": "allow", "from": from, "to": [{ "paths": ["/ends"] }],
                    "expires": "2026-11-23T13:00:00Z" }),
            json!({ "name": "office", "effect": "allow", "from": from, "to": [{ "paths": ["/office"] }],
                    "when": { "time": [{ "days": ["mon"], "from": "08:00", "until": "18:00" }] } }),
            json!({ "name": "night", "effect": "deny", "from": from, "to": [{ "paths": ["/night"] }],
                    "when": { "not_time": [{ "days": ["mon"], "from": "06:00", "until": "22:00" }] } }),
            json!({ "name": "all", "effect": "allow", "from": from, "to": [{ "paths": ["/night"] }] }),
            json!({ "name": "others", "effect": "allow", "from": ["spiffe://partner.example/**"],
                    "expires": "2026-11-23T12:30:00Z" }),
        ],
    );
    let svid = svid(&default_id());
    let grants = rules.specialise(&svid);
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let all_at = |now: Timestamp| {
        ["/ends", "/office", "/night"].map(|path| {
            let asked = Asked {
                path: path.to_owned(),
                at: Some(now.to_string()),
                ..toml::from_str("decision = ''").unwrap()
            };
            asked.decide(&rules, &svid).0
        })
    };
    let mut now = NOW;
    for (change, path) in [
        ("2026-11-23T13:00:00Z", 0),
        ("2026-11-23T18:00:00Z", 1),
        ("2026-11-23T22:00:00Z", 2),
    ] {
        assert_eq!(grants.next_change(now), Some(at(change)), "after {now}");
        let before = at(change) - SignedDuration::from_nanos(1);
        assert_eq!(all_at(before), all_at(now), "from {now} until {change}");
        let changed = all_at(at(change));
        for (place, (was, is)) in all_at(before).iter().zip(&changed).enumerate() {
            assert_eq!(was != is, place == path, "{was}, at {change} {is}");
        }
        now = at(change);
    }
    // An end that is over is no change, and who has no rule with an end never changes.
    let nobody = rules.specialise(&reference::identity::svid("spiffe://other.example/x"));
    assert_eq!(nobody.next_change(NOW), None);
    let partner = rules.specialise(&reference::identity::svid("spiffe://partner.example/x"));
    assert_eq!(partner.next_change(NOW), Some(at("2026-11-23T12:30:00Z")));
    assert_eq!(partner.next_change(at("2026-11-23T12:30:00Z")), None);
}

#[test]
fn what_must_be_read_is_what_the_rules_of_this_identity_look_at() {
    let rule = |name: &str, to: Value, when: Value| {
        let from = [format!("spiffe://prod.example/{name}/**")];
        let mut rule = json!({ "name": name, "effect": "allow", "from": from });
        // What demands nothing is left out.
        if to != json!({}) {
            rule["to"] = json!([to]);
        }
        if when != json!({}) {
            rule["when"] = when;
        }
        rule
    };
    let nothing = || json!({});
    let rules = rules(
        &BTreeMap::new(),
        &[
            rule("route", json!({ "routes": ["r"] }), nothing()),
            rule("port", json!({ "ports": [443] }), nothing()),
            rule("sni", json!({ "sni": ["a.example"] }), nothing()),
            rule("source", nothing(), json!({ "source_ips": ["10.0.0.0/8"] })),
            rule("not-source", nothing(), json!({ "not_source_ips": ["10.0.0.0/8"] })),
            rule(
                "plain",
                json!({ "paths": ["/a"] }),
                json!({ "headers": [{ "name": "x", "is": "y" }] }),
            ),
            rule("two", json!({ "paths": ["/a"], "routes": ["r"] }), nothing()),
            json!({ "name": "two-more", "effect": "deny", "from": ["spiffe://prod.example/two/x"], "to": [{ "ports": [1] }] }),
        ],
    );
    let needs = |id: &str| rules.specialise(&svid(&format!("spiffe://prod.example/{id}"))).needs();
    let none = Needs::default();
    assert_eq!(needs("route/x"), Needs { route: true, ..none });
    assert_eq!(needs("port/x"), Needs { port: true, ..none });
    assert_eq!(needs("sni/x"), Needs { sni: true, ..none });
    assert_eq!(
        needs("source/x"),
        Needs {
            source_ip: true,
            ..none
        }
    );
    assert_eq!(
        needs("not-source/x"),
        Needs {
            source_ip: true,
            ..none
        }
    );
    assert_eq!(needs("plain/x"), none);
    assert_eq!(
        needs("two/x"),
        Needs {
            route: true,
            port: true,
            ..none
        }
    );
    assert_eq!(needs("two/y"), Needs { route: true, ..none });
    assert_eq!(needs("nobody"), none);
}

#[test]
fn header_value_beyond_the_bound_is_unknown_to_a_regular_expression() {
    let rule = |effect: &str, path: &str| {
        json!({ "name": effect, "effect": effect, "from": ["spiffe://prod.example/**"], "to": [{ "paths": [path] }],
                "when": { "headers": [{ "name": "x", "matches": "a*" }] } })
    };
    let all = json!({ "name": "all", "effect": "allow", "from": ["spiffe://prod.example/**"], "to": [{ "paths": ["/deny"] }] });
    let rules = rules(&BTreeMap::new(), &[rule("allow", "/allow"), rule("deny", "/deny"), all]);
    let svid = svid(&default_id());
    let decided = |path: &str, value: String| {
        let asked = Asked {
            path: path.to_owned(),
            headers: vec![("x".to_owned(), value)],
            ..toml::from_str("decision = ''").unwrap()
        };
        asked.decide(&rules, &svid).0
    };
    assert_eq!(decided("/allow", "a".repeat(4096)), "allow rule.allowed allow");
    assert_eq!(decided("/allow", "a".repeat(4097)), "deny rule.none_matched");
    assert_eq!(decided("/deny", "b".repeat(4096)), "allow rule.allowed all");
    assert_eq!(decided("/deny", "b".repeat(4097)), "deny rule.denied deny");
}
