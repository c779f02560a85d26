//! `conformance DIR`: runs the vectors of a folder and says what came of them.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (Some(folder), None) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: conformance DIR");
        return ExitCode::FAILURE;
    };
    conformance::name_the_row_on_panic();
    match conformance::run(&folder) {
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
