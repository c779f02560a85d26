//! The head of a request, found in one pass over the headers as the proxy hands them over.

use std::{ops::Range, rc::Rc};

use svidgate_policy::{Headers, HttpRequest};

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
        self.has_id_header
            .then(|| id_headers(&self.headers))
            .into_iter()
            .flatten()
    }

    fn at(&self, place: Option<&Range<usize>>) -> Option<&[u8]> {
        place.map(|place| self.headers.at(place.clone()))
    }
}

/// The names of headers that a document looks at: lower case, in order.
pub type HeaderNames = Rc<[Box<str>]>;

/// What is kept of a head while its stream is open: all that the documents which judged it can ask again. What a later one
/// asks beside is not known any more, and is never taken for absent.
#[derive(Debug)]
pub struct KeptHead {
    head: Head,
    known: [Option<HeaderNames>; 2],
}

impl KeptHead {
    /// Keeps what documents with these names look at, and the XFCC header where it is asked for.
    pub fn new(head: &Head, mut names: impl Iterator<Item = HeaderNames>, with_xfcc: bool) -> Self {
        let known = [names.next(), names.next()];
        let is_asked_for = |name: &[u8]| {
            let is_pseudo = matches!(name, b":method" | b":authority" | b":path");
            is_pseudo || (with_xfcc && name == XFCC_HEADER.as_bytes()) || is_among(&known, name)
        };
        let kept: Vec<(&[u8], &[u8])> = head.headers.pairs().filter(|(name, _)| is_asked_for(name)).collect();
        Self {
            head: Head::new(HeaderMap::from_pairs(&kept)),
            known,
        }
    }

    /// How many bytes it takes.
    pub fn bytes(&self) -> usize {
        self.head.headers.as_bytes().len().saturating_add(size_of::<Self>())
    }

    /// The value of the one XFCC header, where it was kept.
    pub fn xfcc(&self) -> Option<&[u8]> {
        self.head.xfcc()
    }

    /// What rules look at.
    pub fn request(&self) -> HttpRequest<'_> {
        HttpRequest {
            headers: self,
            ..self.head.request()
        }
    }
}

impl Headers for KeptHead {
    fn count(&self) -> usize {
        self.head.headers.count()
    }

    fn each_value<'h>(&'h self, name: &str, show: &mut dyn FnMut(&'h [u8])) {
        self.head.headers.each_value(name, show);
    }

    fn is_known(&self, name: &str) -> bool {
        is_among(&self.known, name.as_bytes())
    }
}

fn is_among(known: &[Option<HeaderNames>], name: &[u8]) -> bool {
    let has = |names: &HeaderNames| names.binary_search_by(|known| known.as_bytes().cmp(name)).is_ok();
    known.iter().flatten().any(has)
}

/// The names in a map, of headers or of trailers, that an upstream may read as [`ID_HEADER`].
pub fn id_headers(map: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    map.pairs()
        .map(|(name, _)| name)
        .filter(|name| reads_as_id_header(name))
}

fn first(known: &mut Option<Range<usize>>, value: Range<usize>) {
    known.get_or_insert(value);
}

/// Many upstreams hand headers on as variables, in which `_` and `-` are one (RFC 3875 4.1.18), and some make one of every
/// byte that a variable's name cannot have, so a client's `x_svidgate_id` or `x.svidgate.id` would be read as ours.
fn reads_as_id_header(name: &[u8]) -> bool {
    let folded = |byte: &u8| match byte.to_ascii_lowercase() {
        letter_or_digit @ (b'a'..=b'z' | b'0'..=b'9') => letter_or_digit,
        _ => b'-',
    };
    name.len() == ID_HEADER.len() && name.iter().map(folded).eq(ID_HEADER.bytes())
}

#[cfg(test)]
mod tests {
    use super::{Head, HeaderNames, KeptHead};
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
    fn of_a_head_is_kept_what_was_asked_for_and_what_else_it_had_is_unknown() {
        let large = vec![b'x'; 50_000];
        let head = Head::new(HeaderMap::from_pairs(&[
            (b":method", b"GET"),
            (b":path", b"/a"),
            (b":authority", b"shop.example"),
            (b"x-tenant", b"7"),
            (b"cookie", &large),
        ]));
        let names: HeaderNames = ["accept", "x-tenant"].map(Box::from).into();
        let kept = KeptHead::new(&head, [names].into_iter(), false);
        assert!(kept.bytes() < 400, "{}", kept.bytes());
        let request = kept.request();
        assert_eq!((request.method, request.path), (&b"GET"[..], Some(&b"/a"[..])));
        let mut values = Vec::new();
        request.headers.each_value("x-tenant", &mut |value| values.push(value));
        assert_eq!(values, [b"7"]);
        assert!(request.headers.is_known("accept"), "it was not there");
        assert!(!request.headers.is_known("cookie"), "it was, and nobody knows");
        assert!(!request.headers.is_known("x-other"));
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

    #[test]
    fn every_byte_that_is_no_letter_or_digit_reads_as_a_dash() {
        let spelled = |byte: u8| [b"x", &[byte][..], b"svidgate-id"].concat();
        for byte in 0..=u8::MAX {
            let name = spelled(byte);
            let head = Head::new(HeaderMap::from_pairs(&[(&name, b"1")]));
            let found: Vec<_> = head.id_headers().collect();
            if byte.is_ascii_alphanumeric() {
                assert_eq!(found, [b""; 0], "{byte}");
            } else {
                assert_eq!(found, [&name[..]], "{byte}");
            }
        }
    }
}
