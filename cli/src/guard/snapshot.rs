//! What is known of an Envoy: from its `/config_dump`, or from the file that it starts with?

use serde_json::Value;

use super::message::{Node, Typed, Unread};

/// All that is known of one Envoy.
#[derive(Debug, Default)]
pub(crate) struct Snapshot<'v> {
    /// Whether it is what a running Envoy has, not only a file.
    pub(crate) of_running: bool,
    pub(crate) listeners: Vec<Listening<'v>>,
    /// What is not in it that may bring listeners, in words.
    pub(crate) without_listeners: Vec<String>,
    pub(crate) routes: Vec<Node<'v>>,
    pub(crate) filters: Vec<Discovered<'v>>,
    pub(crate) secrets: Vec<Node<'v>>,
    pub(crate) clusters: Vec<Node<'v>>,
    pub(crate) refused: Vec<Refused>,
    /// The admin interface's address, where there is one.
    pub(crate) admin: Option<Node<'v>>,
    /// The version of Envoy: major and minor.
    pub(crate) envoy: Option<(u64, u64)>,
    /// Sections that are there.
    sections: Vec<&'v str>,
}

/// A listener, and whether it listens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listening<'v> {
    pub(crate) name: &'v str,
    pub(crate) state: State,
    pub(crate) listener: Node<'v>,
}

/// How far a listener has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Active,
    /// It will listen when what it waits for has come.
    Warming,
    /// It takes no new connections; those that it has go on.
    Draining,
}

/// A filter that came by discovery.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Discovered<'v> {
    pub(crate) name: &'v str,
    pub(crate) typed: Typed<'v>,
}

/// An update that Envoy did not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Of what: `listener web`.
    pub what: String,
    /// The version that the control plane gives it.
    pub version: String,
    /// What Envoy says.
    pub details: String,
}

/// Why a text is nothing that can be judged.
pub(crate) const NEITHER: &str = "this is neither the /config_dump of an Envoy (a JSON object with `configs`) nor the configuration that one starts with \
     (with `static_resources` or `dynamic_resources`)";

impl<'v> Snapshot<'v> {
    /// Reads what a dump or a bootstrap says; `None` where it is neither.
    pub(crate) fn read(root: &'v Value) -> Result<Option<Self>, Unread> {
        let node = Node::of(root);
        if root.get("configs").is_some() {
            return Ok(Some(Self::of_dump(node)?));
        }
        let is_bootstrap = [
            "static_resources",
            "staticResources",
            "dynamic_resources",
            "dynamicResources",
            "admin",
            "listeners",
        ];
        if !is_bootstrap.iter().any(|name| root.get(name).is_some()) {
            return Ok(None);
        }
        let mut snapshot = Self::default();
        snapshot.take_bootstrap(node)?;
        Ok(Some(snapshot))
    }

    fn of_dump(root: Node<'v>) -> Result<Self, Unread> {
        let mut snapshot = Self {
            of_running: true,
            ..Self::default()
        };
        for section in root.member("configs")?.items()? {
            let Some(typed) = section.typed()? else { continue };
            let kind = typed.kind.rsplit_once('.').map_or(typed.kind, |(_, kind)| kind);
            snapshot.sections.push(kind);
            match kind {
                "BootstrapConfigDump" => snapshot.take_running(section.member("bootstrap")?)?,
                "ListenersConfigDump" => snapshot.take_listeners(section)?,
                "RoutesConfigDump" => snapshot.take_routes(section)?,
                "EcdsConfigDump" => snapshot.take_filters(section)?,
                "SecretsConfigDump" => snapshot.take_secrets(section)?,
                "ClustersConfigDump" => snapshot.take_clusters(section)?,
                _ => {}
            }
        }
        if !snapshot.sections.contains(&"ListenersConfigDump") {
            snapshot
                .without_listeners
                .push("the dump has no section `ListenersConfigDump`".to_owned());
        }
        Ok(snapshot)
    }

    /// The file, which says all there is but for what discovery brings.
    fn take_bootstrap(&mut self, bootstrap: Node<'v>) -> Result<(), Unread> {
        let fixed = bootstrap.member("static_resources")?;
        for listener in fixed.member("listeners")?.items()? {
            let name = listener.member("name")?.text()?;
            self.listeners.push(Listening {
                name,
                state: State::Active,
                listener,
            });
        }
        self.clusters.extend(fixed.member("clusters")?.items()?);
        self.secrets.extend(fixed.member("secrets")?.items()?);
        if bootstrap.path(&["dynamic_resources", "lds_config"])?.is_there() {
            self.without_listeners
                .push("`lds_config`: listeners come by discovery, which a file does not show".to_owned());
        }
        if bootstrap.member("listener_manager")?.is_there() {
            self.without_listeners
                .push("`listener_manager`: listeners are made by an extension".to_owned());
        }
        self.admin = Some(bootstrap.member("admin")?).filter(|admin| admin.is_there());
        Ok(())
    }

    /// What a running Envoy was started with; its listeners stand in their own section.
    fn take_running(&mut self, bootstrap: Node<'v>) -> Result<(), Unread> {
        self.admin = Some(bootstrap.member("admin")?).filter(|admin| admin.is_there());
        let version = bootstrap.path(&["node", "user_agent_build_version", "version"])?;
        if let (Some(major), minor) = (
            version.member("major_number")?.number()?,
            version.member("minor_number")?.number()?,
        ) {
            self.envoy = Some((major, minor.unwrap_or(0)));
        }
        Ok(())
    }

    fn take_listeners(&mut self, section: Node<'v>) -> Result<(), Unread> {
        for fixed in section.member("static_listeners")?.items()? {
            let listener = fixed.member("listener")?;
            let name = listener.member("name")?.text()?;
            self.listeners.push(Listening {
                name,
                state: State::Active,
                listener,
            });
        }
        for dynamic in section.member("dynamic_listeners")?.items()? {
            let name = dynamic.member("name")?.text()?;
            self.take_refused(format!("listener {name}"), dynamic.member("error_state")?)?;
            let states = [
                ("active_state", State::Active),
                ("warming_state", State::Warming),
                ("draining_state", State::Draining),
            ];
            for (member, state) in states {
                let listener = dynamic.path(&[member, "listener"])?;
                if listener.is_there() {
                    self.listeners.push(Listening { name, state, listener });
                }
            }
        }
        Ok(())
    }

    fn take_routes(&mut self, section: Node<'v>) -> Result<(), Unread> {
        for dynamic in section.member("dynamic_route_configs")?.items()? {
            let routes = dynamic.member("route_config")?;
            let name = routes.member("name")?.text()?;
            self.take_refused(format!("routes {name}"), dynamic.member("error_state")?)?;
            if routes.is_there() {
                self.routes.push(routes);
            }
        }
        Ok(())
    }

    fn take_filters(&mut self, section: Node<'v>) -> Result<(), Unread> {
        for filter in section.member("ecds_filters")?.items()? {
            let found = filter.member("ecds_filter")?;
            let name = found.member("name")?.text()?;
            self.take_refused(format!("filter {name}"), filter.member("error_state")?)?;
            if let Some(typed) = found.member("typed_config")?.typed()? {
                self.filters.push(Discovered { name, typed });
            }
        }
        Ok(())
    }

    fn take_secrets(&mut self, section: Node<'v>) -> Result<(), Unread> {
        for member in ["static_secrets", "dynamic_active_secrets"] {
            for secret in section.member(member)?.items()? {
                let name = secret.member("name")?.text()?;
                self.take_refused(format!("secret {name}"), secret.member("error_state")?)?;
                self.secrets.push(secret.member("secret")?);
            }
        }
        Ok(())
    }

    fn take_clusters(&mut self, section: Node<'v>) -> Result<(), Unread> {
        for member in ["static_clusters", "dynamic_active_clusters"] {
            for cluster in section.member(member)?.items()? {
                self.clusters.push(cluster.member("cluster")?);
            }
        }
        Ok(())
    }

    fn take_refused(&mut self, what: String, error: Node<'v>) -> Result<(), Unread> {
        if error.is_there() {
            self.refused.push(Refused {
                what,
                version: error.member("version_info")?.text()?.to_owned(),
                details: error.member("details")?.text()?.to_owned(),
            });
        }
        Ok(())
    }

    /// The filter that discovery has brought under a name, of one of these types.
    pub(crate) fn filter(&self, name: &str, kinds: &[&str]) -> Option<Typed<'v>> {
        let of_name = self.filters.iter().filter(|found| found.name == name);
        of_name
            .map(|found| found.typed)
            .find(|typed| kinds.contains(&typed.kind))
    }

    /// A secret by its name.
    pub(crate) fn secret(&self, name: &str) -> Result<Option<Node<'v>>, Unread> {
        named(&self.secrets, name)
    }

    /// A cluster by its name.
    pub(crate) fn cluster(&self, name: &str) -> Result<Option<Node<'v>>, Unread> {
        named(&self.clusters, name)
    }

    /// All route configurations of a name: two sources may have brought one each.
    pub(crate) fn route_configurations(&self, name: &str) -> Result<Vec<Node<'v>>, Unread> {
        let mut found = Vec::new();
        for routes in &self.routes {
            if routes.member("name")?.text()? == name {
                found.push(*routes);
            }
        }
        Ok(found)
    }
}

fn named<'v>(nodes: &[Node<'v>], name: &str) -> Result<Option<Node<'v>>, Unread> {
    for node in nodes {
        if node.member("name")?.text()? == name {
            return Ok(Some(*node));
        }
    }
    Ok(None)
}
