//! Random documents and requests over small alphabets.

use std::net::IpAddr;

use jiff::Timestamp;
use proptest::{
    collection::vec,
    option::of,
    prelude::*,
    sample::{select, subsequence},
};
use reference::evaluator::{ANONYMOUS, Asked};
use serde_json::{Map, Value, json};

pub(crate) const MAX_RULES: usize = 8;
/// With those that let everybody through, and the one that names all hops.
pub(crate) const MOST_RULES: usize = MAX_RULES + 3;

/// A document, and requests for it.
pub(crate) fn case() -> impl Strategy<Value = (Value, Vec<Asked>)> {
    let listener = prop_oneof![7 => Just("http"), 1 => Just("tcp"), 2 => Just("shared")];
    (listener, prop::bool::weighted(0.3)).prop_flat_map(|(listener, lenient)| {
        let tcp = prop::bool::weighted(match listener {
            "http" => 0.0,
            "tcp" => 1.0,
            _ => 0.5,
        });
        (document(listener, lenient), vec(tcp.prop_flat_map(asked), 12))
    })
}

fn document(listener: &'static str, lenient: bool) -> impl Strategy<Value = Value> {
    let rules = vec(rule(listener == "tcp", lenient), 1..=MAX_RULES);
    let switches = (prop::bool::weighted(0.2), prop::bool::weighted(0.2));
    // Random rules seldom let anybody through, and what they then deny is what is compared.
    let broad = vec(vec(id_pattern(Vec::new()), 0..=2), 0..=2);
    let hops = prop::option::weighted(0.7, (hops(), broad));
    (rules, switches, hops).prop_map(move |(mut rules, (ignores_overrides, is_inner), hops)| {
        let hops = hops.filter(|_| listener != "tcp" && !is_inner);
        for (hops, from) in hops
            .iter()
            .flat_map(|(hops, broad)| broad.iter().map(move |from| (hops, from)))
        {
            let from: Vec<&str> = from.iter().map(String::as_str).chain(["spiffe://*/*/**"]).collect();
            let far = hops.iter().filter(|hop| hop.get("depth").is_some()).map(|_| HOPS[3]);
            let nobody = hops.iter().filter(|hop| hop["peers"] == ANONYMOUS).map(|_| HOPS[4]);
            let via: Vec<&str> = ["direct", HOPS[0]].into_iter().chain(far).chain(nobody).collect();
            rules.push(json!({ "effect": "allow", "from": from, "via": via, "to": [{ "paths": ["/**"] }] }));
        }
        for (place, rule) in rules.iter_mut().enumerate() {
            rule["name"] = json!(format!("r{place}"));
            if listener == "shared" {
                open_no_listener_whole(rule);
            }
        }
        let mut document = json!({
            "trust_domain": "td",
            "listener": listener,
            "paths": if lenient { "lenient" } else { "strict" },
            "overrides": if ignores_overrides { "ignore" } else { "read" },
            "federation": [{ "trust_domain": "fd", "scope": ["/a/**", "/b/**"] }],
            "rules": rules,
        });
        // Behind another listener, whose word for the id is all there is.
        let (member, value) = if is_inner {
            (
                "peer",
                json!({ "filter_state": { "id": "outer.id", "trust_domains": ["fd"] } }),
            )
        } else {
            ("chain", json!("proxy"))
        };
        document[member] = value;
        if let Some((hops, _)) = hops {
            document["chain"] = json!("verify");
            document["authorities"] = json!({ "workload_api": { "cluster": "agent" } });
            document["xfcc"] = json!("hop");
            if hops.iter().any(|hop| hop["assertion"] == "jwt_svid") {
                document["jwt_svid"] = json!({ "audiences": ["us"] });
                document["mark_passed"] = json!(true);
            }
            document["hops"] = json!(hops);
        }
        document
    })
}

/// Peers that bring others, all with a segment that no other id has.
const PEERS: [&str; 3] = ["spiffe://td/h/1", "spiffe://td/h/2", "spiffe://fd/b/h"];
/// And one that does it behind another of them.
const FAR: &str = "spiffe://td/h/far";
const HOPS: [&str; 5] = ["h1", "h2", "h3", "h4", "h5"];

/// Most draws compile, but not all: some could bring one id by two entries.
fn hops() -> impl Strategy<Value = Vec<Value>> {
    let local = || {
        let peers = prop_oneof![
            4 => select(PEERS[..2].to_vec()).prop_map(|peer| vec![peer]),
            1 => Just(vec!["spiffe://td/h/*"]),
        ];
        let callers = vec![
            "spiffe://td/a/**",
            "spiffe://td/*/b",
            "spiffe://td/c",
            "spiffe://fd/a/**",
            "spiffe://*/b/**",
            "spiffe://*/**",
        ];
        let except = of(select(vec!["spiffe://td/a/a", "spiffe://*/*/c"]));
        (peers, subsequence(callers, 1..=2), except).prop_map(|(peers, callers, except)| {
            // Whoever brings others is not brought.
            let except: Vec<&str> = ["spiffe://td/h/**", PEERS[2]].into_iter().chain(except).collect();
            (peers, callers, except)
        })
    };
    let foreign = Just((
        vec![PEERS[2]],
        vec!["spiffe://fd/a/**", "spiffe://fd/b/*"],
        vec![PEERS[2]],
    ));
    let ends = || prop::option::weighted(0.2, select(TIMES));
    let far = local().prop_map(|(_, callers, except)| (vec![FAR], callers, except));
    let nobody = local().prop_map(|(_, callers, except)| (vec![ANONYMOUS], callers, except));
    let drawn = (
        (local(), ends()),
        of((local(), ends())),
        of((foreign, ends())),
        prop::option::weighted(0.8, (far, ends())),
        of((nobody, ends())),
    );
    drawn.prop_map(|(one, two, three, far, nobody)| {
        let all = HOPS.into_iter().zip([Some(one), two, three, far, nobody]);
        all.filter_map(|(name, drawn)| {
            let ((peers, callers, except), expires) = drawn?;
            let depth = (name == HOPS[3]).then(|| json!(2));
            let of_us = callers.iter().all(|caller| caller.starts_with("spiffe://td/"));
            let (peers, assertion) = if name == HOPS[4] {
                (json!(ANONYMOUS), "jwt_svid")
            } else {
                (json!(peers), "xfcc")
            };
            Some(object([
                ("name", Some(json!(name))),
                ("peers", Some(peers)),
                ("callers", Some(json!(callers))),
                ("except", Some(json!(except))),
                ("assertion", Some(json!(assertion))),
                ("depth", depth),
                ("evidence", (name == HOPS[1] && of_us).then(|| json!("name"))),
                ("expires", expires.map(|expires| json!(expires))),
            ]))
        })
        .collect()
    })
}

/// What needs no request has ports, as a document for all listeners demands of an allow.
fn open_no_listener_whole(rule: &mut Value) {
    if rule["effect"] != "allow"
        || rule["when"]
            .get("headers")
            .or(rule["when"].get("not_headers"))
            .is_some()
    {
        return;
    }
    if rule.get("to").is_none() {
        rule["to"] = json!([{}]);
    }
    for target in rule["to"].as_array_mut().unwrap() {
        if ["paths", "methods", "hosts", "routes"]
            .iter()
            .all(|name| target.get(name).is_none())
        {
            target["ports"] = json!([80]);
        }
    }
}

fn rule(tcp: bool, lenient: bool) -> impl Strategy<Value = Value> {
    let captures = prop_oneof![3 => Just(Vec::new()), 2 => subsequence(vec!["{x}", "{y}"], 1..=2)];
    captures.prop_flat_map(move |captures| {
        let captures = if tcp { Vec::new() } else { captures };
        let rule = (
            select(vec!["allow", "allow", "deny"]),
            vec(id_pattern(captures.clone()), 1..=3),
            prop::option::weighted(0.3, vec(id_pattern(Vec::new()), 1..=2)),
            targets(tcp, lenient, captures),
            prop::option::weighted(0.4, when(tcp)),
            prop::bool::weighted(0.2),
            prop::option::weighted(0.3, select(TIMES)),
            prop::option::weighted(0.4, encoded_paths()),
            prop::option::weighted(
                0.4,
                subsequence(vec!["direct", HOPS[0], HOPS[1], HOPS[2], HOPS[3], HOPS[4]], 1..=3),
            ),
        );
        rule.prop_map(
            move |(effect, from, except, mut to, when, dry_run, expires, encoded, via)| {
                if let Some(more) = encoded.filter(|_| effect == "allow" && !tcp && !lenient) {
                    let entries = to.get_or_insert_with(|| vec![json!({})]);
                    reading_encoded_slashes(&mut entries[0], &more);
                }
                object([
                    ("effect", Some(json!(effect))),
                    ("from", Some(json!(from))),
                    ("except", except.map(|except| json!(except))),
                    ("via", via.map(|via| json!(via))),
                    ("to", to.map(|to| json!(to))),
                    ("when", when),
                    ("dry_run", dry_run.then_some(json!(true))),
                    ("expires", expires.map(|expires| json!(expires))),
                ])
            },
        )
    })
}

/// An object of the members that there are.
fn object<const N: usize>(members: [(&str, Option<Value>); N]) -> Value {
    let members = members
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(members.collect::<Map<String, Value>>())
}

/// Some segments and all of these captures, in any order, perhaps with any rest.
fn segments(
    alphabet: &'static [&'static str],
    captures: Vec<&'static str>,
    at_least: usize,
) -> impl Strategy<Value = String> {
    (vec(select(alphabet), at_least..=3), prop::bool::weighted(0.4))
        .prop_flat_map(move |(list, rest)| {
            let all: Vec<&str> = list.into_iter().chain(captures.iter().copied()).collect();
            (Just(all).prop_shuffle(), Just(rest))
        })
        .prop_map(|(list, rest)| {
            list.into_iter()
                .chain(rest.then_some("**"))
                .map(|segment| format!("/{segment}"))
                .collect()
        })
}

fn id_pattern(captures: Vec<&'static str>) -> impl Strategy<Value = String> {
    // Of those that bring others, so that a rule is about both sides of a way.
    let of_hops = if captures.is_empty() {
        vec![
            "spiffe://td/h/*".to_owned(),
            PEERS[0].to_owned(),
            "spiffe://td/**".to_owned(),
        ]
    } else {
        vec![format!("spiffe://td/h/{}", captures.join("/"))]
    };
    // One more of a capture that is there demands that two segments are the same.
    let again = prop_oneof![4 => Just(captures.clone()), 1 => Just([captures.clone(), captures].concat())];
    let any = (select(vec!["td", "td", "fd", "*"]), again)
        .prop_flat_map(|(trust_domain, captures)| {
            (Just(trust_domain), segments(&["a", "b", "c", "*", "*"], captures, 1))
        })
        .prop_map(|(trust_domain, path)| format!("spiffe://{trust_domain}{path}"));
    prop_oneof![
        8 => any,
        1 => select(of_hops),
    ]
}

/// Paths of an entry that reads encoded slashes.
fn encoded_paths() -> impl Strategy<Value = Vec<String>> {
    let alphabet = &["a", "b", "a%2Fb", "b%2fa", "*", "*"];
    let some = segments(alphabet, Vec::new(), 0).prop_map(|path| if path.is_empty() { "/**".to_owned() } else { path });
    vec(prop_oneof![3 => some, 2 => Just("/**".to_owned())], 1..=2)
}

/// Has an entry of `to` read encoded slashes.
fn reading_encoded_slashes(entry: &mut Value, more: &[String]) {
    entry["encoded_slashes"] = json!(true);
    if entry.get("routes").is_none() {
        entry["routes"] = json!(["r1", "r2"]);
    }
    if let Some(Value::Array(paths)) = entry.get_mut("paths") {
        paths.extend(more.iter().map(|path| json!(path)));
    }
}

fn path_pattern(lenient: bool, captures: Vec<&'static str>) -> impl Strategy<Value = String> {
    let alphabet: &[&str] = if lenient {
        &["a", "b", "c", "%61", "*", "*", "a;b", "a%2fb", "%2561"]
    } else {
        &["a", "b", "c", "%61", "*", "*"]
    };
    let path = segments(alphabet, captures, 0);
    (path, prop::bool::weighted(0.1)).prop_map(|(path, slash)| if slash || path.is_empty() { path + "/" } else { path })
}

fn targets(tcp: bool, lenient: bool, captures: Vec<&'static str>) -> impl Strategy<Value = Option<Vec<Value>>> {
    let http = !tcp;
    let target = |captures: Vec<&'static str>| {
        let one = {
            let captures = captures.clone();
            subsequence(captures.clone(), 0..=captures.len())
                .prop_flat_map(move |captures| path_pattern(lenient, captures))
        };
        let paths = (path_pattern(lenient, captures.clone()), vec(one, 0..=2))
            .prop_map(|(all, more)| [vec![all], more].concat());
        let few = |list: &'static [&'static str]| prop::option::weighted(0.2, subsequence(list, 1..=2));
        let with_paths = prop::bool::weighted(if captures.is_empty() { 0.6 } else { 1.0 });
        let ports = prop::option::weighted(0.2, subsequence(vec![80, 443], 1..=2));
        (
            with_paths,
            paths,
            few(&["GET", "POST", "CONNECT"]),
            few(&["a.x", "*.x", "**.x", "[::1]", "B.x"]),
            few(&["r1", "r2"]),
            few(&["a.x", "*.x", "**.x"]),
            ports,
        )
            .prop_map(move |(with_paths, paths, methods, hosts, routes, sni, ports)| {
                object([
                    ("paths", (http && with_paths).then(|| json!(paths))),
                    ("methods", methods.filter(|_| http).map(|list| json!(list))),
                    ("hosts", hosts.filter(|_| http).map(|list| json!(list))),
                    ("routes", routes.filter(|_| http).map(|list| json!(list))),
                    ("sni", sni.map(|list| json!(list))),
                    ("ports", ports.map(|list| json!(list))),
                ])
            })
    };
    let needed = !captures.is_empty();
    let more = vec(target(Vec::new()), 0..=1);
    let all = (target(captures), more).prop_map(|(first, more)| [vec![first], more].concat());
    (prop::bool::weighted(0.8), all).prop_map(move |(some, all)| (some || needed).then_some(all))
}

const TIMES: &[&str] = &[
    "2026-11-23T11:59:59Z",
    "2026-11-23T12:00:00Z",
    "2026-11-23T12:00:01Z",
    "2026-11-24T00:00:00Z",
    "2027-01-01T00:00:00Z",
    "2027-06-01T00:00:00Z",
];

fn when(tcp: bool) -> impl Strategy<Value = Value> {
    let header = || {
        let test = prop_oneof![
            select(vec!["a", "b", "v1", "", "a; b"]).prop_map(|value| ("is", json!(value))),
            select(vec!["a|b", "v[0-9]+", "a.*"]).prop_map(|value| ("matches", json!(value))),
            Just(("present", json!(true))),
        ];
        (select(vec!["h", "K", "x-h", "cookie"]), test)
            .prop_map(|(name, (test, value))| json!({ "name": name, test: value }))
    };
    let headers = move || prop::option::weighted(0.3, vec(header(), 1..=2));
    let nets = || {
        let nets = vec![
            "10.0.0.0/8",
            "10.1.0.0/16",
            "::ffff:10.1.0.0/112",
            "2001:db8::/32",
            "::/0",
            "0.0.0.0/0",
            "10.1.1.1",
        ];
        prop::option::weighted(0.2, subsequence(nets, 1..=2))
    };
    let window = || {
        let days = of(subsequence(
            vec!["mon", "tue", "wed", "thu", "fri", "sat", "sun"],
            1..=3,
        ));
        let minutes = || {
            of(select(vec![
                "00:00", "11:59", "12:00", "12:01", "18:00", "23:59", "24:00",
            ]))
        };
        (days, minutes(), minutes()).prop_map(|(days, from, until)| {
            object([
                ("days", days.map(|days| json!(days))),
                ("from", from.map(|from| json!(from))),
                ("until", until.map(|until| json!(until))),
            ])
        })
    };
    let windows = move || prop::option::weighted(0.2, vec(window(), 1..=2));
    (headers(), headers(), nets(), nets(), windows(), windows()).prop_map(
        move |(headers, not_headers, source_ips, not_source_ips, time, not_time)| {
            object([
                ("headers", headers.filter(|_| !tcp).map(|list| json!(list))),
                ("not_headers", not_headers.filter(|_| !tcp).map(|list| json!(list))),
                ("source_ips", source_ips.map(|list| json!(list))),
                ("not_source_ips", not_source_ips.map(|list| json!(list))),
                ("time", time.map(|list| json!(list))),
                ("not_time", not_time.map(|list| json!(list))),
            ])
        },
    )
}

fn path() -> impl Strategy<Value = Option<Vec<u8>>> {
    let odd = [
        "", ".", "..", "%2e", "a;b", "a%3bb", "a%2fb", "a%2Fb", "a%5cb", "a\\b", "%zz", "%", "a%00", "a b", "a%20b",
        "a#", "a%23", "a%3f", "%2561", "%ff", "%c3%a9", "..%2f", "..;", "A", "*", "{x}", "**",
    ];
    let encoded = select(vec!["a%2Fb", "b%2fa", "a%2Fb%2F%61", "a%2F"]);
    let plain = select(vec!["a", "b", "c", "%61", "%62"]);
    let segment = prop_oneof![20 => plain, 3 => encoded, 1 => select(odd.to_vec())];
    let methods = select(vec![
        "?_method=POST",
        "?_method=put&_method=GET",
        "/?q;%5Fmethod=POST",
        "?.method=P%4fST",
        "?_method=",
        "?x_method=POST",
        "?+_method=CONNECT",
    ]);
    let tail = prop_oneof![8 => select(vec!["", "", "", "/", "?", "?q=/../a", "/?q"]), 1 => methods];
    let path = (vec(segment, 0..=4), tail).prop_map(|(segments, tail)| {
        let path: String = segments.iter().map(|segment| format!("/{segment}")).collect();
        let path = if path.is_empty() { "/".to_owned() } else { path };
        (path + tail).into_bytes()
    });
    // Each is opened by few entries, in one reading or in both.
    let opened = select(vec![
        "/a%2Fb",
        "/b%2fa",
        "/a%2Fb/a",
        "/a/b%2Fa",
        "/%61%2Fb%2Fa/",
        "/c%2Fa?%2F",
    ]);
    prop_oneof![
        40 => path.prop_map(Some),
        8 => opened.prop_map(|path| Some(path.as_bytes().to_vec())),
        1 => Just(Some(b"/caf\xe9".to_vec())),
        1 => Just(Some(b"*".to_vec())),
        1 => Just(Some(Vec::new())),
        1 => Just(None),
    ]
}

fn asked(tcp: bool) -> impl Strategy<Value = Asked> {
    let id = (select(vec!["td", "fd"]), vec(select(vec!["a", "b", "c"]), 1..=4))
        .prop_map(|(trust_domain, path)| format!("spiffe://{trust_domain}/{}", path.join("/")));
    let id = prop_oneof![20 => id, 1 => select(PEERS.to_vec()).prop_map(str::to_owned)];
    let hop = prop_oneof![6 => Just(PEERS[0]), 4 => select(PEERS.to_vec()), 1 => Just("spiffe://td/a")];
    let brought = select(vec![
        "spiffe://td/a/b",
        "spiffe://td/c",
        "spiffe://fd/a/a",
        "spiffe://td/a/a",
        "spiffe://fd/b/a",
    ]);
    // One hop mostly; behind the far one another, and each alone.
    let far = prop_oneof![
        6 => hop.clone().prop_map(|hop| vec![FAR, hop]),
        1 => Just(vec![FAR]),
        1 => hop.clone().prop_map(|hop| vec![hop, FAR]),
        1 => hop.clone().prop_map(|hop| vec![FAR, FAR, hop]),
    ];
    let hops = prop_oneof![5 => hop.prop_map(|hop| vec![hop]), 4 => far, 1 => Just(vec![ANONYMOUS])];
    let brought = prop::option::weighted(0.6, (brought, hops)).prop_map(move |brought| brought.filter(|_| !tcp));
    let id_and_hops = (id, brought).prop_map(|(id, brought)| match brought {
        Some((id, hops)) => (id.to_owned(), hops.into_iter().map(str::to_owned).collect()),
        None => (id, Vec::new()),
    });
    let id_and_hops = (id_and_hops, prop::bool::weighted(0.2));
    let method = prop_oneof![
        20 => select(vec!["GET", "GET", "POST", "PUT", "get"]),
        2 => Just("CONNECT"),
        1 => select(vec!["G T", ""]),
    ];
    let host = prop_oneof![
        20 => select(vec!["a.x", "A.X:80", "a.x.", "b.x", "c.x", "x", "a.b.x", "[::1]:80", "[0::1]", "[::2]", ""]),
        1 => select(vec!["a..x", "u@a.x", "a.x:http", "a.x..", "[::1"]),
    ];
    let values = vec![
        "a", "b", "c", "v1", "v", "", "a, b", "c,v1", "b ,", "ab", " a", "b\t", "v1\u{a0}", "a; b", "c;b", " ",
    ];
    let names = vec!["h", "H", "k", "x-h", "X_H", "x.h", "cookie", "other"];
    let override_ = prop_oneof![
        (
            select(vec!["x-http-method-override", "X_HTTP_Method", "x-method-override"]),
            select(vec![
                "GET",
                "POST",
                "put",
                " GET ",
                "GET, POST",
                "",
                ",",
                "G T",
                "CONNECT"
            ]),
        ),
        (
            select(vec!["upgrade", ":protocol"]),
            select(vec!["websocket", "WebSocket ", "connect-udp", "h2c", "websocket, h2c"]),
        ),
        (
            select(vec!["x-original-url", "x_rewrite_url"]),
            select(vec![
                "/a/b",
                "/b",
                "/",
                "http://a.x/a",
                "HTTPS://b.x?/a",
                " /c ",
                "a",
                "",
                "/a/../b",
                "ftp://x/a",
                "/a;b",
                "/a?_method=PUT",
            ]),
        ),
    ];
    let overrides = prop::option::weighted(0.15, vec(override_, 1..=2));
    let headers = (vec((select(names), select(values)), 0..=3), overrides).prop_map(|(headers, overrides)| {
        headers
            .into_iter()
            .chain(overrides.unwrap_or_default())
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    });
    let sources = [
        "10.1.1.1",
        "10.2.0.1",
        "::ffff:10.1.1.1",
        "11.0.0.1",
        "2001:db8::1",
        "::1",
        "::10.1.1.1",
    ];
    let source = of(select(sources.to_vec())).prop_map(|ip| ip.map(|ip| ip.parse::<IpAddr>().unwrap()));
    let now = select(
        [
            TIMES,
            &["2026-11-23T12:00:00.5Z", "2026-11-29T23:59:59Z", "1969-12-31T23:59:59Z"],
        ]
        .concat(),
    )
    .prop_map(|now| now.parse::<Timestamp>().unwrap());
    let text = |text: Option<&str>| text.map(str::to_owned);
    let route = of(select(vec!["r1", "r2", "r3", ""])).prop_map(text);
    let sni = of(select(vec!["a.x", "A.X.", "b.x", "y", "", "a.x:80", "a b"])).prop_map(text);
    let port = of(select(vec![80u16, 443, 1]));
    (
        id_and_hops,
        method,
        host,
        path(),
        headers,
        (route, sni, port, source),
        now,
    )
        .prop_map(
            move |(((id, through), by_name), method, host, path, headers, (route, sni, port, source), now)| Asked {
                id,
                by_name: by_name && !through.is_empty() && through != [ANONYMOUS],
                through,
                tcp,
                method: method.to_owned(),
                host: host.to_owned(),
                path,
                headers,
                route,
                port,
                sni,
                source,
                now,
            },
        )
}
