//! Peers that are nobody here: refused at the connection and, where the network filter is absent, at the request.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde_json::{Value, json};
use support::{
    ca::{Authority, BasicConstraints, ExtendedKeyUsage, Identity, KeyUsage, Leaf, Profile, bundle_json},
    client::{Client, ClientOptions, Connection, Outcome, TlsVersions},
    envoy::{ClientCertificate, Envoy, Listener, Route},
    upstream::HttpUpstream,
    world::{OWN, World},
};

use crate::stage::{API, Filters, assert_alive, assert_bare_403, gated, http_listener, reason, record, serve};

/// A relationship that has ended.
const FORMER: &str = "former.example";

/// Everyone with an identity may do everything.
fn open_document(Peers { world, former }: &Peers) -> Value {
    let mut document = world.document(json!([
        { "name": "own", "effect": "allow", "from": ["spiffe://prod.example/**"] },
        { "name": "partner", "effect": "allow", "from": ["spiffe://partner.example/ns/billing/**"] },
        { "name": "former", "effect": "allow", "from": ["spiffe://former.example/**"] },
    ]));
    let relationship = json!({
        "trust_domain": FORMER,
        "bundle": { "inline": bundle_json(&[former]) },
        "expires": (world.now - SignedDuration::from_hours(1)).to_string(),
    });
    document["federation"].as_array_mut().unwrap().push(relationship);
    document["federation"][0]["svid_max_lifetime"] = json!("24h");
    document
}

/// What a peer does, and why it is refused.
struct Case {
    name: &'static str,
    client: fn(&Peers) -> Client,
    reason: &'static str,
}

/// Who issues the peers.
struct Peers {
    world: World,
    former: Authority,
}

impl Peers {
    fn new() -> Self {
        let world = World::new();
        let former = Authority::of(FORMER, world.now);
        Self { world, former }
    }

    /// A client whose leaf is signed by our own authority and differs from a good one in what `change` does.
    fn own(&self, change: impl FnOnce(&mut Leaf)) -> Client {
        let mut leaf = Leaf::svid(API, self.world.now);
        change(&mut leaf);
        Client::new(Some(&self.world.own.issue(leaf)))
    }

    /// A client with a good leaf for `id`, signed by `authority`.
    fn signed_by(&self, authority: &Authority, id: &str) -> Client {
        Client::new(Some(&authority.issue(Leaf::svid(id, self.world.now))))
    }
}

const PARTNER_API: &str = "spiffe://partner.example/ns/billing/sa/api";

const CASES: &[Case] = &[
    Case {
        name: "foreign id signed by our authority",
        client: |peers| peers.signed_by(&peers.world.own, PARTNER_API),
        reason: "svid.unknown_authority",
    },
    Case {
        name: "own id signed by a federated authority",
        client: |peers| peers.signed_by(&peers.world.partner, API),
        reason: "svid.unknown_authority",
    },
    Case {
        name: "id signed by an authority that took our authority's name",
        client: |peers| peers.signed_by(&Authority::of(OWN, peers.world.now), API),
        reason: "svid.bad_signature",
    },
    Case {
        name: "self-signed leaf",
        client: |peers| Client::new(Some(&Identity::self_signed(Leaf::svid(API, peers.world.now)))),
        reason: "svid.unknown_authority",
    },
    Case {
        name: "two URI SANs, the privileged id second",
        client: |peers| peers.own(|leaf| leaf.uri_sans = vec!["spiffe://prod.example/x".into(), API.into()]),
        reason: "svid.multiple_uri_sans",
    },
    Case {
        name: "two URI SANs, the privileged id first",
        client: |peers| peers.own(|leaf| leaf.uri_sans = vec![API.into(), "https://prod.example/".into()]),
        reason: "svid.multiple_uri_sans",
    },
    Case {
        name: "leaf without digitalSignature, for it has no key usage",
        client: |peers| peers.own(|leaf| leaf.key_usage = None),
        reason: "svid.key_usage",
    },
    Case {
        name: "leaf for servers only",
        client: |peers| peers.own(|leaf| leaf.extended_key_usage = Some(vec![ExtendedKeyUsage::ServerAuth])),
        reason: "svid.key_usage",
    },
    Case {
        name: "authority as leaf",
        client: |peers| {
            peers.own(|leaf| {
                leaf.basic_constraints = Some(BasicConstraints {
                    ca: true,
                    path_len: None,
                })
            })
        },
        reason: "svid.is_ca",
    },
    Case {
        name: "leaf that may sign certificates",
        client: |peers| {
            peers.own(|leaf| leaf.key_usage = Some(vec![KeyUsage::DigitalSignature, KeyUsage::KeyCertSign]))
        },
        reason: "svid.is_ca",
    },
    Case {
        name: "unfederated trust domain",
        client: |peers| peers.signed_by(&peers.world.stranger, "spiffe://stranger.example/ns/shop/sa/api"),
        reason: "federation.unknown_trust_domain",
    },
    Case {
        name: "federated id out of scope",
        client: |peers| peers.signed_by(&peers.world.partner, "spiffe://partner.example/ns/shop/sa/api"),
        reason: "federation.out_of_scope",
    },
    Case {
        name: "relationship that has ended",
        client: |peers| peers.signed_by(&peers.former, "spiffe://former.example/sa/api"),
        reason: "federation.expired",
    },
    Case {
        name: "federated svid that lives too long",
        client: |peers| {
            let leaf = Leaf::svid(PARTNER_API, peers.world.now);
            let leaf = Leaf {
                not_after: peers.world.now + SignedDuration::from_hours(48),
                ..leaf
            };
            Client::new(Some(&peers.world.partner.issue(leaf)))
        },
        reason: "svid.lifetime_too_long",
    },
    Case {
        name: "expired svid",
        client: |peers| peers.own(|leaf| leaf.not_after = leaf.not_before + SignedDuration::from_secs(30)),
        reason: "svid.expired",
    },
    Case {
        name: "svid of tomorrow",
        client: |peers| {
            peers.own(|leaf| {
                leaf.not_before += SignedDuration::from_hours(24);
                leaf.not_after += SignedDuration::from_hours(24);
            })
        },
        reason: "svid.not_yet_valid",
    },
    Case {
        name: "leaf without URI SAN",
        client: |peers| Client::new(Some(&peers.world.own.issue(Profile::server(peers.world.now)))),
        reason: "svid.no_uri_san",
    },
    Case {
        name: "id without path",
        client: |peers| peers.own(|leaf| leaf.uri_sans = vec!["spiffe://prod.example".into()]),
        reason: "svid.root_path",
    },
    Case {
        name: "id with an upper-case trust domain",
        client: |peers| peers.own(|leaf| leaf.uri_sans = vec!["spiffe://PROD.example/ns/shop/sa/api".into()]),
        reason: "svid.invalid_id",
    },
    Case {
        name: "no certificate",
        client: |_| Client::new(None),
        reason: "connection.no_certificate",
    },
];

/// With both filters a peer is closed before anything is read from it; where there is only the HTTP filter it gets a
/// bare 403. The upstream sees nothing of it either way.
#[tokio::test]
async fn peers_that_are_nobody_are_refused_each_for_its_own_reason() {
    let peers = Peers::new();
    let document = open_document(&peers);
    let upstream = HttpUpstream::start();
    let listeners = [Filters::Both, Filters::RequestOnly]
        .map(|filters| http_listener(&peers.world, &format!("{filters:?}"), filters, &document));
    let envoy = serve(listeners, &upstream).await;
    let mut counts = BTreeMap::new();
    for (number, case) in (1..).zip(CASES) {
        let Case {
            name, reason: expected, ..
        } = case;
        let client = (case.client)(&peers);
        assert_eq!(get(&envoy, "Both", &client).await.status(), None, "{name}");
        let closed = &envoy.wait_connection_log("Both", number).await[number - 1];
        assert_eq!(
            (reason(closed).as_str(), &record(closed)["decision"]),
            (*expected, &json!("deny")),
            "{name}"
        );

        assert_bare_403(&get(&envoy, "RequestOnly", &client).await);
        let answered = &envoy.wait_request_log("RequestOnly", number).await[number - 1];
        assert_eq!(
            (reason(answered).as_str(), &record(answered)["decision"]),
            (*expected, &json!("deny")),
            "{name}"
        );
        assert_eq!(answered["details"], format!("svidgate_{expected}"), "{name}");
        *counts.entry(*expected).or_insert(0) += 1;
    }
    assert_eq!(envoy.request_log("Both"), Vec::<Value>::new());
    assert_eq!(upstream.connections(), 0);
    for (reason, count) in counts {
        for stage in ["connection", "request"] {
            let counter = format!("wasmcustom.svidgate.decisions_total.{stage}.deny.{reason}");
            envoy.wait_stat(&counter, count).await;
            assert_eq!(envoy.stat(&counter).await, count, "{counter}");
        }
    }

    // Nobody else was shut out by them.
    let good = [(&peers.world.own, API), (&peers.world.partner, PARTNER_API)];
    for (authority, id) in good {
        let client = peers.signed_by(authority, id);
        for listener in ["Both", "RequestOnly"] {
            assert_eq!(get(&envoy, listener, &client).await.status(), Some(200), "{id}");
        }
    }
    assert_eq!(upstream.requests().len(), 4);
    assert_alive(&envoy).await;
}

async fn get(envoy: &Envoy, listener: &str, client: &Client) -> Outcome {
    let connection = client.connect(envoy.listener_addr(listener)).await.unwrap();
    connection.http1().await.unwrap().get("/").await
}

/// BoringSSL itself refuses a leaf whose key usage forbids what it is used for, with every version of TLS.
#[tokio::test]
async fn leaf_whose_key_usage_lacks_digital_signature_fails_in_the_handshake() {
    let peers = Peers::new();
    let upstream = HttpUpstream::start();
    let document = open_document(&peers);
    let envoy = serve(
        [http_listener(&peers.world, "web", Filters::RequestOnly, &document)],
        &upstream,
    )
    .await;
    let leaf = Leaf {
        key_usage: Some(vec![KeyUsage::KeyEncipherment]),
        ..Leaf::svid(API, peers.world.now)
    };
    let identity = peers.world.own.issue(leaf);
    for (number, versions) in [(1, TlsVersions::Only12), (2, TlsVersions::Only13)] {
        let options = ClientOptions {
            versions,
            ..ClientOptions::default()
        };
        if let Ok(connection) = Client::with(Some(&identity), options)
            .connect(envoy.listener_addr("web"))
            .await
        {
            // With TLS 1.3 the client is done before the server has looked at its certificate.
            assert_eq!(connection.http1().await.unwrap().get("/").await.status(), None);
        }
        let entry = &envoy.wait_connection_log("web", number).await[number - 1];
        assert!(
            entry["tls_failure"]
                .as_str()
                .unwrap_or_default()
                .contains("KEY_USAGE_BIT_INCORRECT"),
            "{entry}"
        );
    }
    assert_eq!((envoy.request_log("web"), upstream.connections()), (Vec::new(), 0));
}

#[tokio::test]
async fn connections_on_which_nobody_can_show_a_certificate_are_refused() {
    let peers = Peers::new();
    let document = open_document(&peers);
    let upstream = HttpUpstream::start();
    let listener = |name: &str| Listener::http(name, [Route::to("app", "/", "app")]);
    let listeners = [
        gated(listener("plain"), Filters::Both, &document),
        gated(listener("plain_request_only"), Filters::RequestOnly, &document),
        gated(
            listener("not_asked").tls(&peers.world.server, ClientCertificate::NotAsked),
            Filters::Both,
            &document,
        ),
        http_listener(&peers.world, "tls", Filters::Both, &document),
    ];
    let envoy = serve(listeners, &upstream).await;
    let plain = async |listener| Connection::plain(envoy.listener_addr(listener)).await.unwrap();

    assert_eq!(
        plain("plain").await.http1().await.unwrap().get("/").await.status(),
        None
    );
    assert_eq!(
        reason(&envoy.wait_connection_log("plain", 1).await[0]),
        "connection.plaintext"
    );

    assert_bare_403(&plain("plain_request_only").await.http1().await.unwrap().get("/").await);
    assert_eq!(
        reason(&envoy.wait_request_log("plain_request_only", 1).await[0]),
        "connection.plaintext"
    );

    assert_eq!(get(&envoy, "not_asked", &peers.own(|_| {})).await.status(), None);
    assert_eq!(
        reason(&envoy.wait_connection_log("not_asked", 1).await[0]),
        "connection.no_certificate"
    );

    // Plain text never gets through Envoy's own TLS, so there is nothing to decide on.
    let outcome = plain("tls")
        .await
        .raw_http1(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await;
    assert_eq!(outcome.status(), None);
    let entry = &envoy.wait_connection_log("tls", 1).await[0];
    assert_eq!(record(entry), Value::Null);
    assert!(
        entry["tls_failure"]
            .as_str()
            .unwrap_or_default()
            .contains("HTTP_REQUEST"),
        "{entry}"
    );
    assert_eq!(upstream.connections(), 0);
}
