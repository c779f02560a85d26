//! Who is it, verified once and remembered?

pub mod algorithms;
pub mod asserted;
mod bringing;
mod by_certificate;
mod by_token;
pub mod cache;
mod caller;
pub mod gate;
pub mod hints;
#[expect(clippy::module_inception, reason = "the room has the name of what it is about")]
pub mod identity;
pub mod party;
pub mod peer;
pub mod remembered;
mod steady;
