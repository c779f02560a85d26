//! In how many ways can a request be read?
//!
//! Some frameworks take the method or the path of a request from a header, or the method from the query, and which of
//! them an upstream does is not known here. Each makes one more reading of the request, and a request is allowed where
//! every reading of it is. The obvious alternative, to refuse or remove these headers, takes them from upstreams that
//! want them.
//!
//! Not seen: a method that a framework takes from the body (`_method` of a form).

use std::fmt;

use crate::{
    effort::Effort,
    name::path::PathReading,
    rules::header::{Headers, fold, folded, reads_as, trimmed},
};

/// Whether what some frameworks take for the method or the path is read so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Overrides {
    /// Each is one more reading of the request.
    #[default]
    Read,
    /// These are headers and a query like others: for an upstream that is known to take nothing from them.
    Ignore,
}

/// How requests are read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reading {
    pub(crate) paths: PathReading,
    pub(crate) overrides: Overrides,
}

/// What some frameworks take for the method.
const METHOD_HEADERS: [&str; 3] = ["x-http-method-override", "x-http-method", "x-method-override"];
/// What some take for it in the query. There are servers that make variables of its names, too, in which a byte that
/// they cannot have is a `_`.
const METHOD_PARAMETER: &str = "_method";
/// What some frameworks take for the path.
const PATH_HEADERS: [&str; 2] = ["x-original-url", "x-rewrite-url"];

/// What the proxy has of the protocol that a request asks for: extended CONNECT (RFC 8441 4), or an upgrade (RFC 9110
/// 7.8).
const PROTOCOL_HEADERS: [&[u8]; 2] = [b":protocol", b"upgrade"];
/// The protocol whose messages belong to the resource that the path names (RFC 6455).
const WEBSOCKET: &[u8] = b"websocket";

/// How many names of headers are compared in a step.
const NAMES_A_STEP: usize = 8;
/// How many bytes of a value are looked at in a step.
const BYTES_A_STEP: usize = 4;

/// The headers, or the name in the query, that a reading takes something from; none where it is that of HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overridden {
    /// The one that the method is from.
    pub method: Option<&'static str>,
    /// The one that the path is from.
    pub path: Option<&'static str>,
}

impl fmt::Display for Overridden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [("method", self.method), ("path", self.path)];
        let mut parts = parts.into_iter().filter_map(|(part, header)| Some((part, header?)));
        f.write_str("read with ")?;
        if let Some((part, header)) = parts.next() {
            write!(f, "its {part} from `{header}`")?;
        }
        if let Some((part, header)) = parts.next() {
            write!(f, " and its {part} from `{header}`")?;
        }
        f.write_str(", as some upstreams do (`overrides: ignore` where yours does not)")
    }
}

/// The header among these that a name is read as.
fn among(headers: &[&'static str], name: &[u8]) -> Option<&'static str> {
    headers.iter().copied().find(|header| reads_as(name, header.as_bytes()))
}

/// Whether some upstream may take the method or the path from a header of this name.
pub fn is_override(name: &[u8]) -> bool {
    among(&METHOD_HEADERS, name).is_some() || among(&PATH_HEADERS, name).is_some()
}

/// Whether the proxy shows under this name which protocol a request asks for.
pub fn is_protocol(name: &[u8]) -> bool {
    PROTOCOL_HEADERS.contains(&name)
}

/// What all headers say of how a request is to be read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Signs {
    /// Whether some upstream may take the method or the path from a header.
    pub(crate) has_overrides: bool,
    asks_for_websocket: bool,
    asks_for_another: bool,
}

impl Signs {
    pub(crate) fn of(headers: &dyn Headers, effort: &Effort) -> Self {
        let mut signs = Self::default();
        if !effort.spend(headers.count().div_ceil(NAMES_A_STEP)) {
            return signs;
        }
        headers.each(&mut |name, value| {
            if is_override(name) {
                signs.has_overrides = true;
            } else if is_protocol(name) {
                let is_websocket = trimmed(value).eq_ignore_ascii_case(WEBSOCKET);
                signs.asks_for_websocket |= is_websocket;
                signs.asks_for_another |= !is_websocket;
            }
        });
        signs
    }

    /// Whether a request opens a tunnel: CONNECT, but for a websocket, and an upgrade to any protocol but that, such as
    /// `connect-udp` (RFC 9298) or `h2c`. What goes on inside is not known: other requests, to any path of any host.
    /// Without a path there is nothing that a websocket could be about: a plain CONNECT that says so is one all the
    /// same.
    pub(crate) fn is_tunnel(self, method: &[u8], has_path: bool) -> bool {
        let is_websocket = self.asks_for_websocket && has_path;
        self.asks_for_another || (method == CONNECT && !is_websocket)
    }
}

/// The method that opens a tunnel (RFC 9110 9.3.6).
pub(crate) const CONNECT: &[u8] = b"CONNECT";

/// Shows every method that a request may be read with beside its own, and the header that it is from.
pub(crate) fn each_method<'h>(headers: &'h dyn Headers, effort: &Effort, show: &mut dyn FnMut(&'h [u8], &'static str)) {
    each_value(headers, &METHOD_HEADERS, effort, &mut |value, header| {
        let methods = value.split(|byte| *byte == b',').map(trimmed);
        methods
            .filter(|method| !method.is_empty())
            .for_each(|method| show(method, header));
    });
}

/// Shows every path that a request may be read with beside its own, and the header that it is from.
pub(crate) fn each_path<'h>(headers: &'h dyn Headers, effort: &Effort, show: &mut dyn FnMut(&'h [u8], &'static str)) {
    each_value(headers, &PATH_HEADERS, effort, &mut |value, header| {
        let value = trimmed(value);
        if !value.is_empty() {
            show(without_origin(value), header);
        }
    });
}

/// Whether the query of a path has a method in it, for some.
pub(crate) fn has_method_in_query(path: &[u8], effort: &Effort) -> bool {
    let mut has_one = false;
    each_method_in_query(path, effort, &mut |_, _| has_one = true);
    has_one
}

/// Shows every method that the query of a path may be read as, and the name that it stands under. One that is escaped
/// is shown as none: no method needs that, and to who decodes it, it may be any.
pub(crate) fn each_method_in_query<'p>(path: &'p [u8], effort: &Effort, show: &mut dyn FnMut(&'p [u8], &'static str)) {
    let Some(begin) = memchr::memchr(b'?', path) else {
        return;
    };
    let query = path.get(begin..).unwrap_or_default();
    if !effort.spend(query.len().div_ceil(BYTES_A_STEP)) {
        return;
    }
    for parameter in query.split(|byte| matches!(byte, b'?' | b'&' | b';')) {
        let mut name_and_value = parameter.splitn(2, |byte| *byte == b'=');
        let name = name_and_value.next().unwrap_or_default();
        let value = name_and_value.next().unwrap_or_default();
        if !value.is_empty() && is_method_parameter(name) {
            let is_escaped = value.iter().any(|byte| matches!(byte, b'%' | b'+'));
            show(if is_escaped { b"" } else { value }, METHOD_PARAMETER);
        }
    }
}

/// Whether a name in a query is read as that of the method: decoded, without blanks before it, up to a NUL.
fn is_method_parameter(name: &[u8]) -> bool {
    let unescaped = percent_encoding::percent_decode(name).map(|byte| if byte == b'+' { b' ' } else { byte });
    let decoded = unescaped
        .skip_while(u8::is_ascii_whitespace)
        .take_while(|byte| *byte != 0);
    decoded.map(fold).eq(folded(METHOD_PARAMETER.as_bytes()))
}

fn each_value<'h>(
    headers: &'h dyn Headers,
    names: &[&'static str],
    effort: &Effort,
    show: &mut dyn FnMut(&'h [u8], &'static str),
) {
    if !effort.spend(headers.count().div_ceil(NAMES_A_STEP)) {
        return;
    }
    headers.each(&mut |name, value| {
        if let Some(header) = among(names, name)
            && effort.spend(value.len().div_ceil(BYTES_A_STEP).saturating_add(1))
        {
            show(value, header);
        }
    });
}

/// The path of a URL. What is none is left as it is: no path begins so.
fn without_origin(url: &[u8]) -> &[u8] {
    let behind_scheme = ["http://", "https://"].iter().find_map(|scheme| {
        let (begin, rest) = url.split_at_checked(scheme.len())?;
        begin.eq_ignore_ascii_case(scheme.as_bytes()).then_some(rest)
    });
    let Some(rest) = behind_scheme else { return url };
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#' | b'\\'));
    match end.and_then(|end| rest.get(end..)) {
        Some(path) if !path.starts_with(b"?") => path,
        Some(_) | None => b"/",
    }
}

#[cfg(test)]
mod tests {
    use super::{Overridden, without_origin};

    #[cfg(all(target_family = "wasm", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn url_is_read_as_its_path() {
        for (url, path) in [
            ("/a?b", "/a?b"),
            ("https://x.example/a?b", "/a?b"),
            ("HTTP://x.example", "/"),
            ("http://x.example?a=/b", "/"),
            ("http://x.example#/b", "#/b"),
            ("http://x.example\\b", "\\b"),
            ("ftp://x.example/a", "ftp://x.example/a"),
            ("a/b", "a/b"),
        ] {
            assert_eq!(without_origin(url.as_bytes()), path.as_bytes(), "{url}");
        }
    }

    #[test]
    fn reading_says_where_it_is_from() {
        let both = Overridden {
            method: Some("x-http-method"),
            path: Some("x-original-url"),
        };
        let expected = "read with its method from `x-http-method` and its path from `x-original-url`, as some \
                        upstreams do (`overrides: ignore` where yours does not)";
        assert_eq!(both.to_string(), expected);
    }
}
