//! Peers whose right comes and goes while they hold hundreds of streams open, each for another reason, and one whose
//! right stays. What is taken away must end in time, all of it, and nothing else may.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::{Value, json};
use support::ca::{Authority, Identity, Leaf, bundle_json, real_now};
use support::client::Client;
use support::envoy::Envoy;
use support::world::{OWN, PARTNER, STRANGER, World};

use crate::drive::Protocol;
use crate::open::{How, OpenStreams, is_let_in};
use crate::subject::LISTENER;

/// Streams of each peer, on one connection.
pub const STREAMS: usize = 300;
/// What is promised: two seconds from the event, and the tick in which a worker takes the event in.
pub const PROMISED: Duration = Duration::from_secs(3);
/// How long a new document or bundle may take until it lets a peer in.
const LET_IN: Duration = Duration::from_secs(5);
/// The SVID of the peer whose SVID ends lives so long.
const SVID_SECONDS: i64 = 20;

/// What a peer's right stands on, and goes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// It never goes.
    Stays,
    /// A rule.
    Rule,
    /// That its id is not revoked.
    Revocation,
    /// The relationship with its trust domain.
    Relationship,
    /// The authority of its leaf.
    Authority,
    /// Its SVID, which ends.
    Svid,
}

impl Right {
    /// All of them.
    pub const ALL: [Right; 6] = [
        Right::Stays,
        Right::Rule,
        Right::Revocation,
        Right::Relationship,
        Right::Authority,
        Right::Svid,
    ];

    /// As tables show it.
    pub fn as_str(self) -> &'static str {
        match self {
            Right::Stays => "nothing ends",
            Right::Rule => "a rule ends",
            Right::Revocation => "an id is revoked",
            Right::Relationship => "a relationship ends",
            Right::Authority => "an authority is withdrawn",
            Right::Svid => "an SVID ends",
        }
    }

    /// Why a peer without it is refused.
    pub fn reason(self) -> Option<&'static str> {
        match self {
            Right::Stays => None,
            Right::Rule => Some("rule.none_matched"),
            Right::Revocation => Some("svid.revoked"),
            Right::Relationship => Some("federation.unknown_trust_domain"),
            // The next authority has the same name and another key.
            Right::Authority => Some("svid.bad_signature"),
            Right::Svid => Some("svid.expired"),
        }
    }

    fn id(self) -> String {
        match self {
            Right::Stays => format!("spiffe://{OWN}/ns/held/stays"),
            Right::Rule => format!("spiffe://{OWN}/ns/held/rule"),
            Right::Revocation => format!("spiffe://{OWN}/ns/held/revoked"),
            Right::Relationship => format!("spiffe://{STRANGER}/ns/held"),
            Right::Authority => format!("spiffe://{PARTNER}/ns/billing/held"),
            Right::Svid => format!("spiffe://{OWN}/ns/held/short"),
        }
    }
}

/// What is taken from the right of a peer.
#[derive(Clone, Copy, Debug)]
struct Taken {
    /// Nothing of it ends before.
    from: Instant,
    /// From when on the promise counts; not known yet where that is for Envoy to ask.
    event: Option<Instant>,
}

/// What came of one peer.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Tally {
    /// Streams that were opened.
    pub opened: usize,
    /// How often all of them were cut at once.
    pub times: usize,
    /// Streams that ended with 403.
    pub answered: usize,
    /// Streams that were reset, by themselves or with their connection.
    pub reset: usize,
    /// The slowest of them, from the event.
    pub slowest: Duration,
}

/// A peer.
struct Peer {
    right: Right,
    client: Option<Client>,
    streams: Option<OpenStreams>,
    taken: Option<Taken>,
    tally: Tally,
}

/// All of them.
pub struct Turns(Vec<Peer>);

impl Turns {
    /// None has opened anything yet.
    pub fn new() -> Self {
        let peer = |right| Peer {
            right,
            client: None,
            streams: None,
            taken: None,
            tally: Tally::default(),
        };
        Turns(Right::ALL.map(peer).into())
    }

    /// What came of each.
    pub fn tallies(&self) -> impl Iterator<Item = (Right, Tally)> {
        self.0.iter().map(|peer| (peer.right, peer.tally))
    }

    /// What came of all together.
    pub fn total(&self) -> Tally {
        self.0.iter().fold(Tally::default(), |all, peer| Tally {
            opened: all.opened + peer.tally.opened,
            times: all.times + peer.tally.times,
            answered: all.answered + peer.tally.answered,
            reset: all.reset + peer.tally.reset,
            slowest: all.slowest.max(peer.tally.slowest),
        })
    }

    /// Opens a peer's streams, as soon as what allows them has arrived. `authority` is that of the federated trust
    /// domain.
    ///
    /// # Panics
    /// When the peer is not let in.
    pub async fn open(&mut self, right: Right, envoy: &Envoy, world: &World, authority: &Authority) {
        let addr = envoy.listener_addr(LISTENER);
        let peer = self.of(right);
        assert!(peer.streams.is_none(), "{right:?} has its streams");
        let (identity, taken) = identity(right, world, authority);
        let client = Protocol::Http2.client(&identity);
        let begun = Instant::now();
        while !is_let_in(addr, &client).await {
            assert!(begun.elapsed() < LET_IN, "{right:?} is let in again");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        peer.streams = Some(OpenStreams::open(addr, &client, STREAMS).await);
        peer.tally.opened += STREAMS;
        (peer.client, peer.taken) = (Some(client), taken);
        let begun = Instant::now();
        while under_way(envoy).await != self.open_now() {
            let all = self.open_now();
            assert!(
                begun.elapsed() < LET_IN,
                "{} of {all} are under way",
                under_way(envoy).await
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Streams that were opened and have not ended.
    fn open_now(&mut self) -> usize {
        let open = self.0.iter_mut().filter_map(|peer| peer.streams.as_mut());
        open.map(|streams| streams.count() - streams.ends().len()).sum()
    }

    /// A right goes now: what takes it away has been written.
    pub fn take(&mut self, right: Right) {
        let now = Instant::now();
        // Envoy reads documents at once, and asks for bundles.
        let event = (right != Right::Authority).then_some(now);
        self.of(right).taken = Some(Taken { from: now, event });
    }

    /// What takes a right away has been fetched.
    pub fn arrived(&mut self, right: Right, event: Instant) {
        if let Some(taken) = &mut self.of(right).taken {
            taken.event = Some(event);
        }
    }

    /// Nothing has ended whose right has not gone, and the promised time is kept.
    ///
    /// # Panics
    /// Otherwise.
    pub fn assert_undisturbed(&mut self) {
        for peer in &mut self.0 {
            let (right, taken) = (peer.right, peer.taken);
            let Some(streams) = &mut peer.streams else { continue };
            for end in streams.ends() {
                let is_due = taken.is_some_and(|taken| end.at >= taken.from);
                assert!(is_due, "{right:?}: a stream has ended that may go on: {:?}", end.how);
            }
        }
    }

    /// The downloads of those whose right has not gone have got something since this was last asked.
    ///
    /// # Panics
    /// Otherwise.
    pub fn assert_downloading(&mut self) {
        for peer in self.0.iter_mut().filter(|peer| peer.taken.is_none()) {
            let silent = peer.streams.as_mut().map_or(0, OpenStreams::silent);
            assert_eq!(silent, 0, "{:?}: downloads have stopped", peer.right);
        }
    }

    /// All streams of a peer whose right has gone have ended, in time and with 403 or a reset, and it opens no new
    /// ones.
    ///
    /// # Panics
    /// Otherwise.
    pub async fn assert_cut(&mut self, right: Right, envoy: &Envoy) {
        let peer = self.of(right);
        let event = peer.taken.and_then(|taken| taken.event);
        let event = event.unwrap_or_else(|| panic!("{right:?}: what takes it away was never asked for"));
        let mut streams = peer.streams.take().expect("streams that were opened");
        let ends = streams.ends();
        assert_eq!(ends.len(), STREAMS, "{right:?}: all have ended");
        for end in ends {
            let took = end.at.saturating_duration_since(event);
            assert!(took <= PROMISED, "{right:?}: {took:?}");
            peer.tally.slowest = peer.tally.slowest.max(took);
            match end.how {
                How::Answered(403) => peer.tally.answered += 1,
                How::Reset => peer.tally.reset += 1,
                How::Answered(_) | How::Whole => panic!("{right:?}: {:?}", end.how),
            }
        }
        peer.tally.times += 1;
        let client = peer.client.take().expect("who opened them");
        let is_in = is_let_in(envoy.listener_addr(LISTENER), &client).await;
        assert!(!is_in, "{right:?}: it is let in again");
    }

    fn of(&mut self, right: Right) -> &mut Peer {
        let peer = self.0.iter_mut().find(|peer| peer.right == right);
        peer.expect("each right has its peer")
    }
}

impl Default for Turns {
    fn default() -> Self {
        Self::new()
    }
}

/// Streams that the upstreams have not answered to the end.
pub async fn under_way(envoy: &Envoy) -> usize {
    let active = envoy.stats("cluster.held_").await;
    let active = active.iter().filter(|(name, _)| name.ends_with(".upstream_rq_active"));
    usize::try_from(active.map(|(_, count)| count).sum::<u64>()).expect("some thousands")
}

/// Who the peer is, and when its right ends by itself.
fn identity(right: Right, world: &World, authority: &Authority) -> (Identity, Option<Taken>) {
    let leaf = Leaf::svid(&right.id(), world.now);
    match right {
        Right::Stays | Right::Rule | Right::Revocation => (world.own.issue(leaf), None),
        Right::Relationship => (world.stranger.issue(leaf), None),
        Right::Authority => (authority.issue(leaf), None),
        Right::Svid => {
            let (now, clock) = (real_now(), Instant::now());
            let last = Timestamp::from_second(now.as_second() + SVID_SECONDS).expect("the present");
            let identity = world.own.issue(Leaf {
                not_after: last,
                ..leaf
            });
            // Its last second counts to its end.
            let left = (last + SignedDuration::from_secs(1)).duration_since(now);
            let end = clock + left.unsigned_abs();
            (
                identity,
                Some(Taken {
                    from: end,
                    event: Some(end),
                }),
            )
        }
    }
}

/// A document with rules, relationships and revocations that give all peers their rights, less what is taken.
pub fn amend(mut document: Value, world: &World, taken: Option<Right>) -> Value {
    let rule = |name: &str, from: &[Right]| {
        let from: Vec<String> = from.iter().map(|right| right.id()).collect();
        json!({ "name": name, "effect": "allow", "from": from })
    };
    let rules = document["rules"].as_array_mut().expect("rules");
    rules.push(rule(
        "held",
        &[Right::Stays, Right::Revocation, Right::Svid, Right::Authority],
    ));
    if taken != Some(Right::Rule) {
        rules.push(rule("held-by-rule", &[Right::Rule]));
    }
    if taken != Some(Right::Relationship) {
        rules.push(rule("held-by-relationship", &[Right::Relationship]));
        let relationship = json!({ "trust_domain": STRANGER, "bundle": { "inline": bundle_json(&[&world.stranger]) } });
        document["federation"]
            .as_array_mut()
            .expect("relationships")
            .push(relationship);
    }
    if taken == Some(Right::Revocation) {
        document["revoked"] = json!([{ "id": Right::Revocation.id(), "reason": "soak" }]);
    }
    document
}
