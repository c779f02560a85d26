//! What `make image` makes, read by others: `skopeo`, `tar`, and a parser of SBOMs.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use cyclonedx_bom::models::bom::Bom;
use cyclonedx_bom::validation::Validate;
use serde_json::{Value, json};
use support::module_path;
use svidgate_image::artifact::sha256;
use tempfile::TempDir;

use crate::stage::{
    VERSION, WASM_VERSION, blob, complaint, files, inspected, program, pulled, succeeded, temporary, unpacked,
};

fn layout() -> TempDir {
    let home = temporary();
    succeeded(
        program()
            .args(["image", "--module"])
            .arg(module_path())
            .arg("--out")
            .arg(home.path()),
    );
    home
}

fn url(layout: &TempDir, tag: &str) -> String {
    format!("oci:{}:{tag}", layout.path().display())
}

/// The index lists referrers beside the images; gives the content of the one of a type that is attached to an image.
fn attached(layout: &TempDir, tag: &str, kind: &str) -> Vec<u8> {
    let read = |digest: &Value| {
        let hash = digest.as_str().unwrap().strip_prefix("sha256:").unwrap();
        fs::read(layout.path().join("blobs/sha256").join(hash)).unwrap()
    };
    let index: Value = serde_json::from_slice(&fs::read(layout.path().join("index.json")).unwrap()).unwrap();
    let manifests = index["manifests"].as_array().unwrap();
    let image = manifests
        .iter()
        .find(|entry| entry["annotations"]["org.opencontainers.image.ref.name"] == tag)
        .unwrap();
    let found: Vec<Value> = manifests
        .iter()
        .filter(|entry| entry["artifactType"] == kind)
        .map(|entry| serde_json::from_slice(&read(&entry["digest"])).unwrap())
        .filter(|manifest: &Value| manifest["subject"]["digest"] == image["digest"])
        .collect();
    assert_eq!(found.len(), 1, "{found:#?}");
    let manifest = &found[0];
    assert_eq!(manifest["artifactType"], kind);
    assert_eq!(manifest["config"]["mediaType"], "application/vnd.oci.empty.v1+json");
    assert_eq!(manifest["subject"]["size"], image["size"]);
    assert_eq!(
        manifest["subject"]["mediaType"],
        "application/vnd.oci.image.manifest.v1+json"
    );
    assert_eq!(manifest["layers"][0]["mediaType"], kind);
    read(&manifest["layers"][0]["digest"])
}

#[test]
fn images_are_the_same_whatever_the_time_the_umask_the_zone_and_the_file() {
    let first = layout();
    let home = temporary();
    let module = home.path().join("another-name.wasm");
    fs::copy(module_path(), &module).unwrap();
    fs::File::open(&module)
        .unwrap()
        .set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(86_400))
        .unwrap();
    let second = home.path().join("layout");
    let plain = program();
    let mut odd = Command::new("sh");
    odd.args(["-c", "umask 0777 && umask 077 && exec \"$@\"", "sh"])
        .arg(plain.get_program())
        .args(plain.get_args())
        .args(["image", "--module"])
        .arg(&module)
        .arg("--out")
        .arg(&second)
        .env_remove("SOURCE_DATE_EPOCH")
        .env("TZ", "Pacific/Kiritimati")
        .env("LC_ALL", "C")
        .env("USER", "somebody");
    succeeded(&mut odd);
    let (first, second) = (files(first.path()), files(&second));
    assert_eq!(first.keys().collect::<Vec<_>>(), second.keys().collect::<Vec<_>>());
    assert!(first == second, "the same names hold other bytes");
    // Two images with three blobs each, four referrers with one each, one empty configuration, the index, the layout's
    // mark: a module that is a layer and what the compatible image packs are different blobs; SBOM and licences are
    // shared.
    assert_eq!(first.len(), 2 * 3 + 4 + 2 + 1 + 2);
}

#[test]
fn source_date_epoch_is_the_time_in_the_images_and_changes_nothing_else() {
    let dated = temporary();
    succeeded(
        program()
            .env("SOURCE_DATE_EPOCH", "1767225600")
            .args(["image", "--module"])
            .arg(module_path())
            .arg("--out")
            .arg(dated.path()),
    );
    let plain = layout();
    for tag in [VERSION, WASM_VERSION] {
        let of = |home| inspected(&url(home, tag), "--raw");
        let (dated_manifest, plain_manifest) = (of(&dated), of(&plain));
        assert_eq!(dated_manifest["layers"], plain_manifest["layers"]);
        let hash = |manifest: &Value| manifest["config"]["digest"].as_str().unwrap()[7..].to_owned();
        let config = |home: &TempDir, manifest: &Value| -> Value {
            let path = home.path().join("blobs/sha256").join(hash(manifest));
            serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
        };
        assert_eq!(config(&dated, &dated_manifest)["created"], "2026-01-01T00:00:00Z");
        assert_eq!(config(&plain, &plain_manifest)["created"], "1970-01-01T00:00:00Z");
    }
    let said = complaint(
        program()
            .env("SOURCE_DATE_EPOCH", "yesterday")
            .args(["image", "--module"])
            .arg(module_path())
            .arg("--out")
            .arg(dated.path()),
    );
    assert_eq!(
        said,
        "SOURCE_DATE_EPOCH is `yesterday`, not a number of seconds since 1970"
    );
}

/// <https://tag-runtime.cncf.io/wgs/wasm/deliverables/wasm-oci-artifact/>
#[test]
fn wasm_artifact_is_laid_out_as_the_tag_runtime_says() {
    let layout = layout();
    let manifest = inspected(&url(&layout, WASM_VERSION), "--raw");
    assert_eq!(manifest["schemaVersion"], 2);
    assert_eq!(manifest["mediaType"], "application/vnd.oci.image.manifest.v1+json");
    assert_eq!(manifest["config"]["mediaType"], "application/vnd.wasm.config.v0+json");
    assert_eq!(manifest["layers"].as_array().unwrap().len(), 1);
    assert_eq!(manifest["layers"][0]["mediaType"], "application/wasm");
    let module = fs::read(module_path()).unwrap();
    assert_eq!(manifest["layers"][0]["digest"], sha256(&module));
    assert_eq!(manifest["layers"][0]["size"], module.len());
    let image = pulled(&url(&layout, WASM_VERSION));
    assert!(fs::read(blob(&image, &manifest["layers"][0]["digest"])).unwrap() == module);
    let config: Value =
        serde_json::from_slice(&fs::read(blob(&image, &manifest["config"]["digest"])).unwrap()).unwrap();
    assert_eq!(
        config,
        json!({
            "created": "1970-01-01T00:00:00Z",
            "architecture": "wasm",
            "os": "wasip1",
            "layerDigests": [sha256(&module)],
        })
    );
}

#[test]
fn compatible_image_holds_plugin_wasm_in_one_gzipped_layer() {
    let layout = layout();
    let manifest = inspected(&url(&layout, VERSION), "--raw");
    assert_eq!(manifest["mediaType"], "application/vnd.oci.image.manifest.v1+json");
    assert_eq!(
        manifest["config"]["mediaType"],
        "application/vnd.oci.image.config.v1+json"
    );
    assert_eq!(manifest["layers"].as_array().unwrap().len(), 1);
    assert_eq!(
        manifest["layers"][0]["mediaType"],
        "application/vnd.oci.image.layer.v1.tar+gzip"
    );
    assert_eq!(manifest["annotations"]["module.wasm.image/variant"], "compat");
    let config = inspected(&url(&layout, VERSION), "--config");
    assert_eq!(
        (&config["architecture"], &config["os"]),
        (&json!("wasm"), &json!("wasip1"))
    );
    let image = pulled(&url(&layout, VERSION));
    let layer = blob(&image, &manifest["layers"][0]["digest"]);
    let tar = Command::new("gzip").args(["-dc"]).arg(&layer).output().unwrap().stdout;
    assert_eq!(config["rootfs"]["diff_ids"], json!([sha256(&tar)]));
    let listed = succeeded(Command::new("tar").args(["-tzf"]).arg(&layer));
    assert_eq!(listed, "plugin.wasm\n");
    assert!(fs::read(unpacked(&layer)).unwrap() == fs::read(module_path()).unwrap());
}

#[test]
fn both_images_say_what_they_are() {
    let layout = layout();
    for tag in [VERSION, WASM_VERSION] {
        let manifest = inspected(&url(&layout, tag), "--raw");
        let said = |name: &str| manifest["annotations"][format!("org.opencontainers.image.{name}")].clone();
        assert_eq!(said("title"), "svidgate");
        assert_eq!(said("version"), VERSION);
        assert_eq!(said("licenses"), "Apache-2.0");
        assert!(said("source").as_str().unwrap().starts_with("https://"));
        assert!(!said("description").as_str().unwrap().is_empty());
        assert_eq!(said("created"), Value::Null);
    }
}

#[test]
fn sbom_names_what_is_linked_into_the_module_and_nothing_else() {
    let layout = layout();
    let sbom = attached(&layout, VERSION, "application/vnd.cyclonedx+json");
    assert!(sbom == attached(&layout, WASM_VERSION, "application/vnd.cyclonedx+json"));
    let bom = Bom::parse_from_json(&sbom[..]).unwrap();
    let validation = bom.validate();
    assert!(validation.passed(), "{validation:?}");
    let bom: Value = serde_json::from_slice(&sbom).unwrap();
    assert_eq!(
        (&bom["bomFormat"], &bom["specVersion"]),
        (&json!("CycloneDX"), &json!("1.5"))
    );
    let module = &bom["metadata"]["component"];
    assert_eq!(module["purl"], "pkg:cargo/svidgate-filter@0.1.0");
    let digest = sha256(&fs::read(module_path()).unwrap());
    assert_eq!(
        module["hashes"],
        json!([{ "alg": "SHA-256", "content": digest.trim_start_matches("sha256:") }])
    );
    let names: Vec<&str> = bom["components"]
        .as_array()
        .unwrap()
        .iter()
        .map(|component| component["name"].as_str().unwrap())
        .collect();
    for linked in ["svidgate-policy", "prost", "p256", "x509-cert", "rust-std"] {
        assert!(names.contains(&linked), "no {linked}: {names:?}");
    }
    // A procedural macro, a library of tests, one of a feature that only tests switch on, and one of build scripts.
    for not_linked in [
        "serde_derive",
        "prost-derive",
        "proptest",
        "serde-saphyr",
        "tokio",
        "version_check",
    ] {
        assert!(!names.contains(&not_linked), "{not_linked}");
    }
    let policy = bom["dependencies"]
        .as_array()
        .unwrap()
        .iter()
        .find(|entry| entry["ref"] == "pkg:cargo/svidgate-filter@0.1.0")
        .unwrap();
    let used = policy["dependsOn"].as_array().unwrap();
    assert!(used.contains(&json!("pkg:cargo/svidgate-policy@0.1.0")), "{used:?}");
}

#[test]
fn every_crate_in_the_module_has_its_licence_in_the_list() {
    let layout = layout();
    let sbom: Value = serde_json::from_slice(&attached(&layout, VERSION, "application/vnd.cyclonedx+json")).unwrap();
    let list = attached(&layout, VERSION, "application/vnd.svidgate.licenses.v1+json");
    let list: Vec<Value> = serde_json::from_slice(&list).unwrap();
    assert_eq!(list[0]["name"], "svidgate-filter");
    assert_eq!(list.len(), sbom["components"].as_array().unwrap().len() + 1);
    for entry in &list {
        let licence = entry["licence"].as_str().unwrap();
        assert!(!licence.is_empty() && !licence.contains('/'), "{entry}");
    }
    let of = |name: &str| list.iter().find(|entry| entry["name"] == name).unwrap()["licence"].clone();
    assert_eq!(of("curve25519-dalek"), "BSD-3-Clause");
    // `MIT/Apache-2.0` in its manifest, which is no SPDX expression.
    assert_eq!(of("ff"), "MIT OR Apache-2.0");
}

#[test]
fn what_is_no_module_is_refused() {
    let home = temporary();
    let file = home.path().join("text");
    fs::write(&file, "text").unwrap();
    let made = |path: &Path| {
        complaint(
            program()
                .args(["image", "--module"])
                .arg(path)
                .arg("--out")
                .arg(home.path()),
        )
    };
    let said = made(&file);
    assert_eq!(
        said,
        format!("`{}` is not a WebAssembly module: run `make wasm`", file.display())
    );
    let absent = home.path().join("absent");
    let said = made(&absent);
    assert_eq!(
        said,
        format!("`{}`: No such file or directory (os error 2)", absent.display())
    );
}
