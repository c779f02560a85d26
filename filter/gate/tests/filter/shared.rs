//! What workers share is in a map that any module with the same `vm_id` reads and writes.

use serde_json::json;
use support::ca::{Authority, Leaf};
use support::world::OWN;

use crate::workers::{Workers, bundle, own_endpoint};

#[test]
fn nothing_that_is_shared_says_what_it_is_or_whose() {
    let workers = Workers::start(2, own_endpoint());
    workers.tick();
    workers.answer(0, "200", &bundle(&[&workers.world.own], None));
    workers.pass(1);
    workers.tick();
    workers.proxy.look(|state| {
        assert!(state.shared.len() > 2);
        for (name, (value, _)) in &state.shared {
            assert!(
                name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit()),
                "{name}"
            );
            assert!(value.len() > 32);
        }
    });
}

/// Another module writes over all that is there, again and again: each worker fetches for itself, and nobody is
/// believed.
#[test]
fn module_that_writes_over_what_is_shared_costs_a_line_and_a_fetch_of_ones_own() {
    let workers = Workers::start(2, own_endpoint());
    let thief = Authority::of(OWN, workers.world.now);
    let forged = thief.issue(Leaf::svid("spiffe://prod.example/api", workers.world.now));
    let api = workers.world.own_identity("/api");
    workers.tick();
    workers.answer(0, "200", &bundle(&[&workers.world.own], None));
    workers.pass(1);
    workers.tick();
    assert_eq!(workers.reason(1, &api), "rule.allowed");
    let swap = || {
        // What another module can make: bytes of its own, and what stands elsewhere in the map.
        workers.proxy.change(|state| {
            let values: Vec<Vec<u8>> = state.shared.values().map(|(value, _)| value.clone()).collect();
            let count = values.len();
            for (place, (value, version)) in state.shared.values_mut().enumerate() {
                *value = match place % 2 {
                    0 => values[(place + 1) % count].clone(),
                    _ => bundle(&[&thief], Some(9)).into_bytes(),
                };
                *version += 1;
            }
        });
    };
    for _ in 0..8 {
        swap();
        workers.pass(1);
        workers.tick();
    }
    assert!(workers.logged("was written by somebody else, and is not used"));
    for worker in [0, 1] {
        assert_eq!(workers.reason(worker, &api), "rule.allowed");
        assert_ne!(workers.reason(worker, &forged), "rule.allowed");
    }
    // What comes next, each has for itself.
    let before = workers.asked().len();
    for _ in 0..310 {
        swap();
        workers.pass(1);
        workers.tick();
    }
    assert!(
        workers.asked().len() >= before + 2,
        "each asks for itself: {:?}",
        workers.asked().len()
    );
}

#[test]
fn two_documents_of_one_proxy_come_to_one_secret_and_fetch_once() {
    let workers = Workers::start(2, own_endpoint());
    let more = own_endpoint().as_object().unwrap().clone();
    let mut other = serde_json::Value::Object(more);
    other["version"] = json!("other");
    // The second worker has another document beside, which has made a secret of its own.
    let alone = workers.plugin(&std::rc::Rc::default(), other.clone());
    workers.tick();
    alone.tick();
    let _both = workers.plugin(&workers.workers[1], other);
    for _ in 0..30 {
        workers.pass(1);
        workers.tick();
        alone.tick();
    }
    // Whoever asked is answered; the other two have it from there.
    let body = bundle(&[&workers.world.own], None);
    let asked = workers.asked().len();
    workers.answer(0, "200", &body);
    for root in [&workers.roots[1], &alone] {
        root.on_answer(workers.last_token(), 1, body.len());
    }
    for _ in 0..60 {
        workers.pass(1);
        workers.tick();
        alone.tick();
    }
    assert_eq!(workers.asked().len(), asked, "one has asked for all");
    let api = workers.world.own_identity("/api");
    assert_eq!(workers.reason(1, &api), "rule.allowed");
}
