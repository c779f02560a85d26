//! Plays a script on an Envoy, and looks all the while for what must not be.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use support::ca::{Identity, Leaf, real_now};
use support::process::resident;
use tokio::time::sleep;

use crate::document::{Document, Who};
use crate::oracle::{Change, Deed, GRACE, PROMISE, Timeline};
use crate::peer::Peer;
use crate::script::{Event, How, Kind, Name, Protocol, Script};
use crate::stage::{POLL, Stage};
use crate::stream::Stream;

/// How often it is looked for findings.
const LOOK: Duration = Duration::from_millis(100);
/// How long Envoy may take to accept or refuse an update.
const UPDATE: Duration = Duration::from_secs(4);
/// How long what is held may stay when everything is closed.
const CLOSING: Duration = Duration::from_secs(5);
/// So much more memory than at the start is not explained by what is kept for later.
const MEMORY: u64 = 192 * 1024 * 1024;

/// What must not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum What {
    /// The process has ended.
    Exit,
    /// Something that began when it was forbidden was let through.
    Allow,
    /// Bytes go on although they are forbidden.
    GoesOn,
    /// A stream without an end.
    NoEnd,
    /// A connection or a request that stays when everything is closed.
    Stays,
    /// Memory that does not come back.
    Memory,
    /// The admin interface does not answer.
    Hangs,
}

/// A finding.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub(crate) what: What,
    /// What brought it about, as far as can be told.
    pub(crate) after: &'static str,
    pub(crate) detail: String,
}

impl Finding {
    /// Whether two are of one kind.
    pub(crate) fn is_like(&self, other: &Finding) -> bool {
        self.what == other.what && (self.what != What::Allow || self.after == other.after)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.what {
            What::Exit => "the process ended",
            What::Allow => "wrong allow",
            What::GoesOn => "bytes go on that are forbidden",
            What::NoEnd => "no end",
            What::Stays => "something stays",
            What::Memory => "memory does not come back",
            What::Hangs => "the proxy hangs",
        };
        write!(f, "{what}, after {}: {}", self.after, self.detail)
    }
}

/// What an episode came to.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) finding: Option<Finding>,
    pub(crate) events: usize,
    /// Streams that were answered 200, and otherwise.
    pub(crate) passed: usize,
    pub(crate) refused: usize,
    /// What came of each stream, one a line.
    pub(crate) streams: Vec<String>,
    /// What the log said last, where something was found.
    pub(crate) log: String,
}

/// How many lines of the log are kept.
const LINES: usize = 30;

struct Play {
    stage: Stage,
    timeline: Timeline,
    peers: BTreeMap<u64, Peer>,
    identities: BTreeMap<&'static str, Identity>,
    /// What happened last that may change a verdict.
    after: &'static str,
    has_trapped: bool,
    at_start: u64,
    told: Vec<String>,
    passed: usize,
    refused: usize,
}

/// Plays a script to its end, or to the first finding.
///
/// # Errors
/// When Envoy does not start.
pub(crate) async fn play(script: &Script) -> Result<Outcome, String> {
    let stage = Stage::start(script).await?;
    let since = SignedDuration::from_nanos(0).max(real_now().duration_since(stage.world.now));
    let since = since.unsigned_abs();
    let start = Instant::now();
    let change = |listener: &Name| Change {
        listener: *listener,
        document: Some(script.document.clone()),
        written: start,
        settled: Some((start, true)),
    };
    let timeline = Timeline {
        epoch: start.checked_sub(since).unwrap_or(start),
        changes: script.scene.listeners.iter().map(change).collect(),
    };
    let at_start = resident(stage.envoy.pid());
    let mut play = Play {
        stage,
        timeline,
        peers: BTreeMap::new(),
        identities: BTreeMap::new(),
        after: "the start",
        has_trapped: false,
        at_start,
        told: Vec::new(),
        passed: 0,
        refused: 0,
    };
    let mut outcome = Outcome::default();
    outcome.finding = play.run(script, &mut outcome.events).await.err();
    if outcome.finding.is_some() {
        let log = play.stage.envoy.log();
        let lines: Vec<&str> = log.lines().filter(|line| !line.contains("][main]")).collect();
        outcome.log = lines[lines.len().saturating_sub(LINES)..].join("\n");
    }
    let numbers: Vec<u64> = play.peers.keys().copied().collect();
    numbers.into_iter().for_each(|number| play.close(number));
    outcome.streams = play.told;
    (outcome.passed, outcome.refused) = (play.passed, play.refused);
    Ok(outcome)
}

impl Play {
    async fn run(&mut self, script: &Script, events: &mut usize) -> Result<(), Finding> {
        for event in &script.events {
            self.event(event).await?;
            *events += 1;
            self.look()?;
        }
        self.settle().await?;
        self.close_all().await
    }

    async fn event(&mut self, event: &Event) -> Result<(), Finding> {
        match event {
            Event::Open {
                connection,
                listener,
                protocol,
                who,
                lives,
                is_half,
            } => {
                self.open(*connection, (*listener, *protocol), (*who, *lives), *is_half)
                    .await;
            }
            Event::Ask {
                connection,
                path,
                kind,
                count,
            } => {
                if let Some(peer) = self.peers.get(connection) {
                    (0..*count).for_each(|_| peer.ask(*path, *kind));
                }
                self.pause(Duration::from_millis(20)).await?;
            }
            Event::Rest(connection) => self.on(*connection, |peer| peer.rest()),
            Event::Data(connection) => self.each(*connection, Stream::data),
            Event::Trailers(connection) => self.each(*connection, |stream| stream.finish(true)),
            Event::Finish(connection) => self.each(*connection, |stream| stream.finish(false)),
            Event::Reset(connection) => self.each(*connection, Stream::reset),
            Event::Deaf(connection) => self.on(*connection, |peer| peer.set_deaf(true)),
            Event::Hear(connection) => self.on(*connection, |peer| peer.set_deaf(false)),
            Event::Close(connection) => self.close(*connection),
            Event::Update {
                listener,
                how,
                document,
            } => self.update(*listener, *how, document).await?,
            Event::Remove(listener) => self.remove(*listener).await?,
            Event::Wait(milliseconds) => self.pause(Duration::from_millis(*milliseconds)).await?,
            Event::Trap(listener) => self.trap(*listener).await?,
            Event::Endpoint(answers) => self.stage.endpoint(*answers),
            Event::Workload(answers) => self.stage.workload(*answers),
        }
        Ok(())
    }

    async fn open(&mut self, number: u64, what: (Name, Protocol), (who, lives): (Who, Option<u64>), is_half: bool) {
        let Some(addr) = self.stage.addr(what.0).await else {
            return;
        };
        let (identity, until) = self.identity(who, lives);
        self.close(number);
        self.peers
            .insert(number, Peer::open(addr, what, (who, &identity, until), is_half));
    }

    /// A short-lived one is new each time.
    fn identity(&mut self, who: Who, lives: Option<u64>) -> (Identity, Option<Instant>) {
        let world = &self.stage.world;
        let authority = match who {
            Who::Api | Who::Other => &world.own,
            Who::Partner => &world.partner,
        };
        match lives {
            None => {
                let issue = || authority.issue(Leaf::svid(&who.id(), world.now));
                (self.identities.entry(who.name()).or_insert_with(issue).clone(), None)
            }
            Some(seconds) => {
                let leaf = Leaf {
                    not_after: real_now() + SignedDuration::from_secs(seconds as i64),
                    ..Leaf::svid(&who.id(), world.now)
                };
                // Its last second counts to its end.
                let until = Instant::now() + Duration::from_secs(seconds + 1);
                (authority.issue(leaf), Some(until))
            }
        }
    }

    fn on(&mut self, number: u64, act: impl FnOnce(&mut Peer)) {
        if let Some(peer) = self.peers.get_mut(&number) {
            act(peer);
        }
    }

    fn each(&self, number: u64, act: impl Fn(&Stream)) {
        if let Some(peer) = self.peers.get(&number) {
            peer.each(|stream| act(stream));
        }
    }

    fn close(&mut self, number: u64) {
        if let Some(peer) = self.peers.remove(&number) {
            self.tell(number, &peer);
        }
    }

    async fn update(&mut self, listener: Name, how: How, document: &Document) -> Result<(), Finding> {
        let Some(before) = self.stage.before().await else {
            return self.pause(LOOK).await;
        };
        let written = Instant::now();
        if !self.stage.update(listener, how, document) {
            return Ok(());
        }
        self.after = match how {
            How::Refused if !self.stage.scene.ecds => "a refused update",
            How::InPlace | How::Drained | How::Refused => "an update",
        };
        let changes = self.stage.changed_by(listener).into_iter().map(|listener| Change {
            listener,
            document: Some(document.clone()),
            written,
            settled: None,
        });
        let first = self.timeline.changes.len();
        self.timeline.changes.extend(changes);
        self.wait_settled(&before, first).await
    }

    async fn remove(&mut self, listener: Name) -> Result<(), Finding> {
        let Some(before) = self.stage.before().await else {
            return self.pause(LOOK).await;
        };
        if !self.stage.remove(listener) {
            return Ok(());
        }
        self.after = "a removal";
        let first = self.timeline.changes.len();
        self.timeline.changes.push(Change {
            listener,
            document: None,
            written: Instant::now(),
            settled: None,
        });
        self.wait_settled(&before, first).await
    }

    async fn wait_settled(&mut self, before: &crate::stage::Before, first: usize) -> Result<(), Finding> {
        let end = Instant::now() + UPDATE;
        while Instant::now() < end {
            if let Some(is_accepted) = self.stage.is_settled(before).await {
                let settled = Some((Instant::now(), is_accepted));
                for change in self.timeline.changes.iter_mut().skip(first) {
                    change.settled = settled;
                }
                return Ok(());
            }
            self.pause(POLL).await?;
        }
        Ok(())
    }

    /// A connection of its own that ends the VM which serves it.
    async fn trap(&mut self, listener: Name) -> Result<(), Finding> {
        let (identity, _) = self.identity(Who::Api, None);
        self.after = "a trap";
        self.has_trapped = true;
        if let Some(addr) = self.stage.addr(listener).await
            && let Ok(connection) = support::client::Client::new(Some(&identity)).connect(addr).await
        {
            let request = b"GET /a/answer HTTP/1.1\r\nhost: localhost\r\nx-svidgate-trap: 1\r\n\r\n";
            // How it is refused is of no account.
            let _ = tokio::time::timeout(Duration::from_secs(2), connection.raw_http1(request)).await;
        }
        self.pause(LOOK).await
    }

    /// Lets time pass, with open eyes.
    async fn pause(&mut self, span: Duration) -> Result<(), Finding> {
        let end = Instant::now() + span;
        loop {
            self.look()?;
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            sleep(left.min(LOOK)).await;
        }
    }

    /// Waits as long as something has not ended that must.
    async fn settle(&mut self) -> Result<(), Finding> {
        let end = Instant::now() + PROMISE + Duration::from_secs(1);
        while Instant::now() < end {
            self.pause(LOOK).await?;
            let now = Instant::now();
            let is_ending = self.peers.values().any(|peer| {
                let mut is_open = false;
                peer.each(|stream| {
                    let seen = stream.seen();
                    let deed = deed(peer, stream);
                    is_open |= !seen.has_ended
                        && !seen.is_given_up
                        && self.timeline.forbidden_since(deed, now - LOOK, now).is_some();
                });
                is_open && !peer.was_deaf
            });
            if !is_ending {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Closes everything; nothing of it may stay.
    async fn close_all(&mut self) -> Result<(), Finding> {
        let numbers: Vec<u64> = self.peers.keys().copied().collect();
        numbers.into_iter().for_each(|number| self.close(number));
        let end = Instant::now() + CLOSING;
        loop {
            self.pause(LOOK).await?;
            match self.stage.held().await {
                Some(0) => break,
                held if Instant::now() > end => {
                    let (what, detail) = match held {
                        Some(held) => (What::Stays, format!("{held} connections and requests")),
                        None => (What::Hangs, "no answer of the admin interface".to_owned()),
                    };
                    return Err(self.finding(what, detail));
                }
                _ => {}
            }
        }
        let more = resident(self.stage.envoy.pid()).saturating_sub(self.at_start);
        if more > MEMORY {
            return Err(self.finding(What::Memory, format!("{} MiB more", more / 1024 / 1024)));
        }
        Ok(())
    }

    /// Tells what came of the streams of a connection, and counts them.
    fn tell(&mut self, number: u64, peer: &Peer) {
        let time = |moment: Instant| moment.saturating_duration_since(self.timeline.epoch).as_secs_f32();
        let (mut passed, mut refused) = (0, 0);
        peer.each(|stream| {
            let seen = stream.seen();
            match seen.status {
                Some(200) => passed += 1,
                Some(_) => refused += 1,
                None => {}
            }
            let path = stream.path.map_or("bytes".to_owned(), |path| format!("/{path}"));
            let status = seen.status.map_or("no answer".to_owned(), |status| status.to_string());
            let last = seen
                .last
                .map_or(String::new(), |last| format!(", last heard at {:.1} s", time(last)));
            let end = match (seen.is_given_up, seen.has_ended) {
                (true, _) => "given up",
                (false, true) => "ended",
                (false, false) => "open",
            };
            let asked = time(seen.asked);
            let who = peer.who.name();
            self.told.push(format!(
                "connection {number}, {who} {path}, asked at {asked:.1} s: {status}{last}, {end}"
            ));
        });
        self.passed += passed;
        self.refused += refused;
    }

    fn finding(&self, what: What, detail: String) -> Finding {
        let after = self.after;
        Finding { what, after, detail }
    }

    /// Looks for what must not be.
    fn look(&mut self) -> Result<(), Finding> {
        if let Some(status) = self.stage.envoy.exit() {
            return Err(self.finding(What::Exit, status.to_string()));
        }
        for (number, peer) in &self.peers {
            let mut found = None;
            peer.each(|stream| {
                if found.is_none() {
                    found = self.look_at(*number, peer, stream);
                }
            });
            found.map_or(Ok(()), Err)?;
            self.look_at_connection(*number, peer)?;
        }
        Ok(())
    }

    /// A connection that let something through must be closed when its peer may do nothing any more.
    fn look_at_connection(&self, number: u64, peer: &Peer) -> Result<(), Finding> {
        let is_gated = self.stage.scene.both_filters || peer.listener == Name::Db;
        // A VM that is gone closes nothing.
        if !is_gated || self.has_trapped || peer.was_deaf || peer.is_closed() {
            return Ok(());
        }
        let mut passed = None;
        peer.each(|stream| {
            let seen = stream.seen();
            passed = passed.max((seen.status == Some(200)).then_some(seen.asked));
        });
        let now = Instant::now();
        let deed = Deed {
            listener: peer.listener,
            who: peer.who,
            path: None,
            until: peer.until,
        };
        match passed.and_then(|passed| self.timeline.forbidden_since(deed, passed, now)) {
            Some(since) if now - since > PROMISE => {
                let late = now - since;
                let detail = format!("connection {number} of {} is open after {late:.1?}", peer.who.name());
                Err(self.finding(What::NoEnd, detail))
            }
            _ => Ok(()),
        }
    }

    fn look_at(&self, number: u64, peer: &Peer, stream: &Stream) -> Option<Finding> {
        let (seen, now) = (stream.seen(), Instant::now());
        // When something reached one that does not listen cannot be known.
        if peer.was_deaf {
            return None;
        }
        let (deed, far) = (deed(peer, stream), Duration::from_secs(6));
        let from = seen.asked.checked_sub(far)?;
        let path = stream.path.map_or("bytes".to_owned(), |path| format!("/{path}"));
        let kind = stream.kind.map_or("", |kind: Kind| crate::words::Words::word(kind));
        let about = |since: Instant, at: Instant| {
            let asked = match seen.asked.checked_duration_since(since) {
                Some(after) => format!("asked {after:.1?} after it was forbidden"),
                None => format!("asked {:.1?} before it was forbidden", since - seen.asked),
            };
            let late = at - since;
            format!(
                "connection {number}, {} {path} {kind}, {asked}, seen after {late:.1?}",
                peer.who.name()
            )
        };
        if let (Some(200), Some(last)) = (seen.status, seen.last)
            && let Some(since) = self.timeline.forbidden_since(deed, from.max(last - far), last)
        {
            if seen.asked >= since + GRACE {
                let mut finding = self.finding(What::Allow, about(since, last));
                if self.timeline.is_by_another(deed, last) {
                    finding.after = "an update of another listener";
                }
                return Some(finding);
            }
            if last - since > PROMISE {
                return Some(self.finding(What::GoesOn, about(since, last)));
            }
        }
        let is_open = !seen.has_ended && !seen.is_given_up && seen.status.is_none_or(|status| status == 200);
        if is_open
            && let Some(since) = self.timeline.forbidden_since(deed, from.max(now - far), now)
            && now - since.max(seen.asked) > PROMISE
        {
            return Some(self.finding(What::NoEnd, about(since, now)));
        }
        None
    }
}

fn deed(peer: &Peer, stream: &Stream) -> Deed {
    Deed {
        listener: peer.listener,
        who: peer.who,
        path: stream.path,
        until: peer.until,
    }
}
