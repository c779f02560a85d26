"""Many random documents, of which the analysis must say what brute force finds.

Writes benches/record/analysis-latest.*"""

import json
import os
import subprocess
import sys

import record

MARK = "analysis: "
# What each kind of difference must have decided by itself.
OF_EACH = 500


def main(pairs):
    where = record.circumstances()
    # Of questions and remarks there is more to be asked about each document.
    runs = {"differential::": pairs, "questions::": max(pairs // 4, 1), "useless::": max(pairs // 4, 1)}
    seen = {}
    for which, count in runs.items():
        command = ["cargo", "test", "--locked", "--profile", "load", "--package", "svidgate-policy"]
        command += ["--features", "yaml", "--test", "analysis", "--", which, "--nocapture"]
        known = dict(os.environ, ANALYSIS_PAIRS=str(count))
        if which == "differential::" and pairs >= 60_000:
            known["ANALYSIS_OF_EACH"] = str(OF_EACH)
        ran = subprocess.run(command, cwd=record.ROOT, env=known, stdout=subprocess.PIPE, text=True)
        lines = [line for line in ran.stdout.splitlines() if line.startswith(MARK)]
        if ran.returncode or len(lines) != 1:
            sys.exit(f"{which} failed\n{ran.stdout}")
        seen[which.strip(":")] = json.loads(lines[0].removeprefix(MARK))
    target = f"make analysis-pairs PAIRS={pairs}"
    text = record.head("What the analysis says, held against brute force", target, where)
    pairs, questions, rules = seen["differential"], seen["questions"], seen["useless"]
    text += f"""
Random documents, each by its seed from 0 on; of each pair, up to {pairs['points']} requests are put before both.
Whatever brute force finds the analysis must find, and each of its examples is decided as it says by the code that
runs in the proxy. Nothing was missed and no example was wrong, or this would not be written.

**{pairs['pairs']} pairs compared**: {pairs['differ']} differ, {pairs['undecided']} have something undecided
(expressions on headers). By one thing alone

"""
    text += record.table(["what alone differs", " pairs that differ"], sorted(pairs["alone"].items()))
    text += f"\n**{sum(questions.values())} claims** (`never`, `always`, `only`), by their answer:\n\n"
    text += record.table(["answer", " claims"], sorted(questions.items()))
    text += "\n**Rules beside all others**, each held against documents without it:\n\n"
    text += record.table(["said to be", " rules"], sorted(rules.items()))
    record.write("analysis", text, {**where, **seen})


if __name__ == "__main__":
    main(int(sys.argv[1]))
