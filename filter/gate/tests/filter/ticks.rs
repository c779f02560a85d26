//! The tick of a worker: once, however many plugins there are, and whichever of them goes.

use std::rc::Rc;

use jiff::SignedDuration;
use serde_json::json;
use support::world::{World, with};
use svidgate_gate::{plugin::plugin::Plugin, stage::Stage, worker::worker::Worker};

use crate::double::Proxy;

fn plugins(proxy: &Proxy, world: &World, count: usize) -> Vec<Rc<Plugin<Proxy>>> {
    let worker: Rc<Worker> = Rc::default();
    let everyone = json!([{ "name": "all", "effect": "allow", "from": ["spiffe://*/**"] }]);
    let plugin = |number: usize| {
        proxy.change(|state| state.set("plugin_name", format!("listener {number}").as_bytes()));
        let document = with(
            world.document(everyone.clone()),
            json!({ "version": number.to_string() }),
        );
        proxy.plugin(Stage::Request, &document, &worker)
    };
    (0..count).map(plugin).collect()
}

/// What of shared data is read tells who has looked after the worker.
fn reads(proxy: &Proxy, root: &Rc<Plugin<Proxy>>) -> usize {
    proxy.take_calls();
    root.tick();
    proxy.take_calls().iter().filter(|call| *call == "shared_data").count()
}

#[test]
fn forty_plugins_of_a_worker_do_its_work_once() {
    let world = World::new();
    let proxy = Proxy::at(&world);
    let roots = plugins(&proxy, &world, 40);
    roots[0].tick();
    for _ in 0..3 {
        proxy.change(|state| state.now += SignedDuration::from_secs(1));
        let busy = roots.iter().filter(|root| reads(&proxy, root) > 0).count();
        assert_eq!(busy, 1);
    }
}

#[test]
fn plugin_that_ticks_may_go_and_another_takes_over() {
    let world = World::new();
    let proxy = Proxy::at(&world);
    let roots = plugins(&proxy, &world, 3);
    proxy.change(|state| state.now += SignedDuration::from_secs(1));
    assert!(reads(&proxy, &roots[0]) > 0);
    assert_eq!(reads(&proxy, &roots[1]), 0);
    roots[0].leave();
    proxy.change(|state| state.now += SignedDuration::from_secs(1));
    assert!(reads(&proxy, &roots[1]) > 0);
    assert_eq!(reads(&proxy, &roots[2]), 0);
}
