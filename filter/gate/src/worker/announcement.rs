//! What is told of a document that was compiled?

use jiff::SignedDuration;
use svidgate_policy::{ChainMode, Configuration, Listeners, Mode, PeerOrigin};

use crate::{
    proxy::{Level, Proxy},
    sources::remarks,
};

/// `took` is what a worker could do nothing else for.
pub(super) fn announce<P: Proxy>(proxy: &P, configuration: &Configuration, took: Option<SignedDuration>) {
    let listener = match configuration.listener {
        Listeners::Only(listener) => listener.as_str(),
        Listeners::Shared => "shared",
    };
    let line = format!(
        "svidgate {} configured: version=\"{}\" trust_domain={} listener={listener} relationships={} rules={}{}{}",
        env!("CARGO_PKG_VERSION"),
        configuration.version,
        configuration.trust_domain,
        configuration.relationships.iter().count().saturating_sub(1),
        configuration.rules.len(),
        took.map_or_else(String::new, |took| format!(" compiled_ms={}", took.as_millis())),
        if configuration.rules.is_empty() {
            " (no rule: everything is denied)"
        } else {
            ""
        },
    );
    proxy.log(Level::Info, &line);
    if configuration.listener == Listeners::Shared {
        let about = configuration.rules.about_requests();
        let line = format!(
            "svidgate: listener: shared: at TCP listeners the allow rules that need a request ({}) never match, and \
             the deny rules \
             that need one ({}) deny each connection that their `ports` do not rule out",
            about.allows, about.denies
        );
        proxy.log(Level::Info, &line);
    }
    if configuration.mode == Mode::DryRun {
        proxy.log(
            Level::Warn,
            "svidgate: mode: dry_run: everything passes, refusals are only recorded",
        );
    }
    if configuration.chain == ChainMode::Proxy {
        let line = "svidgate: chain: proxy: no chain is verified here; a listener that accepts untrusted certificates \
                    lets anyone be anyone";
        proxy.log(Level::Warn, line);
    }
    match &configuration.peer {
        PeerOrigin::Handshake => {}
        PeerOrigin::Certificate { certificate, sha256 } => {
            let line = format!(
                "svidgate: peer: a connection without TLS has the certificate in filter state `{certificate}`, with \
                 the digest in \
                 `{sha256}`"
            );
            proxy.log(Level::Info, &line);
        }
        PeerOrigin::Id {
            key,
            max_connection_age,
        } => {
            let line = format!(
                "svidgate: peer: a connection without TLS has the id in filter state `{key}`, for {} s; no certificate \
                 is looked at, \
                 and whatever revokes one revokes nobody",
                max_connection_age.as_secs()
            );
            proxy.log(Level::Warn, &line);
        }
    }
    if let Some(too_costly) = configuration.rules.too_costly(configuration.listener.have_requests()) {
        proxy.log(Level::Warn, &format!("svidgate: rules: {too_costly}"));
    }
    let lines = remarks::lines(configuration.bundles.iter());
    remarks::tell(proxy, &lines, &[]);
}
