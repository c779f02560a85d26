//! Signatures: made with a key, verified by the sigstore project's client and by `skopeo`; and what each must refuse.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use support::module_path;
use svidgate_image::signature::signature_tag;
use tempfile::TempDir;

use crate::stage::{
    Registry, VERSION, WASM_VERSION, complaint, inspected, program, pulled, refused, skopeo, succeeded, temporary,
};

struct Keys(TempDir);

impl Keys {
    fn new() -> Self {
        let home = temporary();
        succeeded(program().args(["generate-key", "--out"]).arg(home.path()));
        Keys(home)
    }

    fn private(&self) -> PathBuf {
        self.0.path().join("cosign.key")
    }

    fn public(&self) -> PathBuf {
        self.0.path().join("cosign.pub")
    }
}

fn sign(registry: &Registry, key: &Path) -> Command {
    let mut command = program();
    command.args(["sign", "--key"]).arg(key).arg(registry.place());
    command
}

fn verify(registry: &Registry, key: &Path) -> Command {
    let mut command = program();
    command.args(["verify", "--key"]).arg(key).arg(registry.place());
    command
}

fn signed() -> (Registry, Keys) {
    let (registry, keys) = (Registry::filled(), Keys::new());
    succeeded(&mut sign(&registry, &keys.private()));
    (registry, keys)
}

async fn digest(registry: &Registry, tag: &str) -> String {
    registry.repository().digest(tag).await.unwrap().unwrap()
}

/// Copies inside the registry, bytes as they are.
fn copy(registry: &Registry, from: &str, to: &str) {
    succeeded(&mut skopeo(&[
        "copy",
        "--quiet",
        "--src-tls-verify=false",
        "--dest-tls-verify=false",
        &registry.url(from),
        &registry.url(to),
    ]));
}

#[tokio::test]
async fn signed_images_are_verified_and_give_the_module() {
    let (registry, keys) = signed();
    let out = keys.0.path().join("plugin.wasm");
    let told = succeeded(verify(&registry, &keys.public()).arg("--out").arg(&out));
    for tag in [VERSION, WASM_VERSION] {
        let line = format!("verified {}:{tag} {}\n", registry.place(), digest(&registry, tag).await);
        assert!(told.contains(&line), "{told}");
    }
    assert!(fs::read(out).unwrap() == fs::read(module_path()).unwrap());
    let sum = succeeded(Command::new("sha256sum").arg(module_path()));
    let pin = format!("  module sha256 {}\n", &sum[..64]);
    assert_eq!(told.matches(&pin).count(), 2, "{told}");
}

#[tokio::test]
async fn signature_is_where_and_what_cosign_writes() {
    let (registry, _keys) = signed();
    let digest = digest(&registry, VERSION).await;
    let url = registry.url(&signature_tag(&digest));
    let manifest = inspected(&url, "--raw");
    let layer = &manifest["layers"][0];
    assert_eq!(layer["mediaType"], "application/vnd.dev.cosign.simplesigning.v1+json");
    assert!(layer["annotations"]["dev.cosignproject.cosign/signature"].is_string());
    let image = pulled(&url);
    let payload: serde_json::Value =
        serde_json::from_slice(&fs::read(crate::stage::blob(&image, &layer["digest"])).unwrap()).unwrap();
    assert_eq!(
        payload["critical"],
        json!({
            "identity": { "docker-reference": registry.place() },
            "image": { "docker-manifest-digest": digest },
            "type": "cosign container image signature",
        })
    );
}

/// Without any code of ours or of the library: pulled by `skopeo` (Debian's has its own verification switched off),
/// checked by `openssl`.
#[tokio::test]
async fn openssl_accepts_our_signature_and_refuses_another_key() {
    let (registry, keys) = signed();
    let url = registry.url(&signature_tag(&digest(&registry, VERSION).await));
    let layer = inspected(&url, "--raw")["layers"][0].clone();
    let image = pulled(&url);
    let payload = crate::stage::blob(&image, &layer["digest"]);
    let text = image.path().join("signature.base64");
    fs::write(
        &text,
        layer["annotations"]["dev.cosignproject.cosign/signature"]
            .as_str()
            .unwrap(),
    )
    .unwrap();
    let signature = image.path().join("signature");
    succeeded(
        Command::new("openssl")
            .args(["base64", "-d", "-A", "-in"])
            .arg(&text)
            .arg("-out")
            .arg(&signature),
    );
    let checked = |key: &Path| {
        let mut command = Command::new("openssl");
        command
            .args(["dgst", "-sha256", "-verify"])
            .arg(key)
            .arg("-signature")
            .arg(&signature)
            .arg(&payload);
        command
    };
    assert_eq!(succeeded(&mut checked(&keys.public())), "Verified OK\n");
    refused(&mut checked(&Keys::new().public()));
}

#[tokio::test]
async fn wrong_key_is_refused() {
    let (registry, _keys) = signed();
    let said = complaint(&mut verify(&registry, &Keys::new().public()));
    let tag = signature_tag(&digest(&registry, VERSION).await);
    let expected = format!(
        "`{}:{VERSION}`: the signature in `{tag}` was not made with this key",
        registry.place()
    );
    assert_eq!(said, expected);
}

#[tokio::test]
async fn unsigned_image_is_refused() {
    let registry = Registry::filled();
    let said = complaint(&mut verify(&registry, &Keys::new().public()));
    let tag = signature_tag(&digest(&registry, VERSION).await);
    let expected = format!(
        "`{}:{VERSION}` is not signed: there is no tag `{tag}`",
        registry.place()
    );
    assert_eq!(said, expected);
}

#[tokio::test]
async fn signature_of_another_digest_is_refused() {
    let (registry, keys) = (Registry::filled(), Keys::new());
    succeeded(&mut sign(&registry, &keys.private()));
    let (image, other) = (digest(&registry, VERSION).await, digest(&registry, WASM_VERSION).await);
    copy(&registry, &signature_tag(&other), &signature_tag(&image));
    let said = complaint(&mut verify(&registry, &keys.public()));
    let expected = format!(
        "`{}:{VERSION}`: the signature in `{}` is not of this image ({image})",
        registry.place(),
        signature_tag(&image)
    );
    assert_eq!(said, expected);
}

/// Both the digest that was signed and the signature are as they were; the registry's bytes of the layer are not.
#[tokio::test]
async fn tampered_layer_is_refused() {
    let (registry, keys) = signed();
    let manifest = inspected(&registry.url(VERSION), "--raw");
    let path = registry.blob(manifest["layers"][0]["digest"].as_str().unwrap());
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();
    let said = complaint(&mut verify(&registry, &keys.public()));
    let expected = format!(
        "`{}@{}`: the registry's bytes of its layer are not those that the manifest names",
        registry.place(),
        digest(&registry, VERSION).await
    );
    assert_eq!(said, expected);
}

#[test]
fn signing_again_adds_nothing_and_another_key_is_refused() {
    let (registry, keys) = signed();
    let told = succeeded(&mut sign(&registry, &keys.private()));
    assert_eq!(told.matches("signed already ").count(), 2, "{told}");
    let said = complaint(&mut sign(&registry, &Keys::new().private()));
    assert!(said.contains("is signed already, by another key"), "{said}");
    succeeded(&mut verify(&registry, &keys.public()));
}

#[test]
fn key_that_openssl_made_signs() {
    let (registry, home) = (Registry::filled(), temporary());
    let (private, public) = (home.path().join("key.pem"), home.path().join("key.pub"));
    succeeded(
        Command::new("openssl")
            .args([
                "genpkey",
                "-algorithm",
                "EC",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-out",
            ])
            .arg(&private),
    );
    succeeded(
        Command::new("openssl")
            .args(["pkey", "-pubout", "-in"])
            .arg(&private)
            .arg("-out")
            .arg(&public),
    );
    succeeded(&mut sign(&registry, &private));
    succeeded(&mut verify(&registry, &public));
}

#[test]
fn key_with_a_wrong_password_or_in_place_already_is_refused() {
    let (registry, keys) = (Registry::filled(), Keys::new());
    let said = complaint(sign(&registry, &keys.private()).env("COSIGN_PASSWORD", "another"));
    assert!(said.contains("is not a key that can be used"), "{said}");
    let said = complaint(program().args(["generate-key", "--out"]).arg(keys.0.path()));
    assert!(said.contains("File exists"), "{said}");
}
