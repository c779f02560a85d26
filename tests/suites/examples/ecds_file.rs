//! The document from files that Envoy watches.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use support::{
    ca::bundle_json,
    client::Client,
    envoy::{Envoy, Scenario},
    module_path, repository,
    world::World,
};
use tokio::time::sleep;

use crate::filled;

const FILES: [&str; 2] = ["svidgate.connection.yaml", "svidgate.request.yaml"];

/// Both files with `path` for `/orders`, each written beside and moved into place.
fn publish(directory: &Path, world: &World, path: &str) {
    for name in FILES {
        let text = fs::read_to_string(repository().join("envoy/ecds-file").join(name)).expect("the example is there");
        let text = text
            .replace("${MODULE}", &module_path().display().to_string())
            .replace("${BUNDLE}", &bundle_json(&[&world.own]).to_string())
            .replace("/orders/", path);
        let fresh = directory.join("fresh.yaml");
        fs::write(&fresh, text).expect("a temporary file");
        fs::rename(fresh, directory.join(name)).expect("moved into place");
    }
}

#[tokio::test]
async fn envoy_takes_its_plugins_from_files_and_a_new_document_at_run_time() {
    let (world, home) = (World::new(), tempfile::tempdir().expect("a temporary directory"));
    let directory = home.path().join("ecds");
    fs::create_dir(&directory).expect("a directory");
    publish(&directory, &world, "/orders/");
    let values = [("ECDS", directory.display().to_string())];
    let text = filled("ecds-file/bootstrap.yaml", home.path(), &world, &values);
    let envoy = Envoy::start(Scenario {
        text: Some(text),
        ..Scenario::default()
    })
    .await;
    let client = Client::new(Some(&world.own_identity("/ns/shop/sa/api")));
    let ask = async |path: &str| {
        let connection = client.connect(envoy.listener_addr("web")).await.unwrap();
        connection.http1().await.unwrap().get(path).await.status()
    };
    assert_eq!(
        [ask("/orders/7").await, ask("/returns/7").await],
        [Some(200), Some(403)]
    );
    publish(&directory, &world, "/returns/");
    let start = Instant::now();
    while ask("/returns/7").await != Some(200) {
        assert!(start.elapsed() < Duration::from_secs(20), "the new files are not read");
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(ask("/orders/7").await, Some(403));
    // A document with a mistake changes nothing.
    publish(&directory, &world, "no-slash/");
    envoy.wait_log("svidgate: configuration:").await;
    assert_eq!(
        [ask("/orders/7").await, ask("/returns/7").await],
        [Some(403), Some(200)]
    );
}
