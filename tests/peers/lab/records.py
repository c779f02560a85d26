"""Holds the records of suites against the files that they vouch for, as these are now.

    python3 -B tests/peers/lab/records.py [ROOT]

A file that has changed since its suite was run fails. So does a record with a row that does not hold. A suite without a
record was never run whole: that is said, and fails nothing.
"""

import hashlib
import json
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


def main(root):
    peers, failed = root / "tests" / "peers", False
    for suite in sorted(entry.parent.name for entry in peers.glob("*/__main__.py")):
        path, target = peers / "record" / f"{suite}.json", f"{suite.replace('_', '-')}-test"
        if not path.exists():
            print(f"{target} was skipped: there is no record of a whole run (`make {target}`)")
            continue
        for line in wrong_with(json.loads(path.read_text()), root):
            failed = True
            print(f"{path.relative_to(root)} {line}: run `make {target}`", file=sys.stderr)
    return failed


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[3]))
