//! What several documents decide together, recorded once: for connections and for requests.

use std::rc::Rc;

use jiff::Timestamp;
use svidgate_policy::{Decision, Reason};

use crate::{
    identity::{gate::Gate, party::Party},
    plugin::plugin::Plugin,
    proxy::Proxy,
    record::decision::{Circumstances, Record},
    refusal::Refusal,
    stage::Stage,
    worker::grounds::{Grounds, Judges, Words},
};

/// A connection or a stream, as documents look at it.
pub(super) trait Judged<P: Proxy> {
    /// Which it is.
    fn stage(&self) -> Stage;
    /// Its plugin.
    fn plugin(&self) -> &Plugin<P>;
    /// Who acts, to a document, by what is shown now.
    fn identify(&self, gate: &Gate, now: Timestamp) -> Result<Party, Rc<Refusal>>;
    /// What they may do here.
    fn decide<'i>(&self, party: &'i Party) -> Decision<'i>;
    /// Whether it may go on although a document knows nobody here.
    fn excuses(&self, gate: &Gate, refusal: &Refusal) -> bool;
    /// Whether a word on it that is carried out, or is not, is shown as the last one.
    fn shows(&self, enforced: bool) -> bool;
    /// What an operator wants to know of it.
    fn circumstances(&self, refusal: Option<&Refusal>) -> Circumstances;
}

/// What came of deciding again.
pub(super) enum Again {
    /// It goes on, on these grounds.
    GoesOn(Grounds),
    /// It must end, and that has been recorded.
    Ends(Reason),
}

/// The document that has the word on something that begins: the first of the others that refuses it, else that of its
/// own plugin.
pub(super) fn spokesman<P: Proxy>(judged: &impl Judged<P>, judges: &Judges) -> Rc<Gate> {
    let now = judged.plugin().now();
    let refuses = |gate: &&Rc<Gate>| {
        let party = judged.identify(gate, now);
        gate.enforces() && !party.is_ok_and(|party| judged.decide(&party).is_allowed())
    };
    Rc::clone(judges.others().find(refuses).unwrap_or(judges.own()))
}

/// What one document decides on whom it knows, or on nobody.
pub(super) fn decide<'i, P: Proxy>(
    judged: &impl Judged<P>,
    party: &'i Result<Party, Rc<Refusal>>,
) -> (Decision<'i>, Option<&'i Refusal>) {
    match party {
        Ok(party) => (judged.decide(party), None),
        Err(refusal) => (Decision::refused(refusal.reason), Some(&**refusal)),
    }
}

/// The grounds on which something begins that its documents let through. `party` is who acts to the document of its own
/// plugin, `ends` when its connection has been open for as long as it may.
pub(super) fn grounds<P: Proxy>(
    judged: &impl Judged<P>,
    judges: Judges,
    party: Option<Party>,
    decision: &Decision<'_>,
    ends: Timestamp,
) -> Grounds {
    let now = judged.plugin().now();
    let would_refuse = (!decision.is_allowed()).then_some(decision.reason);
    let others: Vec<Party> = judges
        .others()
        .filter_map(|gate| judged.identify(gate, now).ok())
        .collect();
    Grounds::new(judges, party, &others, would_refuse, now, ends)
}

/// Asks all documents that judge something what they say of it now. `known` is who it was let through as; `excuses`,
/// whether it goes on although a document knows nobody.
pub(super) fn ask<P: Proxy>(
    judged: &impl Judged<P>,
    judges: &Judges,
    known: Option<&Party>,
    excuses: impl Fn(&Gate, &Refusal) -> bool,
    now: Timestamp,
) -> Words {
    let identify = |gate: &Rc<Gate>| match known {
        Some(party) => gate.party_again(judged.plugin().proxy(), party, now),
        None => judged.identify(gate, now),
    };
    let decide = |party: &Party| {
        let decision = judged.decide(party);
        (!decision.is_allowed()).then_some(decision.reason)
    };
    Words::ask(judges, identify, decide, excuses)
}

/// Decides again on what was let through on these grounds.
pub(super) fn decide_again<P: Proxy>(judged: &impl Judged<P>, grounds: &Grounds, now: Timestamp) -> Again {
    let plugin = judged.plugin();
    let before = grounds.party.as_ref();
    let Some(judges) = plugin.judges_again(grounds) else {
        let reason = plugin.no_judges();
        let record = Record::new(judged.stage(), Decision::refused(reason), "").live(true);
        let record = record.about(before.and_then(Party::who));
        plugin.record(&record, true, || judged.circumstances(None));
        return Again::Ends(reason);
    };
    let excuses = |gate: &Gate, refusal: &Refusal| judged.excuses(gate, refusal);
    let words = ask(judged, &judges, before, excuses, now);
    if let Some(word) = words.refusal() {
        let enforced = word.gate.enforces();
        // What a dry run would cut is told once, not on every tick.
        if enforced || word.refused != grounds.would_refuse {
            let (decision, refusal) = decide(judged, &word.party);
            let known = word.party.as_ref().ok().or(before);
            let record = Record::new(judged.stage(), decision, word.gate.version())
                .about(known.and_then(Party::who))
                .refusing(refusal)
                .enforced(enforced)
                .live(true);
            plugin.record(&record, judged.shows(enforced), || judged.circumstances(refusal));
        }
        if let (true, Some(reason)) = (enforced, word.refused) {
            return Again::Ends(reason);
        }
    }
    Again::GoesOn(words.grounds(plugin.proxy(), judges, now))
}
