//! The two images of one module, and what is attached to each.
//!
//! * The **Wasm OCI artifact** of CNCF's TAG Runtime: the module itself is the layer.
//! * The **compatible image**: an OCI image whose layer holds `plugin.wasm`, which Istio and Envoy Gateway fetch.
//!
//! The SBOM and the licences are referrers (OCI image specification 1.1, `subject`), so they do not change an image.

use jiff::Timestamp;
use serde_json::json;

use crate::ImageError;
use crate::archive;
use crate::artifact::{About, Annotations, Artifact, Blob, sha256};
use crate::bill::Bill;

/// Configuration of the Wasm OCI artifact.
pub const WASM_CONFIG: &str = "application/vnd.wasm.config.v0+json";
/// Layer of the Wasm OCI artifact.
pub const WASM_LAYER: &str = "application/wasm";
/// Configuration of the compatible image.
pub const IMAGE_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// Layer of the compatible image.
pub const IMAGE_LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// Configuration of what has none.
pub const EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// The SBOM.
pub const SBOM: &str = "application/vnd.cyclonedx+json";
/// The licences. There is no registered type for a list of them.
pub const LICENCES: &str = "application/vnd.svidgate.licenses.v1+json";

/// What `wasm32-wasip1` is called in a configuration.
const ARCHITECTURE: &str = "wasm";
const SYSTEM: &str = "wasip1";

/// Which of the two images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The compatible image; its tag is the version.
    Compatible,
    /// The Wasm OCI artifact; its tag is the version and `-wasm`.
    Wasm,
}

impl Form {
    /// Both, in the order in which they are pushed.
    pub const ALL: [Form; 2] = [Form::Compatible, Form::Wasm];

    /// The tag of a version.
    pub fn tag(self, version: &str) -> String {
        match self {
            Form::Compatible => version.to_owned(),
            Form::Wasm => format!("{version}-wasm"),
        }
    }
}

/// What an image is made of. The same parts make the same images.
#[derive(Debug)]
pub struct Parts {
    /// The module.
    pub module: Vec<u8>,
    /// Its crates.
    pub bill: Bill,
    /// When it was made, as far as the images tell: `SOURCE_DATE_EPOCH`, or 1970.
    pub created: Timestamp,
}

/// One image with what is attached to it.
#[derive(Debug)]
pub struct Image {
    /// Which.
    pub form: Form,
    /// The image.
    pub artifact: Artifact,
    /// The SBOM and the licences.
    pub referrers: Vec<Artifact>,
}

/// Both images.
///
/// # Errors
/// When one cannot be written.
pub fn images(parts: &Parts) -> Result<Vec<Image>, ImageError> {
    Form::ALL
        .into_iter()
        .map(|form| {
            let artifact = match form {
                Form::Compatible => compatible(parts)?,
                Form::Wasm => wasm(parts)?,
            };
            Ok(Image {
                form,
                referrers: referrers(parts, &artifact)?,
                artifact,
            })
        })
        .collect()
}

fn wasm(parts: &Parts) -> Result<Artifact, ImageError> {
    let config = json!({
        "created": parts.created.to_string(),
        "architecture": ARCHITECTURE,
        "os": SYSTEM,
        "layerDigests": [sha256(&parts.module)],
    });
    Artifact::new(
        Blob::new(WASM_CONFIG, serde_json::to_vec(&config)?),
        vec![Blob::new(WASM_LAYER, parts.module.clone())],
        About {
            annotations: annotations(&parts.bill),
            ..About::default()
        },
    )
}

fn compatible(parts: &Parts) -> Result<Artifact, ImageError> {
    let layer = archive::layer(&parts.module)?;
    let config = json!({
        "created": parts.created.to_string(),
        "architecture": ARCHITECTURE,
        "os": SYSTEM,
        "config": {},
        "rootfs": { "type": "layers", "diff_ids": [layer.diff_id] },
    });
    let mut annotations = annotations(&parts.bill);
    annotations.insert("module.wasm.image/variant".to_owned(), "compat".to_owned());
    Artifact::new(
        Blob::new(IMAGE_CONFIG, serde_json::to_vec(&config)?),
        vec![Blob::new(IMAGE_LAYER, layer.gzip)],
        About {
            annotations,
            ..About::default()
        },
    )
}

fn referrers(parts: &Parts, image: &Artifact) -> Result<Vec<Artifact>, ImageError> {
    let attached = [
        (SBOM, parts.bill.sbom(&parts.module)?, "SBOM (CycloneDX 1.5)"),
        (LICENCES, parts.bill.licences()?, "licences of the crates in the module"),
    ];
    attached
        .into_iter()
        .map(|(media_type, data, title)| {
            Artifact::new(
                Blob::new(EMPTY, b"{}".to_vec()),
                vec![Blob::new(media_type, data)],
                About {
                    artifact_type: Some(media_type.to_owned()),
                    annotations: [("org.opencontainers.image.title".to_owned(), title.to_owned())].into(),
                    subject: Some(image.subject()?),
                },
            )
        })
        .collect()
}

fn annotations(bill: &Bill) -> Annotations {
    let text = [
        ("title", "svidgate"),
        ("description", bill.description()),
        ("version", bill.version()),
        ("licenses", bill.licence()),
        ("source", bill.repository()),
    ];
    text.into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (format!("org.opencontainers.image.{name}"), value.to_owned()))
        .collect()
}
