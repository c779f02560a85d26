//! Behind Envoy's own SPIFFE validator: two locks, each with what the other lacks.

use serde_json::json;
use support::{
    ca::{Authority, Identity, Leaf, Profile},
    client::Client,
    envoy::{ClientCertificate, Envoy, Listener, Route},
    upstream::HttpUpstream,
    world::{OWN, PARTNER, World, with},
};

use crate::stage::{API, API_PATH, Filters, gated, reason, serve};

const LISTENERS: [&str; 2] = ["proxy", "verify"];

async fn start(world: &World, upstream: &HttpUpstream) -> Envoy {
    let rules = json!([
        { "name": "own", "effect": "allow", "from": ["spiffe://prod.example/**"] },
        { "name": "partner", "effect": "allow", "from": ["spiffe://partner.example/ns/billing/**"] },
    ]);
    let document = world.document(rules);
    let trust_domains = vec![
        (OWN.to_owned(), world.own.pem()),
        (PARTNER.to_owned(), world.partner.pem()),
    ];
    let listeners = LISTENERS.map(|chain| {
        let listener = Listener::http(chain, [Route::to("app", "/", "app")])
            .tls(&world.server, ClientCertificate::Spiffe(trust_domains.clone()));
        gated(
            listener,
            Filters::Both,
            &with(document.clone(), json!({ "chain": chain })),
        )
    });
    serve(listeners, upstream).await
}

/// The status, where there is an answer.
async fn ask(envoy: &Envoy, listener: &str, identity: Option<&Identity>) -> Option<u16> {
    let connection = Client::new(identity)
        .connect(envoy.listener_addr(listener))
        .await
        .ok()?;
    connection.http1().await.ok()?.get("/").await.status()
}

#[tokio::test]
async fn peers_must_pass_both_the_validator_and_the_gate() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let envoy = start(&world, &upstream).await;
    let own = |authority: &Authority, id: &str| authority.issue(Leaf::svid(id, world.now));
    let two_ids = world.partner.issue(Leaf {
        uri_sans: vec!["spiffe://partner.example/ns/billing/sa/x".into(), API.into()],
        ..Leaf::svid(API, world.now)
    });
    for listener in LISTENERS {
        for good in [
            world.own_identity(API_PATH),
            world.partner_identity("/ns/billing/sa/api"),
        ] {
            assert_eq!(ask(&envoy, listener, Some(&good)).await, Some(200), "{listener}");
        }
        // What the validator refuses has no decision of ours.
        let forged = own(&world.own, "spiffe://partner.example/ns/billing/sa/api");
        let stranger = own(&world.stranger, "spiffe://stranger.example/x");
        let mut number = 2;
        for refused in [Some(&forged), Some(&stranger), None] {
            assert_eq!(ask(&envoy, listener, refused).await, None, "{listener}");
            number += 1;
            let entry = envoy.wait_connection_log(listener, number).await.pop().unwrap();
            assert_eq!(reason(&entry), "none at all", "{listener}: {entry}");
            assert!(entry["tls_failure"].is_string(), "{listener}: {entry}");
        }
        // What it lets through is refused by us.
        let out_of_scope = world.partner_identity("/ns/shop/sa/api");
        for (identity, expected) in [
            (&two_ids, "svid.multiple_uri_sans"),
            (&out_of_scope, "federation.out_of_scope"),
        ] {
            assert_eq!(ask(&envoy, listener, Some(identity)).await, None, "{listener}");
            number += 1;
            let entry = envoy.wait_connection_log(listener, number).await.pop().unwrap();
            assert_eq!(reason(&entry), expected, "{listener}: {entry}");
        }
    }
    assert_eq!(upstream.requests().len(), 4);
}

/// The validator sees the chain that the client sent; we see the leaf only, so with `chain: verify` the intermediate
/// must be in the bundle or in the document.
#[tokio::test]
async fn leaf_below_an_intermediate_passes_where_the_proxy_verifies_the_chain() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let envoy = start(&world, &upstream).await;
    let issuing = Profile {
        common_name: Some("issuing".to_owned()),
        ..Profile::authority(OWN, world.now)
    };
    let below = world.own.issue_authority(issuing).issue(Leaf::svid(API, world.now));
    assert_eq!(ask(&envoy, "proxy", Some(&below)).await, Some(200));
    assert_eq!(ask(&envoy, "verify", Some(&below)).await, None);
    assert_eq!(
        reason(&envoy.wait_connection_log("verify", 1).await[0]),
        "svid.unknown_authority"
    );
}
