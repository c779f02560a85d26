"""Rows: what was done, what is expected, what came. At the end a table, an exit code and a record."""

import datetime
import json
import sys
import time
import traceback

from . import envoy
from .place import RECORDS, REPOSITORY, TARGET
from .processes import Lab


class Suite:
    """The rows of one run."""

    def __init__(self, name):
        self.name = name
        self.rows = []
        self._start = time.monotonic()

    def row(self, name, did, expected, came, holds=None, known=None):
        """One case. It holds when `came` is `expected`, or as `holds` says where that is a text about a number.

        `known` marks what comes today and should not: the row says what comes today, why, and fails when that changes.
        """
        holds = came == expected if holds is None else bool(holds)
        row = {"name": name, "did": did, "expected": str(expected), "came": str(came), "holds": holds}
        if known:
            row["known"] = known
        self.rows.append(row)
        seconds = time.monotonic() - self._start
        print(f"{seconds:7.1f} s  {'ok   ' if holds else 'WRONG'}  {name}: {came}"
              + ("" if holds else f"\n{'':18}expected: {expected}"), flush=True)
        return holds

    def say(self, text):
        print(f"{time.monotonic() - self._start:7.1f} s         {text}", flush=True)

    @property
    def failed(self):
        return [row for row in self.rows if not row["holds"]]

    def table(self):
        """All rows, one a line."""
        width = max((len(row["name"]) for row in self.rows), default=0)
        lines = [f"{'':5}  {'case':<{width}}  what was done | what came"]
        for row in self.rows:
            mark = "WRONG" if not row["holds"] else "known" if row.get("known") else "ok"
            lines.append(f"{mark:<5}  {row['name']:<{width}}  {row['did']} | {row['came']}")
        known = sum("known" in row for row in self.rows)
        lines.append(f"{len(self.rows)} cases, {len(self.failed)} wrong" + (f", {known} known" if known else ""))
        return "\n".join(lines)


def run(name, scenarios, versions, vouches_for=(), prepare=None, words=None):
    """Runs scenarios (functions of the suite and what `prepare(suite, lab)` made, or the lab itself), prints the table, and
    writes the record when all were run and all rows hold. The exit code.

    `versions` maps peer to version. `vouches_for` names files of the repository, from its root.
    """
    words = sys.argv[1:] if words is None else words
    known = [scenario.__name__ for scenario in scenarios]
    chosen = [one for one in scenarios if not words or any(word in one.__name__ for word in words)]
    if not chosen:
        print(f"{name}: no scenario has one of {words} in its name; there are: {' '.join(known)}", file=sys.stderr)
        return 2
    suite, start = Suite(name), time.monotonic()
    with Lab(name) as lab:
        try:
            setting = prepare(suite, lab) if prepare else lab
            for scenario in chosen:
                suite.say(f"== {scenario.__name__.replace('_', ' ')}")
                before = len(suite.rows)
                try:
                    scenario(suite, setting)
                except Exception as error:  # one that fails must not hide what the others show
                    traceback.print_exc()
                    suite.row(scenario.__name__, "the scenario as a whole", "an end", f"{type(error).__name__}: {error}", False)
                if len(suite.rows) == before:
                    suite.row(scenario.__name__, "the scenario as a whole", "rows", "not one row", False)
        except Exception as error:
            traceback.print_exc()
            suite.row("setting up", "start of the peers", "a running lab", f"{type(error).__name__}: {error}", False)
        finally:
            if suite.failed or sys.exc_info()[0]:
                print(f"logs: {lab.keep_logs()}", file=sys.stderr)
    seconds = round(time.monotonic() - start)
    print(suite.table())
    print(f"{name}: {seconds} s")
    if suite.failed:
        return 1
    if chosen == list(scenarios):
        write_record(suite, seconds, versions, vouches_for)
    else:
        print(f"{name}: no record, since not all was run")
    return 0


def write_record(suite, seconds, versions, vouches_for):
    """What was run, with which bytes. `records.py` holds it against the files as they are later."""
    built = TARGET / f"{suite.name}.seconds"
    record = {
        "suite": suite.name,
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
        "versions": {**versions, "envoy": envoy.version()},
        "seconds": {"warm": seconds, "build_cold": int(built.read_text()) if built.exists() else None},
        "module_sha256": envoy.sha256(envoy.module()),
        "vouches_for": {path: envoy.sha256(REPOSITORY / path) for path in sorted(vouches_for)},
        "rows": suite.rows,
    }
    RECORDS.mkdir(parents=True, exist_ok=True)
    path = RECORDS / f"{suite.name}.json"
    path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    print(f"{suite.name}: record in {path.relative_to(REPOSITORY)}")
