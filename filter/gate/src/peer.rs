//! Who is at the other end, as far as the proxy shows it?

pub mod presented;
pub mod surroundings;
pub mod xfcc;
