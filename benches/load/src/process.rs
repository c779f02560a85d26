//! What a process uses, by the kernel's own count, and where it runs.

use std::fs;
use std::process::{Command, Stdio};

pub use support::process::{cpu, resident};

/// The core of the Envoys.
const ENVOY_CORE: usize = 0;
/// The core of the load generator and of the servers in its process.
const GENERATOR_CORE: usize = 1;

/// Puts an Envoy, with all its threads, on its core. With one core there is nothing to do.
pub fn pin_envoy(pid: u32) {
    pin(pid, ENVOY_CORE);
}

/// Puts this process on its core, before it starts threads of its own or Envoys.
pub fn pin_generator() {
    pin(std::process::id(), GENERATOR_CORE);
}

fn pin(pid: u32, core: usize) {
    if std::thread::available_parallelism().is_ok_and(|cores| cores.get() < 2) && !is_pinned() {
        return;
    }
    let status = Command::new("taskset")
        .args([
            "--all-tasks",
            "--cpu-list",
            "--pid",
            &core.to_string(),
            &pid.to_string(),
        ])
        .stdout(Stdio::null())
        .status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "cannot pin process {pid} to core {core}: install util-linux (taskset)"
    );
}

/// Whether this process has been put on its core, after which it no longer sees the others.
fn is_pinned() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    line.is_some_and(|list| list.trim() == GENERATOR_CORE.to_string())
}
