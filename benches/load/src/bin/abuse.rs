//! `make abuse`: what the worst that a peer may send costs Envoy with svidgate, beside an Envoy without.
//!
//! Peers that are let in, peers that are refused, bytes that are no TLS; then requests of a peer that is let in. Each
//! is sent to both Envoys in turn, round after round; the tables have the medians. `ROUNDS` (3) and `CONNECTIONS` in a
//! round (200; those that cost more are fewer) make it shorter. Last comes what would fill the VM, which has a record
//! of its own: memory does not depend on who else has the machine. `ONLY=fill` runs that alone.

use std::env;

use serde::Serialize;
use serde_json::{Value, json};
use support::ca::{KeyKind, SignatureAlgorithm};
use support::client::Client;
use support::envoy::{Envoy, Xfcc};
use support::world::{World, with};
use svidgate_load::drive::{Protocol, median};
use svidgate_load::fill::{self, Fill};
use svidgate_load::flood::{self, Attempt};
use svidgate_load::hostile::{self, Domain, Signers};
use svidgate_load::process::{pin_generator, resident};
use svidgate_load::record;
use svidgate_load::subject::{CALLER, Filter, LISTENER, Make, Place, document};

/// A sample below this takes more requests to tell from noise.
const LONG_US: f64 = 20_000.0;

/// Connections of one kind.
struct Flood {
    what: &'static str,
    /// Of the Envoys with svidgate, at which.
    at: At,
    /// For each round.
    attempts: Vec<Vec<Attempt>>,
    /// What svidgate answers.
    status: Option<u16>,
    /// What the Envoy without answers.
    status_without: Option<u16>,
}

/// An Envoy with svidgate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// With both filters: it sees the leaf.
    Both,
    /// With the HTTP filter and the listener's own XFCC: it sees what came with the leaf too.
    Request,
    /// With both, XFCC and a lock behind: a leaf whose issuer nobody has is left to its first request.
    Left,
}

#[derive(Debug, Serialize)]
struct FloodRow {
    what: String,
    connections: usize,
    without_us: f64,
    svidgate_us: f64,
    added_us: f64,
    growth_without_kib: i64,
    growth_svidgate_kib: i64,
}

#[derive(Debug, Serialize)]
struct RequestRow {
    what: String,
    without_us: f64,
    svidgate_us: f64,
    added_us: f64,
    status: u16,
    reason: String,
}

#[derive(Debug, Serialize)]
struct BroughtRow {
    what: String,
    requests: usize,
    without_us: f64,
    svidgate_us: f64,
    added_us: f64,
    growth_svidgate_kib: i64,
    reason: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let circumstances = record::circumstances();
    pin_generator();
    let world = World::new();
    if env::var("ONLY").is_ok_and(|only| only == "fill") {
        return write_fills(&circumstances, &fill::all(&world).await);
    }
    let rounds = number("ROUNDS", 3);
    let floods = floods(&world, rounds, number("CONNECTIONS", 200)).await;
    let requests = requests(&world).await;
    let brought = brought(&world, rounds, number("CONNECTIONS", 200)).await;
    write(&circumstances, rounds, &floods, &requests, &brought);
    write_fills(&circumstances, &fill::all(&world).await);
}

fn number(name: &str, usual: usize) -> usize {
    env::var(name).ok().map_or(usual, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is a number, not `{text}`"))
    })
}

/// The trust domains that peers come from.
struct Domains {
    p256: Domain,
    ed25519: Domain,
    p521: Domain,
    crowded_p521: Domain,
    crowded_rsa: Domain,
    crowded_pss: Domain,
    layered: Domain,
    /// What peers of `layered` send beside their leaves.
    beside: Vec<Vec<u8>>,
}

impl Domains {
    fn new(world: &World) -> Self {
        use {KeyKind as Kind, SignatureAlgorithm as By};
        eprintln!("== making authorities");
        let (layered, beside) = Domain::layered("layered", Kind::Rsa4096, By::RsaPssSha512, world);
        Domains {
            p256: Domain::new("p256", Kind::P256, By::EcdsaSha256, 1, world),
            ed25519: Domain::new("ed25519", Kind::Ed25519, By::Ed25519, 1, world),
            p521: Domain::new("p521", Kind::P521, By::EcdsaSha512, 1, world),
            crowded_p521: Domain::crowded("crowded-p521", Kind::P521, By::EcdsaSha512, world),
            crowded_rsa: Domain::crowded("crowded-rsa", Kind::Rsa4096, By::RsaPkcs1Sha512, world),
            crowded_pss: Domain::crowded("crowded-pss", Kind::Rsa4096, By::RsaPssSha512, world),
            layered,
            beside,
        }
    }

    fn document(&self, world: &World) -> Value {
        let all = [
            &self.p256,
            &self.ed25519,
            &self.p521,
            &self.crowded_p521,
            &self.crowded_rsa,
            &self.crowded_pss,
            &self.layered,
        ];
        hostile::document(world, &all)
    }

    fn floods(&self, world: &World, rounds: usize, count: usize) -> Vec<Flood> {
        let few = count.div_ceil(10);
        let good = |what, domain: &Domain| {
            let mut all = domain.good(rounds * count, world);
            let attempts = (0..rounds).map(|_| handshakes(all.split_off(all.len() - count)));
            Flood::new(what, At::Both, Some(200), attempts)
        };
        let forged = |what, domain: &Domain, count| {
            let attempts = (0..rounds).map(|round| handshakes(domain.forged(round, count, world)));
            Flood::new(what, At::Both, None, attempts)
        };
        let same = self.crowded_pss.forged(rounds, 1, world).remove(0);
        let layered = (0..rounds).map(|round| {
            let clients = self.layered.forged_below("lower", &self.beside, round, few, world);
            handshakes(clients)
        });
        let garbage = |_| vec![Attempt::Garbage(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n".to_vec()); count];
        vec![
            good("fresh SVIDs, P-256 (checked by the proxy)", &self.p256),
            good("fresh SVIDs, Ed25519 (checked in the module)", &self.ed25519),
            good("fresh SVIDs, P-521", &self.p521),
            forged("bad signature, P-256", &self.p256, count),
            forged("bad signature, Ed25519", &self.ed25519, count),
            forged(
                "forged, 64 authorities of its name, P-521 (12 are checked)",
                &self.crowded_p521,
                few,
            ),
            forged(
                "forged, 64 authorities of its name, RSA-4096 PKCS#1 (24)",
                &self.crowded_rsa,
                few,
            ),
            forged(
                "forged, 64 authorities of its name, RSA-4096 PSS, in the module (6)",
                &self.crowded_pss,
                few,
            ),
            Flood::new(
                "forged, RSA-4096 PSS, by certificates beside the leaf (6)",
                At::Request,
                Some(403),
                layered,
            ),
            Flood::new(
                "of an issuer that nobody has, refused at the first byte",
                At::Both,
                None,
                (0..rounds).map(|round| handshakes(self.p256.of_nobody(round, count, world))),
            ),
            Flood::new(
                "of an issuer that nobody has, left to the first request",
                At::Left,
                Some(403),
                (0..rounds).map(|round| handshakes(self.p256.of_nobody(round, count, world))),
            ),
            Flood::new(
                "the same refused certificate again and again",
                At::Both,
                None,
                (0..rounds).map(|_| handshakes(vec![same.clone(); count])),
            ),
            Flood {
                status_without: None,
                ..Flood::new("bytes that are no TLS", At::Both, None, (0..rounds).map(garbage))
            },
        ]
    }
}

impl Flood {
    fn new(what: &'static str, at: At, status: Option<u16>, attempts: impl Iterator<Item = Vec<Attempt>>) -> Self {
        Flood {
            what,
            at,
            attempts: attempts.collect(),
            status,
            status_without: Some(200),
        }
    }
}

fn handshakes(clients: Vec<Client>) -> Vec<Attempt> {
    clients.into_iter().map(Attempt::Handshake).collect()
}

async fn floods(world: &World, rounds: usize, count: usize) -> Vec<FloodRow> {
    let domains = Domains::new(world);
    let document = domains.document(world);
    let floods = domains.floods(world, rounds, count);
    let own = with(document.clone(), json!({ "xfcc": "own" }));
    let without = Make::of(Filter::None).start(world).await;
    let both = Make::of(Filter::Svidgate(Place::Both, document)).start(world).await;
    let request = Make {
        xfcc: Xfcc::SanitizeSet,
        ..Make::of(Filter::Svidgate(Place::Request, own.clone()))
    };
    let left = Make {
        xfcc: Xfcc::SanitizeSet,
        ..Make::of(Filter::Locked(Place::Both, own.clone()))
    };
    let (request, left) = (request.start(world).await, left.start(world).await);
    // What is allocated once is allocated now.
    let warm = handshakes(domains.p256.good(count, world));
    for envoy in [&without, &both, &request, &left] {
        send(envoy, &warm, Some(200)).await;
    }
    let mut rows = Vec::new();
    for flood in &floods {
        eprintln!("== {}", flood.what);
        let svidgate = match flood.at {
            At::Both => &both,
            At::Request => &request,
            At::Left => &left,
        };
        rows.push(measure(flood, &without, svidgate).await);
    }
    rows
}

async fn send(envoy: &Envoy, attempts: &[Attempt], status: Option<u16>) -> f64 {
    flood::connections(envoy.pid(), envoy.listener_addr(LISTENER), attempts, status).await
}

async fn measure(flood: &Flood, without: &Envoy, svidgate: &Envoy) -> FloodRow {
    let before = (kib(without), kib(svidgate));
    let (mut base, mut gated, mut added) = (Vec::new(), Vec::new(), Vec::new());
    for attempts in &flood.attempts {
        let one = send(without, attempts, flood.status_without).await;
        let other = send(svidgate, attempts, flood.status).await;
        base.push(one);
        gated.push(other);
        added.push(other - one);
    }
    FloodRow {
        what: flood.what.to_owned(),
        connections: flood.attempts.iter().map(Vec::len).sum(),
        without_us: tenths(median(base)),
        svidgate_us: tenths(median(gated)),
        added_us: tenths(median(added)),
        growth_without_kib: kib(without) - before.0,
        growth_svidgate_kib: kib(svidgate) - before.1,
    }
}

fn kib(envoy: &Envoy) -> i64 {
    i64::try_from(resident(envoy.pid()) / 1024).expect("some memory")
}

fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

async fn requests(world: &World) -> Vec<RequestRow> {
    let client = Protocol::Http1.client(&world.own_identity(CALLER));
    let without = Make::of(Filter::None).start(world).await;
    let usual = hostile::Costly::usual(document(world, 10)["rules"].clone());
    let mut rows = Vec::new();
    for costly in [vec![usual], hostile::costly()].concat() {
        eprintln!("== {}", costly.what);
        let make = Make {
            access_log: true,
            ..Make::of(Filter::Svidgate(Place::Both, world.document(costly.rules)))
        };
        let svidgate = make.start(world).await;
        let ask = async |envoy: &Envoy, count| {
            let addr = envoy.listener_addr(LISTENER);
            flood::requests(envoy.pid(), addr, &client, &costly.request, count).await
        };
        let first = ask(&svidgate, 1).await;
        let count = if first.cpu_us > LONG_US { 3 } else { 60 };
        let (base, gated) = (ask(&without, 60).await, ask(&svidgate, count).await);
        rows.push(RequestRow {
            what: costly.what.to_owned(),
            without_us: tenths(base.cpu_us),
            svidgate_us: tenths(gated.cpu_us),
            added_us: tenths(gated.cpu_us - base.cpu_us),
            status: gated.status,
            reason: reason(&svidgate, count + 1).await,
        });
    }
    rows
}

/// What comes through hops, and is refused.
async fn brought(world: &World, rounds: usize, count: usize) -> Vec<BroughtRow> {
    let signers = Signers::new(world);
    let forwarding = |filter| Make {
        xfcc: Xfcc::ForwardOnly,
        ..Make::of(filter)
    };
    let without = forwarding(Filter::None).start(world).await;
    let gated = Make {
        access_log: true,
        ..forwarding(Filter::Svidgate(Place::Both, signers.document(world)))
    };
    let svidgate = gated.start(world).await;
    let (mut rows, mut asked) = (Vec::new(), 0);
    for brought in signers.brought(world, rounds, count) {
        eprintln!("== {}", brought.what);
        let hop = Protocol::Http1.client(&world.own_identity(brought.hop));
        let send = async |envoy: &Envoy, headers, status| {
            flood::brought(envoy.pid(), envoy.listener_addr(LISTENER), &hop, headers, status).await
        };
        let before = kib(&svidgate);
        let (mut base, mut gated) = (Vec::new(), Vec::new());
        for headers in &brought.headers {
            base.push(send(&without, headers, 200).await);
            gated.push(send(&svidgate, headers, 403).await);
            asked += headers.len() + 1;
        }
        let added = gated.iter().zip(&base).map(|(gated, base)| gated - base).collect();
        rows.push(BroughtRow {
            what: brought.what.to_owned(),
            requests: brought.headers.iter().map(Vec::len).sum(),
            without_us: tenths(median(base)),
            svidgate_us: tenths(median(gated)),
            added_us: tenths(median(added)),
            growth_svidgate_kib: kib(&svidgate) - before,
            reason: reason(&svidgate, asked).await,
        });
    }
    rows
}

/// What the module said of the last request.
async fn reason(envoy: &Envoy, requests: usize) -> String {
    let log = envoy.wait_request_log(LISTENER, requests).await;
    let record = log.last().and_then(|entry| entry["svidgate"].as_str());
    let record: Value = serde_json::from_str(record.unwrap_or("null")).expect("a record is JSON");
    record["reason"].as_str().unwrap_or("none at all").to_owned()
}

fn write_fills(circumstances: &Value, fills: &[Fill]) {
    let mut page = record::head("What would fill the VM", "make abuse", circumstances);
    page += "\nResident memory of Envoy. Each with an Envoy of its own, one worker, once; what was freed but kept by its allocator and by\n\
             the VM included.\n";
    let rows = fills.iter().map(|fill| {
        let without = |[before, during, after]: [f64; 3]| format!("{before} / {during} / {after} MiB");
        vec![
            fill.what.clone(),
            format!("{} / {} / {} MiB", fill.before_mib, fill.during_mib, fill.after_mib),
            fill.without_mib.map_or_else(|| "-".to_owned(), without),
            fill.outcome.clone(),
        ]
    });
    let columns = [
        "what is held",
        "before / during / after",
        "without svidgate",
        "what became of it",
    ];
    page += &record::table(&columns, &rows.collect::<Vec<_>>());
    let mut json = circumstances.clone();
    json["fills"] = json!(fills);
    record::write("fill-latest", &page, &json);
}

fn write(circumstances: &Value, rounds: usize, floods: &[FloodRow], requests: &[RequestRow], brought: &[BroughtRow]) {
    let mut page = record::head("What abuse costs Envoy with svidgate", "make abuse", circumstances);
    page += &format!(
        "\nCPU of the Envoy process; one worker, TLS 1.3, every handshake a full one. Both Envoys get the same; the one without\n\
         svidgate lets everyone in. {rounds} rounds, medians. Memory is what the process has more after all rounds, the freed but\n\
         kept by its allocator included.\n\n## A connection\n"
    );
    let rows = floods.iter().map(|row| {
        vec![
            row.what.clone(),
            row.connections.to_string(),
            format!("{:.0} us", row.without_us),
            format!("{:.0} us", row.svidgate_us),
            format!("{:.0} us", row.added_us),
            format!("{} KiB", row.growth_without_kib),
            format!("{} KiB", row.growth_svidgate_kib),
        ]
    });
    let columns = [
        "what comes",
        "connections",
        "without",
        "with svidgate",
        "more",
        "memory, without",
        "memory, with svidgate",
    ];
    page += &record::table(&columns, &rows.collect::<Vec<_>>());
    page += "\n## A request\n\nOf a peer that is known, the first one of its connection; both filters, and an access log at the one with svidgate.\n";
    let rows = requests.iter().map(|row| {
        vec![
            row.what.clone(),
            format!("{:.0} us", row.without_us),
            format!("{:.0} us", row.svidgate_us),
            format!("{:.0} us", row.added_us),
            format!("{} `{}`", row.status, row.reason),
        ]
    });
    let columns = ["what is asked", "without", "with svidgate", "more", "answer"];
    page += &record::table(&columns, &rows.collect::<Vec<_>>());
    page += "\n## A request that a hop brings\n\nOn one connection of the hop; an access log at the one with svidgate, which refuses all.\n";
    let rows = brought.iter().map(|row| {
        vec![
            row.what.clone(),
            row.requests.to_string(),
            format!("{:.0} us", row.without_us),
            format!("{:.0} us", row.svidgate_us),
            format!("{:.0} us", row.added_us),
            format!("{} KiB", row.growth_svidgate_kib),
            format!("`{}`", row.reason),
        ]
    });
    let columns = [
        "what it brings",
        "requests",
        "without",
        "with svidgate",
        "more",
        "memory, with svidgate",
        "reason",
    ];
    page += &record::table(&columns, &rows.collect::<Vec<_>>());
    let mut json = circumstances.clone();
    json["rounds"] = json!(rounds);
    json["connections"] = json!(floods);
    json["requests"] = json!(requests);
    json["brought"] = json!(brought);
    record::write("abuse-latest", &page, &json);
}
