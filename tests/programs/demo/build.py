"""Runs builds beside each other, and says at least every ten seconds what they are building.

    python3 -B tests/programs/demo/build.py NAME=COMMAND...

Each COMMAND is run by a shell. What it prints stands behind its NAME. Where all are silent for a while, Cargo's own bar of
progress is printed as a line: it names what is being built. When one fails the others are ended.
"""

import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time

# How long all builds may be silent, in seconds.
SILENCE = float(os.environ.get("SILENCE", "5"))

# How long a build may take to end when it is told to, in seconds.
GRACE = 10

# Cargo draws its bar as if for a terminal of this width, also where there is none.
BAR = {"CARGO_TERM_PROGRESS_WHEN": "always", "CARGO_TERM_PROGRESS_WIDTH": "120"}

# `   Building [=====>     ] 72/129: p384, x509-cert`: what of it is worth a line.
PROGRESS = re.compile(r"\] (\d+/\d+.*)")

# Escapes that clear what stood in the line before.
ESCAPE = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class Build:
    """One command, in a process group of its own, so that all that it starts can be ended by one id."""

    def __init__(self, name, command, events):
        self.name = name
        self.command = command
        self.start = time.monotonic()
        self.doing = "has begun"
        self.status = None
        self.process = subprocess.Popen(command, shell=True, start_new_session=True, close_fds=False,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        env={**os.environ, **BAR})
        self.reader = threading.Thread(target=self._read, args=(events,), daemon=True)
        self.reader.start()

    def _read(self, events):
        """A line ends at `\\n`; a bar at `\\r`, for the next one stands in the same place."""
        rest = b""
        while chunk := os.read(self.process.stdout.fileno(), 65536):
            *ended, rest = re.split(rb"(?<=[\r\n])", rest + chunk)
            for line in ended:
                events.put((self, line))
        events.put((self, rest))
        events.put((self, None))

    def heard(self, line):
        """Takes what it printed; returns what of it is a line to show."""
        text = ESCAPE.sub("", line.decode(errors="replace")).rstrip()
        # A bar that a line was printed over.
        text = text.rsplit("\r", 1)[-1]
        if found := PROGRESS.search(text):
            self.doing = found[1]
            return None
        return text.strip()

    def say(self, text):
        print(f"{self.name + ':':<8} {text}", file=sys.stderr, flush=True)

    def end(self):
        """Ends it with all that it started. They are gone when nobody has its output open any more."""
        for what in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, what)
            except ProcessLookupError:
                break
            self.reader.join(GRACE)
            if not self.reader.is_alive():
                break
        self.process.wait(GRACE)


def run(commands):
    """Runs all to their end; returns the status of the first that failed, or 0."""
    events = queue.SimpleQueue()
    # Told here like all else, so that it comes before or after a build is started, and never while.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: events.put((None, number)))
    builds = []
    try:
        for name, command in commands:
            builds.append(Build(name, command, events))
        running = list(builds)
        shown = time.monotonic()
        while running:
            try:
                build, line = events.get(timeout=max(0.0, shown + SILENCE - time.monotonic()))
            except queue.Empty:
                for build in running:
                    build.say(f"{time.monotonic() - build.start:4.0f} s, {build.doing}")
                shown = time.monotonic()
                continue
            if build is None:
                return 128 + line
            if line is not None:
                if text := build.heard(line):
                    build.say(text)
                    shown = time.monotonic()
                continue
            build.status = build.process.wait()
            running.remove(build)
            if build.status:
                build.say(f"failed: {build.command}")
                return build.status if build.status > 0 else 128 - build.status
            build.say(f"done after {time.monotonic() - build.start:.0f} s")
            shown = time.monotonic()
        return 0
    finally:
        for build in builds:
            if build.status is None:
                build.end()


if __name__ == "__main__":
    sys.exit(run([argument.split("=", 1) for argument in sys.argv[1:]]))
