//! The demo's Envoy, its upstreams and its people.

use std::{fs, path::PathBuf};

use serde_json::{Value, json};
use support::{
    ca::{BasicConstraints, Identity, KeyUsage, Leaf, bundle_json},
    client::{Client, Connection, Outcome, Request},
    envoy::{Envoy, Scenario},
    module_path, repository,
    upstream::{HttpUpstream, TcpUpstream},
    world::{World, with},
};

use crate::cases::{Asks, Case, Who};

const GREETING: &[u8] = b"220 greetings\r\n";
const WORDS: &[u8] = b"select 1";

/// What came of a case.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) answer: String,
    pub(crate) reason: String,
}

pub(crate) struct Setting {
    world: World,
    envoy: Envoy,
    // Dropping them would close them.
    _app: HttpUpstream,
    database: TcpUpstream,
    _greeter: TcpUpstream,
    home: PathBuf,
}

impl Setting {
    pub(crate) async fn start() -> Self {
        let world = World::new();
        let home = repository().join("target/demo");
        fs::create_dir_all(&home).expect("target/ can be written");
        let (app, database, greeter) = (
            HttpUpstream::start(),
            TcpUpstream::echo(),
            TcpUpstream::greeting(GREETING),
        );
        let write = |name: &str, text: String| {
            let path = home.join(name);
            fs::write(&path, text).expect("target/demo can be written");
            path.display().to_string()
        };
        let document = document(&world);
        let tcp = |listener| {
            with(
                document.clone(),
                json!({ "listener": listener, "rules": yaml("tcp-rules.yaml") }),
            )
        };
        let filled = [
            ("${SERVER_CERTIFICATE}", write("server.pem", world.server.chain_pem())),
            ("${SERVER_KEY}", write("server.key", world.server.key_pem())),
            ("${MODULE}", module_path().display().to_string()),
            ("${HTTP_DOCUMENT}", document.to_string()),
            ("${TCP_DOCUMENT}", tcp("tcp").to_string()),
            ("${SERVER_FIRST_DOCUMENT}", tcp("tcp_server_first").to_string()),
            ("${APP_PORT}", app.addr().port().to_string()),
            ("${DATABASE_PORT}", database.addr().port().to_string()),
            ("${GREETER_PORT}", greeter.addr().port().to_string()),
        ];
        let template = file("envoy.yaml");
        let text = filled
            .iter()
            .fold(template, |text, (name, value)| text.replace(name, value));
        write("envoy.yaml", text.clone());
        let api = person(&world, Who::ShopApi).expect("the shop has a certificate");
        write("api.pem", api.chain_pem());
        write("api.key", api.key_pem());
        let envoy = Envoy::start(Scenario {
            text: Some(text),
            ..Scenario::default()
        })
        .await;
        Self {
            world,
            envoy,
            _app: app,
            database,
            _greeter: greeter,
            home,
        }
    }

    /// Carries one case out.
    pub(crate) async fn drive(&self, case: &Case) -> Seen {
        match case.asks {
            Asks::Http(method, path) => self.ask(case.who, method, path).await,
            Asks::Database => self.query(case.who).await,
            Asks::Greeter => self.listen(case.who).await,
        }
    }

    async fn ask(&self, who: Who, method: &str, path: &str) -> Seen {
        let listener = if matches!(who, Who::PlainText) { "plain" } else { "web" };
        let requests = self.envoy.request_log("web").len();
        let connections = self.envoy.connection_log(listener).len();
        let connection = self.connect(who, listener).await;
        let mut http = connection.http1().await.expect("HTTP can be spoken");
        match http.send(Request::new(method, path)).await {
            Outcome::Response(response) => {
                let log = self.envoy.wait_request_log("web", requests + 1).await;
                drop(http);
                self.envoy.wait_connection_log(listener, connections + 1).await;
                Seen {
                    answer: response.status.to_string(),
                    reason: reason(log.last()),
                }
            }
            Outcome::Refused(_) => {
                let log = self.envoy.wait_connection_log(listener, connections + 1).await;
                Seen {
                    answer: "closed".to_owned(),
                    reason: reason(log.last()),
                }
            }
        }
    }

    async fn query(&self, who: Who) -> Seen {
        let (connections, dialled) = (self.envoy.connection_log("database").len(), self.database.connections());
        let mut connection = self.connect(who, "database").await;
        connection.write(WORDS).await.expect("the words are sent");
        let echoed = connection.read(WORDS.len()).await.is_ok_and(|bytes| bytes == WORDS);
        drop(connection);
        let log = self.envoy.wait_connection_log("database", connections + 1).await;
        let answer = match (echoed, self.database.connections() == dialled) {
            (true, _) => "echo",
            (false, true) => "never dialled",
            (false, false) => "dialled",
        };
        Seen {
            answer: answer.to_owned(),
            reason: reason(log.last()),
        }
    }

    async fn listen(&self, who: Who) -> Seen {
        let connections = self.envoy.connection_log("greeter").len();
        let mut connection = self.connect(who, "greeter").await;
        let greeted = connection
            .read(GREETING.len())
            .await
            .is_ok_and(|bytes| bytes == GREETING);
        drop(connection);
        let log = self.envoy.wait_connection_log("greeter", connections + 1).await;
        let answer = if greeted { "greeting" } else { "no byte" };
        Seen {
            answer: answer.to_owned(),
            reason: reason(log.last()),
        }
    }

    async fn connect(&self, who: Who, listener: &str) -> Connection {
        let address = self.envoy.listener_addr(listener);
        let connected = match who {
            Who::PlainText => Connection::plain(address).await,
            who => Client::new(person(&self.world, who).as_ref()).connect(address).await,
        };
        connected.expect("the listener accepts")
    }

    /// How to try it by hand.
    pub(crate) fn explain(&self) {
        let (web, home) = (self.envoy.listener_addr("web"), self.home.display());
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

fn yaml(name: &str) -> Value {
    serde_saphyr::from_str(&file(name)).expect("the demo's files are YAML")
}

/// The document of the demo, with the bundles of this run.
fn document(world: &World) -> Value {
    let mut document = yaml("policy.yaml");
    document["bundle"] = json!({ "inline": bundle_json(&[&world.own]) });
    document["federation"][0]["bundle"] = json!({ "inline": bundle_json(&[&world.partner]) });
    document
}

fn person(world: &World, who: Who) -> Option<Identity> {
    const API: &str = "spiffe://prod.example/ns/shop/sa/api";
    const TENANT: &str = "spiffe://partner.example/ns/billing/tenant/acme";
    let (own, now) = (&world.own, world.now);
    let issued = match who {
        Who::ShopApi => world.own_identity("/ns/shop/sa/api"),
        Who::Tenant => world.partner_identity("/ns/billing/tenant/acme"),
        Who::PartnerOps => world.partner_identity("/ns/billing/ops"),
        Who::ForeignIdOwnAuthority => own.issue(Leaf::svid(TENANT, now)),
        Who::OwnIdForeignAuthority => world.partner.issue(Leaf::svid(API, now)),
        Who::Unfederated => world.stranger.issue(Leaf::svid("spiffe://stranger.example/api", now)),
        Who::OutOfScope => world.partner_identity("/ns/research/sa/x"),
        Who::Expired => own.issue(Leaf {
            not_after: now - jiff::SignedDuration::from_secs(1),
            ..Leaf::svid(API, now)
        }),
        Who::TwoUriSans => {
            let uris = [
                "spiffe://prod.example/ns/shop/sa/web",
                "spiffe://prod.example/ns/ops/admin",
            ];
            own.issue(Leaf {
                uri_sans: uris.map(str::to_owned).to_vec(),
                ..Leaf::svid(API, now)
            })
        }
        Who::SigningCertificate => own.issue(Leaf {
            basic_constraints: Some(BasicConstraints {
                ca: true,
                path_len: None,
            }),
            key_usage: Some(vec![KeyUsage::DigitalSignature, KeyUsage::KeyCertSign]),
            ..Leaf::svid(API, now)
        }),
        Who::NoCertificate | Who::PlainText => return None,
    };
    Some(issued)
}

/// The reason in the access-log field.
fn reason(line: Option<&Value>) -> String {
    let field = line.and_then(|line| line["svidgate"].as_str()).unwrap_or_default();
    let field: Value = serde_json::from_str(field).unwrap_or_default();
    field["reason"].as_str().unwrap_or("(none)").to_owned()
}
