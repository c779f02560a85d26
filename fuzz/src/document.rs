//! Documents: those that compile decide as the reference evaluator does, those that do not say where they are wrong,
//! and JSON means the same when it is read as YAML.

use reference::{
    compiled::decide,
    evaluator::{self, Asked},
    identity::NOW,
};
use serde_json::Value;
use svidgate_policy::{Configuration, Format, Listener, Listeners, SpiffeId};

use crate::places::assert_stand;

/// Most rules whose requests are made up: each is decided by every rule, twice.
const MAX_RULES: usize = 16;

/// The input is a document.
pub fn holds(data: &[u8]) {
    let value: Option<Value> = serde_json::from_slice(data).ok();
    let json = Configuration::compile(data, Format::Json);
    let yaml = Configuration::compile(data, Format::Yaml);
    if let (Ok(one), Ok(two)) = (&json, &yaml) {
        assert_eq!((&one.version, &one.trust_domain), (&two.version, &two.trust_domain));
        assert_eq!(one.rules.len(), two.rules.len());
        assert_eq!(one.peer, two.peer);
        assert_eq!(one.relationships.iter().count(), two.relationships.iter().count());
        assert_eq!(one.revoked.len(), two.revoked.len());
    }
    if let Err(mistakes) = &yaml {
        assert!((1..=100).contains(&mistakes.len()));
    }
    match json {
        Err(mistakes) => assert_stand(&mistakes, value.as_ref()),
        Ok(compiled) => decides_as_the_reference(&compiled, &value.expect("a document is JSON")),
    }
}

fn decides_as_the_reference(compiled: &Configuration, document: &Value) {
    let rules = document["rules"].as_array().expect("it has rules");
    assert_eq!(compiled.rules.len(), rules.len());
    // The evaluator knows three expressions.
    let has_expression = |rule: &Value| rule["when"].to_string().contains("\"matches\"");
    if rules.len() > MAX_RULES || rules.iter().any(has_expression) {
        return;
    }
    let own = compiled.trust_domain.as_str();
    // Whether what is asked for is a connection of a TCP listener.
    let kinds: &[bool] = match compiled.listener {
        Listeners::Only(Listener::Http) => &[false],
        Listeners::Only(Listener::Tcp | Listener::TcpServerFirst) => &[true],
        Listeners::Shared => &[false, true],
    };
    for rule in rules {
        for id in texts(&rule["from"]).filter_map(|pattern| id_for(pattern, own)).take(4) {
            let direct = kinds.iter().flat_map(|tcp| requests(rule, &id, *tcp));
            let brought = brought(document, rule, &id, own).filter(|_| kinds.contains(&false));
            for asked in direct.chain(brought) {
                let (found, expected) = (decide(compiled, &asked), evaluator::decide(document, &asked));
                assert_eq!(found, expected, "{asked:?}");
            }
        }
    }
}

fn texts(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// What a pattern stands for, with one segment for each of its wildcards.
fn filled(pattern: &str) -> String {
    let segment = |segment| match segment {
        "*" | "**" => "a",
        capture if str::starts_with(capture, "{") => "a",
        literal => literal,
    };
    pattern.split('/').map(segment).collect::<Vec<_>>().join("/")
}

fn id_for(pattern: &str, own: &str) -> Option<String> {
    let rest = pattern.strip_prefix("spiffe://")?;
    let (trust_domain, path) = rest.split_once('/')?;
    let trust_domain = if trust_domain == "*" { own } else { trust_domain };
    let id = format!("spiffe://{trust_domain}/{}", filled(path));
    SpiffeId::parse(&id).is_ok().then_some(id)
}

/// The same requests through the hops of a document. The evaluator knows one assertion.
fn brought(document: &Value, rule: &Value, id: &str, own: &str) -> impl Iterator<Item = Asked> {
    let hops = || document["hops"].as_array().into_iter().flatten();
    let is_known = hops().all(|hop| hop["assertion"] == "xfcc");
    let peers = hops()
        .filter(move |_| is_known)
        .flat_map(|hop| texts(&hop["peers"]))
        .take(4);
    peers.filter_map(move |peer| id_for(peer, own)).flat_map(move |peer| {
        let requests = requests(rule, id, false).into_iter();
        requests.map(move |asked| Asked {
            through: vec![peer.clone()],
            ..asked
        })
    })
}

/// Requests that a rule may be about: one a target, and one of nothing special.
fn requests(rule: &Value, id: &str, tcp: bool) -> Vec<Asked> {
    let plain = Asked {
        id: id.to_owned(),
        through: Vec::new(),
        by_name: false,
        tcp,
        method: "GET".to_owned(),
        host: String::new(),
        path: Some(b"/".to_vec()),
        headers: Vec::new(),
        route: None,
        port: None,
        sni: None,
        source: None,
        now: NOW,
    };
    let first = |target: &Value, name: &str| texts(&target[name]).next().map(str::to_owned);
    let targets = rule["to"].as_array().into_iter().flatten().take(4).map(|target| Asked {
        method: first(target, "methods").unwrap_or_else(|| "GET".to_owned()),
        host: first(target, "hosts").map_or_else(String::new, |host| host.replace('*', "a")),
        path: Some(first(target, "paths").map_or_else(|| b"/".to_vec(), |path| filled(&path).into_bytes())),
        route: first(target, "routes"),
        sni: first(target, "sni").map(|host| host.replace('*', "a")),
        port: target["ports"][0].as_u64().and_then(|port| port.try_into().ok()),
        headers: rule["when"]["headers"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|header| Some((header["name"].as_str()?.to_owned(), header["is"].as_str()?.to_owned())))
            .collect(),
        source: texts(&rule["when"]["source_ips"])
            .next()
            .and_then(|net| net.split('/').next()?.parse().ok()),
        ..plain.clone()
    });
    targets.chain([plain.clone()]).collect()
}
