//! What does the admin interface of a running Envoy say?
//!
//! HTTP/1.1 without TLS to an address of loopback, and nothing else: whatever stands elsewhere, another host would read it on the
//! way. Written here because three GET requests with bounds are less than a library of HTTP.

use std::{
    io::{self, BufRead, BufReader, Read, Write as _},
    net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs as _},
    time::{Duration, Instant},
};

/// How long all of it may take. Our decision: a dump of 100 MB takes a loaded Envoy about ten seconds.
const WITHIN: Duration = Duration::from_secs(30);
/// How long one step of it may take.
const STEP: Duration = Duration::from_secs(10);
/// Largest answer, in bytes: that of a file.
const MAX_BODY: usize = 128 * 1024 * 1024;
/// Largest head, and largest line of one, in bytes.
const MAX_HEAD: usize = 64 * 1024;

/// An admin interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    address: SocketAddr,
}

/// What such an address looks like.
const EXPECTED: &str = "`http://127.0.0.1:9901`, an address of loopback with its port";

impl Admin {
    /// Reads the address of an admin interface: `http://127.0.0.1:9901`.
    ///
    /// # Errors
    /// With what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("`{text}` {why} (right: {EXPECTED})");
        let rest = text
            .strip_prefix("http://")
            .ok_or_else(|| wrong("is no address of an admin interface"))?;
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#', '@']) {
            return Err(wrong("has more than host and port"));
        }
        let (host, port) = authority.rsplit_once(':').ok_or_else(|| wrong("has no port"))?;
        let port: u16 = port.parse().map_err(|_| wrong("has no port"))?;
        let host = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        if host == "localhost" {
            // It is asked for by name, and may still be made to mean another host.
            let found = (host, port)
                .to_socket_addrs()
                .map_err(|error| wrong(&format!("is not found: {error}")))?;
            let address = found.into_iter().find(|address| address.ip().is_loopback());
            return address
                .map(|address| Self { address })
                .ok_or_else(|| wrong("is not on this host"));
        }
        let ip: IpAddr = host.parse().map_err(|_| wrong("is not on this host"))?;
        if !ip.is_loopback() {
            return Err(wrong("is not on this host"));
        }
        Ok(Self {
            address: SocketAddr::new(ip, port),
        })
    }

    /// What a path answers.
    ///
    /// # Errors
    /// With why there is no answer, or which.
    pub fn get(&self, path: &str) -> Result<String, String> {
        self.ask(path)
            .map_err(|error| format!("http://{}{path}: {error}", self.address))
    }

    fn ask(&self, path: &str) -> io::Result<String> {
        let deadline = Instant::now().checked_add(WITHIN);
        let mut stream = TcpStream::connect_timeout(&self.address, STEP)?;
        stream.set_read_timeout(Some(STEP))?;
        stream.set_write_timeout(Some(STEP))?;
        // At once: a server may answer before it has read all.
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n",
            self.address
        );
        stream.write_all(request.as_bytes())?;
        let mut answer = BufReader::new(Bounded { stream, deadline });
        let head = Head::read(&mut answer)?;
        if head.status != 200 {
            return Err(io::Error::other(format!("it answers {}", head.status)));
        }
        let body = head.body(&mut answer)?;
        String::from_utf8(body).map_err(|_| io::Error::other("its answer is not UTF-8"))
    }
}

/// A connection that ends at a time.
struct Bounded {
    stream: TcpStream,
    deadline: Option<Instant>,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.deadline.is_none_or(|deadline| Instant::now() >= deadline) {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("its answer takes more than {} s", WITHIN.as_secs()),
            ));
        }
        self.stream.read(buffer)
    }
}

struct Head {
    status: u16,
    length: Option<usize>,
    chunked: bool,
}

fn odd(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

impl Head {
    fn read(answer: &mut impl BufRead) -> io::Result<Self> {
        let first = line(answer)?;
        let mut words = first.split(' ');
        let status = match (words.next(), words.next().map(str::parse)) {
            (Some("HTTP/1.1"), Some(Ok(status))) => status,
            _ => return Err(odd("it does not speak HTTP/1.1")),
        };
        let mut head = Self {
            status,
            length: None,
            chunked: false,
        };
        let mut bytes = first.len();
        loop {
            let line = line(answer)?;
            if line.is_empty() {
                return Ok(head);
            }
            bytes = bytes.saturating_add(line.len());
            if bytes > MAX_HEAD {
                return Err(odd("the head of its answer is too long"));
            }
            let (name, value) = line
                .split_once(':')
                .ok_or_else(|| odd("the head of its answer cannot be read"))?;
            if name.eq_ignore_ascii_case("content-length") {
                head.length = Some(
                    value
                        .trim()
                        .parse()
                        .map_err(|_| odd("the length of its answer cannot be read"))?,
                );
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                head.chunked = value.trim().eq_ignore_ascii_case("chunked");
            }
        }
    }

    fn body(&self, answer: &mut impl BufRead) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        if self.chunked {
            loop {
                let line = line(answer)?;
                let digits = line.split(';').next().unwrap_or_default().trim();
                let length =
                    usize::from_str_radix(digits, 16).map_err(|_| odd("a chunk of its answer cannot be read"))?;
                if length == 0 {
                    return Ok(body);
                }
                take(answer, length, &mut body)?;
                if !self::line(answer)?.is_empty() {
                    return Err(odd("a chunk of its answer cannot be read"));
                }
            }
        }
        match self.length {
            Some(length) => take(answer, length, &mut body)?,
            None => {
                let most = u64::try_from(MAX_BODY).unwrap_or(u64::MAX).saturating_add(1);
                answer.take(most).read_to_end(&mut body)?;
                if body.len() > MAX_BODY {
                    return Err(odd("its answer is too long"));
                }
            }
        }
        Ok(body)
    }
}

/// So many bytes, which must be there.
fn take(answer: &mut impl BufRead, length: usize, body: &mut Vec<u8>) -> io::Result<()> {
    let whole = body.len().saturating_add(length);
    if whole > MAX_BODY {
        return Err(odd("its answer is too long"));
    }
    answer
        .by_ref()
        .take(u64::try_from(length).unwrap_or(u64::MAX))
        .read_to_end(body)?;
    if body.len() < whole {
        Err(io::ErrorKind::UnexpectedEof.into())
    } else {
        Ok(())
    }
}

/// A line without its end.
fn line(answer: &mut impl BufRead) -> io::Result<String> {
    let mut bytes = Vec::new();
    let most = u64::try_from(MAX_HEAD).unwrap_or(u64::MAX);
    answer.by_ref().take(most).read_until(b'\n', &mut bytes)?;
    match bytes.strip_suffix(b"\n") {
        None => Err(odd("its answer breaks off, or a line of it is too long")),
        Some(line) => {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            String::from_utf8(line.to_vec()).map_err(|_| odd("the head of its answer cannot be read"))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, thread};

    use super::*;

    #[test]
    fn address_is_of_this_host_without_tls_and_with_nothing_behind_it() {
        for good in [
            "http://127.0.0.1:9901",
            "http://127.0.0.1:9901/",
            "http://[::1]:9901",
            "http://localhost:9901",
        ] {
            assert!(Admin::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "127.0.0.1:9901",
            "https://127.0.0.1:9901",
            "http://127.0.0.1",
            "http://10.0.0.1:9901",
            "http://127.0.0.1.example:9901",
            "http://127.0.0.1:9901/quitquitquit",
            "http://user@127.0.0.1:9901",
            "http://169.254.169.254:80",
            "http://127.0.0.1:99999",
        ] {
            assert!(Admin::parse(bad).is_err(), "{bad}");
        }
    }

    /// What comes of one answer.
    fn answered(answer: &'static [u8]) -> Result<String, String> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let admin = Admin {
            address: listener.local_addr().unwrap(),
        };
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = [0; 1024];
            let _ = stream.read(&mut asked);
            let _ = stream.write_all(answer);
        });
        let said = admin.get("/stats");
        server.join().unwrap();
        said
    }

    #[test]
    fn answers_are_read_whole_or_not_at_all() {
        let good: [&[u8]; 3] = [
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n\r\nhello",
        ];
        for answer in good {
            assert_eq!(answered(answer).as_deref(), Ok("hello"));
        }
        let bad: [&[u8]; 9] = [
            b"",
            b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhe\r\n",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\nhe",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhello\r\n0\r\n\r\n",
            b"SSH-2.0-OpenSSH\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n\xff\xff",
        ];
        for answer in bad {
            assert!(answered(answer).is_err(), "{}", String::from_utf8_lossy(answer));
        }
    }
}
