//! What happens to a connection, and to a request?

pub mod action;
pub mod behind;
pub mod capability;
pub mod connection;
pub mod head;
pub mod hold;
mod judgement;
#[expect(clippy::module_inception, reason = "the room has the name of what it is about")]
pub mod plugin;
pub mod request;
