//! The same vectors on `wasm32-unknown-unknown`, in the engine of Node: there is no command there that could be run, so
//! it is a test. `run.sh` sets `VECTORS`, an absolute path, when it builds this.

#![cfg(all(target_family = "wasm", target_os = "unknown"))]

use wasm_bindgen_test::{console_log, wasm_bindgen_test};

#[wasm_bindgen_test]
fn every_vector_comes_out_as_it_should() {
    let Some(folder) = option_env!("VECTORS") else {
        panic!("`make conformance` says where the vectors are")
    };
    let report = conformance::run(folder).unwrap();
    console_log!("{report}");
    assert!(report.passed, "not every vector comes out as it should");
}
