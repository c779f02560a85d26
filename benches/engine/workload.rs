//! Rules and requests, in no engine's language.

use std::iter;

/// How many rules there are, from a small service to a large mesh.
pub const SIZES: [usize; 3] = [10, 1_000, 100_000];

/// Whom a rule is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// One id.
    Exactly(String),
    /// Every id below this one.
    Below(String),
}

/// A rule about one method on all paths below one.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Allow, or deny.
    pub allow: bool,
    /// Whom it is about.
    pub who: Who,
    /// `GET`.
    pub method: &'static str,
    /// `/orders`.
    pub below: String,
}

/// A request, and the answer that the rules give.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The SPIFFE ID of the caller.
    pub id: String,
    /// `GET`.
    pub method: &'static str,
    /// `/orders/7`.
    pub path: String,
    /// The right answer.
    pub allowed: bool,
}

/// Rules and requests that belong together.
#[derive(Clone, Debug)]
pub struct Workload {
    /// All of the rules.
    pub rules: Vec<Rule>,
    /// Some requests.
    pub requests: Vec<Asked>,
}

/// `a/b/c` and every shorter one: `a/b`, `a`. Nothing shorter than `root`.
pub fn ancestors<'t>(text: &'t str, root: &'t str) -> impl Iterator<Item = &'t str> {
    let shorter = move |text: &&'t str| {
        let (shorter, _) = text.rsplit_once('/')?;
        (shorter.len() >= root.len()).then_some(shorter)
    };
    iter::successors(Some(text), shorter)
}

/// The part of an id that all ids of its trust domain begin with.
pub const TRUST_DOMAIN: &str = "spiffe://prod.example";

/// The id that the rules of one service are about.
pub fn service(number: usize) -> String {
    format!("{TRUST_DOMAIN}/ns/n{number}/sa/api")
}

/// The usual: services with ten rules each, whatever their number. Eight rules name the service, one its namespace, and
/// one denies what one of the eight allows.
pub fn usual(size: usize) -> Workload {
    let services = size.div_ceil(10);
    let rules = (0..services).flat_map(rules_of_service).take(size).collect();
    Workload {
        rules,
        requests: requests_of_service(services / 2),
    }
}

fn rules_of_service(number: usize) -> impl Iterator<Item = Rule> {
    let own = (0..8).map(move |resource| Rule {
        allow: true,
        who: Who::Exactly(service(number)),
        method: if resource % 2 == 0 { "GET" } else { "POST" },
        below: format!("/n{number}/r{resource}"),
    });
    let namespace = Rule {
        allow: true,
        who: Who::Below(format!("{TRUST_DOMAIN}/ns/n{number}")),
        method: "GET",
        below: "/status".to_owned(),
    };
    let admin = Rule {
        allow: false,
        who: Who::Below(format!("{TRUST_DOMAIN}/ns/n{number}/sa")),
        method: "GET",
        below: format!("/n{number}/r0/admin"),
    };
    own.chain([namespace, admin])
}

/// Requests of one service, of every kind: allowed by each kind of rule, denied by a rule, denied by none.
pub fn requests_of_service(number: usize) -> Vec<Asked> {
    let asked = |method, path: String, allowed| Asked {
        id: service(number),
        method,
        path,
        allowed,
    };
    vec![
        asked("GET", format!("/n{number}/r2/items/42"), true),
        asked("POST", format!("/n{number}/r7/items"), true),
        asked("GET", "/status/live".to_owned(), true),
        asked("GET", format!("/n{number}/r0/admin/keys"), false),
        asked("GET", format!("/n{number}/r3/items"), false),
    ]
}

/// One caller with a rule for each of many routes under one prefix.
pub fn routes(size: usize) -> Workload {
    let rules = (0..size).map(|route| Rule {
        allow: true,
        who: Who::Exactly(service(0)),
        method: "GET",
        below: format!("/api/v1/route{route}"),
    });
    let asked = |route: usize, method, allowed| Asked {
        id: service(0),
        method,
        path: format!("/api/v1/route{route}/items/42"),
        allowed,
    };
    Workload {
        rules: rules.collect(),
        requests: vec![
            asked(0, "GET", true),
            asked(size / 3, "GET", true),
            asked(size - 1, "GET", true),
            asked(size / 2, "POST", false),
            asked(size, "GET", false),
        ],
    }
}
