//! `make measure-sweep`: what a tick costs a worker that has many live connections and nothing to do.
//!
//! One Envoy with one worker, first without connections, then with 10,000 of them, each verified and admitted. The CPU
//! time of the worker's thread over ten seconds each, by the kernel's own count, divided by the ticks.

use std::{fs, time::Duration};

use serde_json::json;
use support::{
    client::{Client, Connection},
    envoy::{ClientCertificate, Cluster, Envoy, Listener, Route, Scenario, Wasm},
    module_path,
    world::World,
};

const CONNECTIONS: usize = 10_000;
const SPAN: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() {
    let world = World::new();
    let document = world.document(json!([
        { "name": "api", "effect": "allow", "from": ["spiffe://prod.example/api"] },
    ]));
    let wasm = Wasm::new(&module_path(), document);
    let listener = Listener::http("web", [Route::direct("all", "/", 200, "ok")])
        .tls(&world.server, ClientCertificate::AcceptUntrusted)
        .connection_filter(wasm.clone())
        .request_filter(wasm);
    let envoy = Envoy::start(Scenario {
        log_level: "warning".to_owned(),
        ..Scenario::of(listener, [Cluster::new("none", ([127, 0, 0, 1], 1).into())])
    })
    .await;
    let worker = worker_thread(envoy.pid());
    // The first ticks of a start are quick ones.
    tokio::time::sleep(SPAN).await;
    let idle = cpu(envoy.pid(), worker).await;
    let client = Client::new(Some(&world.own_identity("/api")));
    let mut connections: Vec<Connection> = Vec::with_capacity(CONNECTIONS);
    while connections.len() < CONNECTIONS {
        let mut connection = client
            .connect(envoy.listener_addr("web"))
            .await
            .expect("the listener accepts");
        connection
            .write(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
            .await
            .expect("the request is sent");
        connection.read(12).await.expect("it is answered");
        connections.push(connection);
    }
    tokio::time::sleep(SPAN).await;
    let busy = cpu(envoy.pid(), worker).await;
    println!("one worker, ticks of 1 s, over {} s each:", SPAN.as_secs());
    println!("  no connection:        {idle:.3} ms of CPU a tick");
    println!("  {CONNECTIONS} connections:   {busy:.3} ms of CPU a tick");
    println!("  the sweep:            {:.3} ms of CPU a tick", busy - idle);
}

/// The thread of the only worker.
fn worker_thread(pid: u32) -> u32 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("the process is there");
    let threads = tasks.filter_map(|task| task.ok()?.file_name().to_str()?.parse().ok());
    let is_worker = |thread: &u32| {
        fs::read_to_string(format!("/proc/{pid}/task/{thread}/comm")).is_ok_and(|name| name.starts_with("wrk:worker_0"))
    };
    threads.into_iter().find(is_worker).expect("Envoy names its workers")
}

/// Milliseconds of CPU that the thread uses in a second.
async fn cpu(pid: u32, thread: u32) -> f64 {
    let run_time = || -> u64 {
        let text = fs::read_to_string(format!("/proc/{pid}/task/{thread}/schedstat")).expect("the kernel counts");
        text.split(' ')
            .next()
            .and_then(|time| time.parse().ok())
            .expect("the first number is nanoseconds")
    };
    let before = run_time();
    tokio::time::sleep(SPAN).await;
    (run_time() - before) as f64 / 1e6 / SPAN.as_secs_f64()
}
