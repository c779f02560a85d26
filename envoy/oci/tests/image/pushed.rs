//! Images in a registry (Debian's docker-registry), read by a client that is not ours (`skopeo`).

use std::fs;

use oci_client::Reference;
use oci_client::client::{Client, ClientConfig, ClientProtocol};
use oci_client::manifest::{ImageIndexEntry, OciImageIndex, OciManifest};
use oci_client::secrets::RegistryAuth;
use serde_json::Value;
use support::module_path;
use svidgate_image::artifact::sha256;
use svidgate_image::registry::fallback_tag;

use crate::stage::{
    Registry, VERSION, WASM_VERSION, blob, complaint, inspected, program, pulled, succeeded, temporary, unpacked,
};

fn digest(registry: &Registry, tag: &str) -> String {
    let home = pulled(&registry.url(tag));
    sha256(&fs::read(home.path().join("image/manifest.json")).unwrap())
}

fn referrers(registry: &Registry, tag: &str) -> Vec<Value> {
    let index = inspected(&registry.url(&fallback_tag(&digest(registry, tag))), "--raw");
    assert_eq!(index["mediaType"], "application/vnd.oci.image.index.v1+json");
    index["manifests"].as_array().unwrap().clone()
}

fn push(registry: &Registry) -> String {
    succeeded(
        program()
            .args(["push", "--module"])
            .arg(module_path())
            .arg(registry.place()),
    )
}

#[test]
fn skopeo_pulls_the_bytes_that_were_made() {
    let registry = Registry::filled();
    let layout = temporary();
    succeeded(
        program()
            .args(["image", "--module"])
            .arg(module_path())
            .arg("--out")
            .arg(layout.path()),
    );
    let module = fs::read(module_path()).unwrap();
    for tag in [VERSION, WASM_VERSION] {
        let image = pulled(&registry.url(tag));
        let bytes = fs::read(image.path().join("image/manifest.json")).unwrap();
        let hash = sha256(&bytes)[7..].to_owned();
        assert!(fs::read(layout.path().join("blobs/sha256").join(hash)).unwrap() == bytes);
        let manifest: Value = serde_json::from_slice(&bytes).unwrap();
        let layer = blob(&image, &manifest["layers"][0]["digest"]);
        let pulled_module = if tag == VERSION { unpacked(&layer) } else { layer };
        assert!(fs::read(pulled_module).unwrap() == module, "{tag}");
    }
}

#[test]
fn push_tells_the_digests_that_others_see() {
    let registry = Registry::start();
    let told = push(&registry);
    for tag in [VERSION, WASM_VERSION] {
        let line = format!("{}:{tag} {}\n", registry.place(), digest(&registry, tag));
        assert!(told.contains(&line), "{line} is not in {told}");
    }
}

#[test]
fn tag_of_ones_own_is_used() {
    let registry = Registry::start();
    succeeded(
        program()
            .args(["push", "--tag", "latest", "--module"])
            .arg(module_path())
            .arg(registry.place()),
    );
    assert_eq!(digest(&registry, "latest"), digest(&Registry::filled(), VERSION));
    digest(&registry, "latest-wasm");
}

/// This registry does not list referrers, so the list is under the fallback tag.
#[test]
fn sbom_and_licences_are_listed_as_referrers() {
    let registry = Registry::filled();
    for tag in [VERSION, WASM_VERSION] {
        let subject = digest(&registry, tag);
        let listed = referrers(&registry, tag);
        let types: Vec<&str> = listed
            .iter()
            .map(|entry| entry["artifactType"].as_str().unwrap())
            .collect();
        assert_eq!(
            types,
            [
                "application/vnd.cyclonedx+json",
                "application/vnd.svidgate.licenses.v1+json"
            ]
        );
        for entry in listed {
            let url = format!("docker://{}@{}", registry.place(), entry["digest"].as_str().unwrap());
            let manifest = inspected(&url, "--raw");
            assert_eq!(manifest["subject"]["digest"], subject.as_str());
            assert_eq!(manifest["artifactType"], entry["artifactType"]);
            let image = pulled(&url);
            let content = fs::read(blob(&image, &manifest["layers"][0]["digest"])).unwrap();
            serde_json::from_slice::<Value>(&content).expect("it is JSON");
        }
    }
}

#[test]
fn pushing_again_changes_nothing() {
    let registry = Registry::start();
    let first = push(&registry);
    let listed = referrers(&registry, VERSION);
    assert_eq!(push(&registry), first);
    assert_eq!(referrers(&registry, VERSION), listed);
}

/// Someone else has attached something, and one of ours is missing.
#[tokio::test]
async fn what_others_have_attached_stays_in_the_list() {
    let registry = Registry::filled();
    let client = Client::new(ClientConfig {
        protocol: ClientProtocol::Http,
        ..ClientConfig::default()
    });
    let tag = fallback_tag(&digest(&registry, VERSION));
    let tag = Reference::with_tag(registry.host().to_owned(), "team/svidgate".to_owned(), tag);
    let (manifest, _) = client.pull_manifest(&tag, &RegistryAuth::Anonymous).await.unwrap();
    let OciManifest::ImageIndex(index) = manifest else {
        panic!("{manifest}")
    };
    let [sbom, licences] = <[ImageIndexEntry; 2]>::try_from(index.manifests.clone()).unwrap();
    let foreign = ImageIndexEntry {
        artifact_type: Some("application/example".to_owned()),
        annotations: None,
        ..licences.clone()
    };
    // The manifest of the foreign one must exist: any will do, so it is that of the other image's licences.
    let other = &referrers(&registry, WASM_VERSION)[1];
    let foreign = ImageIndexEntry {
        digest: other["digest"].as_str().unwrap().to_owned(),
        size: other["size"].as_i64().unwrap(),
        ..foreign
    };
    let changed = OciImageIndex {
        manifests: vec![foreign.clone(), sbom.clone()],
        ..index
    };
    client
        .push_manifest(&tag, &OciManifest::ImageIndex(changed))
        .await
        .unwrap();
    push(&registry);
    let now: Vec<String> = referrers(&registry, VERSION)
        .iter()
        .map(|entry| entry["digest"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(now, [foreign.digest, sbom.digest, licences.digest]);
}

#[test]
fn what_is_no_repository_or_no_registry_is_refused_in_one_line() {
    let push_to = |place: &str| complaint(program().args(["push", "--module"]).arg(module_path()).arg(place));
    assert_eq!(
        push_to("127.0.0.1:1/svidgate:tag"),
        "`127.0.0.1:1/svidgate:tag` names no repository (write host/name or host:port/name, without tag and digest)"
    );
    let said = push_to("127.0.0.1:1/svidgate");
    assert!(said.starts_with("cannot push to `127.0.0.1:1/svidgate`: "), "{said}");
    assert!(said.contains("Connection refused"), "{said}");
}
