//! The module under test as a plugin of Envoy: in the network filter chain, in the HTTP filter chain, and by discovery.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// One use of the module.
#[derive(Clone, Debug)]
pub struct Wasm {
    /// The file.
    pub module: PathBuf,
    /// What the plugin is configured with.
    pub configuration: Configuration,
    /// What Envoy does when the VM has died.
    pub failure_policy: FailurePolicy,
    /// How the configuration arrives.
    pub delivery: Delivery,
    /// What the `root_id` of its network filter says of the listener, where it says anything.
    pub placed: Option<&'static str>,
    /// What the names of its plugins begin with: documents under one name judge each other's connections. `None`: the
    /// name of the listener, or nothing where the configuration arrives apart from any.
    pub name: Option<String>,
}

/// The plugin's configuration.
#[derive(Clone, Debug)]
pub enum Configuration {
    /// A document as JSON text in a `google.protobuf.StringValue`.
    Json(Value),
    /// A document as a `google.protobuf.Struct`. Envoy 1.36 to 1.40 hand the module the protobuf encoding of it, not
    /// JSON as their documentation says.
    Struct(Value),
    /// Any text in a `google.protobuf.StringValue`.
    Text(String),
    /// None.
    Absent,
}

/// What Envoy does when the VM has died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum FailurePolicy {
    Closed,
    Open,
    Reload,
}

/// How the configuration of a filter arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// With the listener.
    Static,
    /// By extension configuration discovery from a file; see [`super::Envoy::replace_ecds`].
    Ecds,
    /// By extension configuration discovery over the aggregated stream of a control plane: the cluster
    /// [`super::CONTROL_PLANE`].
    Ads,
}

/// The places of the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Hold,
    Network,
    Http,
}

impl Wasm {
    /// The module with a document, delivered with the listener, failing closed.
    pub fn new(module: &Path, document: Value) -> Self {
        Wasm {
            module: module.to_owned(),
            configuration: Configuration::Json(document),
            failure_policy: FailurePolicy::Closed,
            delivery: Delivery::Static,
            placed: None,
            name: None,
        }
    }

    /// The same as `svidgate.hold`, which comes with the listener.
    pub(super) fn held(&self) -> Self {
        Wasm {
            delivery: Delivery::Static,
            ..self.clone()
        }
    }

    /// The entry of the filter chain. With [`Delivery::Ecds`] the configuration itself is in [`ecds_path`].
    pub(super) fn filter(&self, place: Place, listener: &str, home: &Path) -> Value {
        match self.delivery {
            Delivery::Static => {
                let name = self.name.as_deref().unwrap_or(listener);
                json!({ "name": place.filter_name(), "typed_config": self.typed_config(place, Some(name)) })
            }
            Delivery::Ecds => discovered(
                place,
                json!({
                    "resource_api_version": "V3",
                    "initial_fetch_timeout": "10s",
                    "path_config_source": { "path": ecds_path(home, place.filter_name()) },
                }),
            ),
            Delivery::Ads => discovered(
                place,
                json!({ "resource_api_version": "V3", "initial_fetch_timeout": "2s", "ads": {} }),
            ),
        }
    }

    /// The document that discovery reads.
    pub(super) fn discovery_response(&self, place: Place, version: u64) -> Value {
        json!({
            "version_info": version.to_string(),
            "resources": [{
                "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
                "name": place.filter_name(),
                "typed_config": self.typed_config(place, self.name.as_deref()),
            }],
        })
    }

    fn typed_config(&self, place: Place, name: Option<&str>) -> Value {
        let filter_name = place.filter_name();
        let mut plugin = json!({
            "name": name.map_or_else(|| filter_name.to_owned(), |name| format!("{name}.{filter_name}")),
            "root_id": match self.placed {
                Some(listener) if place == Place::Network => format!("{filter_name}.{listener}"),
                Some(_) | None => filter_name.to_owned(),
            },
            "vm_config": {
                "vm_id": "svidgate",
                "runtime": "envoy.wasm.runtime.v8",
                "code": { "local": { "filename": self.module } },
            },
            "failure_policy": self.failure_policy.json(),
        });
        if let Some(configuration) = self.configuration.any() {
            plugin["configuration"] = configuration;
        }
        json!({ "@type": place.type_url(), "config": plugin })
    }
}

impl Configuration {
    fn any(&self) -> Option<Value> {
        let string = |text: &str| json!({ "@type": "type.googleapis.com/google.protobuf.StringValue", "value": text });
        match self {
            Configuration::Absent => None,
            Configuration::Json(document) => Some(string(&document.to_string())),
            Configuration::Text(text) => Some(string(text)),
            Configuration::Struct(document) => {
                Some(json!({ "@type": "type.googleapis.com/google.protobuf.Struct", "value": document }))
            }
        }
    }
}

impl FailurePolicy {
    fn json(self) -> &'static str {
        match self {
            FailurePolicy::Closed => "FAIL_CLOSED",
            FailurePolicy::Open => "FAIL_OPEN",
            FailurePolicy::Reload => "FAIL_RELOAD",
        }
    }
}

impl Place {
    /// The name of the filter, which is its root id too.
    pub(super) fn filter_name(self) -> &'static str {
        match self {
            Place::Hold => "svidgate.hold",
            Place::Network => "svidgate.connection",
            Place::Http => "svidgate.request",
        }
    }

    fn type_url(self) -> &'static str {
        match self {
            Place::Hold | Place::Network => "type.googleapis.com/envoy.extensions.filters.network.wasm.v3.Wasm",
            Place::Http => "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
        }
    }
}

fn discovered(place: Place, source: Value) -> Value {
    json!({
        "name": place.filter_name(),
        "config_discovery": { "config_source": source, "type_urls": [place.type_url()] },
    })
}

/// The file that Envoy watches for a filter's configuration.
pub(super) fn ecds_path(home: &Path, filter: &str) -> PathBuf {
    home.join(format!("{filter}.ecds.json"))
}
