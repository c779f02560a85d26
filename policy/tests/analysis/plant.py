"""Plants each fault of faults.toml into a copy of the sources, and runs what CI runs of the analysis: it must fail.

Names as arguments: only these. Before all, the run must pass without a fault."""

import os
import pathlib
import shutil
import subprocess
import sys
import time
import tomllib

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
COPY = ROOT / "target" / "planted"
# One selection of packages and features, as the Makefile's, so that dependencies are not built again.
SELECTION = ["--locked", "--workspace", "--exclude", "svidgate-benches", "--features", "svidgate-policy/yaml"]
# A fault may keep the search from ending; so long no run without one takes.
SECONDS = 300


def copy():
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, stdout=subprocess.PIPE, check=True)
    for name in filter(None, files.stdout.decode().split("\0")):
        source, place = ROOT / name, COPY / name
        if not source.is_file() or (place.is_file() and place.read_bytes() == source.read_bytes()):
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, place)


def cargo(*arguments, seconds=None):
    known = dict(os.environ, CARGO_TARGET_DIR=str(ROOT / "target"), CARGO_INCREMENTAL="1", RUST_BACKTRACE="0")
    command = ["cargo", "test", *SELECTION, "--test", "analysis", *arguments]
    return subprocess.run(
        command, cwd=COPY, env=known, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=seconds
    )


def run():
    """What the run says; nothing where it passes."""
    built = cargo("--no-run", "--quiet")
    if built.returncode:
        sys.exit(f"it does not build\n{built.stdout}")
    try:
        # Whether faults have their places is no question to a copy that has one.
        ran = cargo("--", "--skip", "planted", seconds=SECONDS)
    except subprocess.TimeoutExpired:
        return [f"it did not end in {SECONDS} seconds"]
    if ran.returncode == 0:
        return []
    failed = [line for line in ran.stdout.splitlines() if line.startswith("test ") and line.endswith("FAILED")]
    return failed or [ran.stdout]


def main(names):
    faults = tomllib.loads((HERE / "faults.toml").read_text())["fault"]
    unknown = set(names) - {fault["name"] for fault in faults}
    if unknown:
        sys.exit(f"no such fault: {', '.join(sorted(unknown))}")
    copy()
    if said := run():
        sys.exit(f"without a fault it fails\n{said}")
    missed = []
    for fault in faults:
        if names and fault["name"] not in names:
            continue
        begun = time.monotonic()
        place = COPY / "policy" / "src" / "analysis" / fault["file"]
        text = place.read_text()
        if text.count(fault["from"]) != 1:
            sys.exit(f"{fault['name']}: what it replaces stands {text.count(fault['from'])} times in {fault['file']}")
        place.write_text(text.replace(fault["from"], fault["to"]))
        try:
            said = run()
        finally:
            place.write_text(text)
        if not said:
            missed.append(fault["name"])
        by = "; ".join(line.removeprefix("test ").removesuffix(" ... FAILED") for line in said)
        answer = f"found by {by}" if said else "MISSED"
        print(f"{fault['name']}: {answer}, {time.monotonic() - begun:.0f} s", flush=True)
    if missed:
        sys.exit(f"missed: {', '.join(missed)}")


if __name__ == "__main__":
    main(sys.argv[1:])
