//! The process of an Envoy, which never outlives the test.
//!
//! A dropped test kills it. A test that is itself killed cannot, so the kernel does: `setpriv --pdeathsig` asks for
//! that. The kernel means the *thread* that started the child, so that thread is kept as long as the [`Process`].

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use super::binary::binary;
use super::scenario::Scenario;
use crate::repository;

#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    parent: Option<(mpsc::Sender<()>, JoinHandle<()>)>,
}

impl Process {
    pub(super) fn spawn(scenario: &Scenario, bootstrap: &Path, home: &Path) -> Self {
        let mut command = command(scenario, bootstrap, home);
        let (tell, told) = mpsc::channel();
        let (hold, held) = mpsc::channel::<()>();
        let thread = thread::spawn(move || {
            let spawned = command.spawn();
            if tell.send(spawned).is_ok() {
                // Until the sender is dropped.
                let _ = held.recv();
            }
        });
        let spawned = told.recv().expect("the thread that starts Envoy answers");
        let child =
            spawned.unwrap_or_else(|error| panic!("cannot run setpriv, which runs Envoy: {error}; install util-linux"));
        Process {
            child,
            parent: Some((hold, thread)),
        }
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn is_running(&mut self) -> bool {
        self.exit().is_none()
    }

    /// How it ended, where it has. `setpriv` has become Envoy, so this is Envoy's own.
    pub(super) fn exit(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some((hold, thread)) = self.parent.take() {
            drop(hold);
            let _ = thread.join();
        }
    }
}

fn command(scenario: &Scenario, bootstrap: &Path, home: &Path) -> Command {
    let stderr = File::create(stderr_path(home)).expect("a file for what Envoy prints");
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "--"])
        .arg(binary())
        .arg("--config-path")
        .arg(bootstrap)
        .arg("--admin-address-path")
        .arg(admin_path(home))
        .arg("--log-path")
        .arg(log_path(home))
        .args(["--log-level", &scenario.log_level])
        .args(["--component-log-level", &format!("wasm:{}", scenario.wasm_log_level)])
        .args(["--concurrency", &scenario.concurrency.to_string()])
        // No base id, no shared memory: nothing that two Envoys could share, nothing that is left behind.
        .arg("--disable-hot-restart")
        // An access log entry is there at once.
        .args(["--file-flush-interval-msec", "20"])
        .args(
            scenario
                .drain_time
                .iter()
                .flat_map(|time| ["--drain-time-s".to_owned(), time.as_secs().to_string()]),
        )
        // Where it looks for native modules.
        .env("ENVOY_DYNAMIC_MODULES_SEARCH_PATH", repository().join("target/native"))
        .current_dir(home)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(stderr);
    command
}

pub(super) fn admin_path(home: &Path) -> PathBuf {
    home.join("admin.addr")
}

pub(super) fn log_path(home: &Path) -> PathBuf {
    home.join("envoy.log")
}

pub(super) fn stderr_path(home: &Path) -> PathBuf {
    home.join("envoy.stderr")
}
