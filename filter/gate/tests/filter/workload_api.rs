//! Bundles and CRLs from a Workload API: every message is complete, and one that cannot be used changes nothing.

use std::rc::Rc;

use jiff::SignedDuration;
use serde_json::{Value, json};
use support::{
    ca::{Authority, Leaf, Profile, bundle_json},
    world::{World, with},
};
use svidgate_gate::worker::worker::Worker;
use svidgate_gate::{plugin::action::Action, stage::Stage};

use crate::{
    double::{Proxy, request},
    workers::{Workers, everyone},
};

/// `X509BundlesResponse`, by hand: field 2 is a map of strings to bytes, field 1 a list of CRLs.
fn workload_message(bundles: &[(&str, &[&Authority])], crls: &[Vec<u8>]) -> Vec<u8> {
    fn field(tag: u8, bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![tag << 3 | 2];
        let mut length = bytes.len();
        while length >= 0x80 {
            out.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        out.push(length as u8);
        out.extend_from_slice(bytes);
        out
    }
    let crls = crls.iter().flat_map(|crl| field(1, crl));
    let bundles = bundles.iter().flat_map(|(name, authorities)| {
        let certificates: Vec<u8> = authorities.iter().flat_map(|a| a.certificate.clone()).collect();
        field(2, &[field(1, name.as_bytes()), field(2, &certificates)].concat())
    });
    crls.chain(bundles).collect()
}

fn workload_api() -> Value {
    json!({
        "bundle": null, "authorities": { "workload_api": { "cluster": "spire_agent" } }, "max_staleness": "1h",
        "federation": [{ "trust_domain": "partner.example" }],
    })
}

fn workload_workers(count: usize, changes: Value) -> Workers {
    let mut changes = with(workload_api(), changes);
    let no_bundle = changes["bundle"].is_null();
    if no_bundle {
        changes["bundle"] = json!({ "inline": { "keys": [] } });
    }
    let world = World::new();
    let proxy = Proxy::at(&world);
    let mut document = with(world.document(everyone()), changes);
    if no_bundle {
        document.as_object_mut().unwrap().remove("bundle");
    }
    let workers: Vec<Rc<Worker>> = (0..count).map(|_| Rc::default()).collect();
    let roots = workers
        .iter()
        .map(|worker| proxy.plugin(Stage::Request, &document, worker))
        .collect();
    Workers {
        world,
        proxy,
        roots,
        workers,
    }
}

#[test]
fn workload_api_brings_own_and_federated_bundles_and_takes_them_away() {
    let workers = workload_workers(2, json!({}));
    let (api, partner) = (
        workers.world.own_identity("/api"),
        workers.world.partner_identity("/ns/billing/x"),
    );
    let stranger = workers
        .world
        .stranger
        .issue(Leaf::svid("spiffe://stranger.example/x", workers.world.now));
    assert_eq!(workers.reason(0, &api), "federation.bundle_missing");
    workers.tick();
    assert_eq!(workers.asked(), ["SpiffeWorkloadAPI/FetchX509Bundles of spire_agent"]);
    let world = &workers.world;
    let all: [(&str, &[&Authority]); 3] = [
        ("spiffe://prod.example", &[&world.own]),
        ("spiffe://partner.example", &[&world.partner]),
        ("spiffe://stranger.example", &[&world.stranger]),
    ];
    workers.message(0, workload_message(&all, &[]));
    workers.pass(1);
    workers.tick();
    for worker in [0, 1] {
        assert_eq!(workers.reason(worker, &api), "rule.allowed");
        assert_eq!(workers.reason(worker, &partner), "rule.allowed");
        assert_eq!(
            workers.reason(worker, &stranger),
            "federation.unknown_trust_domain",
            "the document says who counts"
        );
    }
    assert_eq!(workers.counted("svidgate.source_events_total.unused_bundle"), 1);
    workers.message(0, workload_message(&all[..1], &[]));
    workers.pass(1);
    workers.tick();
    for worker in [0, 1] {
        assert_eq!(workers.reason(worker, &api), "rule.allowed");
        assert_eq!(
            workers.reason(worker, &partner),
            "federation.bundle_missing",
            "no longer listed"
        );
    }
}

#[test]
fn jwt_keys_have_a_stream_of_their_own_where_tokens_are_expected() {
    let tokens = json!({
        "jwt_svid": { "audiences": ["orders"] },
        "hops": [{ "name": "edge", "peers": ["spiffe://prod.example/edge"], "callers": ["spiffe://partner.example/**"],
                   "assertion": "jwt_svid" }],
        "rules": [{ "name": "a", "effect": "allow", "from": ["spiffe://partner.example/**"], "via": ["edge"] }],
    });
    let workers = workload_workers(1, tokens);
    workers.tick();
    let mut asked = workers.asked();
    asked.sort_unstable();
    assert_eq!(
        asked,
        [
            "SpiffeWorkloadAPI/FetchJWTBundles of spire_agent",
            "SpiffeWorkloadAPI/FetchX509Bundles of spire_agent",
        ]
    );
}

#[test]
fn pin_of_a_trust_domain_that_the_workload_api_listed_once_is_not_used_again() {
    let world = World::new();
    let pinned = json!([
        { "trust_domain": "partner.example", "bundle": { "inline": bundle_json(&[&world.partner]) } },
        { "trust_domain": "third.example", "bundle": { "inline": bundle_json(&[&world.stranger]) } },
    ]);
    let workers = workload_workers(1, json!({ "federation": pinned }));
    let now = workers.world.now;
    let partner = world.partner.issue(Leaf::svid("spiffe://partner.example/x", now));
    let third = world.stranger.issue(Leaf::svid("spiffe://third.example/x", now));
    assert_eq!(workers.reason(0, &partner), "rule.allowed", "the pin to start from");
    workers.tick();
    let own: (&str, &[&Authority]) = ("spiffe://prod.example", &[&workers.world.own]);
    let both = [own, ("spiffe://partner.example", &[&workers.world.partner])];
    workers.message(0, workload_message(&both, &[]));
    assert_eq!(
        workers.reason(0, &partner),
        "svid.bad_signature",
        "its source has spoken"
    );
    workers.message(0, workload_message(&[own], &[]));
    assert_eq!(workers.reason(0, &partner), "federation.bundle_missing");
    assert_eq!(
        workers.reason(0, &third),
        "rule.allowed",
        "never listed: the document's is all there is"
    );
    // A new worker, and a new document, know it too.
    let next = with(workload_api(), json!({ "federation": pinned, "version": "next" }));
    let mut document = with(workers.world.document(everyone()), next);
    document.as_object_mut().unwrap().remove("bundle");
    for worker in [Rc::clone(&workers.workers[0]), Rc::default()] {
        let root = workers.proxy.plugin(Stage::Request, &document, &worker);
        workers.proxy.connect(&partner);
        assert_eq!(request(&root), Action::Pause);
        assert_eq!(workers.proxy.reason(), "federation.bundle_missing");
        workers.roots[0].tick();
    }
}

#[test]
fn message_that_cannot_be_read_changes_nothing_and_the_open_stream_does_not_hide_it() {
    let workers = workload_workers(1, json!({}));
    let api = workers.world.own_identity("/api");
    workers.tick();
    let own: (&str, &[&Authority]) = ("spiffe://prod.example", &[&workers.world.own]);
    let partner: (&str, &[&Authority]) = ("spiffe://partner.example", &[&workers.world.partner]);
    workers.message(0, workload_message(&[own], &[]));
    let bad = [
        b"\xff\xff\xff".to_vec(),
        // Nobody can tell whose it is.
        workload_message(&[partner], &[b"no CRL".to_vec()]),
    ];
    // A Workload API sends only what is new, so what could not be used is asked for again.
    let reopened = || {
        workers.wait_until_asked(workers.asked().len());
    };
    for (number, message) in (1..).zip(&bad) {
        workers.message(0, message.clone());
        assert_eq!(workers.reason(0, &api), "rule.allowed");
        assert_eq!(workers.counted("svidgate.source_events_total.unreadable"), number);
        reopened();
    }
    // The SVID has a life of one hour, too.
    let svid = Leaf {
        not_after: workers.world.now + SignedDuration::from_hours(5),
        ..Leaf::svid("spiffe://prod.example/api", workers.world.now)
    };
    let svid = workers.world.own.issue(svid);
    let start = workers.world.now;
    while workers.proxy.look(|state| state.now.duration_since(start).as_secs()) < 3500 {
        assert_eq!(workers.reason(0, &svid), "rule.allowed");
        workers.message(0, bad[0].clone());
        reopened();
    }
    workers.pass(100);
    workers.tick();
    assert_eq!(workers.reason(0, &svid), "federation.bundle_stale");
    reopened();
    workers.message(0, workload_message(&[own], &[]));
    assert_eq!(workers.reason(0, &svid), "rule.allowed");
    for _ in 0..4000 {
        workers.pass(1);
        workers.tick();
    }
    assert_eq!(
        workers.reason(0, &svid),
        "rule.allowed",
        "an open stream is a fresh one"
    );
}

/// A partner above a bound, listed twice, or under a name that is none.
#[test]
fn bundle_that_cannot_be_used_is_left_as_it_was_and_grows_old_and_the_others_are_taken() {
    let unusable = |message: &[u8]| {
        // All certificates of a list are read, so one byte more makes it none.
        let mut message = message.to_vec();
        let name = b"partner.example";
        let at = message.windows(name.len()).position(|window| window == name).unwrap();
        message[at + name.len() + 4] = 0xff;
        message
    };
    let workers = workload_workers(2, json!({ "max_staleness": "100s" }));
    let (own, successor) = (&workers.world.own, Authority::of("prod.example", workers.world.now));
    let partner = &workers.world.partner;
    let message = |own: &Authority, partner: &[&Authority]| {
        workload_message(&[("prod.example", &[own]), ("partner.example", partner)], &[])
    };
    let twice = |own: &Authority| {
        let listed: (&str, &[&Authority]) = ("partner.example", &[partner]);
        workload_message(&[("prod.example", &[own]), listed, listed], &[])
    };
    let nameless = workload_message(
        &[
            ("prod.example", &[&successor]),
            ("Partner", &[]),
            ("partner.example", &[partner]),
        ],
        &[],
    );
    let crowded = vec![partner; 1025];
    let (api, next) = (
        workers.world.own_identity("/api"),
        successor.issue(Leaf::svid("spiffe://prod.example/api", workers.world.now)),
    );
    let theirs = workers.world.partner_identity("/ns/billing/x");
    workers.tick();
    for bad in [
        unusable(&message(&successor, &[partner])),
        message(&successor, &crowded),
        twice(&successor),
    ] {
        workers.message(0, message(own, &[partner]));
        workers.pass(50);
        workers.tick();
        assert_eq!(workers.reason(1, &api), "rule.allowed");
        assert_eq!(workers.reason(1, &theirs), "rule.allowed");
        let counted = workers.counted("svidgate.source_events_total.unusable_bundle");
        workers.message(0, bad.clone());
        assert_eq!(
            workers.counted("svidgate.source_events_total.unusable_bundle"),
            counted + 1
        );
        workers.pass(1);
        workers.tick();
        for worker in [0, 1] {
            assert_eq!(workers.reason(worker, &next), "rule.allowed", "ours is taken");
            assert_eq!(workers.reason(worker, &api), "svid.bad_signature");
            assert_eq!(workers.reason(worker, &theirs), "rule.allowed", "theirs is as it was");
        }
        // The stream is open and speaks; what it could not be used for grows old all the same.
        workers.message(0, bad);
        for _ in 0..100 {
            workers.pass(1);
            workers.tick();
        }
        for worker in [0, 1] {
            assert_eq!(workers.reason(worker, &theirs), "federation.bundle_stale");
            assert_eq!(workers.reason(worker, &next), "rule.allowed");
        }
    }
    assert!(workers.logged("`partner.example`: its bundle cannot be read: "));
    assert!(workers.logged("`partner.example`: it is listed twice; its bundle stays as it was"));
    workers.message(0, nameless);
    assert_eq!(workers.reason(0, &theirs), "rule.allowed");
    assert!(workers.logged("`Partner` is no trust domain"));
    assert_eq!(workers.asked().len(), 1, "the stream is the first one still");
}

/// The map in a message has no order, and neither have the certificates of a bundle.
#[test]
fn same_message_in_other_bytes_is_no_news() {
    let workers = workload_workers(1, json!({}));
    let (own, partner) = (&workers.world.own, &workers.world.partner);
    let updated = || workers.counted("svidgate.source_events_total.updated");
    workers.tick();
    let messages: [[(&str, &[&Authority]); 2]; 3] = [
        [("prod.example", &[own, partner]), ("partner.example", &[partner])],
        [("partner.example", &[partner]), ("prod.example", &[own, partner])],
        [("prod.example", &[partner, own]), ("partner.example", &[partner])],
    ];
    for message in messages {
        workers.message(0, workload_message(&message, &[]));
        assert_eq!(updated(), 1);
    }
    workers.message(0, workload_message(&[messages[0][0], ("partner.example", &[own])], &[]));
    assert_eq!(updated(), 2);
    workers.message(
        0,
        workload_message(
            &[messages[0][0], ("partner.example", &[own])],
            &[own.crl(&[], workers.world.now)],
        ),
    );
    assert_eq!(updated(), 3);
}

/// Left out, it would let in whom it revokes.
#[test]
fn crl_that_cannot_be_used_shuts_out_those_of_its_issuer_alone() {
    let workers = workload_workers(2, json!({}));
    let world = &workers.world;
    let (api, theirs) = (world.own_identity("/api"), world.partner_identity("/ns/billing/x"));
    let both: [(&str, &[&Authority]); 2] = [("prod.example", &[&world.own]), ("partner.example", &[&world.partner])];
    let crl = world.partner.crl(&[], world.now);
    let mut broken = crl.clone();
    broken.truncate(crl.len() - 1);
    workers.tick();
    for message in [
        workload_message(&both, std::slice::from_ref(&crl)),
        workload_message(&both, &[]),
    ] {
        workers.message(0, workload_message(&both, std::slice::from_ref(&broken)));
        workers.pass(1);
        workers.tick();
        for worker in [0, 1] {
            assert_eq!(workers.reason(worker, &theirs), "revocations.missing");
            assert_eq!(workers.reason(worker, &api), "rule.allowed");
        }
        assert!(workers.logged("`partner.example`: CRL cannot be read, so nobody of it is accepted"));
        workers.message(0, message);
        workers.pass(1);
        workers.tick();
        assert_eq!(workers.reason(1, &theirs), "rule.allowed");
    }
}

/// What an endpoint brings, or the document, is held against the CRLs of the Workload API, too.
#[test]
fn crl_that_cannot_be_used_shuts_out_its_issuer_whatever_the_bundle_comes_from() {
    let world = World::new();
    let of_endpoint = json!({ "cluster": "partner", "path": "/" });
    for bundle in [
        json!({ "endpoint": of_endpoint }),
        json!({ "inline": bundle_json(&[&world.partner]) }),
    ] {
        let is_fetched = bundle.get("endpoint").is_some();
        let federation = json!([{ "trust_domain": "partner.example", "bundle": bundle }]);
        let workers = workload_workers(1, json!({ "federation": federation }));
        let theirs = world
            .partner
            .issue(Leaf::svid("spiffe://partner.example/x", workers.world.now));
        workers.tick();
        let tokens: Vec<(u32, String)> = (1..).zip(workers.asked()).collect();
        let token = |of: &str| tokens.iter().find(|(_, asked)| asked.contains(of)).unwrap().0;
        if is_fetched {
            workers.answer_to(token("GET"), 0, "200", &bundle_json(&[&world.partner]).to_string());
        }
        let mut broken = world.partner.crl(&[&theirs.serial()], workers.world.now);
        let whole = broken.clone();
        broken.truncate(whole.len() - 1);
        // One of our own authorities has the name of theirs, as those of older issuers do; theirs is in no message.
        let namesake = Authority::of("partner.example", workers.world.now);
        let own: (&str, &[&Authority]) = ("prod.example", &[&workers.world.own, &namesake]);
        workers.message_to(token("Workload"), 0, workload_message(&[own], &[whole]));
        workers.tick();
        assert_eq!(workers.reason(0, &theirs), "svid.revoked");
        workers.message_to(token("Workload"), 0, workload_message(&[own], &[broken]));
        workers.tick();
        // Who was revoked stays so; of the others it is not known.
        assert_eq!(workers.reason(0, &theirs), "svid.revoked", "{federation}");
        let other = world
            .partner
            .issue(Leaf::svid("spiffe://partner.example/y", workers.world.now));
        assert_eq!(workers.reason(0, &other), "revocations.missing", "{federation}");
    }
}

#[test]
fn pin_beside_a_silent_workload_api_goes_stale() {
    let world = World::new();
    let pinned = json!([{ "trust_domain": "partner.example", "bundle": { "inline": bundle_json(&[&world.partner]) } }]);
    let workers = workload_workers(1, json!({ "federation": pinned, "max_staleness": "60s" }));
    let partner = world
        .partner
        .issue(Leaf::svid("spiffe://partner.example/x", workers.world.now));
    workers.tick();
    workers.pass(59);
    workers.tick();
    assert_eq!(workers.reason(0, &partner), "rule.allowed");
    workers.pass(1);
    workers.tick();
    assert_eq!(workers.reason(0, &partner), "federation.bundle_stale");
}

#[test]
fn stream_that_ends_is_opened_again_with_growing_pauses() {
    let workers = workload_workers(1, json!({}));
    let pauses = || {
        let pauses = (0..8).map(|_| {
            let asked = workers.asked().len();
            workers.roots[0].on_stream_close(workers.last_token(), 14);
            workers.wait_until_asked(asked)
        });
        pauses.collect::<Vec<_>>()
    };
    workers.tick();
    // Where nothing has come yet, nobody can be let in.
    assert_eq!(pauses(), [1, 2, 4, 5, 5, 5, 5, 5]);
    let own: (&str, &[&Authority]) = ("prod.example", &[&workers.world.own]);
    workers.message(0, workload_message(&[own], &[]));
    let pauses = pauses();
    assert_eq!(pauses[..4], [1, 2, 4, 8]);
    assert!((15..=16).contains(&pauses[4]), "{pauses:?}");
    assert!(pauses[5..].iter().all(|pause| (28..=60).contains(pause)), "{pauses:?}");
    assert!(
        workers.logged(
            "the stream ended with gRPC status 14 UNAVAILABLE (no agent answers at the socket of this cluster)"
        )
    );
}

#[test]
fn status_that_ends_a_stream_is_told_with_what_the_agent_says_and_what_to_do() {
    let told = [
        (
            7,
            "PERMISSION_DENIED \"no identity `?`\" (the agent has no registration entry for the workload that this proxy is)",
        ),
        (
            3,
            "INVALID_ARGUMENT \"no identity `?`\" (did the header `workload.spiffe.io: true` get lost on the way?)",
        ),
        (
            13,
            "INTERNAL \"no identity `?`\" (the agent went away, or broke the stream)",
        ),
        (99, "99 \"no identity `?`\"; what there is stays"),
    ];
    for (status, text) in told {
        let workers = workload_workers(1, json!({}));
        workers
            .proxy
            .change(|state| state.status_message = b"no identity \"\n".to_vec());
        workers.tick();
        workers.roots[0].on_stream_close(workers.last_token(), status);
        let text = text.replace("`?`", "??");
        assert!(
            workers.logged(&text),
            "{status}: {:?}",
            workers.proxy.look(|state| state.log.clone())
        );
    }
}

#[test]
fn refusal_for_want_of_a_bundle_says_what_its_source_lacks() {
    let workers = workload_workers(1, json!({}));
    let partner = workers.world.partner_identity("/ns/billing/x");
    workers.tick();
    assert_eq!(workers.reason(0, &partner), "federation.bundle_missing");
    assert!(workers.logged("there is no bundle for `partner.example` yet (its source has not answered)"));
    workers.message(0, workload_message(&[("other.example", &[&workers.world.own])], &[]));
    workers.tick();
    assert_eq!(workers.reason(0, &partner), "federation.bundle_missing");
    assert!(workers.logged("does not list it: `federatesWith` is missing in the registration entry of this workload)"));
    assert_eq!(
        workers.reason(0, &workers.world.own_identity("/api")),
        "federation.bundle_missing"
    );
    assert!(workers.logged("does not list it: does its agent belong to another trust domain?)"));
}

#[test]
fn stream_is_ended_on_the_tick_or_in_its_own_close_and_never_within_a_message() {
    let workers = workload_workers(1, json!({}));
    let cancelled = || workers.proxy.look(|state| state.cancelled.clone());
    let own: (&str, &[&Authority]) = ("spiffe://prod.example", &[&workers.world.own]);
    workers.tick();
    workers.message(0, b"\xff\xff\xff".to_vec());
    assert_eq!(cancelled(), [0; 0], "the proxy would go on with what it has freed");
    // What comes on it until then is for nobody.
    workers.message(0, workload_message(&[own], &[]));
    assert_eq!(
        workers.reason(0, &workers.world.own_identity("/api")),
        "federation.bundle_missing"
    );
    workers.pass(1);
    workers.tick();
    assert_eq!(cancelled(), [1]);
    workers.wait_until_asked(1);
    workers.roots[0].on_stream_close(2, 14);
    assert_eq!(
        cancelled(),
        [1, 2],
        "or the proxy would end it once more when the plugin goes"
    );
    workers.wait_until_asked(2);
    assert_eq!(cancelled(), [1, 2]);
}

/// Its document goes and comes again within one tick, and in between the other side closes the stream.
#[test]
fn stream_that_was_given_up_and_has_closed_is_not_ended_once_more() {
    let workers = workload_workers(1, json!({}));
    let configure = |document: Vec<u8>| {
        let before = workers
            .proxy
            .change(|state| std::mem::replace(&mut state.configuration, document));
        assert!(workers.roots[0].configure());
        before
    };
    workers.tick();
    let without = with(workers.world.document(everyone()), json!({ "version": "without" }));
    let before = configure(without.to_string().into_bytes());
    configure(before);
    workers.roots[0].on_stream_close(1, 14);
    assert_eq!(workers.proxy.look(|state| state.cancelled.clone()), [1]);
    workers.pass(1);
    workers.tick();
    assert_eq!(workers.asked().len(), 2, "it is asked anew");
    assert_eq!(workers.proxy.look(|state| state.cancelled.clone()), [1]);
}

#[test]
fn stream_that_says_nothing_is_given_up() {
    let workers = workload_workers(1, json!({}));
    workers.tick();
    workers.pass(20);
    workers.tick();
    assert_eq!(workers.proxy.look(|state| state.cancelled.clone()), [0; 0]);
    workers.pass(1);
    workers.tick();
    assert_eq!(workers.proxy.look(|state| state.cancelled.clone()), [1]);
    workers.pass(1);
    workers.tick();
    assert_eq!(workers.asked().len(), 2);
}

#[test]
fn intermediates_of_the_document_lead_to_authorities_of_the_workload_api() {
    let world = World::new();
    let named = |name: &str| Profile {
        common_name: Some(name.to_owned()),
        ..Profile::authority("prod.example", world.now)
    };
    let upstream = Authority::root(named("upstream"));
    let issuer = upstream.issue_authority(named("issuer"));
    let workers = workload_workers(1, json!({ "intermediates": [issuer.pem()] }));
    let api = issuer.issue(Leaf::svid("spiffe://prod.example/api", world.now));
    workers.tick();
    let bundle: [(&str, &[&Authority]); 1] = [("spiffe://prod.example", &[&upstream])];
    workers.message(0, workload_message(&bundle, &[]));
    // The leaf alone is seen, as by a network filter.
    assert_eq!(workers.reason(0, &api), "rule.allowed");
    workers.message(0, workload_message(&[("spiffe://prod.example", &[&world.own])], &[]));
    workers.pass(1);
    workers.tick();
    assert_eq!(workers.reason(0, &api), "svid.unknown_authority");
}

#[test]
fn certificates_of_the_workload_api_that_are_not_used_are_told_one_by_one() {
    let workers = workload_workers(1, json!({}));
    let world = &workers.world;
    let leaf = world.own_identity("/api").leaf;
    let mut no_authority = world.own.clone();
    no_authority.certificate = leaf;
    workers.tick();
    let bundle: [(&str, &[&Authority]); 1] = [("spiffe://prod.example", &[&world.own, &no_authority])];
    workers.message(0, workload_message(&bundle, &[]));
    let told = "bundle of prod.example: certificate 1 of the list: certificate is no signing certificate (basic \
                constraints do not say cA); the key is not used";
    assert!(workers.logged(told));
    assert!(workers.logged("1 trust domains, 1 certificates skipped"));
}
