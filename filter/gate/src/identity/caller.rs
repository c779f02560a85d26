//! Whom does a hop bring?
//!
//! A caller is a peer in all but presence: its leaf has the profile of one, a path to an authority of its own trust
//! domain, and stands as long as its relationship, its bundle and no revocation say so. What a certificate in a header
//! proves is that it is good, not that its owner was there; for that, the document takes the hop's word.
//!
//! What a hop should have said and has not, or has said badly, is a refusal and never the hop's own request.

use std::rc::Rc;

use jiff::Timestamp;
use svidgate_policy::{
    Assertion, Reason,
    digest::sha256,
    trust::jwt_svid::{JwtSvid, MAX_TOKEN_BYTES},
};

use crate::{
    clock::whole_seconds,
    identity::{
        asserted::{self, NOBODY, Refused, names_somebody},
        gate::Gate,
        identity::Identity,
        party::Party,
    },
    peer::{
        presented::{Digest, Evidence},
        said::{Lines, Said},
    },
    proxy::Proxy,
    refusal::{Brought, Refusal},
};

impl Gate {
    /// Who acts in a request of the connection being served: its peer, or whom it brings.
    ///
    /// # Errors
    /// Why it is nobody.
    pub fn party<P: Proxy>(&self, proxy: &P, now: Timestamp, said: Said<'_>) -> Result<Party, Rc<Refusal>> {
        let peer = self.identify(proxy, now, said.xfcc)?;
        if !peer.grants.is_hop() {
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
        let peer = self.identify_again(proxy, &party.peer, now)?;
        let again = |caller| self.identify_again(proxy, caller, now);
        let caller = party.caller.as_ref().map(again).transpose();
        let caller = caller.map_err(|refusal| brought_by(&peer, About::Caller, (*refusal).clone()))?;
        Ok(Party { peer, caller })
    }

    /// Who it is that a hop brings. One that may say it in two ways says it in one: of two, whoever sends the request would
    /// choose.
    fn caller<P: Proxy>(
        &self,
        proxy: &P,
        hop: &Identity,
        now: Timestamp,
        said: Said<'_>,
    ) -> Result<Rc<Identity>, Rc<Refusal>> {
        let by_certificate = hop.grants.asserts_by(Assertion::Xfcc);
        let by_token = hop.grants.asserts_by(Assertion::JwtSvid);
        let has_certificate = match said.xfcc {
            Lines::Absent => false,
            Lines::One(header) => names_somebody(header, self.configuration.xfcc),
            Lines::Several => true,
        };
        let has_token = said.authorization != Lines::Absent;
        match (by_certificate, by_token) {
            (true, true) if has_certificate && has_token => Err(brought_by(
                hop,
                About::Assertion,
                refused((Reason::AssertionAmbiguous, BOTH.to_owned())),
            )),
            (false, true) => self.caller_by_token(proxy, hop, now, said.authorization),
            (true, true) if has_token => self.caller_by_token(proxy, hop, now, said.authorization),
            (true, true | false) | (false, false) => self.caller_by_certificate(proxy, hop, now, said.xfcc),
        }
    }

    fn caller_by_token<P: Proxy>(
        &self,
        proxy: &P,
        hop: &Identity,
        now: Timestamp,
        authorization: Lines<'_>,
    ) -> Result<Rc<Identity>, Rc<Refusal>> {
        let refuse = |reason, detail: &str| brought_by(hop, About::Assertion, refused((reason, detail.to_owned())));
        let header = match authorization {
            Lines::One(header) => header,
            Lines::Absent => return Err(refuse(Reason::AssertionMissing, NO_TOKEN)),
            Lines::Several => return Err(refuse(Reason::AssertionAmbiguous, SEVERAL_TOKENS)),
        };
        let token = bearer(header).ok_or_else(|| refuse(Reason::AssertionMalformed, NO_BEARER))?;
        // Before anything is calculated of it.
        if token.len() > MAX_TOKEN_BYTES {
            return Err(refuse(Reason::TokenMalformed, TOO_LONG));
        }
        let remembered = self.tokens.borrow_mut().recall(header);
        let digest = remembered.unwrap_or_else(|| Rc::new(sha256(token)));
        let evidence = Evidence::Token(*digest);
        let clock = || proxy.now().map_or(now, whole_seconds);
        let known = match self.recall(&evidence, || None, clock, now) {
            Some(known) => known,
            None => self.verify_token_and_keep(evidence, token, clock()),
        };
        let caller = known.map_err(|refusal| brought_by(hop, About::Caller, Refusal::clone(&refusal)))?;
        self.tokens.borrow_mut().keep(header, digest);
        // Of the token, and so asked each time: a token that is bound and is taken from anybody is a hole.
        let bound_to = caller.svid.token().and_then(JwtSvid::bound_to);
        if bound_to.is_some_and(|bound_to| leaf(hop) != Some(*bound_to)) {
            return Err(refuse(Reason::TokenNotBound, NOT_BOUND));
        }
        Ok(caller)
    }

    fn caller_by_certificate<P: Proxy>(
        &self,
        proxy: &P,
        hop: &Identity,
        now: Timestamp,
        xfcc: Lines<'_>,
    ) -> Result<Rc<Identity>, Rc<Refusal>> {
        let refuse = |error| brought_by(hop, About::Assertion, refused(error));
        let header = match xfcc {
            Lines::One(header) => header,
            Lines::Absent => return Err(refuse((Reason::AssertionMissing, NOBODY.to_owned()))),
            Lines::Several => return Err(refuse((Reason::AssertionAmbiguous, SEVERAL.to_owned()))),
        };
        let remembered = self.assertions.borrow_mut().recall(header);
        let read = || asserted::read(header, self.configuration.xfcc).map_err(refuse);
        let (asserted, mut presented) = match remembered {
            Some(asserted) => (asserted, None),
            None => {
                let (asserted, presented) = read()?;
                (Rc::new(asserted), Some(presented))
            }
        };
        asserted.is_said_by(hop.svid.id(), leaf(hop)).map_err(refuse)?;
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
        let caller = known.map_err(|refusal| brought_by(hop, About::Caller, of_caller(&refusal)))?;
        self.assertions.borrow_mut().keep(header, asserted);
        Ok(caller)
    }
}

const SEVERAL: &str = "several lines of x-forwarded-client-cert came through";

/// What a refusal is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum About {
    /// What the hop says.
    Assertion,
    /// The certificate of whom it brings.
    Caller,
}

/// The same, of somebody whom this hop brings.
fn brought_by(hop: &Identity, about: About, refusal: Refusal) -> Rc<Refusal> {
    let first = hop.grants.first_hop();
    let brought = Brought {
        via: hop.svid.id().clone(),
        hop: first.map(|hop| hop.name.clone()),
        of_caller: about == About::Caller,
    };
    Rc::new(Refusal {
        brought: Some(Box::new(brought)),
        ..refusal
    })
}

/// The token of a header (RFC 6750 2.1): the scheme, whose letters may be of either case, one space, the token.
fn bearer(header: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = header.split_at_checked(BEARER.len())?;
    let is_one = |byte: &u8| !byte.is_ascii_whitespace() && *byte != b',';
    (scheme.eq_ignore_ascii_case(BEARER) && !token.is_empty() && token.iter().all(is_one)).then_some(token)
}

const BOTH: &str =
    "the hop brings a certificate and a token at once: which of them counts would be its client's to choose";
const TOO_LONG: &str = "the token has more than 8,192 bytes";
const SEVERAL_TOKENS: &str = "several lines of authorization came through";
const BEARER: &[u8] = b"Bearer ";
const NO_TOKEN: &str = "the peer is a hop, and brings no token of who calls (`authorization: Bearer`)";
const NO_BEARER: &str = "authorization is not `Bearer`, one space and one token";
const NOT_BOUND: &str = "`cnf` binds the token to another certificate than that of the hop, which shows it";

/// The leaf that a hop has shown in its own handshake.
fn leaf(hop: &Identity) -> Option<Digest> {
    match hop.evidence {
        Evidence::Handshake(leaf) => Some(leaf),
        Evidence::Shared(_) | Evidence::Vouched(_) | Evidence::Brought(_) | Evidence::Token(_) => None,
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
