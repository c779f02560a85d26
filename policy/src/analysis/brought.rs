//! What comes through the hops of a document, as far as an analysis looks at it?

use crate::{
    analysis::manner::Way,
    rules::{
        hop::{Evidence, Heard, Hop, HopSet, Hops, Peers},
        rule::Rule,
    },
};

/// Most pairs of who brings and who is brought, of all hops of a document. Our decision: a rule is looked at beside each,
/// and ten hops of five peers that bring twenty patterns each are more than most write.
pub(crate) const MAX_PAIRS: usize = 1_024;

/// Whether all that comes through hops is looked at. Of a document in which it is not, nothing of it is.
pub(crate) fn is_looked_at(hops: &Hops) -> bool {
    let mut all = hops.0.iter().map(|known| pairs(&known.hop));
    let all = all.try_fold(0, |sum: usize, pairs| sum.checked_add(pairs?));
    all.is_some_and(|pairs| pairs <= MAX_PAIRS)
}

/// How many pairs of who brings and who is brought an entry has; `None` where it is about more than one hop between the two,
/// about one whom nobody knows, or takes its word for evidence.
fn pairs(hop: &Hop) -> Option<usize> {
    // A new member does not build until someone has decided what it makes of a way.
    let Hop {
        name: _,
        peers: Peers::Ids(peers),
        callers,
        except: _,
        assertion: _,
        evidence: Evidence::Certificate | Evidence::Token,
        depth: 1,
        expires: _,
        owner: _,
    } = hop
    else {
        return None;
    };
    peers.len().checked_mul(callers.len())
}

/// The ways by which something comes.
pub(crate) fn ways(hops: &Hops) -> Vec<Way> {
    let mut ways = vec![Way::Direct];
    if is_looked_at(hops) {
        ways.extend(hops.0.iter().map(|known| Way::Brought(known.hop.assertion)));
    }
    ways.sort_unstable();
    ways.dedup();
    ways
}

/// The hops by which something comes by a way.
pub(crate) fn on(hops: &Hops, way: Way) -> impl Iterator<Item = &Hop> {
    numbered(hops, way).map(|(_, hop)| hop)
}

/// Those of them through which a rule speaks of it.
pub(crate) fn spoken_of<'h>(rule: &Rule, hops: &'h Hops, way: Way) -> impl Iterator<Item = &'h Hop> {
    let (via, effect) = (rule.via, rule.effect);
    let is_heard = move |place: usize| Heard::on(HopSet::default().with(place), via).has(effect);
    numbered(hops, way)
        .filter(move |(place, _)| is_heard(*place))
        .map(|(_, hop)| hop)
}

/// Whether a rule says anything of what comes by a way.
pub(crate) fn speaks(rule: &Rule, hops: &Hops, way: Way) -> bool {
    match way {
        Way::Direct => Heard::on(HopSet::default(), rule.via).has(rule.effect),
        Way::Brought(_) => spoken_of(rule, hops, way).next().is_some(),
    }
}

fn numbered(hops: &Hops, way: Way) -> impl Iterator<Item = (usize, &Hop)> {
    let known = hops.0.iter().map(|known| &known.hop).enumerate();
    known.filter(move |(_, hop)| way == Way::Brought(hop.assertion))
}
