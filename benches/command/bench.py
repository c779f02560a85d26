"""What the command takes for large policies: time and peak memory. Writes benches/record/cli-latest.*"""

import os
import statistics
import subprocess
import sys
import time

import record

BINARY = record.ROOT / "target" / "release" / "svidgate"
PLACE = record.ROOT / "target" / "bench-cli"

# What, its arguments, how it ends, and how many seconds it may take.
CASES = [
    ("check with all lints", 10_000, ["check", "base"], 0, 1.0),
    ("check with all lints", 100_000, ["check", "base"], 0, None),
    ("diff, one rule changed", 10_000, ["diff", "base", "one"], 1, 0.5),
    ("diff, one rule changed", 100_000, ["diff", "base", "one"], 1, 5.0),
    ("diff, a hundred rules changed", 10_000, ["diff", "base", "hundred"], 1, None),
    ("diff, a hundred rules changed", 100_000, ["diff", "base", "hundred"], 1, None),
    ("diff, nothing changed", 100_000, ["diff", "base", "base"], 0, None),
    ("diff, an allow rule for everybody added", 100_000, ["diff", "base", "everybody"], 1, None),
    ("diff, all denials removed", 10_000, ["diff", "base", "open"], 1, None),
    ("diff, all denials removed", 100_000, ["diff", "base", "open"], 1, 15.0),
]


def write(size):
    """By a process of its own: what a process takes counts from before it is another program, as a copy of this one."""
    subprocess.run([sys.executable, "-B", record.ROOT / "benches/command/documents.py", str(size), PLACE], check=True)


def run(arguments):
    """Seconds on the clock, of CPU, and the peak of resident memory in MiB."""
    command = [str(BINARY), *arguments]
    quiet = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    begun = time.monotonic()
    process = os.posix_spawn(command[0], command, os.environ, file_actions=quiet)
    _, status, used = os.wait4(process, 0)
    clock = time.monotonic() - begun
    return os.waitstatus_to_exitcode(status), clock, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def main(rounds):
    where = record.circumstances()
    for size in sorted({case[1] for case in CASES}):
        write(size)
    rows = []
    for what, size, (command, *names), ends, bound in CASES:
        paths = [str(PLACE / f"{name}-{size}.yaml") for name in names]
        runs = [run([command, *paths]) for _ in range(rounds)]
        wrong = {ended for ended, *_ in runs} - {ends}
        if wrong:
            sys.exit(f"{what}, {size} rules: ended with {wrong}, not with {ends}")
        clock, cpu, memory = (statistics.median(column) for column in list(zip(*runs))[1:])
        rows.append(
            {"what": what, "rules": size, "clock_s": round(clock, 2), "cpu_s": round(cpu, 2)}
            | {"peak_mib": round(memory), "bound_s": bound, "cpu_s_by_round": [round(ran[2], 3) for ran in runs]}
        )
        print(f"{what}, {size}: {cpu:.2f} s of CPU, {memory:.0f} MiB", file=sys.stderr)
    text = record.head("What the command takes for large policies", "make bench-cli", where)
    text += f"""
Each a process of its own, by one thread, {rounds} rounds, medians. A file of YAML; a hundredth of the allow rules again
are denials for everybody. What is to be reached is meant for one core that has nothing else to do, so it is the time of
CPU that is compared with it; on the clock, other work on the machine counts, too.

"""
    head = ["command", " allow rules", " CPU", " on the clock", " peak memory", " to reach", "reached"]
    cells = []
    for row in rows:
        bound = row["bound_s"]
        reached = "" if bound is None else "yes" if row["cpu_s"] <= bound else "**no**"
        cell = [row["what"], f"{row['rules']:,}", f"{row['cpu_s']:.2f} s", f"{row['clock_s']:.2f} s"]
        cell += [f"{row['peak_mib']} MiB", "" if bound is None else f"{bound:.1f} s", reached]
        cells.append(cell)
    text += record.table(head, cells)
    record.write("cli", text, {**where, "rounds": rounds, "rows": rows})


if __name__ == "__main__":
    main(int(sys.argv[1]))
