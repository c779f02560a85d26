//! When is a leaf left to the first request of its connection, and what proves it then?
//!
//! A leaf of which nothing is wrong but that its issuer is not at hand is left to the first request, whose filter sees
//! the chain, where it is certain that it stands behind: in front of HTTP, where the document has `xfcc: own` and
//! `mark_passed`, so that a lock refuses what the HTTP filter has not let through, and that filter is configured on
//! this worker with the same document. Of what is closed before a request was allowed, no byte has gone further than
//! the HTTP connection manager.

use std::rc::{Rc, Weak};

use jiff::Timestamp;
use svidgate_policy::{Decision, Reason};

use crate::{
    identity::gate::Gate,
    peer::{
        presented::{self, Digest},
        surroundings,
    },
    plugin::{
        action::Action,
        judgement::{self, Judged as _},
    },
    proxy::Proxy,
    record::decision::Record,
    refusal::Refusal,
    stage::Stage,
    worker::{
        cut::Ending,
        grounds::{Grounds, Judges},
        unproven::Unproven,
    },
};

use super::ConnectionFilter;

impl<P: Proxy> ConnectionFilter<P> {
    /// Whether nothing stands in the way but that the issuer is not at hand, to no document that judges, and it is
    /// certain that each request will be judged. Gives by what requests are known as its own: its leaf and the proxy's
    /// number of it.
    pub(super) fn left_to_requests(&self, gate: &Gate, refusal: &Refusal, judges: &Judges) -> Option<(Digest, u64)> {
        if !gate.leaves_to_requests(refusal) || !self.plugin.listener().has_requests() || !gate.enforces() {
            return None;
        }
        // Under a dry run of its own nothing was held, and nobody has looked whether `tcp_proxy` stands behind.
        if !self.enforces() {
            return None;
        }
        // Of what another listener shares no request shows the chain.
        let leaf = presented::handshake(self.plugin.proxy())?;
        // Without its number no request could prove it.
        let connection = surroundings::connection_id(self.plugin.proxy())?;
        let is_at_peace = |gate: &Rc<Gate>| {
            let party = self.identify(gate, self.plugin.now());
            let pleases = match &party {
                Ok(party) => self.decide(party).is_allowed(),
                Err(refusal) => gate.leaves_to_requests(refusal),
            };
            pleases || !gate.enforces()
        };
        let is_left = self.plugin.decides_on_requests(judges.own()) && judges.all().all(is_at_peace);
        is_left.then_some((leaf, connection))
    }

    pub(super) fn leave_to_requests(
        &self,
        gate: &Gate,
        refusal: &Refusal,
        judges: Judges,
        (leaf, connection): (Digest, u64),
    ) -> Action {
        let proxy = self.plugin.proxy();
        let address = surroundings::source_address(proxy)
            .as_deref()
            .and_then(surroundings::ip);
        let unproven: Weak<dyn Unproven> = Weak::<Self>::clone(&self.this);
        let places = self.plugin.unproven();
        let Some(place) = places.take(leaf, (connection, self.context), address, unproven) else {
            return self.refuse_unproven(gate, refusal);
        };
        self.unproven.replace(Some((self.wait(gate), place)));
        self.grounds.replace(Some(Grounds::new(
            judges,
            None,
            &[],
            None,
            self.plugin.now(),
            Timestamp::MAX,
        )));
        surroundings::note_address(proxy);
        self.decided.set(Some(Action::Continue));
        Action::Continue
    }

    /// Whether no request has been proof in time.
    pub(super) fn is_past_proof(&self, now: Timestamp) -> bool {
        self.unproven
            .borrow()
            .as_ref()
            .is_some_and(|(wait, _)| wait.is_over(now))
    }

    /// There is no place for another one.
    fn refuse_unproven(&self, gate: &Gate, refusal: &Refusal) -> Action {
        let decision = Decision::refused(Reason::ConnectionTooManyUnproven);
        let record = Record::new(Stage::Connection, decision, gate.version());
        self.plugin.record(&record, true, || self.circumstances(Some(refusal)));
        self.decided.set(Some(Action::Pause));
        self.close()
    }

    pub(super) fn end_unproven(&self) -> Ending {
        self.unproven.take();
        let refusal = self.plugin.gate().and_then(|gate| {
            let party = self.identify(&gate, self.plugin.now());
            party.err()
        });
        let detail = match &refusal {
            Some(refusal) => format!("{UNPROVEN}: {}", refusal.detail),
            None => UNPROVEN.to_owned(),
        };
        self.end_for(Reason::ConnectionUnproven, refusal.as_deref(), detail)
    }
}

impl<P: Proxy> Unproven for ConnectionFilter<P> {
    /// It takes the identity that the request has shown, where it pleases all documents that judge; else it goes on
    /// waiting. Calls of the proxy are about the request, whose connection is this one.
    fn prove(&self) -> bool {
        let Some(judges) = self.plugin.judges() else {
            return false;
        };
        let words = judgement::ask(self, &judges, None, |_, _| false, self.plugin.now());
        if words.refusal().is_some_and(|word| word.gate.enforces()) {
            return false;
        }
        self.unproven.take();
        let grounds = words.grounds(self.plugin.proxy(), judges, self.plugin.now());
        self.grounds.replace(Some(grounds));
        true
    }
}

const UNPROVEN: &str = "no request that was allowed has shown the chain of its leaf within `first_bytes_timeout`";
