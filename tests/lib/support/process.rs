//! What a process uses, by the kernel's own count.

use std::fs;
use std::time::Duration;

/// CPU time that all threads of a process have used.
///
/// # Panics
/// When it is gone.
pub fn cpu(pid: u32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("the process is there");
    let run_time = |thread: fs::DirEntry| -> Option<u64> {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse().ok()
    };
    Duration::from_nanos(tasks.filter_map(|thread| run_time(thread.ok()?)).sum())
}

/// Resident memory of a process in bytes.
///
/// # Panics
/// When it is gone.
pub fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process is there");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok());
    kilobytes.expect("the kernel tells VmRSS in kB") * 1024
}
