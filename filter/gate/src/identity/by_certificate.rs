//! Who stands behind the certificates that a hop brings?
//!
//! What is shown last is the caller's; before it stand those of the hops that it has come through, each of which is held
//! to all that a peer is. They are looked at from here outwards, so that nothing is verified that a stranger has said.

use std::{borrow::Cow, rc::Rc};

use jiff::Timestamp;
use svidgate_policy::{Assertion, Reason, digest::sha256};

use crate::{
    clock::whole_seconds,
    identity::{
        asserted::{self, Asserted, NO_CERTIFICATE, NO_CLIENT_CERT, NOBODY, Refused, check_depth},
        bringing::Bringing,
        gate::Gate,
        identity::Identity,
        party::Caller,
        peer::Peer,
    },
    peer::{
        presented::{Evidence, Presented},
        said::{Lines, Said},
    },
    proxy::Proxy,
    refusal::{Of, Refusal},
};

impl Gate {
    /// Whom a hop brings that shows their certificate in `x-forwarded-client-cert`.
    ///
    /// # Errors
    /// Why it is nobody.
    pub(super) fn caller_by_xfcc<P: Proxy>(
        &self,
        proxy: &P,
        hop: &Peer,
        now: Timestamp,
        said: Said<'_>,
    ) -> Result<Caller, Rc<Refusal>> {
        let header = one(said.xfcc, NOBODY, SEVERAL).map_err(|refused| Bringing::alone(hop).refuse(refused))?;
        let depths = || hop.grants().depths(Assertion::Xfcc);
        let read = || {
            let mode = self.configuration.xfcc;
            asserted::read(
                header,
                mode,
                |found| check_depth(found, depths),
                hop.grants().gives_its_word(),
            )
        };
        self.caller_by_certificates(proxy, hop, now, Assertion::Xfcc, header, read)
    }

    /// Whom a hop brings that shows their certificate in `client-cert`.
    ///
    /// # Errors
    /// Why it is nobody.
    pub(super) fn caller_by_client_cert<P: Proxy>(
        &self,
        proxy: &P,
        hop: &Peer,
        now: Timestamp,
        said: Said<'_>,
    ) -> Result<Caller, Rc<Refusal>> {
        let refuse = |refused| Bringing::alone(hop).refuse(refused);
        if said.client_cert == Lines::Absent && !said.client_cert_chain.is_empty() {
            return Err(refuse((Reason::AssertionMalformed, NO_LEAF.to_owned())));
        }
        let leaf = one(said.client_cert, NO_CLIENT_CERT, SEVERAL_CLIENT_CERTS).map_err(refuse)?;
        let chain: Vec<&[u8]> = said.client_cert_chain.each().collect();
        // Its bytes are remembered, and no line has a line feed in it.
        let header = if chain.is_empty() {
            Cow::Borrowed(leaf)
        } else {
            Cow::Owned([&[leaf], &chain[..]].concat().join(&b'\n'))
        };
        let read = || asserted::read_client_cert(leaf, &chain);
        self.caller_by_certificates(proxy, hop, now, Assertion::ClientCert, &header, read)
    }

    /// The same, of what was said and what reads it.
    fn caller_by_certificates<P: Proxy>(
        &self,
        proxy: &P,
        hop: &Peer,
        now: Timestamp,
        assertion: Assertion,
        header: &[u8],
        read: impl Fn() -> Result<(Asserted, Vec<Option<Presented>>), Refused>,
    ) -> Result<Caller, Rc<Refusal>> {
        let refuse = |refused| Bringing::alone(hop).refuse(refused);
        let depths = || hop.grants().depths(assertion);
        let mut presented: Option<Vec<Option<Presented>>> = None;
        let remembered = self.assertions.borrow_mut().recall(header);
        let asserted = match remembered {
            Some(asserted) => asserted,
            None => {
                let (asserted, certificates) = read().map_err(refuse)?;
                presented = Some(certificates);
                Rc::new(asserted)
            }
        };
        check_depth(asserted.elements.len(), depths).map_err(refuse)?;
        asserted.check_appended(hop.leaf()).map_err(refuse)?;
        let chain = || Some(sha256(header));
        let clock = || proxy.now().map_or(now, whole_seconds);
        let mut between: Vec<Rc<Identity>> = Vec::new();
        let mut caller = None;
        for (place, shown) in asserted.elements.iter().enumerate() {
            // Whoever was found last has said this.
            between.extend(caller.take());
            let bringing = Bringing {
                peer: hop,
                between: &between,
            };
            let last = between.last().map(|last| Peer::Known(Rc::clone(last)));
            let by = last.as_ref().unwrap_or(hop);
            shown
                .check_is_said_by(by.as_str())
                .map_err(|refused| bringing.refuse(refused))?;
            if !by.grants().is_hop() {
                return Err(bringing.refuse((Reason::AssertionNotAllowed, NO_HOP.to_owned())));
            }
            // It was remembered, perhaps, of another hop.
            if matches!(shown.evidence, Evidence::Named(_)) && !hop.grants().gives_its_word() {
                return Err(bringing.refuse((Reason::AssertionMissing, NO_CERTIFICATE.to_owned())));
            }
            let evidence = shown.evidence.clone();
            let known = match self.recall(&evidence, chain, clock, now) {
                Some(known) => known,
                None => {
                    let again = || read().map(|(_, certificates)| certificates).map_err(refuse);
                    let certificates = presented.take().map_or_else(again, Ok)?;
                    let shown = certificates.get(place).cloned().flatten();
                    presented = Some(certificates);
                    self.verify_and_keep(evidence, chain, shown, clock())
                }
            };
            let is_last = place.saturating_add(1) == asserted.elements.len();
            let of = if is_last { Of::Caller } else { Of::Hop };
            caller = Some(known.map_err(|refusal| bringing.refuse_of(of, &in_a_header(&refusal)))?);
        }
        let caller = caller.ok_or_else(|| refuse((Reason::AssertionMissing, NOBODY.to_owned())))?;
        self.assertions.borrow_mut().keep(header, asserted);
        Ok(Caller::brought_by(hop, caller, between, assertion))
    }
}

/// A leaf that cannot be read says nothing of the connection when it stands in a header.
fn in_a_header(refusal: &Refusal) -> Refusal {
    let mut refusal = refusal.clone();
    if refusal.reason == Reason::ConnectionCertificateUnreadable {
        refusal.reason = Reason::AssertionMalformed;
    }
    refusal
}

/// The one line of a header.
fn one<'h>(lines: Lines<'h>, missing: &str, several: &str) -> Result<&'h [u8], Refused> {
    match lines {
        Lines::One(b"") | Lines::Absent => Err((Reason::AssertionMissing, missing.to_owned())),
        Lines::One(header) => Ok(header),
        Lines::Several => Err((Reason::AssertionAmbiguous, several.to_owned())),
    }
}

const SEVERAL: &str = "several lines of x-forwarded-client-cert came through";
const SEVERAL_CLIENT_CERTS: &str = "several lines of client-cert came through";
const NO_LEAF: &str = "client-cert-chain came without client-cert";
const NO_HOP: &str = "it has come through one who is in `peers` of no entry of `hops`";
