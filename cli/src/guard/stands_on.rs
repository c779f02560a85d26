//! What do the decisions behind a door stand on?
//!
//! The certificate that Envoy asks for and whom it trusts, how the filters of ours are set up and whether they agree, the header
//! that carries a certificate on, and whether mark and lock go together.

use svidgate_policy::XfccMode;

use super::{
    document::Document,
    door::Door,
    plugin::{Failure, Gate},
    remark::Kind,
    snapshot::Snapshot,
    tls::{Tls, Transport, Trust},
};

/// The first Envoy that shows Wasm filters a peer's certificate.
const SHOWS_CERTIFICATES: (u64, u64) = (1, 38);

/// Looks at a door whose filters have been found.
pub(crate) fn judge(
    transport: &Transport,
    inside: bool,
    sets_certificate: bool,
    snapshot: &Snapshot<'_>,
    door: &mut Door,
) {
    certificate(transport, inside, sets_certificate, snapshot, door);
    set_up(door);
    header(door);
}

/// Whom Envoy asks for a certificate, and what that means for the documents behind.
fn certificate(transport: &Transport, inside: bool, sets_certificate: bool, snapshot: &Snapshot<'_>, door: &mut Door) {
    let documents: Vec<Document> = door.gates().filter_map(|gate| gate.document.clone().ok()).collect();
    if documents.is_empty() {
        if let Transport::Tls(tls) = transport {
            door.tls = Some(tls.clone());
        }
        return;
    }
    match transport {
        Transport::Plain if inside => {}
        Transport::Plain if documents.iter().any(|document| document.shared_peer) => {
            door.note(
                Kind::SharedPeer,
                "it has no TLS, and the document takes peers from filter state",
            );
        }
        Transport::Plain => door.note(Kind::Plaintext, "it has no TLS: svidgate lets nobody through"),
        Transport::Quic => {}
        Transport::Other(kind) => door.note(
            Kind::Unreadable,
            format!("its transport socket `{kind}` is not known here"),
        ),
        Transport::Tls(tls) => {
            door.tls = Some(tls.clone());
            tls_of(tls, &documents, door);
        }
    }
    let old = snapshot.envoy.filter(|version| *version < SHOWS_CERTIFICATES);
    if let (Some((major, minor)), false, true) = (old, sets_certificate, door.connection.is_some()) {
        door.note(
            Kind::OldEnvoy,
            format!(
                "Envoy {major}.{minor} shows a network filter no certificate, and nothing before svidgate writes it"
            ),
        );
    }
}

fn tls_of(tls: &Tls, documents: &[Document], door: &mut Door) {
    let by_proxy = documents.iter().any(|document| document.chain_by_proxy);
    // Whoever shows none may bring others by their tokens.
    let takes_nobody = documents.iter().any(|document| document.anonymous_hop);
    let is_missing = !tls.client_certificate && !takes_nobody;
    match (tls.trust, by_proxy) {
        (Trust::NotAsked, _) if is_missing => {
            return door.note(
                Kind::NobodyAsked,
                "nobody is asked for a certificate: svidgate lets nobody through",
            );
        }
        (Trust::NotAsked | Trust::Anybody | Trust::HandedOn, true) => {
            door.note(Kind::NobodyVerifies, "the document leaves chains to Envoy (`chain: proxy`), which takes any certificate: anyone can be anyone");
        }
        (Trust::Pool, true) if documents.iter().any(|document| document.foreign) => {
            let text = "the document leaves chains to Envoy (`chain: proxy`), which has all authorities in one pool: one of them may \
                        vouch for ids of another trust domain";
            door.note(Kind::PooledAuthorities, text);
        }
        (Trust::NotHere | Trust::Other, true) => {
            let text = "the document leaves chains to Envoy (`chain: proxy`), and whom Envoy trusts is not here";
            door.note(Kind::TrustNotHere, text);
        }
        (
            Trust::NotAsked
            | Trust::Anybody
            | Trust::HandedOn
            | Trust::Pool
            | Trust::ByTrustDomain
            | Trust::NotHere
            | Trust::Other,
            _,
        ) => {}
    }
    if is_missing {
        door.note(
            Kind::CertificateNotDemanded,
            "who shows no certificate gets as far as svidgate, which refuses",
        );
    }
    if by_proxy && tls.resumption {
        door.note(
            Kind::Resumption,
            "sessions may be resumed, and nobody verifies a chain again (`chain: proxy`)",
        );
    }
}

/// What can be said of how the filters are set up.
fn set_up(door: &mut Door) {
    let gates: Vec<Gate> = door.gates().cloned().collect();
    for gate in &gates {
        if let Err(error) = &gate.document {
            door.note(
                Kind::BadDocument,
                format!("the document of `{}` cannot be read: {error}", gate.filter),
            );
        }
        for name in &gate.unknown {
            door.note(
                Kind::UnknownMember,
                format!("`{}` has `{name}`, which is not understood here", gate.filter),
            );
        }
        if gate.fetched {
            door.note(
                Kind::Fetched,
                format!("the code of `{}` is fetched from {}", gate.filter, gate.code),
            );
        }
    }
    let digest = |gate: &Gate| gate.document.as_ref().ok().map(|document| document.digest.clone());
    if let Some(connection) = &door.connection {
        let (mine, vm_id) = (digest(connection), connection.vm_id.clone());
        let fails_open = connection.failure == Failure::Open;
        let other = |gate: &&Gate| mine.is_some() && digest(gate).is_some() && digest(gate) != mine;
        if door.requests.iter().any(|gate| other(&gate)) {
            door.note(
                Kind::TwoDocuments,
                "the two filters have two documents: a connection and its requests must please both",
            );
        }
        if door.requests.iter().any(|gate| gate.vm_id != vm_id) {
            door.note(
                Kind::TwoVms,
                "the two filters have two `vm_id`: two VMs, which share nothing of what they know",
            );
        }
        if fails_open && !door.requests.is_empty() {
            door.note(
                Kind::ConnectionFailsOpen,
                "without its VM the network filter lets connections pass; requests are still decided on",
            );
        }
    }
}

/// The word of a document that reads the header, and the mode that it stands on.
fn wanted(xfcc: XfccMode) -> Option<(&'static str, &'static str)> {
    match xfcc {
        XfccMode::Ignore => None,
        XfccMode::Own => Some(("own", "SANITIZE_SET")),
        XfccMode::Hop => Some(("hop", "FORWARD_ONLY")),
        XfccMode::HopAppended => Some(("hop_appended", "APPEND_FORWARD")),
    }
}

/// `x-forwarded-client-cert`, and whether mark and lock go together.
fn header(door: &mut Door) {
    let Some(reading) = door.reading.clone() else { return };
    let documents: Vec<&Document> = door
        .requests
        .iter()
        .filter_map(|gate| gate.document.as_ref().ok())
        .collect();
    let modes = documents.iter().filter_map(|document| wanted(document.xfcc));
    let unfit: Vec<(&str, &str)> = modes.filter(|(_, mode)| *mode != reading.xfcc).collect();
    let of_hops = documents.iter().any(|document| document.xfcc.is_of_hops());
    let marks = documents.iter().any(|document| document.mark_passed);
    let guarded = !documents.is_empty();
    for (word, mode) in unfit {
        door.note(
            Kind::XfccNotOurs,
            format!(
                "the document reads `x-forwarded-client-cert` (`xfcc: {word}`, for {mode}), and the mode is {}",
                reading.xfcc
            ),
        );
    }
    // A document with `xfcc: hop` removes what is not read.
    if guarded && !of_hops && ["FORWARD_ONLY", "ALWAYS_FORWARD_ONLY", "APPEND_FORWARD"].contains(&reading.xfcc) {
        let text = format!(
            "the upstream gets what a client says in `x-forwarded-client-cert` ({})",
            reading.xfcc
        );
        door.note(Kind::XfccForwarded, text);
    }
    if marks && !door.lock {
        door.note(
            Kind::LockAndMark,
            "the document marks what it lets through, and no lock behind asks for the mark",
        );
    }
}
