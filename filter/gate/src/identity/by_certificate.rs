//! Who stands behind the certificates that a hop brings?
//!
//! What is shown last is the caller's; before it stand those of the hops that it has come through, each of which is held
//! to all that a peer is. They are looked at from here outwards, so that nothing is verified that a stranger has said.

use std::rc::Rc;

use jiff::Timestamp;
use svidgate_policy::{Assertion, Reason, digest::sha256};

use crate::{
    clock::whole_seconds,
    identity::{
        asserted::{self, NOBODY, check_depth},
        bringing::Bringing,
        gate::Gate,
        identity::Identity,
        party::Caller,
    },
    peer::{
        presented::{Evidence, Presented},
        said::Lines,
    },
    proxy::Proxy,
    refusal::{Of, Refusal},
};

impl Gate {
    /// Whom a hop brings that shows their certificate.
    ///
    /// # Errors
    /// Why it is nobody.
    pub(super) fn caller_by_certificate<P: Proxy>(
        &self,
        proxy: &P,
        hop: &Identity,
        now: Timestamp,
        xfcc: Lines<'_>,
    ) -> Result<Caller, Rc<Refusal>> {
        let refuse = |refused| Bringing::alone(hop).refuse(refused);
        let header = match xfcc {
            Lines::One(header) => header,
            Lines::Absent => return Err(refuse((Reason::AssertionMissing, NOBODY.to_owned()))),
            Lines::Several => return Err(refuse((Reason::AssertionAmbiguous, SEVERAL.to_owned()))),
        };
        let depths = || hop.grants.depths(Assertion::Xfcc);
        let check_depth = |found| check_depth(found, depths);
        let read = || asserted::read(header, self.configuration.xfcc, check_depth).map_err(refuse);
        let mut presented: Option<Vec<Presented>> = None;
        let remembered = self.assertions.borrow_mut().recall(header);
        let asserted = match remembered {
            Some(asserted) => asserted,
            None => {
                let (asserted, certificates) = read()?;
                presented = Some(certificates);
                Rc::new(asserted)
            }
        };
        check_depth(asserted.elements.len()).map_err(refuse)?;
        asserted.check_appended(Bringing::alone(hop).leaf()).map_err(refuse)?;
        let chain = || Some(sha256(header));
        let clock = || proxy.now().map_or(now, whole_seconds);
        let mut between: Vec<Rc<Identity>> = Vec::new();
        let mut caller = None;
        for (place, shown) in asserted.elements.iter().enumerate() {
            // Whoever was found last has said this.
            between.extend(caller.take());
            let bringing = Bringing { peer: hop, between: &between };
            let by = between.last().map_or(hop, |last| last);
            shown.check_is_said_by(by.svid.id()).map_err(|refused| bringing.refuse(refused))?;
            if !by.grants.is_hop() {
                return Err(bringing.refuse((Reason::AssertionNotAllowed, NO_HOP.to_owned())));
            }
            let evidence = Evidence::Brought(shown.leaf);
            let known = match self.recall(&evidence, chain, clock, now) {
                Some(known) => known,
                None => {
                    let certificates = presented.take().map_or_else(|| Ok(read()?.1), Ok)?;
                    let shown = certificates.get(place).cloned();
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
        Ok(Caller::brought_by(hop, caller, between, Assertion::Xfcc))
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

const SEVERAL: &str = "several lines of x-forwarded-client-cert came through";
const NO_HOP: &str = "it has come through one who is in `peers` of no entry of `hops`";
