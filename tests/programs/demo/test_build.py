"""What is seen of builds, and what is left of them."""

import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest

BUILD = pathlib.Path(__file__).with_name("build.py")

# A command that writes the id of a process of its own, which would sleep for a minute.
SLEEPS = "sleep 60 & echo $! >{}; wait"


def start(*commands):
    return subprocess.Popen([sys.executable, "-B", BUILD, *commands], stderr=subprocess.PIPE, text=True,
                            env={**os.environ, "SILENCE": "0.3"})


def is_gone(pid):
    """Whether it has ended. It has closed its output a moment before."""
    for _ in range(20):
        try:
            # Of one that has ended and that nobody has waited for there is still a number.
            if pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.05)
    return False


class Builds(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.pid_file = pathlib.Path(folder.name, "pid")

    def pid(self):
        """Of the process that `SLEEPS` has started."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            if self.pid_file.exists() and (text := self.pid_file.read_text().strip()):
                return int(text)
            time.sleep(0.05)
        self.fail("nothing was started")

    def test_each_line_stands_behind_the_name_of_its_build(self):
        build = start("one=echo to stdout", "another=echo to stderr >&2")
        lines = build.communicate(timeout=10)[1].splitlines()
        self.assertEqual(build.returncode, 0)
        self.assertIn("one:     to stdout", lines)
        self.assertIn("another: to stderr", lines)

    def test_silent_build_is_told_of_with_what_cargo_last_said_of_its_progress(self):
        bar = r"    Building [=====>     ] 72/129: p384, x509-cert\r"
        build = start(f"module=printf '{bar}'; sleep 1.5", "demo=sleep 1.5")
        lines = build.communicate(timeout=10)[1].splitlines()
        told = [line for line in lines if line.startswith("module:") and line.endswith(" s, 72/129: p384, x509-cert")]
        self.assertGreaterEqual(len(told), 3, lines)
        self.assertTrue(any(line.startswith("demo:") and line.endswith(" s, has begun") for line in lines), lines)

    def test_failure_is_the_status_and_ends_the_other_build_with_all_that_it_started(self):
        build = start("slow=" + SLEEPS.format(self.pid_file), f"bad=until [ -s {self.pid_file} ]; do sleep 0.1; done; exit 3")
        said = build.communicate(timeout=15)[1]
        self.assertEqual(build.returncode, 3, said)
        self.assertIn("bad:     failed", said)
        self.assertTrue(is_gone(self.pid()))

    def test_interrupt_leaves_nothing_running(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(number):
                self.pid_file.unlink(missing_ok=True)
                build = start("slow=" + SLEEPS.format(self.pid_file))
                pid = self.pid()
                build.send_signal(number)
                build.communicate(timeout=15)
                self.assertEqual(build.returncode, 128 + number)
                self.assertTrue(is_gone(pid))


if __name__ == "__main__":
    unittest.main()
