//! Certificates by the thousand, and keys of every size: what is remembered is bounded, what is refused pushes out
//! nobody, and a good peer is served all the while.

use futures_util::future::join_all;
use operate::scrape::Scrape;
use serde_json::json;
use support::{
    ca::{Authority, Key, KeyKind, Leaf, Profile, SignatureAlgorithm, bundle_json},
    client::{Client, PATIENCE},
    envoy::{Envoy, Xfcc},
    process,
    upstream::HttpUpstream,
    world::{OWN, World, with},
};

use crate::stage::{API, API_PATH, Filters, assert_alive, http_listener, http1, reason, serve};

/// More than are remembered (4,096).
const GOOD: usize = 5_000;
/// More than there are places for good ones, though each is remembered only as refused (1,024).
const REFUSED: u16 = 4_500;
/// Under way at a time.
const AT_A_TIME: usize = 50;
/// What Envoy may grow by: some 2 KiB for each that is remembered, and buffers of its own.
const MOST_GROWTH: u64 = 48 * 1024 * 1024;

async fn gate(world: &World, upstream: &HttpUpstream) -> Envoy {
    let rules = json!([{ "name": "own", "effect": "allow", "from": ["spiffe://prod.example/**"] }]);
    serve(
        [http_listener(world, "web", Filters::Both, &world.document(rules))],
        upstream,
    )
    .await
}

/// Connects as each of them, many at a time, and asks; the good client does so once in every batch.
async fn flood(envoy: &Envoy, clients: &[Client], status: Option<u16>, good: &Client) {
    for batch in clients.chunks(AT_A_TIME) {
        let statuses = join_all(batch.iter().map(|client| ask(envoy, client))).await;
        assert!(statuses.iter().all(|found| *found == status), "{statuses:?}");
        assert_eq!(ask(envoy, good).await, Some(200), "the good client");
    }
}

async fn ask(envoy: &Envoy, client: &Client) -> Option<u16> {
    let connection = client.connect(envoy.listener_addr("web")).await.expect("a handshake");
    let request = b"GET /x HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    connection.raw_http1(request).await.status()
}

/// Waits until so many certificates have been verified, which a histogram counts.
async fn wait_verified(envoy: &Envoy, least: usize) -> usize {
    let deadline = std::time::Instant::now() + 2 * PATIENCE;
    loop {
        let scrape = Scrape::of_svidgate(envoy).await;
        let count = scrape.value("svidgate_verification_microseconds", &[]);
        let count = count.map_or(0, |count| count as usize);
        if count >= least {
            return count;
        }
        assert!(
            std::time::Instant::now() < deadline,
            "{count} were verified, not {least}"
        );
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_thousand_good_certificates_are_served_and_the_oldest_forgotten() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let envoy = gate(&world, &upstream).await;
    let good = Client::new(Some(&world.own_identity(API_PATH)));
    let key = Key::generate(KeyKind::P256);
    let identity = |number| {
        let key = key.clone();
        let id = format!("spiffe://{OWN}/crowd/{number}");
        world.own.issue(Leaf {
            key,
            ..Leaf::svid(&id, world.now)
        })
    };
    let clients: Vec<Client> = (0..=GOOD).map(|number| Client::new(Some(&identity(number)))).collect();
    let (fresh, clients) = clients.split_last().expect("there are some");
    // What is allocated once is allocated now.
    flood(&envoy, &clients[..AT_A_TIME], Some(200), &good).await;
    let memory = process::resident(envoy.pid());
    flood(&envoy, &clients[AT_A_TIME..], Some(200), &good).await;
    let growth = process::resident(envoy.pid()).saturating_sub(memory);
    println!("{GOOD} good certificates: {} KiB more memory", growth / 1024);
    assert!(growth < MOST_GROWTH, "{growth} bytes");

    // Each once, the good client's too, however often it came.
    let verified = wait_verified(&envoy, GOOD + 1).await;
    assert_eq!(verified, GOOD + 1);
    // Those that came last are remembered, and so is the good client, which came again and again; the first is not.
    for known in [&clients[GOOD - 1], &clients[GOOD - 4_000], &good] {
        assert_eq!(ask(&envoy, known).await, Some(200));
    }
    assert_eq!(ask(&envoy, fresh).await, Some(200));
    assert_eq!(wait_verified(&envoy, verified + 1).await, verified + 1);
    assert_eq!(ask(&envoy, &clients[0]).await, Some(200));
    assert_eq!(wait_verified(&envoy, verified + 2).await, verified + 2);
    assert_alive(&envoy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_refused_certificates_push_out_no_good_one() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let envoy = gate(&world, &upstream).await;
    let [quiet, busy, fresh] = ["/quiet", "/busy", "/fresh"].map(|path| Client::new(Some(&world.own_identity(path))));
    // It comes once before the flood, and once after it.
    assert_eq!(ask(&envoy, &quiet).await, Some(200));
    // They differ in their signatures alone.
    let identity = world.own_identity(API_PATH);
    let clients = (1..=REFUSED).map(|number| Client::new(Some(&identity.forged(number))));
    let clients: Vec<Client> = clients.collect();
    flood(&envoy, &clients[..AT_A_TIME], None, &busy).await;
    let memory = process::resident(envoy.pid());
    flood(&envoy, &clients[AT_A_TIME..], None, &busy).await;
    let growth = process::resident(envoy.pid()).saturating_sub(memory);
    println!("{REFUSED} refused certificates: {} KiB more memory", growth / 1024);
    assert!(growth < MOST_GROWTH, "{growth} bytes");

    let once = clients.len() + 2;
    let verified = wait_verified(&envoy, once).await;
    assert_eq!(verified, once);
    assert_eq!(ask(&envoy, &quiet).await, Some(200));
    assert_eq!(ask(&envoy, &fresh).await, Some(200));
    assert_eq!(wait_verified(&envoy, verified + 1).await, verified + 1);
    // Of the same refused one only the first costs a verification.
    let again = vec![clients[0].clone(); AT_A_TIME];
    assert_eq!(ask(&envoy, &again[0]).await, None);
    flood(&envoy, &again, None, &quiet).await;
    assert_eq!(
        ask(&envoy, &Client::new(Some(&world.own_identity("/last")))).await,
        Some(200)
    );
    assert_eq!(wait_verified(&envoy, verified + 3).await, verified + 3);
    let name = "wasmcustom.svidgate.decisions_total.connection.deny.svid.bad_signature";
    envoy
        .wait_stat(name, u64::try_from(clients.len() + AT_A_TIME + 1).unwrap())
        .await;
    assert_eq!(
        upstream
            .requests()
            .iter()
            .filter(|request| request.path != "/x")
            .count(),
        0
    );
    assert_alive(&envoy).await;
}

/// An authority of a name of its own.
fn named(world: &World, name: &str, kind: KeyKind) -> Profile {
    Profile {
        common_name: Some(name.to_owned()),
        key: Key::generate(kind),
        ..Profile::authority(OWN, world.now)
    }
}

/// Envoy's own library verifies signatures by keys of 8,192 bits. We do not let it.
#[tokio::test]
async fn rsa_keys_count_up_to_4096_bits_wherever_they_stand() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let roots =
        [KeyKind::Rsa4096, KeyKind::Rsa8192].map(|kind| Authority::root(named(&world, &format!("{kind:?}"), kind)));
    let all: Vec<&Authority> = roots.iter().chain([&world.own]).collect();
    let rules = json!([{ "name": "api", "effect": "allow", "from": [API] }]);
    let changes = json!({ "bundle": { "inline": bundle_json(&all) }, "xfcc": "own" });
    let document = with(world.document(rules), changes);
    let listener = http_listener(&world, "web", Filters::RequestOnly, &document).xfcc(Xfcc::SanitizeSet);
    let envoy = serve([listener], &upstream).await;

    let below = |kind| {
        world
            .own
            .issue_authority(named(&world, &format!("below {kind:?}"), kind))
    };
    let leaf = || Leaf::svid(API, world.now);
    let with_key = |kind| Leaf {
        key: Key::generate(kind),
        ..leaf()
    };
    let pss = Leaf {
        signature_algorithm: Some(SignatureAlgorithm::RsaPssSha512),
        ..leaf()
    };
    // The 4,096 bits of the leaf are not those of its authority.
    let cases = [
        ("an authority of 4,096 bits", roots[0].issue(leaf()), "rule.allowed"),
        ("the same, PSS", roots[0].issue(pss), "rule.allowed"),
        (
            "a leaf of 4,096 bits",
            world.own.issue(with_key(KeyKind::Rsa4096)),
            "rule.allowed",
        ),
        (
            "an intermediate of 4,096 bits",
            below(KeyKind::Rsa4096).issue(leaf()),
            "rule.allowed",
        ),
        (
            "an authority of 8,192 bits",
            roots[1].issue(leaf()),
            "svid.bad_signature",
        ),
        (
            "an intermediate of 8,192 bits",
            below(KeyKind::Rsa8192).issue(leaf()),
            "svid.bad_signature",
        ),
    ];
    for (place, (what, identity, expected)) in cases.iter().enumerate() {
        let answer = http1(&envoy, "web", Some(identity)).await.get("/").await;
        let log = envoy.wait_request_log("web", place + 1).await;
        assert_eq!(reason(&log[place]), *expected, "{what}: {}", log[place]);
        let status = if *expected == "rule.allowed" { 200 } else { 403 };
        assert_eq!(answer.status(), Some(status), "{what}");
    }
    assert_alive(&envoy).await;
}
