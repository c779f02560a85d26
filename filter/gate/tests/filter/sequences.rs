//! Which of two contents of a source counts: sequences, epochs, pins, and answers that come too late.

use std::rc::Rc;

use serde_json::{Value, json};
use support::{
    ca::{Authority, Leaf, bundle_json},
    world::{OWN, World, with},
};
use svidgate_gate::{
    header_map::HeaderMap,
    plugin::{action::Action, plugin::Plugin},
    worker::worker::Worker,
};

use crate::{
    double::{Proxy, request},
    workers::{ENDPOINT, Workers, bundle, endpoint, own_endpoint},
};

#[test]
fn lower_sequence_is_ignored_and_counted() {
    let workers = Workers::start(
        1,
        json!({ "bundle": { "endpoint": with(endpoint(), json!({ "refresh": "1s" })) } }),
    );
    let (old, new) = (&workers.world.own, Authority::of(OWN, workers.world.now));
    let (of_old, of_new) = (
        workers.world.own_identity("/api"),
        new.issue(Leaf::svid("spiffe://prod.example/api", workers.world.now)),
    );
    let round = |body: &str| {
        workers.pass(1);
        workers.tick();
        workers.answer(0, "200", body);
    };
    round(&bundle(&[old, &new], Some(7)));
    round(&bundle(&[&new], Some(8)));
    assert_eq!(workers.reason(0, &of_old), "svid.bad_signature");
    round(&bundle(&[old], Some(7)));
    assert_eq!(workers.reason(0, &of_old), "svid.bad_signature", "a step back");
    assert_eq!(workers.reason(0, &of_new), "rule.allowed");
    assert_eq!(workers.counted("svidgate.source_events_total.rollback"), 1);
    assert!(workers.logged("sequence 7 is lower than 8"));
    workers.pass(1);
    round(&bundle(&[old], Some(8)));
    assert_eq!(
        workers.reason(0, &of_old),
        "rule.allowed",
        "the publisher's mistake, taken and told"
    );
    assert_eq!(workers.counted("svidgate.source_events_total.same_sequence"), 1);
}

/// Publishers order keys and members anew at each answer.
#[test]
fn same_content_in_other_bytes_is_no_news() {
    let workers = Workers::start(
        1,
        json!({ "bundle": { "endpoint": with(endpoint(), json!({ "refresh": "1s" })) } }),
    );
    let (old, new) = (&workers.world.own, Authority::of(OWN, workers.world.now));
    let jwt = |kid: &str| json!({ "kty": "EC", "use": "jwt-svid", "kid": kid, "crv": "P-256", "x": "a", "y": "b" });
    let answer = |authorities: &[&Authority], kids: &[&str]| {
        let mut bundle: Value = serde_json::from_str(&bundle(authorities, Some(7))).unwrap();
        bundle["keys"]
            .as_array_mut()
            .unwrap()
            .extend(kids.iter().map(|kid| jwt(kid)));
        workers.pass(1);
        workers.tick();
        workers.answer(0, "200", &bundle.to_string());
        let event = |name: &str| workers.counted(&format!("svidgate.source_events_total.{name}"));
        (event("updated"), event("unchanged"), event("same_sequence"))
    };
    assert_eq!(answer(&[old, &new], &["a", "b"]), (1, 0, 0));
    assert_eq!(answer(&[&new, old], &["b", "a"]), (1, 1, 0));
    assert_eq!(answer(&[old, &new], &["b", "a"]), (1, 2, 0));
    assert!(!workers.logged("other content under the same sequence"));
    assert_eq!(answer(&[&new], &["b", "a"]), (2, 2, 1));
    assert_eq!(answer(&[&new], &["b", "c"]), (3, 2, 2));
}

/// A partner whose server was built anew counts from 1 again, with another CA.
#[test]
fn publisher_that_was_built_anew_is_believed_when_the_operator_says_so_and_the_old_ca_never_again() {
    let at_epoch = |epoch: u64, more: Value| {
        let endpoint = with(endpoint(), json!({ "refresh": "1s", "epoch": epoch }));
        with(json!({ "bundle": { "endpoint": endpoint } }), more)
    };
    let workers = Workers::start(2, at_epoch(0, json!({})));
    let (old, new) = (&workers.world.own, Authority::of(OWN, workers.world.now));
    let (of_old, of_new) = (
        workers.world.own_identity("/api"),
        new.issue(Leaf::svid("spiffe://prod.example/api", workers.world.now)),
    );
    let round = |body: &str| {
        workers.pass(1);
        workers.tick();
        workers.answer(0, "200", body);
        workers.pass(1);
        workers.tick();
    };
    round(&bundle(&[old], Some(2)));
    for _ in 0..3 {
        round(&bundle(&[&new], Some(1)));
        workers.pass(10);
    }
    assert_eq!(
        workers.reason(0, &of_new),
        "svid.bad_signature",
        "no answer alone lowers the sequence"
    );
    assert!(workers.logged(
        "sequence 1 is lower than 2, which is held, with 0 of the 1 authorities that are held (if its publisher was \
         built anew: raise `epoch` of this endpoint above 0)"
    ));
    // The document comes to one worker first; both forget.
    let next = workers.plugin(&workers.workers[1], at_epoch(1, json!({ "version": "next" })));
    for _ in 0..2 {
        workers.pass(1);
        workers.tick();
    }
    for worker in [0, 1] {
        assert_eq!(workers.reason(worker, &of_old), "federation.bundle_missing", "{worker}");
    }
    round(&bundle(&[&new], Some(1)));
    for worker in [0, 1] {
        assert_eq!(workers.reason(worker, &of_new), "rule.allowed", "{worker}");
        assert_eq!(workers.reason(worker, &of_old), "svid.bad_signature", "{worker}");
    }
    // A document of before that is put back brings nothing back, on a new worker neither.
    next.leave();
    let late: Rc<Worker> = Rc::default();
    let back =
        [&workers.workers[0], &late].map(|worker| workers.plugin(worker, at_epoch(0, json!({ "version": "back" }))));
    for _ in 0..3 {
        workers.pass(1);
        workers.tick();
        back.iter().for_each(|root| root.tick());
    }
    for root in &back {
        workers.proxy.connect(&of_old);
        workers.proxy.ask("GET", "/", &[]);
        assert_eq!(request(root), Action::Pause);
        assert_eq!(workers.proxy.reason(), "svid.bad_signature");
    }
    assert_eq!(workers.reason(0, &of_new), "rule.allowed");
}

/// Its document goes and another comes within one tick, so that nothing has looked at what was asked in the meantime; and
/// somebody else writes over what the workers share, which would tell.
#[test]
fn answer_that_was_asked_for_before_its_source_was_given_up_is_not_judged() {
    let of_epoch =
        |epoch: u64| json!({ "bundle": { "inline": null, "endpoint": with(endpoint(), json!({ "epoch": epoch })) } });
    let workers = Workers::start(1, of_epoch(0));
    let of_old = workers.world.own_identity("/api");
    workers.tick();
    assert_eq!(workers.asked(), [ENDPOINT]);
    for changes in [json!({ "version": "without" }), of_epoch(1)] {
        workers.configure(0, changes);
    }
    workers.proxy.change(|state| {
        for (value, _) in state.shared.values_mut() {
            *value = b"junk".to_vec();
        }
    });
    workers.answer_to(1, 0, "200", &bundle(&[&workers.world.own], Some(2)));
    assert_eq!(workers.reason(0, &of_old), "federation.bundle_missing");
    workers.pass(1);
    workers.tick();
    assert_eq!(workers.asked(), [ENDPOINT, ENDPOINT], "it is asked anew");
    workers.answer(0, "200", &bundle(&[&workers.world.own], Some(1)));
    assert_eq!(workers.reason(0, &of_old), "rule.allowed");
}

#[test]
fn lower_sequence_than_the_pin_is_ignored() {
    let world = World::new();
    let pin: Value = serde_json::from_str(&bundle(&[&world.own], Some(5))).unwrap();
    let workers = Workers::start(1, json!({ "bundle": { "inline": pin, "endpoint": endpoint() } }));
    let of_pin = world
        .own
        .issue(Leaf::svid("spiffe://prod.example/api", workers.world.now));
    workers.tick();
    workers.answer(0, "200", &bundle(&[&workers.world.own], Some(4)));
    assert_eq!(workers.counted("svidgate.source_events_total.rollback"), 1);
    assert_eq!(workers.reason(0, &of_pin), "rule.allowed");
}

#[test]
fn pin_that_is_raised_above_what_is_held_takes_its_place() {
    let (workers, worker) = (Workers::start(0, json!({})), Rc::default());
    let next = Authority::of(OWN, workers.world.now);
    let of_next = next.issue(Leaf::svid("spiffe://prod.example/api", workers.world.now));
    let (of_old, endpoint) = (
        workers.world.own_identity("/api"),
        with(endpoint(), json!({ "refresh": "1s" })),
    );
    let held = bundle(&[&workers.world.own], Some(9));
    let first = workers.plugin(&worker, json!({ "bundle": { "inline": null, "endpoint": endpoint } }));
    let reason = |root, identity| {
        workers.proxy.connect(identity);
        workers.proxy.ask("GET", "/", &[]);
        let _ = request(root);
        workers.proxy.reason()
    };
    let answer = |root: &Rc<Plugin<Proxy>>| {
        workers.proxy.change(|state| {
            state.answer = (
                Some(HeaderMap::from_pairs(&[(b":status", b"200")])),
                held.clone().into_bytes(),
            );
        });
        root.on_answer(workers.last_token(), 1, held.len());
    };
    first.tick();
    answer(&first);
    assert_eq!(reason(&first, &of_old), "rule.allowed");
    let pin: Value = serde_json::from_str(&bundle(&[&next], Some(10))).unwrap();
    let raised = workers.plugin(&worker, json!({ "bundle": { "inline": pin, "endpoint": endpoint } }));
    for _ in 0..3 {
        assert_eq!(reason(&raised, &of_old), "svid.bad_signature", "withdrawn by the pin");
        assert_eq!(reason(&raised, &of_next), "rule.allowed");
        workers.pass(60);
        raised.tick();
        answer(&raised);
    }
    assert!(workers.counted("svidgate.source_events_total.rollback") > 0);
}

#[test]
fn new_document_begins_with_what_was_fetched_and_not_with_the_pin() {
    let stolen = World::new();
    let pinned = json!({ "bundle": { "inline": bundle_json(&[&stolen.own]), "endpoint": endpoint() } });
    let workers = Workers::start(1, pinned.clone());
    let of_pin = stolen
        .own
        .issue(Leaf::svid("spiffe://prod.example/api", workers.world.now));
    workers.tick();
    assert_eq!(workers.reason(0, &of_pin), "rule.allowed");
    workers.answer(0, "200", &bundle(&[&workers.world.own], None));
    assert_eq!(workers.reason(0, &of_pin), "svid.bad_signature");
    // Another document, and then a new worker with it: neither waits for a tick of its own.
    let changed = with(pinned, json!({ "version": "next" }));
    for worker in [Rc::clone(&workers.workers[0]), Rc::default()] {
        let root = workers.plugin(&worker, changed.clone());
        workers.proxy.connect(&of_pin);
        assert_eq!(request(&root), Action::Pause);
        assert_eq!(workers.proxy.reason(), "svid.bad_signature");
        workers.proxy.connect(&workers.world.own_identity("/api"));
        assert_eq!(request(&root), Action::Continue);
        workers.roots[0].tick();
    }
}

#[test]
fn document_without_the_source_puts_its_own_bundle_in_place_of_what_was_fetched() {
    let workers = Workers::start(1, own_endpoint());
    workers.tick();
    workers.answer(0, "200", &bundle(&[&workers.world.own], Some(9)));
    let other = World::new();
    let root = workers.plugin(
        &Rc::default(),
        json!({ "bundle": { "inline": bundle_json(&[&other.own]) } }),
    );
    workers.proxy.ask("GET", "/", &[]);
    for (authority, action) in [(&other.own, Action::Continue), (&workers.world.own, Action::Pause)] {
        workers
            .proxy
            .connect(&authority.issue(Leaf::svid("spiffe://prod.example/api", workers.world.now)));
        assert_eq!(request(&root), action);
    }
}
