//! Who may bring the requests of others?
//!
//! A certificate proves who opened a connection, not on whose behalf a request comes. A peer that a document names as a
//! *hop* speaks for the *caller* of each request that it brings, and for nobody else: never for itself, so that who
//! takes the caller away from a request does not make it the hop's own, which may do more.

use jiff::Timestamp;

use crate::{
    name::id::SpiffeId,
    pattern::id_pattern::IdPattern,
    rules::{effect::Effect, until::Until},
};

/// Most hops of a document. Our decision: whoever is met for the first time is compared with the patterns of all, which
/// are 49,152 at most; and a way is a set of them that fits one word.
pub const MAX_HOPS: usize = 64;

/// Most hops that one request may come through. Our decision: each shows a certificate that is verified here.
pub const MAX_DEPTH: usize = 4;

/// How a hop says who the caller is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Assertion {
    /// By the certificate of the caller, in `x-forwarded-client-cert`.
    #[default]
    Xfcc,
    /// By the certificate of the caller, in `client-cert` (RFC 9440).
    ClientCert,
    /// By a token of the caller, in `authorization`.
    JwtSvid,
}

/// What must stand behind what a hop says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Evidence {
    /// The hop's word.
    Name,
    /// The certificate of the caller.
    #[default]
    Certificate,
    /// A token of the caller.
    Token,
}

/// Who brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peers {
    /// Whoever has one of these ids.
    Ids(Vec<IdPattern>),
    /// Whoever has connected by TLS and shown no certificate.
    Anonymous,
}

impl Peers {
    /// The ids; none of those who have none.
    pub fn ids(&self) -> &[IdPattern] {
        match self {
            Self::Ids(ids) => ids,
            Self::Anonymous => &[],
        }
    }
}

/// Who may bring whose requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// Its name in `via`, records and metrics.
    pub name: Box<str>,
    /// Who brings.
    pub peers: Peers,
    /// Who may be brought.
    pub callers: Vec<IdPattern>,
    /// Who of them may not.
    pub except: Vec<IdPattern>,
    /// How it says who the caller is.
    pub assertion: Assertion,
    /// What must stand behind it.
    pub evidence: Evidence,
    /// How many hops the caller has come through, from 1 to [`MAX_DEPTH`]: this one, and those that have brought it here.
    pub depth: usize,
    /// From this moment on it brings nobody.
    pub expires: Option<Timestamp>,
    /// Who answers for it; shown to operators, never compared.
    pub owner: Option<String>,
}

impl Hop {
    /// Whether an id is one of those who bring.
    fn is_peer(&self, id: &SpiffeId) -> bool {
        self.peers.ids().iter().any(|pattern| pattern.matches(id))
    }

    /// Whether an id is one of those who may be brought.
    fn may_bring(&self, id: &SpiffeId) -> bool {
        let among = |patterns: &[IdPattern]| patterns.iter().any(|pattern| pattern.matches(id));
        among(&self.callers) && !among(&self.except)
    }

    pub(crate) fn is_over(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| now >= expires)
    }
}

/// A hop with what rules say of it.
#[derive(Clone, Debug)]
pub(crate) struct KnownHop {
    pub(crate) hop: Hop,
    /// Until when an allow rule in force lets somebody through whom it brings.
    pub(crate) allows: Option<Until>,
    /// The same of rules in a dry run.
    pub(crate) would_allow: Option<Until>,
}

impl KnownHop {
    pub(crate) fn new(hop: Hop) -> Self {
        Self {
            hop,
            allows: None,
            would_allow: None,
        }
    }
}

/// All hops of a document, in its order. A place among them is less than [`MAX_HOPS`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Hops(pub(crate) Vec<KnownHop>);

impl Hops {
    /// Those by which an id brings others.
    pub(crate) fn of_peer(&self, id: &SpiffeId) -> HopSet {
        self.all_that(|hop| hop.is_peer(id))
    }

    /// Those by which one brings others who has shown no certificate.
    pub(crate) fn of_nobody(&self) -> HopSet {
        self.all_that(|hop| hop.peers == Peers::Anonymous)
    }

    /// Those that may bring an id.
    pub(crate) fn of_caller(&self, id: &SpiffeId) -> HopSet {
        self.all_that(|hop| hop.may_bring(id))
    }

    /// Those that say by this who the caller is.
    pub(crate) fn by(&self, assertion: Assertion) -> HopSet {
        self.all_that(|hop| hop.assertion == assertion)
    }

    /// Those that are not over.
    pub(crate) fn in_force(&self, among: HopSet, now: Timestamp) -> impl Iterator<Item = &KnownHop> {
        self.among(among).filter(move |known| !known.hop.is_over(now))
    }

    pub(crate) fn among(&self, among: HopSet) -> impl Iterator<Item = &KnownHop> {
        let places = self.0.iter().enumerate();
        places
            .filter(move |(place, _)| among.has(*place))
            .map(|(_, known)| known)
    }

    /// The first of a set.
    pub(crate) fn first(&self, set: HopSet) -> Option<&KnownHop> {
        self.among(set).next()
    }

    /// The one hop of a set that has one.
    pub(crate) fn only(&self, set: HopSet) -> Option<&KnownHop> {
        let mut among = self.among(set);
        let only = among.next();
        only.filter(|_| among.next().is_none())
    }

    fn all_that(&self, is_one: impl Fn(&Hop) -> bool) -> HopSet {
        let places = self.0.iter().enumerate();
        let ours = places.filter(|(_, known)| is_one(&known.hop));
        ours.fold(HopSet::default(), |set, (place, _)| set.with(place))
    }
}

/// Some of the hops of a document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct HopSet(u64);

impl HopSet {
    pub(crate) fn with(self, place: usize) -> Self {
        Self(self.0 | bit(place))
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(crate) fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn has(self, place: usize) -> bool {
        self.0 & bit(place) != 0
    }

    fn is_within(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }
}

/// None where there is no such place, so that what is beyond the bound is in no set.
fn bit(place: usize) -> u64 {
    let place = u32::try_from(place).ok();
    place.and_then(|place| 1_u64.checked_shl(place)).unwrap_or_default()
}

/// What a rule has in `via`: the ways that it speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Via {
    /// Of requests that their caller makes itself.
    pub(crate) direct: bool,
    /// Of those that come through these.
    pub(crate) hops: HopSet,
}

/// Which rules of one `via` speak of a way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    allows: bool,
    denies: bool,
}

impl Heard {
    /// Of a way through these hops; through none, it is direct. An allow rule speaks of a way where it names all of it,
    /// and without `via` of the direct one alone; a deny rule where it names any of it, and without `via` of each.
    pub(crate) fn on(way: HopSet, via: Option<Via>) -> Self {
        match via {
            None => Self {
                allows: way.is_empty(),
                denies: true,
            },
            Some(via) if way.is_empty() => Self {
                allows: via.direct,
                denies: via.direct,
            },
            Some(via) => Self {
                allows: way.is_within(via.hops),
                denies: !way.and(via.hops).is_empty(),
            },
        }
    }

    /// Of what rules say about one who brings a request: no right of it counts, and every prohibition does.
    pub(crate) fn denies_only(self) -> Self {
        Self { allows: false, ..self }
    }

    pub(crate) fn has(self, effect: Effect) -> bool {
        match effect {
            Effect::Allow => self.allows,
            Effect::Deny => self.denies,
        }
    }

    pub(crate) fn is_none(self) -> bool {
        !self.allows && !self.denies
    }
}

#[cfg(test)]
mod tests {
    use super::{Heard, HopSet, MAX_HOPS, Via};

    #[cfg(all(target_family = "wasm", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn allow_names_the_whole_way_and_deny_any_of_it() {
        let set = |places: &[usize]| places.iter().fold(HopSet::default(), |set, place| set.with(*place));
        let heard = |way: &[usize], via: Option<(bool, &[usize])>| {
            let via = via.map(|(direct, hops)| Via {
                direct,
                hops: set(hops),
            });
            let heard = Heard::on(set(way), via);
            (heard.allows, heard.denies)
        };
        assert_eq!(heard(&[], None), (true, true));
        assert_eq!(heard(&[3], None), (false, true));
        assert_eq!(heard(&[], Some((true, &[]))), (true, true));
        assert_eq!(heard(&[], Some((false, &[3]))), (false, false));
        assert_eq!(heard(&[3], Some((true, &[]))), (false, false));
        assert_eq!(heard(&[3], Some((false, &[3, 4]))), (true, true));
        assert_eq!(heard(&[3, 5], Some((false, &[3, 4]))), (false, true));
        assert_eq!(heard(&[5], Some((true, &[3, 4]))), (false, false));
    }

    #[test]
    fn set_has_room_for_every_hop_and_for_no_other() {
        let last = HopSet::default().with(MAX_HOPS - 1);
        assert!(last.has(MAX_HOPS - 1) && !last.has(0));
        assert!(HopSet::default().with(MAX_HOPS).is_empty());
        assert!(!last.has(MAX_HOPS));
    }
}
