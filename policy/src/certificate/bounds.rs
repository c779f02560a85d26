//! How large may a certificate be, and how many may there be?

/// Largest certificate in DER bytes. Our decision: SVIDs are 0.5 to 2 KiB, the largest seen in the field under 10 KiB.
pub const MAX_CERTIFICATE_BYTES: usize = 16 * 1024;
/// Most certificates that may come with a leaf. The path builder itself stops at six signing certificates.
pub const MAX_INTERMEDIATES: usize = 8;
/// Most subject alternative names of any kind. Our decision: agents put a few DNS names beside the id.
pub const MAX_SANS: usize = 128;
/// Most extensions in one certificate. Our decision: profiles in use have about ten.
pub const MAX_EXTENSIONS: usize = 32;
/// Longest serial number in bytes (RFC 5280 4.1.2.2), a zero in front not counted.
pub(crate) const MAX_SERIAL_BYTES: usize = 20;
/// Largest PEM text, escaped or not: a leaf and its intermediates, with a third more for base64, twice for escapes.
pub const MAX_PEM_BYTES: usize = 4 * MAX_CERTIFICATE_BYTES * (MAX_INTERMEDIATES + 1);
