//! Which certificates does a hop show for whom it brings, and does all fit that it says of them?
//!
//! A header is read once and remembered ([`crate::identity::remembered`]). What depends on who has sent it is asked each time.

use svidgate_policy::{
    Reason, XfccMode,
    certificate::{error::CertificateError, pem},
    digest::sha256,
    trust::svid,
};

use crate::{
    identity::remembered::Bytes,
    peer::{
        assertion::{Element, NotWellFormed, Pem, elements},
        client_cert,
        presented::{Digest, Evidence, Presented, parse_hex},
    },
};

/// What a header says, whoever has sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asserted {
    /// What each hop says of who has come to it: first the one that has connected here, last the one to which the caller
    /// has.
    pub elements: Box<[Shown]>,
    /// Where this listener appends an element of its own: whose leaf it is about.
    appended: Option<Digest>,
}

/// What one hop says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// What it shows of who has come to it.
    pub evidence: Evidence,
    /// Whom the hop says that it is itself.
    by: Box<[Box<str>]>,
}

/// Why an assertion does not count.
pub type Refused = (Reason, String);

/// Reads what a hop says, and the certificates that it shows, in the same order. Through how many hops a caller may have
/// come is asked before any certificate is looked at. Where there is none, `takes_names` says whether its word may do.
///
/// # Errors
/// Where anything about it is wrong.
pub fn read(
    header: &[u8],
    mode: XfccMode,
    check_depth: impl FnOnce(usize) -> Result<(), Refused>,
    takes_names: bool,
) -> Result<(Asserted, Vec<Option<Presented>>), Refused> {
    let mut elements = elements(header).map_err(not_well_formed)?;
    let appended = match mode {
        XfccMode::HopAppended => Some(appended(elements.pop())?),
        XfccMode::Hop | XfccMode::Ignore | XfccMode::Own => None,
    };
    if elements.is_empty() {
        return Err((Reason::AssertionMissing, NOBODY.to_owned()));
    }
    check_depth(elements.len())?;
    let read = elements.into_iter().rev().map(|element| {
        let has_certificate = element.cert.is_some() || !element.chain.is_empty();
        if takes_names && !has_certificate {
            named(element).map(|shown| (shown, None))
        } else {
            shown(element).map(|(shown, presented)| (shown, Some(presented)))
        }
    });
    let (elements, presented): (Vec<_>, _) = read.collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
    let elements = elements.into();
    Ok((Asserted { elements, appended }, presented))
}

/// Reads the certificates of RFC 9440 that a hop shows: those of its caller, and of nobody else.
///
/// # Errors
/// Where anything about them is wrong.
pub fn read_client_cert(leaf: &[u8], chain: &[&[u8]]) -> Result<(Asserted, Vec<Option<Presented>>), Refused> {
    let malformed = |detail: String| (Reason::AssertionMalformed, detail);
    let certificates = client_cert::certificates(leaf, chain).map_err(|error| malformed(error.as_str().to_owned()))?;
    let mut certificates = pem::certificates(certificates)
        .map_err(|error| malformed(of_caller(&error)))?
        .into_iter();
    let leaf = certificates
        .next()
        .ok_or_else(|| (Reason::AssertionMissing, NO_CLIENT_CERT.to_owned()))?;
    let shown = Shown {
        evidence: Evidence::Brought(sha256(&leaf)),
        by: Box::default(),
    };
    let asserted = Asserted {
        elements: [shown].into(),
        appended: None,
    };
    let intermediates = certificates.collect();
    Ok((asserted, vec![Some(Presented { leaf, intermediates })]))
}

fn of_caller(error: &CertificateError) -> String {
    format!("certificate of the caller: {error}")
}

fn shown(element: Element<'_>) -> Result<(Shown, Presented), Refused> {
    let presented = presented(&element)?;
    let leaf = sha256(&presented.leaf);
    let hash = element.hash.as_deref().map(|hex| parse_hex(hex.as_bytes()));
    if hash.is_some_and(|hash| hash != Some(leaf)) {
        let detail = "`Hash` is not that of `Cert`";
        return Err((Reason::AssertionBrokenChain, detail.to_owned()));
    }
    let (evidence, by) = (Evidence::Brought(leaf), said_by(element));
    Ok((Shown { evidence, by }, presented))
}

/// Of whom the hop gives no more than its word.
fn named(element: Element<'_>) -> Result<Shown, Refused> {
    let malformed = |detail: String| (Reason::AssertionMalformed, detail);
    let name = element.name().ok_or_else(|| malformed(NO_NAME.to_owned()))?;
    let id = svid::read_vouched(name.as_bytes())
        .map_err(|error| malformed(format!("`URI` is not one SPIFFE ID: {error}")))?;
    let (evidence, by) = (Evidence::Named(id), said_by(element));
    Ok(Shown { evidence, by })
}

fn said_by(element: Element<'_>) -> Box<[Box<str>]> {
    let by = element.by.into_iter();
    by.map(|id| id.into_owned().into_boxed_str()).collect()
}

impl Bytes for Asserted {
    fn bytes(&self) -> usize {
        let all = self.elements.iter().flat_map(|shown| &shown.by).map(|by| by.len());
        let fixed = size_of::<Shown>().saturating_mul(self.elements.len());
        all.fold(size_of::<Self>().saturating_add(fixed), usize::saturating_add)
    }
}

impl Asserted {
    /// Whether it has come on a connection with this leaf.
    ///
    /// # Errors
    /// Where this listener has not appended its word about it.
    pub fn check_appended(&self, leaf: Option<Digest>) -> Result<(), Refused> {
        if self.appended.is_some() && self.appended != leaf {
            return Err((Reason::AssertionBrokenChain, NOT_APPENDED.to_owned()));
        }
        Ok(())
    }
}

impl Shown {
    /// Whether this hop has said it.
    ///
    /// # Errors
    /// Where it says of itself that another one has.
    pub fn check_is_said_by(&self, hop: &str) -> Result<(), Refused> {
        if self.by.iter().any(|by| **by != *hop) {
            return Err((Reason::AssertionBrokenChain, ANOTHER.to_owned()));
        }
        Ok(())
    }
}

/// Checks through how many hops a caller has come. `depths` are those that the document has for who brings it here.
///
/// # Errors
/// Where that is none of them.
pub fn check_depth<I: Iterator<Item = usize>>(found: usize, depths: impl Fn() -> I) -> Result<(), Refused> {
    if depths().any(|depth| depth == found) {
        Ok(())
    } else if depths().all(|depth| found > depth) {
        Err((Reason::AssertionTooManyHops, MORE.to_owned()))
    } else {
        Err((Reason::AssertionBrokenChain, FEWER.to_owned()))
    }
}

/// Whether a header may name somebody beside whom this listener has appended.
pub fn names_somebody(header: &[u8], mode: XfccMode) -> bool {
    match mode {
        XfccMode::HopAppended => elements(header).map_or(true, |elements| elements.len() != 1),
        XfccMode::Hop | XfccMode::Ignore | XfccMode::Own => true,
    }
}

/// Whose leaf the element is about that this listener has appended.
fn appended(element: Option<Element<'_>>) -> Result<Digest, Refused> {
    let element = element.ok_or_else(|| (Reason::AssertionMissing, NOBODY.to_owned()))?;
    let hash = element.hash.and_then(|hex| parse_hex(hex.as_bytes()));
    hash.ok_or_else(|| (Reason::AssertionBrokenChain, NOT_APPENDED.to_owned()))
}

fn presented(element: &Element<'_>) -> Result<Presented, Refused> {
    let mut chain = Vec::new();
    for pem in &element.chain {
        chain.extend(certificates(pem)?);
    }
    let cert = element.cert.as_ref().map(certificates).transpose()?;
    let leaf = match (cert.as_deref(), chain.first()) {
        (Some([leaf]), None) => leaf.clone(),
        (Some([leaf]), Some(first)) if leaf == first => leaf.clone(),
        (None, Some(first)) => first.clone(),
        (None, None) => return Err((Reason::AssertionMissing, NO_CERTIFICATE.to_owned())),
        (Some(_), _) => {
            let detail = "`Cert` is more than one certificate, or not the first of `Chain`";
            return Err((Reason::AssertionMalformed, detail.to_owned()));
        }
    };
    let intermediates = chain.into_iter().filter(|certificate| *certificate != leaf).collect();
    Ok(Presented { leaf, intermediates })
}

fn certificates(pem: &Pem<'_>) -> Result<Vec<rustls_pki_types::CertificateDer<'static>>, Refused> {
    pem::read_pem(pem.0.as_bytes()).map_err(|error| (Reason::AssertionMalformed, of_caller(&error)))
}

fn not_well_formed(error: NotWellFormed) -> Refused {
    let detail = format!("x-forwarded-client-cert: {}", error.as_str());
    match error {
        NotWellFormed::TooManyElements => (Reason::AssertionTooManyHops, detail),
        NotWellFormed::TooLong
        | NotWellFormed::NotText
        | NotWellFormed::Key
        | NotWellFormed::Value
        | NotWellFormed::Json => (Reason::AssertionMalformed, detail),
    }
}

/// What is wrong where a hop names nobody.
pub const NOBODY: &str = "the peer is a hop, and its x-forwarded-client-cert names no caller (it must forward the \
                          certificate of who calls it, and refuse who shows none)";
const MORE: &str = "x-forwarded-client-cert has more elements than `depth` says (the hop to which the caller connects must \
                    have SANITIZE_SET, which takes away what its clients say; where this listener has APPEND_FORWARD, \
                    write `xfcc: hop_appended`)";
const FEWER: &str = "x-forwarded-client-cert has fewer elements than `depth` says (hops behind the first must have \
                     APPEND_FORWARD, which leaves what was said before)";
const NO_NAME: &str = "the element has no certificate, and does not end with one `URI` (the hop must write `uri: true` and neither `dns` \
                       nor `issuer`, which a name may pretend to be)";
/// What is wrong where a hop gives its word, and the document wants more.
pub const NO_CERTIFICATE: &str = "the hop gives its word for who calls, and not the certificate (it must write `Cert` or \
                              `Chain`: `set_current_client_cert_details` with `cert: true`)";
const ANOTHER: &str = "`By` is not the id of this hop: what it says was said by another";
const NOT_APPENDED: &str = "the last element is not about the leaf of this connection (`xfcc: hop_appended` is for \
                            APPEND_FORWARD; for FORWARD_ONLY write `xfcc: hop`)";
/// What is wrong where a hop shows nobody's certificate.
pub const NO_CLIENT_CERT: &str = "the peer is a hop, and brings no certificate of who calls (`client-cert`; it must demand one, \
                                  and refuse who shows none)";
