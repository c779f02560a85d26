//! `conformance DIR`: runs the vectors of a folder and says what came of them. `conformance DIR MODULE` asks a built
//! module instead, in the rows that a proxy could ask it in.

use std::process::ExitCode;

use conformance::Report;

fn main() -> ExitCode {
    conformance::name_the_row_on_panic();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let report = match arguments.as_slice() {
        [folder] => conformance::run(folder),
        [folder, module] => run_module(folder, module),
        _ => Err("usage: conformance DIR [MODULE]".to_owned()),
    };
    match report {
        Ok(report) => {
            print!("{report}");
            if report.passed {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(not(target_family = "wasm"))]
fn run_module(folder: &str, module: &str) -> Result<Report, String> {
    let wasm = std::fs::read(module).map_err(|error| format!("{module}: {error}"))?;
    conformance::run_module(folder, &wasm)
}

#[cfg(target_family = "wasm")]
fn run_module(_: &str, _: &str) -> Result<Report, String> {
    Err("a module is asked on the host".to_owned())
}
