//! Who may bring the requests of others, as it is written?
//!
//! Most mistakes here take two members to see: an id that both brings and is brought, two entries that could bring one
//! caller, a hop that no rule lets anybody through. Each would be a permission that nobody meant, or none.

use std::collections::BTreeMap;

use crate::{
    document::{
        reader::{Mistake, Object, Place, Reader},
        settings::{ChainMode, Listeners, XfccMode},
        values::{COMPARISON_STEPS, MAX_COMPARED_PATTERNS, read_name, read_text, read_time},
    },
    effort::Effort,
    json::Json,
    name::id::TrustDomain,
    pattern::{id_pattern::IdPattern, segments::PatternError},
    rules::hop::{Assertion, Evidence, Hop, HopSet, MAX_DEPTH, MAX_HOPS, Peers, Via},
};

pub(crate) const HOP_FIELDS: &[&str] = &[
    "name",
    "peers",
    "callers",
    "except",
    "assertion",
    "evidence",
    "depth",
    "expires",
    "owner",
];
/// How a hop says who the caller is.
pub(crate) const ASSERTIONS: &[&str] = &["xfcc", "client_cert", "jwt_svid"];
/// What must stand behind what it says.
pub(crate) const EVIDENCE: &[&str] = &["certificate", "token", "name"];
/// What stands in `peers` for whoever shows no certificate.
pub(crate) const ANONYMOUS: &str = "anonymous";
/// What stands in `via` for a request that its caller makes itself.
pub(crate) const DIRECT: &str = "direct";

/// One entry of `hops`.
#[derive(Debug)]
pub(crate) struct ReadHop {
    pub(crate) place: usize,
    pub(crate) hop: Hop,
    /// Whether it was read without a mistake.
    pub(crate) whole: bool,
}

pub(crate) fn read_hops(reader: &mut Reader, object: Object<'_>) -> Vec<ReadHop> {
    let Some(json) = object.optional("hops") else {
        return Vec::new();
    };
    let place = Place::Root.member("hops");
    reader.check_length(&place, json.as_array().map_or(0, <[_]>::len), MAX_HOPS);
    let mut index = 0_usize;
    let read = reader.list(json, &place, |reader, json, at| {
        let (before, place) = (reader.count(), index);
        index = index.saturating_add(1);
        let hop = read_hop(reader, json, at)?;
        let whole = reader.count() == before;
        Some(ReadHop { place, hop, whole })
    });
    let mut read = read.unwrap_or_default();
    // Beyond the bound nothing is compared with anything.
    read.truncate(MAX_HOPS);
    read
}

fn read_hop(reader: &mut Reader, json: &Json, at: &Place<'_>) -> Option<Hop> {
    let object = reader.object(json, at, HOP_FIELDS)?;
    let name = object.required("name", reader, at);
    let name = name.and_then(|json| read_name(reader, json, &at.member("name")));
    if name.as_deref() == Some(DIRECT) {
        let mistake = Mistake::Expected("another name (`direct` in `via` is a request that comes through nobody)");
        reader.note(&at.member("name"), mistake);
    }
    let peers = object.required("peers", reader, at);
    let peers = peers.and_then(|json| read_peers(reader, json, &at.member("peers")));
    let callers = object.required("callers", reader, at);
    let callers = callers.and_then(|json| read_ids(reader, json, &at.member("callers")));
    let except = object
        .optional("except")
        .and_then(|json| read_ids(reader, json, &at.member("except")));
    let assertion = object.required("assertion", reader, at);
    let assertions = [Assertion::Xfcc, Assertion::ClientCert, Assertion::JwtSvid];
    let assertion = assertion.and_then(|json| reader.word(json, &at.member("assertion"), ASSERTIONS, &assertions));
    let evidence = read_evidence(reader, object, assertion, at);
    let depth = object.optional("depth");
    let depth = depth.and_then(|json| read_depth(reader, json, (assertion, evidence), &at.member("depth")));
    let expires = object
        .optional("expires")
        .and_then(|json| read_time(reader, json, &at.member("expires")));
    let owner = read_text(reader, object, "owner", at);
    Some(Hop {
        name: name.unwrap_or_default(),
        peers: peers.unwrap_or(Peers::Ids(Vec::new())),
        callers: callers.unwrap_or_default(),
        except: except.unwrap_or_default(),
        assertion: assertion.unwrap_or_default(),
        evidence,
        depth: depth.unwrap_or(1),
        expires,
        owner,
    })
}

fn read_peers(reader: &mut Reader, json: &Json, place: &Place<'_>) -> Option<Peers> {
    match json.as_str() {
        Some(ANONYMOUS) => Some(Peers::Anonymous),
        Some(_) => {
            let mistake = "a list of ids, or `anonymous` (whoever has connected by TLS and shown no certificate)";
            reader.note(place, Mistake::Expected(mistake));
            None
        }
        None => read_ids(reader, json, place).map(Peers::Ids),
    }
}

/// Patterns that compare with nothing.
fn read_ids(reader: &mut Reader, json: &Json, place: &Place<'_>) -> Option<Vec<IdPattern>> {
    let patterns = json.as_array().map_or(0, <[_]>::len);
    reader.check_length(place, patterns, MAX_COMPARED_PATTERNS);
    if patterns > MAX_COMPARED_PATTERNS {
        return None;
    }
    reader.list(json, place, |reader, json, place| {
        reader.parsed(json, place, |text| {
            let pattern = IdPattern::parse(text).map_err(Mistake::Pattern)?;
            if pattern.segments.captures().next().is_some() {
                return Err(Mistake::Pattern(PatternError::CaptureInHop));
            }
            Ok(pattern)
        })
    })
}

/// What stands behind an assertion where the document does not say.
fn evidence_of(assertion: Assertion) -> Evidence {
    match assertion {
        Assertion::Xfcc | Assertion::ClientCert => Evidence::Certificate,
        Assertion::JwtSvid => Evidence::Token,
    }
}

fn read_evidence(reader: &mut Reader, object: Object<'_>, assertion: Option<Assertion>, at: &Place<'_>) -> Evidence {
    let place = at.member("evidence");
    let words = [Evidence::Certificate, Evidence::Token, Evidence::Name];
    let evidence = object.optional("evidence");
    let evidence = evidence.and_then(|json| reader.word(json, &place, EVIDENCE, &words));
    let usual = evidence_of(assertion.unwrap_or_default());
    let Some((assertion, evidence)) = assertion.zip(evidence) else {
        return usual;
    };
    let mistake = match (assertion, evidence) {
        (Assertion::Xfcc, Evidence::Token) => "`certificate`, which `xfcc` brings, or `name`",
        (Assertion::ClientCert, Evidence::Token | Evidence::Name) => "`certificate`, which `client_cert` brings",
        (Assertion::JwtSvid, Evidence::Certificate | Evidence::Name) => "`token`, which `jwt_svid` is",
        (Assertion::Xfcc, Evidence::Certificate | Evidence::Name)
        | (Assertion::ClientCert, Evidence::Certificate)
        | (Assertion::JwtSvid, Evidence::Token) => return evidence,
    };
    reader.note(&place, Mistake::Expected(mistake));
    usual
}

fn read_depth(
    reader: &mut Reader,
    json: &Json,
    (assertion, evidence): (Option<Assertion>, Evidence),
    place: &Place<'_>,
) -> Option<usize> {
    let depth = match json {
        Json::Unsigned(depth) => usize::try_from(*depth).ok(),
        Json::Null | Json::Bool(_) | Json::OtherNumber(_) | Json::String(_) | Json::Array(_) | Json::Object(_) => None,
    };
    let depth = depth.filter(|depth| (1..=MAX_DEPTH).contains(depth));
    let mistake = match (depth, assertion) {
        (Some(2..), Some(Assertion::Xfcc)) if evidence == Evidence::Name => {
            "1 (a name is written by the hop to which the caller has connected; behind others it is from anybody)"
        }
        (None, _) => "a number from 1 to 4: how many hops the caller has come through, this one included",
        (Some(2..), Some(Assertion::ClientCert)) => {
            "1 (`client-cert` shows the certificate of one, and not through whom)"
        }
        (Some(2..), Some(Assertion::JwtSvid)) => "1 (a token does not say through whom it has come)",
        (Some(depth), _) => return Some(depth),
    };
    reader.note(place, Mistake::Expected(mistake));
    None
}

/// What the rest of a document says, as far as hops have to do with it.
pub(crate) struct Around<'d> {
    pub(crate) trust_domain: Option<&'d TrustDomain>,
    pub(crate) listener: Listeners,
    pub(crate) chain: ChainMode,
    pub(crate) xfcc: XfccMode,
    pub(crate) mark_passed: bool,
}

/// Notes what is wrong with hops beside each other and beside the rest of the document, but for rules.
pub(crate) fn check_hops(reader: &mut Reader, hops: &[ReadHop], around: &Around<'_>) {
    if hops.is_empty() {
        return;
    }
    let place = Place::Root;
    let place = place.member("hops");
    check_surroundings(reader, hops, around, &place);
    let mut names: BTreeMap<&str, usize> = BTreeMap::new();
    for ReadHop { place: index, hop, .. } in hops.iter().filter(|read| !read.hop.name.is_empty()) {
        if let Some(first) = names.get(&*hop.name) {
            let mistake = Mistake::RepeatedHop { first: *first };
            reader.note(&place.item(*index).member("name"), mistake);
        } else {
            names.insert(&hop.name, *index);
        }
    }
    // Of one that was not read whole some entries are lost, so places would be wrong.
    let whole = || hops.iter().filter(|read| read.whole);
    let steps = Effort::of(COMPARISON_STEPS);
    for read in whole() {
        let place = place.item(read.place);
        if let Some(own) = around.trust_domain {
            check_speaks_for_its_own(reader, &read.hop, own, &place);
        }
        check_is_reached(reader, &read.hop, whole(), &place);
        for other in whole() {
            let is_compared = check_brings_no_hop(reader, read, other, &steps, &place)
                && (other.place >= read.place || check_is_not_ambiguous(reader, read, other, &steps, &place));
            if !is_compared {
                let bound = COMPARISON_STEPS;
                return reader.note(&place, Mistake::TooManyComparisons { bound });
            }
        }
    }
}

fn check_surroundings(reader: &mut Reader, hops: &[ReadHop], around: &Around<'_>, place: &Place<'_>) {
    if !around.listener.have_requests() {
        let mistake = Mistake::NeverMatches("a TCP listener has connections, no requests that anybody could bring");
        reader.note(place, mistake);
    }
    if around.chain == ChainMode::Proxy {
        let mistake = "`chain: verify` in the document (the proxy verifies who connects, and nobody would verify whom a \
                       hop brings)";
        reader.note(place, Mistake::Expected(mistake));
    }
    let by_header = hops
        .iter()
        .filter(|read| read.whole && read.hop.assertion == Assertion::Xfcc);
    for read in by_header.filter(|_| !around.xfcc.is_of_hops()) {
        let mistake = "`xfcc: hop` in the document, where this listener has FORWARD_ONLY (or `hop_appended`, where it \
                       has APPEND_FORWARD)";
        reader.note(&place.item(read.place).member("assertion"), Mistake::Expected(mistake));
    }
    for read in hops
        .iter()
        .filter(|read| read.whole && read.hop.evidence == Evidence::Name)
    {
        check_may_give_its_word(reader, &read.hop, around, &place.item(read.place));
    }
    let anonymous = hops
        .iter()
        .filter(|read| read.whole && read.hop.peers == Peers::Anonymous);
    for read in anonymous {
        let place = place.item(read.place);
        if read.hop.assertion != Assertion::JwtSvid {
            let mistake = "`jwt_svid` (of a peer that has shown no certificate, nothing else is believed)";
            reader.note(&place.member("assertion"), Mistake::Expected(mistake));
        }
        if !around.mark_passed {
            let mistake = "`mark_passed: true` in the document, and a lock behind the HTTP filter that looks for the mark \
                           (what would come through a chain without that filter is from anybody)";
            reader.note(&place.member("peers"), Mistake::Expected(mistake));
        }
    }
}

/// A name that nothing stands behind is taken of our own alone, and where no other element can be taken for the hop's.
fn check_may_give_its_word(reader: &mut Reader, hop: &Hop, around: &Around<'_>, place: &Place<'_>) {
    if around.xfcc == XfccMode::HopAppended {
        let mistake = "`certificate` (names are read under `xfcc: hop` alone: where this listener appends, what ends an \
                       element may be the client's)";
        reader.note(&place.member("evidence"), Mistake::Expected(mistake));
    }
    let Some(own) = around.trust_domain else { return };
    let callers = hop.callers.iter().enumerate();
    for (index, _) in callers.filter(|(_, pattern)| pattern.trust_domain() != Some(own)) {
        let mistake =
            "ids of our own trust domain, where `evidence` is `name` (of a foreign one, a certificate is wanted)";
        reader.note(&place.member("callers").item(index), Mistake::Expected(mistake));
    }
}

/// A hop of a foreign trust domain that could bring ids of ours, or of a third one, would be as good as an authority of
/// it.
fn check_speaks_for_its_own(reader: &mut Reader, hop: &Hop, own: &TrustDomain, place: &Place<'_>) {
    let peers = hop.peers.ids().iter().map(IdPattern::trust_domain);
    for foreign in peers.filter(|name| *name != Some(own)) {
        let callers = hop.callers.iter().enumerate();
        let beyond =
            callers.filter(|(_, pattern)| pattern.trust_domain().is_none() || pattern.trust_domain() != foreign);
        for (index, _) in beyond {
            let mistake = "ids of the trust domain of all its `peers` (a hop of a foreign trust domain brings its own)";
            reader.note(&place.member("callers").item(index), Mistake::Expected(mistake));
        }
        if foreign.is_none() || hop.callers.iter().any(|pattern| pattern.trust_domain() != foreign) {
            // It is said of each caller once.
            return;
        }
    }
}

/// Whoever is to have come through several hops comes through one fewer to the next.
fn check_is_reached<'r>(reader: &mut Reader, hop: &Hop, all: impl Iterator<Item = &'r ReadHop>, place: &Place<'_>) {
    if hop.depth == 1 || all.map(|read| &read.hop).any(|before| is_before(before, hop)) {
        return;
    }
    let mistake = "1, or another hop with the same `assertion` and a `depth` of one less, through which its callers come to \
                   it (each hop of a way is an entry of its own)";
    reader.note(&place.member("depth"), Mistake::Expected(mistake));
}

/// Whether whoever has come through one hop may come through another next.
fn is_before(before: &Hop, hop: &Hop) -> bool {
    before.assertion == hop.assertion && before.depth.saturating_add(1) == hop.depth
}

/// Notes callers of one hop that are peers of another, or of its own: whoever speaks for others is not spoken for.
/// Says whether it could be found out.
fn check_brings_no_hop(
    reader: &mut Reader,
    read: &ReadHop,
    other: &ReadHop,
    steps: &Effort,
    place: &Place<'_>,
) -> bool {
    let callers = place.member("callers");
    for (index, caller) in read.hop.callers.iter().enumerate() {
        for peer in other.hop.peers.ids() {
            let Some(both) = overlap(caller, peer, &[&read.hop.except], steps) else {
                return false;
            };
            if both {
                let mistake = Mistake::BringsHop {
                    peer: peer.to_string(),
                    hop: other.place,
                };
                reader.note(&callers.item(index), mistake);
            }
        }
    }
    true
}

/// Notes callers that an earlier entry may bring through the same peer in the same way: which of the two it was, and with it
/// the rules, would be the peer's to choose. Says whether it could be found out.
fn check_is_not_ambiguous(
    reader: &mut Reader,
    read: &ReadHop,
    earlier: &ReadHop,
    steps: &Effort,
    place: &Place<'_>,
) -> bool {
    let (hop, before) = (&read.hop, &earlier.hop);
    if hop.assertion != before.assertion {
        return true;
    }
    let mut shared = hop.peers == Peers::Anonymous && before.peers == Peers::Anonymous;
    let both = hop.peers.ids().iter();
    for (one, two) in both.flat_map(|one| before.peers.ids().iter().map(move |two| (one, two))) {
        let Some(both) = overlap(one, two, &[], steps) else {
            return false;
        };
        shared |= both;
    }
    if !shared {
        return true;
    }
    let callers = place.member("callers");
    for (index, one) in hop.callers.iter().enumerate() {
        for two in &before.callers {
            let Some(both) = overlap(one, two, &[&hop.except, &before.except], steps) else {
                return false;
            };
            if both {
                let mistake = Mistake::AmbiguousHop {
                    callers: two.to_string(),
                    hop: earlier.place,
                };
                reader.note(&callers.item(index), mistake);
            }
        }
    }
    true
}

/// Whether some id is meant by both patterns and by none of those that take it out; `None` where there are no steps
/// left to find out. May say yes where exceptions take it out only together.
fn overlap(one: &IdPattern, two: &IdPattern, except: &[&Vec<IdPattern>], steps: &Effort) -> Option<bool> {
    let except = || except.iter().copied().flatten();
    let segments = one.segments.list.len().min(two.segments.list.len()).saturating_add(1);
    if !steps.spend(segments) {
        return None;
    }
    if !one.overlaps(two) {
        return Some(false);
    }
    let compared = segments.saturating_mul(2).saturating_mul(except().count());
    let takes_out = |except: &IdPattern| except.covers(one) || except.covers(two);
    steps.spend(compared).then(|| !except().any(takes_out))
}

/// Reads the ways that a rule speaks of.
pub(crate) fn read_via(reader: &mut Reader, json: &Json, at: &Place<'_>, hops: &[ReadHop]) -> Option<Via> {
    let named = reader.list(json, at, |reader, json, place| {
        reader.parsed(json, place, |text| {
            if text == DIRECT {
                return Ok(None);
            }
            let known = hops.iter().position(|read| &*read.hop.name == text);
            known.map(Some).ok_or_else(|| Mistake::UnknownHop {
                name: text.to_owned(),
                known: hops.iter().take(10).map(|read| read.hop.name.to_string()).collect(),
            })
        })
    })?;
    let hops = named.iter().flatten();
    Some(Via {
        direct: named.contains(&None),
        hops: hops.fold(HopSet::default(), |set, place| set.with(*place)),
    })
}

/// Notes hops that no allow rule lets anybody through.
pub(crate) fn check_are_used(reader: &mut Reader, hops: &[ReadHop], used: HopSet) {
    let place = Place::Root;
    let place = place.member("hops");
    for (_, read) in hops.iter().enumerate().filter(|(index, _)| !used.has(*index)) {
        reader.note(&place.item(read.place).member("name"), Mistake::UnusedHop);
    }
}

/// The patterns that some id must match which a rule is to say anything of through hops that it names: for an allow
/// rule, of whom they bring; a deny rule looks at everybody who has to do with it, too.
pub(crate) fn spoken_of(hops: &[ReadHop], via: Via, with_peers: bool) -> impl Iterator<Item = &IdPattern> {
    let is_named = move |index: usize| via.hops.has(index);
    let callers = hops.iter().enumerate().filter(move |(index, _)| is_named(*index));
    // Those that one has come through are on the way of others.
    let are_several = hops.iter().any(|read| read.hop.depth > 1);
    let bring = hops.iter().enumerate();
    let bring = bring.filter(move |(index, _)| with_peers && (are_several || is_named(*index)));
    let callers = callers.flat_map(|(_, read)| &read.hop.callers);
    callers.chain(bring.flat_map(|(_, read)| read.hop.peers.ids()))
}

/// Notes a `via` of an allow rule with a hop behind others of which it names none: it speaks of ways that it names
/// whole.
pub(crate) fn check_names_whole_ways(reader: &mut Reader, hops: &[ReadHop], via: Via, place: &Place<'_>) {
    let named = hops.iter().enumerate().filter(|(index, _)| via.hops.has(*index));
    let mut named: Vec<&Hop> = named.map(|(_, read)| &read.hop).collect();
    named.sort_by_key(|hop| hop.depth);
    let mut whole: Vec<&Hop> = Vec::new();
    for hop in named {
        if hop.depth == 1 || whole.iter().any(|before| is_before(before, hop)) {
            whole.push(hop);
        } else {
            let mistake = "beside each hop with a `depth` above 1 one with a `depth` of one less (an allow rule names all \
                           hops of a way)";
            return reader.note(place, Mistake::Expected(mistake));
        }
    }
}
