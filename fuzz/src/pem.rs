//! PEM: the certificates that another library finds in the same text, and no others.

use svidgate_policy::certificate::{
    bounds::{MAX_CERTIFICATE_BYTES, MAX_INTERMEDIATES},
    pem::read_pem,
};

/// What is read has the content that another library reads, and written as PEM, plain or %-encoded, reads the same
/// again.
pub fn holds(data: &[u8]) {
    let Ok(read) = read_pem(data) else { return };
    assert!((1..=MAX_INTERMEDIATES + 1).contains(&read.len()));
    assert!(
        read.iter()
            .all(|certificate| certificate.len() <= MAX_CERTIFICATE_BYTES)
    );

    let plain: Vec<u8> = percent_encoding::percent_decode(data).collect();
    if let (true, Ok(blocks)) = (has_only_whole_lines(&plain), ::pem::parse_many(&plain)) {
        let others: Vec<&[u8]> = blocks
            .iter()
            .filter(|block| block.tag() == "CERTIFICATE")
            .map(::pem::Pem::contents)
            .collect();
        let ours: Vec<&[u8]> = read.iter().map(AsRef::as_ref).collect();
        assert_eq!(ours, others);
    }

    let written: Vec<::pem::Pem> = read
        .iter()
        .map(|der| ::pem::Pem::new("CERTIFICATE", der.as_ref()))
        .collect();
    let written = ::pem::encode_many(&written);
    assert_eq!(read_pem(written.as_bytes()).as_ref(), Ok(&read));
    let escaped = percent_encoding::percent_encode(written.as_bytes(), percent_encoding::NON_ALPHANUMERIC).to_string();
    assert_eq!(read_pem(escaped.as_bytes()).as_ref(), Ok(&read));
}

/// Whether every dash belongs to a line that begins or ends a block and nothing else. Of others the libraries make what
/// they like, one of them a block.
fn has_only_whole_lines(text: &[u8]) -> bool {
    text.split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii_end)
        .all(|line| {
            let label = |begin: &[u8]| line.strip_prefix(begin).and_then(|rest| rest.strip_suffix(b"-----"));
            match label(b"-----BEGIN ").or_else(|| label(b"-----END ")) {
                Some(label) => !label.is_empty() && label.iter().all(u8::is_ascii_uppercase),
                None => !line.contains(&b'-'),
            }
        })
}
