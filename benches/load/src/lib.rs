//! The proxy under load: what svidgate costs Envoy, beside no filter, a filter that does nothing and Envoy's own.
//!
//! | module | what it gives |
//! |---|---|
//! | [`process`] | CPU time and memory of an Envoy, by the kernel's own count; pinning |
//! | [`subject`] | the Envoys that are held beside each other, and the documents they have |
//! | [`drive`] | the load generator |
//! | [`fill`] | peers and updates that would fill the VM |
//! | [`flood`] | load that need not be allowed |
//! | [`hostile`] | peers and documents that are made to be expensive |
//! | [`open`] | streams that are held open, and how each ends |
//! | [`rounds`] | figures round by round, their ratios, and whether they reach what they are to |
//! | [`record`] | tables, and where and with what they were measured |
//! | [`turns`] | peers whose right comes and goes under their open streams |
//!
//! The generator is one thread of one process on a core of its own; every Envoy has one worker on another. CPU time of
//! the Envoy process is what counts: it does not depend on how fast the generator is, or on who else has the machine.

pub mod drive;
pub mod fill;
pub mod flood;
pub mod hostile;
pub mod open;
pub mod process;
pub mod record;
pub mod rounds;
pub mod subject;
pub mod turns;
