//! A control plane that delivers svidgate's plugins: `AggregatedDiscoveryService` with the types and the service of the
//! crate `envoy-types`, over tonic. It says what is published to whoever subscribes, and keeps what Envoy answers.
//!
//! ```
//! # async fn example(document: serde_json::Value) {
//! use grpc::xds::{Answer, ControlPlane, Plugin};
//!
//! let control_plane = ControlPlane::start().await;
//! control_plane.publish("1", &Plugin::both(&document));
//! assert_eq!(control_plane.wait_answer("1").await, Answer::Accepted);
//! # }
//! ```

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use envoy_types::pb::envoy::config::core::v3::async_data_source::Specifier as CodeSpecifier;
use envoy_types::pb::envoy::config::core::v3::data_source::Specifier;
use envoy_types::pb::envoy::config::core::v3::{AsyncDataSource, DataSource, TypedExtensionConfig};
use envoy_types::pb::envoy::extensions::filters::{http, network};
use envoy_types::pb::envoy::extensions::wasm::v3::{FailurePolicy, PluginConfig, VmConfig, plugin_config::Vm};
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_server::{
    AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
};
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse, Resource,
};
use envoy_types::pb::google::protobuf::Any;
use futures_util::{Stream, stream};
use prost::{Message, Name};
use serde_json::Value;
use support::client::PATIENCE;
use support::server::lock;
use support::{module_path, repository};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tonic::transport::server::{Server, TcpIncoming};
use tonic::{Request, Response, Status, Streaming};

/// One plugin as a resource: those of `envoy/xds/resources.yaml` with a document.
#[derive(Clone, Debug)]
pub struct Plugin {
    name: String,
    resource: Any,
}

impl Plugin {
    /// The network filter and the HTTP filter with the same document.
    ///
    /// # Panics
    /// When what is shipped is no resource.
    pub fn both(document: &Value) -> Vec<Self> {
        let path = repository().join("envoy/xds/resources.yaml");
        let text = fs::read_to_string(path).expect("the resources are shipped");
        let text = text.replace("${MODULE}", &module_path().display().to_string());
        let shipped: Vec<Value> = serde_saphyr::from_str(&text).expect("the resources are YAML");
        shipped.iter().map(|resource| Self::of(resource, document)).collect()
    }

    fn of(shipped: &Value, document: &Value) -> Self {
        let typed_config = &shipped["typed_config"];
        let config = Some(plugin(&typed_config["config"], document));
        let network = network::wasm::v3::Wasm { config: config.clone() };
        let http = http::wasm::v3::Wasm { config };
        let known = [any(&network), any(&http)];
        let typed_config = known
            .into_iter()
            .find(|any| typed_config["@type"] == any.type_url.as_str());
        let name = string(&shipped["name"]);
        let resource = any(&TypedExtensionConfig {
            name: name.clone(),
            typed_config: Some(typed_config.expect("a filter of a known type")),
        });
        assert_eq!(shipped["@type"], resource.type_url.as_str());
        Plugin { name, resource }
    }
}

fn string(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("`{value}` is no text"))
        .to_owned()
}

fn any<M: Message + Name>(message: &M) -> Any {
    Any {
        type_url: M::type_url(),
        value: message.encode_to_vec(),
    }
}

fn plugin(shipped: &Value, document: &Value) -> PluginConfig {
    let vm = &shipped["vm_config"];
    let module = DataSource {
        specifier: Some(Specifier::Filename(string(&vm["code"]["local"]["filename"]))),
        ..DataSource::default()
    };
    let code = AsyncDataSource {
        specifier: Some(CodeSpecifier::Local(module)),
    };
    let vm = VmConfig {
        vm_id: string(&vm["vm_id"]),
        runtime: string(&vm["runtime"]),
        code: Some(code),
        ..VmConfig::default()
    };
    let failure_policy = FailurePolicy::from_str_name(&string(&shipped["failure_policy"])).expect("a failure policy");
    PluginConfig {
        name: string(&shipped["name"]),
        root_id: string(&shipped["root_id"]),
        failure_policy: failure_policy.into(),
        // Of a `google.protobuf.StringValue`, which is how `prost` writes a string.
        configuration: Some(Any {
            type_url: string(&shipped["configuration"]["@type"]),
            value: document.to_string().encode_to_vec(),
        }),
        vm: Some(Vm::VmConfig(vm)),
        ..PluginConfig::default()
    }
}

/// What Envoy says to what was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// ACK.
    Accepted,
    /// NACK, with the error.
    Refused(String),
}

/// What there is to be had.
#[derive(Clone, Debug, Default)]
struct Published {
    version: String,
    resources: BTreeMap<String, Any>,
}

/// A control plane, gone when it is dropped.
#[derive(Debug)]
pub struct ControlPlane {
    addr: SocketAddr,
    publish: watch::Sender<Published>,
    answers: Answers,
    server: JoinHandle<()>,
}

/// By version, in the order in which they came.
type Answers = Arc<Mutex<Vec<(String, Answer)>>>;

impl ControlPlane {
    /// Listens. Until something is published, whoever subscribes waits.
    ///
    /// # Panics
    /// When there is no port to be had.
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port of loopback");
        let addr = listener.local_addr().expect("a bound socket has an address");
        let (publish, published) = watch::channel(Published::default());
        let answers = Answers::default();
        let service = AggregatedDiscoveryServiceServer::new(Service {
            published,
            answers: Arc::clone(&answers),
        });
        let server = tokio::spawn(async move {
            let serving = Server::builder().add_service(service);
            // It ends with the task.
            let _ = serving.serve_with_incoming(TcpIncoming::from(listener)).await;
        });
        ControlPlane {
            addr,
            publish,
            answers,
            server,
        }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Puts these plugins in the place of those before, under a version that has not been used yet.
    pub fn publish(&self, version: &str, plugins: &[Plugin]) {
        let resources = plugins
            .iter()
            .map(|plugin| (plugin.name.clone(), plugin.resource.clone()))
            .collect();
        self.publish.send_replace(Published {
            version: version.to_owned(),
            resources,
        });
    }

    /// Waits for the answer to a version; of several, the last so far.
    ///
    /// # Panics
    /// When there is none.
    pub async fn wait_answer(&self, version: &str) -> Answer {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answers = lock(&self.answers).clone();
            if let Some((_, answer)) = answers.iter().rev().find(|(known, _)| known == version) {
                return answer.clone();
            }
            assert!(Instant::now() < deadline, "no answer to version {version}: {answers:?}");
            sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        self.server.abort();
    }
}

struct Service {
    published: watch::Receiver<Published>,
    answers: Answers,
}

type Responses<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl AggregatedDiscoveryService for Service {
    type StreamAggregatedResourcesStream = Responses<DiscoveryResponse>;
    type DeltaAggregatedResourcesStream = Responses<DeltaDiscoveryResponse>;

    async fn stream_aggregated_resources(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        let (tell, told) = unbounded_channel();
        let subscriber = Subscriber {
            published: self.published.clone(),
            answers: Arc::clone(&self.answers),
            tell,
            names: Vec::new(),
            sent: HashMap::new(),
        };
        tokio::spawn(subscriber.converse(request.into_inner()));
        let responses = stream::unfold(told, |mut told| async { Some((Ok(told.recv().await?), told)) });
        Ok(Response::new(Box::pin(responses)))
    }

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        let (tell, told) = unbounded_channel();
        let subscriber = DeltaSubscriber {
            published: self.published.clone(),
            answers: Arc::clone(&self.answers),
            tell,
            names: BTreeSet::new(),
            sent: HashMap::new(),
        };
        tokio::spawn(subscriber.converse(request.into_inner()));
        let responses = stream::unfold(told, |mut told| async { Some((Ok(told.recv().await?), told)) });
        Ok(Response::new(Box::pin(responses)))
    }
}

/// One stream.
struct Subscriber {
    published: watch::Receiver<Published>,
    answers: Answers,
    tell: UnboundedSender<DiscoveryResponse>,
    /// What it has subscribed to.
    names: Vec<String>,
    /// Which version went out with which nonce.
    sent: HashMap<String, String>,
}

impl Subscriber {
    async fn converse(mut self, mut requests: Streaming<DiscoveryRequest>) {
        loop {
            tokio::select! {
                request = requests.message() => match request {
                    Ok(Some(request)) => self.hear(request),
                    Ok(None) | Err(_) => return,
                },
                changed = self.published.changed() => match changed {
                    Ok(()) => self.send(),
                    Err(_) => return,
                },
            }
        }
    }

    fn hear(&mut self, request: DiscoveryRequest) {
        if request.type_url != TypedExtensionConfig::type_url() {
            return;
        }
        if let Some(version) = self.sent.get(&request.response_nonce) {
            let answer = match request.error_detail {
                Some(error) => Answer::Refused(error.message),
                None => Answer::Accepted,
            };
            lock(&self.answers).push((version.clone(), answer));
        }
        let is_new = request.resource_names.iter().any(|name| !self.names.contains(name));
        self.names = request.resource_names;
        if is_new {
            self.send();
        }
    }

    fn send(&mut self) {
        let published = self.published.borrow_and_update().clone();
        let wanted = |(name, _): &(&String, &Any)| self.names.contains(name);
        let resources: Vec<Any> = published
            .resources
            .iter()
            .filter(wanted)
            .map(|(_, resource)| resource.clone())
            .collect();
        if resources.is_empty() {
            return;
        }
        let nonce = format!("{}", self.sent.len());
        self.sent.insert(nonce.clone(), published.version.clone());
        // Where nobody listens any more, the stream is about to end.
        let _ = self.tell.send(DiscoveryResponse {
            version_info: published.version,
            resources,
            type_url: TypedExtensionConfig::type_url(),
            nonce,
            ..DiscoveryResponse::default()
        });
    }
}

/// One stream on which only what changes is told. What is not published any more is removed.
struct DeltaSubscriber {
    published: watch::Receiver<Published>,
    answers: Answers,
    tell: UnboundedSender<DeltaDiscoveryResponse>,
    names: BTreeSet<String>,
    sent: HashMap<String, String>,
}

impl DeltaSubscriber {
    async fn converse(mut self, mut requests: Streaming<DeltaDiscoveryRequest>) {
        loop {
            tokio::select! {
                request = requests.message() => match request {
                    Ok(Some(request)) => self.hear(request),
                    Ok(None) | Err(_) => return,
                },
                changed = self.published.changed() => match changed {
                    Ok(()) => self.send(true),
                    Err(_) => return,
                },
            }
        }
    }

    fn hear(&mut self, request: DeltaDiscoveryRequest) {
        if request.type_url != TypedExtensionConfig::type_url() {
            return;
        }
        if let Some(version) = self.sent.get(&request.response_nonce) {
            let answer = match request.error_detail {
                Some(error) => Answer::Refused(error.message),
                None => Answer::Accepted,
            };
            lock(&self.answers).push((version.clone(), answer));
        }
        let before = self.names.len();
        self.names.extend(request.resource_names_subscribe);
        if self.names.len() > before {
            self.send(false);
        }
    }

    fn send(&mut self, with_removals: bool) {
        let published = self.published.borrow_and_update().clone();
        let version = &published.version;
        let wanted = self.names.iter().filter_map(|name| {
            Some(Resource {
                name: name.clone(),
                version: version.clone(),
                resource: Some(published.resources.get(name)?.clone()),
                ..Resource::default()
            })
        });
        let resources: Vec<Resource> = wanted.collect();
        let is_gone = |name: &&String| with_removals && !published.resources.contains_key(*name);
        let removed_resources: Vec<String> = self.names.iter().filter(is_gone).cloned().collect();
        if resources.is_empty() && removed_resources.is_empty() {
            return;
        }
        let nonce = format!("{}", self.sent.len());
        self.sent.insert(nonce.clone(), version.clone());
        // Where nobody listens any more, the stream is about to end.
        let _ = self.tell.send(DeltaDiscoveryResponse {
            system_version_info: version.clone(),
            resources,
            removed_resources,
            type_url: TypedExtensionConfig::type_url(),
            nonce,
            ..DeltaDiscoveryResponse::default()
        });
    }
}
