"""Where and with what something was measured, and where that is kept."""

import datetime
import json
import os
import pathlib
import platform
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]


def said(*command):
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def first(path, key):
    for line in pathlib.Path(path).read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return ""


def circumstances():
    """Taken before anything is measured, for the load average."""
    kernel = platform.release().split("-")[0]
    return {
        "date": datetime.date.today().isoformat(),
        "machine": f"{first('/proc/cpuinfo', 'model name')}, {os.cpu_count()} cores, "
        f"{first('/proc/meminfo', 'MemTotal')}; Linux {kernel}",
        "load_average": " ".join(f"{load:.2f}" for load in os.getloadavg()),
        "rust": said("rustc", "--version"),
        "commit": said("git", "rev-parse", "--short=12", "HEAD"),
    }


def head(title, target, where):
    return (
        f"# {title}\n\nWritten by `{target}` on {where['date']}. {where['machine']}. {where['rust']}, "
        f"commit {where['commit']}. Load average at the start {where['load_average']}.\n"
    )


def table(head, rows):
    """`head`: the names of columns; those of numbers begin with a space."""
    lines = ["| " + " | ".join(name.strip() for name in head) + " |"]
    lines.append("| " + " | ".join("---:" if name.startswith(" ") else "---" for name in head) + " |")
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def write(name, text, values):
    place = ROOT / "benches" / "record"
    (place / f"{name}-latest.md").write_text(text)
    (place / f"{name}-latest.json").write_text(json.dumps(values, indent=2, sort_keys=True) + "\n")
    print(text)
    print(f"written to {place.relative_to(ROOT)}/{name}-latest.md and .json")
