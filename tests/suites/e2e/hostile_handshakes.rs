//! Connections of strangers by the thousand: garbage, half a handshake, a whole one and then silence. None gets
//! anywhere, a good peer is served all the while, and what Envoy spends on them is bounded.
//!
//! `CONNECTIONS` says how many; `make abuse` makes it 10,000.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use support::{
    client::{Client, Connection, Http, half_handshake},
    envoy::Envoy,
    process,
    upstream::HttpUpstream,
    world::World,
};

use crate::stage::{API_PATH, Filters, allow_api, assert_alive, http_listener, http1, serve};

/// In the ordinary run.
const CONNECTIONS: usize = 2_000;
/// Under way at a time.
const AT_A_TIME: usize = 250;
/// What Envoy may grow by. It keeps buffers and statistics of its own; the module keeps nothing of a peer that is gone.
const MOST_GROWTH: u64 = 48 * 1024 * 1024;
/// What a connection may cost Envoy on average, its own handshake included. Far more than it takes.
const MOST_CPU: Duration = Duration::from_millis(3);

/// What a peer does before it goes.
#[derive(Clone, Copy, Debug)]
enum Hostility {
    /// Bytes that are no TLS.
    Garbage(&'static [u8]),
    /// A record of TLS that promises more than comes.
    ShortRecord,
    /// A ClientHello.
    Half,
    /// A handshake with a good certificate, and not one byte more.
    Silent,
    /// A handshake with a certificate of nobody here, and a request.
    Stranger,
}

const HOSTILITIES: [Hostility; 8] = [
    Hostility::Garbage(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"),
    Hostility::Garbage(b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
    Hostility::Garbage(b"\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8"),
    Hostility::Garbage(b""),
    Hostility::ShortRecord,
    Hostility::Half,
    Hostility::Silent,
    Hostility::Stranger,
];

struct Clients {
    good: Client,
    stranger: Client,
}

async fn attack(addr: SocketAddr, clients: Arc<Clients>, how: Hostility) {
    // What becomes of it is not the peer's to see; an error is a connection that was closed early.
    match how {
        Hostility::Garbage(bytes) => {
            if let Ok(mut connection) = Connection::plain(addr).await {
                let _ = connection.write(bytes).await;
            }
        }
        Hostility::ShortRecord => {
            if let Ok(mut connection) = Connection::plain(addr).await {
                let _ = connection
                    .write(&[&[22, 3, 1, 0x3f, 0xff, 1][..], &[0; 100]].concat())
                    .await;
            }
        }
        Hostility::Half => drop(half_handshake(addr).await),
        Hostility::Silent => drop(clients.good.connect(addr).await),
        Hostility::Stranger => {
            if let Ok(connection) = clients.stranger.connect(addr).await
                && let Ok(mut http) = connection.http1().await
            {
                assert_eq!(http.get("/stranger").await.status(), None);
            }
        }
    }
}

async fn storm(envoy: &Envoy, clients: &Arc<Clients>, good: &mut Http, count: usize) {
    let addr = envoy.listener_addr("web");
    for batch in 0..count.div_ceil(AT_A_TIME) {
        let numbers = batch * AT_A_TIME..count.min((batch + 1) * AT_A_TIME);
        let attacks = numbers.map(|number| {
            let how = HOSTILITIES[number % HOSTILITIES.len()];
            tokio::spawn(attack(addr, Arc::clone(clients), how))
        });
        let attacks: Vec<_> = attacks.collect();
        // Half-way through a batch, on a connection that was there before.
        assert_eq!(good.get("/during").await.status(), Some(200));
        for attack in join_all(attacks).await {
            attack.expect("no attack saw an answer");
        }
        // And one on a new connection, which has to wait for nobody.
        let fresh = clients.good.connect(addr).await.expect("a good peer gets in");
        let mut fresh = fresh.http1().await.expect("it is kept");
        assert_eq!(fresh.get("/during").await.status(), Some(200));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_hostile_handshakes_cost_little_and_shut_nobody_out() {
    let count = std::env::var("CONNECTIONS").map_or(CONNECTIONS, |text| text.parse().expect("CONNECTIONS is a number"));
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let document = world.document(allow_api());
    let envoy = serve([http_listener(&world, "web", Filters::Both, &document)], &upstream).await;
    let api = world.own_identity(API_PATH);
    let stranger = world
        .stranger
        .issue(support::ca::Leaf::svid("spiffe://stranger.example/x", world.now));
    let clients = Arc::new(Clients {
        good: Client::new(Some(&api)),
        stranger: Client::new(Some(&stranger)),
    });
    let mut good = http1(&envoy, "web", Some(&api)).await;
    // What is allocated once is allocated now.
    storm(&envoy, &clients, &mut good, AT_A_TIME).await;

    let (cpu, memory) = (process::cpu(envoy.pid()), process::resident(envoy.pid()));
    storm(&envoy, &clients, &mut good, count).await;
    let cpu = (process::cpu(envoy.pid()) - cpu) / u32::try_from(count).unwrap();
    let growth = process::resident(envoy.pid()).saturating_sub(memory);
    println!(
        "{count} hostile connections: {cpu:?} of CPU each, {} KiB more memory",
        growth / 1024
    );
    assert!(cpu < MOST_CPU, "{cpu:?} a connection");
    assert!(growth < MOST_GROWTH, "{growth} bytes");

    // Every one of them is gone but the good one.
    let deadline = std::time::Instant::now() + support::client::PATIENCE;
    while envoy.stat("listener.web.downstream_cx_active").await > 1 {
        assert!(std::time::Instant::now() < deadline, "connections were left");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(good.get("/after").await.status(), Some(200));
    let strangers = upstream
        .requests()
        .iter()
        .filter(|request| request.path != "/during" && request.path != "/after")
        .count();
    assert_eq!(strangers, 0);
    let refused = (count + AT_A_TIME) / HOSTILITIES.len();
    envoy
        .wait_stat(
            "wasmcustom.svidgate.decisions_total.connection.deny.federation.unknown_trust_domain",
            refused as u64,
        )
        .await;
    assert_alive(&envoy).await;
}
