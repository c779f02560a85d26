//! What can the proxy at hand do? Where it is too old for something, that is said when a document is loaded instead of
//! when a peer comes.
//!
//! A proxy that does not tell its version is taken for new enough: at run time a peer whose certificate is not at hand
//! is refused anyway.

use svidgate_policy::{Listener, PeerOrigin};

use crate::{
    proxy::{Level, Proxy, ProxyVersion},
    stage::Stage,
};

/// Brought `upstream_connect_mode` to tcp_proxy, and `on_downstream_tls_handshake` to `set_filter_state`.
const AFTER_HANDSHAKE: ProxyVersion = ProxyVersion { major: 1, minor: 37 };

/// Brought `envoy.hashable_string`, by which connections to an inner listener are told apart.
const HASHABLE_STRINGS: ProxyVersion = ProxyVersion { major: 1, minor: 38 };

/// ENVOY: a build that has no version of its own says 0.0.0.
fn version_of<P: Proxy>(proxy: &P) -> Option<ProxyVersion> {
    proxy.version().filter(|version| version.major > 0)
}

/// Why a filter cannot do its work on this proxy.
pub fn refusal<P: Proxy>(proxy: &P, stage: Stage, listener: Listener) -> Option<String> {
    refusal_on(version_of(proxy)?, stage, listener, || has_hold(proxy))
}

/// The same for a version. `is_held` says whether `svidgate.hold` is there.
fn refusal_on(
    version: ProxyVersion,
    stage: Stage,
    listener: Listener,
    is_held: impl FnOnce() -> bool,
) -> Option<String> {
    if version >= AFTER_HANDSHAKE {
        return None;
    }
    match (stage, listener) {
        (Stage::Request, Listener::Http) => None,
        (Stage::Connection, Listener::Http) if is_held() => None,
        (Stage::Connection, Listener::Http) => Some(format!(
            "Envoy {version} shows a network filter no certificate: put `svidgate.hold` and `set_filter_state` before \
             `svidgate.connection`, with one `vm_id` (docs/listener.md, \"Where the leaf comes from\"), or use the \
             HTTP filter alone with `xfcc: own`"
        )),
        (_, Listener::Tcp | Listener::TcpServerFirst) => Some(format!(
            "listener: Envoy {version} has no `upstream_connect_mode`: its tcp_proxy dials before it can be known who \
             the peer is (TCP listeners need Envoy {AFTER_HANDSHAKE})"
        )),
    }
}

/// Why a document that takes the peer from filter state cannot be used on this proxy.
pub fn refusal_of_origin<P: Proxy>(proxy: &P, origin: &PeerOrigin) -> Option<String> {
    match origin {
        PeerOrigin::Handshake => None,
        PeerOrigin::Certificate { .. } | PeerOrigin::Id { .. } => refusal_to_share(version_of(proxy)?),
    }
}

/// ENVOY: (seen on 1.36.4, by CONNECT, too) an upstream pool is shared by all whose filter state has no hash, and opens
/// its connections with the filter state of whoever came first.
fn refusal_to_share(version: ProxyVersion) -> Option<String> {
    (version < HASHABLE_STRINGS).then(|| {
        format!(
            "peer.filter_state: Envoy {version} has no `envoy.hashable_string`, and with `envoy.string` one caller \
             gets connections that were opened for another (this needs Envoy {HASHABLE_STRINGS})"
        )
    })
}

/// Where workers and the proxy's trial of a configuration, each in a VM of its own, learn that there is a hold.
const CONFIGURED: &str = "svidgate.hold";

/// Notes that there is a hold in the VMs of this `vm_id`.
pub fn note_hold<P: Proxy>(proxy: &P) {
    if let Err(error) = proxy.set_shared_data(CONFIGURED, b"1", None) {
        proxy.log(Level::Error, &format!("svidgate: hold: no shared data: {error}"));
    }
}

/// Whether there is, or once was, a hold in the VMs of this `vm_id`.
pub fn has_hold<P: Proxy>(proxy: &P) -> bool {
    proxy.shared_data(CONFIGURED).is_some()
}

/// Why a listener is not to be held.
pub fn refusal_of_hold(listener: Listener) -> Option<String> {
    match listener {
        Listener::Http => None,
        // tcp_proxy reads nothing before it has dialled, and dials when the connection comes to it.
        Listener::Tcp | Listener::TcpServerFirst => {
            Some("listener: `svidgate.hold` is for `http` only: tcp_proxy does not bear it".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ProxyVersion, refusal_on, refusal_to_share};
    use crate::stage::Stage;
    use svidgate_policy::Listener;

    const OLD: ProxyVersion = ProxyVersion { major: 1, minor: 36 };

    fn refusal(version: ProxyVersion, stage: Stage, listener: Listener, is_held: bool) -> String {
        refusal_on(version, stage, listener, || is_held).unwrap_or_default()
    }

    #[test]
    fn tcp_listeners_are_refused_before_envoy_1_37() {
        for listener in [Listener::Tcp, Listener::TcpServerFirst] {
            for is_held in [false, true] {
                let refusal = refusal(OLD, Stage::Connection, listener, is_held);
                assert!(
                    refusal.contains("Envoy 1.36 has no `upstream_connect_mode`"),
                    "{refusal}"
                );
                assert!(refusal.contains("need Envoy 1.37"), "{refusal}");
            }
        }
    }

    #[test]
    fn network_filter_before_envoy_1_37_is_refused_without_a_hold() {
        let refused = refusal(OLD, Stage::Connection, Listener::Http, false);
        assert!(refused.starts_with("Envoy 1.36 shows a network filter no certificate"));
        assert!(refused.contains("`svidgate.hold`") && refused.contains("`xfcc: own`"));
        assert_eq!(refusal(OLD, Stage::Connection, Listener::Http, true), "");
    }

    #[test]
    fn http_filter_alone_is_taken_everywhere() {
        assert_eq!(refusal(OLD, Stage::Request, Listener::Http, false), "");
    }

    #[test]
    fn shared_filter_state_is_refused_before_envoy_1_38() {
        for minor in [36, 37] {
            let refused = refusal_to_share(ProxyVersion { major: 1, minor }).unwrap_or_default();
            assert!(refused.contains("has no `envoy.hashable_string`"), "{refused}");
        }
        for version in [
            ProxyVersion { major: 1, minor: 38 },
            ProxyVersion { major: 2, minor: 0 },
        ] {
            assert_eq!(refusal_to_share(version), None);
        }
    }

    #[test]
    fn later_versions_can_do_everything() {
        for (major, minor) in [(1, 37), (1, 40), (1, 100), (2, 0)] {
            for listener in [Listener::Http, Listener::Tcp, Listener::TcpServerFirst] {
                let version = ProxyVersion { major, minor };
                assert_eq!(refusal(version, Stage::Connection, listener, false), "", "{version}");
            }
        }
    }
}
