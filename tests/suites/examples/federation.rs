//! Where bundles come from: a Workload API that may hang, and bundle endpoints of both profiles that rotate.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use support::{
    bundle_endpoint::{BundleEndpoint, Served, bundle_document},
    ca::{Authority, Identity, Leaf, Profile, bundle_json},
    client::Client,
    envoy::{Envoy, Scenario},
    workload_api::{Bundles, WorkloadApi},
    world::{OWN, PARTNER, World},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    sync::watch,
    time::sleep,
};

use crate::filled;

/// What the endpoint is called in the examples' tests.
const HOST: &str = "bundles.partner.example";
/// The id of the endpoint, of the profile `https_spiffe`.
const ENDPOINT_ID: &str = "spiffe://partner.example/spire/server";
const FAILED: &str = "wasmcustom.svidgate.source_events_total.failed";
/// Keepalive takes up to 8 s to notice that nobody is there.
const PATIENCE: Duration = Duration::from_secs(20);

async fn start(text: String) -> Envoy {
    Envoy::start(Scenario {
        text: Some(text),
        ..Scenario::default()
    })
    .await
}

/// Asks on fresh connections until the answer has this status.
async fn wait_status(envoy: &Envoy, identity: &Identity, wanted: u16) {
    let (start, client) = (Instant::now(), Client::new(Some(identity)));
    loop {
        let connection = client.connect(envoy.listener_addr("web")).await.unwrap();
        let status = connection.http1().await.unwrap().get("/").await.status();
        if status == Some(wanted) {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "still {status:?}, not {wanted}");
        sleep(Duration::from_millis(50)).await;
    }
}

async fn wait_failed(envoy: &Envoy, least: u64) {
    let start = Instant::now();
    while envoy.stat(FAILED).await < least {
        assert!(start.elapsed() < PATIENCE, "no source has failed");
        sleep(Duration::from_millis(50)).await;
    }
}

fn partner_of(authority: &Authority, world: &World) -> Identity {
    authority.issue(Leaf::svid("spiffe://partner.example/ns/billing/x", world.now))
}

/// Passes bytes on to an agent. While it hangs, every connection stays open and nothing passes.
fn hanging_proxy(path: &Path, agent: &Path, hangs: &watch::Receiver<bool>) {
    let listener = UnixListener::bind(path).unwrap();
    let (agent, hangs) = (agent.to_owned(), hangs.clone());
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let far = UnixStream::connect(&agent).await.unwrap();
            let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
            tokio::spawn(pass(near_in, far_out, hangs.clone()));
            tokio::spawn(pass(far_in, near_out, hangs.clone()));
        }
    });
}

async fn pass(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, mut hangs: watch::Receiver<bool>) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if hangs.wait_for(|hangs| !hangs).await.is_err() || to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn agent_that_hangs_with_the_stream_open_is_noticed_and_followed_again_when_it_is_back() {
    let (world, home) = (World::new(), tempfile::tempdir().unwrap());
    let next = Authority::of(OWN, world.now);
    let [socket, behind] = ["agent.sock", "behind.sock"].map(|name| home.path().join(name));
    let agent = WorkloadApi::start(&behind);
    let bundles = |own: &Authority| {
        Bundles::default()
            .with(OWN, &[own])
            .with(PARTNER, &[&world.partner])
            .with("stranger.example", &[&world.stranger])
    };
    agent.set(bundles(&world.own));
    let (hang, hangs) = watch::channel(false);
    hanging_proxy(&socket, &behind, &hangs);
    let values = [("AGENT_SOCKET", socket.display().to_string())];
    let text = filled("federation/workload-api.yaml", home.path(), &world, &values);
    // The example waits for as long as SPIRE's agent bears.
    let patient = "interval: 360s, timeout: 20s";
    assert!(text.contains(patient));
    let envoy = start(text.replace(patient, "interval: 5s, timeout: 3s")).await;
    let own = world.own_identity("/api");
    wait_status(&envoy, &own, 200).await;
    wait_status(&envoy, &partner_of(&world.partner, &world), 200).await;
    let stranger = world
        .stranger
        .issue(Leaf::svid("spiffe://stranger.example/x", world.now));
    wait_status(&envoy, &stranger, 403).await;

    let before = envoy.stat(FAILED).await;
    hang.send(true).unwrap();
    agent.set(bundles(&next));
    wait_failed(&envoy, before + 1).await;
    wait_status(&envoy, &own, 200).await;
    hang.send(false).unwrap();
    wait_status(
        &envoy,
        &next.issue(Leaf::svid("spiffe://prod.example/api", world.now)),
        200,
    )
    .await;
    wait_status(&envoy, &own, 403).await;
}

/// An Envoy with an example of a bundle endpoint, which it asks every second.
struct Following {
    world: World,
    endpoint: BundleEndpoint,
    envoy: Envoy,
    _home: TempDir,
}

impl Following {
    /// `home` has the files that `values` name.
    async fn start(
        world: World,
        home: TempDir,
        identity: &Identity,
        example: &str,
        values: impl IntoIterator<Item = (&'static str, String)>,
    ) -> Self {
        let endpoint = BundleEndpoint::start(Some(identity));
        let address = [
            ("ENDPOINT_HOST", HOST.to_owned()),
            ("ENDPOINT_ADDRESS", endpoint.addr().ip().to_string()),
            ("ENDPOINT_PORT", endpoint.addr().port().to_string()),
        ];
        let values: Vec<_> = address.into_iter().chain(values).collect();
        let text = filled(example, home.path(), &world, &values);
        let patient = "path: / }";
        assert!(text.contains(patient));
        let text = text.replace(patient, "path: /, refresh: 1s }");
        let following = Self {
            envoy: start(text).await,
            world,
            endpoint,
            _home: home,
        };
        following.publish(&following.world.partner, 1);
        following
    }

    fn publish(&self, authority: &Authority, sequence: u64) {
        let document = bundle_document(&[authority], Some(sequence), None);
        self.endpoint.serve("/", Served::Document(document));
    }

    /// Peers with an SVID of this authority are accepted sooner or later.
    async fn accepts(&self, authority: &Authority) {
        wait_status(&self.envoy, &partner_of(authority, &self.world), 200).await;
    }

    async fn waits_for_requests(&self, least: usize) {
        let start = Instant::now();
        while self.endpoint.requests_total() < least {
            assert!(start.elapsed() < PATIENCE, "the endpoint is not asked");
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// The endpoint is asked and refused before it gets a request, twice; the last bundle stays.
    async fn refuses_the_endpoint(&self) {
        let (failed, requests) = (self.envoy.stat(FAILED).await, self.endpoint.requests_total());
        wait_failed(&self.envoy, failed + 2).await;
        assert_eq!(self.endpoint.requests_total(), requests);
    }
}

#[tokio::test]
async fn endpoint_of_the_web_profile_is_read_and_one_of_another_name_or_authority_is_not() {
    let (world, home) = (World::new(), tempfile::tempdir().unwrap());
    let web = |name: &str| {
        Authority::root(Profile {
            uri_sans: Vec::new(),
            common_name: Some(name.to_owned()),
            ..Profile::authority("web", world.now)
        })
    };
    let (right, wrong) = (web("web authority"), web("another authority"));
    let ca = home.path().join("web-ca.pem");
    fs::write(&ca, right.pem()).unwrap();
    let server = |authority: &Authority, name: &str| {
        authority.issue(Profile {
            dns_sans: vec![name.to_owned()],
            ..Profile::server(world.now)
        })
    };
    let good = server(&right, HOST);
    let impostors = [server(&right, "elsewhere.example"), server(&wrong, HOST)];
    let next = Authority::of(PARTNER, world.now);
    let values = [("WEB_CA", ca.display().to_string())];
    let mut following = Following::start(world, home, &good, "federation/https-web.yaml", values).await;
    following.accepts(&following.world.partner).await;
    following.publish(&next, 2);
    following.accepts(&next).await;
    for impostor in &impostors {
        following.endpoint.start_again_as(impostor);
        following.refuses_the_endpoint().await;
    }
    following.accepts(&next).await;
}

/// The file that Envoy keeps its trust in the endpoint in.
fn trust_in(authority: &Authority) -> Value {
    let mut bundle = bundle_json(&[authority]);
    (bundle["spiffe_sequence"], bundle["spiffe_refresh_hint"]) = (json!(7), json!(300));
    json!({ "trust_domains": { PARTNER: bundle } })
}

/// Writes beside and moves into place, as whoever renews the file has to.
fn renew(directory: &Path, trust: &Value) {
    let fresh = directory.join("fresh.json");
    fs::write(&fresh, trust.to_string()).unwrap();
    fs::rename(fresh, directory.join("bundles.json")).unwrap();
}

#[tokio::test]
async fn endpoint_of_the_spiffe_profile_that_rotates_is_read_when_the_file_of_its_trust_is_renewed() {
    let (world, home) = (World::new(), tempfile::tempdir().unwrap());
    let trusted = tempfile::tempdir().unwrap();
    let directory = trusted.path();
    let [next, last] = [Authority::of(PARTNER, world.now), Authority::of(PARTNER, world.now)];
    let now = world.now;
    let endpoint = |authority: &Authority, id: &str| authority.issue(Leaf::svid(id, now));
    renew(directory, &trust_in(&world.partner));
    let first = endpoint(&world.partner, ENDPOINT_ID);
    let values = [("TRUST", directory.display().to_string())];
    let mut following = Following::start(world, home, &first, "federation/https-spiffe.yaml", values).await;
    following.accepts(&following.world.partner).await;

    let impostor = endpoint(&following.world.partner, "spiffe://partner.example/ns/billing/x");
    following.endpoint.start_again_as(&impostor);
    following.refuses_the_endpoint().await;

    // The endpoint rotates: refused as long as the file is old, and the last bundle stays.
    following.publish(&next, 2);
    following.endpoint.start_again_as(&endpoint(&next, ENDPOINT_ID));
    following.refuses_the_endpoint().await;
    following.accepts(&following.world.partner).await;
    renew(directory, &trust_in(&next));
    following.accepts(&next).await;

    // Envoy takes no key for JWTs, which bundles of endpoints have too. Such a file changes nothing.
    let mut with_jwt_key = trust_in(&last);
    let mut key = last.key.jwk();
    (key["use"], key["kid"]) = (json!("jwt-svid"), json!("a key for JWTs"));
    let keys = &mut with_jwt_key["trust_domains"][PARTNER]["keys"];
    keys.as_array_mut().unwrap().push(key);
    renew(directory, &with_jwt_key);
    following.envoy.wait_log("missing or invalid 'use' field").await;
    following.endpoint.start_again();
    let answered = following.endpoint.requests_total();
    following.waits_for_requests(answered + 1).await;

    // Trust that is taken away is gone for the session that could be resumed, too.
    renew(directory, &trust_in(&last));
    following.endpoint.start_again();
    following.refuses_the_endpoint().await;
}
