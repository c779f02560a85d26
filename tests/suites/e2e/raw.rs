//! Requests in bytes.

use std::net::SocketAddr;

use support::{
    ca::Identity,
    client::{Client, ClientOptions},
};

/// Which version of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    One,
    Two,
}

/// A request in bytes that a library might refuse to write, in either version of HTTP.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent<'a> {
    pub(crate) method: &'a [u8],
    pub(crate) target: &'a [u8],
    pub(crate) authority: &'a [u8],
    pub(crate) headers: &'a [(&'a [u8], &'a [u8])],
}

impl Sent<'_> {
    /// All of it.
    pub(crate) fn http1(&self) -> Vec<u8> {
        let mut bytes = [
            self.method,
            b" ",
            self.target,
            b" HTTP/1.1\r\nhost: ",
            self.authority,
            b"\r\n",
        ]
        .concat();
        for (name, value) in self.headers {
            bytes.extend([*name, b": ", value, b"\r\n"].concat());
        }
        [bytes, b"\r\n".to_vec()].concat()
    }

    /// Its fields.
    pub(crate) fn http2(&self) -> Vec<(&[u8], &[u8])> {
        let mut fields: Vec<(&[u8], &[u8])> = vec![
            (b":method", self.method),
            (b":scheme", b"https"),
            (b":authority", self.authority),
            (b":path", self.target),
        ];
        fields.extend(self.headers);
        fields
    }

    /// Sends it on a connection of its own, and waits until it has been answered. What came of it is in the access log.
    pub(crate) async fn send(&self, version: Version, peer: &Identity, addr: SocketAddr) {
        match version {
            Version::One => {
                let connection = Client::new(Some(peer)).connect(addr).await.unwrap();
                let _ = connection.raw_http1(&self.http1()).await;
            }
            Version::Two => {
                let client = Client::with(Some(peer), ClientOptions::http2());
                let connection = client.connect(addr).await.unwrap();
                connection.raw_http2(&self.http2()).await.unwrap();
            }
        }
    }
}
