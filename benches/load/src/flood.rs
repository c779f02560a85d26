//! Load that need not be allowed: connections of anyone, and requests of any cost. What came of each is looked at, so
//! that nothing is measured but what was meant.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use hyper::header::{HeaderName, HeaderValue};
use support::client::{Client, Connection, Request};

use crate::drive::Header;
use crate::process::cpu;
use crate::subject::PATH;

/// Connections under way at a time.
const AT_A_TIME: usize = 4;
/// How long one piece may take before it counts as hanging.
const LIMIT: Duration = Duration::from_secs(120);
/// How long open connections are left alone.
const SETTLE: Duration = Duration::from_millis(50);

/// What a connection is.
#[derive(Clone)]
pub enum Attempt {
    /// A full handshake by this client, and a request.
    Handshake(Client),
    /// Bytes that are no TLS.
    Garbage(Vec<u8>),
}

/// CPU time of the Envoy process for each of these connections, in microseconds.
///
/// # Panics
/// When an attempt is answered otherwise than with `status`; `None` is closed without an answer.
pub async fn connections(pid: u32, addr: SocketAddr, attempts: &[Attempt], status: Option<u16>) -> f64 {
    let before = cpu(pid);
    let lines = attempts.chunks(attempts.len().div_ceil(AT_A_TIME));
    let lines = join_all(lines.map(async |attempts| {
        for attempt in attempts {
            assert_eq!(outcome(addr, attempt).await, status, "of a connection");
        }
    }));
    tokio::time::timeout(LIMIT, lines)
        .await
        .expect("the flood comes to an end");
    (cpu(pid) - before).as_secs_f64() * 1e6 / attempts.len() as f64
}

async fn outcome(addr: SocketAddr, attempt: &Attempt) -> Option<u16> {
    match attempt {
        Attempt::Handshake(client) => {
            let connection = client.connect(addr).await.expect("the listener shakes hands");
            let head = format!("GET {PATH} HTTP/1.1\r\nhost: localhost\r\n\r\n");
            connection.raw_http1(head.as_bytes()).await.status()
        }
        Attempt::Garbage(bytes) => {
            let mut connection = Connection::plain(addr).await.expect("the listener accepts");
            connection.write(bytes).await.expect("it is open at first");
            connection.read_until_close().await.expect("Envoy closes it");
            None
        }
    }
}

/// CPU time of the Envoy process for each of these requests, in microseconds: one after another, on one connection.
///
/// # Panics
/// When one is answered otherwise than with `status`.
pub async fn brought(pid: u32, addr: SocketAddr, hop: &Client, headers: &[Header], status: u16) -> f64 {
    let connection = hop.connect(addr).await.expect("the listener shakes hands");
    let mut http = connection.http1().await.expect("HTTP/1.1");
    let mut ask = async |(name, value): &Header| {
        let request = Request::get(PATH).header(name.as_str(), value.as_bytes());
        let outcome = tokio::time::timeout(LIMIT, http.send(request)).await;
        assert_eq!(outcome.expect("an end").status(), Some(status), "of a request");
    };
    // The handshake, and what the gate does about a hop that it does not know yet.
    ask(&(HeaderName::from_static("x-first"), HeaderValue::from_static("1"))).await;
    let before = cpu(pid);
    for header in headers {
        ask(header).await;
    }
    (cpu(pid) - before).as_secs_f64() * 1e6 / headers.len() as f64
}

/// What a request costs.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// CPU time of the Envoy process for each, in microseconds.
    pub cpu_us: f64,
    /// What the last one was answered.
    pub status: u16,
}

/// Sends the same bytes so many times, each on a connection of its own that is open before anything is measured. What
/// the gate does about a connection by a peer that it knows is in it.
///
/// # Panics
/// When one is not answered.
pub async fn requests(pid: u32, addr: SocketAddr, client: &Client, request: &[u8], count: usize) -> Cost {
    let mut open = Vec::with_capacity(count);
    for _ in 0..count {
        open.push(client.connect(addr).await.expect("the listener shakes hands"));
    }
    // The server's part of the last handshake.
    tokio::time::sleep(SETTLE).await;
    let before = cpu(pid);
    let mut status = 0;
    for connection in open {
        let answer = tokio::time::timeout(LIMIT, connection.raw_http1(request)).await;
        let answer = answer.expect("the request comes to an end");
        status = answer.status().unwrap_or_else(|| panic!("no answer: {answer:?}"));
    }
    Cost {
        cpu_us: (cpu(pid) - before).as_secs_f64() * 1e6 / count as f64,
        status,
    }
}
