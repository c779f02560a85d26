//! `make soak`: whether an Envoy with svidgate stays as it is, under constant load, while its documents and the bundles of
//! a federated trust domain change.
//!
//! Own clients keep their connections throughout. Every second some SVIDs come that were not seen before, and every five
//! seconds a new document, by discovery from a file. Every thirty seconds the federated trust domain rotates: its bundle
//! endpoint names the authority of this period and of the next, and its clients come back with leaves of this one.
//! `SOAK_SECONDS` (600) is how long all of it lasts. Where anything was refused, or Envoy's log has an error, it has failed.

use std::env;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::bundle_endpoint::{BundleEndpoint, Served, bundle_document};
use support::ca::{Authority, Leaf, bundle_json};
use support::client::Client;
use support::envoy::{Cluster, Configuration, Delivery, Envoy};
use support::world::{OWN, PARTNER, World, with};
use svidgate_load::drive::{self, KeptAlive, Protocol};
use svidgate_load::process::{pin_generator, resident};
use svidgate_load::record::{self, Target};
use svidgate_load::subject::{CALLER, CROWD, Filter, LISTENER, Make, Place, document};

/// Requests a second of the clients that keep their connections, over both protocols.
const PACE: usize = 2_000;
/// SVIDs a second that nobody has seen before.
const FRESH: usize = 5;
/// A new document so often.
const DOCUMENT: u64 = 5;
/// A new authority so often.
const ROTATION: u64 = 30;
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
    for second in 0..seconds {
        soak.second(second).await;
        memory.push(resident(soak.envoy.pid()) as f64 / MIB);
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
    endpoint: BundleEndpoint,
    envoy: Envoy,
    kept: Vec<KeptAlive>,
    partner: Option<KeptAlive>,
    /// The authority of this period and of the next.
    authorities: [Authority; 2],
    answered: usize,
    documents: usize,
    rotations: usize,
}

impl Soak {
    async fn start() -> Self {
        let world = World::new();
        let endpoint = BundleEndpoint::start(None);
        let authorities = [(); 2].map(|()| Authority::of(PARTNER, world.now));
        let make = Make {
            delivery: Delivery::Ecds,
            clusters: vec![Cluster::new("partner_bundle", endpoint.addr())],
            ..Make::of(Filter::Svidgate(Place::Both, soaked(&world, &authorities, 0)))
        };
        let envoy = make.start(&world).await;
        let caller = world.own_identity(CALLER);
        let mut kept = Vec::new();
        for protocol in [Protocol::Http1, Protocol::Http2] {
            kept.push(KeptAlive::open(envoy.listener_addr(LISTENER), &protocol.client(&caller), protocol).await);
        }
        Soak {
            world,
            endpoint,
            envoy,
            kept,
            partner: None,
            authorities,
            answered: 0,
            documents: 0,
            rotations: 0,
        }
    }

    async fn second(&mut self, second: u64) {
        let begun = Instant::now();
        if second.is_multiple_of(ROTATION) {
            self.rotate(second > 0).await;
        }
        if second % DOCUMENT == DOCUMENT - 1 {
            self.replace();
        }
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
        self.endpoint.serve(BUNDLE, Served::Document(served));
        let id = format!("spiffe://{PARTNER}/ns/billing/{}", self.rotations);
        let client = Client::new(Some(&now.issue(Leaf::svid(&id, self.world.now))));
        let addr = self.envoy.listener_addr(LISTENER);
        self.partner = Some(KeptAlive::open(addr, &client, Protocol::Http1).await);
    }

    fn replace(&mut self) {
        self.documents += 1;
        let document = soaked(&self.world, &self.authorities, self.documents);
        for filter in ["svidgate.connection", "svidgate.request"] {
            self.envoy.replace_ecds(filter, Configuration::Json(document.clone()));
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
        let refused = refused
            .iter()
            .filter(|(name, _)| name.contains(".deny.") || name.contains(".cut."));
        errors.extend(refused.map(|(name, count)| format!("{name}: {count}")));
        let taken = self.envoy.stats("extension_config_discovery.").await;
        let refused = taken
            .iter()
            .filter(|(name, count)| name.ends_with("config_fail") && **count > 0);
        errors.extend(refused.map(|(name, count)| format!("{name}: {count}")));
        errors
    }
}

/// A document that differs from the one before in its rules and in how many there are.
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
    with(document, changes)
}

fn write(circumstances: &Value, soak: &Soak, memory: &[f64], errors: &[String]) -> bool {
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len().max(1) as f64;
    // A minute of ten; of a shorter run, a tenth.
    let settled = memory.len() / 10;
    let first = mean(&memory[settled..memory.len().min(settled + WINDOW)]);
    let last = mean(&memory[memory.len().saturating_sub(WINDOW)..]);
    let growth = (last / first - 1.0) * 100.0;
    let targets = [
        Target {
            target: "memory at the end within 5 % of that after the first minute".to_owned(),
            measured: format!("{growth:+.1} % ({first:.1} MiB, then {last:.1} MiB)"),
            met: growth <= 5.0,
        },
        Target {
            target: "no error".to_owned(),
            measured: format!("{} errors", errors.len()),
            met: errors.is_empty(),
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
    record::write("soak-latest", &page, &json);
    targets[0].met
}
