//! Images in a registry: pushed, with what is attached to them, and pulled again.
//!
//! A registry of OCI distribution 1.1 lists referrers by itself. For one that does not, the specification has the
//! client keep the list, under a tag made of the image's digest. Whether a registry does it is seen from whether it
//! lists what was just pushed.

use std::net::IpAddr;
use std::time::Duration;

use docker_credential::{CredentialRetrievalError, DockerCredential};
use oci_client::client::{Client, ClientConfig, ClientProtocol};
use oci_client::errors::{DigestError, OciDistributionError, OciErrorCode};
use oci_client::manifest::{
    ImageIndexEntry, OCI_IMAGE_INDEX_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE, OciDescriptor, OciImageIndex, OciImageManifest,
    OciManifest,
};
use oci_client::secrets::RegistryAuth;
use oci_client::{Reference, RegistryOperation};

use crate::ImageError;
use crate::archive;
use crate::artifact::{Artifact, sha256};
use crate::forms::{IMAGE_CONFIG, IMAGE_LAYER, Image, WASM_CONFIG, WASM_LAYER};

/// How long a registry may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a registry may be silent.
const SILENCE: Duration = Duration::from_secs(60);

/// A repository in a registry.
pub struct Repository {
    client: Client,
    auth: RegistryAuth,
    host: String,
    name: String,
}

/// What was pushed.
#[derive(Debug)]
pub struct Pushed {
    /// The image with its tag.
    pub reference: String,
    /// The image's digest.
    pub digest: String,
    /// What is attached: type and digest.
    pub referrers: Vec<(String, String)>,
}

impl Repository {
    /// A repository: `host/name` or `host:port/name`. Loopback hosts are spoken to in plain text, all others with TLS;
    /// the login is what `docker login` has stored.
    ///
    /// # Errors
    /// When the text names no repository, or the login cannot be read.
    pub fn new(place: &str) -> Result<Self, ImageError> {
        let refused = || ImageError::Repository(place.to_owned());
        let reference = Reference::try_from(place).map_err(|_| refused())?;
        let (host, name) = (reference.registry().to_owned(), reference.repository().to_owned());
        if format!("{host}/{name}") != place {
            return Err(refused());
        }
        let config = ClientConfig {
            protocol: if is_loopback(&host) {
                ClientProtocol::Http
            } else {
                ClientProtocol::Https
            },
            connect_timeout: Some(CONNECT),
            read_timeout: Some(SILENCE),
            ..ClientConfig::default()
        };
        let client = Client::try_from(config).map_err(|error| ImageError::registry(place, error))?;
        Ok(Repository {
            client,
            auth: login(reference.resolve_registry(), &host)?,
            host,
            name,
        })
    }

    /// `host/name`.
    pub fn place(&self) -> String {
        format!("{}/{}", self.host, self.name)
    }

    /// Whether it is spoken to in plain text.
    pub fn is_plain_text(&self) -> bool {
        is_loopback(&self.host)
    }

    /// With whose rights.
    pub fn auth(&self) -> &RegistryAuth {
        &self.auth
    }

    /// An image by its tag.
    pub fn tagged(&self, tag: &str) -> Reference {
        Reference::with_tag(self.host.clone(), self.name.clone(), tag.to_owned())
    }

    /// An image by its digest.
    pub fn pinned(&self, digest: &str) -> Reference {
        Reference::with_digest(self.host.clone(), self.name.clone(), digest.to_owned())
    }

    /// Pushes an image under a tag, then what is attached to it.
    ///
    /// # Errors
    /// When the registry refuses.
    pub async fn push(&self, image: &Image, tag: &str) -> Result<Pushed, ImageError> {
        let reference = self.tagged(tag);
        self.client
            .auth(&reference, &self.auth, RegistryOperation::Push)
            .await
            .map_err(|error| ImageError::registry(format!("cannot push to `{}`", self.place()), error))?;
        self.push_artifact(&reference, &image.artifact).await?;
        let digest = image.artifact.digest();
        let mut referrers = Vec::new();
        for referrer in &image.referrers {
            self.push_artifact(&self.pinned(&referrer.digest()), referrer).await?;
            self.list_referrer(&digest, referrer).await?;
            referrers.push((referrer.artifact_type.clone().unwrap_or_default(), referrer.digest()));
        }
        Ok(Pushed {
            reference: reference.whole(),
            digest,
            referrers,
        })
    }

    async fn push_artifact(&self, reference: &Reference, artifact: &Artifact) -> Result<(), ImageError> {
        let failed = |error| ImageError::registry(format!("cannot push `{}`", reference.whole()), error);
        for blob in artifact.blobs() {
            let digest = sha256(&blob.data);
            if !self.client.blob_exists(reference, &digest).await.map_err(failed)? {
                self.client
                    .push_blob(reference, blob.data.clone(), &digest)
                    .await
                    .map_err(failed)?;
            }
        }
        let media_type = reqwest_header(OCI_IMAGE_MEDIA_TYPE);
        self.client
            .push_manifest_raw(reference, artifact.manifest.clone(), media_type)
            .await
            .map_err(failed)?;
        Ok(())
    }

    /// Sees to it that the registry lists a referrer that was pushed.
    async fn list_referrer(&self, subject: &str, referrer: &Artifact) -> Result<(), ImageError> {
        let digest = referrer.digest();
        if self
            .referrers(subject)
            .await?
            .iter()
            .any(|entry| entry.digest == digest)
        {
            return Ok(());
        }
        let tag = self.tagged(&fallback_tag(subject));
        let mut index = match self.client.pull_manifest(&tag, &self.auth).await {
            Ok((OciManifest::ImageIndex(index), _)) => index,
            Ok((OciManifest::Image(_), _)) => {
                let error = OciDistributionError::SpecViolationError("it is no index".to_owned());
                return Err(ImageError::registry(format!("`{}`", tag.whole()), error));
            }
            // Only this is an empty list: after any other error, writing would lose what others have attached.
            Err(error) if is_unknown(&error) => OciImageIndex {
                schema_version: 2,
                media_type: Some(OCI_IMAGE_INDEX_MEDIA_TYPE.to_owned()),
                manifests: Vec::new(),
                artifact_type: None,
                annotations: None,
            },
            Err(error) => return Err(ImageError::registry(format!("cannot read `{}`", tag.whole()), error)),
        };
        index.manifests.push(entry(referrer.descriptor()?));
        self.client
            .push_manifest(&tag, &OciManifest::ImageIndex(index))
            .await
            .map_err(|error| ImageError::registry(format!("cannot list referrers in `{}`", tag.whole()), error))?;
        Ok(())
    }

    /// What is attached to an image.
    ///
    /// # Errors
    /// When the registry does not say.
    pub async fn referrers(&self, digest: &str) -> Result<Vec<ImageIndexEntry>, ImageError> {
        let reference = self.pinned(digest);
        self.client
            .store_auth_if_needed(reference.resolve_registry(), &self.auth)
            .await;
        let index = self.client.pull_referrers(&reference, None).await.map_err(|error| {
            ImageError::registry(
                format!("cannot list what is attached to `{}`", reference.whole()),
                error,
            )
        })?;
        Ok(index.manifests)
    }

    /// The digest of what a tag points to; none when there is no such tag.
    ///
    /// # Errors
    /// When the registry does not say.
    pub async fn digest(&self, tag: &str) -> Result<Option<String>, ImageError> {
        let reference = self.tagged(tag);
        match self.client.fetch_manifest_digest(&reference, &self.auth).await {
            Ok(digest) => Ok(Some(digest)),
            Err(error) if is_unknown(&error) => Ok(None),
            Err(error) => Err(ImageError::registry(
                format!("cannot find `{}`", reference.whole()),
                error,
            )),
        }
    }

    /// The module in an image of either form. Every byte is one that the digest stands for.
    ///
    /// # Errors
    /// When the registry has other bytes, or the image holds no module.
    pub async fn module(&self, digest: &str) -> Result<Vec<u8>, ImageError> {
        let reference = self.pinned(digest);
        let manifest = self.manifest(&reference, digest).await?;
        let config = self.blob(&reference, &manifest.config, "its configuration").await?;
        drop(config);
        let [layer] = manifest.layers.as_slice() else {
            let why = format!("it has {} layers, not one", manifest.layers.len());
            return Err(no_module(&reference, why));
        };
        let bytes = self.blob(&reference, layer, "its layer").await?;
        match (manifest.config.media_type.as_str(), layer.media_type.as_str()) {
            (WASM_CONFIG, WASM_LAYER) => Ok(bytes),
            (IMAGE_CONFIG, IMAGE_LAYER) => {
                archive::module_in(&bytes).map_err(|error| no_module(&reference, error.to_string()))
            }
            (config, layer) => Err(no_module(&reference, format!("`{config}` with a layer of `{layer}`"))),
        }
    }

    async fn manifest(&self, reference: &Reference, digest: &str) -> Result<OciImageManifest, ImageError> {
        let failed = |error| refusal(reference, "its manifest", error);
        let (bytes, _) = self
            .client
            .pull_manifest_raw(reference, &self.auth, &[OCI_IMAGE_MEDIA_TYPE])
            .await
            .map_err(failed)?;
        // The library has compared them; what everything else stands on is worth a line.
        if sha256(&bytes) != digest {
            return Err(tampered(reference, "its manifest"));
        }
        Ok(serde_json::from_slice(&bytes)?)
    }

    async fn blob(&self, reference: &Reference, blob: &OciDescriptor, what: &str) -> Result<Vec<u8>, ImageError> {
        let mut bytes = Vec::new();
        self.client
            .pull_blob(reference, blob, &mut bytes)
            .await
            .map_err(|error| refusal(reference, what, error))?;
        if sha256(&bytes) != blob.digest {
            return Err(tampered(reference, what));
        }
        Ok(bytes)
    }
}

/// OCI distribution specification, "Referrers Tag Schema": the algorithm, a dash, the hash.
pub fn fallback_tag(digest: &str) -> String {
    digest.replace(':', "-")
}

fn entry(descriptor: OciDescriptor) -> ImageIndexEntry {
    ImageIndexEntry {
        media_type: descriptor.media_type,
        digest: descriptor.digest,
        size: descriptor.size,
        artifact_type: descriptor.artifact_type,
        annotations: descriptor.annotations,
        platform: None,
    }
}

fn reqwest_header(media_type: &'static str) -> http::HeaderValue {
    http::HeaderValue::from_static(media_type)
}

fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn is_unknown(error: &OciDistributionError) -> bool {
    match error {
        OciDistributionError::ImageManifestNotFoundError(_) | OciDistributionError::ServerError { code: 404, .. } => {
            true
        }
        OciDistributionError::RegistryError { envelope, .. } => envelope.errors.iter().any(|error| {
            matches!(
                error.code,
                OciErrorCode::ManifestUnknown | OciErrorCode::NameUnknown | OciErrorCode::NotFound
            )
        }),
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "a foreign enum: what is not known to be absent is an error"
        )]
        _ => false,
    }
}

fn refusal(reference: &Reference, what: &str, error: OciDistributionError) -> ImageError {
    if let OciDistributionError::DigestError(DigestError::VerificationError { .. }) = error {
        return tampered(reference, what);
    }
    ImageError::registry(format!("cannot pull {what} of `{}`", reference.whole()), error)
}

fn tampered(reference: &Reference, what: &str) -> ImageError {
    ImageError::Tampered {
        reference: reference.whole(),
        what: what.to_owned(),
    }
}

fn no_module(reference: &Reference, why: String) -> ImageError {
    ImageError::NoModule {
        reference: reference.whole(),
        why,
    }
}

fn login(registry: &str, host: &str) -> Result<RegistryAuth, ImageError> {
    let refused = |why: String| ImageError::Login {
        host: host.to_owned(),
        why,
    };
    match docker_credential::get_credential(registry) {
        Ok(DockerCredential::UsernamePassword(user, password)) => Ok(RegistryAuth::Basic(user, password)),
        Ok(DockerCredential::IdentityToken(_)) => Err(refused("it is an identity token".to_owned())),
        // A file that is not there is `ConfigReadError`. Without a login a registry that wants one says so.
        Err(
            CredentialRetrievalError::ConfigNotFound
            | CredentialRetrievalError::ConfigReadError
            | CredentialRetrievalError::NoCredentialConfigured,
        ) => Ok(RegistryAuth::Anonymous),
        Err(error) => Err(refused(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bare_repository_is_taken() {
        for place in [
            "name",
            "localhost:5000/name:tag",
            "localhost:5000/Name",
            "https://localhost/name",
            "",
            "localhost:5000/",
            "localhost:5000/name@sha256:0000000000000000000000000000000000000000000000000000000000000000",
        ] {
            let refused = Repository::new(place).err().map(|error| error.to_string());
            assert!(
                refused.is_some_and(|text| text.contains("names no repository")),
                "{place}"
            );
        }
        for place in ["localhost:5000/svidgate", "registry.example/team/svidgate"] {
            assert_eq!(Repository::new(place).unwrap().place(), place);
        }
    }

    #[test]
    fn plain_text_is_for_loopback_alone() {
        for host in [
            "localhost",
            "localhost:5000",
            "127.0.0.1:5000",
            "127.8.0.1",
            "[::1]:5000",
        ] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "registry.example",
            "localhost.example:5000",
            "10.0.0.1:5000",
            "[2001:db8::1]:5000",
            "127.0.0.1.example",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
