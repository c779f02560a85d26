//! Who is at the other end, as far as the proxy shows it?

pub mod assertion;
pub mod client_cert;
pub mod presented;
pub mod said;
pub mod surroundings;
pub mod xfcc;
