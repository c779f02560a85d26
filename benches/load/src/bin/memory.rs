//! `make memory`: resident memory of Envoy with svidgate, beside one with a wasm filter that does nothing.
//!
//! A worker is what an Envoy with three workers has more than one with one, halved: what the main thread keeps of a
//! configuration, and the throw-away VM that tries it, are in neither. `SVIDS` (10,000) and `LIVE` (10,000) make it
//! shorter.

use std::env;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use support::ca::{Authority, Identity, Leaf, bundle_json};
use support::client::{Client, Connection};
use support::envoy::Envoy;
use support::world::{OWN, World, with};
use svidgate_load::drive::{self, KeptAlive, Protocol};
use svidgate_load::process::{pin_generator, resident};
use svidgate_load::record::{self, Target};
use svidgate_load::subject::{CALLER, CROWD, Filter, LISTENER, Make, PATH, Place, document};

const MIB: f64 = 1024.0 * 1024.0;
/// Memory is looked at when an Envoy has been left alone for so long.
const SETTLE: Duration = Duration::from_secs(3);
/// SVIDs that are made at a time.
const BATCH: usize = 500;

/// One line of a table.
#[derive(Clone, Debug, Serialize)]
struct Row {
    what: String,
    /// The whole process, with one worker.
    process_mib: f64,
    /// A further worker.
    worker_mib: f64,
    /// What that is more than with the wasm that does nothing.
    added_mib: f64,
    /// Compiling the document in the VM: milliseconds, the longer of the main thread's and the worker's.
    compile_ms: u64,
}

/// What something that happens to a running Envoy costs it.
#[derive(Clone, Debug, Serialize)]
struct Growth {
    what: String,
    idle_mib: f64,
    svidgate_mib: f64,
    added_mib: f64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let circumstances = record::circumstances();
    pin_generator();
    let world = World::new();
    let rows = sizes(&world).await;
    let growths = vec![
        svids(&world, number("SVIDS", 10_000)).await,
        live(&world, number("LIVE", 10_000)).await,
    ];
    write(&circumstances, &rows, &growths);
}

fn number(name: &str, usual: usize) -> usize {
    env::var(name).ok().map_or(usual, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is a number, not `{text}`"))
    })
}

async fn sizes(world: &World) -> Vec<Row> {
    let idle = measured("wasm that does nothing", Filter::Idle(Place::Both), 0.0, world).await;
    let base = idle.worker_mib;
    let mut rows = vec![idle];
    for rules in [10, 1_000, 100_000] {
        let filter = Filter::Svidgate(Place::Both, document(world, rules));
        rows.push(measured(&format!("{rules} rules"), filter, base, world).await);
    }
    for count in [10, 1_000] {
        let filter = Filter::Svidgate(Place::Both, federated(world, count));
        rows.push(measured(&format!("{count} trust domains"), filter, base, world).await);
    }
    rows
}

/// A document with that many relationships, each with a bundle of its own, and ten rules.
fn federated(world: &World, count: usize) -> Value {
    let relationship = |number| {
        let name = format!("partner-{number}.example");
        let bundle = bundle_json(&[&Authority::of(&name, world.now)]);
        json!({ "trust_domain": name, "bundle": { "inline": bundle }, "scope": ["/ns/billing/**"], "owner": "benchmark" })
    };
    let relationships: Vec<Value> = (0..count).map(relationship).collect();
    with(document(world, 10), json!({ "federation": relationships }))
}

async fn measured(what: &str, filter: Filter, base: f64, world: &World) -> Row {
    eprintln!("== {what}");
    let (one, compile_ms) = settled(filter.clone(), 1, world).await;
    let (three, _) = settled(filter, 3, world).await;
    let worker = (three - one) / 2.0;
    let added = if base == 0.0 { 0.0 } else { worker - base };
    Row {
        what: what.to_owned(),
        process_mib: tenths(one),
        worker_mib: tenths(worker),
        added_mib: tenths(added),
        compile_ms,
    }
}

fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// What an Envoy takes when it has been used, in MiB, and how long a document took, in milliseconds.
async fn settled(filter: Filter, workers: u32, world: &World) -> (f64, u64) {
    let envoy = start(filter, workers, world).await;
    let client = Protocol::Http1.client(&world.own_identity(CALLER));
    // Each worker has its share of connections.
    for _ in 0..workers * 2 {
        let kept = KeptAlive::open(envoy.listener_addr(LISTENER), &client, Protocol::Http1).await;
        kept.ask(800).await;
    }
    let log = envoy.log();
    let took = log.lines().filter_map(|line| line.split_once(" compiled_ms="));
    let took = took.filter_map(|(_, rest)| rest.split_whitespace().next()?.parse().ok());
    (memory(&envoy).await, took.max().unwrap_or_default())
}

async fn start(filter: Filter, workers: u32, world: &World) -> Envoy {
    let make = Make {
        workers,
        wasm_log_level: "info",
        ..Make::of(filter)
    };
    make.start(world).await
}

async fn memory(envoy: &Envoy) -> f64 {
    tokio::time::sleep(SETTLE).await;
    resident(envoy.pid()) as f64 / MIB
}

/// Both kinds of Envoy, warm.
async fn pair(world: &World) -> [Envoy; 2] {
    let client = Protocol::Http1.client(&world.own_identity(CALLER));
    let pair = [
        start(Filter::Idle(Place::Both), 1, world).await,
        start(Filter::Svidgate(Place::Both, document(world, 1_000)), 1, world).await,
    ];
    for envoy in &pair {
        let kept = KeptAlive::open(envoy.listener_addr(LISTENER), &client, Protocol::Http1).await;
        kept.ask(8_000).await;
    }
    pair
}

async fn svids(world: &World, count: usize) -> Growth {
    eprintln!("== {count} SVIDs");
    let pair = pair(world).await;
    let before = [memory(&pair[0]).await, memory(&pair[1]).await];
    for batch in 0..count.div_ceil(BATCH) {
        let numbers = batch * BATCH..count.min((batch + 1) * BATCH);
        let clients: Vec<Client> = numbers
            .map(|number| Client::new(Some(&one_of_the_crowd(world, number))))
            .collect();
        let clients: Vec<&Client> = clients.iter().collect();
        for envoy in &pair {
            drive::connections(envoy.pid(), envoy.listener_addr(LISTENER), &clients).await;
        }
    }
    let after = [memory(&pair[0]).await, memory(&pair[1]).await];
    growth(format!("{count} distinct SVIDs, one after another"), before, after)
}

fn one_of_the_crowd(world: &World, number: usize) -> Identity {
    world
        .own
        .issue(Leaf::svid(&format!("spiffe://{OWN}{CROWD}/{number}"), world.now))
}

async fn live(world: &World, count: usize) -> Growth {
    eprintln!("== {count} live connections");
    let pair = pair(world).await;
    let client = Client::new(Some(&world.own_identity(CALLER)));
    let before = [memory(&pair[0]).await, memory(&pair[1]).await];
    let mut after = [0.0; 2];
    for (envoy, after) in pair.iter().zip(&mut after) {
        let mut connections: Vec<Connection> = Vec::with_capacity(count);
        while connections.len() < count {
            let mut connection = client
                .connect(envoy.listener_addr(LISTENER))
                .await
                .expect("the listener accepts");
            let head = format!("GET {PATH} HTTP/1.1\r\nhost: localhost\r\n\r\n");
            connection.write(head.as_bytes()).await.expect("the request is sent");
            let status = connection.read(12).await.expect("it is answered");
            assert_eq!(status, b"HTTP/1.1 200");
            connections.push(connection);
        }
        *after = memory(envoy).await;
    }
    growth(format!("{count} live connections"), before, after)
}

fn growth(what: String, before: [f64; 2], after: [f64; 2]) -> Growth {
    let (idle, svidgate) = (after[0] - before[0], after[1] - before[1]);
    Growth {
        what,
        idle_mib: tenths(idle),
        svidgate_mib: tenths(svidgate),
        added_mib: tenths(svidgate - idle),
    }
}

fn write(circumstances: &Value, rows: &[Row], growths: &[Growth]) {
    let bytes = circumstances["module_bytes"].as_f64().unwrap_or_default();
    let mut targets = Vec::new();
    let mut add = |target: &str, unit: &str, measured: f64, most: f64| {
        targets.push(Target {
            target: target.to_owned(),
            measured: format!("{measured:.1} {unit}"),
            reached: (measured <= most).into(),
        });
    };
    let added = |what: &str| {
        rows.iter()
            .find(|row| row.what == what)
            .map_or(f64::NAN, |row| row.added_mib)
    };
    add("100,000 rules in 64 MiB a worker", "MiB", added("100000 rules"), 64.0);
    add(
        "1,000 trust domains in 16 MiB a worker",
        "MiB",
        added("1000 trust domains"),
        16.0,
    );
    let compile = rows.iter().find(|row| row.what == "100000 rules");
    let seconds = compile.map_or(f64::NAN, |row| row.compile_ms as f64 / 1000.0);
    add("100,000 rules compiled in the VM in 1.5 s", "s", seconds, 1.5);
    for growth in growths.iter().filter(|growth| growth.what.contains("live")) {
        add(&format!("{} in 8 MiB", growth.what), "MiB", growth.added_mib, 8.0);
    }
    add("the module at most 900 KiB", "KiB", bytes / 1024.0, 900.0);
    let mut page = record::head("What svidgate takes of Envoy's memory", "make memory", circumstances);
    page += "\nResident memory, MiB. The network filter and the HTTP filter with one document; a worker is what three workers\nhave more than one, halved. Compiling: the longer of the two VMs that an\nEnvoy with one worker has.\n";
    page += &record::targets(&targets);
    let shown = rows.iter().map(|row| {
        let numbers = [row.process_mib, row.worker_mib, row.added_mib].map(|value| format!("{value:.1}"));
        let compile = vec![row.compile_ms.to_string()];
        [vec![row.what.clone()], numbers.to_vec(), compile].concat()
    });
    let columns = [
        "document",
        "process with one worker",
        "a further worker",
        "more than doing nothing, a worker",
        "compiling it, ms",
    ];
    page += &record::table(&columns, &shown.collect::<Vec<_>>());
    let shown = growths.iter().map(|growth| {
        let numbers = [growth.idle_mib, growth.svidgate_mib, growth.added_mib].map(|value| format!("{value:.1}"));
        [vec![growth.what.clone()], numbers.to_vec()].concat()
    });
    page += "\nWhat a running Envoy with one worker grows by:\n";
    page += &record::table(
        &["what happens", "wasm that does nothing", "svidgate", "more"],
        &shown.collect::<Vec<_>>(),
    );
    page += &format!("\nThe module has {:.0} KiB.\n", bytes / 1024.0);
    let mut json = circumstances.clone();
    json["rows"] = json!(rows);
    json["growth"] = json!(growths);
    json["targets"] = json!(targets);
    record::write("memory-latest", &page, &json);
}
