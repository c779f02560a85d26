//! Whom does a hop bring?
//!
//! A caller is a peer in all but presence: its leaf has the profile of one, a path to an authority of its own trust
//! domain, and stands as long as its relationship, its bundle and no revocation say so. What a certificate in a header
//! proves is that it is good, not that its owner was there; for that, the document takes the hop's word.
//!
//! What a hop should have said and has not, or has said badly, is a refusal and never the hop's own request.

use std::rc::Rc;

use jiff::Timestamp;
use svidgate_policy::{Assertion, Reason};

use crate::{
    identity::{
        asserted::names_somebody,
        bringing::Bringing,
        gate::Gate,
        party::{Caller, Party},
        peer::Peer,
    },
    peer::said::{Lines, Said},
    proxy::Proxy,
    refusal::{Of, Refusal},
};

impl Gate {
    /// Who has connected: somebody, or one who has shown no certificate, where `may_be_anonymous` and the document takes
    /// requests that such a one brings. A certificate that is refused stays refused.
    ///
    /// # Errors
    /// Why it is nobody.
    pub fn connected<P: Proxy>(
        &self,
        proxy: &P,
        now: Timestamp,
        xfcc: Lines<'_>,
        may_be_anonymous: impl FnOnce() -> bool,
    ) -> Result<Peer, Rc<Refusal>> {
        let refusal = match self.identify(proxy, now, xfcc) {
            Ok(identity) => return Ok(Peer::Known(identity)),
            Err(refusal) => refusal,
        };
        match self.anonymous() {
            Some(anonymous) if refusal.reason == Reason::ConnectionNoCertificate && may_be_anonymous() => {
                Ok(Peer::Anonymous(anonymous))
            }
            Some(_) | None => Err(refusal),
        }
    }

    /// Who acts in a request of the connection being served: its peer, or whom it brings.
    ///
    /// # Errors
    /// Why it is nobody.
    pub fn party<P: Proxy>(&self, proxy: &P, now: Timestamp, said: Said<'_>) -> Result<Party, Rc<Refusal>> {
        let peer = self.connected(proxy, now, said.xfcc, || true)?;
        if !peer.grants().is_hop() {
            return Ok(Party::direct(peer));
        }
        let caller = Some(self.caller(proxy, &peer, now, said)?);
        Ok(Party { peer, caller })
    }

    /// Whether those who were let in, perhaps under another document, still are who they were.
    ///
    /// # Errors
    /// Why they are nobody any more.
    pub fn party_again<P: Proxy>(&self, proxy: &P, party: &Party, now: Timestamp) -> Result<Party, Rc<Refusal>> {
        let peer = match &party.peer {
            Peer::Known(identity) => Peer::Known(self.identify_again(proxy, identity, now)?),
            Peer::Anonymous(_) => self.connected(proxy, now, Lines::Absent, || true)?,
        };
        let Some(caller) = &party.caller else {
            return Ok(Party::direct(peer));
        };
        let bringing = Bringing {
            peer: &peer,
            between: &caller.between,
        };
        let again = |identity, of| {
            let again = self.identify_again(proxy, identity, now);
            again.map_err(|refusal| bringing.refuse_of(of, &refusal))
        };
        let between = caller.between.iter().map(|hop| again(hop, Of::Hop));
        let between = between.collect::<Result<_, _>>()?;
        let identity = again(&caller.identity, Of::Caller)?;
        let caller = Some(Caller::brought_by(&peer, identity, between, caller.assertion));
        Ok(Party { peer, caller })
    }

    /// Who it is that a hop brings. One that may say it in several ways says it in one: of two, whoever sends the request
    /// would choose.
    fn caller<P: Proxy>(&self, proxy: &P, hop: &Peer, now: Timestamp, said: Said<'_>) -> Result<Caller, Rc<Refusal>> {
        let is_said = |assertion: &Assertion| match assertion {
            Assertion::Xfcc => match said.xfcc {
                Lines::Absent => false,
                Lines::One(header) => names_somebody(header, self.configuration.xfcc),
                Lines::Several => true,
            },
            Assertion::ClientCert => said.client_cert != Lines::Absent || !said.client_cert_chain.is_empty(),
            Assertion::JwtSvid => said.authorization != Lines::Absent,
        };
        let expected = || {
            ASSERTIONS
                .into_iter()
                .filter(|assertion| hop.grants().asserts_by(*assertion))
        };
        let mut said_by = expected().filter(is_said);
        // Where nothing is said, what is missing is the first that could be.
        let assertion = said_by.next().or_else(|| expected().next());
        if said_by.next().is_some() {
            let refused = (Reason::AssertionAmbiguous, BOTH.to_owned());
            return Err(Bringing::alone(hop).refuse(refused));
        }
        match assertion.unwrap_or_default() {
            Assertion::Xfcc => self.caller_by_xfcc(proxy, hop, now, said),
            Assertion::ClientCert => self.caller_by_client_cert(proxy, hop, now, said),
            Assertion::JwtSvid => self.caller_by_token(proxy, hop, now, said.authorization),
        }
    }
}

/// In which ways something may be said of a caller.
const ASSERTIONS: [Assertion; 3] = [Assertion::Xfcc, Assertion::ClientCert, Assertion::JwtSvid];
const BOTH: &str =
    "the hop says in two ways at once whom it brings: which of them counts would be its client's to choose";
