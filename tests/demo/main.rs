//! `make demo`: two federated trust domains and a stranger, real mTLS, a real Envoy, and what came of each attempt.
//!
//! Everything is in `envoy/demo/`; here it is filled in, started, driven and compared with what was expected.

mod cases;
mod setting;

use std::process::ExitCode;

use cases::Case;
use setting::{Seen, Setting};

#[tokio::main]
async fn main() -> ExitCode {
    let keep = std::env::args().any(|argument| argument == "--keep");
    eprintln!("== making three trust domains, starting Envoy and three upstreams");
    let setting = Setting::start().await;
    eprintln!("== driving the cases");
    let mut all_as_expected = true;
    println!("{:<45} {:<42} {:<16} reason", "who", "asks for", "answer");
    println!("{}", "-".repeat(140));
    for case in cases::all() {
        let seen = setting.drive(&case).await;
        all_as_expected &= print(&case, &seen);
    }
    println!("{}", "-".repeat(140));
    if keep {
        setting.explain();
        // Until the user has seen enough.
        let _ = tokio::signal::ctrl_c().await;
    }
    if all_as_expected {
        println!("all {} cases as expected", cases::all().len());
        ExitCode::SUCCESS
    } else {
        println!("NOT as expected");
        ExitCode::FAILURE
    }
}

fn print(case: &Case, seen: &Seen) -> bool {
    let expected = seen.answer == case.answer && seen.reason == case.reason;
    println!(
        "{:<45} {:<42} {:<16} {}",
        case.who.label(),
        case.asks.label(),
        seen.answer,
        seen.reason
    );
    if !expected {
        println!("    ^ expected: {} {}", case.answer, case.reason);
    }
    expected
}
