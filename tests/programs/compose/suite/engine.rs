//! `docker` and Compose: every call ends within a time. After Ctrl-C each call and each wait fails, but for the one
//! that takes everything down.

use std::{
    process::{Command, Output},
    sync::atomic::{AtomicBool, Ordering},
    thread::{sleep, spawn},
    time::{Duration, Instant},
};

use tokio::{
    runtime, select,
    signal::unix::{SignalKind, signal},
};

/// Envoys start, bundles arrive, a restarted host is found again.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(100);

/// How long Compose may take to say its version.
const LOOK_SECONDS: u32 = 20;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// From now on a signal that would end the program makes it unwind instead, once. Further ones change nothing.
pub(crate) fn unwind_on_signals() {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let (mut interrupt, mut terminate, mut hangup) = {
        let _context = runtime.enter();
        let listen = |kind| signal(kind).expect("a signal can be listened for");
        (
            listen(SignalKind::interrupt()),
            listen(SignalKind::terminate()),
            listen(SignalKind::hangup()),
        )
    };
    spawn(move || {
        runtime.block_on(async {
            select! { _ = interrupt.recv() => {} _ = terminate.recv() => {} _ = hangup.recv() => {} }
        });
        eprintln!("interrupted: everything is taken down");
        INTERRUPTED.store(true, Ordering::SeqCst);
    });
}

pub(crate) fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

/// What a command printed, which must succeed within so many seconds.
pub(crate) fn run(seconds: u32, command: &[&str], environment: &[(&str, &str)]) -> String {
    assert!(!interrupted(), "interrupted");
    let output = attempt(seconds, command, environment);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}: {errors}", output.status);
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Compose 2, which is a command of `docker`; where that is not there, Compose 1.
pub(crate) fn compose() -> &'static [&'static str] {
    let two: &[&str] = &["docker", "compose"];
    let is_there = attempt(LOOK_SECONDS, &[two, &["version"]].concat(), &[])
        .status
        .success();
    if is_there { two } else { &["docker-compose"] }
}

/// What came of a command. `timeout` gives it a process group of its own, where a Ctrl-C at the terminal does not reach
/// it.
pub(crate) fn attempt(seconds: u32, command: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut bounded = Command::new("timeout");
    bounded.args(["--kill-after", "5", &seconds.to_string()]).args(command);
    bounded.envs(environment.iter().copied());
    bounded.output().expect("`timeout` is part of every system")
}

/// Looks again and again.
pub(crate) fn wait<T>(mut look: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match look() {
            Ok(found) => return found,
            Err(why) => assert!(Instant::now() < deadline, "{why}"),
        }
        assert!(!interrupted(), "interrupted");
        sleep(PAUSE);
    }
}
