//! Signatures with a key, in cosign's form: a payload that names the image's digest, signed, under the tag
//! `sha256-DIGEST.sig` beside the image.
//!
//! Both sides are the sigstore project's library. Verification reads the signature from the registry, as any cosign
//! client does, and then the image: a signature is of a digest, so the bytes must be those that the digest stands for.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use oci_client::secrets::RegistryAuth;
use sigstore::cosign::constraint::PrivateKeySigner;
use sigstore::cosign::verification_constraint::{PublicKeyVerifier, VerificationConstraint};
use sigstore::cosign::{Client, ClientBuilder, Constraint, CosignCapabilities, SignatureLayer, verify_constraints};
use sigstore::crypto::signing_key::SigStoreKeyPair;
use sigstore::crypto::signing_key::ecdsa::ECDSAKeys;
use sigstore::crypto::{SigStoreSigner, SigningScheme};
use sigstore::errors::SigstoreError;
use sigstore::registry::{Auth, ClientConfig, ClientProtocol, OciReference};
use zeroize::Zeroizing;

use crate::ImageError;
use crate::artifact::sha256;
use crate::registry::{Repository, fallback_tag};

/// A pair of files.
#[derive(Debug)]
pub struct KeyFiles {
    /// `cosign.key`, encrypted with the password.
    pub private: PathBuf,
    /// `cosign.pub`.
    pub public: PathBuf,
}

/// What signing did.
#[derive(Debug, PartialEq, Eq)]
pub enum Signed {
    /// There is a signature now.
    New {
        /// Of this image.
        digest: String,
        /// Under this tag.
        tag: String,
    },
    /// There was one by the same key.
    Already {
        /// Of this image.
        digest: String,
    },
}

/// An image whose signature and bytes are good.
#[derive(Debug)]
pub struct Verified {
    /// The image with its tag.
    pub reference: String,
    /// The image's digest.
    pub digest: String,
    /// The module's own SHA-256, which meshes pin.
    pub module_sha256: String,
    /// The module.
    pub module: Vec<u8>,
}

/// Makes an ECDSA P-256 key and writes `cosign.key` and `cosign.pub`, as `cosign generate-key-pair` does.
///
/// # Errors
/// When a file is there already, or cannot be written.
pub fn generate_key(home: &Path, password: &Zeroizing<Vec<u8>>) -> Result<KeyFiles, ImageError> {
    let files = KeyFiles {
        private: home.join("cosign.key"),
        public: home.join("cosign.pub"),
    };
    let failed = |source| unusable(&files.private, source);
    let pair = SigningScheme::ECDSA_P256_SHA256_ASN1
        .create_signer()
        .and_then(|signer| signer.to_sigstore_keypair())
        .map_err(failed)?;
    let private = pair.private_key_to_encrypted_pem(password).map_err(failed)?;
    let public = pair.public_key_to_pem().map_err(failed)?;
    write_new(&files.private, private.as_bytes(), 0o600)?;
    write_new(&files.public, public.as_bytes(), 0o644)?;
    Ok(files)
}

/// Signs what a tag points to.
///
/// # Errors
/// When there is no such image, the key is no key, or another key has signed it.
pub async fn sign(
    repository: &Repository,
    tag: &str,
    key: &Path,
    password: &Zeroizing<Vec<u8>>,
) -> Result<Signed, ImageError> {
    let signer = signer(key, password)?;
    let public = signer
        .to_sigstore_keypair()
        .and_then(|pair| pair.public_key_to_pem())
        .map_err(|source| unusable(key, source))?;
    let digest = digest_of(repository, tag).await?;
    let reference = repository.tagged(tag).whole();
    let signatures = signature_tag(&digest);
    if repository.digest(&signatures).await?.is_some() {
        return match trusted(repository, &reference, &digest, public.as_bytes(), key).await {
            Ok(()) => Ok(Signed::Already { digest }),
            Err(ImageError::WrongKey { .. } | ImageError::OtherDigest { .. }) => Err(ImageError::SignedByAnother {
                reference,
                tag: signatures,
            }),
            Err(error) => Err(error),
        };
    }
    push_signature(repository, &digest, &signatures, signer)
        .await
        .map_err(|source| ImageError::Sign {
            reference,
            source: Box::new(source),
        })?;
    Ok(Signed::New {
        digest,
        tag: signatures,
    })
}

/// Verifies what a tag points to: signed with the key, and every byte the signed one.
///
/// # Errors
/// When it is not.
pub async fn verify(repository: &Repository, tag: &str, key: &Path) -> Result<Verified, ImageError> {
    let public = fs::read(key).map_err(|source| ImageError::File {
        path: key.to_owned(),
        source,
    })?;
    let digest = digest_of(repository, tag).await?;
    let reference = repository.tagged(tag).whole();
    trusted(repository, &reference, &digest, &public, key).await?;
    let module = repository.module(&digest).await?;
    Ok(Verified {
        reference,
        digest,
        module_sha256: sha256(&module).trim_start_matches("sha256:").to_owned(),
        module,
    })
}

/// Where cosign keeps the signatures of an image.
pub fn signature_tag(digest: &str) -> String {
    format!("{}.sig", fallback_tag(digest))
}

async fn digest_of(repository: &Repository, tag: &str) -> Result<String, ImageError> {
    repository.digest(tag).await?.ok_or_else(|| ImageError::NoModule {
        reference: repository.tagged(tag).whole(),
        why: "there is no such tag".to_owned(),
    })
}

/// Whether a signature of this image by this key is in the registry.
async fn trusted(
    repository: &Repository,
    reference: &str,
    digest: &str,
    public: &[u8],
    key: &Path,
) -> Result<(), ImageError> {
    let failed = |source| ImageError::Verify {
        reference: reference.to_owned(),
        source: Box::new(source),
    };
    let by_key: Box<dyn VerificationConstraint> =
        Box::new(PublicKeyVerifier::try_from(public).map_err(|source| unusable(key, source))?);
    let mut client = client(repository).map_err(failed)?;
    let image = pinned(repository, digest);
    let layers = client
        .trusted_signature_layers(&auth(repository), &image)
        .await
        .map_err(failed)?;
    let tag = signature_tag(digest);
    if layers.is_empty() {
        let reference = reference.to_owned();
        return Err(match repository.digest(&tag).await? {
            None => ImageError::Unsigned { reference, tag },
            Some(_) => ImageError::OtherDigest {
                reference,
                tag,
                digest: digest.to_owned(),
            },
        });
    }
    verify_constraints(&layers, std::iter::once(&by_key)).map_err(|_| ImageError::WrongKey {
        reference: reference.to_owned(),
        tag,
    })
}

async fn push_signature(
    repository: &Repository,
    digest: &str,
    tag: &str,
    signer: SigStoreSigner,
) -> Result<(), SigstoreError> {
    let mut layer = SignatureLayer::new_unsigned(&pinned(repository, digest), digest)?;
    // cosign names the repository, without tag and digest; policies match on that.
    layer.simple_signing.critical.identity.docker_reference = repository.place();
    PrivateKeySigner::new_with_signer(signer).add_constraint(&mut layer)?;
    let target = repository.tagged(tag);
    let target = OciReference::with_tag(
        target.registry().to_owned(),
        target.repository().to_owned(),
        tag.to_owned(),
    );
    client(repository)?
        .push_signature(None, &auth(repository), &target, vec![layer])
        .await?;
    Ok(())
}

fn client(repository: &Repository) -> Result<Client, SigstoreError> {
    let config = ClientConfig {
        protocol: if repository.is_plain_text() {
            ClientProtocol::Http
        } else {
            ClientProtocol::Https
        },
        ..ClientConfig::default()
    };
    ClientBuilder::default().with_oci_client_config(config).build()
}

fn auth(repository: &Repository) -> Auth {
    let auth: &RegistryAuth = repository.auth();
    Auth::from(auth)
}

fn pinned(repository: &Repository, digest: &str) -> OciReference {
    let image = repository.pinned(digest);
    OciReference::with_digest(
        image.registry().to_owned(),
        image.repository().to_owned(),
        digest.to_owned(),
    )
}

/// A private key as cosign writes it, or PKCS#8 without a password as `openssl` does.
fn signer(path: &Path, password: &Zeroizing<Vec<u8>>) -> Result<SigStoreSigner, ImageError> {
    let pem = Zeroizing::new(fs::read(path).map_err(|source| ImageError::File {
        path: path.to_owned(),
        source,
    })?);
    let encrypted = String::from_utf8_lossy(&pem).contains("BEGIN ENCRYPTED");
    let pair = if encrypted {
        SigStoreKeyPair::from_encrypted_pem(&pem, password)
    } else {
        SigStoreKeyPair::from_pem(&pem)
    };
    let pair = pair.map_err(|source| unusable(path, source))?;
    let scheme = match &pair {
        SigStoreKeyPair::ECDSA(ECDSAKeys::P256(_)) => SigningScheme::ECDSA_P256_SHA256_ASN1,
        SigStoreKeyPair::ECDSA(ECDSAKeys::P384(_)) => SigningScheme::ECDSA_P384_SHA384_ASN1,
        SigStoreKeyPair::ECDSA(ECDSAKeys::P521(_)) => SigningScheme::ECDSA_P521_SHA512_ASN1,
        SigStoreKeyPair::ED25519(_) => SigningScheme::ED25519,
        SigStoreKeyPair::RSA(_) => SigningScheme::RSA_PKCS1_SHA256(0),
    };
    pair.to_sigstore_signer(&scheme)
        .map_err(|source| unusable(path, source))
}

fn unusable(path: &Path, source: SigstoreError) -> ImageError {
    ImageError::Key {
        path: path.to_owned(),
        source: Box::new(source),
    }
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), ImageError> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .and_then(|mut file| file.write_all(bytes))
        .map_err(|source| ImageError::File {
            path: path.to_owned(),
            source,
        })
}
