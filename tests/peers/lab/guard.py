"""What `svidgate guard` says of an Envoy that runs: of each door, and of the whole."""

import json
import os
import subprocess
from dataclasses import dataclass

from .place import REPOSITORY

COMMAND = REPOSITORY / "target" / "debug" / "svidgate"

KEPT = "GUARD_DUMPS"
"""Names a folder in which what was judged is kept, for whoever looks into a verdict."""


@dataclass(frozen=True)
class Judged:
    """`exit` is that of the command; `verdict` and `doors` (listener and verdict of each) are what its report says."""

    exit: int
    verdict: str
    doors: tuple
    remarks: tuple

    @property
    def keeps_shut(self):
        """Whether nobody gets past the gate, as the command has it."""
        return self.exit == 0 and self.verdict in ("guarded", "shut")

    def __str__(self):
        """`guarded`, or the verdict with each listener that has another, and why."""
        if self.keeps_shut:
            return self.verdict
        others = {f"{listener} {verdict}" for listener, verdict in self.doors if verdict not in ("guarded", "shut")}
        return f"{self.verdict}: {', '.join(sorted({*others, *self.remarks}))}"


def judged(url, inside=()):
    """Asks the Envoy whose admin interface is at `url`. `inside` are the words that run a command in its network."""
    if not COMMAND.exists():
        raise FileNotFoundError(f"{COMMAND.relative_to(REPOSITORY)} is missing: run `make command`")
    ended = subprocess.run([*inside, str(COMMAND), "guard", "--admin", url, "--format", "json"], stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
    if ended.returncode not in (0, 1, 4):
        raise RuntimeError(f"`svidgate guard --admin {url}` ended with {ended.returncode}: {ended.stderr[-2000:]}")
    report = json.loads(ended.stdout)
    if folder := os.environ.get(KEPT):
        number = len(os.listdir(folder))
        with open(os.path.join(folder, f"{number:03}.json"), "w", encoding="utf-8") as file:
            file.write(ended.stdout)
    return Judged(ended.returncode, report["verdict"], tuple((door["listener"], door["verdict"]) for door in report["doors"]),
                  tuple(remark["code"] for remark in report["remarks"] if remark["level"] != "note"))
