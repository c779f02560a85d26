//! What peers hold open, and documents that drain: whatever would fill the VM. Each is bounded, and who does not hold
//! it loses nothing.

use std::env;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Value, json};
use support::ca::{Extension, Key, KeyKind, Leaf};
use support::client::{Client, ClientOptions, LAST_REMEMBERED, Outcome, RawStreams, literal, remembered};
use support::envoy::{ClientCertificate, Cluster, Delivery, Envoy, Listener, Route, Scenario};
use support::world::{OWN, World};

use crate::drive::{KeptAlive, Protocol};
use crate::open::sink;
use crate::process::{pin_envoy, resident};
use crate::subject::{CALLER, Filter, LISTENER, PATH, Place, document, log_nothing};

/// Bytes of a large head: Envoy takes 60 KiB, unless it is told otherwise.
const HEAD: usize = 58_000;
/// Who holds.
const GREEDY: &str = "/ns/shop/sa/greedy";
/// Streams with headers that no rule looks at, and how many of them a connection has.
const STREAMS: usize = 20_000;
const STREAMS_OF_ONE: usize = 200;
/// What svidgate may keep of them, in MiB: 3 KiB a stream, where the headers have 58 KB.
const MOST_MORE_MIB: f64 = 60.0;
/// Streams with a long path, a third more than a worker keeps; and how many of them a connection may have (4 MiB).
const LONG_PATHS: usize = 3_036;
const LONG_PATHS_OF_ONE: usize = 69;
/// Identities of one id, of which some 700 have room in a worker; and the rules that grant each of them something,
/// nearly as many as one request may look at.
const IDENTITIES: usize = 1_000;
const GRANTS: usize = 6_000;
/// Bytes that make a leaf almost as long as a certificate may be (16 KiB).
const LEAF_PADDING: usize = 15_500;
/// Documents one after another, of which seven have room in a worker; and the rules of each.
const DOCUMENTS: usize = 10;
const RULES: usize = 100_000;
/// Others ask so often each time.
const ASKED: usize = 20;
/// How long what is asked for may take.
const LIMIT: Duration = Duration::from_secs(60);
/// How long counters, ticks and what was closed may take.
const SETTLE: Duration = Duration::from_secs(3);

/// What came of one.
#[derive(Clone, Debug, Serialize)]
pub struct Fill {
    /// What was held.
    pub what: String,
    /// Resident memory of Envoy, in MiB, before it, at its height and after it.
    pub before_mib: f64,
    /// See `before_mib`.
    pub during_mib: f64,
    /// See `before_mib`.
    pub after_mib: f64,
    /// The same at an Envoy without svidgate, where it is no matter of svidgate alone.
    pub without_mib: Option<[f64; 3]>,
    /// What became of it.
    pub outcome: String,
}

/// All four, or those that `FILLS` names (`FILLS="paths headers"`).
pub async fn all(world: &World) -> Vec<Fill> {
    let greedy = |what| format!("{what}, by one peer");
    let wanted = env::var("FILLS").unwrap_or_else(|_| "paths headers documents identities".to_owned());
    let is_wanted = |which: &str| wanted.split(' ').any(|one| one == which);
    let mut rows = Vec::new();
    if is_wanted("paths") {
        eprintln!("== long paths");
        let what = format!("{LONG_PATHS} open streams with a path of 58 KB");
        rows.push(paths(world, greedy(what)).await);
    }
    if is_wanted("headers") {
        eprintln!("== headers that no rule looks at");
        let what = format!("{STREAMS} open streams with headers of 58 KB");
        rows.push(headers(world, greedy(what)).await);
    }
    if is_wanted("documents") {
        eprintln!("== documents that drain");
        rows.push(documents(world).await);
    }
    if is_wanted("identities") {
        eprintln!("== large identities");
        rows.push(identities(world).await);
    }
    rows
}

fn mib(envoy: &Envoy) -> f64 {
    (resident(envoy.pid()) as f64 / 1024.0 / 102.4).round() / 10.0
}

/// `/held` is never answered, all else at once.
fn listener(world: &World, filter: Filter) -> Listener {
    let routes = [Route::to("held", "/held", "sink"), Route::direct("all", "/", 200, "ok")];
    let listener = Listener::http(LISTENER, routes).tls(&world.server, ClientCertificate::AcceptUntrusted);
    filter.placed(listener, Delivery::Static)
}

async fn start(world: &World, filter: Filter, lds: bool) -> Envoy {
    let listener = listener(world, filter);
    let scenario = Scenario {
        lds,
        log_level: "warning".to_owned(),
        wasm_log_level: "warning".to_owned(),
        amend: Some(log_nothing),
        ..Scenario::of(listener, [Cluster::http2("sink", sink().await)])
    };
    let envoy = Envoy::start(scenario).await;
    pin_envoy(envoy.pid());
    envoy
}

fn both(document: Value) -> Filter {
    Filter::Svidgate(Place::Both, document)
}

/// Without the network filter a document comes to Envoy once, not twice: most of an update is Envoy's reading of it.
fn request(document: Value) -> Filter {
    Filter::Svidgate(Place::Request, document)
}

fn everyone(world: &World) -> Value {
    world.document(json!([{ "name": "all", "effect": "allow", "from": [format!("spiffe://{OWN}/**")] }]))
}

fn http2(identity: &support::ca::Identity) -> Client {
    Client::with(Some(identity), ClientOptions::http2())
}

async fn streams(envoy: &Envoy, client: &Client) -> RawStreams {
    let connection = client.connect(envoy.listener_addr(LISTENER)).await;
    let streams = connection.expect("the listener shakes hands").raw_streams().await;
    streams.expect("it is open")
}

fn head(path: &str) -> Vec<u8> {
    // `GET` and `https` of the static table.
    let fields = [literal(b":path", path.as_bytes()), literal(b":authority", b"localhost")];
    [vec![0x82, 0x87], fields.concat()].concat()
}

/// How many decisions had this reason.
async fn decided(envoy: &Envoy, reason: &str) -> u64 {
    let stats = envoy.stats("wasmcustom.svidgate.decisions_total").await;
    let of_reason = stats.iter().filter(|(name, _)| name.ends_with(reason));
    of_reason.map(|(_, count)| count).sum()
}

async fn under_way(envoy: &Envoy) -> u64 {
    envoy.stat("cluster.sink.upstream_rq_active").await
}

/// Streams that one peer opens, while another asks for something else all the while.
struct Held {
    streams: Vec<RawStreams>,
    other: KeptAlive,
    answered: usize,
}

impl Held {
    async fn begin(envoy: &Envoy, world: &World) -> Self {
        let other = Protocol::Http2.client(&world.own_identity(CALLER));
        Held {
            streams: Vec::new(),
            other: KeptAlive::open(envoy.listener_addr(LISTENER), &other, Protocol::Http2).await,
            answered: 0,
        }
    }

    /// So many more streams, on connections of so many.
    async fn open(&mut self, envoy: &Envoy, client: &Client, count: usize, of_one: usize, first: &[u8], next: &[u8]) {
        for number in 0..count {
            let is_first = number.is_multiple_of(of_one);
            if is_first {
                self.others().await;
                self.streams.push(streams(envoy, client).await);
            }
            let streams = self.streams.last_mut().expect("one that was opened");
            let opened = streams.open(if is_first { first } else { next }).await;
            opened.expect("the connection is kept");
        }
        self.others().await;
    }

    /// Another peer asks; every answer is 200.
    async fn others(&mut self) {
        self.answered += self.other.ask(ASKED).await.len();
    }

    fn ended(&self) -> usize {
        self.streams.iter().map(RawStreams::ended).sum()
    }

    fn count(&self) -> usize {
        self.streams.len()
    }
}

async fn wait(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !is_so().await {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// What one Envoy has before, during and after, and what was answered to others.
async fn hold_headers(envoy: &Envoy, world: &World) -> ([f64; 3], usize) {
    let client = http2(&world.own_identity(GREEDY));
    let mut held = Held::begin(envoy, world).await;
    held.others().await;
    let before = mib(envoy);
    // One field of 3,900 bytes goes over the wire once a connection, and stands 15 times in each head.
    let value = [b'x'; HEAD / 15 + 33];
    let first = [head("/held"), remembered(b"x-large", &value), vec![LAST_REMEMBERED; 14]].concat();
    let next = [head("/held"), vec![LAST_REMEMBERED; 15]].concat();
    held.open(envoy, &client, STREAMS, STREAMS_OF_ONE, &first, &next).await;
    wait("all are under way", async || under_way(envoy).await == STREAMS as u64).await;
    tokio::time::sleep(SETTLE).await;
    let during = mib(envoy);
    held.others().await;
    assert_eq!(held.ended(), 0, "nobody is refused");
    held.streams.clear();
    wait("all are closed", async || under_way(envoy).await == 0).await;
    tokio::time::sleep(SETTLE).await;
    held.others().await;
    ([before, during, mib(envoy)], held.answered)
}

async fn headers(world: &World, what: String) -> Fill {
    let (without, _) = hold_headers(&start(world, Filter::None, false).await, world).await;
    let svidgate = start(world, both(everyone(world)), false).await;
    let ([before, during, after], others) = hold_headers(&svidgate, world).await;
    let more = (during - before) - (without[1] - without[0]);
    assert!(more < MOST_MORE_MIB, "svidgate keeps {more:.1} MiB of headers");
    Fill {
        what,
        before_mib: before,
        during_mib: during,
        after_mib: after,
        without_mib: Some(without),
        outcome: format!("none refused, for the headers are not kept; others: {others} of {others} requests answered"),
    }
}

async fn paths(world: &World, what: String) -> Fill {
    let envoy = start(world, both(everyone(world)), false).await;
    let client = http2(&world.own_identity(GREEDY));
    let mut held = Held::begin(&envoy, world).await;
    held.others().await;
    let before = mib(&envoy);
    let long = head(&format!("/held/{}", "a".repeat(HEAD)));
    held.open(&envoy, &client, LONG_PATHS, LONG_PATHS_OF_ONE, &long, &long)
        .await;
    wait("each is under way or refused", async || {
        under_way(&envoy).await as usize + held.ended() == LONG_PATHS
    })
    .await;
    tokio::time::sleep(SETTLE).await;
    let during = mib(&envoy);
    let (kept, refused) = (under_way(&envoy).await, held.ended());
    assert!(refused > 0, "a worker has a bound");
    assert_eq!(
        decided(&envoy, ".worker.full").await,
        refused as u64,
        "all are refused for it"
    );
    held.others().await;
    let connections = held.count();
    held.streams.clear();
    wait("all are closed", async || under_way(&envoy).await == 0).await;
    tokio::time::sleep(SETTLE).await;
    held.others().await;
    let after = mib(&envoy);
    // What was given back may be held again.
    held.open(&envoy, &client, 1, 1, &long, &long).await;
    wait("it is let through again", async || under_way(&envoy).await == 1).await;
    let others = held.answered;
    Fill {
        what,
        before_mib: before,
        during_mib: during,
        after_mib: after,
        without_mib: None,
        outcome: format!(
            "{kept} kept on {connections} connections, {refused} answered 403 `worker.full`; others: {others} of {others} requests \
             answered"
        ),
    }
}

async fn identities(world: &World) -> Fill {
    let greedy = format!("spiffe://{OWN}{GREEDY}");
    // Each has a `from` of its own, so that no two share what is kept of them.
    let rule = |number| {
        let from = format!("spiffe://{OWN}/ns/shop/sa/{{name{number}}}");
        let paths = json!([{ "paths": [format!("/part/{number}/{{name{number}}}")] }]);
        json!({ "name": format!("part-{number}"), "effect": "allow", "from": [from], "to": paths })
    };
    let mut rules: Vec<Value> = (0..GRANTS).map(rule).collect();
    rules.push(
        json!({ "name": "orders", "effect": "allow", "from": [format!("spiffe://{OWN}/**")],
                       "to": [{ "paths": ["/orders/**"] }] }),
    );
    let envoy = start(world, both(world.document(json!(rules))), false).await;
    let key = Key::generate(KeyKind::P256);
    let padding = Extension::new("1.3.6.1.4.1.99999.1", false, vec![4; LEAF_PADDING]);
    let mut held = Held::begin(&envoy, world).await;
    held.others().await;
    let before = mib(&envoy);
    let (mut open, mut allowed, mut refused) = (Vec::new(), 0, 0);
    for number in 0..IDENTITIES {
        let identity = world.own.issue(Leaf {
            key: key.clone(),
            extensions: vec![padding.clone()],
            ..Leaf::svid(&greedy, world.now)
        });
        let connection = Client::new(Some(&identity))
            .connect(envoy.listener_addr(LISTENER))
            .await;
        let mut http = connection.expect("it shakes hands").http1().await.expect("it is open");
        match http.get(PATH).await {
            Outcome::Response(response) if response.status == 200 => {
                allowed += 1;
                open.push(http);
            }
            Outcome::Response(_) | Outcome::Refused(_) => refused += 1,
        }
        if number.is_multiple_of(50) {
            held.others().await;
        }
    }
    tokio::time::sleep(SETTLE).await;
    let during = mib(&envoy);
    let full = decided(&envoy, ".worker.full").await;
    assert!(refused > 0, "a worker has a bound");
    assert_eq!(full, refused, "all are refused for it");
    held.others().await;
    drop(open);
    tokio::time::sleep(SETTLE).await;
    held.others().await;
    let others = held.answered;
    Fill {
        what: format!(
            "{IDENTITIES} open connections of one id, each with a leaf of its own of 16 KB and with {GRANTS} rules that grant it \
             something"
        ),
        before_mib: before,
        during_mib: during,
        after_mib: mib(&envoy),
        without_mib: None,
        outcome: format!(
            "{allowed} kept, {refused} refused with `worker.full`; others: {others} of {others} requests answered"
        ),
    }
}

/// One of many documents: only it allows `/version/<number>`.
fn version(world: &World, number: usize) -> Value {
    let mut document = document(world, RULES - 2);
    let from = [format!("spiffe://{OWN}{CALLER}")];
    let rules = document["rules"].as_array_mut().expect("rules");
    for path in [format!("/version/{number}"), "/held".to_owned()] {
        let name = format!("only-{}", rules.len());
        rules.push(json!({ "name": name, "effect": "allow", "from": from, "to": [{ "paths": [path] }] }));
    }
    document
}

async fn documents(world: &World) -> Fill {
    let text = version(world, 0).to_string().len() as f64 / 1024.0 / 1024.0;
    let caller = world.own_identity(CALLER);
    let client = Client::new(Some(&caller));
    let envoy = start(world, request(everyone(world)), true).await;
    let before = mib(&envoy);
    let (mut held, mut during, mut others) = (Vec::new(), before, 0);
    for number in 0..DOCUMENTS {
        envoy.replace_listeners(&[listener(world, request(version(world, number)))]);
        wait("the new document is taken", async || {
            let connection = client.connect(envoy.listener_addr(LISTENER)).await;
            let mut http = connection.expect("it listens").http1().await.expect("it is open");
            assert_eq!(http.get(PATH).await.status(), Some(200), "what every document allows");
            others += 1;
            // Until then the path is of no rule, or of the first document, which a new one has replaced.
            let is_allowed = http.get(&format!("/version/{number}")).await.status() == Some(200);
            during = f64::max(during, mib(&envoy));
            is_allowed && http.get("/version/none").await.status() == Some(403)
        })
        .await;
        let mut streams = streams(&envoy, &http2(&caller)).await;
        streams.open(&head("/held")).await.expect("it is open");
        held.push(streams);
    }
    tokio::time::sleep(SETTLE).await;
    let during = during.max(mib(&envoy));
    let ended: Vec<bool> = held.iter().map(has_ended).collect();
    let kept = ended.iter().filter(|ended| !**ended).count();
    assert!(
        ended.is_sorted_by(|one, next| one >= next),
        "the oldest end first: {ended:?}"
    );
    assert!(0 < kept && kept < DOCUMENTS, "not all have room: {kept}");
    let superseded = decided(&envoy, ".configuration.superseded").await;
    assert!(superseded > 0, "that is why they end");
    drop(held);
    tokio::time::sleep(SETTLE).await;
    Fill {
        what: format!(
            "{DOCUMENTS} updates of {RULES} rules ({text:.1} MiB of text each) of the HTTP filter, a stream held open under each"
        ),
        before_mib: before,
        during_mib: during,
        after_mib: mib(&envoy),
        without_mib: None,
        outcome: format!(
            "each is taken; the streams of the last {kept} go on, those of the first {} end (`configuration.superseded`, counted \
             {superseded} times); others: {others} of {others} requests answered, each on a connection of its own",
            DOCUMENTS - kept
        ),
    }
}

fn has_ended(streams: &RawStreams) -> bool {
    streams.ended() > 0 || streams.is_closed()
}
