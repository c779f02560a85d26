//! Where each Envoy keeps what the peer presented, and how we know that it is that.
//!
//! The digest of the handshake's leaf is read from the connection; a certificate from anywhere else counts only if it
//! hashes to it. So it need not matter who could have written the place it was read from.
//!
//! A connection without TLS of its own has a peer only where the document says in which filter state (`peer`): its
//! certificate with a digest, or its id, which the proxy vouches for. A connection with TLS is judged by that alone.

use rustls_pki_types::CertificateDer;
use svidgate_policy::{
    PeerOrigin, Reason, SpiffeId,
    certificate::{
        bounds::MAX_INTERMEDIATES,
        error::CertificateError,
        pem::{read_pem, split_der},
    },
    digest::sha256,
    trust::svid,
};

use crate::{peer::xfcc::Element, proxy::Proxy};

/// The filter-state key under which a listener's `set_filter_state` leaves `%DOWNSTREAM_PEER_CERT%`.
pub const FILTER_STATE_KEY: &str = "svidgate.peer_certificate";

/// The filter-state key under which svidgate's native certificate validator leaves what came with the leaf: DER, one behind
/// the other, the leaf first.
pub const CHAIN_STATE_KEY: &str = "svidgate.peer_chain";

/// SHA-256 of a leaf in DER.
pub type Digest = [u8; 32];

/// What tells who the peer of a connection is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Evidence {
    /// The leaf that it presented in this connection's handshake.
    Handshake(Digest),
    /// The leaf that it presented to another listener of this proxy, which shares it.
    Shared(Digest),
    /// The id that another listener's TLS has verified.
    Vouched(SpiffeId),
    /// The leaf of somebody else that a peer has shown, which is a hop. It proves that there is such a leaf, and not
    /// that its owner has anything to do with the request.
    Brought(Digest),
    /// The id of somebody else, for which a hop gives no more than its word.
    Named(SpiffeId),
    /// The token of somebody else that a hop has shown, by its SHA-256. It proves that whoever has it was given it.
    Token(Digest),
}

/// Why the peer's certificate is not at hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// The reason code.
    pub reason: Reason,
    /// What an operator can do about it.
    pub detail: String,
}

impl Unreadable {
    fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self {
            reason,
            detail: detail.into(),
        }
    }

    /// The header that this listener writes cannot be read.
    pub fn not_well_formed() -> Self {
        Self::new(
            Reason::ConnectionCertificateUnreadable,
            "x-forwarded-client-cert is not well-formed",
        )
    }

    /// The proxy shows no certificate.
    pub fn nowhere() -> Self {
        Self::new(Reason::ConnectionCertificateUnreadable, NOWHERE)
    }
}

/// What there is to tell who the peer of the connection being served is. `origin` is where the document says that the
/// peer of a connection without TLS stands.
///
/// # Errors
/// Plain text, no certificate, a digest that is none, or an id that is none.
pub fn evidence<P: Proxy>(proxy: &P, origin: &PeerOrigin) -> Result<Evidence, Unreadable> {
    match proxy.leaf_digest() {
        Some(hex) if !hex.is_empty() => Ok(Evidence::Handshake(parse_digest(&hex)?)),
        Some(_) | None if is_tls(proxy) => Err(Unreadable::new(
            Reason::ConnectionNoCertificate,
            "the TLS client presented no certificate",
        )),
        Some(_) | None => shared_evidence(proxy, origin),
    }
}

/// The digest of the leaf that the peer presented in this connection's own handshake.
pub fn handshake<P: Proxy>(proxy: &P) -> Option<Digest> {
    match evidence(proxy, &PeerOrigin::Handshake) {
        Ok(Evidence::Handshake(leaf)) => Some(leaf),
        Ok(
            Evidence::Shared(_) | Evidence::Vouched(_) | Evidence::Brought(_) | Evidence::Named(_) | Evidence::Token(_),
        )
        | Err(_) => None,
    }
}

fn shared_evidence<P: Proxy>(proxy: &P, origin: &PeerOrigin) -> Result<Evidence, Unreadable> {
    match origin {
        PeerOrigin::Handshake => Err(Unreadable::new(
            Reason::ConnectionPlaintext,
            "the connection is not TLS",
        )),
        PeerOrigin::Certificate { sha256, .. } => Ok(Evidence::Shared(parse_digest(&shared(proxy, sha256)?)?)),
        PeerOrigin::Id { key, .. } => match svid::read_vouched(&shared(proxy, key)?) {
            Ok(id) => Ok(Evidence::Vouched(id)),
            Err(error) => Err(Unreadable::new(
                error.reason(),
                format!("filter state `{key}` is not one SPIFFE ID: {error}"),
            )),
        },
    }
}

/// The filter state that another listener shares under a key.
fn shared<P: Proxy>(proxy: &P, key: &str) -> Result<Vec<u8>, Unreadable> {
    proxy.shared_state(key).ok_or_else(|| {
        let detail = format!("the connection is not TLS, and no listener shares filter state `{key}` with it");
        Unreadable::new(Reason::ConnectionPlaintext, detail)
    })
}

fn parse_digest(hex: &[u8]) -> Result<Digest, Unreadable> {
    let detail = "the proxy's digest is not 64 hexadecimal digits";
    parse_hex(hex).ok_or_else(|| Unreadable::new(Reason::ConnectionCertificateUnreadable, detail))
}

/// Whether the connection is TLS, its handshake done.
pub fn is_tls<P: Proxy>(proxy: &P) -> bool {
    proxy.tls_version().is_some_and(|version| !version.is_empty())
}

/// A digest in hexadecimal digits.
pub fn parse_hex(hex: &[u8]) -> Option<Digest> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut digest = Digest::default();
    if hex.len() != digest.len().checked_mul(2)? {
        return None;
    }
    for (byte, digits) in digest.iter_mut().zip(hex.chunks_exact(2)) {
        let [high, low] = digits else { return None };
        *byte = (digit(*high)? << 4) | digit(*low)?;
    }
    Some(digest)
}

/// What the peer presented.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presented {
    /// The leaf, bound to the handshake.
    pub leaf: CertificateDer<'static>,
    /// What came with it; only to build a path with.
    pub intermediates: Vec<CertificateDer<'static>>,
}

/// What the peer presented to the listener that shares it.
///
/// # Errors
/// No certificate to be found, one that cannot be read, or another than the digest says.
pub fn presented_elsewhere<P: Proxy>(proxy: &P, digest: &Digest, origin: &PeerOrigin) -> Result<Presented, Unreadable> {
    match origin {
        PeerOrigin::Certificate { certificate, .. } => {
            let leaf = single(read(&shared(proxy, certificate)?)?)?;
            bound(leaf, digest, Vec::new())
        }
        PeerOrigin::Handshake | PeerOrigin::Id { .. } => Err(Unreadable::nowhere()),
    }
}

/// A leaf counts where it hashes to the digest.
fn bound(
    leaf: CertificateDer<'static>,
    digest: &Digest,
    chain: Vec<CertificateDer<'static>>,
) -> Result<Presented, Unreadable> {
    if sha256(&leaf) != *digest {
        let detail = "the certificate at hand is not the one of the handshake";
        return Err(Unreadable::new(Reason::ConnectionCertificateMismatch, detail));
    }
    let intermediates = chain.into_iter().filter(|certificate| *certificate != leaf).collect();
    Ok(Presented { leaf, intermediates })
}

/// Finds the leaf that hashes to `digest`, and what came with it where that is to be had. `element` is what this
/// listener says of it in its own header.
///
/// # Errors
/// No certificate to be found, one that cannot be read, or one of another handshake.
pub fn presented<P: Proxy>(proxy: &P, digest: &Digest, element: Element<'_>) -> Result<Presented, Unreadable> {
    let chain = match element.chain {
        Some(pem) => read(pem)?,
        None => handed_on(proxy).map_or_else(|| Ok(Vec::new()), |der| read_handed_on(&der))?,
    };
    let pem = leaf_from_proxy(proxy).or_else(|| element.cert.map(<[u8]>::to_vec));
    let leaf = match (pem, chain.first()) {
        (Some(pem), _) => single(read(&pem)?)?,
        (None, Some(first)) => first.clone(),
        (None, None) => return Err(Unreadable::nowhere()),
    };
    bound(leaf, digest, chain)
}

/// What the native validator has left of this connection's certificates. It is no matter who has: it leads to authorities, and
/// the leaf is held to the handshake.
pub fn handed_on<P: Proxy>(proxy: &P) -> Option<Vec<u8>> {
    proxy.shared_state(CHAIN_STATE_KEY).filter(|der| !der.is_empty())
}

fn read_handed_on(der: &[u8]) -> Result<Vec<CertificateDer<'static>>, Unreadable> {
    let certificates = split_der(der, MAX_INTERMEDIATES.saturating_add(1)).map_err(|error| {
        let is_too_many = matches!(error, CertificateError::TooManyAuthorities { .. });
        unreadable(if is_too_many {
            &CertificateError::TooMany
        } else {
            &error
        })
    })?;
    Ok(certificates.into_iter().map(|der| der.to_vec().into()).collect())
}

const NOWHERE: &str = "the proxy shows no certificate (Envoy 1.38 and later do; before, `set_filter_state` with \
                       `svidgate.peer_certificate`, in 1.36 behind `svidgate.hold`; or `xfcc: own`)";

fn leaf_from_proxy<P: Proxy>(proxy: &P) -> Option<Vec<u8>> {
    let said = |pem: Option<Vec<u8>>| pem.filter(|pem| !pem.is_empty());
    said(proxy.leaf()).or_else(|| said(proxy.shared_state(FILTER_STATE_KEY)))
}

fn read(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Unreadable> {
    read_pem(pem).map_err(|error| unreadable(&error))
}

fn unreadable(error: &CertificateError) -> Unreadable {
    Unreadable::new(error.reason(), error.to_string())
}

fn single(certificates: Vec<CertificateDer<'static>>) -> Result<CertificateDer<'static>, Unreadable> {
    let detail = "the proxy shows more than one leaf";
    let mut certificates = certificates.into_iter();
    match (certificates.next(), certificates.next()) {
        (Some(leaf), None) => Ok(leaf),
        _ => Err(Unreadable::new(Reason::ConnectionCertificateUnreadable, detail)),
    }
}
