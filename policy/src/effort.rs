//! How much one answer may cost.
//!
//! What a document holds is bounded, and so is a request; their product is not, in any sense that helps a worker that
//! has other requests to serve. So everything that is walked while an answer is sought is counted in steps, and an
//! answer that would take more of them than there are is a refusal with a reason of its own, never a guess. Steps are
//! counted, not timed: the same document and the same request get the same answer on every machine.

use std::cell::Cell;

/// Steps of one decision. Our decision. Measured natively, with caches to itself: 3 to 10 ns a step. In Envoy, on a
/// machine with other work: 35 to 65 ns, so this is 2 to 3 milliseconds there.
pub(crate) const DECISION_STEPS: u32 = 50_000;
/// Steps of finding the rules of one identity, which is done once for each certificate. Our decision: a few
/// milliseconds at most; about 14,000 different `from` that one identity matches. A request of one with more than about
/// 7,000 is refused, for it looks into the paths of each.
pub(crate) const SPECIALISATION_STEPS: u32 = 220_000;

/// Steps of what rules in a dry run would change about one decision. Our decision: half of it. They are not taken from
/// it, so that a dry run changes nothing; where they do not suffice, what would be is not known.
pub(crate) const DRY_RUN_DECISION_STEPS: u32 = DECISION_STEPS / 2;
/// Steps of finding the rules in a dry run of one identity.
pub(crate) const DRY_RUN_SPECIALISATION_STEPS: u32 = SPECIALISATION_STEPS / 2;

/// The steps that are left.
#[derive(Debug)]
pub(crate) struct Effort(Cell<Option<u32>>);

impl Effort {
    pub(crate) fn of(steps: u32) -> Self {
        Self(Cell::new(Some(steps)))
    }

    /// Takes steps, where so many are left. Where not, none is left for anything else either.
    pub(crate) fn spend(&self, steps: usize) -> bool {
        let left = u32::try_from(steps)
            .ok()
            .and_then(|steps| self.0.get()?.checked_sub(steps));
        self.0.set(left);
        left.is_some()
    }

    /// Whether more was asked for than there was: what has been found so far is not all there is.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.0.get().is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::Effort;

    #[cfg(all(target_family = "wasm", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn what_is_exhausted_stays_so() {
        let effort = Effort::of(3);
        assert!(effort.spend(3) && !effort.is_exhausted());
        assert!(!effort.spend(1) && effort.is_exhausted());
        assert!(!effort.spend(0) && effort.is_exhausted());
        assert!(!Effort::of(u32::MAX - 1).spend(usize::MAX));
    }
}
