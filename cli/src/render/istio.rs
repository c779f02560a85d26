//! What Istio loads: two plugins with one document, or an EnvoyFilter for HTTP and TCP, and the lock, which is applied first.

use svidgate_policy::{Listener, Listeners};

use super::{fill::Filling, policy::Policy, written::text};

/// Which resource carries the plugins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Resource {
    /// TrafficExtension, of Istio 1.30 and later.
    #[default]
    TrafficExtension,
    /// WasmPlugin.
    WasmPlugin,
}

/// Where it goes.
#[derive(Clone, Debug)]
pub struct Place {
    /// The name that the resources' names begin with.
    pub name: String,
    /// The namespace of the workload.
    pub namespace: String,
    /// Istio's root namespace, which has the lock.
    pub root_namespace: String,
    /// The labels of the workload; none for all of the namespace.
    pub labels: Vec<(String, String)>,
    /// A waypoint in place of workloads.
    pub waypoint: Option<String>,
    /// Which resource.
    pub resource: Resource,
    /// The image, by its digest.
    pub image: String,
}

/// The resources, in the order in which they are applied.
///
/// # Errors
/// With why this document is none for Istio, and what would be right.
pub fn render(policy: &Policy, place: &Place) -> Result<String, String> {
    policy.leaves_a_mark()?;
    if place.waypoint.is_some() != policy.takes_shared_peer {
        return Err("a waypoint and a document with `peer` go together: there is no certificate within a waypoint, and one everywhere else".to_owned());
    }
    let url = format!("oci://{}", place.image);
    let filling = || {
        Filling::default()
            .text("NAMESPACE", &place.namespace)
            .text("ROOT_NAMESPACE", &place.root_namespace)
            .plain("URL", &text(&url))
    };
    let mut resources = vec![lock(place, filling())];
    match policy.listener {
        Listeners::Only(Listener::Http) => resources.extend(plugins(policy, place, &filling)),
        Listeners::Shared => {
            let filling = filling()
                .text("NAME", &place.name)
                .block("WORKLOADS", &labels("workloadSelector", "labels", &place.labels));
            resources.push(
                filling
                    .block("DOCUMENT", &policy.block())
                    .fill(include_str!("templates/istio-shared.yaml")),
            );
        }
        Listeners::Only(Listener::Tcp | Listener::TcpServerFirst) => {
            return Err("a plugin of Istio stands in front of all chains, HTTP and TCP: write `listener: http`, or `listener: shared`".to_owned());
        }
    }
    Ok(resources.join("---\n"))
}

fn lock(place: &Place, filling: Filling) -> String {
    let template = if place.waypoint.is_some() {
        include_str!("templates/istio-waypoint-lock.yaml")
    } else {
        include_str!("templates/istio-lock.yaml")
    };
    let workloads = labels("workloadSelector", "labels", &place.labels);
    filling
        .text("LOCK", &format!("{}-lock", place.name))
        .block("WORKLOADS", &workloads)
        .fill(template)
}

fn plugins(policy: &Policy, place: &Place, filling: &impl Fn() -> Filling) -> [String; 2] {
    let template = match place.resource {
        Resource::TrafficExtension => include_str!("templates/traffic-extension.yaml"),
        Resource::WasmPlugin => include_str!("templates/wasm-plugin.yaml"),
    };
    // In a waypoint the network plugin stands in front of TCP alone, where it refuses.
    let names = if place.waypoint.is_some() {
        ["tcp", "http"]
    } else {
        ["connection", "request"]
    };
    let workloads = match &place.waypoint {
        Some(waypoint) => vec![
            "targetRefs:".to_owned(),
            "  - group: gateway.networking.k8s.io".to_owned(),
            "    kind: Gateway".to_owned(),
            format!("    name: {}", text(waypoint)),
        ],
        None => labels("selector", "matchLabels", &place.labels),
    };
    let [tcp, http] = names;
    [
        ("NETWORK", tcp, "svidgate.connection"),
        ("HTTP", http, "svidgate.request"),
    ]
    .map(|(kind, name, root)| {
        filling()
            .text("NAME", &format!("{}-{name}", place.name))
            .text("TYPE", kind)
            .text("ROOT_ID", root)
            .block("WORKLOADS", &workloads)
            .block("DOCUMENT", &policy.block())
            .fill(template)
    })
}

/// Without labels there is no selector, and all of the namespace is meant.
fn labels(selector: &str, member: &str, labels: &[(String, String)]) -> Vec<String> {
    if labels.is_empty() {
        return Vec::new();
    }
    let labels: Vec<_> = labels
        .iter()
        .map(|(key, value)| format!("{}: {}", text(key), text(value)))
        .collect();
    vec![
        format!("{selector}:"),
        format!("  {member}: {{ {} }}", labels.join(", ")),
    ]
}
