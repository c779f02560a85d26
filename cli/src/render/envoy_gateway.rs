//! What Envoy Gateway loads, and the two locks, which are applied first.

use svidgate_policy::{Listener, Listeners};

use super::{fill::Filling, policy::Policy, written::text};

/// Where it goes.
#[derive(Clone, Debug)]
pub struct Place {
    /// The namespace of the Gateway.
    pub namespace: String,
    /// The Gateway.
    pub gateway: String,
    /// Its listeners that serve HTTPS.
    pub listeners: Vec<String>,
    /// The module as a file of the proxy's.
    pub module: String,
    /// The image, by its digest: then the HTTP filter is an EnvoyExtensionPolicy, which each route may take the place of.
    pub image: Option<String>,
}

/// The resources, in the order in which they are applied.
///
/// # Errors
/// With why this document is none for a Gateway, and what would be right.
pub fn render(policy: &Policy, place: &Place) -> Result<String, String> {
    policy.leaves_a_mark()?;
    if policy.listener != Listeners::Only(Listener::Http) || policy.takes_shared_peer {
        return Err("a Gateway serves HTTP by itself: write `listener: http`, and no `peer`".to_owned());
    }
    let of = |listener: &str| {
        Filling::default()
            .text("NAMESPACE", &place.namespace)
            .text("GATEWAY", &place.gateway)
            .plain(
                "LISTENER",
                &text(&format!("{}/{}/{listener}", place.namespace, place.gateway)),
            )
            .text("MODULE", &place.module)
            .text("IMAGE", place.image.as_deref().unwrap_or_default())
            .block("DOCUMENT", &policy.block())
    };
    let each = |head: &str, item: &str| {
        let items: String = place.listeners.iter().map(|listener| of(listener).fill(item)).collect();
        format!("{}{items}", of("").fill(head))
    };
    let mut resources = vec![
        each(
            include_str!("templates/gateway-lock.yaml"),
            include_str!("templates/gateway-lock-listener.yaml"),
        ),
        of("").fill(include_str!("templates/gateway-lock-policy.yaml")),
    ];
    if place.image.is_some() {
        resources.push(of("").fill(include_str!("templates/gateway-extension.yaml")));
        resources.push(each(
            include_str!("templates/gateway-connection.yaml"),
            include_str!("templates/gateway-connection-listener.yaml"),
        ));
    } else {
        resources.push(each(
            include_str!("templates/gateway-patch.yaml"),
            include_str!("templates/gateway-patch-listener.yaml"),
        ));
    }
    resources.push(of("").fill(include_str!("templates/gateway-clients.yaml")));
    Ok(resources.join("---\n"))
}
