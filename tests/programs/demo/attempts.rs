//! Carrying out one attempt, and what came of it.

use demo::cases::{Asks, Case, Who};
use serde_json::Value;
use support::client::{Client, Connection, Outcome, Request};

use crate::{
    people::person,
    setting::{GREETING, Setting},
};

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
}

/// The reason in the access-log field.
fn reason(line: Option<&Value>) -> String {
    let field = line.and_then(|line| line["svidgate"].as_str()).unwrap_or_default();
    let field: Value = serde_json::from_str(field).unwrap_or_default();
    field["reason"].as_str().unwrap_or("(none)").to_owned()
}
