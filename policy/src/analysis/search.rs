//! Is there anything in a branch that none of these cubes has?
//!
//! Each cube must fail somewhere: at one of its literals, or because one of its exceptions holds. The one with the
//! fewest ways to fail is taken first; where there is one way, it is no choice. What is left when all fail is a *leaf*.
//! The search ends with every leaf shown, so that none shown is a proof that there is none, or with its steps at an end,
//! which proves nothing.

use crate::analysis::{branch::Branch, cube::Cube, literal::Literal, terms::Terms};

/// Steps that are left; a step is a literal looked at.
#[derive(Debug)]
pub(crate) struct Steps(u64);

/// There were not enough steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutOfSteps;

/// Whether to look for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Go {
    On,
    Home,
}

impl Steps {
    pub(crate) fn of(steps: u64) -> Self {
        Self(steps)
    }

    /// At most so many of them, for a part of what is to be done.
    pub(crate) fn share(&mut self, most: u64) -> Self {
        let share = self.0.min(most);
        self.0 = self.0.saturating_sub(share);
        Self(share)
    }

    /// Takes back what is left of a share.
    pub(crate) fn give_back(&mut self, share: &mut Self) {
        self.0 = self.0.saturating_add(share.0);
        share.0 = 0;
    }

    pub(crate) fn take(&mut self, steps: usize) -> Result<(), OutOfSteps> {
        let left = u64::try_from(steps).ok().and_then(|steps| self.0.checked_sub(steps));
        self.0 = left.unwrap_or_default();
        left.map(|_| ()).ok_or(OutOfSteps)
    }
}

/// Most choices within each other. Our decision: as deep as the stack is sure to go.
const MAX_DEPTH: usize = 500;

/// A way for a cube to fail: what is added to a branch then.
type Way = Vec<Literal>;

/// Shows every leaf.
pub(crate) fn leaves(
    terms: &mut Terms,
    steps: &mut Steps,
    branch: Branch,
    cubes: &[&Cube],
    show: &mut dyn FnMut(&mut Terms, &Branch) -> Go,
) -> Result<Go, OutOfSteps> {
    below(terms, steps, branch, cubes.to_vec(), 0, show)
}

fn below(
    terms: &mut Terms,
    steps: &mut Steps,
    mut branch: Branch,
    mut cubes: Vec<&Cube>,
    depth: usize,
    show: &mut dyn FnMut(&mut Terms, &Branch) -> Go,
) -> Result<Go, OutOfSteps> {
    if depth > MAX_DEPTH {
        return Err(OutOfSteps);
    }
    let choices = loop {
        let mut has_changed = false;
        let mut fewest: Option<Vec<Way>> = None;
        let mut kept = Vec::with_capacity(cubes.len());
        for cube in cubes {
            steps.take(cube.literals.len())?;
            let Some(ways) = ways(terms, steps, &branch, cube)? else {
                continue;
            };
            match ways.as_slice() {
                [] => return Ok(Go::On),
                [way] => {
                    if !branch.add_all(way, terms) {
                        return Ok(Go::On);
                    }
                    has_changed = true;
                }
                several => {
                    if fewest.as_ref().is_none_or(|fewest| several.len() < fewest.len()) {
                        fewest = Some(ways);
                    }
                    kept.push(cube);
                }
            }
        }
        cubes = kept;
        if !has_changed {
            break fewest;
        }
    };
    let Some(choices) = choices else {
        return Ok(show(terms, &branch));
    };
    for way in choices {
        let mut next = branch.clone();
        if next.add_all(&way, terms)
            && below(terms, steps, next, cubes.clone(), depth.saturating_add(1), show)? == Go::Home
        {
            return Ok(Go::Home);
        }
    }
    Ok(Go::On)
}

/// How a cube may still fail, in ways that shut each other out; `None` where it does already.
fn ways(terms: &mut Terms, steps: &mut Steps, branch: &Branch, cube: &Cube) -> Result<Option<Vec<Way>>, OutOfSteps> {
    let mut open: Vec<&Literal> = Vec::new();
    for literal in &cube.literals {
        match branch.truth(literal, terms) {
            Some(false) => return Ok(None),
            Some(true) => {}
            None => open.push(literal),
        }
    }
    let mut ways: Vec<Way> = Vec::new();
    let before = |count: usize| open.iter().take(count).map(|literal| (*literal).clone());
    // The last first: another method of the same path makes the better example than another path.
    for (count, literal) in open.iter().enumerate().rev() {
        for opposite in literal.opposites() {
            if branch.truth(&opposite, terms) != Some(false) {
                ways.push(before(count).chain([opposite]).collect());
            }
        }
    }
    for exception in cube.exceptions.iter() {
        steps.take(exception.len())?;
        let mut truths = exception.iter().map(|literal| branch.truth(literal, terms));
        let truth = truths.try_fold(true, |all, truth| match truth {
            Some(false) => None,
            Some(true) => Some(all),
            None => Some(false),
        });
        match truth {
            // It holds whatever comes, so the cube fails.
            Some(true) => return Ok(None),
            Some(false) => ways.push(before(open.len()).chain(exception.iter().cloned()).collect()),
            None => {}
        }
    }
    Ok(Some(ways))
}
