//! What comes through the hops of a document, as far as an analysis looks at it?

use crate::{
    analysis::manner::Way,
    rules::{
        hop::{Heard, Hop, HopSet, Hops},
        rule::Rule,
    },
};

/// Most pairs of who brings and who is brought, of all hops of a document. Our decision: a rule is looked at beside each,
/// and ten hops of five peers that bring twenty patterns each are more than most write.
pub(crate) const MAX_PAIRS: usize = 1_024;

/// Whether all that comes through hops is looked at. Of a document in which it is not, nothing of it is.
pub(crate) fn is_looked_at(hops: &Hops) -> bool {
    let pairs = hops.0.iter().map(|known| {
        // A new member does not build until someone has decided what it makes of a way.
        let Hop {
            name: _,
            peers,
            callers,
            except: _,
            assertion: _,
            expires: _,
            owner: _,
        } = &known.hop;
        peers.len().saturating_mul(callers.len())
    });
    pairs.fold(0, usize::saturating_add) <= MAX_PAIRS
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
