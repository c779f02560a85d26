//! Images as files: an OCI image layout, which `skopeo`, `oras` and others read as they read a registry.

use std::fs;
use std::path::Path;

use oci_client::manifest::{OCI_IMAGE_INDEX_MEDIA_TYPE, OciDescriptor};
use serde_json::json;

use crate::ImageError;
use crate::artifact::{Artifact, sha256};
use crate::forms::Image;

/// Writes both images, and what is attached to them, into a directory; what an earlier run left there is replaced.
///
/// # Errors
/// When a file cannot be written.
pub fn write(home: &Path, images: &[Image], version: &str) -> Result<(), ImageError> {
    let blobs = home.join("blobs/sha256");
    if blobs.exists() {
        fs::remove_dir_all(&blobs).map_err(|source| failed(&blobs, source))?;
    }
    fs::create_dir_all(&blobs).map_err(|source| failed(&blobs, source))?;
    let mut manifests = Vec::new();
    for image in images {
        write_artifact(&blobs, &image.artifact)?;
        manifests.push(named(&image.artifact, &image.form.tag(version))?);
        for referrer in &image.referrers {
            write_artifact(&blobs, referrer)?;
            manifests.push(referrer.descriptor()?);
        }
    }
    let index = json!({ "schemaVersion": 2, "mediaType": OCI_IMAGE_INDEX_MEDIA_TYPE, "manifests": manifests });
    write_file(&home.join("index.json"), &serde_json::to_vec(&index)?)?;
    write_file(
        &home.join("oci-layout"),
        &serde_json::to_vec(&json!({ "imageLayoutVersion": "1.0.0" }))?,
    )
}

fn named(artifact: &Artifact, tag: &str) -> Result<OciDescriptor, ImageError> {
    let mut descriptor = artifact.descriptor()?;
    let annotations = descriptor.annotations.get_or_insert_default();
    annotations.insert("org.opencontainers.image.ref.name".to_owned(), tag.to_owned());
    Ok(descriptor)
}

fn write_artifact(blobs: &Path, artifact: &Artifact) -> Result<(), ImageError> {
    write_blob(blobs, &artifact.manifest)?;
    for blob in artifact.blobs() {
        write_blob(blobs, &blob.data)?;
    }
    Ok(())
}

fn write_blob(blobs: &Path, bytes: &[u8]) -> Result<(), ImageError> {
    let digest = sha256(bytes);
    let name = digest.strip_prefix("sha256:").unwrap_or(&digest);
    write_file(&blobs.join(name), bytes)
}

fn write_file(path: &Path, bytes: &[u8]) -> Result<(), ImageError> {
    fs::write(path, bytes).map_err(|source| failed(path, source))
}

fn failed(path: &Path, source: std::io::Error) -> ImageError {
    ImageError::File {
        path: path.to_owned(),
        source,
    }
}
