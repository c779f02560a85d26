//! From what a file of tests says to what is asked, with everything read that it names.

use std::{collections::BTreeMap, sync::Arc};

use serde_saphyr::Spanned;
use svidgate_policy::{Bundle, Effect, Reason, SpiffeId, Timestamp, TrustDomain};

use crate::{
    identity::{Caller, Coming, Shown},
    testing::file::{Expected, Region, Test, TestFile},
    via::{Via, ViaError},
};

/// All tests of one file, ready to be asked of any policy.
#[derive(Clone, Debug)]
pub struct Plan {
    /// In the order of the file.
    pub tests: Vec<Planned>,
}

/// One test.
#[derive(Clone, Debug)]
pub struct Planned {
    /// What it is about.
    pub name: String,
    /// Where it stands: line and column, from 1.
    pub at: (u64, u64),
    /// The moment that it is asked at.
    pub now: Timestamp,
    /// Whether it may fail.
    pub todo: bool,
    /// What is claimed.
    pub claims: Vec<Claim>,
}

/// Something that holds or does not.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Where it stands: line and column, from 1.
    pub at: (u64, u64),
    /// What is claimed.
    pub claimed: Claimed,
}

/// What is claimed.
#[derive(Clone, Debug)]
pub enum Claimed {
    /// A request of a caller is answered so.
    Answer {
        /// Who asks, and through whom.
        coming: Coming,
        /// What is asked, and what may be expected beside the effect.
        expected: Box<Expected>,
        /// Allowed or denied.
        effect: Effect,
        /// The reason code that is expected, where it matters.
        reason: Option<Reason>,
    },
    /// Whoever comes is nobody, for this reason.
    Refused {
        /// Who asks, and through whom.
        coming: Coming,
        /// Why.
        reason: Reason,
    },
    /// Something about all identities and all requests.
    Everywhere(Quantifier, Region),
}

/// How a statement about all is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantifier {
    /// Nothing of it is allowed.
    Never,
    /// All of it is allowed.
    Always,
    /// What it says is allowed to nobody else.
    Only,
}

/// What keeps a file of tests from being asked at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Line and column, from 1.
    pub at: (u64, u64),
    /// What is wrong, and what would be right.
    pub what: String,
}

impl Plan {
    /// What is said about all identities and all requests, and where.
    pub fn regions(&self) -> impl Iterator<Item = ((u64, u64), &Region)> {
        let claims = self.tests.iter().flat_map(|test| &test.claims);
        claims.filter_map(|claim| match &claim.claimed {
            Claimed::Everywhere(_, region) => Some((claim.at, region)),
            Claimed::Answer { .. } | Claimed::Refused { .. } => None,
        })
    }

    /// Through whom those come that ask, and where it says so first.
    pub fn ways(&self) -> impl Iterator<Item = ((u64, u64), &[Via])> {
        let claims = self.tests.iter().flat_map(|test| &test.claims);
        claims.filter_map(|claim| match &claim.claimed {
            Claimed::Answer { coming, .. } | Claimed::Refused { coming, .. } => Some((claim.at, &*coming.via)),
            Claimed::Everywhere(..) => None,
        })
    }

    /// Reads what a file says. `read` gives the bytes of a file that it names, from its folder; `now` is the moment
    /// where it says none.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn of(
        file: &TestFile,
        now: Timestamp,
        read: &dyn Fn(&str) -> Result<Vec<u8>, String>,
    ) -> Result<Self, Vec<Trouble>> {
        let mut troubles = Vec::new();
        let now = moment(file.at.as_ref(), now, &mut troubles);
        let tests = file
            .tests
            .iter()
            .filter_map(|test| match planned(test, now, read) {
                Ok(planned) => Some(planned),
                Err(more) => {
                    troubles.extend(more);
                    None
                }
            })
            .collect();
        if troubles.is_empty() {
            Ok(Self { tests })
        } else {
            Err(troubles)
        }
    }
}

fn at<T>(spanned: &Spanned<T>) -> (u64, u64) {
    (spanned.referenced.line(), spanned.referenced.column())
}

fn moment(written: Option<&Spanned<String>>, otherwise: Timestamp, troubles: &mut Vec<Trouble>) -> Timestamp {
    let Some(written) = written else { return otherwise };
    written.value.parse().unwrap_or_else(|_| {
        troubles.push(Trouble {
            at: at(written),
            what: "not a time: write it as 2026-11-27T12:00:00Z".to_owned(),
        });
        otherwise
    })
}

fn planned(
    test: &Spanned<Test>,
    now: Timestamp,
    read: &dyn Fn(&str) -> Result<Vec<u8>, String>,
) -> Result<Planned, Vec<Trouble>> {
    let mut troubles = Vec::new();
    let place = at(test);
    let test = &test.value;
    let now = moment(test.at.as_ref(), now, &mut troubles);
    let mut claims = Vec::new();
    let about_requests = !test.allow.is_empty() || !test.deny.is_empty() || test.refused.is_some();
    let via = via(test, &mut troubles);
    match caller(test, read) {
        Ok(Some(caller)) => claims.extend(about_caller(test, &Coming { caller, via }, &mut troubles)),
        Ok(None) if about_requests => troubles.push(Trouble {
            at: place,
            what: "nobody asks: write `id` or `svid` beside `allow`, `deny` and `refused`".to_owned(),
        }),
        Ok(None) => troubles.extend(test.via.first().map(|via| Trouble {
            at: at(via),
            what: "nobody comes: write `via` beside `id` or `svid`, or in `never`, `always` and `only`".to_owned(),
        })),
        Err(trouble) => troubles.push(trouble),
    }
    for (quantifier, region) in [
        (Quantifier::Never, &test.never),
        (Quantifier::Always, &test.always),
        (Quantifier::Only, &test.only),
    ] {
        claims.extend(region.as_ref().map(|region| Claim {
            at: at(region),
            claimed: Claimed::Everywhere(quantifier, region.value.clone()),
        }));
    }
    if claims.is_empty() && troubles.is_empty() {
        troubles.push(Trouble {
            at: place,
            what: "claims nothing: write `allow`, `deny`, `refused`, `never`, `always` or `only`".to_owned(),
        });
    }
    if troubles.is_empty() {
        Ok(Planned {
            name: test.name.clone(),
            at: place,
            now,
            todo: test.todo,
            claims,
        })
    } else {
        Err(troubles)
    }
}

fn caller(test: &Test, read: &dyn Fn(&str) -> Result<Vec<u8>, String>) -> Result<Option<Caller>, Trouble> {
    match (&test.id, &test.svid) {
        (None, None) => Ok(None),
        (Some(_), Some(svid)) => Err(Trouble {
            at: at(svid),
            what: "both `id` and `svid`: the id of an SVID stands in it, so leave one out".to_owned(),
        }),
        (Some(id), None) => match SpiffeId::parse(id.value.as_bytes()) {
            Ok(id) => Ok(Some(Caller::Id(id))),
            Err(error) => Err(Trouble {
                at: at(id),
                what: error.to_string(),
            }),
        },
        (None, Some(svid)) => {
            let trouble = |what: String| Trouble { at: at(svid), what };
            let file = |name: &str| read(name).map_err(|error| trouble(format!("`{name}`: {error}")));
            let leaf = file(&svid.value)?;
            let chain: Vec<_> = test
                .chain
                .iter()
                .map(|name| file(&name.value))
                .collect::<Result<_, _>>()?;
            let mut bundles = BTreeMap::new();
            for (name, bundle) in &test.bundles {
                let trust_domain = TrustDomain::parse(name).map_err(|error| trouble(format!("`{name}`: {error}")))?;
                let parsed = Bundle::parse(&file(bundle)?).map_err(|error| trouble(format!("`{bundle}`: {error}")))?;
                bundles.insert(trust_domain, Arc::new(parsed));
            }
            let shown = Shown::read(&leaf, &chain, bundles);
            let shown = shown.map_err(|error| trouble(format!("`{}`: {error}", svid.value)))?;
            Ok(Some(Caller::Svid(Box::new(shown))))
        }
    }
}

/// Through whom it comes. Whether there are such hops is a question to the policy.
fn via(test: &Test, troubles: &mut Vec<Trouble>) -> Vec<Via> {
    let read = test.via.iter().filter_map(|written| {
        let trouble = |error: ViaError| Trouble {
            at: at(written),
            what: error.to_string(),
        };
        written
            .value
            .parse()
            .map_err(|error| troubles.push(trouble(error)))
            .ok()
    });
    read.collect()
}

fn about_caller(test: &Test, coming: &Coming, troubles: &mut Vec<Trouble>) -> Vec<Claim> {
    let mut claims = Vec::new();
    let mut reason = |written: Option<&str>, at| {
        let written = written?;
        let found = Reason::ALL.into_iter().find(|reason| reason.code() == written);
        if found.is_none() {
            troubles.push(Trouble {
                at,
                what: format!("`{written}` is no reason code (`svidgate reasons` lists them)"),
            });
        }
        found
    };
    for (list, effect) in [(&test.allow, Effect::Allow), (&test.deny, Effect::Deny)] {
        for expected in list {
            claims.push(Claim {
                at: at(expected),
                claimed: Claimed::Answer {
                    coming: coming.clone(),
                    reason: reason(expected.value.reason.as_deref(), at(expected)),
                    expected: Box::new(expected.value.clone()),
                    effect,
                },
            });
        }
    }
    if let Some(written) = &test.refused {
        claims.extend(reason(Some(&written.value), at(written)).map(|reason| Claim {
            at: at(written),
            claimed: Claimed::Refused {
                coming: coming.clone(),
                reason,
            },
        }));
    }
    claims
}
