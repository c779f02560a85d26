//! What do all plugins of one worker share, and what happens on its tick?

mod announcement;
pub mod cut;
pub mod endings;
pub mod grounds;
pub mod lineage;
pub mod succession;
pub mod sweep;
pub mod unproven;
#[expect(clippy::module_inception, reason = "the room has the name of what it is about")]
pub mod worker;
