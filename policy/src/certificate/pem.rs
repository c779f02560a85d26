//! Which certificates are in these bytes?

use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use x509_cert::der::{Reader as _, SliceReader};

use crate::certificate::{
    bounds::{MAX_CERTIFICATE_BYTES, MAX_INTERMEDIATES, MAX_PEM_BYTES},
    error::CertificateError,
};

/// Reads the certificates of a PEM text, plain or %-encoded, leaf first.
///
/// # Errors
/// When the text is not PEM, holds no certificate, or goes beyond a bound.
pub fn read_pem(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    if text.len() > MAX_PEM_BYTES {
        return Err(CertificateError::TooLarge {
            bytes: text.len(),
            bound: MAX_PEM_BYTES,
        });
    }
    // Base64 has no `%`, so where there is one the whole text is escaped.
    let text = percent_encoding::percent_decode(text);
    let text: std::borrow::Cow<'_, [u8]> = text.into();
    let mut certificates = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|_| CertificateError::NotPem)?;
        if certificates.len() > MAX_INTERMEDIATES {
            return Err(CertificateError::TooMany);
        }
        check_size(&certificate)?;
        certificates.push(certificate);
    }
    if certificates.is_empty() {
        Err(CertificateError::NotPem)
    } else {
        Ok(certificates)
    }
}

/// Splits certificates in DER that stand one behind the other, as the Workload API has them. What is in them is not
/// looked at.
///
/// # Errors
/// When something in between is no whole value of DER, is larger than a certificate may be, or there are more than
/// `most`.
pub fn split_der(mut bytes: &[u8], most: usize) -> Result<Vec<&[u8]>, CertificateError> {
    let mut certificates = Vec::new();
    while !bytes.is_empty() {
        let mut reader = SliceReader::new(bytes).map_err(|_| CertificateError::NotDer)?;
        let certificate = reader.tlv_bytes().map_err(|_| CertificateError::NotDer)?;
        check_size(certificate)?;
        if certificates.len() >= most {
            return Err(CertificateError::TooManyAuthorities { most });
        }
        certificates.push(certificate);
        bytes = bytes.get(certificate.len()..).unwrap_or_default();
    }
    Ok(certificates)
}

/// Takes certificates that stand by themselves, in DER, leaf first, within the bounds of those in a PEM text. What is in
/// them is not looked at.
///
/// # Errors
/// When there are too many, or one is too large.
pub fn certificates(all: Vec<Vec<u8>>) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    if all.len() > MAX_INTERMEDIATES.saturating_add(1) {
        return Err(CertificateError::TooMany);
    }
    all.iter().try_for_each(|der| check_size(der))?;
    Ok(all.into_iter().map(CertificateDer::from).collect())
}

pub(crate) fn check_size(der: &[u8]) -> Result<(), CertificateError> {
    if der.len() > MAX_CERTIFICATE_BYTES {
        return Err(CertificateError::TooLarge {
            bytes: der.len(),
            bound: MAX_CERTIFICATE_BYTES,
        });
    }
    Ok(())
}
