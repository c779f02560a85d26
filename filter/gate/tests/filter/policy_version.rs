//! The version of the document at work: in the record, in the log line, and as a gauge whose names are bounded.

use std::{collections::BTreeMap, rc::Rc};

use serde_json::{Value, json};
use support::world::{World, with};
use svidgate_gate::{
    plugin::plugin::Plugin,
    record::document_version::{MOST_VERSIONS, NONE, OTHER},
    stage::Stage,
    worker::worker::Worker,
};

use crate::double::{Proxy, request};

fn versioned(world: &World, version: &str) -> Value {
    with(world.document(json!([])), json!({ "version": version }))
}

/// The gauges, by version.
fn gauges(proxy: &Proxy) -> BTreeMap<String, u64> {
    proxy.look(|state| {
        let named = state
            .gauges
            .iter()
            .filter_map(|(name, value)| Some((name.strip_prefix("svidgate.policy_info.")?.to_owned(), *value)));
        named.collect()
    })
}

fn expected<const COUNT: usize>(gauges: [(&str, u64); COUNT]) -> BTreeMap<String, u64> {
    gauges.map(|(name, value)| (name.to_owned(), value)).into()
}

/// The same plugin with a new document: it must have served under the old one, else it replaces nothing.
fn replace(proxy: &Proxy, world: &World, worker: &Rc<Worker>, version: &str) -> Rc<Plugin<Proxy>> {
    let root = proxy.plugin(Stage::Request, &versioned(world, version), worker);
    root.tick();
    root
}

#[test]
fn version_at_work_is_one_and_the_one_before_is_zero() {
    let (world, worker) = (World::new(), Rc::default());
    let proxy = Proxy::at(&world);
    let old = replace(&proxy, &world, &worker, "1.0");
    assert_eq!(gauges(&proxy), expected([("1.0", 1)]));
    old.leave();
    let new = replace(&proxy, &world, &worker, "2.0");
    assert_eq!(gauges(&proxy), expected([("1.0", 0), ("2.0", 1)]));
    new.leave();
    let _unnamed = replace(&proxy, &world, &worker, "");
    assert_eq!(gauges(&proxy), expected([("1.0", 0), ("2.0", 0), (NONE, 1)]));
}

#[test]
fn nothing_is_written_while_the_version_stays() {
    let (world, worker) = (World::new(), Rc::default());
    let proxy = Proxy::at(&world);
    let root = replace(&proxy, &world, &worker, "1.0");
    proxy.take_calls();
    root.tick();
    let calls = proxy.take_calls();
    assert!(!calls.contains(&"set_gauge".to_owned()), "{calls:?}");
}

#[test]
fn however_many_versions_there_have_been_few_have_a_gauge() {
    let (world, worker) = (World::new(), Rc::default());
    let proxy = Proxy::at(&world);
    for number in 0..2 * MOST_VERSIONS {
        let root = replace(&proxy, &world, &worker, &format!("v{number}"));
        if number + 1 < 2 * MOST_VERSIONS {
            root.leave();
        }
    }
    let gauges = gauges(&proxy);
    assert_eq!(gauges.len(), MOST_VERSIONS + 1);
    let at_work: Vec<&String> = gauges
        .iter()
        .filter(|(_, value)| **value == 1)
        .map(|(name, _)| name)
        .collect();
    assert_eq!(at_work, [OTHER]);
}

#[test]
fn many_documents_at_once_have_no_more_gauges_than_one_after_the_other() {
    let (world, worker) = (World::new(), Rc::default());
    let proxy = Proxy::at(&world);
    let roots: Vec<Rc<Plugin<Proxy>>> = (0..2 * MOST_VERSIONS)
        .map(|number| {
            proxy.change(|state| state.set("plugin_name", format!("plugin {number}").as_bytes()));
            proxy.plugin(Stage::Request, &versioned(&world, &format!("v{number}")), &worker)
        })
        .collect();
    roots[0].tick();
    assert_eq!(gauges(&proxy).len(), MOST_VERSIONS + 1);
    assert!(gauges(&proxy).values().all(|value| *value == 1));
}

#[test]
fn version_stands_in_the_record_and_in_the_line() {
    let (world, worker) = (World::new(), Rc::default());
    let proxy = Proxy::at(&world);
    let root = proxy.plugin(Stage::Request, &versioned(&world, "7 \"b\" \u{e9}"), &worker);
    proxy.connect(&world.own_identity("/api"));
    proxy.change(|state| state.set("connection.id", &12u64.to_le_bytes()));
    proxy.ask("GET", "/", &[]);
    request(&root);
    let field = proxy.look(|state| state.filter_state["svidgate"].clone());
    assert!(field.ends_with(r#","version":"7 ?b? ??"}"#), "{field}");
    let line = proxy.look(|state| state.log.last().cloned()).unwrap();
    let json: Value = serde_json::from_str(line.strip_prefix("svidgate: decision ").unwrap()).unwrap();
    let expected = json!({
        "stage": "request", "decision": "deny", "reason": "rule.none_matched", "id": "spiffe://prod.example/api",
        "connection_id": 12, "version": "7 ?b? ??",
    });
    assert_eq!(json, expected);
}

#[test]
fn verification_of_a_new_certificate_is_measured_and_of_a_known_one_is_not() {
    let (world, worker) = (World::new(), Rc::default());
    let proxy = Proxy::at(&world);
    let root = proxy.plugin(Stage::Request, &versioned(&world, "1"), &worker);
    let (api, other) = (world.own_identity("/a"), world.own_identity("/b"));
    for peer in [&api, &other, &api, &other] {
        proxy.connect(peer);
        proxy.ask("GET", "/", &[]);
        request(&root);
    }
    assert_eq!(proxy.look(|state| state.histogram.clone()), [0, 0]);
}
