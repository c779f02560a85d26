//! `x-forwarded-client-cert`: read only where the listener writes it, and then only what the handshake confirms.

use serde_json::{Value, json};
use support::{
    ca::{Authority, Identity, Leaf, Profile},
    client::{Client, Request},
    envoy::{CERTIFICATE_KEY, Keeping, Kind, Listener, Xfcc, envoy_version},
    upstream::HttpUpstream,
    world::{OWN, World, with},
};

use crate::stage::{API, API_PATH, Filters, allow_api, assert_alive, http_listener, http1, reason, record, serve};

const XFCC: &str = "x-forwarded-client-cert";

/// A certificate as Envoy writes it into the header.
fn escaped(pem: &str) -> String {
    pem.bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

/// What a client would like us to believe: the certificate of `victim`.
fn forged(victim: &Identity) -> String {
    format!(
        "Hash={};Cert=\"{}\";Chain=\"{}\";URI={API}",
        victim.leaf_sha256(),
        escaped(&victim.leaf_pem()),
        escaped(&victim.chain_pem())
    )
}

/// Our authority's intermediate, and a leaf below it.
fn below_an_intermediate(world: &World) -> (Authority, Identity) {
    let profile = Profile {
        common_name: Some("prod.example issuing".to_owned()),
        ..Profile::authority(OWN, world.now)
    };
    let intermediate = world.own.issue_authority(profile);
    let leaf = intermediate.issue(Leaf::svid(API, world.now));
    (intermediate, leaf)
}

#[tokio::test]
async fn chain_from_the_listeners_own_header_verifies_a_leaf_below_an_intermediate() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let own = with(world.document(allow_api()), json!({ "xfcc": "own" }));
    let forwarding = with(own.clone(), json!({ "forward_xfcc": true }));
    let ignoring = world.document(allow_api());
    let listener = |name: &str, document: &Value| {
        http_listener(&world, name, Filters::RequestOnly, document).xfcc(Xfcc::SanitizeSet)
    };
    let listeners = [
        listener("own", &own),
        listener("forwarding", &forwarding),
        listener("ignoring", &ignoring),
    ];
    let envoy = serve(listeners, &upstream).await;
    let (_, leaf) = below_an_intermediate(&world);
    let headers = |number: usize| {
        let requests = upstream.requests();
        requests[number]
            .header(XFCC)
            .iter()
            .map(|value| String::from_utf8_lossy(value).into_owned())
            .collect::<Vec<_>>()
    };

    // Without the intermediate there is no path to the authority; the client's own header is replaced by the listener.
    let mut http = http1(&envoy, "ignoring", Some(&leaf)).await;
    assert_eq!(
        http.send(Request::get("/").header(XFCC, forged(&leaf))).await.status(),
        Some(403)
    );
    assert_eq!(
        reason(&envoy.wait_request_log("ignoring", 1).await[0]),
        "svid.unknown_authority"
    );

    let mut http = http1(&envoy, "own", Some(&leaf)).await;
    assert_eq!(http.get("/").await.status(), Some(200));
    assert_eq!(record(&envoy.wait_request_log("own", 1).await[0])["id"], API);
    assert_eq!(
        headers(0),
        Vec::<String>::new(),
        "the header is for us, not for the upstream"
    );

    let mut http = http1(&envoy, "forwarding", Some(&leaf)).await;
    assert_eq!(
        http.send(Request::get("/").header(XFCC, "By=me")).await.status(),
        Some(200)
    );
    let values = headers(1);
    assert!(
        values.len() == 1 && values[0].contains("Chain=") && !values[0].contains("By=me"),
        "{values:?}"
    );
}

/// What is said of another identity that sends the victim's certificate, well-formed, by listener. Where the proxy
/// shows the certificate of the handshake itself (1.38 and later), no header is asked for a leaf; before, the digest of
/// the handshake tells the two apart.
fn reasons_for_a_forged_leaf() -> [(&'static str, &'static str); 4] {
    let believed = if envoy_version() < (1, 38) {
        "connection.certificate_mismatch"
    } else {
        "rule.none_matched"
    };
    let ignored = if envoy_version() < (1, 38) {
        "connection.certificate_unreadable"
    } else {
        "rule.none_matched"
    };
    [
        ("ignore_forward", ignored),
        ("own_forward", believed),
        ("own_append", "rule.none_matched"),
        ("own_set", "rule.none_matched"),
    ]
}

#[tokio::test]
async fn client_supplied_xfcc_gives_nobody_an_identity() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let victim = world.own_identity(API_PATH);
    let ignoring = world.document(allow_api());
    let own = with(ignoring.clone(), json!({ "xfcc": "own" }));
    let listener = |name: &str, mode, document: &Value| Listener {
        // The certificate from nowhere but the header, where the proxy itself does not show it.
        keeps_certificate: Keeping::No,
        ..http_listener(&world, name, Filters::RequestOnly, document).xfcc(mode)
    };
    let listeners = [
        listener("ignore_forward", Xfcc::AlwaysForwardOnly, &ignoring),
        listener("own_forward", Xfcc::AlwaysForwardOnly, &own),
        listener("own_append", Xfcc::AppendForward, &own),
        listener("own_set", Xfcc::SanitizeSet, &own),
    ];
    let envoy = serve(listeners, &upstream).await;
    let attacker = Client::new(Some(&world.own_identity("/ns/shop/sa/mallory")));
    let nobody = Client::new(None);
    let forgeries = [
        forged(&victim),
        format!("{},{}", forged(&victim), forged(&victim)),
        format!("Subject=\"\",{}", forged(&victim)),
        format!("Hash={};URI={API}", victim.leaf_sha256()),
        "Cert=\"unfinished".to_owned(),
        String::new(),
    ];
    let ask = async |listener: &str, client: &Client, forgery: &str| {
        let before = envoy.request_log(listener).len();
        let mut http = client
            .connect(envoy.listener_addr(listener))
            .await
            .unwrap()
            .http1()
            .await
            .unwrap();
        let outcome = http.send(Request::get("/").header(XFCC, forgery)).await;
        let entry = envoy.wait_request_log(listener, before + 1).await.swap_remove(before);
        assert_eq!(outcome.status(), Some(403), "{listener}, {forgery}: {entry}");
        assert_ne!(record(&entry)["id"], API, "{listener}, {forgery}");
        reason(&entry)
    };
    for (listener, expected) in reasons_for_a_forged_leaf() {
        assert_eq!(ask(listener, &attacker, &forgeries[0]).await, expected, "{listener}");
        for forgery in &forgeries {
            ask(listener, &attacker, forgery).await;
            assert_eq!(
                ask(listener, &nobody, forgery).await,
                "connection.no_certificate",
                "{listener}, {forgery}"
            );
        }
    }
    assert_eq!(upstream.connections(), 0);
    // The one who owns the certificate is not locked out by what others sent.
    assert_eq!(
        http1(&envoy, "own_set", Some(&victim)).await.get("/").await.status(),
        Some(200)
    );
}

/// An HTTP filter that writes the filter state in which the module looks for the certificate.
fn certificate_in_filter_state(pem: &str) -> Value {
    // Escaped as Envoy's own formatter does it; its format strings write `%` as `%%`.
    let text = escaped(pem).replace('%', "%%");
    json!({
        "name": "envoy.filters.http.set_filter_state",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config",
            "on_request_headers": [{
                "object_key": CERTIFICATE_KEY,
                "factory_key": "envoy.string",
                "format_string": { "text_format_source": { "inline_string": text } },
            }],
        },
    })
}

/// Whoever writes that filter state, the digest of the handshake has the last word.
#[tokio::test]
async fn certificate_in_filter_state_that_is_not_the_peers_is_refused() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let victim = world.own_identity(API_PATH);
    let document = world.document(allow_api());
    let listener = |name: &str, pem: &str| {
        let mut listener = Listener {
            keeps_certificate: Keeping::No,
            ..http_listener(&world, name, Filters::RequestOnly, &document)
        };
        if let Kind::Http(http) = &mut listener.kind {
            http.filters_before = vec![certificate_in_filter_state(pem)];
        }
        listener
    };
    let listeners = [
        listener("garbage", "-----BEGIN CERTIFICATE-----\n\u{fc}\n"),
        listener("other", &victim.leaf_pem()),
        listener("two", &victim.leaf_pem().repeat(2)),
    ];
    let envoy = serve(listeners, &upstream).await;
    // From 1.38 on the proxy shows the certificate itself and nobody asks the filter state.
    let shown = envoy_version() >= (1, 38);
    let attacker = world.own_identity("/ns/shop/sa/mallory");
    for (listener, before) in [
        ("garbage", "connection.certificate_unreadable"),
        ("other", "connection.certificate_mismatch"),
        ("two", "connection.certificate_unreadable"),
    ] {
        assert_eq!(
            http1(&envoy, listener, Some(&attacker)).await.get("/").await.status(),
            Some(403),
            "{listener}"
        );
        let expected = if shown { "rule.none_matched" } else { before };
        assert_eq!(
            reason(&envoy.wait_request_log(listener, 1).await[0]),
            expected,
            "{listener}"
        );
    }
    assert_eq!(
        http1(&envoy, "other", Some(&victim)).await.get("/").await.status(),
        Some(200)
    );
    assert_alive(&envoy).await;
}
