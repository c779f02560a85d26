//! Is there a request that all of these cubes have, and none of those?
//!
//! What a search leaves is made into an example, which whoever asks puts before the gate.

use jiff::Timestamp;

use crate::analysis::{
    branch::Branch,
    comparison::Why,
    cube::{Cube, Cubes},
    manner::Manner,
    realise::{Example, realise},
    region::{Region, region},
    search::{Go, Steps, leaves},
    terms::Terms,
    values::Span,
    vocabulary::Symbol,
    witness::Witness,
};

/// What is sought.
#[derive(Clone, Copy)]
pub(crate) struct Sought<'s> {
    /// All of these hold.
    pub(crate) cubes: &'s [&'s Cube],
    /// None of these does.
    pub(crate) clauses: &'s [Cubes],
    pub(crate) manner: Manner,
    pub(crate) span: Span,
    /// The trust domains that there is a relationship with where it is allowed.
    pub(crate) domains: &'s [Symbol],
}

/// Shows example after example, each of another region. Gives why there may be more than was shown; where nothing is
/// given and nobody went home, there is no more.
pub(crate) fn seek(
    terms: &mut Terms,
    steps: &mut Steps,
    sought: Sought<'_>,
    at: Timestamp,
    show: &mut dyn FnMut(Region, Witness) -> Go,
) -> Option<Why> {
    let Sought {
        cubes,
        clauses,
        manner,
        span,
        domains,
    } = sought;
    let branch = meeting(terms, cubes, span)?;
    let exceptions = cubes.iter().flat_map(|cube| cube.exceptions.iter());
    let exceptions: Vec<Cube> = exceptions.map(|literals| Cube::plain(literals.clone())).collect();
    let clauses = clauses.iter().flat_map(|cubes| cubes.iter());
    let clauses: Vec<&Cube> = exceptions.iter().chain(clauses).collect();
    let mut doubt = None;
    let mut show_leaf = |terms: &mut Terms, branch: &Branch| match realise(branch, manner, domains, terms) {
        Example::None => Go::On,
        Example::Unknown => {
            doubt = Some(Why::Values);
            Go::On
        }
        Example::Is(witness) => show(region(branch, manner, at, terms), *witness),
    };
    let ended = leaves(terms, steps, branch, &clauses, &mut show_leaf);
    if ended.is_err() { Some(Why::Steps) } else { doubt }
}

/// What all of these cubes have, their exceptions aside; `None` where there is nothing.
pub(crate) fn meeting(terms: &mut Terms, cubes: &[&Cube], span: Span) -> Option<Branch> {
    let mut branch = Branch::new(span);
    let mut cubes = cubes.iter();
    cubes
        .all(|cube| branch.add_all(&cube.literals, terms))
        .then_some(branch)
}
