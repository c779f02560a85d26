//! What in a file carries a document of ours?
//!
//! Envoy configurations of every kind are looked through for wasm filters, wherever they stand: in a bootstrap, in resources of
//! discovery, in a configuration dump, in patches. Resources of a mesh have a member for the document.

use std::collections::HashSet;

use crate::input::tree::Node;

/// Our filters, by their `root_id`.
const ROOT_IDS: [&str; 2] = ["svidgate.connection", "svidgate.request"];
/// The types of Envoy's wasm filters.
const NETWORK_FILTER: &str = "envoy.extensions.filters.network.wasm.v3.Wasm";
const HTTP_FILTER: &str = "envoy.extensions.filters.http.wasm.v3.Wasm";
/// Members that only a document of ours has.
const OURS: [&str; 2] = ["trust_domain", "rules"];

/// The kind of a document that stands by itself.
pub const PLAIN: &str = "document";

/// Where a document was found.
pub struct Found<'t> {
    /// What carries it.
    pub kind: &'static str,
    /// The name by which it is asked for.
    pub name: Option<String>,
    /// The name under which the newest document judges all.
    pub plugin: Option<String>,
    /// Which of our filters it is for.
    pub root_id: Option<String>,
    /// What it is.
    pub body: Body<'t>,
}

/// How a document is carried.
pub enum Body<'t> {
    /// It stands by itself.
    Plain(Node<'t>),
    /// Written in place.
    Struct(Node<'t>),
    /// JSON in a string.
    Text(Node<'t>),
    /// Not at all, or as what the gate does not read: where, and what is there.
    None(Node<'t>, String),
}

/// All that one document of a file carries.
#[derive(Default)]
pub struct Carried<'t> {
    /// Documents of ours.
    pub found: Vec<Found<'t>>,
    /// How many wasm filters are of others.
    pub others: usize,
    seen: HashSet<usize>,
}

/// Looks through a tree.
pub fn carried(root: Node<'_>) -> Carried<'_> {
    let mut carried = Carried::default();
    if is_plain(root) {
        carried.found.push(Found {
            kind: PLAIN,
            name: None,
            plugin: None,
            root_id: None,
            body: Body::Plain(root),
        });
    } else {
        carried.look(root);
    }
    carried
}

/// What something is that carries none, for messages.
pub fn described(root: Node<'_>) -> String {
    if let Some(kind) = resource_kind(root) {
        return format!("a resource of kind `{kind}`");
    }
    let is_rule = |node: Node<'_>| node.get("effect").is_some() && node.get("from").is_some();
    if root.is_list() && root.items().next().is_some_and(is_rule) {
        return "a list of rules without the document around them".to_owned();
    }
    if root.get("static_resources").is_some() || root.get("dynamic_resources").is_some() {
        return "an Envoy configuration without a filter of svidgate".to_owned();
    }
    if root.get("configs").is_some() {
        return "a configuration dump without a filter of svidgate".to_owned();
    }
    if root.get("tests").is_some() && root.get("policy").is_some() {
        return "a file of tests (`svidgate test` runs it)".to_owned();
    }
    let names: Vec<_> = root
        .members()
        .take(4)
        .map(|(member, _)| format!("`{}`", member.name))
        .collect();
    if names.is_empty() {
        root.kind().to_owned()
    } else {
        format!("{} with {}", root.kind(), names.join(", "))
    }
}

fn resource_kind(node: Node<'_>) -> Option<&str> {
    node.get("apiVersion")?.as_str()?;
    node.get("kind")?.as_str()
}

fn is_plain(root: Node<'_>) -> bool {
    let is_other = ["apiVersion", "@type", "groups", "tests"]
        .iter()
        .any(|name| root.get(name).is_some());
    !is_other && OURS.iter().any(|name| root.get(name).is_some())
}

fn looks_like_ours(body: Option<Node<'_>>) -> bool {
    body.is_some_and(|body| OURS.iter().all(|name| body.get(name).is_some()))
}

fn text_of(node: Node<'_>, names: &[&str]) -> Option<String> {
    names
        .iter()
        .find_map(|name| node.get(name)?.as_str())
        .map(str::to_owned)
}

impl<'t> Carried<'t> {
    /// Goes through everything once, also what aliases repeat.
    fn look(&mut self, node: Node<'t>) {
        match resource_kind(node) {
            Some("WasmPlugin") => return self.istio("WasmPlugin", node, node.get("spec")),
            Some("TrafficExtension") => {
                return self.istio("TrafficExtension", node, node.at(&["spec", "wasm"]));
            }
            Some("EnvoyExtensionPolicy") => return self.envoy_gateway(node),
            Some(_) | None => {}
        }
        let of = |node: Node<'t>, member: &str, kind: &str| {
            let text = node.get(member).and_then(Node::as_str);
            text.is_some_and(|text| text.rsplit('/').next() == Some(kind))
        };
        for (kind, words) in [
            (NETWORK_FILTER, "Envoy network filter"),
            (HTTP_FILTER, "Envoy HTTP filter"),
        ] {
            if of(node, "@type", kind) {
                return self.envoy(words, node);
            }
            // `xds.type.v3.TypedStruct` and its older name.
            if let (true, Some(value)) = (
                of(node, "type_url", kind) || of(node, "typeUrl", kind),
                node.get("value"),
            ) {
                return self.envoy(words, value);
            }
        }
        for below in node.items().chain(node.members().map(|(_, value)| value)) {
            if self.seen.insert(below.id()) {
                self.look(below);
            }
        }
    }

    /// A resource of Istio: the plugin, with the document as one of its members.
    fn istio(&mut self, kind: &'static str, resource: Node<'t>, plugin: Option<Node<'t>>) {
        let plugin = plugin.unwrap_or(resource);
        let root_id = text_of(plugin, &["pluginName"]);
        self.resource(kind, resource, plugin, root_id, "pluginConfig");
    }

    fn envoy_gateway(&mut self, resource: Node<'t>) {
        for plugin in resource.at(&["spec", "wasm"]).into_iter().flat_map(Node::items) {
            let root_id = text_of(plugin, &["rootID"]);
            self.resource("EnvoyExtensionPolicy", resource, plugin, root_id, "config");
        }
    }

    fn resource(
        &mut self,
        kind: &'static str,
        resource: Node<'t>,
        plugin: Node<'t>,
        root_id: Option<String>,
        member: &str,
    ) {
        let body = plugin.get(member);
        if !self.is_ours(root_id.as_deref(), body) {
            return;
        }
        let body = match body {
            Some(body) => Body::Struct(body),
            None => Body::None(plugin, format!("expected the document in `{member}`, found nothing")),
        };
        self.found.push(Found {
            kind,
            name: resource
                .at(&["metadata", "name"])
                .and_then(Node::as_str)
                .map(str::to_owned),
            plugin: None,
            root_id,
            body,
        });
    }

    /// A wasm filter of Envoy.
    fn envoy(&mut self, kind: &'static str, filter: Node<'t>) {
        let config = filter.get("config").unwrap_or(filter);
        let root_id = text_of(config, &["root_id", "rootId"]);
        let any = config.get("configuration");
        let value = any.and_then(|any| any.get("value"));
        if !self.is_ours(root_id.as_deref(), value) {
            return;
        }
        let plugin = text_of(config, &["name"]);
        let body = match any {
            Some(any) => body(any, value),
            None => Body::None(
                config,
                "expected the document in `configuration`, found nothing".to_owned(),
            ),
        };
        self.found.push(Found {
            kind,
            name: plugin.clone(),
            plugin,
            root_id,
            body,
        });
    }

    fn is_ours(&mut self, root_id: Option<&str>, body: Option<Node<'t>>) -> bool {
        let is_ours = root_id.is_some_and(|id| ROOT_IDS.contains(&id)) || looks_like_ours(body);
        if !is_ours {
            self.others = self.others.saturating_add(1);
        }
        is_ours
    }
}

/// A `google.protobuf.Any`, as JSON has it.
fn body<'t>(any: Node<'t>, value: Option<Node<'t>>) -> Body<'t> {
    let kind = any.get("@type").and_then(Node::as_str).unwrap_or_default();
    let kind = kind.rsplit('/').next().unwrap_or_default();
    match (kind, value) {
        ("google.protobuf.StringValue", Some(text)) if text.as_str().is_some() => Body::Text(text),
        ("google.protobuf.Struct", Some(value)) if value.is_object() => Body::Struct(value),
        ("google.protobuf.StringValue" | "google.protobuf.Struct", Some(value)) => Body::None(
            value,
            format!("expected the document in a `{kind}`, found {}", value.kind()),
        ),
        ("", Some(_) | None) => Body::None(
            any,
            "expected `\"@type\": type.googleapis.com/google.protobuf.Struct` and the document in `value`".to_owned(),
        ),
        (other, _) => Body::None(
            any,
            format!(
                "expected a `google.protobuf.Struct` or `google.protobuf.StringValue` with `value`, found `{other}`"
            ),
        ),
    }
}
