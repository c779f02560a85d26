//! On what grounds something was let through: the documents that it has pleased, and until when nothing can have
//! changed.
//!
//! **Whatever goes on pleases the document of its own plugin and the newest under that plugin's name**
//! ([`crate::worker::succession`]), and one that was the newest once and has left since then, where nothing newer has
//! come: what is older than its leaving never falls back to an older document alone.

use std::rc::Rc;

use jiff::{SignedDuration, Timestamp};
use svidgate_policy::Reason;

use crate::{
    identity::{gate::Gate, identity::Identity, party::Party},
    proxy::Proxy,
    refusal::Refusal,
};

/// The documents that judge something: its own first.
#[derive(Clone, Debug)]
pub struct Judges {
    own: Rc<Gate>,
    newest: Option<Rc<Gate>>,
    left: Option<Rc<Gate>>,
}

impl Judges {
    /// The document of its own plugin, and the newest.
    pub fn new(own: Rc<Gate>, newest: Rc<Gate>) -> Self {
        let newest = (!Rc::ptr_eq(&own, &newest)).then_some(newest);
        Self {
            own,
            newest,
            left: None,
        }
    }

    /// And one that has left.
    #[must_use]
    pub fn and_left(self, left: Option<Rc<Gate>>) -> Self {
        let is_new = |left: &Rc<Gate>| !self.all().any(|known| Rc::ptr_eq(known, left));
        let left = left.filter(is_new);
        Self { left, ..self }
    }

    /// That of its own plugin.
    pub fn own(&self) -> &Rc<Gate> {
        &self.own
    }

    /// The newest.
    pub fn newest(&self) -> &Rc<Gate> {
        self.newest.as_ref().unwrap_or(&self.own)
    }

    /// All of them, without the one of its own plugin.
    pub fn others(&self) -> impl Iterator<Item = &Rc<Gate>> {
        self.newest.iter().chain(&self.left)
    }

    /// When the first of them has a connection end whose peer has no certificate that does.
    pub fn end_of_connection<P: Proxy>(&self, proxy: &P, identity: Option<&Identity>, now: Timestamp) -> Timestamp {
        let ends = identity.into_iter().flat_map(|identity| {
            let of = move |gate: &Rc<Gate>| gate.end_of_connection(proxy, identity, now);
            self.all().filter_map(of)
        });
        ends.min().unwrap_or(Timestamp::MAX)
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Rc<Gate>> {
        std::iter::once(&self.own).chain(self.others())
    }
}

/// On what grounds something was let through.
#[derive(Clone, Debug)]
pub struct Grounds {
    judges: Judges,
    /// The sum of their generations, each of which only grows.
    generation: u64,
    since: Timestamp,
    due: Timestamp,
    /// When its connection has been open for as long as it may; never, where its peer has a certificate, which ends.
    pub ends: Timestamp,
    /// Who acts to the document of its own plugin; nobody where a dry run let it through.
    pub party: Option<Party>,
    /// What a dry run would have refused it for.
    pub would_refuse: Option<Reason>,
}

impl Grounds {
    /// Something is let through now. `party` is who acts to its own plugin's document, `others` who does to the others.
    pub fn new(
        judges: Judges,
        party: Option<Party>,
        others: &[Party],
        would_refuse: Option<Reason>,
        now: Timestamp,
        ends: Timestamp,
    ) -> Self {
        let due = party.iter().chain(others).map(|party| due(party, now));
        Self {
            generation: generation(&judges),
            since: now,
            due: due.chain([ends]).min().unwrap_or(ends),
            ends,
            judges,
            party,
            would_refuse,
        }
    }

    /// The documents that it has pleased.
    pub fn judges(&self) -> &Judges {
        &self.judges
    }

    /// The last second of its connection.
    pub fn last_second(&self) -> Timestamp {
        self.ends.checked_sub(SignedDuration::from_secs(1)).unwrap_or(self.ends)
    }

    /// Whether anything has moved: the newest document, what identities are held against, or time beyond an end or
    /// back.
    pub fn have_moved(&self, newest: &Rc<Gate>, now: Timestamp) -> bool {
        let is_steady = self.since <= now && now < self.due;
        !is_steady || !Rc::ptr_eq(self.judges.newest(), newest) || self.generation != generation(&self.judges)
    }
}

fn generation(judges: &Judges) -> u64 {
    judges.all().fold(0, |sum, gate| sum.wrapping_add(gate.generation()))
}

/// The first second in which one of them may not be good for what it was good for.
fn due(party: &Party, now: Timestamp) -> Timestamp {
    let over = party.all().map(|identity| {
        let (_, until) = identity.good.get();
        let over = until.checked_add(SignedDuration::from_secs(1));
        over.unwrap_or(Timestamp::MAX)
    });
    over.chain([party.next_change(now)]).min().unwrap_or(now)
}

/// What one document says of something that is under way.
#[derive(Debug)]
pub struct Word {
    /// Whose word it is.
    pub gate: Rc<Gate>,
    /// Who acts to that document.
    pub party: Result<Party, Rc<Refusal>>,
    /// What it is refused for.
    pub refused: Option<Reason>,
}

/// What all judges say of something that is under way.
#[derive(Debug)]
pub struct Words(Vec<Word>);

impl Words {
    /// Asks each. `decide` gives what a party is refused for, `excuses` whether somebody who is none goes on all
    /// the same.
    pub fn ask(
        judges: &Judges,
        identify: impl Fn(&Rc<Gate>) -> Result<Party, Rc<Refusal>>,
        decide: impl Fn(&Party) -> Option<Reason>,
        excuses: impl Fn(&Gate, &Refusal) -> bool,
    ) -> Self {
        let word = |gate: &Rc<Gate>| {
            let party = identify(gate);
            let refused = match &party {
                Ok(party) => decide(party),
                Err(refusal) if excuses(gate, refusal) => None,
                Err(refusal) => Some(refusal.reason),
            };
            Word {
                gate: Rc::clone(gate),
                party,
                refused,
            }
        };
        // The newest first: of two refusals, its reason is the one that an operator looks for.
        let own = std::iter::once(judges.own());
        Self(judges.others().chain(own).map(word).collect())
    }

    /// The one that counts: a refusal that is carried out, else one of a dry run. None where all allow.
    pub fn refusal(&self) -> Option<&Word> {
        let mut refusals = self.0.iter().filter(|word| word.refused.is_some());
        let carried_out = refusals.clone().find(|word| word.gate.enforces());
        carried_out.or_else(|| refusals.next())
    }

    /// Where nothing is carried out, it goes on on these grounds.
    pub fn grounds<P: Proxy>(&self, proxy: &P, judges: Judges, now: Timestamp) -> Grounds {
        let would_refuse = self.refusal().and_then(|word| word.refused);
        let parties = |word: &Word| word.party.as_ref().ok().cloned();
        let mut others: Vec<Party> = self.0.iter().filter_map(parties).collect();
        // That of its own plugin stands last, where it knows it.
        let own = self.0.last().and_then(parties);
        if own.is_some() {
            others.pop();
        }
        let ends = judges.end_of_connection(proxy, own.as_ref().and_then(Party::connected), now);
        Grounds::new(judges, own, &others, would_refuse, now, ends)
    }
}
