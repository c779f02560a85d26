//! The module as OCI images: what they contain, how they reach a registry, and how they are signed and verified.
//!
//! | module | what it answers |
//! |---|---|
//! | [`forms`] | the two images of one module, and what is attached to them |
//! | [`bill`] | which crates are in the module: the SBOM and the list of licences |
//! | [`archive`] | the layer of the compatible image |
//! | [`artifact`] | a manifest with its blobs |
//! | [`layout`] | images as files |
//! | [`registry`] | images in a registry, and their referrers |
//! | [`signature`] | signing with a key, and verifying as cosign does |
//!
//! Everything is a function of the module, its crates and `SOURCE_DATE_EPOCH`: no clock, file time, user or locale
//! enters.

pub mod archive;
pub mod artifact;
pub mod bill;
pub mod error;
pub mod forms;
pub mod layout;
pub mod registry;
pub mod signature;

pub use error::ImageError;
