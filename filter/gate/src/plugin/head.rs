//! The head of a request, found in one pass over the headers as the proxy hands them over.

use std::ops::Range;

use svidgate_policy::{Assertion, Headers, HttpRequest, ID_HEADER, VIA_HEADER, is_override, is_protocol, reads_as};

use crate::{
    header_map::{HeaderMap, HeaderNames, is_looked_at},
    peer::{
        client_cert::{CLIENT_CERT_CHAIN_HEADER, CLIENT_CERT_HEADER},
        said::{AllLines, Lines, Said},
    },
};

/// The proxy's own header with the peer's certificates.
pub const XFCC_HEADER: &str = "x-forwarded-client-cert";

/// Where a client's tokens stand, as gRPC metadata too.
pub const AUTHORIZATION_HEADER: &str = "authorization";

/// The headers of a request, and where those stand that every decision looks at.
#[derive(Debug)]
pub struct Head {
    headers: HeaderMap,
    method: Option<Range<usize>>,
    authority: Option<Range<usize>>,
    path: Option<Range<usize>>,
    xfcc: Standing,
    authorization: Standing,
    client_cert: Standing,
    has_client_cert_chain: bool,
    has_forged: bool,
}

/// Where the one line of a header stands; of several, none is read.
#[derive(Debug)]
enum Standing {
    Absent,
    One(Range<usize>),
    Several,
}

impl Standing {
    fn with(self, value: Range<usize>) -> Self {
        match self {
            Self::Absent => Self::One(value),
            Self::One(_) | Self::Several => Self::Several,
        }
    }

    fn is_absent(&self) -> bool {
        match self {
            Self::Absent => true,
            Self::One(_) | Self::Several => false,
        }
    }
}

impl Head {
    /// Takes over the headers of a request.
    pub fn new(headers: HeaderMap) -> Self {
        let (mut method, mut authority, mut path) = (None, None, None);
        let (mut xfcc, mut authorization) = (Standing::Absent, Standing::Absent);
        let (mut client_cert, mut has_client_cert_chain) = (Standing::Absent, false);
        let mut has_forged = false;
        for (name, value) in headers.places() {
            match headers.at(name) {
                b":method" => first(&mut method, value),
                b":authority" => first(&mut authority, value),
                b":path" => first(&mut path, value),
                name if name == XFCC_HEADER.as_bytes() => xfcc = xfcc.with(value),
                name if name == AUTHORIZATION_HEADER.as_bytes() => authorization = authorization.with(value),
                name if name == CLIENT_CERT_HEADER.as_bytes() => client_cert = client_cert.with(value),
                name if name == CLIENT_CERT_CHAIN_HEADER.as_bytes() => has_client_cert_chain = true,
                name => has_forged |= is_forged(name),
            }
        }
        Self {
            headers,
            method,
            authority,
            path,
            xfcc,
            authorization,
            client_cert,
            has_client_cert_chain,
            has_forged,
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

    /// What it says of who acts.
    pub fn said(&self) -> Said<'_> {
        Said {
            xfcc: self.lines(&self.xfcc),
            client_cert: self.lines(&self.client_cert),
            client_cert_chain: if self.has_client_cert_chain {
                AllLines::of(&self.headers, CLIENT_CERT_CHAIN_HEADER)
            } else {
                AllLines::default()
            },
            authorization: self.lines(&self.authorization),
        }
    }

    fn lines(&self, standing: &Standing) -> Lines<'_> {
        match standing {
            Standing::Absent => Lines::Absent,
            Standing::One(value) => Lines::One(self.headers.at(value.clone())),
            Standing::Several => Lines::Several,
        }
    }

    /// Whether there is any XFCC header.
    pub fn has_xfcc(&self) -> bool {
        !self.xfcc.is_absent()
    }

    /// The names of all headers that are a client's whatever they say, and that an upstream may read as ours or the
    /// proxy's: [`ID_HEADER`] and [`VIA_HEADER`] in any spelling, and [`XFCC_HEADER`] in any but its own, which is the proxy's to write or
    /// to remove.
    pub fn forged(&self) -> impl Iterator<Item = &[u8]> {
        let names = || self.headers.pairs().map(|(name, _)| name);
        self.has_forged
            .then(|| names().filter(|name| is_forged(name)))
            .into_iter()
            .flatten()
    }

    /// The names of all headers that may be read as those of RFC 9440, in any spelling.
    pub fn client_certs(&self) -> impl Iterator<Item = &[u8]> {
        let names = self.headers.pairs().map(|(name, _)| name);
        names.filter(|name| is_client_cert(name))
    }

    fn at(&self, place: Option<&Range<usize>>) -> Option<&[u8]> {
        place.map(|place| self.headers.at(place.clone()))
    }
}

/// What is kept of a head while its stream is open: all that the documents which judged it can ask again. What a later
/// one asks beside is not known any more, and is never taken for absent.
#[derive(Debug)]
pub struct KeptHead {
    head: Head,
    known: [Option<HeaderNames>; 2],
}

impl KeptHead {
    /// Keeps what documents with these names look at, and the certificates in it where they are asked for.
    pub fn new(head: &Head, mut names: impl Iterator<Item = HeaderNames>, with_certificates: bool) -> Self {
        let known = [names.next(), names.next()];
        let is_asked_for = |name: &[u8]| {
            let is_pseudo = matches!(name, b":method" | b":authority" | b":path");
            let is_certificate = [XFCC_HEADER, CLIENT_CERT_HEADER, CLIENT_CERT_CHAIN_HEADER]
                .iter()
                .any(|header| name == header.as_bytes());
            is_pseudo
                || (with_certificates && is_certificate)
                || is_override(name)
                || is_protocol(name)
                || is_among(&known, name)
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

    /// What it says of who acts, as far as that was kept.
    pub fn said(&self) -> Said<'_> {
        self.head.said()
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

    fn each<'p>(&'p self, show: &mut dyn FnMut(&'p [u8], &'p [u8])) {
        self.head.headers.each(show);
    }

    fn is_known(&self, name: &str) -> bool {
        is_among(&self.known, name.as_bytes())
    }
}

fn is_among(known: &[Option<HeaderNames>], name: &[u8]) -> bool {
    known.iter().flatten().any(|names| is_looked_at(names, name))
}

/// The names of trailers that none may pass under. An upstream may take trailers for headers (RFC 9110 6.5.1), and when
/// they come all that looks at headers has been decided: so none under a name that is ours, the proxy's, one that the
/// method or the path is taken from, or one that rules look at; and where a token or a certificate was read, none under
/// the name of that.
pub fn trailers_to_remove<'t>(
    trailers: &'t HeaderMap,
    names: &[HeaderNames],
    read: impl Fn(Assertion) -> bool,
) -> impl Iterator<Item = &'t [u8]> {
    let (with_tokens, with_client_certs) = (read(Assertion::JwtSvid), read(Assertion::ClientCert));
    let is_decided_on = move |name: &[u8]| {
        let is_token = with_tokens && name == AUTHORIZATION_HEADER.as_bytes();
        let is_certificate = name == XFCC_HEADER.as_bytes() || (with_client_certs && is_client_cert(name));
        let is_ours = is_forged(name) || is_certificate || is_token;
        is_ours || is_override(name) || names.iter().any(|names| is_looked_at(names, name))
    };
    trailers
        .pairs()
        .map(|(name, _)| name)
        .filter(move |name| is_decided_on(name))
}

fn first(known: &mut Option<Range<usize>>, value: Range<usize>) {
    known.get_or_insert(value);
}

/// Whether a client's header may be read as ours, or as the proxy's although it is not.
fn is_forged(name: &[u8]) -> bool {
    let is_xfcc = reads_as(name, XFCC_HEADER.as_bytes()) && name != XFCC_HEADER.as_bytes();
    is_xfcc
        || [ID_HEADER, VIA_HEADER]
            .iter()
            .any(|ours| reads_as(name, ours.as_bytes()))
}

/// Whether it may be read as one of the headers of RFC 9440.
fn is_client_cert(name: &[u8]) -> bool {
    [CLIENT_CERT_HEADER, CLIENT_CERT_CHAIN_HEADER]
        .iter()
        .any(|header| reads_as(name, header.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::{Assertion, Head, HeaderNames, KeptHead, Lines};
    use crate::header_map::HeaderMap;

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
        assert_eq!((none.said().xfcc, none.has_xfcc()), (Lines::Absent, false));
        assert_eq!((one.said().xfcc, one.has_xfcc()), (Lines::One(b"Hash=00"), true));
        assert_eq!((two.said().xfcc, two.has_xfcc()), (Lines::Several, true));
    }

    #[test]
    fn of_a_head_is_kept_what_was_asked_for_and_what_else_it_had_is_unknown() {
        let large = vec![b'x'; 50_000];
        let head = Head::new(HeaderMap::from_pairs(&[
            (b":method", b"GET"),
            (b":path", b"/a"),
            (b":authority", b"shop.example"),
            (b"x-tenant", b"7"),
            (b"x_tenant", b"8"),
            (b"x-original-url", b"/b"),
            (b"cookie", &large),
        ]));
        let names: HeaderNames = [&b"accept"[..], b"x-tenant"].map(Box::from).into();
        let kept = KeptHead::new(&head, [names].into_iter(), false);
        assert!(kept.bytes() < 400, "{}", kept.bytes());
        let request = kept.request();
        assert_eq!((request.method, request.path), (&b"GET"[..], Some(&b"/a"[..])));
        let mut values = Vec::new();
        request
            .headers
            .each(&mut |name, value| values.extend((!name.starts_with(b":")).then_some(value)));
        assert_eq!(values, [&b"7"[..], b"8", b"/b"]);
        assert!(request.headers.is_known("accept"), "it was not there");
        assert!(!request.headers.is_known("cookie"), "it was, and nobody knows");
        assert!(!request.headers.is_known("x-other"));
    }

    fn forged<'p>(pairs: &[(&'p [u8], &'p [u8])]) -> Vec<Vec<u8>> {
        let head = Head::new(HeaderMap::from_pairs(pairs));
        head.forged().map(<[u8]>::to_vec).collect()
    }

    #[test]
    fn every_spelling_of_the_id_header_is_found() {
        let names = forged(&[
            (b"x_svidgate_id", b"1"),
            (b"x-svidgate-idx", b"2"),
            (b"X-Svidgate_ID", b"3"),
        ]);
        assert_eq!(names, [&b"x_svidgate_id"[..], b"X-Svidgate_ID"]);
    }

    #[test]
    fn every_spelling_of_the_xfcc_header_is_found_but_that_of_the_proxy() {
        let names = forged(&[
            (b"x-forwarded-client-cert", b"1"),
            (b"x_forwarded_client_cert", b"2"),
            (b"x-forwarded-client.cert", b"3"),
            (b"x-forwarded-client-certs", b"4"),
        ]);
        assert_eq!(names, [&b"x_forwarded_client_cert"[..], b"x-forwarded-client.cert"]);
    }

    #[test]
    fn trailers_under_names_that_were_looked_at_are_found() {
        let names: [HeaderNames; 2] =
            [Box::from(&b"x-tenant"[..]), Box::from(&b"x-debug"[..])].map(|name| [name].into());
        let trailers = HeaderMap::from_pairs(&[
            (b"x-checksum", b"1"),
            (b"x_tenant", b"2"),
            (b"x-debug", b"3"),
            (b"x-forwarded-client-cert", b"4"),
            (b"x-rewrite-url", b"5"),
            (b"x.svidgate.id", b"6"),
        ]);
        let found: Vec<&[u8]> = super::trailers_to_remove(&trailers, &names, |_| false).collect();
        let expected: [&[u8]; 5] = [
            b"x_tenant",
            b"x-debug",
            b"x-forwarded-client-cert",
            b"x-rewrite-url",
            b"x.svidgate.id",
        ];
        assert_eq!(found, expected);
        let authorization = HeaderMap::from_pairs(&[(b"authorization", b"1")]);
        let certificates = HeaderMap::from_pairs(&[
            (b"client_cert", b"1"),
            (b"Client-Cert-Chain", b"2"),
            (b"client-certs", b"3"),
        ]);
        let count = |trailers: &HeaderMap, read: Option<Assertion>| {
            super::trailers_to_remove(trailers, &names, |assertion| Some(assertion) == read).count()
        };
        let each = [None, Some(Assertion::JwtSvid), Some(Assertion::ClientCert)];
        assert_eq!(each.map(|read| count(&authorization, read)), [0, 1, 0]);
        assert_eq!(each.map(|read| count(&certificates, read)), [0, 0, 2]);
    }

    #[test]
    fn every_byte_that_is_no_letter_or_digit_reads_as_a_dash() {
        for byte in 0..=u8::MAX {
            let name = [b"x", &[byte][..], b"svidgate-id"].concat();
            let found = forged(&[(&name, b"1")]);
            if byte.is_ascii_alphanumeric() {
                assert_eq!(found, [b""; 0], "{byte}");
            } else {
                assert_eq!(found, [&name[..]], "{byte}");
            }
        }
    }
}
