//! The Envoy of an episode, with all that stands around it.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value, json};
use support::bundle_endpoint::{BundleEndpoint, Served, bundle_document};
use support::ca::Authority;
use support::envoy::{
    ClientCertificate, Cluster, Configuration, Delivery, Dial, Envoy, FailurePolicy, Keeping, Listener, Route,
    Scenario, Wasm, envoy_version,
};
use support::upstream::{Behaviour, HttpUpstream, TcpUpstream};
use support::workload_api::{Bundles, WorkloadApi};
use support::world::{OWN, PARTNER, World};
use support::{module_path, trapping_module_path};
use tempfile::TempDir;

use crate::document::Document;
use crate::script::{Answers, How, Name, Scene, Script};
use crate::words::Words;

/// How often counters of Envoy are looked at.
pub(crate) const POLL: Duration = Duration::from_millis(30);
/// The names of the two plugins.
const FILTERS: [&str; 2] = ["svidgate.connection", "svidgate.request"];

/// A running Envoy and its surroundings.
pub(crate) struct Stage {
    pub(crate) envoy: Envoy,
    pub(crate) world: World,
    pub(crate) scene: Scene,
    listeners: BTreeMap<Name, Now>,
    successor: Authority,
    endpoint: BundleEndpoint,
    agent: WorkloadApi,
    _upstreams: (HttpUpstream, TcpUpstream),
    _home: TempDir,
}

/// A listener as it is configured.
#[derive(Clone, Debug, PartialEq)]
struct Now {
    document: Document,
    /// Grows when the whole listener is to be replaced.
    edition: u64,
}

/// What Envoy has counted before an update.
pub(crate) struct Before(HashMap<String, u64>);

impl Stage {
    /// Starts it all.
    pub(crate) async fn start(script: &Script) -> Result<Self, String> {
        let (world, scene) = (World::new(), script.scene.clone());
        let http = HttpUpstream::start();
        http.behave(Behaviour::AsAsked);
        let tcp = TcpUpstream::echo();
        let endpoint = BundleEndpoint::start(None);
        endpoint.serve("/partner.json", partner_bundle(&[&world.partner]));
        let home = tempfile::tempdir().map_err(|error| error.to_string())?;
        let socket: PathBuf = home.path().join("agent.sock");
        let agent = WorkloadApi::start(&socket);
        agent.set(
            Bundles::default()
                .with(OWN, &[&world.own])
                .with(PARTNER, &[&world.partner]),
        );
        let now = |name: &Name| {
            let document = script.document.clone();
            (*name, Now { document, edition: 0 })
        };
        let listeners: BTreeMap<Name, Now> = scene.listeners.iter().map(now).collect();
        let successor = Authority::of(OWN, world.now);
        let scenario = Scenario {
            listeners: built(&scene, &world, &successor, &listeners, None),
            clusters: vec![
                Cluster::http2("app", http.addr()),
                Cluster::new("db", tcp.addr()),
                Cluster::new("endpoint", endpoint.addr()),
                Cluster::unix("agent", &socket),
            ],
            concurrency: scene.workers,
            wasm_log_level: "info".to_owned(),
            lds: !scene.ecds,
            drain_time: Some(Duration::from_secs(scene.drain)),
            ..Scenario::default()
        };
        let envoy = Envoy::try_start(scenario).await?;
        Ok(Stage {
            envoy,
            world,
            scene,
            listeners,
            successor,
            endpoint,
            agent,
            _upstreams: (http, tcp),
            _home: home,
        })
    }

    /// Where a listener listens, if it does.
    pub(crate) async fn addr(&self, name: Name) -> Option<SocketAddr> {
        if self.scene.ecds {
            return Some(self.envoy.listener_addr(name.word()));
        }
        self.envoy.listeners_now().await?.get(name.word()).copied()
    }

    /// Which listeners an update changes.
    pub(crate) fn changed_by(&self, listener: Name) -> Vec<Name> {
        if self.scene.ecds {
            return self.scene.listeners.clone();
        }
        vec![listener]
    }

    /// Writes an update; false where it would change nothing.
    pub(crate) fn update(&mut self, listener: Name, how: How, document: &Document) -> bool {
        // Behind a TCP listener's module there is nothing that could be mistaken.
        let is_tcp = listener == Name::Db;
        let how = if is_tcp && how == How::Refused {
            How::Drained
        } else {
            how
        };
        let is_same = self
            .listeners
            .get(&listener)
            .is_some_and(|now| now.document == *document);
        if self.scene.ecds {
            if is_same {
                return false;
            }
            for now in self.listeners.values_mut() {
                now.document = document.clone();
            }
            let configuration = Configuration::Json(document.json(&self.world, &self.successor, false));
            for filter in FILTERS.iter().skip(usize::from(!self.scene.both_filters)) {
                self.envoy.replace_ecds(filter, configuration.clone());
            }
            return true;
        }
        let edition = self.listeners.get(&listener).map_or(0, |now| now.edition);
        if is_same && how == How::InPlace {
            return false;
        }
        let now = Now {
            document: document.clone(),
            edition: edition + u64::from(how != How::InPlace),
        };
        if how == How::Refused {
            let mut refused = self.listeners.clone();
            refused.insert(listener, now);
            let refused = built(&self.scene, &self.world, &self.successor, &refused, Some(listener));
            self.envoy.replace_listeners(&refused);
        } else {
            self.listeners.insert(listener, now);
            self.write_listeners();
        }
        true
    }

    /// Takes a listener away; false where there is none, or it could not come back.
    pub(crate) fn remove(&mut self, listener: Name) -> bool {
        if self.scene.ecds || self.listeners.remove(&listener).is_none() {
            return false;
        }
        self.write_listeners();
        true
    }

    fn write_listeners(&self) {
        let listeners = built(&self.scene, &self.world, &self.successor, &self.listeners, None);
        self.envoy.replace_listeners(&listeners);
    }

    /// What Envoy has counted of updates.
    pub(crate) async fn before(&self) -> Option<Before> {
        Some(Before(numbers(&self.envoy.try_admin("/stats").await?)))
    }

    /// Whether what was written since is accepted by now (true), refused (false), or neither yet.
    pub(crate) async fn is_settled(&self, before: &Before) -> Option<bool> {
        let now = numbers(&self.envoy.try_admin("/stats").await?);
        let grown = |name: &str| now.get(name).copied().unwrap_or(0) > before.0.get(name).copied().unwrap_or(0);
        if !self.scene.ecds {
            let is_warm = now.get("listener_manager.total_listeners_warming") == Some(&0);
            return if grown("listener_manager.lds.update_rejected") {
                Some(false)
            } else {
                (is_warm && grown("listener_manager.lds.update_success")).then_some(true)
            };
        }
        let filters = FILTERS.iter().zip(["network_filter", "http_filter"]);
        let mut filters = filters
            .skip(usize::from(!self.scene.both_filters))
            .map(|(filter, kind)| format!("extension_config_discovery.{kind}.{filter}"));
        if filters.clone().any(|filter| grown(&format!("{filter}.config_fail"))) {
            return Some(false);
        }
        filters
            .all(|filter| grown(&format!("{filter}.config_reload")))
            .then_some(true)
    }

    /// What Envoy holds for peers: connections and requests.
    pub(crate) async fn held(&self) -> Option<u64> {
        let now = numbers(&self.envoy.try_admin("/stats").await?);
        let names = ["web", "web2", "db"].map(|name| {
            [
                format!("http.{name}.downstream_cx_active"),
                format!("http.{name}.downstream_rq_active"),
                format!("listener.{name}.downstream_cx_active"),
                format!("listener.{name}.downstream_pre_cx_active"),
            ]
        });
        let held = names.iter().flatten().filter_map(|name| now.get(name));
        Some(held.sum())
    }

    /// What the bundle endpoint answers from now on.
    pub(crate) fn endpoint(&self, answers: Answers) {
        let served = match answers {
            Answers::Good => partner_bundle(&[&self.world.partner]),
            Answers::Other => partner_bundle(&[&self.successor]),
            Answers::Never => Served::Never,
            Answers::Fails => Served::Status(503),
            Answers::Half => Served::Truncated(bundle_document(&[&self.world.partner], Some(1), Some(1))),
        };
        self.endpoint.serve("/partner.json", served);
    }

    /// What the Workload API says from now on. True where it says to a listening proxy that the partner has another
    /// authority.
    pub(crate) fn workload(&self, answers: Answers) -> bool {
        let bundles = |partner: &Authority| {
            Bundles::default()
                .with(OWN, &[&self.world.own])
                .with(PARTNER, &[partner])
        };
        self.agent.silent(answers == Answers::Never);
        match answers {
            Answers::Good => self.agent.set(bundles(&self.world.partner)),
            Answers::Other => self.agent.set(bundles(&self.successor)),
            Answers::Never => {}
            Answers::Fails => self.agent.reset_streams(),
            Answers::Half => self.agent.abort_mid_message(),
        }
        answers == Answers::Other && self.agent.streams() > 0
    }
}

fn partner_bundle(authorities: &[&Authority]) -> Served {
    Served::Document(bundle_document(authorities, None, Some(1)))
}

/// The listeners; `mistaken` has a filter behind the module that Envoy refuses.
fn built(
    scene: &Scene,
    world: &World,
    successor: &Authority,
    listeners: &BTreeMap<Name, Now>,
    mistaken: Option<Name>,
) -> Vec<Listener> {
    let all = listeners.iter();
    all.map(|(name, now)| listener(scene, world, successor, *name, now, mistaken == Some(*name)))
        .collect()
}

fn listener(scene: &Scene, world: &World, successor: &Authority, name: Name, now: &Now, is_mistaken: bool) -> Listener {
    let is_tcp = name == Name::Db;
    let module = if scene.can_trap {
        trapping_module_path()
    } else {
        module_path()
    };
    let wasm = Wasm {
        failure_policy: if scene.reloads {
            FailurePolicy::Reload
        } else {
            FailurePolicy::Closed
        },
        delivery: if scene.ecds { Delivery::Ecds } else { Delivery::Static },
        // One name for all listeners: the newest document under it judges on each of them.
        name: Some("shared".to_owned()),
        ..Wasm::new(&module, now.document.json(world, successor, is_tcp))
    };
    let mut listener = if is_tcp {
        Listener::tcp(name.word(), "db", Dial::OnDownstreamData).connection_filter(wasm)
    } else {
        let listener = Listener::http(name.word(), [Route::to("app", "/", "app")]).request_filter(wasm.clone());
        if scene.both_filters {
            listener.connection_filter(wasm)
        } else {
            listener
        }
    };
    listener = listener.tls(&world.server, ClientCertificate::AcceptUntrusted);
    listener = listener.keeping_certificate(match (envoy_version(), scene.both_filters || is_tcp) {
        (version, _) if version >= (1, 38) => Keeping::No,
        (version, _) if version >= (1, 37) => Keeping::OnTlsHandshake,
        (_, true) => Keeping::BehindHold,
        (_, false) => Keeping::AtRequest,
    });
    if is_mistaken && let support::envoy::Kind::Http(http) = &mut listener.kind {
        http.filters_after = vec![mistake()];
    }
    listener.also = Map::from_iter([(
        "per_connection_buffer_limit_bytes".to_owned(),
        json!(1_048_576 + now.edition),
    )]);
    if scene.inspects {
        listener
            .also
            .insert("listener_filters".to_owned(), json!([inspector()]));
    }
    listener
}

/// A filter that Envoy refuses: a script that is none.
fn mistake() -> Value {
    json!({
        "name": "envoy.filters.http.lua",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua",
            "default_source_code": { "inline_string": "this is no script" },
        },
    })
}

fn inspector() -> Value {
    json!({
        "name": "envoy.filters.listener.tls_inspector",
        "typed_config": { "@type": "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector" },
    })
}

fn numbers(stats: &str) -> HashMap<String, u64> {
    let lines = stats.lines().filter_map(|line| line.split_once(": "));
    lines
        .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
        .collect()
}
