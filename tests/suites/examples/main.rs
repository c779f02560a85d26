//! The configurations below `envoy/` that people copy run as they are, once filled in.

mod ecds_file;
mod federation;
mod inner_listener;
mod manifests;
mod mesh;
mod second_lock;
mod validate;
mod xds;

use std::{fs, path::Path};

use support::{module_path, repository, world::World};

/// The text of a configuration with what every one of them needs, and with these values in place of `${NAME}`.
fn filled(name: &str, home: &Path, world: &World, values: &[(&str, String)]) -> String {
    let text = fs::read_to_string(repository().join("envoy").join(name)).expect("the example is there");
    let file = |name: &str, text: String| {
        let path = home.join(name);
        fs::write(&path, text).expect("a temporary file");
        path.display().to_string()
    };
    let usual = [
        ("SERVER_CERTIFICATE", file("server.pem", world.server.chain_pem())),
        ("SERVER_KEY", file("server.key", world.server.key_pem())),
        ("MODULE", module_path().display().to_string()),
    ];
    let mut filled = text;
    for (name, value) in values.iter().chain(&usual) {
        let place = format!("${{{name}}}");
        // A control plane names the module itself, and so do files that Envoy watches.
        assert!(
            filled.contains(&place) || *name == "MODULE",
            "{place} is in the example"
        );
        filled = filled.replace(&place, value);
    }
    filled
}
