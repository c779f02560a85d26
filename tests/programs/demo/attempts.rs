//! Carrying out one attempt, and what came of it.

use demo::cases::{Asks, Audience, Case, Who};
use serde_json::Value;
use support::{
    ca::Identity,
    client::{Client, Connection, Outcome, Request},
};

use crate::{
    people::person,
    setting::{GREETING, Setting},
};

const XFCC: &str = "x-forwarded-client-cert";

const WORDS: &[u8] = b"select 1";

/// What came of a case.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) answer: String,
    pub(crate) reason: String,
}

impl Setting {
    /// Carries one case out.
    pub(crate) async fn drive(&self, case: &Case) -> Seen {
        match case.asks {
            Asks::Http(method, path) => {
                let request = Request::new(method, path);
                let forged = matches!(case.who, Who::Forger);
                let request = if forged { self.forged(request) } else { request };
                let plain = matches!(case.who, Who::PlainText);
                let listener = if plain { "plain" } else { "web" };
                self.ask(self.connect(case.who, listener).await, listener, request)
                    .await
            }
            Asks::ByGateway(path) => {
                let client = Client::new(person(&self.world, case.who).as_ref());
                let connection = client.connect(self.gateway.listener_addr("certificates")).await;
                let connection = connection.expect("the gateway accepts");
                self.ask(connection, "web", Request::get(path)).await
            }
            Asks::ByToken(path, audience) => {
                let connection = Client::new(None).connect(self.gateway.listener_addr("tokens")).await;
                let connection = connection.expect("the gateway accepts");
                let ours = matches!(audience, Audience::Ours);
                let request = Request::get(path).header("authorization", self.sources.token(ours));
                self.ask(connection, "web", request).await
            }
            Asks::Database => self.query(case.who).await,
            Asks::Greeter => self.listen(case.who).await,
        }
    }

    /// What the gateway would write if the tenant came by it.
    fn forged(&self, request: Request) -> Request {
        let tenant = person(&self.world, Who::Tenant).expect("a tenant has a certificate");
        request.header(XFCC, element(&tenant))
    }

    /// Asks `listener`, directly or through the gateway.
    async fn ask(&self, connection: Connection, listener: &str, request: Request) -> Seen {
        let requests = self.envoy.request_log("web").len();
        let connections = self.envoy.connection_log(listener).len();
        let mut http = connection.http1().await.expect("HTTP can be spoken");
        match http.send(request).await {
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
}

/// What Envoy writes of a client that has shown this certificate.
fn element(identity: &Identity) -> String {
    let pem: String = identity.leaf_pem().bytes().map(|byte| format!("%{byte:02X}")).collect();
    format!("Hash={};Cert=\"{pem}\"", identity.leaf_sha256())
}

/// The reason in the access-log field.
fn reason(line: Option<&Value>) -> String {
    let field = line.and_then(|line| line["svidgate"].as_str()).unwrap_or_default();
    let field: Value = serde_json::from_str(field).unwrap_or_default();
    field["reason"].as_str().unwrap_or("(none)").to_owned()
}
