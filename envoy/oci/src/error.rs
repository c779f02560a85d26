//! What can go wrong, in words for the person who ran the command.

use std::io;
use std::path::PathBuf;

use oci_client::errors::OciDistributionError;
use sigstore::errors::SigstoreError;
use thiserror::Error;

/// Why there is no image, no push, no signature, or no trust in one.
#[derive(Debug, Error)]
pub enum ImageError {
    /// A file.
    #[error("`{}`: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No WebAssembly module.
    #[error("`{}` is not a WebAssembly module: run `make wasm`", path.display())]
    NotAModule {
        /// The file.
        path: PathBuf,
    },
    /// `SOURCE_DATE_EPOCH`.
    #[error("SOURCE_DATE_EPOCH is `{0}`, not a number of seconds since 1970")]
    SourceDate(String),
    /// Cargo, or what it said.
    #[error("the crates of the module cannot be listed: {0}")]
    Crates(String),
    /// A crate whose licence nobody knows.
    #[error("crate `{0}` names no licence")]
    NoLicence(String),
    /// The SBOM.
    #[error("the SBOM cannot be written: {0}")]
    Sbom(String),
    /// The archive.
    #[error("the layer cannot be written: {0}")]
    Archive(io::Error),
    /// A manifest.
    #[error("a manifest cannot be written: {0}")]
    Json(#[from] serde_json::Error),
    /// `REGISTRY`.
    #[error("`{0}` names no repository (write host/name or host:port/name, without tag and digest)")]
    Repository(String),
    /// Credentials.
    #[error("the stored login for `{host}` cannot be used: {why}")]
    Login {
        /// The registry.
        host: String,
        /// Why.
        why: String,
    },
    /// The registry.
    #[error("{what}: {}", source_line(source))]
    Registry {
        /// What was asked.
        what: String,
        /// What it answered.
        source: Box<OciDistributionError>,
    },
    /// Bytes that are not what the manifest says.
    #[error("`{reference}`: the registry's bytes of {what} are not those that the manifest names")]
    Tampered {
        /// The image.
        reference: String,
        /// Which blob.
        what: String,
    },
    /// An image that is none of ours.
    #[error("`{reference}` holds no module: {why}")]
    NoModule {
        /// The image.
        reference: String,
        /// What is wrong.
        why: String,
    },
    /// A key.
    #[error("`{}` is not a key that can be used: {source}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<SigstoreError>,
    },
    /// The signing library.
    #[error("`{reference}` cannot be signed: {source}")]
    Sign {
        /// The image.
        reference: String,
        /// Why.
        source: Box<SigstoreError>,
    },
    /// A signature is there that the key did not make; cosign would add one, we leave it alone.
    #[error("`{reference}` is signed already, by another key: add to it with cosign, or delete the tag `{tag}`")]
    SignedByAnother {
        /// The image.
        reference: String,
        /// Where the signature is.
        tag: String,
    },
    /// No signature.
    #[error("`{reference}` is not signed: there is no tag `{tag}`")]
    Unsigned {
        /// The image.
        reference: String,
        /// Where it would be.
        tag: String,
    },
    /// Signatures, none of which is of this image.
    #[error("`{reference}`: the signature in `{tag}` is not of this image ({digest})")]
    OtherDigest {
        /// The image.
        reference: String,
        /// Where the signature is.
        tag: String,
        /// What should be signed.
        digest: String,
    },
    /// Signatures of this image, none by this key.
    #[error("`{reference}`: the signature in `{tag}` was not made with this key")]
    WrongKey {
        /// The image.
        reference: String,
        /// Where the signature is.
        tag: String,
    },
    /// The verifying library.
    #[error("`{reference}` cannot be verified: {source}")]
    Verify {
        /// The image.
        reference: String,
        /// Why.
        source: Box<SigstoreError>,
    },
}

impl ImageError {
    pub(crate) fn registry(what: impl Into<String>, source: OciDistributionError) -> Self {
        ImageError::Registry {
            what: what.into(),
            source: Box::new(source),
        }
    }
}

/// An HTTP client says `error sending request` and hides why; the causes say it.
fn source_line(error: &OciDistributionError) -> String {
    let mut line = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let text = error.to_string();
        if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
        cause = error.source();
    }
    line
}
