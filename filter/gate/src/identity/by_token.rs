//! Who stands behind the token that a hop brings?

use std::rc::Rc;

use jiff::Timestamp;
use svidgate_policy::{
    Assertion, Reason,
    digest::sha256,
    trust::jwt_svid::{JwtSvid, MAX_TOKEN_BYTES},
};

use crate::{
    clock::whole_seconds,
    identity::{bringing::Bringing, gate::Gate, party::Caller, peer::Peer},
    peer::{presented::Evidence, said::Lines},
    proxy::Proxy,
    refusal::{Of, Refusal},
};

impl Gate {
    /// Whom a hop brings that shows a token of theirs.
    ///
    /// # Errors
    /// Why it is nobody.
    pub(super) fn caller_by_token<P: Proxy>(
        &self,
        proxy: &P,
        hop: &Peer,
        now: Timestamp,
        authorization: Lines<'_>,
    ) -> Result<Caller, Rc<Refusal>> {
        let bringing = Bringing::alone(hop);
        let refuse = |reason, detail: &str| bringing.refuse((reason, detail.to_owned()));
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
        let caller = known.map_err(|refusal| bringing.refuse_of(Of::Caller, &refusal))?;
        self.tokens.borrow_mut().keep(header, digest);
        // Of the token, and so asked each time: a token that is bound and is taken from anybody is a hole.
        let bound_to = caller.svid.token().and_then(JwtSvid::bound_to);
        if bound_to.is_some_and(|bound_to| hop.leaf() != Some(*bound_to)) {
            return Err(refuse(Reason::TokenNotBound, NOT_BOUND));
        }
        Ok(Caller::brought_by(hop, caller, Vec::new(), Assertion::JwtSvid))
    }
}

/// The token of a header (RFC 6750 2.1): the scheme, whose letters may be of either case, one space, the token.
fn bearer(header: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = header.split_at_checked(BEARER.len())?;
    let is_one = |byte: &u8| !byte.is_ascii_whitespace() && *byte != b',';
    (scheme.eq_ignore_ascii_case(BEARER) && !token.is_empty() && token.iter().all(is_one)).then_some(token)
}

const TOO_LONG: &str = "the token has more than 8,192 bytes";
const SEVERAL_TOKENS: &str = "several lines of authorization came through";
const BEARER: &[u8] = b"Bearer ";
const NO_TOKEN: &str = "the peer is a hop, and brings no token of who calls (`authorization: Bearer`)";
const NO_BEARER: &str = "authorization is not `Bearer`, one space and one token";
const NOT_BOUND: &str = "`cnf` binds the token to another certificate than that of the hop, which shows it";
