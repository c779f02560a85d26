//! The head of a request, found in one pass over the headers as the proxy hands them over.

use std::ops::Range;

use svidgate_policy::HttpRequest;

use crate::host::HeaderMap;

/// The header that tells the upstream who asks, where the document wants it; a client's own is always removed.
pub const ID_HEADER: &str = "x-svidgate-id";
/// The proxy's own header with the peer's certificates.
pub const XFCC_HEADER: &str = "x-forwarded-client-cert";

/// The headers of a request, and where those stand that every decision looks at.
#[derive(Debug)]
pub struct Head {
    headers: HeaderMap,
    method: Option<Range<usize>>,
    authority: Option<Range<usize>>,
    path: Option<Range<usize>>,
    xfcc: Xfcc,
    has_id_header: bool,
}

/// A listener that writes the XFCC header writes one; of several, none is read.
#[derive(Debug)]
enum Xfcc {
    Absent,
    One(Range<usize>),
    Several,
}

impl Head {
    /// Takes over the headers of a request.
    pub fn new(headers: HeaderMap) -> Self {
        let (mut method, mut authority, mut path) = (None, None, None);
        let mut xfcc = Xfcc::Absent;
        let mut has_id_header = false;
        for (name, value) in headers.places() {
            match headers.at(name) {
                b":method" => first(&mut method, value),
                b":authority" => first(&mut authority, value),
                b":path" => first(&mut path, value),
                name if name == XFCC_HEADER.as_bytes() => {
                    xfcc = match xfcc {
                        Xfcc::Absent => Xfcc::One(value),
                        Xfcc::One(_) | Xfcc::Several => Xfcc::Several,
                    }
                }
                name => has_id_header |= reads_as_id_header(name),
            }
        }
        Self {
            headers,
            method,
            authority,
            path,
            xfcc,
            has_id_header,
        }
    }

    /// What rules look at.
    pub fn request(&self) -> HttpRequest<'_> {
        HttpRequest {
            method: self.at(self.method.as_ref()).unwrap_or_default(),
            authority: self.at(self.authority.as_ref()).unwrap_or_default(),
            path: self.at(self.path.as_ref()),
            headers: &self.headers,
        }
    }

    /// The value of the one XFCC header.
    pub fn xfcc(&self) -> Option<&[u8]> {
        match &self.xfcc {
            Xfcc::One(value) => Some(self.headers.at(value.clone())),
            Xfcc::Absent | Xfcc::Several => None,
        }
    }

    /// Whether there is any XFCC header.
    pub fn has_xfcc(&self) -> bool {
        match self.xfcc {
            Xfcc::Absent => false,
            Xfcc::One(_) | Xfcc::Several => true,
        }
    }

    /// The names of all headers that an upstream may read as [`ID_HEADER`].
    pub fn id_headers(&self) -> impl Iterator<Item = &[u8]> {
        let names = self.has_id_header.then(|| self.headers.pairs().map(|(name, _)| name));
        names.into_iter().flatten().filter(|name| reads_as_id_header(name))
    }

    fn at(&self, place: Option<&Range<usize>>) -> Option<&[u8]> {
        place.map(|place| self.headers.at(place.clone()))
    }
}

fn first(known: &mut Option<Range<usize>>, value: Range<usize>) {
    known.get_or_insert(value);
}

/// Many upstreams hand headers on as variables, in which `_` and `-` are one (RFC 3875 4.1.18), so a client's
/// `x_svidgate_id` would be read as ours.
fn reads_as_id_header(name: &[u8]) -> bool {
    let folded = |byte: &u8| if *byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    name.len() == ID_HEADER.len() && name.iter().map(folded).eq(ID_HEADER.bytes())
}

#[cfg(test)]
mod tests {
    use super::Head;
    use crate::host::HeaderMap;

    #[test]
    fn first_of_each_pseudo_header_counts() {
        let head = Head::new(HeaderMap::from_pairs(&[
            (b":path", b"/a"),
            (b":method", b"GET"),
            (b":path", b"/b"),
        ]));
        assert_eq!(head.request().path, Some(&b"/a"[..]));
        assert_eq!(head.request().method, b"GET");
        assert_eq!(head.request().authority, b"");
    }

    #[test]
    fn of_several_xfcc_headers_none_is_read_and_all_are_known_of() {
        let xfcc: (&[u8], &[u8]) = (b"x-forwarded-client-cert", b"Hash=00");
        let head = |pairs: &[(&[u8], &[u8])]| Head::new(HeaderMap::from_pairs(pairs));
        let (none, one, two) = (head(&[]), head(&[xfcc]), head(&[xfcc, xfcc]));
        assert_eq!((none.xfcc(), none.has_xfcc()), (None, false));
        assert_eq!((one.xfcc(), one.has_xfcc()), (Some(&b"Hash=00"[..]), true));
        assert_eq!((two.xfcc(), two.has_xfcc()), (None, true));
    }

    #[test]
    fn every_spelling_of_the_id_header_is_found() {
        let head = Head::new(HeaderMap::from_pairs(&[
            (b"x_svidgate_id", b"1"),
            (b"x-svidgate-idx", b"2"),
            (b"X-Svidgate_ID", b"3"),
        ]));
        let names: Vec<_> = head.id_headers().collect();
        assert_eq!(names, [&b"x_svidgate_id"[..], b"X-Svidgate_ID"]);
    }
}
