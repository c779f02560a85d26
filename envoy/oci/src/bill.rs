//! Which crates are in the module, and under which licences.
//!
//! `cargo tree` says which crates are linked into the module: of this package, for this target, with these features,
//! without build scripts and procedural macros. `cargo metadata` says the rest about each. (Its own graph would be too
//! large: it unites the features of the whole workspace.) The standard library is in the module too, and has no
//! manifest.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};
use cyclonedx_bom::external_models::normalized_string::NormalizedString;
use cyclonedx_bom::external_models::spdx::SpdxExpression;
use cyclonedx_bom::external_models::uri::{Purl, Uri};
use cyclonedx_bom::models::bom::{Bom, SpecVersion};
use cyclonedx_bom::models::component::{Classification, Component, Components};
use cyclonedx_bom::models::dependency::{Dependencies, Dependency};
use cyclonedx_bom::models::external_reference::{
    ExternalReference, ExternalReferenceType, ExternalReferences, Uri as Link,
};
use cyclonedx_bom::models::hash::{Hash, HashAlgorithm, HashValue, Hashes};
use cyclonedx_bom::models::license::{LicenseChoice, Licenses};
use cyclonedx_bom::models::metadata::Metadata as About;
use serde::Serialize;

use crate::ImageError;
use crate::artifact::sha256;

/// The package of the module.
const PACKAGE: &str = "svidgate-filter";
const TARGET: &str = "wasm32-wasip1";

/// The standard library's own, as its source says.
const STANDARD_LIBRARY_LICENCE: &str = "MIT OR Apache-2.0";

/// The crates of the module.
#[derive(Clone, Debug)]
pub struct Bill {
    module: Crate,
    description: String,
    /// By name and version.
    crates: Vec<Crate>,
    /// By reference.
    uses: BTreeMap<String, BTreeSet<String>>,
}

/// One crate in the module.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Crate {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// An SPDX expression.
    pub licence: String,
    /// Where its source is; empty when it does not say.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub repository: String,
    #[serde(skip)]
    kind: &'static str,
}

impl Crate {
    fn of(package: &Package) -> Result<Self, ImageError> {
        let name = package.name.to_string();
        let licence = package.license.clone().unwrap_or_default();
        let licence = SpdxExpression::parse_lax(licence).map_err(|_| ImageError::NoLicence(name.clone()))?;
        Ok(Crate {
            name,
            version: package.version.to_string(),
            licence: licence.to_string(),
            repository: package.repository.clone().unwrap_or_default(),
            kind: "cargo",
        })
    }

    fn purl(&self) -> Result<Purl, ImageError> {
        Purl::new(self.kind, &self.name, &self.version).map_err(|error| ImageError::Sbom(error.to_string()))
    }

    fn component(&self, class: Classification) -> Result<Component, ImageError> {
        let purl = self.purl()?;
        let mut component = Component::new(class, &self.name, &self.version, Some(purl.to_string()));
        component.purl = Some(purl);
        component.licenses = Some(Licenses(vec![LicenseChoice::expression(&self.licence)]));
        if !self.repository.is_empty() {
            component.external_references = Some(ExternalReferences(vec![ExternalReference {
                external_reference_type: ExternalReferenceType::Vcs,
                url: Link::Url(Uri::new(&self.repository)),
                comment: None,
                hashes: None,
            }]));
        }
        Ok(component)
    }
}

impl Bill {
    /// The crates of the module that is built from the workspace in this directory.
    ///
    /// # Errors
    /// When cargo cannot say, or a crate names no licence.
    pub fn read(workspace: &Path) -> Result<Self, ImageError> {
        let manifest = workspace.join("Cargo.toml");
        let linked = linked_crates(&manifest)?;
        let metadata = MetadataCommand::new()
            .manifest_path(&manifest)
            .other_options(["--locked", "--filter-platform", TARGET].map(str::to_owned))
            .exec()
            .map_err(|error| ImageError::Crates(error.to_string()))?;
        let packages: Vec<&Package> = metadata
            .packages
            .iter()
            .filter(|package| linked.contains(&key(package)))
            .collect();
        let package = packages
            .iter()
            .find(|package| package.name.as_str() == PACKAGE)
            .ok_or_else(|| ImageError::Crates(format!("there is no package `{PACKAGE}`")))?;
        let module = Crate::of(package)?;
        let standard = standard_library()?;
        let mut crates = packages
            .iter()
            .filter(|package| package.name.as_str() != PACKAGE)
            .map(|package| Crate::of(package))
            .collect::<Result<Vec<_>, _>>()?;
        crates.push(standard);
        crates.sort();
        Ok(Bill {
            description: package.description.clone().unwrap_or_default(),
            uses: uses(&metadata, &linked)?,
            module,
            crates,
        })
    }

    /// The version of the module.
    pub fn version(&self) -> &str {
        &self.module.version
    }

    /// The licence of the module's own source.
    pub fn licence(&self) -> &str {
        &self.module.licence
    }

    /// Where the module's source is.
    pub fn repository(&self) -> &str {
        &self.module.repository
    }

    /// What the module is.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// What is linked into the module, by name and version.
    pub fn crates(&self) -> &[Crate] {
        &self.crates
    }

    /// The list of licences as JSON: the module first.
    ///
    /// # Errors
    /// Never, in practice.
    pub fn licences(&self) -> Result<Vec<u8>, ImageError> {
        let all: Vec<&Crate> = std::iter::once(&self.module).chain(&self.crates).collect();
        Ok(serde_json::to_vec_pretty(&all)?)
    }

    /// The SBOM of this module: CycloneDX 1.5, without time and serial number, so that it is the same each time.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn sbom(&self, module: &[u8]) -> Result<Vec<u8>, ImageError> {
        let mut about = self.module.component(Classification::Application)?;
        let digest = sha256(module);
        about.description = Some(NormalizedString::new(&self.description));
        about.hashes = Some(Hashes(vec![Hash {
            alg: HashAlgorithm::SHA_256,
            content: HashValue(digest.trim_start_matches("sha256:").to_owned()),
        }]));
        let components = self
            .crates
            .iter()
            .map(|one| one.component(Classification::Library))
            .collect::<Result<Vec<_>, _>>()?;
        let dependencies = self.uses.iter().map(|(user, used)| Dependency {
            dependency_ref: user.clone(),
            dependencies: used.iter().cloned().collect(),
        });
        let bom = Bom {
            version: 1,
            serial_number: None,
            metadata: Some(About {
                component: Some(about),
                ..About::default()
            }),
            components: Some(Components(components)),
            services: None,
            external_references: None,
            dependencies: Some(Dependencies(dependencies.collect())),
            compositions: None,
            properties: None,
            vulnerabilities: None,
            signature: None,
            annotations: None,
            formulation: None,
            spec_version: SpecVersion::V1_5,
        };
        let mut json = Vec::new();
        bom.output_as_json(&mut json, SpecVersion::V1_5)
            .map_err(|error| ImageError::Sbom(error.to_string()))?;
        Ok(json)
    }
}

type Key = (String, String);

fn key(package: &Package) -> Key {
    (package.name.to_string(), package.version.to_string())
}

fn linked_crates(manifest: &Path) -> Result<BTreeSet<Key>, ImageError> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let text = output(
        Command::new(cargo)
            .args(["tree", "--locked", "--quiet", "--prefix", "none", "--format", "{p}"])
            .args(["--package", PACKAGE, "--target", TARGET])
            .args(["--edges", "normal,no-proc-macro", "--manifest-path"])
            .arg(manifest),
    )?;
    // `NAME vVERSION`, then `(PATH)` or `(*)`.
    Ok(text
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.next()?.to_owned(), words.next()?.strip_prefix('v')?.to_owned()))
        })
        .collect())
}

/// That of the compiler that is at hand, which `make image` has just built the module with.
fn standard_library() -> Result<Crate, ImageError> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let text = output(Command::new(rustc).arg("--version"))?;
    // `rustc 1.95.0 (COMMIT DATE)`
    let version = text.split_whitespace().nth(1).unwrap_or_default();
    Ok(Crate {
        name: "rust-std".to_owned(),
        version: version.to_owned(),
        licence: STANDARD_LIBRARY_LICENCE.to_owned(),
        repository: "https://github.com/rust-lang/rust".to_owned(),
        kind: "generic",
    })
}

fn output(command: &mut Command) -> Result<String, ImageError> {
    let output = command
        .output()
        .map_err(|error| ImageError::Crates(format!("{:?}: {error}", command.get_program())))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(ImageError::Crates(said.trim().to_owned()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Which linked crate uses which.
fn uses(metadata: &Metadata, linked: &BTreeSet<Key>) -> Result<BTreeMap<String, BTreeSet<String>>, ImageError> {
    let mut references = BTreeMap::new();
    for package in metadata
        .packages
        .iter()
        .filter(|package| linked.contains(&key(package)))
    {
        references.insert(&package.id, Crate::of(package)?.purl()?.to_string());
    }
    let nodes = metadata.resolve.iter().flat_map(|resolve| &resolve.nodes);
    let mut uses = BTreeMap::new();
    for node in nodes {
        let Some(user) = references.get(&node.id) else { continue };
        let used = node
            .deps
            .iter()
            .filter(|dep| dep.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal))
            .filter_map(|dep| references.get(&dep.pkg).cloned());
        uses.insert(user.clone(), used.collect());
    }
    Ok(uses)
}
