//! `make soak`: whether an Envoy with svidgate stays as it is, under constant load, while its documents and the bundles
//! of a federated trust domain change.
//!
//! Own clients keep their connections throughout. Every second some SVIDs come that were not seen before, and every
//! five seconds a new document, by discovery from a file. Every thirty seconds the federated trust domain rotates: its
//! bundle endpoint names the authority of this period and of the next, and its clients come back with leaves of this
//! one.
//!
//! Beside them six peers hold 300 streams each on a connection ([`turns`]). The documents take away a rule, revoke an
//! id and end a relationship, one after another, and give each back; a rotation withdraws the authority of one; the
//! SVID of one ends; the right of the last one stays. All streams of whoever may not go on must end in time, and no
//! other stream.
//!
//! `SOAK_SECONDS` (600) is how long all of it lasts. Where anybody else was refused, or Envoy's log has an error, it
//! has failed.

use std::env;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::bundle_endpoint::{BundleEndpoint, Served, bundle_document};
use support::ca::{Authority, Leaf, bundle_json};
use support::client::Client;
use support::envoy::{Cluster, Configuration, Delivery, Envoy, Route};
use support::upstream::{Behaviour, HttpUpstream};
use support::world::{OWN, PARTNER, World, with};
use svidgate_load::drive::{self, KeptAlive, Protocol};
use svidgate_load::open::{DOWNLOAD, WAIT, sink};
use svidgate_load::process::{pin_generator, resident};
use svidgate_load::record::{self, Target};
use svidgate_load::rounds::Reached;
use svidgate_load::subject::{CALLER, CROWD, Filter, LISTENER, Make, Place, document};
use svidgate_load::turns::{self, PROMISED, Right, STREAMS, Turns};
use tokio::task::JoinHandle;

/// Requests a second of the clients that keep their connections, over both protocols.
const PACE: usize = 2_000;
/// SVIDs a second that nobody has seen before.
const FRESH: usize = 5;
/// A new document so often.
const DOCUMENT: u64 = 5;
/// A new authority so often.
const ROTATION: u64 = 30;
/// What each document takes away, over and over. One that takes nothing gives back what the one before took.
const TAKEN: [Option<Right>; 6] = [
    None,
    Some(Right::Rule),
    None,
    Some(Right::Revocation),
    None,
    Some(Right::Relationship),
];
/// In this second of a rotation the authority that it withdrew is gone: a fetch of the bundle is due every ten.
const WITHDRAWN: u64 = 20;
/// In this one the SVID that was issued at its begin has ended.
const ENDED: u64 = 25;
/// Between two pieces of a download.
const PIECE: Duration = Duration::from_millis(500);
/// Where the bundle is.
const BUNDLE: &str = "/bundle.json";
/// Memory is compared over so many samples, one a second.
const WINDOW: usize = 10;
const MIB: f64 = 1024.0 * 1024.0;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let circumstances = record::circumstances();
    pin_generator();
    let seconds = env::var("SOAK_SECONDS").map_or(600, |text| text.parse().expect("SOAK_SECONDS is a number"));
    let mut soak = Soak::start().await;
    let mut memory = Vec::new();
    let pid = soak.envoy.pid();
    for second in 0..seconds {
        soak.second(second).await;
        assert_eq!(soak.envoy.exit(), None, "Envoy lives");
        memory.push(resident(pid) as f64 / MIB);
        if second % 30 == 29 {
            eprintln!(
                "== {} s: {} requests, {:.1} MiB",
                second + 1,
                soak.answered,
                memory[memory.len() - 1]
            );
        }
    }
    let errors = soak.errors().await;
    let is_good = write(&circumstances, &soak, &memory, &errors);
    assert!(errors.is_empty(), "{errors:#?}");
    assert!(is_good, "memory has grown");
}

/// What goes on.
struct Soak {
    world: World,
    endpoint: Arc<BundleEndpoint>,
    envoy: Envoy,
    _upstream: HttpUpstream,
    kept: Vec<KeptAlive>,
    partner: Option<KeptAlive>,
    /// The authority of this period and of the next.
    authorities: [Authority; 2],
    turns: Turns,
    /// When the bundle without the last authority is fetched.
    fetched: Option<JoinHandle<Instant>>,
    answered: usize,
    documents: usize,
    rotations: usize,
}

impl Soak {
    async fn start() -> Self {
        let world = World::new();
        let endpoint = BundleEndpoint::start(None);
        let upstream = HttpUpstream::start();
        let (every, count) = (PIECE, usize::MAX);
        upstream.behave(Behaviour::Stream { every, count });
        let authorities = [(); 2].map(|()| Authority::of(PARTNER, world.now));
        let [now, next] = &authorities;
        let served = bundle_document(&[now, next], Some(1), Some(10));
        endpoint.serve(BUNDLE, Served::Document(served));
        let make = Make {
            delivery: Delivery::Ecds,
            routes: vec![
                Route::to("wait", WAIT, "held_wait"),
                Route::to("download", DOWNLOAD, "held_download"),
            ],
            clusters: vec![
                Cluster::new("partner_bundle", endpoint.addr()),
                Cluster::http2("held_wait", sink().await),
                Cluster::new("held_download", upstream.addr()),
            ],
            ..Make::of(Filter::Svidgate(Place::Both, soaked(&world, &authorities, 0)))
        };
        let envoy = make.start(&world).await;
        let caller = world.own_identity(CALLER);
        let mut kept = Vec::new();
        for protocol in [Protocol::Http1, Protocol::Http2] {
            kept.push(KeptAlive::open(envoy.listener_addr(LISTENER), &protocol.client(&caller), protocol).await);
        }
        let mut turns = Turns::new();
        // The one whose SVID ends opens its streams with each rotation.
        for right in Right::ALL.into_iter().filter(|right| *right != Right::Svid) {
            turns.open(right, &envoy, &world, &authorities[0]).await;
        }
        Soak {
            world,
            endpoint: Arc::new(endpoint),
            envoy,
            _upstream: upstream,
            kept,
            partner: None,
            authorities,
            turns,
            fetched: None,
            answered: 0,
            documents: 0,
            rotations: 0,
        }
    }

    async fn second(&mut self, second: u64) {
        let begun = Instant::now();
        self.look_for_fetch().await;
        match second % ROTATION {
            0 => {
                self.rotate(second > 0).await;
                self.open(Right::Svid).await;
            }
            WITHDRAWN if self.rotations > 0 => {
                self.turns.assert_cut(Right::Authority, &self.envoy).await;
                self.open(Right::Authority).await;
            }
            ENDED => self.turns.assert_cut(Right::Svid, &self.envoy).await,
            _ => {}
        }
        if second % DOCUMENT == DOCUMENT - 1 {
            self.turns.assert_downloading();
            self.replace().await;
        }
        self.turns.assert_undisturbed();
        for kept in &self.kept {
            self.answered += kept.ask(PACE / 10 * 9 / self.kept.len()).await.len();
        }
        if let Some(partner) = &self.partner {
            self.answered += partner.ask(PACE / 10).await.len();
        }
        let number = |at| usize::try_from(second).expect("few seconds") * FRESH + at;
        let id = |at| format!("spiffe://{OWN}{CROWD}/{}", number(at));
        let client = |at| Client::new(Some(&self.world.own.issue(Leaf::svid(&id(at), self.world.now))));
        let clients: Vec<Client> = (0..FRESH).map(client).collect();
        let clients: Vec<&Client> = clients.iter().collect();
        drive::connections(self.envoy.pid(), self.envoy.listener_addr(LISTENER), &clients).await;
        self.answered += clients.len();
        tokio::time::sleep(Duration::from_secs(1).saturating_sub(begun.elapsed())).await;
    }

    /// The clients of the federated trust domain go before the authority of their leaves does.
    async fn rotate(&mut self, is_due: bool) {
        self.partner = None;
        if is_due {
            let [_, next] = &self.authorities;
            self.authorities = [next.clone(), Authority::of(PARTNER, self.world.now)];
            self.rotations += 1;
        }
        let [now, next] = &self.authorities;
        let sequence = u64::try_from(self.rotations).expect("few rotations") + 1;
        let served = bundle_document(&[now, next], Some(sequence), Some(10));
        if is_due {
            self.turns.take(Right::Authority);
            self.fetched = Some(next_fetch(&self.endpoint));
        }
        self.endpoint.serve(BUNDLE, Served::Document(served));
        let id = format!("spiffe://{PARTNER}/ns/billing/{}", self.rotations);
        let client = Client::new(Some(&now.issue(Leaf::svid(&id, self.world.now))));
        let addr = self.envoy.listener_addr(LISTENER);
        self.partner = Some(KeptAlive::open(addr, &client, Protocol::Http1).await);
    }

    async fn look_for_fetch(&mut self) {
        if let Some(fetched) = self.fetched.take_if(|fetched| fetched.is_finished()) {
            let event = fetched.await.expect("nothing panics there");
            self.turns.arrived(Right::Authority, event);
        }
    }

    async fn open(&mut self, right: Right) {
        let [now, _] = &self.authorities;
        self.turns.open(right, &self.envoy, &self.world, now).await;
    }

    /// A new document. What the last one took away has ended, and is given back; or this one takes something away.
    async fn replace(&mut self) {
        let before = taken(self.documents);
        if let Some(right) = before {
            self.turns.assert_cut(right, &self.envoy).await;
        }
        self.documents += 1;
        let document = soaked(&self.world, &self.authorities, self.documents);
        if let Some(right) = taken(self.documents) {
            self.turns.take(right);
        }
        for filter in ["svidgate.connection", "svidgate.request"] {
            self.envoy.replace_ecds(filter, Configuration::Json(document.clone()));
        }
        if let Some(right) = before {
            self.open(right).await;
        }
    }

    /// What should not be there.
    async fn errors(&self) -> Vec<String> {
        let log = self.envoy.log();
        let of_the_log = log
            .lines()
            .filter(|line| line.contains("[error]") || line.contains("[critical]"));
        let mut errors: Vec<String> = of_the_log.map(str::to_owned).collect();
        let refused = self.envoy.stats("wasmcustom.svidgate.").await;
        let refused = refused.iter().filter(|(name, _)| {
            let is_expected = |reason: &str| name.ends_with(&format!(".{reason}"));
            let mut expected = Right::ALL.into_iter().filter_map(Right::reason);
            (name.contains(".deny.") || name.contains(".cut.")) && !expected.any(is_expected)
        });
        errors.extend(refused.map(|(name, count)| format!("{name}: {count}")));
        let taken = self.envoy.stats("extension_config_discovery.").await;
        let refused = taken
            .iter()
            .filter(|(name, count)| name.ends_with("config_fail") && **count > 0);
        errors.extend(refused.map(|(name, count)| format!("{name}: {count}")));
        errors
    }
}

/// What a document takes away.
fn taken(number: usize) -> Option<Right> {
    TAKEN[number % TAKEN.len()]
}

/// When the next request for the bundle comes.
fn next_fetch(endpoint: &Arc<BundleEndpoint>) -> JoinHandle<Instant> {
    let (endpoint, before) = (Arc::clone(endpoint), endpoint.requests(BUNDLE));
    tokio::spawn(async move {
        while endpoint.requests(BUNDLE) == before {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Instant::now()
    })
}

/// A document that differs from the one before in its rules, in how many there are, and in what it takes away.
fn soaked(world: &World, authorities: &[Authority; 2], number: usize) -> Value {
    let rules = 500 + number % 7 * 100;
    let mut document = document(world, rules);
    let billing = json!({
        "name": format!("billing-{number}"), "effect": "allow",
        "from": [format!("spiffe://{PARTNER}/ns/billing/**")], "to": [{ "paths": ["/orders/**"] }],
    });
    document["rules"].as_array_mut().expect("rules").push(billing);
    let [now, next] = authorities;
    let changes = json!({
        "version": format!("soak-{number}"),
        "federation": [{
            "trust_domain": PARTNER,
            "bundle": {
                "inline": bundle_json(&[now, next]),
                "endpoint": { "cluster": "partner_bundle", "path": BUNDLE, "refresh": "10s" },
            },
            "scope": ["/ns/billing/**"],
            "owner": "soak",
        }],
    });
    turns::amend(with(document, changes), world, taken(number))
}

fn write(circumstances: &Value, soak: &Soak, memory: &[f64], errors: &[String]) -> bool {
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len().max(1) as f64;
    // A minute of ten; of a shorter run, a tenth.
    let settled = memory.len() / 10;
    let first = mean(&memory[settled..memory.len().min(settled + WINDOW)]);
    let last = mean(&memory[memory.len().saturating_sub(WINDOW)..]);
    let growth = (last / first - 1.0) * 100.0;
    let cut = soak.turns.total();
    let targets = [
        Target {
            target: "memory at the end within 5 % of that after the first minute".to_owned(),
            measured: format!("{growth:+.1} % ({first:.1} MiB, then {last:.1} MiB)"),
            reached: (growth <= 5.0).into(),
        },
        Target {
            target: "no error, and nobody refused whose right had not gone".to_owned(),
            measured: format!("{} errors", errors.len()),
            reached: errors.is_empty().into(),
        },
        Target {
            target: format!("what may not go on has ended within {} s", PROMISED.as_secs()),
            measured: format!(
                "the slowest of {} streams after {:.2} s",
                cut.answered + cut.reset,
                cut.slowest.as_secs_f64()
            ),
            reached: (cut.slowest <= PROMISED).into(),
        },
    ];
    let mut page = record::head("A soak", "make soak", circumstances);
    page += &format!(
        "\n{} s, {} requests, {} documents, {} rotations, {} fetches of a bundle, {} SVIDs.\n",
        memory.len(),
        soak.answered,
        soak.documents,
        soak.rotations,
        soak.endpoint.requests(BUNDLE),
        memory.len() * FRESH,
    );
    page += &record::targets(&targets);
    page += &format!("\nStreams held open, {STREAMS} a peer and connection, one in ten a download:\n");
    page += &held_table(&soak.turns);
    let every = (memory.len() / 10).max(1);
    let rows: Vec<Vec<String>> = memory
        .iter()
        .enumerate()
        .filter(|(second, _)| (second + 1) % every == 0)
        .map(|(second, memory)| vec![(second + 1).to_string(), format!("{memory:.1}")])
        .collect();
    page += &record::table(&["second", "resident memory, MiB"], &rows);
    let mut json = circumstances.clone();
    json["seconds"] = json!(memory.len());
    json["requests"] = json!(soak.answered);
    json["memory_mib"] = json!(memory);
    json["targets"] = json!(targets);
    json["held"] = soak
        .turns
        .tallies()
        .map(|(right, tally)| json!({ "right": right.as_str(), "streams": tally }))
        .collect();
    record::write("soak-latest", &page, &json);
    targets[0].reached == Reached::Yes
}

fn held_table(turns: &Turns) -> String {
    let rows = turns.tallies().map(|(right, tally)| {
        let slowest = if tally.times == 0 {
            "-".to_owned()
        } else {
            format!("{:.2} s", tally.slowest.as_secs_f64())
        };
        vec![
            right.as_str().to_owned(),
            tally.opened.to_string(),
            tally.times.to_string(),
            tally.answered.to_string(),
            tally.reset.to_string(),
            slowest,
        ]
    });
    let columns = [
        "what happens",
        "opened",
        "times cut",
        "ended by 403",
        "reset",
        "the slowest, from the event",
    ];
    record::table(&columns, &rows.collect::<Vec<_>>())
}
