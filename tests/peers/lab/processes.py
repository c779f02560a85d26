"""Processes that end with the suite that started them, each by its own id."""

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from .place import TARGET
from .waiting import NeverCame

GRACE = 5.0
"""Seconds between SIGTERM and SIGKILL."""


class Process:
    """One process in a group of its own, its output in `log`."""

    def __init__(self, name, argv, log, uid=None, environment=None, folder=None):
        self.name, self.log = name, log
        # `setpriv` ends it with the suite, even where the suite gets no chance to. That is tied to the thread that starts
        # it: start processes from the main thread.
        prefix = ["setpriv", "--pdeathsig", "KILL"]
        if uid is not None:
            prefix += [f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
        with open(log, "ab") as out:
            self._child = subprocess.Popen(
                [*prefix, *map(str, argv)], stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=folder,
                env={**os.environ, **(environment or {})}, start_new_session=True,
            )

    @property
    def pid(self):
        return self._child.pid

    @property
    def running(self):
        return self._child.poll() is None

    def output(self):
        """All that it has written so far, and what came before under the same name."""
        return Path(self.log).read_text(errors="replace")

    def send(self, number):
        """To its whole group, which is its own."""
        if self.running:
            os.killpg(self.pid, number)

    def freeze(self):
        """It stands still with everything open until `thaw`."""
        self.send(signal.SIGSTOP)

    def thaw(self):
        self.send(signal.SIGCONT)

    def wait(self, within):
        """Its exit code, once it has ended by itself."""
        try:
            return self._child.wait(within)
        except subprocess.TimeoutExpired:
            raise NeverCame(f"not within {within:g} s: the end of {self.name}") from None

    def stop(self, first=signal.SIGTERM):
        """Ends it, by SIGKILL if it takes its time. Its exit code."""
        self.send(signal.SIGCONT)
        self.send(first)
        try:
            return self._child.wait(GRACE)
        except subprocess.TimeoutExpired:
            self.send(signal.SIGKILL)
            return self._child.wait(GRACE)

    def kill(self):
        """As if it had crashed."""
        self.stop(signal.SIGKILL)


class Lab:
    """A folder and the processes of one run. When the block ends, however it ends, all are gone.

    The folder is short (a unix socket's path has 107 bytes at most) and open to all users.
    """

    def __init__(self, name):
        self.name = name
        self.folder = None
        self._processes = []

    def __enter__(self):
        self.folder = Path(tempfile.mkdtemp(prefix=f"svidgate-{self.name}-"))
        self.folder.chmod(0o755)
        # As Ctrl-C does: by an exception, so that this block is left.
        self._before = signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(SystemExit(143)))
        return self

    def __exit__(self, *_):
        # A second Ctrl-C must not leave half of them.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            for process in reversed(self._processes):
                process.stop()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)
            signal.signal(signal.SIGTERM, self._before)
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def start(self, name, *argv, uid=None, environment=None, folder=None):
        """Starts a process; its output goes to `NAME.log` in the folder."""
        process = Process(name, argv, self.folder / f"{name}.log", uid, environment, folder)
        self._processes.append(process)
        return process

    def call(self, *argv, uid=None, environment=None, folder=None, within=30, text=None):
        """Runs a command to its end: its exit code, and its output with its errors."""
        prefix = ["setpriv", "--pdeathsig", "KILL"]
        if uid is not None:
            prefix += [f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
        ended = subprocess.run(
            [*prefix, *map(str, argv)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=within, cwd=folder,
            env={**os.environ, **(environment or {})}, text=True, errors="replace",
            **({"input": text} if text is not None else {"stdin": subprocess.DEVNULL}),
        )
        return ended.returncode, ended.stdout

    def output_of(self, *argv, **options):
        """Runs a command that must succeed: its output."""
        code, output = self.call(*argv, **options)
        if code != 0:
            raise RuntimeError(f"`{' '.join(map(str, argv))}` ended with {code}: {output[-2000:]}")
        return output

    def keep_logs(self):
        """Copies all logs to `target/peers/logs/NAME`, for whoever looks into a failure. The folder."""
        kept = TARGET / "logs" / self.name
        shutil.rmtree(kept, ignore_errors=True)
        kept.mkdir(parents=True)
        for log in self.folder.rglob("*.log"):
            shutil.copy(log, kept / str(log.relative_to(self.folder)).replace("/", "-"))
        return kept
