//! What runs in the containers of `envoy/compose` that are not Envoys. The suite talks to it by files:
//!
//! | command | what it is |
//! |---|---|
//! | `workload-api SOCKET DIRECTORY` | a Workload API that hands out `DIRECTORY/<trust domain>.der`, again when they change |
//! | `bundle-endpoint ADDRESS DIRECTORY` | `DIRECTORY/bundle.json` at `/bundle.json`, with `server.pem` and `server.key` |
//! | `upstream ADDRESS LOG` | answers 200, and writes a line of JSON into `LOG` for each request |
//! | `wait` | nothing, for a container that others run `ask` in |
//! | `ask HOST:PORT METHOD PATH` | one request in plain text; prints the status, or why there is none |
//! | `reach ADDRESS...` | prints those that it can connect to |

use std::{
    collections::BTreeMap,
    env, fs,
    io::Write,
    net::{SocketAddr, TcpStream},
    path::Path,
    process::ExitCode,
    thread::{scope, sleep},
    time::Duration,
};

use serde_json::json;
use support::{
    bundle_endpoint::{BundleEndpoint, Served},
    client::{Connection, Outcome, Refusal, Request},
    upstream::HttpUpstream,
    workload_api::{Bundles, WorkloadApi},
};

/// How often files are looked at.
const POLL: Duration = Duration::from_millis(100);
/// How long a neighbour may take to accept. Packets to those who are none are dropped.
const NEAR: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["workload-api", socket, directory] => workload_api(Path::new(socket), Path::new(directory)),
        ["bundle-endpoint", addr, directory] => bundle_endpoint(addr, Path::new(directory)),
        ["upstream", addr, log] => upstream(addr, Path::new(log)),
        ["wait"] => loop {
            sleep(Duration::from_secs(3600));
        },
        ["ask", place, method, path] => {
            println!("{}", ask(place, method, path));
            ExitCode::SUCCESS
        }
        ["reach", ref places @ ..] => {
            reach(places);
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("which one? workload-api, bundle-endpoint, upstream, wait, ask, reach: {arguments:?}");
            ExitCode::FAILURE
        }
    }
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address and a port")
}

fn workload_api(socket: &Path, directory: &Path) -> ! {
    let api = WorkloadApi::start(socket);
    let mut sent = BTreeMap::new();
    loop {
        let found = bundles(directory);
        if found != sent {
            let message = found
                .iter()
                .fold(Bundles::default(), |message, (name, der)| message.raw(&**name, &**der));
            api.set(message);
            sent = found;
        }
        sleep(POLL);
    }
}

/// The bundle of every trust domain, by the id of the trust domain.
fn bundles(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(directory).expect("a directory of bundles");
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let bundles = paths.filter_map(|path| {
        let name = path.file_name()?.to_str()?.strip_suffix(".der")?.to_owned();
        Some((format!("spiffe://{name}"), fs::read(&path).ok()?))
    });
    bundles.collect()
}

fn bundle_endpoint(addr: &str, directory: &Path) -> ! {
    let read = |name: &str| fs::read(directory.join(name)).expect("a file of the bundle endpoint");
    let endpoint = BundleEndpoint::start_at(address(addr), &read("server.pem"), &read("server.key"));
    loop {
        endpoint.serve("/bundle.json", Served::Document(read("bundle.json")));
        sleep(POLL);
    }
}

fn upstream(addr: &str, log: &Path) -> ! {
    let upstream = HttpUpstream::start_at(address(addr));
    let mut file = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .expect("a log");
    let mut written = 0;
    loop {
        let requests = upstream.requests();
        for request in &requests[written..] {
            let told = |header| -> Vec<_> {
                let values = request.header(header).into_iter();
                values.map(String::from_utf8_lossy).collect()
            };
            let (ids, hops) = (told("x-svidgate-id"), told("x-svidgate-via"));
            let line = json!({ "method": request.method, "path": request.path, "id": ids, "via": hops });
            writeln!(file, "{line}").expect("a line of the log");
        }
        written = requests.len();
        sleep(POLL);
    }
}

/// The status, or why there is none. A name that cannot be resolved is as good as a port that nobody listens at.
#[tokio::main]
async fn ask(place: &str, method: &str, path: &str) -> String {
    let outcome = async {
        let mut addresses = tokio::net::lookup_host(place)
            .await
            .map_err(|error| Refusal::Connect(error.to_string()))?;
        let addr = addresses.next().ok_or(Refusal::Connect("no address".to_owned()))?;
        let mut http = Connection::plain(addr).await?.http1().await?;
        Ok(http.send(Request::new(method, path)).await)
    };
    match outcome.await {
        Ok(Outcome::Response(response)) => response.status.to_string(),
        Ok(Outcome::Refused(refusal)) | Err(refusal) => refusal.to_string(),
    }
}

/// All at once: to be refused takes its time.
fn reach(places: &[&str]) {
    scope(|threads| {
        let attempt = |place| move || TcpStream::connect_timeout(&address(place), NEAR).is_ok();
        let attempts: Vec<_> = places
            .iter()
            .map(|place| (place, threads.spawn(attempt(place))))
            .collect();
        for (place, attempt) in attempts {
            if attempt.join().is_ok_and(|reached| reached) {
                println!("{place}");
            }
        }
    });
}
