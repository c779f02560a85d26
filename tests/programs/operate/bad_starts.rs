//! Envoys that were given a bad document at their start, and the alerts that are for it.

use std::{collections::BTreeSet, net::SocketAddr};

use serde_json::json;
use support::{
    envoy::{ClientCertificate, Delivery, Envoy, Listener, Route, Scenario, Wasm},
    module_path,
    world::World,
};

use crate::prometheus::{Prometheus, free_port};

pub(crate) struct BadStarts {
    /// The document comes by discovery: Envoy waits for a good one.
    discovered: Envoy,
    /// It comes with its listener: there is none.
    with_listener: Envoy,
    /// It stands in the bootstrap: Envoy has ended.
    ended: SocketAddr,
}

impl BadStarts {
    pub(crate) async fn start(world: &World) -> Self {
        let bad = || world.document(json!([{ "name": "bad", "effect": "allow", "from": ["spiffe://prod/x"] }]));
        let listener = |delivery| {
            let plugin = Wasm {
                delivery,
                ..Wasm::new(&module_path(), bad())
            };
            Listener::http("web", [Route::direct("ok", "/", 200, "ok")])
                .tls(&world.server, ClientCertificate::AcceptUntrusted)
                .connection_filter(plugin.clone())
                .request_filter(plugin)
        };
        let scenario = |delivery| Scenario {
            amend: Some(operate::with_tags),
            ..Scenario::of(listener(delivery), [])
        };
        assert!(
            Envoy::try_start(scenario(Delivery::Static)).await.is_err(),
            "an Envoy starts with a bad document in its bootstrap"
        );
        let ended = free_port();
        let discovered = Envoy::start(scenario(Delivery::Ecds)).await;
        let with_listener = Envoy::start(Scenario {
            lds: true,
            ..scenario(Delivery::Static)
        })
        .await;
        Self {
            discovered,
            with_listener,
            ended,
        }
    }

    /// What Prometheus scrapes.
    pub(crate) fn targets(&self) -> [SocketAddr; 3] {
        [
            self.discovered.admin_addr(),
            self.with_listener.admin_addr(),
            self.ended,
        ]
    }

    /// Each alert that is for a bad start, where it should not be there for exactly the Envoys that it is for.
    pub(crate) async fn wrong_alerts(&self, prometheus: &Prometheus) -> Vec<String> {
        let (discovered, with_listener) = (self.discovered.admin_addr(), self.with_listener.admin_addr());
        let mut wrong = Vec::new();
        for (alert, wanted) in [
            ("SvidgateNoPolicy", discovered),
            ("SvidgateDocumentRefused", discovered),
            ("SvidgateNoListener", with_listener),
            ("SvidgateProxyDown", self.ended),
        ] {
            let is_for = prometheus.alerting(alert).await;
            println!("{alert:<42} for {is_for:?}");
            if is_for != BTreeSet::from([wanted.to_string()]) {
                wrong.push(format!("{alert} should be for {wanted} alone, is for {is_for:?}"));
            }
        }
        wrong
    }
}
