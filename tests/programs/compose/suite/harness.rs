//! The hosts: the files that they mount, what they are asked, what they wrote. Dropping a harness takes everything
//! down.

use std::{
    env,
    fs::{self, File},
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use support::{
    bundle_endpoint::bundle_document,
    ca::{Authority, Identity, Leaf, Profile, real_now},
    module_path, repository,
};

use crate::engine::{attempt, compose, interrupted, run, wait};

/// How long bringing everything up may take, taking it down, and any other call.
const UP_SECONDS: u32 = 120;
const DOWN_SECONDS: u32 = 60;
const CALL_SECONDS: u32 = 20;

/// What Envoy's main thread has fetched, a worker takes in on its next tick, within a second.
const TAKEN_IN: Duration = Duration::from_secs(2);

const ENVOYS: [&str; 4] = ["prod-sidecar", "prod-gateway", "partner-sidecar", "partner-gateway"];

/// The two sides, whose clocks are four minutes apart.
pub(crate) const SIDES: [Side; 2] = [
    Side {
        name: "prod",
        other: "partner",
        ahead: -120,
    },
    Side {
        name: "partner",
        other: "prod",
        ahead: 120,
    },
];

#[derive(Clone, Copy)]
pub(crate) struct Side {
    pub(crate) name: &'static str,
    pub(crate) other: &'static str,
    /// By how many seconds its clocks are fast.
    ahead: i64,
}

impl Side {
    /// The time on this side.
    pub(crate) fn now(&self) -> Timestamp {
        real_now() + SignedDuration::from_secs(self.ahead)
    }

    pub(crate) fn authority(&self) -> Authority {
        Authority::of(&self.domain(), self.now())
    }

    /// An SVID as this side issues it: valid from now on, backdated by the usual five minutes.
    pub(crate) fn svid(&self, authority: &Authority, path: &str) -> Identity {
        authority.issue(self.profile(path))
    }

    pub(crate) fn profile(&self, path: &str) -> Profile {
        Leaf {
            not_before: self.now() - SignedDuration::from_mins(5),
            ..Leaf::svid(&self.id(path), self.now())
        }
    }

    pub(crate) fn id(&self, path: &str) -> String {
        format!("spiffe://{}{path}", self.domain())
    }

    fn domain(&self) -> String {
        format!("{}.example", self.name)
    }

    /// Its host of this kind.
    pub(crate) fn host(&self, kind: &str) -> String {
        format!("{}-{kind}", self.name)
    }

    /// A log of one of its hosts, such as `app/requests`.
    pub(crate) fn log(&self, name: &str) -> String {
        format!("{}-{name}.log", self.name)
    }
}

pub(crate) struct Harness {
    home: PathBuf,
    image: String,
    project: String,
    compose: &'static [&'static str],
    /// One run at a time in this clone.
    _lock: File,
}

/// What there was to read before a bundle was published.
pub(crate) struct Published {
    sequence: u64,
    /// How often each sidecar had taken something from its agent.
    taken: [usize; 2],
}

impl Harness {
    /// Writes every file and brings everything up.
    pub(crate) fn start(authorities: &[Authority; 2]) -> Self {
        let image = env::var("ENVOY_IMAGE").expect("`make compose-test` sets ENVOY_IMAGE");
        let home = repository().join("target/compose");
        let lock = File::create(home.with_extension("lock")).expect("a lock");
        lock.try_lock().expect("no other run in this clone");
        // Two clones on one engine do not get into each other's way.
        let mut clone = DefaultHasher::new();
        home.hash(&mut clone);
        let harness = Harness {
            home,
            image,
            project: format!("svidgate-{:08x}", clone.finish() >> 32),
            compose: compose(),
            _lock: lock,
        };
        // Of a run that was killed.
        harness.compose(DOWN_SECONDS, &["down", "--timeout", "0", "--volumes"]);
        harness.write(authorities);
        harness.compose(UP_SECONDS, &["up", "--detach"]);
        harness
    }

    fn write(&self, authorities: &[Authority; 2]) {
        if self.home.exists() {
            fs::remove_dir_all(&self.home).expect("what an earlier run wrote can be removed");
        }
        let lib = self.directory("lib");
        let built = env::current_exe().expect("a program");
        for (name, from) in [
            ("svidgate.wasm", module_path()),
            ("host", built.with_file_name("compose-host")),
            ("clock.so", built.with_file_name("compose-clock.so")),
        ] {
            fs::copy(&from, lib.join(name)).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
        }
        let web = Authority::root(Profile {
            uri_sans: Vec::new(),
            ..Profile::authority("web", real_now())
        });
        fs::write(lib.join("web-ca.pem"), web.pem()).expect("a file");
        for (side, authority) in SIDES.iter().zip(authorities) {
            self.write_side(side, authority, &web);
            self.publish(side, &[authority]);
        }
    }

    fn write_side(&self, side: &Side, authority: &Authority, web: &Authority) {
        for kind in ["sidecar", "gateway"] {
            let template = repository().join(format!("envoy/compose/{kind}.yaml"));
            let text = fs::read_to_string(template).expect("the configuration is there");
            let text = text.replace("${OWN}", side.name).replace("${OTHER}", side.other);
            fs::write(self.directory(&side.host(kind)).join("envoy.yaml"), text).expect("a file");
        }
        self.present(side, "sidecar", &side.svid(authority, "/ns/billing/sa/api"));
        self.present(side, "gateway", &side.svid(authority, "/gateway"));
        self.directory(&side.host("app"));
        let endpoint = side.host("bundles");
        let server = web.issue(Profile {
            dns_sans: vec![endpoint.clone()],
            // Good on both sides.
            not_before: real_now() - SignedDuration::from_mins(5),
            ..Profile::server(real_now())
        });
        let directory = self.directory(&endpoint);
        fs::write(directory.join("server.pem"), server.chain_pem()).expect("a file");
        fs::write(directory.join("server.key"), server.key_pem()).expect("a file");
    }

    fn directory(&self, name: &str) -> PathBuf {
        let path = self.home.join(name);
        fs::create_dir_all(&path).expect("a directory");
        path
    }

    /// The bundle of a side, from its endpoint and from the agents of both.
    pub(crate) fn publish(&self, side: &Side, authorities: &[&Authority]) -> Published {
        let sequence = u64::try_from(real_now().as_millisecond()).expect("after 1970");
        let taken = SIDES.map(|side| self.taken_from_agent(&side));
        let document = bundle_document(authorities, Some(sequence), Some(1));
        replace(&self.directory(&side.host("bundles")).join("bundle.json"), &document);
        let der: Vec<&[u8]> = authorities.iter().map(|authority| &*authority.certificate).collect();
        for agent in SIDES {
            let bundles = self.directory(&agent.host("agent/bundles"));
            replace(&bundles.join(format!("{}.der", side.domain())), &der.concat());
        }
        Published { sequence, taken }
    }

    /// Waits until every Envoy has it, by what its log says.
    pub(crate) fn wait_taken(&self, published: &Published) {
        let sequence = format!("sequence {}", published.sequence);
        for (side, before) in SIDES.iter().zip(published.taken) {
            wait(|| {
                let sidecar = self.taken_from_agent(side) > before;
                let gateway = self.text(&side.log("gateway/envoy")).contains(&sequence);
                (sidecar && gateway)
                    .then_some(())
                    .ok_or(format!("not everybody on the side of {} has {sequence}", side.name))
            });
        }
        thread::sleep(TAKEN_IN);
    }

    fn taken_from_agent(&self, side: &Side) -> usize {
        let log = self.text(&side.log("sidecar/envoy"));
        log.matches("new content from the Workload API").count()
    }

    /// What an Envoy presents from now on.
    pub(crate) fn present(&self, side: &Side, kind: &str, identity: &Identity) {
        let secret = json!({ "resources": [{
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
            "name": "svid",
            "tls_certificate": {
                "certificate_chain": { "inline_string": identity.chain_pem() },
                "private_key": { "inline_string": identity.key_pem() },
            },
        }]});
        let directory = self.directory(&side.host(&format!("{kind}/sds")));
        replace(&directory.join("svid.yaml"), secret.to_string().as_bytes());
    }

    /// The client of a side, which asks its sidecar.
    pub(crate) fn client(&self, side: &Side) -> Client {
        self.client_on(&side.host("client"), &format!("{}:8080", side.host("sidecar")))
    }

    /// A client that asks this place from this host.
    pub(crate) fn client_on(&self, host: &str, place: &str) -> Client {
        Client {
            container: self.container(host),
            place: place.to_owned(),
        }
    }

    /// Asks again and again until the answer is this.
    pub(crate) fn wait_answer(&self, side: &Side, path: &str, wanted: &str) {
        let client = self.client(side);
        wait(|| {
            let answer = client.get(path);
            (answer == wanted)
                .then_some(())
                .ok_or(format!("{path} from {}: {answer}, not {wanted}", side.name))
        });
    }

    /// Asks again and again until a connection is refused for this reason, by what it says in a log of the other side.
    pub(crate) fn wait_refusal(&self, side: &Side, path: &str, log: &str, reason: &str) {
        let client = self.client(side);
        let before = self.lines(log).len();
        wait(|| {
            let answer = client.get(path);
            let lines = self.lines(log);
            let refused = lines[before..].iter().any(|line| line["svidgate"]["reason"] == reason);
            (refused && answer == "503")
                .then_some(())
                .ok_or(format!("{path} from {}: {answer}, and no {reason} in {log}", side.name))
        });
    }

    /// Waits for a line of a log that has these members.
    pub(crate) fn wait_line(&self, log: &str, wanted: &[(&str, &str)]) -> Value {
        wait(|| {
            let lines = self.lines(log);
            let has_all = |line: &&Value| {
                wanted
                    .iter()
                    .all(|(pointer, value)| line.pointer(pointer) == Some(&json!(value)))
            };
            lines
                .iter()
                .rfind(has_all)
                .cloned()
                .ok_or_else(|| format!("no line of {log} has {wanted:?}: {lines:#?}"))
        })
    }

    /// The whole lines of a log.
    pub(crate) fn lines(&self, log: &str) -> Vec<Value> {
        let text = self.text(log);
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(line_of_log).collect()
    }

    /// What a log says, nothing as long as there is none.
    fn text(&self, log: &str) -> String {
        let bytes = fs::read(self.home.join(log)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Cuts a host off from the network between the domains.
    pub(crate) fn cut_off(&self, host: &str) {
        let network = format!("{}_between", self.project);
        docker(&["network", "disconnect", &network, &self.container(host)]);
    }

    /// Ends what [`Harness::cut_off`] began.
    pub(crate) fn join(&self, host: &str) {
        let network = format!("{}_between", self.project);
        docker(&["network", "connect", "--alias", host, &network, &self.container(host)]);
    }

    /// Kills every process of a host.
    pub(crate) fn kill(&self, host: &str) {
        docker(&["kill", &self.container(host)]);
    }

    /// Starts a host that was killed, with its files as they were.
    pub(crate) fn start_again(&self, host: &str) {
        docker(&["start", &self.container(host)]);
    }

    /// The networks of a host, and its address on each.
    pub(crate) fn addresses(&self, host: &str) -> Vec<(String, String)> {
        let format = "{{range $name, $on := .NetworkSettings.Networks}}{{$name}} {{$on.IPAddress}}\n{{end}}";
        let found = docker(&["inspect", "--format", format, &self.container(host)]);
        let addresses = found.lines().filter_map(|line| line.split_once(' '));
        addresses
            .map(|(network, address)| {
                let network = network.trim_start_matches(&*self.project).trim_start_matches('_');
                (network.to_owned(), address.to_owned())
            })
            .collect()
    }

    /// Which of these places a host can connect to.
    pub(crate) fn reached(&self, host: &str, places: &[&str]) -> Vec<String> {
        let container = self.container(host);
        let reach = ["exec", &*container, "/harness/host", "reach"];
        let reached = docker(&[&reach, places].concat());
        reached.lines().map(str::to_owned).collect()
    }

    /// As `docker-compose.yaml` names it: the two Composes would call it by different names.
    fn container(&self, host: &str) -> String {
        format!("{}-{host}", self.project)
    }

    fn compose(&self, seconds: u32, arguments: &[&str]) -> String {
        let command = [self.compose, arguments].concat();
        self.with_environment(|environment| run(seconds, &command, environment))
    }

    fn with_environment<T>(&self, call: impl FnOnce(&[(&str, &str)]) -> T) -> T {
        let file = repository().join("envoy/compose/docker-compose.yaml");
        let [prod, partner] = SIDES.map(|side| side.ahead.to_string());
        call(&[
            ("COMPOSE_FILE", &file.to_string_lossy()),
            ("COMPOSE_PROJECT_NAME", &self.project),
            ("ENVOY_IMAGE", &self.image),
            ("HARNESS", &self.home.to_string_lossy()),
            ("PROD_AHEAD", &prod),
            ("PARTNER_AHEAD", &partner),
        ])
    }
}

impl Drop for Harness {
    fn drop(&mut self) {
        if thread::panicking() && !interrupted() {
            for envoy in ENVOYS {
                let log = self.text(&format!("{envoy}/envoy.log"));
                let lines: Vec<&str> = log.lines().collect();
                eprintln!("--- the last of {envoy}");
                eprintln!("{}", lines[lines.len().saturating_sub(8)..].join("\n"));
            }
        }
        let down = [self.compose, &["down", "--timeout", "0", "--volumes"]].concat();
        let output = self.with_environment(|environment| attempt(DOWN_SECONDS, &down, environment));
        if !output.status.success() {
            let why = format!("the harness could not be taken down: {output:?}");
            // A second panic would end the program without a word.
            if thread::panicking() {
                eprintln!("{why}");
            } else {
                panic!("{why}");
            }
        }
    }
}

/// Who asks whom.
#[derive(Clone)]
pub(crate) struct Client {
    container: String,
    place: String,
}

impl Client {
    /// The status, or why there is none.
    pub(crate) fn get(&self, path: &str) -> String {
        self.ask("GET", path)
    }

    pub(crate) fn ask(&self, method: &str, path: &str) -> String {
        docker(&[
            "exec",
            &self.container,
            "/harness/host",
            "ask",
            &self.place,
            method,
            path,
        ])
    }

    /// Asks for this without a pause, until it is told to end.
    pub(crate) fn steadily(&self, path: &'static str) -> Steady {
        let end = Arc::new(AtomicBool::new(false));
        let (client, is_over) = (self.clone(), end.clone());
        let thread = thread::spawn(move || {
            let mut answers = Vec::new();
            while !is_over.load(Ordering::SeqCst) {
                answers.push(client.get(path));
            }
            answers
        });
        Steady {
            end,
            thread: Some(thread),
        }
    }
}

/// Requests without a pause.
pub(crate) struct Steady {
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<String>>>,
}

impl Steady {
    /// Every answer that came.
    pub(crate) fn end(mut self) -> Vec<String> {
        self.end.store(true, Ordering::SeqCst);
        let thread = self.thread.take().expect("it is ended once");
        thread.join().expect("no request failed to be sent")
    }
}

impl Drop for Steady {
    fn drop(&mut self) {
        self.end.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            // Something else has failed already.
            let _ = thread.join();
        }
    }
}

fn docker(arguments: &[&str]) -> String {
    run(CALL_SECONDS, &[&["docker"], arguments].concat(), &[])
}

/// A line, with what svidgate says of itself opened: Envoy writes it as text.
fn line_of_log(text: &str) -> Value {
    let mut line: Value = serde_json::from_str(text).expect("a line of JSON");
    if let Some(record) = line["svidgate"].as_str() {
        line["svidgate"] = serde_json::from_str(record).expect("a record is JSON");
    }
    line
}

/// Writes beside and moves into place.
fn replace(path: &Path, bytes: &[u8]) {
    let fresh = path.with_extension("new");
    fs::write(&fresh, bytes).expect("a file");
    fs::rename(fresh, path).expect("a file is moved into place");
}
