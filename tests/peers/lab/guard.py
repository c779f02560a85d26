"""What `svidgate guard` says of an Envoy that runs: of each door, and of the whole."""

import json
import os
import subprocess
from dataclasses import dataclass

from .place import REPOSITORY

COMMAND = REPOSITORY / "target" / "debug" / "svidgate"

KEPT = "GUARD_REPORTS"
"""Names a folder in which reports are kept, for whoever looks into a verdict."""

WORDS = ("guarded", "shut", "not_known", "not_guarded")
"""Verdicts, the worse one later."""

DRAINS = "SG0660"
"""The code of a listener's version that takes no new connections. What is open on it goes on as it was."""


@dataclass(frozen=True)
class Judged:
    """`doors` are those that take new connections: the verdict of each, by listener. `remarks` are codes of what is said of the
    whole, but for notes."""

    doors: tuple
    remarks: tuple

    @property
    def verdict(self):
        """The worst of its doors."""
        return max((verdict for _, verdict in self.doors), key=WORDS.index, default="guarded")

    @property
    def keeps_shut(self):
        """Whether nobody gets past the gate."""
        return self.verdict in ("guarded", "shut")

    def besides(self, *listeners):
        """The same without some listeners, which serve something else."""
        return Judged(tuple(door for door in self.doors if door[0] not in listeners), self.remarks)

    def __str__(self):
        """The verdict, with each listener that has it where it is a bad one."""
        if self.keeps_shut:
            return self.verdict
        return f"{self.verdict}: {', '.join(sorted({listener for listener, verdict in self.doors if verdict == self.verdict}))}"


def judged(url, inside=()):
    """Asks the Envoy whose admin interface is at `url`. `inside` are the words that run a command in its network."""
    if not COMMAND.exists():
        raise FileNotFoundError(f"{COMMAND.relative_to(REPOSITORY)} is missing: run `make command`")
    ended = subprocess.run([*inside, str(COMMAND), "guard", "--admin", url, "--format", "json"], stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
    if ended.returncode not in (0, 1, 4):
        raise RuntimeError(f"`svidgate guard --admin {url}` ended with {ended.returncode}: {ended.stderr[-2000:]}")
    if folder := os.environ.get(KEPT):
        number = len(os.listdir(folder))
        with open(os.path.join(folder, f"{number:03}.json"), "w", encoding="utf-8") as file:
            file.write(ended.stdout)
    return of_report(json.loads(ended.stdout))


def of_report(report):
    """What a report says."""
    doors = [door for door in report["doors"] if all(remark["code"] != DRAINS for remark in door["remarks"])]
    return Judged(tuple((door["listener"], door["verdict"]) for door in doors),
                  tuple(sorted({remark["code"] for remark in report["remarks"] if remark["level"] != "note"})))
