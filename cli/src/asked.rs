//! What is asked about: a request or a connection, as people write it.

use std::{fmt, net::IpAddr, str::FromStr};

use svidgate_policy::{HttpRequest, Request};

/// A request, or a connection of a TCP listener. What is not said is not known, as it would not be to the proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Method and path; none for a connection.
    pub line: Option<Line>,
    /// `:authority`.
    pub host: String,
    /// All headers that there are.
    pub headers: Vec<(String, String)>,
    /// The local port.
    pub port: Option<u16>,
    /// The server name of the TLS handshake.
    pub sni: Option<String>,
    /// The peer's address.
    pub source_ip: Option<IpAddr>,
    /// The name of the route that the proxy chose.
    pub route: Option<String>,
}

/// `GET /orders/1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The method.
    pub method: String,
    /// The path; only a plain CONNECT has none.
    pub path: Option<String>,
}

impl Asked {
    /// What was asked for, with nothing said of all else.
    ///
    /// # Errors
    /// When it is neither `METHOD /path` (or a URL), nor `CONNECT host:port`, nor `connection`.
    pub fn read(text: &str) -> Result<Self, AskedError> {
        if text == "connection" {
            return Ok(Self::default());
        }
        let (method, target) = text.split_once(' ').ok_or(AskedError)?;
        let target = target.trim();
        if method.is_empty() || target.is_empty() || target.contains(' ') {
            return Err(AskedError);
        }
        if method == "CONNECT" && !target.starts_with('/') {
            return Ok(Self {
                line: Some(Line {
                    method: method.to_owned(),
                    path: None,
                }),
                host: target.to_owned(),
                ..Self::default()
            });
        }
        let without_scheme = target
            .strip_prefix("https://")
            .or_else(|| target.strip_prefix("http://"));
        let (host, path) = match without_scheme {
            Some(rest) => match rest.find('/').and_then(|slash| rest.split_at_checked(slash)) {
                Some((host, path)) => (host, path),
                None => (rest, "/"),
            },
            None => ("", target),
        };
        if !path.starts_with('/') {
            return Err(AskedError);
        }
        Ok(Self {
            line: Some(Line {
                method: method.to_owned(),
                path: Some(path.to_owned()),
            }),
            host: host.to_owned(),
            ..Self::default()
        })
    }

    /// Shows it to the evaluator.
    pub fn show<T>(&self, to: impl FnOnce(&Request<'_>) -> T) -> T {
        let headers: &[(String, String)] = &self.headers;
        let http = self.line.as_ref().map(|line| HttpRequest {
            method: line.method.as_bytes(),
            authority: self.host.as_bytes(),
            path: line.path.as_ref().map(String::as_bytes),
            headers: &headers,
        });
        to(&Request {
            http,
            route: self.route.as_ref().map(String::as_bytes),
            port: self.port,
            sni: self.sni.as_ref().map(String::as_bytes),
            source_ip: self.source_ip,
        })
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.line {
            Some(Line { method, path }) => write!(f, "{method} {}", path.as_ref().unwrap_or(&self.host))?,
            None => f.write_str("connection")?,
        }
        if !self.host.is_empty() && self.line.as_ref().is_some_and(|line| line.path.is_some()) {
            write!(f, " host {}", self.host)?;
        }
        for (name, value) in &self.headers {
            write!(f, " {name}={value}")?;
        }
        if let Some(port) = self.port {
            write!(f, " port {port}")?;
        }
        if let Some(sni) = &self.sni {
            write!(f, " sni {sni}")?;
        }
        if let Some(source_ip) = self.source_ip {
            write!(f, " from {source_ip}")?;
        }
        if let Some(route) = &self.route {
            write!(f, " route {route}")?;
        }
        Ok(())
    }
}

/// A header as it is written behind `--header`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header(pub String, pub String);

impl FromStr for Header {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok(Self(name.to_owned(), value.to_owned())),
            Some(_) | None => Err("write NAME=VALUE"),
        }
    }
}

/// A text that asks for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AskedError;

impl fmt::Display for AskedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "not a request: write `METHOD /path`, `METHOD https://host/path`, `CONNECT host:port` or `connection`",
        )
    }
}

impl std::error::Error for AskedError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> (String, Option<String>, String) {
        let asked = Asked::read(text).unwrap();
        let line = asked.line.unwrap();
        (line.method, line.path, asked.host)
    }

    #[test]
    fn requests_are_read_as_people_write_them() {
        let owned = |method: &str, path: &str, host: &str| (method.to_owned(), Some(path.to_owned()), host.to_owned());
        assert_eq!(line("GET /a?b=c"), owned("GET", "/a?b=c", ""));
        assert_eq!(
            line("PUT https://api.example:8443/a/"),
            owned("PUT", "/a/", "api.example:8443")
        );
        assert_eq!(line("GET http://api.example"), owned("GET", "/", "api.example"));
        assert_eq!(
            line("CONNECT a.example:443"),
            ("CONNECT".to_owned(), None, "a.example:443".to_owned())
        );
        assert_eq!(Asked::read("connection"), Ok(Asked::default()));
        for wrong in ["", "GET", "GET ", " /a", "GET a", "GET /a b", "/a", "connect"] {
            assert_eq!(Asked::read(wrong), Err(AskedError), "{wrong}");
        }
    }
}
