//! What do the headers of a request say of who acts? What of it is read depends on the document, and on who has sent it.

use crate::header_map::HeaderMap;

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
#[derive(Clone, Copy, Debug, Default)]
pub struct Said<'h> {
    /// `x-forwarded-client-cert`.
    pub xfcc: Lines<'h>,
    /// `client-cert`.
    pub client_cert: Lines<'h>,
    /// `client-cert-chain`, which is a list, and so may have several lines.
    pub client_cert_chain: AllLines<'h>,
    /// `authorization`.
    pub authorization: Lines<'h>,
}

/// All lines of a header.
#[derive(Clone, Copy, Debug, Default)]
pub struct AllLines<'h>(Option<(&'h HeaderMap, &'static str)>);

impl<'h> AllLines<'h> {
    /// Those under this name, where there are any.
    pub fn of(headers: &'h HeaderMap, name: &'static str) -> Self {
        Self(Some((headers, name)))
    }

    /// Each, in order.
    pub fn each(self) -> impl Iterator<Item = &'h [u8]> {
        self.0.into_iter().flat_map(|(headers, name)| {
            let pairs = headers.pairs().filter(move |(known, _)| *known == name.as_bytes());
            pairs.map(|(_, value)| value)
        })
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0.is_none()
    }
}
