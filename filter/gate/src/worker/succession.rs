//! Which documents judge: the one of a plugin of its own, and the newest under the plugin's name.
//!
//! The proxy makes a new plugin for a new document and does not say which old one it replaces; what has begun under the
//! old one goes on there. It gives each plugin its name, and that is what counts: **whatever goes on pleases its own
//! plugin's document and the newest under that name**, from the moment that the newest is configured on the worker.
//! Nothing parts by time or by having been used. Where two listeners share a name both documents judge, which is safe
//! and seldom meant.
//!
//! | event on this worker | the newest |
//! |---|---|
//! | a plugin is configured | its document |
//! | the plugin of the newest goes (its update was refused by the proxy, it was rolled back, its listener was removed) | that of the plugin that was configured last of those that remain: what the proxy still has |
//! | other threads have noted another ([`crate::worker::lineage`]) that is known here | that one: an old text that came back without a word to this worker |
//! | other threads have noted another that is not known here | unknown: all is denied (`configuration.behind`) until it is configured here |
//!
//! A newest that goes and has let something begin leaves its word: what is older than its going still has to please it,
//! as long as nothing newer comes. One under which nothing ever began (an update that the proxy refused) leaves
//! nothing.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeSet, VecDeque},
    rc::{Rc, Weak},
};

use jiff::Timestamp;
use svidgate_policy::Listener;

use crate::{
    identity::gate::Gate,
    peer::presented::Digest,
    stage::Stage,
    worker::grounds::{Grounds, Judges},
};

/// Most documents whose digests are remembered. Our decision: more than a proxy is behind another thread.
const MOST_KNOWN: usize = 64;

/// What tells the documents of one worker apart that replace each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginName {
    /// Which filter.
    pub stage: Stage,
    /// `name` in its configuration.
    pub name: Vec<u8>,
    /// What it stands in: no document of a TCP listener takes the place of one of an HTTP listener.
    pub listener: Listener,
    /// Whether it is `svidgate.hold`, which decides nothing.
    pub holds: bool,
}

/// The newest document under a name.
#[derive(Clone, Debug)]
pub enum Newest {
    /// It is at work here.
    Here(Rc<Gate>),
    /// Another thread has one that this worker does not have.
    Elsewhere,
}

/// The plugins of one name on one worker.
#[derive(Debug)]
pub struct Succession {
    name: PluginName,
    /// In the order in which they were configured.
    plugins: RefCell<Vec<Member>>,
    newest: RefCell<Newest>,
    /// Documents that were the newest, have let something begin, and have left, with nothing newer since.
    left: RefCell<Vec<Weak<Gate>>>,
    /// The digests of documents that were configured here, the last one last.
    known: RefCell<VecDeque<Digest>>,
    /// Of documents that were configured here again after another.
    back: RefCell<BTreeSet<Digest>>,
    /// Where this worker stands with what all threads have noted.
    pub(crate) standing: Cell<Standing>,
}

/// What is known here of the note that all threads share.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Standing {
    /// The number of the note that this worker last agreed with; 0 before it did.
    pub(crate) agreed: u64,
    /// Whether the newest here has changed since.
    pub(crate) is_news: bool,
    /// Since when the note has named a document that is not known here.
    pub(crate) behind_since: Option<Timestamp>,
}

#[derive(Debug)]
struct Member {
    context: u32,
    digest: Digest,
    /// None where it was given up.
    gate: Option<Rc<Gate>>,
    has_served: bool,
    /// Grows with each that is configured on the worker.
    order: u64,
}

impl Member {
    fn has(&self, gate: &Rc<Gate>) -> bool {
        self.gate.as_ref().is_some_and(|own| Rc::ptr_eq(own, gate))
    }
}

impl Succession {
    fn new(name: PluginName, gate: &Rc<Gate>) -> Rc<Self> {
        Rc::new(Self {
            name,
            plugins: RefCell::default(),
            newest: RefCell::new(Newest::Here(Rc::clone(gate))),
            left: RefCell::default(),
            known: RefCell::default(),
            back: RefCell::default(),
            standing: Cell::default(),
        })
    }

    /// Whose documents these are.
    pub fn name(&self) -> &PluginName {
        &self.name
    }

    /// The newest document.
    pub fn newest(&self) -> Newest {
        self.newest.borrow().clone()
    }

    /// The digest of the newest document, where it is here.
    pub(crate) fn newest_digest(&self) -> Option<Digest> {
        let Newest::Here(newest) = self.newest() else {
            return None;
        };
        let plugins = self.plugins.borrow();
        let of_newest = plugins.iter().rev().find(|plugin| plugin.has(&newest));
        of_newest.map(|plugin| plugin.digest)
    }

    /// The digest of a document that was configured here, lately.
    pub(crate) fn known_as(&self, is_it: impl Fn(&Digest) -> bool) -> Option<Digest> {
        self.known.borrow().iter().find(|digest| is_it(digest)).copied()
    }

    /// Whether a document was configured here more than once: it has been taken back, and is not merely late.
    pub(crate) fn is_back(&self, digest: &Digest) -> bool {
        self.back.borrow().contains(digest)
    }

    /// Whether a plugin still has a document.
    pub(crate) fn has(&self, digest: &Digest) -> bool {
        let has = |plugin: &Member| plugin.digest == *digest && plugin.gate.is_some();
        self.plugins.borrow().iter().any(has)
    }

    /// Whether a plugin still has what was compiled of its document.
    fn serves(&self, gate: &Rc<Gate>) -> bool {
        self.plugins.borrow().iter().any(|plugin| plugin.has(gate))
    }

    /// Whether any plugin has this name now.
    pub fn is_empty(&self) -> bool {
        self.plugins.borrow().is_empty()
    }

    /// A plugin is configured: its document is the newest.
    fn configure(&self, context: u32, digest: Digest, gate: &Rc<Gate>, order: u64) {
        let mut plugins = self.plugins.borrow_mut();
        plugins.retain(|plugin| plugin.context != context);
        plugins.push(Member {
            context,
            digest,
            gate: Some(Rc::clone(gate)),
            has_served: false,
            order,
        });
        let mut known = self.known.borrow_mut();
        if known.contains(&digest) {
            self.back.borrow_mut().insert(digest);
        }
        known.retain(|known| *known != digest);
        known.push_back(digest);
        if known.len() > MOST_KNOWN {
            let oldest = known.pop_front();
            self.back.borrow_mut().retain(|back| Some(*back) != oldest);
        }
        self.left.borrow_mut().clear();
        self.change(Newest::Here(Rc::clone(gate)));
    }

    fn change(&self, newest: Newest) {
        self.newest.replace(newest);
        let standing = self.standing.get();
        self.standing.set(Standing {
            is_news: true,
            ..standing
        });
    }

    /// A plugin goes.
    pub fn leave(&self, context: u32) {
        let mut plugins = self.plugins.borrow_mut();
        let Some(place) = plugins.iter().position(|plugin| plugin.context == context) else {
            return;
        };
        let gone = plugins.remove(place);
        let Some(gate) = gone.gate else { return };
        let is_newest = matches!(&*self.newest.borrow(), Newest::Here(newest) if Rc::ptr_eq(newest, &gate));
        let is_elsewhere = plugins.iter().any(|plugin| plugin.has(&gate));
        if !is_newest || is_elsewhere {
            return;
        }
        if let Some((last, newest)) = last_of(&plugins) {
            if gone.has_served {
                self.left.borrow_mut().push(Rc::downgrade(&gate));
            }
            self.back.borrow_mut().insert(last);
            self.change(Newest::Here(newest));
        }
    }

    /// Something begins under a plugin. Gives whether it is the first to begin under an older document than the newest.
    pub fn serve(&self, context: u32) -> bool {
        let Newest::Here(newest) = self.newest() else {
            return false;
        };
        let mut plugins = self.plugins.borrow_mut();
        let Some(plugin) = plugins.iter_mut().find(|plugin| plugin.context == context) else {
            return false;
        };
        plugin.has_served = true;
        !plugin.has(&newest)
    }

    /// Another thread has a newer document, which is not known here.
    pub(crate) fn lose(&self) {
        self.newest.replace(Newest::Elsewhere);
    }

    /// No thread has a newer document than what was configured last of what is here.
    pub(crate) fn fall_back(&self) {
        let last = last_of(&self.plugins.borrow());
        if let Some((_, newest)) = last {
            self.change(Newest::Here(newest));
        }
    }

    /// Another thread's note counts: this is the newest, wherever it came from.
    pub(crate) fn adopt(&self, digest: &Digest) {
        let plugins = &mut *self.plugins.borrow_mut();
        let is_it = |plugin: &Member| plugin.digest == *digest && plugin.gate.is_some();
        let place = plugins.iter().rposition(is_it);
        let newest = place.and_then(|place| {
            // As if it had been configured now.
            let plugin = plugins.remove(place);
            let gate = plugin.gate.clone();
            plugins.push(plugin);
            gate
        });
        let newest = newest.map_or(Newest::Elsewhere, Newest::Here);
        self.newest.replace(newest);
    }

    /// The document of a plugin, where it was not given up.
    pub fn gate(&self, context: u32) -> Option<Rc<Gate>> {
        let plugins = self.plugins.borrow();
        let plugin = plugins.iter().find(|plugin| plugin.context == context)?;
        plugin.gate.clone()
    }

    /// The oldest plugin whose document is not the newest, and when it was configured.
    fn oldest_superseded(&self) -> Option<(u64, u32)> {
        let Newest::Here(newest) = self.newest() else {
            return None;
        };
        let plugins = self.plugins.borrow();
        let superseded = plugins
            .iter()
            .filter(|plugin| plugin.gate.is_some() && !plugin.has(&newest));
        superseded.map(|plugin| (plugin.order, plugin.context)).min()
    }

    /// Gives up the document of a plugin: what is under way under it ends, and nothing new begins.
    fn give_up(&self, context: u32) {
        let mut plugins = self.plugins.borrow_mut();
        if let Some(plugin) = plugins.iter_mut().find(|plugin| plugin.context == context) {
            plugin.gate = None;
        }
    }

    /// Who judges what begins now under a plugin's document. None where it cannot be known.
    pub fn judges(&self, own: &Rc<Gate>) -> Option<Judges> {
        match self.newest() {
            Newest::Here(newest) => Some(Judges::new(Rc::clone(own), newest)),
            Newest::Elsewhere => None,
        }
    }

    /// Who judges what has begun before, on these grounds.
    pub fn judges_again(&self, grounds: &Grounds) -> Option<Judges> {
        let left = self.left.borrow();
        let has_left = |gate: &&Rc<Gate>| left.iter().any(|left| left.as_ptr() == Rc::as_ptr(gate));
        let word = grounds.judges().others().find(has_left).map(Rc::clone);
        Some(self.judges(grounds.judges().own())?.and_left(word))
    }
}

/// What was configured last of what remains.
fn last_of(plugins: &[Member]) -> Option<(Digest, Rc<Gate>)> {
    plugins
        .iter()
        .rev()
        .find_map(|plugin| Some((plugin.digest, plugin.gate.clone()?)))
}

/// All names of one worker.
#[derive(Debug, Default)]
pub struct Successions {
    all: RefCell<Vec<Weak<Succession>>>,
    configured: Cell<u64>,
}

impl Successions {
    /// A plugin is configured.
    pub fn configure(&self, name: PluginName, context: u32, digest: Digest, gate: &Rc<Gate>) -> Rc<Succession> {
        let known = self.all().into_iter().find(|known| *known.name() == name);
        let succession = known.unwrap_or_else(|| {
            let new = Succession::new(name, gate);
            self.all.borrow_mut().push(Rc::downgrade(&new));
            new
        });
        let order = self.configured.get().saturating_add(1);
        self.configured.set(order);
        succession.configure(context, digest, gate, order);
        succession
    }

    /// Those that have plugins.
    pub fn all(&self) -> Vec<Rc<Succession>> {
        let mut all = self.all.borrow_mut();
        all.retain(|succession| succession.strong_count() > 0);
        let alive = all.iter().filter_map(Weak::upgrade);
        alive.collect()
    }

    /// Gives up the oldest document that is nowhere the newest. Gives whether there was one.
    pub fn give_up_oldest(&self) -> bool {
        let all = self.all();
        let oldest = all.iter().filter_map(|one| Some((one.oldest_superseded()?, one)));
        match oldest.min_by_key(|(oldest, _)| *oldest) {
            Some(((_, context), succession)) => {
                succession.give_up(context);
                true
            }
            None => false,
        }
    }

    /// Whether the HTTP filter is configured here with this document.
    pub fn decide_on_requests(&self, gate: &Rc<Gate>) -> bool {
        let decides = |one: &Rc<Succession>| one.name.stage == Stage::Request && one.serves(gate);
        self.all().iter().any(decides)
    }

    /// The documents at work: the newest of each name that decides.
    pub fn at_work(&self) -> Vec<Rc<Gate>> {
        let deciding = |succession: &Rc<Succession>| !succession.name.holds && !succession.is_empty();
        let newest = |succession: Rc<Succession>| match succession.newest() {
            Newest::Here(gate) => Some(gate),
            Newest::Elsewhere => None,
        };
        let all = self.all().into_iter();
        all.filter(deciding).filter_map(newest).collect()
    }
}
