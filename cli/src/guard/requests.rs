//! Which requests are decided on, of those that go through a list of filters?
//!
//! Each route is gone through by itself, with what it switches, from the front to the router.

use std::collections::BTreeMap;

use super::{
    door::Door,
    filter::{Filter, Role},
    kinds::Conduct,
    lock::Lock,
    plugin::{Failure, Gate, Part},
    remark::{Kind, Remark},
    routes::{Override, RouteAt},
};

/// How many places one remark names.
const MOST_PLACES: usize = 3;

/// What is found, each with its places.
#[derive(Default)]
pub(crate) struct Findings {
    found: BTreeMap<(Kind, String), Vec<String>>,
    /// How many routes of lists there were.
    looked_at: usize,
    locked: bool,
}

impl Findings {
    /// A list of filters, on each route.
    pub(crate) fn judge(&mut self, place: &str, filters: &[Filter<'_>], routes: Option<&[RouteAt<'_>]>, decided: bool) {
        let whole = RouteAt::of_nothing(place);
        match routes {
            Some(routes) if !routes.is_empty() => {
                for route in routes {
                    let place = [place, &route.place]
                        .iter()
                        .filter(|part| !part.is_empty())
                        .copied()
                        .collect::<Vec<_>>()
                        .join(", ");
                    self.route(&place, filters, route, decided);
                }
            }
            // Nothing that a route could switch, or nothing that is known of it.
            Some(_) | None => self.route(place, filters, &whole, decided),
        }
    }

    fn add(&mut self, kind: Kind, text: impl Into<String>, place: &str) {
        let places = self.found.entry((kind, text.into())).or_default();
        places.push(place.to_owned());
    }

    fn route(&mut self, place: &str, filters: &[Filter<'_>], route: &RouteAt<'_>, decided: bool) {
        self.looked_at = self.looked_at.saturating_add(1);
        let mut way = Way::default();
        for filter in filters {
            let said = match route.of(filter.name) {
                Ok(said) => said,
                Err(error) => {
                    if matches!(filter.role, Role::Gate(_) | Role::Rbac(_)) {
                        self.add(
                            Kind::Override,
                            format!("what is said of `{}` cannot be read: {error}", filter.name),
                            place,
                        );
                    }
                    Override::None
                }
            };
            self.step(place, filter, said, &mut way);
        }
        self.close(place, filters, route, &way, decided);
    }

    /// One filter, as the route has it.
    fn step(&mut self, place: &str, filter: &Filter<'_>, said: Override<'_>, way: &mut Way) {
        let off = match said {
            Override::Off => true,
            Override::None => filter.disabled,
            Override::On | Override::With(_) => false,
        };
        if let Role::Gate(gate) = &filter.role {
            return self.gate(place, filter, gate, (said, off), way);
        }
        if off {
            return;
        }
        if let Some(kind) = filter.open_default.filter(|_| filter.is_default && !way.passed) {
            way.default = Some(format!(
                "until discovery brings `{}`, a `{kind}` stands there",
                filter.name
            ));
        }
        match &filter.role {
            // Said above.
            Role::Gate(_) => {}
            Role::Rbac(lock) => {
                let lock = match said {
                    Override::With(typed) => Lock::of_route(typed).unwrap_or(Lock::Other),
                    Override::None | Override::On | Override::Off => *lock,
                };
                match lock {
                    // What may be skipped or left out holds nobody.
                    Lock::DemandsMark | Lock::DeniesAll if filter.matched || filter.optional => {}
                    Lock::DemandsMark => way.locked = true,
                    Lock::DeniesAll => way.denied = true,
                    Lock::Other => {}
                }
            }
            Role::SetsState(keys) => {
                if keys.iter().any(|key| key.starts_with("wasm.svidgate")) {
                    self.add(
                        Kind::Forged,
                        format!("`{}` writes filter state that svidgate alone may write", filter.name),
                        place,
                    );
                }
            }
            Role::NotHere if !way.passed => {
                way.doubt(filter.name, Kind::FilterNotHere, "comes by discovery and is not here");
            }
            Role::Composite if !way.passed => way.doubt(filter.name, Kind::Composite, "runs other filters"),
            Role::OnDemand => self.add(
                Kind::RoutesOnDemand,
                format!("`{}` finds routes while a request is under way", filter.name),
                place,
            ),
            Role::Native(true) if !way.passed => way.doubt(filter.name, Kind::Native, "is a native svidgate"),
            Role::Native(_) if !way.passed => way.before.push((filter.name.to_owned(), None)),
            Role::Other(_, Conduct::Answers(what)) if !way.passed => {
                way.before.push((filter.name.to_owned(), Some(*what)))
            }
            Role::Other(_, Conduct::Unknown) if !way.passed => way.before.push((filter.name.to_owned(), None)),
            Role::Other(..) | Role::NotHere | Role::Composite | Role::Native(_) => {}
            Role::Router | Role::ConnectionManager(_) | Role::TcpProxy(_) => {}
        }
    }

    fn gate(
        &mut self,
        place: &str,
        filter: &Filter<'_>,
        gate: &Gate,
        (said, off): (Override<'_>, bool),
        way: &mut Way,
    ) {
        match gate.part {
            Part::Request => {}
            Part::Connection(_) | Part::Hold | Part::Stray => {
                return self.add(
                    Kind::Misplaced,
                    format!("`{}` has a `root_id` that decides on no request", filter.name),
                    place,
                );
            }
        }
        if off {
            way.off.push((filter.name.to_owned(), matches!(said, Override::Off)));
            return;
        }
        if let Override::With(typed) = said
            && !typed.kind.is_empty()
        {
            self.add(
                Kind::Override,
                format!(
                    "it gives `{}` a `{}`, which a Wasm filter does not have",
                    filter.name, typed.kind
                ),
                place,
            );
        }
        for (name, what) in way.before.drain(..) {
            match what {
                Some(what) => self.add(
                    Kind::AnswersBefore,
                    format!("`{name}` stands before svidgate and {what}"),
                    place,
                ),
                None => self.add(
                    Kind::UnknownBefore,
                    format!("`{name}` stands before svidgate and may answer by itself"),
                    place,
                ),
            }
        }
        if filter.matched {
            self.add(
                Kind::FilterMatcher,
                format!("a matcher may skip `{}`", filter.name),
                place,
            );
        }
        if filter.optional {
            self.add(
                Kind::Optional,
                format!(
                    "`{}` is optional: an Envoy that does not have Wasm runs without it",
                    filter.name
                ),
                place,
            );
        }
        if let Some(kind) = filter.open_default {
            let text = format!(
                "were `{}` taken back by discovery, a `{kind}` would stand there",
                filter.name
            );
            self.add(Kind::DefaultBehind, text, place);
        }
        way.passed = true;
        way.gates.push(gate.clone());
    }

    /// What it comes to where the filters end.
    fn close(&mut self, place: &str, filters: &[Filter<'_>], route: &RouteAt<'_>, way: &Way, decided: bool) {
        self.locked |= way.locked;
        if way.passed {
            return self.passed(place, way);
        }
        if decided {
            return;
        }
        if way.denied {
            return self.add(
                Kind::DenyInstead,
                "nobody gets through: RBAC without a policy stands there",
                place,
            );
        }
        if way.locked {
            return self.add(
                Kind::ShutByLock,
                "svidgate does not decide here, and the lock behind lets nobody through",
                place,
            );
        }
        if let Some(text) = &way.default {
            return self.add(Kind::DefaultIsOpen, text.clone(), place);
        }
        if let Some((kind, text)) = &way.unknown {
            return self.add(*kind, text.clone(), place);
        }
        for (name, said) in &way.off {
            if *said {
                self.add(Kind::SwitchedOff, format!("`{name}` is switched off"), place);
            } else {
                self.add(
                    Kind::NotSwitchedOn,
                    format!("`{name}` is off by itself, and not switched on"),
                    place,
                );
            }
        }
        for name in route.switched_on() {
            if !filters.iter().any(|filter| filter.name == name) {
                self.add(
                    Kind::NoSuchFilter,
                    format!("`{name}` is switched on, and no filter has that name"),
                    place,
                );
            }
        }
        if way.off.is_empty() {
            let (kind, text) = if place.starts_with("upgrade") {
                (Kind::UpgradeWithoutGate, "its own HTTP filters have no svidgate")
            } else {
                (
                    Kind::NoRequestFilter,
                    "no `svidgate.request` stands before the router: requests are not decided on",
                )
            };
            self.add(kind, text, place);
        }
    }

    fn passed(&mut self, place: &str, way: &Way) {
        let fails_open = way.gates.iter().all(|gate| gate.failure == Failure::Open);
        if fails_open && !way.locked {
            self.add(
                Kind::FailsOpen,
                "without its VM or its code, everybody passes (`FAIL_OPEN`)",
                place,
            );
        }
        let documents = || way.gates.iter().filter_map(|gate| gate.document.as_ref().ok());
        if documents().count() > 0 && documents().all(|document| document.dry_run) {
            self.add(Kind::DryRun, "the document blocks nothing (`mode: dry_run`)", place);
        }
        if way.locked && documents().any(|document| !document.mark_passed) {
            self.add(
                Kind::LockAndMark,
                "the lock behind demands a mark that the document does not leave: nobody gets through",
                place,
            );
        }
    }

    /// Each finding once, with its first places.
    pub(crate) fn tell(self, door: &mut Door) {
        door.lock = self.locked;
        let looked_at = self.looked_at;
        for ((kind, text), places) in self.found {
            if places.len() >= looked_at {
                door.remarks.push(Remark::new(kind, text));
                continue;
            }
            let more = places.len().saturating_sub(MOST_PLACES);
            let named = places
                .iter()
                .take(MOST_PLACES)
                .map(String::as_str)
                .filter(|place| !place.is_empty())
                .collect::<Vec<_>>()
                .join("; ");
            let place = if more > 0 {
                format!("{named}; and {more} more")
            } else {
                named
            };
            door.remarks.push(Remark::at(kind, text, place));
        }
    }
}

/// What a request has met on its way.
#[derive(Default)]
struct Way {
    /// Filters of ours that are on.
    gates: Vec<Gate>,
    passed: bool,
    /// Filters of ours that are off, and whether the route says so.
    off: Vec<(String, bool)>,
    /// Others before the first of ours, and what they answer where that is known.
    before: Vec<(String, Option<&'static str>)>,
    /// Something that may be ours.
    unknown: Option<(Kind, String)>,
    /// What stands where discovery has not brought a filter yet.
    default: Option<String>,
    locked: bool,
    denied: bool,
}

impl Way {
    /// Something that may be ours, and may answer by itself.
    fn doubt(&mut self, name: &str, kind: Kind, what: &str) {
        self.unknown = Some((kind, format!("`{name}` {what}")));
        self.before.push((name.to_owned(), None));
    }
}
