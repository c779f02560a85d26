//! Where does a chain without svidgate lead?
//!
//! To another listener of the same Envoy, which is a door of its own, or to a cluster that has no endpoints.

use super::{
    message::{Node, Unread},
    snapshot::Snapshot,
};

/// Where it leads, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Leads {
    /// To nothing.
    Nowhere(String),
    /// To another listener.
    Inside(String),
}

/// Where a TCP proxy leads; `None` where it leads out, or that cannot be told.
pub(crate) fn tcp_leads_to(proxy: Node<'_>, snapshot: &Snapshot<'_>) -> Result<Option<Leads>, Unread> {
    if proxy.member("weighted_clusters")?.is_there() || proxy.member("on_demand")?.is_there() {
        return Ok(None);
    }
    of_cluster(proxy.member("cluster")?.text()?, snapshot)
}

/// The inner listener that all routes of a connection manager lead to, in words.
pub(crate) fn leads_to(manager: Node<'_>, snapshot: &Snapshot<'_>) -> Result<Option<String>, Unread> {
    let rds = manager.path(&["rds", "route_config_name"])?.text()?;
    let configurations = if rds.is_empty() {
        vec![manager.member("route_config")?]
    } else {
        snapshot.route_configurations(rds)?
    };
    let mut found = None;
    for configuration in configurations {
        for host in configuration.member("virtual_hosts")?.items()? {
            for route in host.member("routes")?.items()? {
                match of_cluster(route.path(&["route", "cluster"])?.text()?, snapshot)? {
                    Some(Leads::Inside(text)) => found = Some(text),
                    Some(Leads::Nowhere(_)) | None => return Ok(None),
                }
            }
        }
    }
    Ok(found)
}

fn of_cluster(name: &str, snapshot: &Snapshot<'_>) -> Result<Option<Leads>, Unread> {
    let Some(cluster) = snapshot.cluster(name)? else {
        return Ok(None);
    };
    let fixed = cluster
        .member("type")?
        .choice(&["STATIC", "STRICT_DNS", "LOGICAL_DNS", "EDS", "ORIGINAL_DST"])?
        == "STATIC";
    if !fixed || cluster.member("cluster_type")?.is_there() || cluster.member("load_balancing_policy")?.is_there() {
        return Ok(None);
    }
    let mut inside = None;
    for locality in cluster.path(&["load_assignment", "endpoints"])?.items()? {
        for endpoint in locality.member("lb_endpoints")?.items()? {
            let address = endpoint.path(&["endpoint", "address", "envoy_internal_address"])?;
            if !address.is_there() {
                return Ok(None);
            }
            inside = Some(address.member("server_listener_name")?.text()?);
        }
    }
    Ok(Some(match inside {
        Some(listener) => Leads::Inside(format!(
            "it leads to the inner listener `{listener}`, which is a door of its own"
        )),
        None => Leads::Nowhere(format!("the cluster `{name}` behind it has no endpoints")),
    }))
}
