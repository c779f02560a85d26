//! What one principal may ever do: the routers that its id leads to, with its captures filled in.

use crate::{
    id::SpiffeId,
    path::Segment,
    ruleset::{Captures, Needs, Principal, RuleSet, Rules, at},
    svid::Svid,
};

/// The grants of one principal: all that decisions on its connections and requests look at.
///
/// Specialised once, when the identity is verified. It costs what the identity matches, not what is configured.
#[derive(Clone, Debug)]
pub struct Grants {
    pub(crate) rules: RuleSet,
    pub(crate) granted: Box<[Granted]>,
    needs: Needs,
}

/// A router that the principal matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Granted {
    pub(crate) router: u32,
    /// Values of the captures, in the order of their names.
    pub(crate) captures: Box<[Box<str>]>,
}

impl RuleSet {
    /// Finds everything that the rules say about a verified identity.
    pub fn specialise(&self, svid: &Svid) -> Grants {
        self.specialise_id(svid.id())
    }

    pub(crate) fn specialise_id(&self, id: &SpiffeId) -> Grants {
        let rules = &*self.0;
        let mut granted: Vec<Granted> = Vec::new();
        let mut grant = |router: u32, captures: Box<[Box<str>]>| {
            let is_excepted = |except: &[crate::id::IdPattern]| except.iter().any(|pattern| pattern.matches(id));
            if at(&rules.routers, router).is_some_and(|found| !is_excepted(&found.except)) {
                granted.push(Granted { router, captures });
            }
        };
        for router in rules.exact.get(id.as_str()).into_iter().flatten() {
            grant(*router, Box::default());
        }
        let trust_domain = std::iter::once(id.trust_domain().as_str());
        let segments = trust_domain.chain(id.segments()).map(Segment::literal);
        rules
            .patterns
            .visit(rules.patterns_root, segments, &mut |principal: &Principal| {
                if let Some(captures) = captured(rules, principal, id) {
                    grant(principal.router, captures);
                }
            });
        // Two patterns of one `from` may match; what they lead to is decided on once.
        granted.sort_by(|one, two| {
            one.router
                .cmp(&two.router)
                .then_with(|| one.captures.cmp(&two.captures))
        });
        granted.dedup();
        let needs = granted
            .iter()
            .filter_map(|granted| at(&rules.routers, granted.router))
            .map(|router| router.needs);
        let needs = needs.fold(Needs::default(), Needs::union);
        Grants {
            rules: self.clone(),
            granted: granted.into(),
            needs,
        }
    }
}

/// The values that a pattern captures from an id, or none where one name would have two values.
fn captured(rules: &Rules, principal: &Principal, id: &SpiffeId) -> Option<Box<[Box<str>]>> {
    let places: &Captures = at(&rules.captures, principal.captures)?;
    let slots = places
        .iter()
        .map(|(_, slot)| slot.saturating_add(1))
        .max()
        .unwrap_or_default();
    let mut values: Vec<Option<&str>> = vec![None; slots];
    for (place, slot) in places {
        let segment = id.segments().nth(*place)?;
        let value = values.get_mut(*slot)?;
        if value.is_some_and(|known| known != segment) {
            return None;
        }
        *value = Some(segment);
    }
    values.into_iter().map(|value| value.map(Box::from)).collect()
}

impl Grants {
    /// What must be read from the connection or the stream before [`Grants::decide`] can answer.
    pub fn needs(&self) -> Needs {
        self.needs
    }
}
