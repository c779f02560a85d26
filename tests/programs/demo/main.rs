//! `make demo`: three federated trust domains and a stranger, real mTLS, a real Envoy. First what comes of twenty-six
//! attempts; then what happens while ids are revoked, a CA is rotated and a bundle endpoint fails.
//!
//! Everything is in `envoy/demo/`; here it is filled in, started, driven and compared with what was expected.

mod attempts;
mod people;
mod setting;
mod sources;
mod story;
mod traffic;

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use attempts::Seen;
use demo::cases::{self, Case};
use setting::Setting;

#[tokio::main]
async fn main() -> ExitCode {
    let keep = std::env::args().any(|argument| argument == "--keep");
    eprintln!("== making four trust domains, starting Envoy, its upstreams and the servers of bundles and revocations");
    let mut setting = saying(
        "Envoy compiles the module, once for each of its threads",
        Setting::start(),
    )
    .await;
    eprintln!("== driving the cases");
    let as_expected = drive_cases(&setting).await;
    eprintln!("== changing trust while traffic flows");
    println!();
    let next = story::next_authority(&setting);
    let told = story::tell(&mut setting, next.clone()).await;
    match &told {
        Ok(()) => println!("all as expected"),
        Err(trouble) => println!("NOT as expected: {trouble}"),
    }
    setting.suggest();
    if keep {
        setting.explain(&people::api(&next, &setting.world));
        // Until the user has seen enough.
        let _ = tokio::signal::ctrl_c().await;
    }
    if as_expected && told.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Waits for something, and says every five seconds what for.
async fn saying<T>(what: &str, waited_for: impl Future<Output = T>) -> T {
    let start = Instant::now();
    let mut waited_for = std::pin::pin!(waited_for);
    loop {
        match tokio::time::timeout(Duration::from_secs(5), &mut waited_for).await {
            Ok(come) => return come,
            Err(_) => eprintln!("   {:2} s: {what}", start.elapsed().as_secs()),
        }
    }
}

async fn drive_cases(setting: &Setting) -> bool {
    let mut as_expected = true;
    println!("{:<45} {:<42} {:<16} reason", "who", "asks for", "answer");
    println!("{}", "-".repeat(140));
    for case in cases::all() {
        let seen = setting.drive(&case).await;
        as_expected &= print(&case, &seen);
    }
    println!("{}", "-".repeat(140));
    if as_expected {
        println!("all {} cases as expected", cases::all().len());
    } else {
        println!("NOT as expected");
    }
    as_expected
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
