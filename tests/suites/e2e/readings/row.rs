//! A request, and what should come of it.

use crate::raw::Version;

/// What comes of a row under the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Allowed, and at the upstream.
    Allowed,
    /// Refused by us for this reason, and not at the upstream.
    Refused(&'static str),
    /// Refused by Envoy before any filter, with this status; 0 where it only resets the stream.
    Envoy(u16),
}

/// What an upstream has of a field: `:method`, `:path`, `:authority`, or all values of a header. `from` and `to` are
/// the versions of HTTP of the client and of the upstream; `None` is either.
pub(super) struct Seen {
    pub(super) from: Option<Version>,
    pub(super) to: Option<Version>,
    pub(super) name: &'static str,
    pub(super) values: Vec<&'static [u8]>,
}

/// A request, and what comes of it.
pub(super) struct Row {
    pub(super) what: &'static str,
    pub(super) method: &'static [u8],
    pub(super) path: &'static [u8],
    pub(super) host: &'static [u8],
    pub(super) headers: Vec<(&'static [u8], &'static [u8])>,
    pub(super) expected: [Outcome; 2],
    pub(super) seen: Vec<Seen>,
}

/// A request whose outcome is the same in both versions.
pub(super) fn row(what: &'static str, path: &'static str, expected: Outcome) -> Row {
    each(what, path, [expected; 2])
}

/// One whose outcome depends on the version of the client.
pub(super) fn each(what: &'static str, path: &'static str, expected: [Outcome; 2]) -> Row {
    Row {
        what,
        method: b"GET",
        path: path.as_bytes(),
        host: b"localhost",
        headers: Vec::new(),
        expected,
        seen: Vec::new(),
    }
}

impl Row {
    pub(super) fn method(self, method: &'static str) -> Self {
        let method = method.as_bytes();
        Self { method, ..self }
    }

    pub(super) fn host(self, host: &'static str) -> Self {
        let host = host.as_bytes();
        Self { host, ..self }
    }

    pub(super) fn header(mut self, name: &'static str, value: &'static (impl AsRef<[u8]> + ?Sized)) -> Self {
        self.headers.push((name.as_bytes(), value.as_ref()));
        self
    }

    /// As a gRPC call.
    pub(super) fn grpc(self) -> Self {
        self.method("POST")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
    }

    /// Every upstream has this, whoever asked.
    pub(super) fn seen(self, name: &'static str, values: &[&'static str]) -> Self {
        self.seen_by(None, None, name, values)
    }

    pub(super) fn seen_by(
        mut self,
        from: Option<Version>,
        to: Option<Version>,
        name: &'static str,
        values: &[&'static str],
    ) -> Self {
        let values = values.iter().map(|value| value.as_bytes()).collect();
        self.seen.push(Seen { from, to, name, values });
        self
    }

    /// A value as it came over HTTP/2, and as everybody else has it: without outer white space.
    pub(super) fn trimmed(self, name: &'static str, raw: &[&'static str], trimmed: &[&'static str]) -> Self {
        self.seen_by(Some(Version::One), None, name, trimmed)
            .seen_by(Some(Version::Two), Some(Version::One), name, trimmed)
            .seen_by(Some(Version::Two), Some(Version::Two), name, raw)
    }

    pub(super) fn is_grpc(&self) -> bool {
        self.headers.iter().any(|(name, _)| *name == b"content-type")
    }
}
