//! Which document replaces which: what began under an old one is judged by the new one.
//!
//! The proxy makes a new plugin for a new document and does not say which old one it replaces. It does give each plugin
//! its name, which is there to tell plugins of one VM apart. So a new document takes the place of the one that has served
//! under the same name, filter and kind of listener. Where two listeners have plugins of one name and different documents,
//! which of them a third replaces cannot be known: what is under way then stays under the document it began with, and
//! the log says what to do about it.

use std::{
    cell::{Cell, RefCell},
    rc::{Rc, Weak},
};

use jiff::{SignedDuration, Timestamp};
use svidgate_policy::Listener;

use crate::{gate::Gate, peer::Digest, record::Stage};

/// For this long after a new document the proxy may still begin something under the old one. Our decision: the two steps
/// of its change follow each other within one turn of the worker's event loop.
const CHANGE: SignedDuration = SignedDuration::from_secs(5);

/// What tells plugins of one worker apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginName {
    /// Which filter.
    pub stage: Stage,
    /// `name` in its configuration.
    pub name: Vec<u8>,
    /// What its document says it stands in.
    pub listener: Listener,
    /// Whether it is `svidgate.hold`, which decides nothing.
    pub holds: bool,
}

/// A document and those that replace it.
#[derive(Debug)]
pub struct Lineage {
    name: PluginName,
    current: RefCell<Rc<Gate>>,
    /// When the document was replaced; `None` before it ever was.
    changed: Cell<Option<Timestamp>>,
    began: Timestamp,
    has_served: Cell<bool>,
}

impl Lineage {
    fn new(name: PluginName, gate: Rc<Gate>, now: Timestamp) -> Rc<Self> {
        Rc::new(Self {
            began: now,
            name,
            current: RefCell::new(gate),
            changed: Cell::new(None),
            has_served: Cell::new(false),
        })
    }

    /// The newest document.
    pub fn current(&self) -> Rc<Gate> {
        Rc::clone(&self.current.borrow())
    }

    fn replace(&self, gate: &Rc<Gate>, now: Timestamp) {
        self.current.replace(Rc::clone(gate));
        self.changed.set(Some(now));
    }

    /// Something begins under `gate`. Gives a lineage of its own where that document is in use although another seemed to
    /// have replaced it.
    ///
    /// Only a new connection tells: a listener that drains goes on serving requests of old ones.
    #[must_use]
    pub fn serve(&self, gate: &Rc<Gate>, stage: Stage, now: Timestamp) -> Option<Rc<Self>> {
        self.has_served.set(true);
        let is_current = Rc::ptr_eq(&self.current.borrow(), gate);
        let is_over = |changed: Timestamp| now.duration_since(changed) > CHANGE;
        let is_connection = stage == Stage::Connection;
        if is_current || !is_connection || !self.changed.get().is_some_and(is_over) {
            return None;
        }
        let own = Self::new(self.name.clone(), Rc::clone(gate), now);
        own.has_served.set(true);
        Some(own)
    }
}

/// The lineages of one worker.
#[derive(Debug, Default)]
pub struct Lineages(RefCell<Vec<Weak<Lineage>>>);

/// Where a new document stands.
#[derive(Debug)]
pub enum Place {
    /// It is the first under its name, or takes the place of the one before.
    Known(Rc<Lineage>),
    /// Several documents are in use under its name, and it may replace any of them.
    Ambiguous(Rc<Lineage>),
}

impl Lineages {
    /// Finds the place of a new document.
    pub fn place(&self, name: PluginName, gate: &Rc<Gate>, now: Timestamp) -> Place {
        let mut lineages = self.0.borrow_mut();
        lineages.retain(|lineage| lineage.strong_count() > 0);
        let of_name = in_use(&lineages, &name);
        if let Some(same) = of_name
            .iter()
            .find(|lineage| Rc::ptr_eq(&lineage.current.borrow(), gate))
        {
            return Place::Known(Rc::clone(same));
        }
        match of_name.as_slice() {
            [replaced] if replaced.has_served.get() => {
                replaced.replace(gate, now);
                Place::Known(Rc::clone(replaced))
            }
            others => {
                let own = Lineage::new(name, Rc::clone(gate), now);
                lineages.push(Rc::downgrade(&own));
                // One that has never served has nothing under way, so it need not be known whether it is replaced.
                if others.len() > 1 {
                    Place::Ambiguous(own)
                } else {
                    Place::Known(own)
                }
            }
        }
    }

    /// Finds documents that have come back. Where one does while something is still under way under it, the proxy takes the
    /// old plugin again and tells this worker nothing; `noted` is what any thread was told last.
    pub fn follow(
        &self,
        noted: impl Fn(&PluginName) -> Option<Digest>,
        gate: impl Fn(&Digest) -> Option<Rc<Gate>>,
        now: Timestamp,
    ) {
        let all = self.0.borrow();
        for lineage in all.iter().filter_map(Weak::upgrade) {
            let is_alone = in_use(&all, &lineage.name).len() == 1;
            if !is_alone || lineage.changed.get().is_none() {
                continue;
            }
            if let Some(newest) = noted(&lineage.name).and_then(|digest| gate(&digest))
                && !Rc::ptr_eq(&newest, &lineage.current())
            {
                lineage.replace(&newest, now);
            }
        }
    }

    /// The documents at work: the newest of each lineage that decides.
    pub fn at_work(&self) -> Vec<Rc<Gate>> {
        let all = self.0.borrow();
        all.iter()
            .filter_map(Weak::upgrade)
            .filter(|lineage| !lineage.name.holds)
            .map(|lineage| lineage.current())
            .collect()
    }

    /// Adds a lineage that has parted from another.
    pub fn add(&self, lineage: &Rc<Lineage>) {
        self.0.borrow_mut().push(Rc::downgrade(lineage));
    }
}

/// The lineages of a name, without those that are of no account: that have never served and were there well before one that
/// has. What serves has taken their place.
fn in_use(lineages: &[Weak<Lineage>], name: &PluginName) -> Vec<Rc<Lineage>> {
    let of_name: Vec<Rc<Lineage>> = lineages
        .iter()
        .filter_map(Weak::upgrade)
        .filter(|lineage| lineage.name == *name)
        .collect();
    let newest = of_name
        .iter()
        .filter(|lineage| lineage.has_served.get())
        .map(|lineage| lineage.began)
        .max();
    let was_replaced = |lineage: &Lineage| {
        let is_older = newest.is_some_and(|newest| newest.duration_since(lineage.began) > CHANGE);
        !lineage.has_served.get() && is_older
    };
    of_name
        .iter()
        .filter(|lineage| !was_replaced(lineage))
        .map(Rc::clone)
        .collect()
}
