//! What all plugins of one worker share: the clock, the records, the documents, what is under way, and what comes from
//! sources. A worker has one thread. In Envoy it is a VM, which has all our plugins of one `vm_id`.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    rc::{Rc, Weak},
    sync::Arc,
};

use jiff::{SignedDuration, Timestamp};
use svidgate_policy::{Configuration, Format, TrustDomain, digest::sha256};

use crate::{
    board::{Board, DocumentKey, Secret},
    clock::{is_over, whole_seconds},
    identity::{algorithms::Verify, gate::Gate, hints::Hints},
    ledger::Ledger,
    peer::presented::Digest,
    proxy::{Level, Proxy},
    record::{
        counters::Records,
        decision::{Circumstances, Record},
        document_version::Versions,
    },
    sources::{
        event::{SourceEvent, count},
        feeds::Feeds,
        fetch::Fetcher,
        key::SourceKey,
        lease::{self, LeaseRequest},
        want,
    },
    worker::{
        announcement::announce,
        cut,
        endings::Endings,
        lineage,
        succession::{Succession, Successions},
        sweep::Sweep,
        unproven::UnprovenConnections,
    },
};

/// Counts the documents that were refused.
const REFUSED: &str = "svidgate.documents_refused_total";

/// How often all is looked after, less what a tick may come early. Any number of plugins tick; whichever comes first
/// does it, so that one that goes is followed by another.
const PERIOD: SignedDuration = SignedDuration::from_millis(900);
/// The same while a source has not said anything yet.
const STARTING_PERIOD: SignedDuration = SignedDuration::from_millis(90);

/// Most bytes that the documents of one worker may take, as they are estimated. Our decision: what a VM bears is twice
/// that and more, and a new document is compiled while the old ones are still there.
pub const MAX_DOCUMENTS_BYTES: usize = 512 * 1024 * 1024;
/// What a compiled document takes for each byte of its text, rounded up (100,000 rules have 14.2 MiB of text, and `make
/// memory` measured 58 to 61 MiB a worker: 4.1 to 4.3).
const COMPILED_FOR_TEXT: usize = 5;

/// A document in use.
#[derive(Debug)]
struct Document {
    digest: Digest,
    /// As estimated.
    bytes: usize,
    key: DocumentKey,
    gate: Weak<Gate>,
}

/// What all plugins of a worker share.
#[derive(Debug, Default)]
pub struct Worker {
    now: Cell<Timestamp>,
    gates: RefCell<Vec<Document>>,
    records: RefCell<Records>,
    under_way: Sweep,
    ledger: Ledger,
    hints: Hints,
    unproven: UnprovenConnections,
    /// The clock as it was read, where whole seconds will not do.
    exact: Cell<Timestamp>,
    successions: Successions,
    /// What all that is shared is bound to; none before it was found or made.
    secret: Cell<Option<Secret>>,
    /// Whether it has ever ticked: one that has is no trial.
    has_ticked: Cell<bool>,
    /// When all was last looked after.
    ticked: Cell<Option<Timestamp>>,
    feeds: RefCell<Feeds>,
    fetcher: RefCell<Fetcher>,
    /// The documents whose sources were gathered last; one more or less is a change.
    gathered: RefCell<Vec<Digest>>,
    /// The contexts of our plugins.
    plugins: RefCell<BTreeSet<u32>>,
    /// Tells this worker from the others; 0 before it is chosen.
    id: Cell<u64>,
    /// What is leased to this worker: sources that it asks, documents that it speaks for.
    leased: RefCell<BTreeSet<SourceKey>>,
    /// Whether one of our plugins is `svidgate.hold`.
    has_hold: Cell<bool>,
    watch: RefCell<Endings>,
    versions: RefCell<Versions>,
}

impl Worker {
    /// Reads the clock.
    pub fn read_time<P: Proxy>(&self, proxy: &P) {
        match proxy.now() {
            Ok(now) => {
                self.exact.set(now);
                self.now.set(whole_seconds(now));
            }
            Err(error) => proxy.log(Level::Error, &format!("svidgate: no time: {error}")),
        }
    }

    /// The time of the last tick, in whole seconds as certificates have them.
    pub fn now(&self) -> Timestamp {
        self.now.get()
    }

    /// A plugin that holds connections for another has been configured.
    pub fn add_hold(&self) {
        self.has_hold.set(true);
    }

    /// Whether connections may come with their first bytes at hand, held by another plugin before.
    pub fn has_hold(&self) -> bool {
        self.has_hold.get()
    }

    /// What is under way.
    pub fn under_way(&self) -> &Sweep {
        &self.under_way
    }

    /// What peers hold.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Connections whose first request is to prove who the peer is.
    pub fn unproven(&self) -> &UnprovenConnections {
        &self.unproven
    }

    /// Which document is the newest of each name.
    pub fn successions(&self) -> &Successions {
        &self.successions
    }

    /// A plugin has been configured.
    pub fn enter(&self, plugin: u32) {
        self.plugins.borrow_mut().insert(plugin);
        self.look_soon();
    }

    /// A plugin goes. What it has asked goes with it; with the last one, this worker no longer fetches.
    pub fn leave<P: Proxy>(&self, proxy: &P, plugin: u32, succession: Option<&Succession>) {
        self.fetcher.borrow_mut().context_gone(plugin);
        let last = succession.and_then(Succession::newest_digest);
        if let Some(succession) = succession {
            succession.leave(plugin);
        }
        let board = self.secret.get().map(|secret| Board::new(proxy, secret));
        if let (Some(succession), Some(last), Some(board)) = (succession, last, &board)
            && succession.is_empty()
            && self.has_ticked.get()
        {
            lineage::end(board, succession, &last);
        }
        self.look_soon();
        let mut plugins = self.plugins.borrow_mut();
        plugins.remove(&plugin);
        if plugins.is_empty()
            && !self.leased.take().is_empty()
            && let Some(board) = &board
        {
            lease::release(board, self.id.get());
        }
    }

    /// The next tick looks after all.
    fn look_soon(&self) {
        self.ticked.set(None);
        self.under_way.look_soon();
    }

    /// Whether it is time to look after all; whoever asks does it.
    pub fn takes_tick(&self) -> bool {
        let period = if self.is_waiting() { STARTING_PERIOD } else { PERIOD };
        let exact = self.exact.get();
        if self.ticked.get().is_some_and(|ticked| !is_over(period, ticked, exact)) {
            return false;
        }
        self.ticked.set(Some(exact));
        self.has_ticked.set(true);
        true
    }

    /// Finds the secret that the workers share under one of the documents here, or makes one where none is there and
    /// this VM is no trial. Where two have made one, the lesser counts, and all come to that.
    pub fn share<P: Proxy>(&self, proxy: &P) {
        let keys: Vec<DocumentKey> = self.documents().map(|(_, key, _)| key).collect();
        let known: Vec<(DocumentKey, Option<Secret>)> = keys.into_iter().map(|key| (key, key.read(proxy))).collect();
        let least = known
            .iter()
            .filter_map(|(_, secret)| *secret)
            .chain(self.secret.get())
            .min();
        let Some(secret) = least.or_else(|| self.has_ticked.get().then(|| Secret::random(proxy))) else {
            return;
        };
        if self.has_ticked.get() {
            for (key, _) in known.iter().filter(|(_, known)| *known != Some(secret)) {
                key.write(proxy, &secret);
            }
        }
        if self.secret.replace(Some(secret)).is_some_and(|before| before != secret) {
            self.feeds.borrow_mut().share_anew();
            self.hints.share_anew();
        }
    }

    fn board<'p, P: Proxy>(&self, proxy: &'p P) -> Option<Board<'p, P>> {
        Some(Board::new(proxy, self.secret.get()?))
    }

    /// Brings the newest documents here and what all threads have noted together.
    pub fn settle<P: Proxy>(&self, proxy: &P) {
        let Some(board) = self.board(proxy) else { return };
        for succession in self.successions.all() {
            if !succession.name().holds && !succession.is_empty() {
                lineage::settle(&board, &succession, self.has_ticked.get(), self.now());
            }
        }
    }

    /// Whether some source has not said anything yet.
    pub fn is_waiting(&self) -> bool {
        self.feeds.borrow().is_waiting()
    }

    /// Takes in what the fetching worker has published.
    pub fn look_at_sources<P: Proxy>(&self, proxy: &P) {
        let gates = self.gates();
        let mut feeds = self.feeds.borrow_mut();
        let known: Vec<Digest> = gates.iter().map(|(digest, _)| *digest).collect();
        if *self.gathered.borrow() != known {
            let wants = gates.iter().flat_map(|(_, gate)| want::wants(&gate.configuration));
            feeds.follow(wants, self.now());
            self.hints.keep_only(|name| has_relationship(&gates, name));
            self.gathered.replace(known);
        }
        if let Some(board) = self.board(proxy) {
            feeds.read(&board, self.now());
            let has_relationship = |name: &TrustDomain| has_relationship(&gates, name);
            self.hints.exchange(&board, feeds.index(), has_relationship, self.now());
        }
        self.update(proxy, &gates, &feeds);
    }

    /// The same, and asks the sources that are leased to this worker. `plugin` is the context of the one that
    /// is called.
    pub fn fetch<P: Proxy>(&self, proxy: &P, plugin: u32) {
        self.look_at_sources(proxy);
        if self.id.get() == 0 {
            self.id.set(proxy.random().max(1));
        }
        let Some(board) = self.board(proxy) else { return };
        let mut feeds = self.feeds.borrow_mut();
        let documents = self.gates().into_iter().map(|(digest, _)| LeaseRequest {
            key: SourceKey::of_document(&digest),
            epoch: 0,
            content: 0,
            as_of: self.now(),
        });
        let hints = [self.hints.request(self.now())];
        let requests: Vec<LeaseRequest> = feeds.requests().chain(documents).chain(hints).collect();
        let leased = lease::lease(&board, feeds.index(), &requests, self.id.get(), self.now());
        let abandoned = {
            let mut fetcher = self.fetcher.borrow_mut();
            fetcher.fetch(&mut feeds, &board, plugin, &leased, self.now());
            fetcher.take_abandoned()
        };
        drop(feeds);
        // Nothing is borrowed any more: the proxy may say at once that a stream has ended.
        cut::cancel_streams(proxy, plugin, abandoned);
        self.leased.replace(leased);
    }

    /// Before an answer is judged: what another worker has published since it was asked for. An answer to a question of
    /// whose source this worker has lost the lease is let go.
    fn look_again<P: Proxy>(&self, proxy: &P) {
        self.read_time(proxy);
        self.look_at_sources(proxy);
        let now = self.now();
        let feeds = self.feeds.borrow();
        self.fetcher
            .borrow_mut()
            .let_go_of_unleased(feeds.index(), self.id.get(), now);
    }

    /// An endpoint has answered.
    pub fn on_answer<P: Proxy>(&self, proxy: &P, token: u32, headers: usize, bytes: usize) {
        self.read_time(proxy);
        let now = self.now();
        let Some(board) = self.board(proxy) else { return };
        self.fetcher
            .borrow_mut()
            .on_answer(&mut self.feeds.borrow_mut(), &board, token, headers, bytes, now);
        self.update(proxy, &self.gates(), &self.feeds.borrow());
    }

    /// A stream has brought a message.
    pub fn on_message<P: Proxy>(&self, proxy: &P, token: u32, bytes: usize) {
        self.look_again(proxy);
        let now = self.now();
        let Some(board) = self.board(proxy) else { return };
        self.fetcher
            .borrow_mut()
            .on_message(&mut self.feeds.borrow_mut(), &board, token, bytes, now);
        self.update(proxy, &self.gates(), &self.feeds.borrow());
    }

    /// A stream has ended.
    pub fn on_stream_close<P: Proxy>(&self, proxy: &P, token: u32, status: u32) {
        self.read_time(proxy);
        let now = self.now();
        self.fetcher
            .borrow_mut()
            .on_close(&mut self.feeds.borrow_mut(), proxy, token, status, now);
    }

    fn update<P: Proxy>(&self, proxy: &P, gates: &[(Digest, Rc<Gate>)], feeds: &Feeds) {
        for (digest, gate) in gates {
            let before = gate.trusted().unused();
            gate.update(feeds);
            let unused = gate.trusted().unused();
            if unused > before && self.speaks_for(digest) {
                count(proxy, SourceEvent::UnusedBundle, unused.saturating_sub(before));
                let line = format!(
                    "svidgate: the Workload API brings {unused} bundles of trust domains without a relationship; they \
                     are not used"
                );
                proxy.log(Level::Info, &line);
            }
        }
    }

    /// Looks at what is under way; says whether there is more to look at than one call may.
    pub fn sweep<P: Proxy>(&self, proxy: &P, plugin: u32) -> bool {
        self.under_way.sweep(proxy, plugin, self.exact.get(), self.now())
    }

    /// Whether this worker tells what there is to tell of a document, and no other does.
    fn speaks_for(&self, document: &Digest) -> bool {
        self.leased.borrow().contains(&SourceKey::of_document(document))
    }

    /// Shows which versions of documents are at work.
    fn show_versions<P: Proxy>(&self, proxy: &P) {
        let at_work = self.successions.at_work();
        let versions = at_work.iter().map(|gate| gate.version());
        self.versions.borrow_mut().update(proxy, versions);
    }

    /// Shows what is at work, and what is about to end.
    pub fn watch<P: Proxy>(&self, proxy: &P) {
        self.show_versions(proxy);
        let at_work = self.successions.at_work();
        let is_at_work = |gate: &Rc<Gate>| at_work.iter().any(|newest| Rc::ptr_eq(newest, gate));
        let (mut told, mut untold) = (Vec::new(), Vec::new());
        for (document, gate) in self.gates().into_iter().filter(|(_, gate)| is_at_work(gate)) {
            if self.speaks_for(&document) {
                told.push(gate);
            } else {
                untold.push(gate);
            }
        }
        let feeds = self.feeds.borrow();
        self.watch
            .borrow_mut()
            .update(proxy, &told, &untold, &feeds, self.now());
    }

    /// Hands counters over.
    pub fn flush<P: Proxy>(&self, proxy: &P) {
        self.records.borrow_mut().flush(proxy, self.now());
    }

    /// Records a decision; `shown` where it is the last word on its connection or stream.
    pub fn record<P: Proxy>(
        &self,
        proxy: &P,
        record: &Record<'_>,
        shown: bool,
        circumstances: impl FnOnce() -> Circumstances,
    ) {
        let may_log = {
            let mut records = self.records.borrow_mut();
            records.count(record);
            !record.decision.is_allowed() && records.may_log()
        };
        if shown {
            Records::show(proxy, record);
        }
        if may_log {
            Records::log(proxy, record, &circumstances());
        }
    }

    /// Counts a document where it was refused. The counter is there, at 0, before the first is.
    pub fn count_document<P: Proxy>(&self, proxy: &P, is_taken: bool) {
        let counter = proxy.define_counter(REFUSED);
        // A proxy that cannot count has the log.
        let _ = counter.and_then(|counter| proxy.add_to_counter(counter, u64::from(!is_taken)));
    }

    /// Every document that is in use.
    fn gates(&self) -> Vec<(Digest, Rc<Gate>)> {
        self.documents().map(|(digest, _, gate)| (digest, gate)).collect()
    }

    fn documents(&self) -> impl Iterator<Item = (Digest, DocumentKey, Rc<Gate>)> {
        let mut documents = self.gates.borrow_mut();
        documents.retain(|document| document.gate.strong_count() > 0);
        let alive = |document: &Document| Some((document.digest, document.key, document.gate.upgrade()?));
        documents.iter().filter_map(alive).collect::<Vec<_>>().into_iter()
    }

    /// Gives up documents that have been replaced, the oldest first, until a new one has room. What peers hold open
    /// under them ends; it never keeps a new document out.
    fn make_room<P: Proxy>(&self, proxy: &P, bytes: usize) -> bool {
        if bytes > MAX_DOCUMENTS_BYTES {
            let line = format!(
                "svidgate: the document would take about {bytes} bytes in each worker (at most {MAX_DOCUMENTS_BYTES}); \
                 what ran before goes on"
            );
            proxy.log(Level::Error, &line);
            return false;
        }
        let mut given_up = 0_u32;
        while self.documents_bytes().saturating_add(bytes) > MAX_DOCUMENTS_BYTES && self.successions.give_up_oldest() {
            given_up = given_up.saturating_add(1);
        }
        if given_up > 0 {
            let line = format!(
                "svidgate: {given_up} plugins with documents that have been replaced are given up, because a new one \
                 has no room beside them: what is still under way under them ends (configuration.superseded)"
            );
            proxy.log(Level::Warn, &line);
            self.under_way.look_soon();
        }
        true
    }

    /// Of all documents that a plugin still has.
    fn documents_bytes(&self) -> usize {
        let all = self.successions.all();
        let has = |digest: &Digest| all.iter().any(|succession| succession.has(digest));
        let documents = self.gates.borrow();
        let held = documents.iter().filter(|document| has(&document.digest));
        held.map(|document| document.bytes).fold(0, usize::saturating_add)
    }

    /// The gate for a document: the one that another plugin has for the same bytes, or a new one.
    pub fn gate<P: Proxy>(&self, proxy: &P, document: &[u8], verify: Option<Verify>) -> Option<(Digest, Rc<Gate>)> {
        let digest = sha256(document);
        if let Some(known) = self.gates().into_iter().find(|(known, _)| *known == digest) {
            return Some(known);
        }
        let bytes = document.len().saturating_mul(COMPILED_FOR_TEXT);
        if !self.make_room(proxy, bytes) {
            return None;
        }
        let began = proxy.now();
        match Configuration::compile(&proxy.document(document), Format::Json) {
            Ok(compiled) => {
                let took = began.and_then(|began| Ok(proxy.now()?.duration_since(began)));
                announce(proxy, &compiled, took.ok());
                let gate = Rc::new(Gate::new(
                    Arc::new(compiled),
                    verify,
                    self.ledger.clone(),
                    self.hints.clone(),
                ));
                self.gates.borrow_mut().push(Document {
                    digest,
                    bytes,
                    key: DocumentKey::new(document),
                    gate: Rc::downgrade(&gate),
                });
                Some((digest, gate))
            }
            Err(mistakes) => {
                let line = format!(
                    "svidgate: configuration refused, {} mistakes; what ran before goes on",
                    mistakes.len()
                );
                proxy.log(Level::Error, &line);
                for mistake in mistakes {
                    proxy.log(Level::Error, &format!("svidgate: configuration: {mistake}"));
                }
                None
            }
        }
    }
}

fn has_relationship(gates: &[(Digest, Rc<Gate>)], name: &TrustDomain) -> bool {
    let mut documents = gates.iter().map(|(_, gate)| &gate.configuration);
    documents.any(|configuration| configuration.relationships.with(name).is_some())
}
