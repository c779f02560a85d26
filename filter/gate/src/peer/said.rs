//! What do the headers of a request say of who acts? What of it is read depends on the document, and on who has sent it.

/// How many lines of a header a request has. A proxy makes one of several before filters run, of most; where there are more
/// all the same, none is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lines<'h> {
    /// None.
    #[default]
    Absent,
    /// One.
    One(&'h [u8]),
    /// More.
    Several,
}

/// The headers that may say it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Said<'h> {
    /// `x-forwarded-client-cert`.
    pub xfcc: Lines<'h>,
    /// `authorization`.
    pub authorization: Lines<'h>,
}
