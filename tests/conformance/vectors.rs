//! Reading a folder of vectors, of which any part may be missing, and any field of any row.

use jiff::Timestamp;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::Value;

use crate::folder;

/// A folder of vectors.
pub(crate) struct Vectors {
    root: String,
}

impl Vectors {
    /// The vectors below `root`.
    pub(crate) fn new(root: &str) -> Self {
        Self { root: root.to_owned() }
    }

    fn path(&self, path: &str) -> String {
        format!("{}/{path}", self.root)
    }

    /// The bytes of a file.
    pub(crate) fn bytes(&self, path: &str) -> Result<Vec<u8>, String> {
        folder::read(&self.path(path)).map_err(|error| format!("{path}: {error}"))
    }

    /// A JSON file; `None` when it is not there.
    pub(crate) fn json(&self, path: &str) -> Option<Result<Value, String>> {
        if !folder::exists(&self.path(path)) {
            return None;
        }
        let parse = |text: Vec<u8>| serde_json::from_slice(&text).map_err(|error| error.to_string());
        Some(self.bytes(path).and_then(parse))
    }

    /// The files of a folder whose names begin and end so, sorted, as paths below the root.
    pub(crate) fn files(&self, folder: &str, start: &str, end: &str) -> Vec<String> {
        let mut names = folder::names(&self.path(folder));
        names.retain(|name| name.starts_with(start) && name.ends_with(end));
        names.sort();
        names.into_iter().map(|name| format!("{folder}/{name}")).collect()
    }

    /// The certificates of a reference: `file` is all of a file, `file#n` the one at place `n`.
    pub(crate) fn certificates(&self, reference: &str) -> Result<Vec<CertificateDer<'static>>, Unusable> {
        let (path, place) = match reference.rsplit_once('#') {
            Some((path, place)) => {
                let place = place
                    .parse::<usize>()
                    .map_err(|_| Unusable::Missing(format!("{reference}: no such place")))?;
                (path, Some(place))
            }
            None => (reference, None),
        };
        let certificates = certificates(&self.bytes(path).map_err(Unusable::Missing)?)?;
        match place {
            None => Ok(certificates),
            Some(place) => match certificates.into_iter().nth(place) {
                Some(certificate) => Ok(vec![certificate]),
                None => Err(Unusable::Missing(format!("{reference}: no such certificate"))),
            },
        }
    }
}

/// Why a reference gives no certificate.
#[derive(Debug)]
pub(crate) enum Unusable {
    /// The row is broken: the file is not there.
    Missing(String),
    /// The file is there and holds no certificate that PEM could carry.
    NotCertificates(String),
}

/// The certificates of PEM, or one in DER.
pub(crate) fn certificates(bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, Unusable> {
    if bytes.first() == Some(&0x30) {
        return Ok(vec![bytes.to_vec().into()]);
    }
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    match certificates {
        Ok(certificates) if certificates.is_empty() => Err(Unusable::NotCertificates("no certificate in PEM".into())),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(Unusable::NotCertificates(format!("{error:?}"))),
    }
}

/// The rows of a list member; none when it is missing.
pub(crate) fn rows<'a>(document: &'a Value, member: &str) -> &'a [Value] {
    document
        .get(member)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// The strings of a list member; none when it is missing or null.
pub(crate) fn strings<'a>(row: &'a Value, member: &str) -> Vec<&'a str> {
    rows(row, member).iter().filter_map(Value::as_str).collect()
}

/// A string member; empty when it is missing or null.
pub(crate) fn text<'a>(row: &'a Value, member: &str) -> &'a str {
    row.get(member).and_then(Value::as_str).unwrap_or_default()
}

/// A member that is true.
pub(crate) fn is_true(row: &Value, member: &str) -> bool {
    row.get(member).and_then(Value::as_bool).unwrap_or_default()
}

/// A time member; now when it is missing or null.
pub(crate) fn time(row: &Value, member: &str) -> Result<Timestamp, String> {
    match row.get(member) {
        None | Some(Value::Null) => Ok(Timestamp::now()),
        Some(value) => {
            let text = value.as_str().unwrap_or_default();
            text.parse().map_err(|error| format!("{member} `{text}`: {error}"))
        }
    }
}

/// Bytes from hexadecimal text.
pub(crate) fn hex(text: &str) -> Result<Vec<u8>, String> {
    let digits = text.as_bytes();
    let byte = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2);
        pair.and_then(|pair| u8::from_str_radix(pair, 16).ok())
            .ok_or_else(|| format!("`{text}` is not hexadecimal"))
    };
    digits.chunks(2).map(byte).collect()
}
