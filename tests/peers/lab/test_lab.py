"""The lab itself: `PYTHONPATH=tests/peers python3 -B -m unittest lab.test_lab`."""

import contextlib
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

from . import guard, records, suite
from .processes import Lab
from .waiting import NeverCame, until

PACKAGES = Path(__file__).resolve().parents[1]

STARTER = """
import time
from lab import Lab
with Lab("outer") as lab:
    child = lab.start("child", "sh", "-c", "sleep 60 & echo $!; wait")
    while len(child.output().split()) < 1: time.sleep(.01)
    print(child.pid, child.output().split()[0], lab.folder, flush=True)
    time.sleep(60)
"""


def there(pid):
    try:
        # A zombie has ended; who reaps it is not ours to say.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


class Processes(unittest.TestCase):
    def started(self):
        outer = subprocess.Popen([sys.executable, "-B", "-c", STARTER], cwd=PACKAGES, stdout=subprocess.PIPE, text=True,
                                 stderr=subprocess.DEVNULL, start_new_session=True)
        self.addCleanup(outer.stdout.close)
        self.addCleanup(outer.wait)
        self.addCleanup(outer.kill)
        child, grandchild, folder = outer.stdout.readline().split()
        return outer, int(child), int(grandchild), Path(folder)

    def ended_by(self, number, whole):
        outer, child, grandchild, folder = self.started()
        self.assertTrue(there(child) and there(grandchild))
        outer.send_signal(number)
        until("the child is gone", lambda: not there(child), 10)
        if whole:
            until("the grandchild is gone", lambda: not there(grandchild), 10)
            until("the folder is gone", lambda: not folder.exists(), 10)
        else:
            os.kill(grandchild, signal.SIGKILL)
            subprocess.run(["rm", "-r", folder], check=True)

    def test_ctrl_c_takes_everything_down(self):
        self.ended_by(signal.SIGINT, True)

    def test_sigterm_takes_everything_down(self):
        self.ended_by(signal.SIGTERM, True)

    def test_sigkill_takes_its_children_down(self):
        self.ended_by(signal.SIGKILL, False)

    def test_failure_takes_everything_down_also_what_is_frozen_and_what_ignores_sigterm(self):
        with self.assertRaises(ValueError), Lab("inner") as lab:
            frozen = lab.start("frozen", "sleep", "60")
            frozen.freeze()
            deaf = lab.start("deaf", "sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done")
            until("it is deaf", lambda: "ready" in deaf.output(), 5)
            raise ValueError
        self.assertFalse(there(frozen.pid) or there(deaf.pid) or lab.folder.exists())

    def test_command_that_fails_says_what_it_said(self):
        with Lab("inner") as lab, self.assertRaisesRegex(RuntimeError, "ended with 3: why"):
            lab.output_of("sh", "-c", "echo why; exit 3")

    def test_waiting_ends(self):
        start = time.monotonic()
        with self.assertRaisesRegex(NeverCame, "a miracle.*0.1 s|0.1 s.*a miracle"):
            until("a miracle", lambda: 0, 0.1, 0.01)
        self.assertLess(time.monotonic() - start, 5)


def named(name, scenario):
    scenario.__name__ = name
    return scenario


class Guard(unittest.TestCase):
    def judged(self, *doors, remarks=()):
        return guard.of_report({"remarks": [{"code": code, "level": level} for code, level in remarks], "doors": [
            {"listener": listener, "verdict": verdict, "remarks": [{"code": code} for code in codes]} for listener, verdict, *codes in doors]})

    def test_worst_door_counts(self):
        came = self.judged(("web", "guarded"), ("web", "not_known"), ("database", "shut"))
        self.assertEqual((str(came), came.keeps_shut), ("not_known: web", False))
        self.assertEqual(str(self.judged(("web", "not_guarded"), ("more", "not_known"))), "not_guarded: web")
        self.assertTrue(self.judged(("web", "shut"), ("database", "guarded")).keeps_shut)

    def test_what_takes_no_new_connection_does_not_count(self):
        came = self.judged(("web", "not_guarded", "SG0660", "SG0601"), ("web", "guarded", "SG0605"))
        self.assertEqual(str(came), "guarded")

    def test_listener_that_serves_something_else_is_left_out(self):
        came = self.judged(("web", "guarded"), ("metrics", "not_guarded"))
        self.assertFalse(came.keeps_shut)
        self.assertTrue(came.besides("metrics").keeps_shut)


class Rows(unittest.TestCase):
    def outcome(self, *scenarios, words=()):
        out, written = io.StringIO(), []
        real, suite.write_record = suite.write_record, lambda *arguments: written.append(arguments)
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
                code = suite.run("self", list(scenarios), {}, words=list(words))
        finally:
            suite.write_record = real
        return code, out.getvalue(), bool(written)

    @staticmethod
    def good(rows, lab):
        rows.row("good", "nothing", "200", "200")

    @staticmethod
    def bad(rows, lab):
        rows.row("bad", "nothing", "403", "200")

    @staticmethod
    def broken(rows, lab):
        raise KeyError("gone")

    @staticmethod
    def empty(rows, lab):
        pass

    def test_rows_that_hold_are_recorded(self):
        self.assertEqual(self.outcome(self.good)[::2], (0, True))

    def test_one_wrong_row_fails_the_run_and_leaves_no_record(self):
        code, out, written = self.outcome(self.bad, self.good)
        self.assertEqual((code, written), (1, False))
        self.assertRegex(out, "WRONG +bad")
        self.assertIn("2 cases, 1 wrong", out)

    def test_scenario_that_breaks_is_a_wrong_row_and_the_next_is_run(self):
        code, out, _ = self.outcome(self.broken, self.good)
        self.assertEqual(code, 1)
        self.assertIn("KeyError: 'gone'", out)
        self.assertRegex(out, "ok +good")

    def test_scenario_without_a_row_fails(self):
        self.assertEqual(self.outcome(self.empty)[0], 1)

    def test_known_row_fails_when_what_comes_changes(self):
        def known(came):
            return lambda rows, lab: rows.row("a gap", "nothing", "today's answer", came, known="why")

        code, out, _ = self.outcome(named("gap", known("today's answer")))
        self.assertEqual(code, 0)
        self.assertIn("1 cases, 0 wrong, 1 known", out)
        self.assertEqual(self.outcome(named("gap", known("what is right")))[0], 1)

    def test_part_of_the_scenarios_leaves_no_record(self):
        self.assertEqual(self.outcome(self.good, self.empty, words=["good"])[::2], (0, False))

    def test_word_that_chooses_nothing_is_said(self):
        self.assertEqual(self.outcome(self.good, words=["godo"])[0], 2)


class Records(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        (self.root / "tests/peers/mesh_a").mkdir(parents=True)
        (self.root / "tests/peers/mesh_a/__main__.py").touch()
        (self.root / "tests/peers/record").mkdir()
        (self.root / "manifest.yaml").write_text("one")
        self.names("a r")
        self.record = {
            "date": "2026-01-01", "rows": [{"name": "a row", "holds": True}],
            "vouches_for": {"manifest.yaml": hashlib.sha256(b"one").hexdigest()},
        }

    def names(self, row, suite="mesh_a"):
        head = f"# Seen\n\n## {suite}\n\n| what | rows |\n|---|---|\n"
        (self.root / "tests/peers/seen.md").write_text(head + f"| `it` does | `a row`, ``{row}`` |\n")

    def judged(self):
        if self.record:
            (self.root / "tests/peers/record/mesh_a.json").write_text(json.dumps(self.record))
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            failed = records.main(self.root)
        return failed, out.getvalue()

    def test_record_of_the_files_as_they_are_is_good(self):
        self.assertEqual(self.judged(), (False, ""))

    def test_manifest_that_has_changed_fails(self):
        (self.root / "manifest.yaml").write_text("two")
        failed, said = self.judged()
        self.assertTrue(failed)
        self.assertIn("manifest.yaml as it was on 2026-01-01, and it has changed: run `make mesh-a-test`", said)

    def test_manifest_that_is_gone_fails(self):
        (self.root / "manifest.yaml").unlink()
        self.assertTrue(self.judged()[0])

    def test_row_that_does_not_hold_fails(self):
        self.record["rows"][0]["holds"] = False
        self.assertTrue(self.judged()[0])

    def test_record_without_rows_fails(self):
        self.record["rows"] = []
        self.assertTrue(self.judged()[0])

    def test_row_that_is_named_and_in_no_record_fails(self):
        self.names("another `row` there")
        failed, said = self.judged()
        self.assertTrue(failed)
        self.assertIn("seen.md names `another `row` there`, and tests/peers/record/mesh_a.json has no such row", said)

    def test_suite_that_is_named_and_is_none_fails(self):
        self.names("a r", suite="mesh_b")
        self.assertTrue(self.judged()[0])

    def test_suite_without_a_record_is_said_to_be_skipped(self):
        self.record = None
        failed, said = self.judged()
        self.assertFalse(failed)
        self.assertIn("mesh-a-test was skipped", said)


if __name__ == "__main__":
    unittest.main()
