//! Whom does a hop bring?
//!
//! A caller is a peer in all but presence: its leaf has the profile of one, a path to an authority of its own trust
//! domain, and stands as long as its relationship, its bundle and no revocation say so. What a certificate in a header
//! proves is that it is good, not that its owner was there; for that, the document takes the hop's word.
//!
//! What a hop should have said and has not, or has said badly, is a refusal and never the hop's own request.

use std::rc::Rc;

use jiff::Timestamp;
use svidgate_policy::{Reason, digest::sha256};

use crate::{
    clock::whole_seconds,
    identity::{
        asserted::{self, NOBODY, Refused},
        gate::Gate,
        identity::Identity,
        party::Party,
    },
    peer::{
        presented::{Digest, Evidence},
        xfcc::Xfcc,
    },
    proxy::Proxy,
    refusal::{Brought, Refusal},
};

impl Gate {
    /// Who acts in a request of the connection being served: its peer, or whom it brings.
    ///
    /// # Errors
    /// Why it is nobody.
    pub fn party<P: Proxy>(&self, proxy: &P, now: Timestamp, xfcc: Xfcc<'_>) -> Result<Party, Rc<Refusal>> {
        let peer = self.identify(proxy, now, xfcc)?;
        if !peer.grants.is_hop() {
            return Ok(Party::direct(peer));
        }
        let caller = self.caller(proxy, &peer, now, xfcc).map_err(|(refusal, of_caller)| {
            let brought = Brought {
                of_caller,
                ..Brought::by(peer.svid.id(), peer.grants.first_hop())
            };
            Rc::new(Refusal {
                brought: Some(brought),
                ..refusal
            })
        })?;
        Ok(Party {
            peer,
            caller: Some(caller),
        })
    }

    /// Whether those who were let in, perhaps under another document, still are who they were.
    ///
    /// # Errors
    /// Why they are nobody any more.
    pub fn party_again<P: Proxy>(&self, proxy: &P, party: &Party, now: Timestamp) -> Result<Party, Rc<Refusal>> {
        let peer = self.identify_again(proxy, &party.peer, now)?;
        let caller = party.caller.as_ref().map(|caller| {
            self.identify_again(proxy, caller, now).map_err(|refusal| {
                let brought = Brought {
                    of_caller: true,
                    ..Brought::by(peer.svid.id(), peer.grants.first_hop())
                };
                Rc::new(Refusal {
                    brought: Some(brought),
                    ..Rc::unwrap_or_clone(refusal)
                })
            })
        });
        let caller = caller.transpose()?;
        Ok(Party { peer, caller })
    }

    /// Who it is that a hop brings; else why it is nobody, and whether that is about the caller's certificate.
    fn caller<P: Proxy>(
        &self,
        proxy: &P,
        hop: &Identity,
        now: Timestamp,
        xfcc: Xfcc<'_>,
    ) -> Result<Rc<Identity>, (Refusal, bool)> {
        let header = match xfcc {
            Xfcc::One(header) => header,
            Xfcc::Absent => return Err((refused((Reason::AssertionMissing, NOBODY.to_owned())), false)),
            Xfcc::Several => {
                let detail = "several lines of x-forwarded-client-cert came through";
                return Err((refused((Reason::AssertionAmbiguous, detail.to_owned())), false));
            }
        };
        let remembered = self.assertions.borrow_mut().recall(header);
        let read = || asserted::read(header, self.configuration.xfcc).map_err(|error| (refused(error), false));
        let (asserted, mut presented) = match remembered {
            Some(asserted) => (asserted, None),
            None => {
                let (asserted, presented) = read()?;
                (Rc::new(asserted), Some(presented))
            }
        };
        asserted
            .is_said_by(hop.svid.id(), leaf(hop))
            .map_err(|error| (refused(error), false))?;
        let evidence = Evidence::Brought(asserted.leaf);
        let chain = || Some(sha256(header));
        let clock = || proxy.now().map_or(now, whole_seconds);
        let known = match self.recall(&evidence, chain, clock, now) {
            Some(known) => known,
            None => {
                if presented.is_none() {
                    presented = Some(read()?.1);
                }
                self.verify_and_keep(evidence, chain, presented, clock())
            }
        };
        let caller = known.map_err(|refusal| (of_caller(&refusal), true))?;
        self.assertions.borrow_mut().keep(header, asserted);
        Ok(caller)
    }
}

/// The leaf that a hop has shown in its own handshake.
fn leaf(hop: &Identity) -> Option<Digest> {
    match hop.evidence {
        Evidence::Handshake(leaf) => Some(leaf),
        Evidence::Shared(_) | Evidence::Vouched(_) | Evidence::Brought(_) => None,
    }
}

/// A leaf that cannot be read says nothing of the connection when it stands in a header.
fn of_caller(refusal: &Refusal) -> Refusal {
    let mut refusal = refusal.clone();
    if refusal.reason == Reason::ConnectionCertificateUnreadable {
        refusal.reason = Reason::AssertionMalformed;
    }
    refusal
}

fn refused((reason, detail): Refused) -> Refusal {
    Refusal {
        reason,
        detail,
        claimed: None,
        changes: None,
        for_want_of_issuer: None,
        brought: None,
    }
}
