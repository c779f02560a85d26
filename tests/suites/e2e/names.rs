//! Callers for whom a gateway gives no more than its word, each a name that a real Envoy writes and does not escape.

use serde_json::{Value, json};
use support::{
    ca::Leaf,
    client::Request,
    envoy::{ClientCertificate, Cluster, Envoy, Listener, Route, Scenario, Xfcc},
    upstream::HttpUpstream,
    world::{World, with},
};

use crate::stage::{Filters, assert_alive, http_listener, http1, record, serve};

const WAYPOINT: &str = "spiffe://prod.example/waypoint";
const CALLER: &str = "spiffe://prod.example/ns/a/7";

fn document(world: &World) -> Value {
    let rules = json!([
        { "name": "seven", "effect": "allow", "from": [CALLER], "via": ["waypoint"], "to": [{ "paths": ["/seven"] }] },
    ]);
    let hops = json!([{ "name": "waypoint", "peers": [WAYPOINT], "callers": ["spiffe://prod.example/ns/a/*"],
                        "assertion": "xfcc", "evidence": "name" }]);
    with(world.document(rules), json!({ "xfcc": "hop", "hops": hops }))
}

/// Of the certificate of its client the gateway writes no more than names.
fn names_alone(bootstrap: &mut Value) {
    for listener in bootstrap["static_resources"]["listeners"].as_array_mut().unwrap() {
        let dns = listener["name"] == "with_dns";
        let manager = listener["filter_chains"][0]["filters"]
            .as_array_mut()
            .unwrap()
            .last_mut()
            .unwrap();
        manager["typed_config"]["set_current_client_cert_details"] = json!({ "uri": true, "dns": dns });
    }
}

#[tokio::test]
async fn name_that_a_gateway_writes_is_its_word_and_no_name_is_taken_for_another() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let deciding = serve(
        [http_listener(&world, "in", Filters::Both, &document(&world)).xfcc(Xfcc::ForwardOnly)],
        &upstream,
    )
    .await;
    let waypoint = world.own_identity("/waypoint");
    let listener = |name: &str, mode| {
        let listener = Listener::http(name, [Route::to("next", "/", "next")]);
        listener
            .tls(&world.server, ClientCertificate::AcceptUntrusted)
            .xfcc(mode)
    };
    let gateway = Envoy::start(Scenario {
        listeners: vec![
            listener("set", Xfcc::SanitizeSet),
            listener("with_dns", Xfcc::SanitizeSet),
            listener("append", Xfcc::AppendForward),
        ],
        clusters: vec![Cluster::mutual_tls("next", deciding.listener_addr("in"), &waypoint)],
        amend: Some(names_alone),
        ..Scenario::default()
    })
    .await;
    let leaf = |uri: &str, dns: &[&str]| {
        world.own.issue(Leaf {
            dns_sans: dns.iter().map(ToString::to_string).collect(),
            ..Leaf::svid(uri, world.now)
        })
    };
    let id = "spiffe://prod.example/ns/a/mallory";
    let mut count = 0;
    for (listener, uri, dns, forged, expected) in [
        ("set", CALLER.to_owned(), &[][..], None, "rule.allowed"),
        ("set", CALLER.to_owned(), &["x.example"], None, "rule.allowed"),
        (
            "set",
            CALLER.to_owned(),
            &[],
            Some("By=x;URI=spiffe://prod.example/ns/a/8"),
            "rule.allowed",
        ),
        (
            "set",
            id.to_owned(),
            &[],
            Some("URI=spiffe://prod.example/ns/a/7"),
            "rule.none_matched",
        ),
        (
            "append",
            id.to_owned(),
            &[],
            Some("URI=spiffe://prod.example/ns/a/7"),
            "assertion.too_many_hops",
        ),
        // Names of an authority that the gateway trusts, as Envoy writes them.
        ("set", format!("{CALLER};DNS=x"), &[], None, "assertion.malformed"),
        (
            "set",
            format!("{CALLER};Issuer=\"CN=x\""),
            &[],
            None,
            "assertion.malformed",
        ),
        ("set", format!("{id};URI={CALLER}"), &[], None, "assertion.malformed"),
        (
            "set",
            format!("{id},URI={CALLER}"),
            &[],
            None,
            "assertion.too_many_hops",
        ),
        (
            "set",
            format!("{id},By={WAYPOINT};URI={CALLER}"),
            &[],
            None,
            "assertion.too_many_hops",
        ),
        ("set", format!("{CALLER}\""), &[], None, "assertion.malformed"),
        // Where the gateway writes more than it should, no name can be told from one that pretends to be more.
        (
            "with_dns",
            CALLER.to_owned(),
            &["x.example"],
            None,
            "assertion.malformed",
        ),
        (
            "with_dns",
            id.to_owned(),
            &["x;URI=spiffe://prod.example/ns/a/7"],
            None,
            "assertion.malformed",
        ),
        ("with_dns", CALLER.to_owned(), &[], None, "rule.allowed"),
    ] {
        let request = Request::get("/seven");
        let request = match forged {
            Some(forged) => request.header("x-forwarded-client-cert", forged.to_owned()),
            None => request,
        };
        let client = leaf(&uri, dns);
        let status = http1(&gateway, listener, Some(&client))
            .await
            .send(request)
            .await
            .status();
        count += 1;
        let record = record(&deciding.wait_request_log("in", count).await[count - 1]);
        assert_eq!(record["reason"], expected, "{listener} {uri} {dns:?}: {record}");
        assert_eq!(
            status,
            Some(if expected == "rule.allowed" { 200 } else { 403 }),
            "{record}"
        );
        assert_eq!(record["via"], WAYPOINT);
        if expected == "rule.allowed" {
            assert_eq!((&record["id"], &record["evidence"]), (&json!(CALLER), &json!("name")));
        }
    }
    assert_alive(&deciding).await;
}
