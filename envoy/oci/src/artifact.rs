//! A manifest with its blobs, which is what goes into a layout or a registry.

use std::collections::BTreeMap;

use oci_client::manifest::{OCI_IMAGE_MEDIA_TYPE, OciDescriptor, OciImageManifest};
use sha2::{Digest, Sha256};

use crate::ImageError;

/// What annotations are in a manifest.
pub type Annotations = BTreeMap<String, String>;

/// `sha256:` and 64 hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// Bytes with a media type.
#[derive(Clone, Debug)]
pub struct Blob {
    /// What the bytes are.
    pub media_type: String,
    /// The bytes.
    pub data: Vec<u8>,
}

impl Blob {
    /// Bytes of a media type.
    pub fn new(media_type: &str, data: Vec<u8>) -> Self {
        Blob {
            media_type: media_type.to_owned(),
            data,
        }
    }

    /// How a manifest names them.
    ///
    /// # Errors
    /// When they are more than a descriptor can count.
    pub fn descriptor(&self) -> Result<OciDescriptor, ImageError> {
        Ok(OciDescriptor {
            media_type: self.media_type.clone(),
            digest: sha256(&self.data),
            size: size(&self.data)?,
            ..OciDescriptor::default()
        })
    }
}

/// An image: its manifest, as bytes, and everything that the manifest names.
#[derive(Clone, Debug)]
pub struct Artifact {
    /// The manifest as it is stored: its digest is the image's.
    pub manifest: Vec<u8>,
    /// What the manifest says it is.
    pub artifact_type: Option<String>,
    /// The manifest's annotations.
    pub annotations: Annotations,
    /// The configuration.
    pub config: Blob,
    /// The layers, in order.
    pub layers: Vec<Blob>,
}

/// What stands in a manifest besides its blobs.
#[derive(Debug, Default)]
pub struct About {
    /// `artifactType`.
    pub artifact_type: Option<String>,
    /// `annotations`.
    pub annotations: Annotations,
    /// `subject`: the image that this one is attached to.
    pub subject: Option<OciDescriptor>,
}

impl Artifact {
    /// An image of these blobs.
    ///
    /// # Errors
    /// When the manifest cannot be written.
    pub fn new(config: Blob, layers: Vec<Blob>, about: About) -> Result<Self, ImageError> {
        let manifest = OciImageManifest {
            media_type: Some(OCI_IMAGE_MEDIA_TYPE.to_owned()),
            config: config.descriptor()?,
            layers: layers.iter().map(Blob::descriptor).collect::<Result<_, _>>()?,
            subject: about.subject,
            artifact_type: about.artifact_type.clone(),
            annotations: Some(about.annotations.clone()),
            ..OciImageManifest::default()
        };
        Ok(Artifact {
            manifest: serde_json::to_vec(&manifest)?,
            artifact_type: about.artifact_type,
            annotations: about.annotations,
            config,
            layers,
        })
    }

    /// The image's digest.
    pub fn digest(&self) -> String {
        sha256(&self.manifest)
    }

    /// How an index or a referrer names the image: with its type and annotations, as the list of referrers needs them.
    ///
    /// # Errors
    /// When it is more than a descriptor can count.
    pub fn descriptor(&self) -> Result<OciDescriptor, ImageError> {
        Ok(OciDescriptor {
            media_type: OCI_IMAGE_MEDIA_TYPE.to_owned(),
            digest: self.digest(),
            size: size(&self.manifest)?,
            artifact_type: self.artifact_type.clone(),
            annotations: Some(self.annotations.clone()),
            ..OciDescriptor::default()
        })
    }

    /// How a `subject` names the image: type, digest and size.
    ///
    /// # Errors
    /// When it is more than a descriptor can count.
    pub fn subject(&self) -> Result<OciDescriptor, ImageError> {
        Ok(OciDescriptor {
            artifact_type: None,
            annotations: None,
            ..self.descriptor()?
        })
    }

    /// The configuration and the layers.
    pub fn blobs(&self) -> impl Iterator<Item = &Blob> {
        std::iter::once(&self.config).chain(&self.layers)
    }
}

fn size(bytes: &[u8]) -> Result<i64, ImageError> {
    i64::try_from(bytes.len()).map_err(|error| ImageError::Archive(std::io::Error::other(error)))
}
