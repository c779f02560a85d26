//! What does a hop say of who calls? `client-cert` and `client-cert-chain` (RFC 9440), which are structured fields (RFC 9651):
//! a byte sequence, and a list of them.
//!
//! As strict as the standard lets a reader be: base64 with its padding and no bits to spare, no parameters, and of the
//! first no list. What a lenient reader forgives, two readers may take for two certificates.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::peer::assertion::MAX_ASSERTION_BYTES;

/// The header with the leaf.
pub const CLIENT_CERT_HEADER: &str = "client-cert";
/// The header with what came beside it.
pub const CLIENT_CERT_CHAIN_HEADER: &str = "client-cert-chain";

/// Why headers are not an assertion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotWellFormed {
    /// More bytes than [`MAX_ASSERTION_BYTES`].
    TooLong,
    /// The leaf is not one byte sequence.
    Leaf,
    /// The chain is not a list of byte sequences.
    Chain,
}

impl NotWellFormed {
    /// What is wrong. None of it is a peer's own words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooLong => "client-cert and client-cert-chain have more than 32 KiB",
            Self::Leaf => "client-cert is not `:`, base64 with its padding and `:`, alone",
            Self::Chain => "client-cert-chain is not a list of certificates, each `:`, base64 with its padding and `:`",
        }
    }
}

/// The certificates, in DER, leaf first.
///
/// # Errors
/// Where any byte of it is not what the grammar allows.
pub fn certificates(leaf: &[u8], chain: &[&[u8]]) -> Result<Vec<Vec<u8>>, NotWellFormed> {
    let bytes = chain
        .iter()
        .map(|line| line.len())
        .fold(leaf.len(), usize::saturating_add);
    if bytes > MAX_ASSERTION_BYTES {
        return Err(NotWellFormed::TooLong);
    }
    let mut certificates = vec![byte_sequence(leaf).ok_or(NotWellFormed::Leaf)?];
    for line in chain {
        // No byte sequence has a comma, so these part them.
        for member in line.split(|byte| *byte == b',') {
            let member = byte_sequence(trimmed(member)).ok_or(NotWellFormed::Chain)?;
            certificates.push(member);
        }
    }
    Ok(certificates)
}

/// RFC 9651 4.2.7. Of no bytes there is no certificate.
fn byte_sequence(text: &[u8]) -> Option<Vec<u8>> {
    let base64 = text.strip_prefix(b":")?.strip_suffix(b":")?;
    let bytes = STANDARD.decode(base64).ok()?;
    (!bytes.is_empty()).then_some(bytes)
}

/// What may stand around a comma (RFC 9651 4.2: OWS).
fn trimmed(mut member: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = member {
        member = rest;
    }
    member
}

#[cfg(test)]
mod tests {
    use super::{MAX_ASSERTION_BYTES, NotWellFormed, certificates};

    #[test]
    fn leaf_and_list_of_what_came_with_it_are_read() {
        for (leaf, chain, expected) in [
            (":AQ==:", &[][..], &[&b"\x01"[..]][..]),
            (":AQI=:", &[":Aw==:"], &[b"\x01\x02", b"\x03"]),
            (
                ":AQID:",
                &[":Aw==:, :BA==:", ":BQ==:"],
                &[b"\x01\x02\x03", b"\x03", b"\x04", b"\x05"],
            ),
            (":AQ==:", &[" :Aw==:\t,\t :BA==: "], &[b"\x01", b"\x03", b"\x04"]),
            (":+/8=:", &[], &[b"\xfb\xff"]),
        ] {
            let chain: Vec<&[u8]> = chain.iter().map(|line| line.as_bytes()).collect();
            let expected: Vec<Vec<u8>> = expected.iter().map(|der| der.to_vec()).collect();
            assert_eq!(certificates(leaf.as_bytes(), &chain), Ok(expected), "{leaf}");
        }
    }

    #[test]
    fn what_is_no_byte_sequence_is_not_read() {
        for text in [
            "",
            ":",
            "::",
            "AQ==",
            ":AQ==",
            "AQ==:",
            ":AQ:",
            ":AQ=:",
            ":AQ===:",
            ":AR==:",
            ":AQ==:;a",
            ":AQ==:;a=1",
            ": AQ==:",
            ":AQ== :",
            " :AQ==:",
            ":AQ==: ",
            ":AQ==::AQ==:",
            ":A\nQ==:",
            ":_-8=:",
            ":%41Q==:",
            "\":AQ==:\"",
            "(:AQ==:)",
            "?1",
            "1",
            "a=:AQ==:",
            ":AQ==:\0",
            ":AQ==:,",
            ":AQ==:, :AQ==:",
            ",:AQ==:",
        ] {
            assert_eq!(certificates(text.as_bytes(), &[]), Err(NotWellFormed::Leaf), "{text}");
        }
        for text in [
            "",
            ",",
            ":AQ==:,",
            ",:AQ==:",
            ":AQ==:,,:AQ==:",
            ":AQ==:;a=1",
            ":AQ==: :AQ==:",
            "x",
            ":AQ==:, x",
        ] {
            let chain = [text.as_bytes()];
            assert_eq!(certificates(b":AQ==:", &chain), Err(NotWellFormed::Chain), "{text}");
        }
        let long = format!(":{}:", "A".repeat(MAX_ASSERTION_BYTES - 4));
        assert_eq!(certificates(long.as_bytes(), &[]).map(|all| all.len()), Ok(1));
        assert_eq!(certificates(long.as_bytes(), &[b":AQ==:"]), Err(NotWellFormed::TooLong));
    }
}
