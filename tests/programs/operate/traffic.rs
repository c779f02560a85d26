//! An Envoy with the shipped tags, and peers of every kind, so that every metric has something to say.

use std::time::{Duration, Instant};

use jiff::SignedDuration;
use serde_json::json;
use support::{
    bundle_endpoint::{BundleEndpoint, Served, bundle_document},
    ca::{Identity, Leaf, bundle_json, real_now},
    client::{Answer, Client, Http, Request},
    envoy::{ClientCertificate, Cluster, Envoy, Listener, Route, Scenario, Wasm},
    module_path,
    upstream::{Behaviour, HttpUpstream},
    world::{PARTNER, World, with},
};
use tokio::time::sleep;

pub(crate) struct Traffic {
    pub(crate) envoy: Envoy,
    world: World,
    upstream: HttpUpstream,
    _endpoint: BundleEndpoint,
}

impl Traffic {
    pub(crate) async fn start() -> Self {
        let (world, upstream, endpoint) = (World::new(), HttpUpstream::start(), BundleEndpoint::start(None));
        endpoint.serve(
            "/bundle.json",
            Served::Document(bundle_document(&[&world.partner], None, None)),
        );
        endpoint.serve(
            "/revoked.json",
            Served::Document(br#"{ "sequence": 1, "revoked": [] }"#.to_vec()),
        );
        let ends = |days: i64| (world.now + SignedDuration::from_hours(24 * days)).to_string();
        let rules = json!([
            { "name": "open", "effect": "allow", "from": ["spiffe://*/**"], "to": [{ "paths": ["/open"] }] },
            { "name": "for-now", "effect": "allow", "from": ["spiffe://*/**"], "to": [{ "paths": ["/now"] }],
              "expires": ends(20) },
            { "name": "planned", "effect": "allow", "dry_run": true, "from": ["spiffe://*/**"],
              "to": [{ "paths": ["/planned"] }] },
        ]);
        let source = |path: &str| json!({ "cluster": "endpoint", "path": path, "refresh": "1s" });
        let document = with(
            world.document(rules),
            json!({
                "version": "2026-11-22.1",
                "federation": [{
                    "trust_domain": PARTNER,
                    "expires": ends(60),
                    "bundle": { "inline": bundle_json(&[&world.partner]), "endpoint": source("/bundle.json") },
                }],
                "revocations": { "endpoint": source("/revoked.json") },
            }),
        );
        let plugin = Wasm::new(&module_path(), document);
        let listener = Listener::http("web", [Route::to("app", "/", "app")])
            .tls(&world.server, ClientCertificate::AcceptUntrusted)
            .connection_filter(plugin.clone())
            .request_filter(plugin);
        let envoy = Envoy::start(Scenario {
            concurrency: 2,
            amend: Some(operate::with_tags),
            ..Scenario::of(
                listener,
                [
                    Cluster::new("app", upstream.addr()),
                    Cluster::new("endpoint", endpoint.addr()),
                ],
            )
        })
        .await;
        Self {
            envoy,
            world,
            upstream,
            _endpoint: endpoint,
        }
    }

    /// Its trust domains.
    pub(crate) fn world(&self) -> &World {
        &self.world
    }

    async fn connect(&self, identity: Option<&Identity>) -> Option<Http> {
        let client = Client::new(identity);
        client
            .connect(self.envoy.listener_addr("web"))
            .await
            .ok()?
            .http1()
            .await
            .ok()
    }

    /// Peers come and ask, each with a certificate of its own, and one's comes to its end.
    pub(crate) async fn run(&self, span: Duration) {
        let start = Instant::now();
        let mut short: Option<Http> = None;
        let mut under_way: Option<Answer> = None;
        while start.elapsed() < span {
            if short.as_ref().is_none_or(Http::is_closed) {
                let leaf = Leaf {
                    not_after: real_now() + SignedDuration::from_secs(4),
                    ..Leaf::svid("spiffe://prod.example/short", self.world.now)
                };
                short = self.connect(Some(&self.world.own.issue(leaf))).await;
                if let Some(http) = &mut short {
                    // With nothing under way it would be drained, not cut.
                    self.upstream.behave(Behaviour::Stream {
                        every: Duration::from_millis(100),
                        count: 1000,
                    });
                    under_way = http.open(Request::get("/open")).await.ok();
                    self.upstream.behave(Behaviour::Answer(200, b"ok".to_vec()));
                }
            }
            let partner = self.world.partner_identity("/ns/billing/x");
            for identity in [Some(&self.world.own_identity("/api")), Some(&partner), None] {
                if let Some(mut http) = self.connect(identity).await {
                    for path in ["/open", "/closed", "/planned"] {
                        let _ = http.get(path).await;
                    }
                }
            }
            sleep(Duration::from_millis(100)).await;
        }
        drop(under_way);
    }
}
