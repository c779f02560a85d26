//! The demo's Envoy, with its upstreams and its document.

use std::{fs, net::SocketAddr, path::PathBuf, time::Duration};

use serde_json::{Value, json};
use support::{
    ca::{Authority, Identity, bundle_json},
    envoy::{Envoy, Scenario},
    module_path, repository,
    upstream::{Behaviour, HttpUpstream, TcpUpstream},
    world::{World, with},
};

use crate::{
    people::{API, SUPPLIER, TENANT, api, gateway, warehouse},
    sources::Sources,
    traffic::{ALLOWED, settle},
};

/// What the server behind `greeter` says first.
pub(crate) const GREETING: &[u8] = b"220 greetings\r\n";

pub(crate) struct Setting {
    pub(crate) world: World,
    pub(crate) supplier: Authority,
    pub(crate) sources: Sources,
    pub(crate) envoy: Envoy,
    /// Another, in front of it.
    pub(crate) gateway: Envoy,
    pub(crate) database: TcpUpstream,
    // Dropping them would close them.
    _http: [HttpUpstream; 2],
    _greeter: TcpUpstream,
    home: PathBuf,
}

impl Setting {
    /// Starts everything, and waits until the bundles and the revocations have been fetched.
    pub(crate) async fn start() -> Self {
        let world = World::new();
        let supplier = Authority::of(SUPPLIER, world.now);
        let sources = Sources::start(&world);
        let (app, feed) = (HttpUpstream::start(), HttpUpstream::start());
        feed.behave(Behaviour::Stream {
            every: Duration::from_millis(100),
            count: usize::MAX,
        });
        let (database, greeter) = (TcpUpstream::echo(), TcpUpstream::greeting(GREETING));
        let home = repository().join("target/demo");
        fs::create_dir_all(&home).expect("target/ can be written");
        let write = |name: &str, text: String| {
            let path = home.join(name);
            fs::write(&path, text).expect("target/demo can be written");
            path.display().to_string()
        };
        let document = document(&supplier);
        let tcp = |listener| {
            let mut document = document.clone();
            // At a connection nobody is brought.
            if let Some(members) = document.as_object_mut() {
                members.retain(|name, _| !["xfcc", "hops", "jwt_svid"].contains(&&**name));
            }
            with(
                document,
                json!({ "listener": listener, "rules": yaml("tcp-rules.yaml") }),
            )
        };
        let port = |addr: SocketAddr| addr.port().to_string();
        let filled = [
            ("${SERVER_CERTIFICATE}", write("server.pem", world.server.chain_pem())),
            ("${SERVER_KEY}", write("server.key", world.server.key_pem())),
            ("${WEB_CA}", write("web-ca.pem", sources.web.pem())),
            ("${MODULE}", module_path().display().to_string()),
            ("${HTTP_DOCUMENT}", document.to_string()),
            ("${TCP_DOCUMENT}", tcp("tcp").to_string()),
            ("${SERVER_FIRST_DOCUMENT}", tcp("tcp_server_first").to_string()),
            ("${APP_PORT}", port(app.addr())),
            ("${FEED_PORT}", port(feed.addr())),
            ("${DATABASE_PORT}", port(database.addr())),
            ("${GREETER_PORT}", port(greeter.addr())),
            ("${AGENT_SOCKET}", sources.socket().display().to_string()),
            ("${PARTNER_BUNDLE_PORT}", port(sources.partner.addr())),
            ("${REVOCATIONS_PORT}", port(sources.revocations.addr())),
        ];
        let start = async |name: &str, filled: &[(&str, String)]| {
            let fill = |text: String, (name, value): &(&str, String)| text.replace(name, value);
            let text = filled.iter().fold(file(name), fill);
            write(name, text.clone());
            Envoy::start(Scenario {
                text: Some(text),
                concurrency: 2,
                ..Scenario::default()
            })
            .await
        };
        write("policy.json", format!("{document:#}\n"));
        let envoy = start("envoy.yaml", &filled).await;
        let itself = gateway(&world);
        let [certificate, key, ..] = filled;
        let in_front = [
            certificate,
            key,
            ("${GATEWAY_CERTIFICATE}", write("gateway.pem", itself.chain_pem())),
            ("${GATEWAY_KEY}", write("gateway.key", itself.key_pem())),
            ("${WEB_PORT}", port(envoy.listener_addr("web"))),
        ];
        let gateway = start("gateway.yaml", &in_front).await;
        let setting = Self {
            world,
            supplier,
            sources,
            envoy,
            gateway,
            database,
            _http: [app, feed],
            _greeter: greeter,
            home,
        };
        setting.wait_for_sources().await;
        setting
    }

    /// Until every listener knows its bundles, on both workers.
    async fn wait_for_sources(&self) {
        let peers = [
            (api(&self.world.own, &self.world), "/orders/0"),
            (
                self.world.partner_identity("/ns/billing/tenant/acme"),
                "/invoices/acme/0",
            ),
            (warehouse(&self.supplier, &self.world), "/deliveries/0"),
        ];
        let (mut connections, mut answers) = (0, 0);
        for (identity, path) in &peers {
            let settled = settle(self.web(), identity, path, ALLOWED).await;
            let settled = settled.unwrap_or_else(|trouble| panic!("{path}: {trouble}"));
            connections += settled.asked;
            answers += settled.answered;
        }
        // The cases count what is logged from here on.
        self.envoy.wait_connection_log("web", connections).await;
        self.envoy.wait_request_log("web", answers).await;
    }

    /// Where the HTTP listener listens.
    pub(crate) fn web(&self) -> SocketAddr {
        self.envoy.listener_addr("web")
    }

    /// What the command says of the demo's own policy. It is not built here: a first demo would wait for it.
    pub(crate) fn suggest(&self) {
        let home = self.home.strip_prefix(repository()).unwrap_or(&self.home).display();
        println!("\nWhat the command says of it (cargo install --locked --path cli):");
        println!("  svidgate guard {home}/envoy.yaml");
        println!("  svidgate explain --id {API} GET /admin {home}/policy.json");
        println!("  svidgate can --list {TENANT} {home}/policy.json");
    }

    /// How to try it by hand, as somebody with this SVID.
    pub(crate) fn explain(&self, api: &Identity) {
        for (name, text) in [("api.pem", api.chain_pem()), ("api.key", api.key_pem())] {
            fs::write(self.home.join(name), text).expect("target/demo can be written");
        }
        let (web, home) = (self.web(), self.home.display());
        println!("Envoy is running. Try:");
        println!("  curl -k --cert {home}/api.pem --key {home}/api.key https://{web}/orders/7 -i");
        println!("  curl -k --cert {home}/api.pem --key {home}/api.key https://{web}/admin -i");
        println!(
            "Its configuration is {home}/envoy.yaml, its logs are in {}. Ctrl-C ends it.",
            self.envoy.home().display()
        );
    }
}

fn file(name: &str) -> String {
    fs::read_to_string(repository().join("envoy/demo").join(name)).expect("the demo's files are in envoy/demo")
}

/// One of the demo's files.
pub(crate) fn yaml(name: &str) -> Value {
    serde_saphyr::from_str(&file(name)).expect("the demo's files are YAML")
}

/// The document of the demo, with the one bundle that stands in it.
fn document(supplier: &Authority) -> Value {
    let mut document = yaml("policy.yaml");
    document["federation"][1]["bundle"] = json!({ "inline": bundle_json(&[supplier]) });
    document
}
