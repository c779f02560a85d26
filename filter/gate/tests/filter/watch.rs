//! What is about to end, of the documents at work: as gauges, whose names are bounded, and as lines.

use std::{collections::BTreeMap, rc::Rc};

use jiff::SignedDuration;
use serde_json::{Value, json};
use support::world::{World, with};
use svidgate_gate::{
    plugin::{action::Action, plugin::Plugin},
    stage::Stage,
    worker::{
        endings::{MOST_GAUGES, NO_END, OTHER},
        worker::Worker,
    },
};

use crate::double::{Proxy, request};

const DAY: i64 = 24 * 3600;

struct Watched {
    world: World,
    proxy: Proxy,
    worker: Rc<Worker>,
}

impl Watched {
    fn new() -> Self {
        let world = World::new();
        let proxy = Proxy::at(&world);
        proxy.connect(&world.own_identity("/api"));
        proxy.ask("GET", "/", &[]);
        Self {
            world,
            proxy,
            worker: Rc::default(),
        }
    }

    /// A plugin with rules that end so many seconds after the beginning; it serves a request, so that a later document
    /// takes its place.
    fn plugin(&self, version: &str, rules: &[(&str, i64)]) -> Rc<Plugin<Proxy>> {
        let rules: Vec<Value> = rules
            .iter()
            .map(|(name, seconds)| {
                let expires = (self.world.now + SignedDuration::from_secs(*seconds)).to_string();
                json!({ "name": name, "effect": "allow", "from": ["spiffe://prod.example/**"], "expires": expires })
            })
            .collect();
        let document = with(self.world.document(json!(rules)), json!({ "version": version }));
        let root = self.proxy.plugin(Stage::Request, &document, &self.worker);
        assert_eq!(request(&root), Action::Continue);
        root
    }

    /// Passes time until gauges are gathered anew, and ticks until all are written; gives how many were.
    fn look(&self, root: &Rc<Plugin<Proxy>>) -> usize {
        self.proxy.take_calls();
        self.proxy.change(|state| state.now += SignedDuration::from_secs(11));
        root.tick();
        for _ in 0..25 {
            self.worker.watch(&self.proxy);
        }
        let calls = self.proxy.take_calls();
        calls.iter().filter(|call| *call == "set_gauge").count()
    }

    /// What the gauges of rules say, by rule.
    fn rules(&self) -> BTreeMap<String, u64> {
        self.proxy.look(|state| {
            let rule = |name: &str| {
                let name = name.strip_prefix("svidgate.rule.")?;
                Some(name.strip_suffix(".expires_seconds")?.to_owned())
            };
            let gauges = state.gauges.iter();
            gauges.filter_map(|(name, value)| Some((rule(name)?, *value))).collect()
        })
    }

    fn lines(&self, text: &str) -> usize {
        self.proxy
            .look(|state| state.log.iter().filter(|line| line.contains(text)).count())
    }
}

#[test]
fn rule_that_a_new_document_has_renewed_does_not_end_while_the_old_one_drains() {
    let watched = Watched::new();
    let old = watched.plugin("1", &[("api", 60)]);
    watched.look(&old);
    assert!(watched.rules()["api"] < 60);
    // Both are there: connections drain under the old one.
    let new = watched.plugin("2", &[("api", 90 * DAY)]);
    for root in [&old, &new, &old, &new, &old, &new] {
        watched.look(root);
    }
    assert!(watched.proxy.look(|state| state.now) > watched.world.now + SignedDuration::from_secs(60));
    assert!(watched.rules()["api"] > 89 * 24 * 3600, "{:?}", watched.rules());
    assert_eq!(watched.lines("rule `api` ended at"), 0);
}

#[test]
fn rule_that_ends_under_one_listener_and_is_renewed_under_another_is_told_once() {
    let watched = Watched::new();
    let roots = [("a", 60), ("b", 90 * DAY)].map(|(name, seconds)| {
        watched.proxy.change(|state| state.set("plugin_name", name.as_bytes()));
        watched.plugin(name, &[("api", seconds)])
    });
    for root in roots.iter().cycle().take(10) {
        watched.look(root);
    }
    assert_eq!(watched.rules()["api"], 0, "the soonest counts");
    assert_eq!(watched.lines("rule `api` ended at"), 1);
}

#[test]
fn gauge_of_a_rule_that_is_gone_says_so_once_and_is_not_written_again() {
    let watched = Watched::new();
    let old = watched.plugin("1", &[("kept", 90 * DAY), ("gone", 90 * DAY)]);
    watched.look(&old);
    let every_time = watched.look(&old);
    let new = watched.plugin("2", &[("kept", 90 * DAY)]);
    drop(old);
    watched.look(&new);
    assert_eq!(watched.rules()["gone"], NO_END);
    assert!(watched.rules()["kept"] < NO_END);
    // A mark that would not last if it were written again.
    watched
        .proxy
        .change(|state| state.gauges.insert("svidgate.rule.gone.expires_seconds".to_owned(), 7));
    let written = watched.look(&new);
    assert_eq!((watched.rules()["gone"], written), (7, every_time - 1));
    // It comes back.
    let back = watched.plugin("3", &[("kept", 90 * DAY), ("gone", 80 * DAY)]);
    watched.look(&back);
    assert!(watched.rules()["gone"].abs_diff(80 * 24 * 3600) < 120);
}

#[test]
fn however_many_rules_there_have_been_few_have_a_gauge_and_few_are_written() {
    let watched = Watched::new();
    let mut written = Vec::new();
    let mut root = None;
    for update in 0..8 {
        let names: Vec<String> = (0..1000).map(|rule| format!("rule-{update}-{rule}")).collect();
        // The first ends soonest.
        let rules: Vec<(&str, i64)> = names
            .iter()
            .zip(0..)
            .map(|(name, place)| (name.as_str(), 100 * DAY + place * 60))
            .collect();
        let new = watched.plugin(&format!("{update}"), &rules);
        watched.look(&new);
        written.push(watched.look(&new));
        root = Some(new);
    }
    drop(root);
    let rules = watched.rules();
    let named = watched.proxy.look(|state| {
        let ends = state.gauges.keys().filter(|name| name.ends_with("_seconds"));
        ends.count()
    });
    assert_eq!(named, MOST_GAUGES + 1, "and `{OTHER}`");
    assert!(rules[OTHER].abs_diff(100 * 24 * 3600) < 600, "{}", rules[OTHER]);
    let at_work = rules.iter().filter(|(_, value)| **value != NO_END).count();
    assert_eq!(at_work, 1, "of the last update there is room for none");
    // What is at work, and once what is gone.
    assert!(written.iter().all(|written| *written <= 2_002), "{written:?}");
    assert_eq!(watched.lines("gauges of ages and ends have been named"), 1);
}
