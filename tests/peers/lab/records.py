"""Holds the records of suites against the files that they vouch for, as these are now.

    python3 -B tests/peers/lab/records.py [ROOT]

A file that has changed since its suite was run fails. So does a record with a row that does not hold, and a row that
`seen.md` names and no record has. A suite without a record was never run whole: that is said, and fails nothing.
"""

import hashlib
import json
import re
import sys
from pathlib import Path


def wrong_with(record, root):
    """One line for each thing that is wrong with a record."""
    lines = []
    for path, digest in record["vouches_for"].items():
        file = root / path
        if not file.exists():
            lines.append(f"vouches for {path}, which is no more")
        elif hashlib.sha256(file.read_bytes()).hexdigest() != digest:
            lines.append(f"vouches for {path} as it was on {record['date']}, and it has changed")
    lines += [f"has a row that does not hold: {row['name']}" for row in record["rows"] if not row["holds"]]
    if not record["rows"]:
        lines.append("has no rows")
    return lines


def named_rows(seen):
    """The beginnings of rows that `seen.md` names, by suite."""
    named, suite = {}, None
    for line in seen.splitlines():
        if line.startswith("## "):
            suite = line[3:].strip()
            named[suite] = []
        elif suite and line.startswith("|") and not line.startswith(("| what", "|---")):
            for double, single in re.findall(r"``(.+?)``|`([^`]+)`", line.rstrip("| ").rsplit("|", 1)[1]):
                named[suite].append(double or single)
    return named


def main(root):
    peers, failed = root / "tests" / "peers", False
    named = named_rows((peers / "seen.md").read_text())
    for suite in sorted(entry.parent.name for entry in peers.glob("*/__main__.py")):
        path, target = peers / "record" / f"{suite}.json", f"{suite.replace('_', '-')}-test"
        if not path.exists():
            print(f"{target} was skipped: there is no record of a whole run (`make {target}`)")
            named.pop(suite, None)
            continue
        record = json.loads(path.read_text())
        for line in wrong_with(record, root):
            failed = True
            print(f"{path.relative_to(root)} {line}: run `make {target}`", file=sys.stderr)
        for beginning in named.pop(suite, []):
            if not any(row["name"].startswith(beginning) for row in record["rows"]):
                failed = True
                print(f"seen.md names `{beginning}`, and {path.relative_to(root)} has no such row", file=sys.stderr)
    for suite in named:
        failed = True
        print(f"seen.md speaks of {suite}, which is no suite", file=sys.stderr)
    return failed


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[3]))
