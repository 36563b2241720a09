"""The maintenance runs as a whole: every step reported, failures that stop nobody, one at a time, gone on with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from memorybank_cli.alerts import heartbeats
from memorybank_cli.bank.scan import Scanner
from memorybank_cli.base import clock, locks
from memorybank_cli.base.errors import CopiedBank, Locked, UsageError
from memorybank_cli.base.records import Progress
from memorybank_cli.base.walk import Root
from memorybank_cli.operations import maintain_record, maintain_steps
from memorybank_cli.operations.journal import prove
from memorybank_cli.operations.maintain import MaintainReport, daily, missed, monthly, weekly
from memorybank_cli.operations.maintain_record import LOCK, Notebook, Record
from memorybank_cli.operations.maintain_steps import STEPS
from memorybank_cli.operations.maintain_values import Outcome, Step
from memorybank_cli.operations.timebox import TimeUp
from tests.broken_os import broken, full_after
from tests.conftest import MakeBank, Run, trade, write_json
from tests.operations.banks import backed_up, journal, opened, put, repaired
from tests.operations.retained import ids, killed_everywhere, repository_of

JOBS: dict[str, Callable[..., MaintainReport]] = {"daily": daily, "weekly": weekly, "monthly": monthly}


@pytest.fixture
def bank(make_bank: MakeBank) -> Path:
    return make_bank(padded=False)


def maintained(path: Path, job: str = "daily", /, **options: Any) -> MaintainReport:
    with opened(path) as one:
        return JOBS[job](one, **options)


def results(report: MaintainReport) -> dict[str, str]:
    return {one.step: one.result for one in report.steps}


def home_of(path: Path) -> Path:
    with opened(path) as one:
        return Path(one.home.root.path)


def beats(path: Path) -> dict[str, heartbeats.Beat]:
    with opened(path) as one:
        return {beat.job: beat for beat in heartbeats.read(one.root)}


@pytest.mark.parametrize("job", JOBS)
def test_every_step_is_done_and_told(bank: Path, job: str) -> None:
    backed_up(bank)
    report = maintained(bank, job)
    assert results(report) == {step.name: "done" for step in STEPS[job]}
    assert (report.exit_code(), report.ok, report.tone, report.warnings()) == (0, True, "good", [])
    assert report.summary().endswith(" s: all good")
    line = journal(bank)[-1]
    assert (line["op"], line["job"], [row[:2] for row in line["steps"]]) == (
        "maintain.done",
        job,
        [[step.name, "done"] for step in STEPS[job]],
    )
    assert beats(bank)[job].ok


@pytest.mark.parametrize("job", JOBS)
def test_a_second_run_finds_nothing_more_to_do(bank: Path, job: str) -> None:
    backed_up(bank)
    assert maintained(bank, job).ok
    again = maintained(bank, job)
    assert set(results(again).values()) == {"done"}


def test_the_command_prints_each_step(bank: Path, run: Run) -> None:
    done = run("maintain", "daily", "--bank", bank)
    assert done.returncode == 0, done.stderr
    assert [line.split()[:2] for line in done.stdout.splitlines()[1:-1]] == [
        [step.name, "done"] for step in STEPS["daily"]
    ]
    found = run("maintain", "weekly", "--bank", bank, "--json").json
    assert (found["job"], found["ok"], found["dry_run"], found["findings"]) == ("weekly", True, False, [])
    assert found["steps"][0] | {"seconds": 0} == {
        "job": "weekly",
        "step": "verify",
        "result": "done",
        "seconds": 0,
        "message": found["steps"][0]["message"],
        "hint": "",
        "findings": 0,
    }
    quiet = run("maintain", "daily", "--bank", bank, "--quiet")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")


def test_damage_is_trouble_and_stops_nothing(make_bank: MakeBank, run: Run) -> None:
    bank = make_bank()
    report = maintained(bank)
    assert results(report) == {step.name: "done" for step in STEPS["daily"]} | {
        "validate": "trouble",
        "backup": "trouble",
    }
    assert (report.exit_code(), report.tone) == (1, "bad")
    assert [one.rule for one in report.findings] == ["MB102"]
    assert report.summary().endswith("2 with trouble. Next: memorybank validate")
    assert beats(bank)["daily"].ok  # it ran; what it found is told by alerts
    quiet = run("maintain", "daily", "--bank", bank, "--quiet")
    assert quiet.returncode == 1
    assert quiet.stdout == ""
    said = f"daily validate trouble: 8 files, 1 error, 0 warnings; memorybank validate --bank {bank}\n"
    assert quiet.stderr.startswith(said)


def test_a_step_that_fails_does_not_stop_the_others(bank: Path, tmp_path: Path) -> None:
    place = tmp_path / "no-directory"
    place.write_text("in the way")
    report = maintained(bank, repo=str(place / "repo"), scheduled=True)
    found = results(report)
    assert (found["validate"], found["backup"], found["retain"], found["prune"]) == (
        "done",
        "failed",
        "skipped",
        "failed",
    )
    assert {found[name] for name in ("contexts", "rotate", "documents", "heartbeat", "alerts")} == {"done"}
    assert (report.exit_code(), report.tone) == (3, "bad")
    assert "2 failed, 1 skipped" in report.summary()
    assert report.steps[2].message == "it needs the step backup"
    beat = beats(bank)["daily"]
    assert (beat.ok, beat.detail) == (False, "failed: backup, prune")
    with opened(bank) as one:
        assert [(each.rule, each.message) for each in heartbeats.overdue(one.root)] == [
            ("MB561", "the last run of daily failed: failed: backup, prune")
        ]
    assert maintained(bank).exit_code() == 0
    with opened(bank) as one:
        assert heartbeats.overdue(one.root) == []


def test_a_damaged_journal_is_told_and_what_needs_none_goes_on(bank: Path) -> None:
    backed_up(bank)
    [segment] = (bank / ".memorybank/journal").iterdir()
    data = segment.read_bytes()
    segment.write_bytes(data.replace(b'"op":"snapshot.created"', b'"op":"snapshot.CREATED"'))
    report = maintained(bank)
    found = results(report)
    assert (found["validate"], found["backup"], found["rotate"], found["heartbeat"]) == (
        "trouble",
        "failed",
        "done",
        "done",
    )
    assert report.exit_code() == 3
    chain = next(one for one in maintained(bank, "weekly").steps if one.step == "chain")
    assert (chain.result, chain.hint) == ("trouble", "memorybank repair")


def test_nothing_is_done_to_a_copy(bank: Path, tmp_path: Path) -> None:
    backed_up(bank)
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-a", bank, copy], check=True)
    with pytest.raises(CopiedBank):
        maintained(copy)
    assert not (copy / ".memorybank/heartbeats").exists()


def test_an_error_of_ours_is_told_with_its_place_and_stops_nothing(bank: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> Outcome:
        raise KeyError("an agent's secret")

    steps = (Step("validate", "fail", broken), *STEPS["daily"][1:])
    monkeypatch.setitem(STEPS, "daily", steps)
    report = maintained(bank)
    assert report.steps[0].result == "failed"
    assert report.steps[0].message.startswith("an internal error: KeyError at test_maintain.py:")
    assert "secret" not in json.dumps(report.as_dict())
    assert set(list(results(report).values())[1:]) == {"done"}
    assert report.exit_code() == 3


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), ImportError("no module named x")])
def test_other_failures_are_told_in_words(bank: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def broken(*_: object) -> Outcome:
        raise error

    monkeypatch.setitem(STEPS, "daily", (Step("validate", "fail", broken),))
    [step] = maintained(bank).steps
    words = {OSError: "the disk is full", ImportError: "no module named x"}
    assert (step.result, step.message) == ("failed", words[type(error)])


class Noted(Progress):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_on_a_full_disk_each_step_is_tried_and_told(bank: Path) -> None:
    backed_up(bank)
    write_json(bank / "trades/new.json", trade(9))
    progress = Noted()
    with broken(write=full_after(0)), opened(bank, progress=progress) as one:
        report = daily(one)
    found = results(report)
    assert list(found) == [step.name for step in STEPS["daily"]]
    assert (found["validate"], found["backup"], found["retain"], found["rotate"]) == (
        "done",
        "failed",
        "skipped",
        "done",
    )
    assert [one.hint for one in report.steps if one.step == "backup"] == [
        "free some space and run it again; nothing acknowledged was lost"
    ]
    assert report.exit_code() == 3
    assert sum(note.startswith("how far maintenance came is not kept: ") for note in progress.notes) == 1
    assert maintained(bank).exit_code() == 0


def test_only_some_steps_leave_no_heartbeat(bank: Path) -> None:
    report = maintained(bank, step=("heartbeat", "rotate"))
    assert results(report) == {"rotate": "done", "heartbeat": "skipped"}
    assert beats(bank) == {}
    with pytest.raises(UsageError, match="daily has no step 'drill'") as error:
        maintained(bank, step=("drill",))
    assert error.value.hint.startswith("it has validate, backup, retain")


@pytest.mark.parametrize("job", JOBS)
def test_a_rehearsal_changes_nothing(bank: Path, job: str) -> None:
    write_json(bank / "trades/new.json", trade(9))
    before = {path: path.read_bytes() for path in bank.rglob("*") if path.is_file() and path.suffix != ".sqlite"}
    report = maintained(bank, job, dry_run=True)
    assert report.exit_code() == 0
    assert set(results(report)) == {step.name for step in STEPS[job]}
    after = {path: path.read_bytes() for path in bank.rglob("*") if path.is_file() and path.suffix != ".sqlite"}
    assert {path for path in after if after[path] != before.get(path) and "catalog" not in path.name} == set()
    assert not repository_of(bank).exists()
    assert beats(bank) == {}


# One at a time


def test_two_runs_never_overlap(bank: Path, run: Run) -> None:
    with FileLock(home_of(bank) / LOCK):
        done = run("maintain", "daily", "--bank", bank, "--lock-timeout", "0")
        assert done.returncode == 11
        assert "another maintenance run is under way" in done.stderr
        made_up = run("maintain", "missed", "--bank", bank)
        assert (made_up.returncode, made_up.stdout) == (0, "another maintenance run is under way\n")
        with pytest.raises(Locked), opened(bank, lock_timeout=0.0) as one:
            weekly(one)
    assert beats(bank) == {}
    assert maintained(bank).ok


def test_of_many_that_begin_together_one_runs_at_a_time(bank: Path) -> None:
    words = [sys.executable, "-m", "memorybank_cli", "maintain", "daily", "--quiet", "--bank", str(bank)]
    many = [subprocess.Popen([*words, "--lock-timeout", str(wait)], stderr=subprocess.PIPE) for wait in (0, 0, 60, 60)]
    codes = [(one.communicate(), one.returncode)[1] for one in many]
    assert codes[2:] == [0, 0]
    assert set(codes) <= {0, 11}
    done = [line for line in journal(bank) if line["op"] == "maintain.done"]
    assert len(done) == codes.count(0)
    assert all(result == "done" for line in done for _, result, _ in line["steps"])


def test_who_waits_is_told_who_runs(bank: Path, run: Run) -> None:
    repository = backed_up(bank).repository
    with locks.hold(Root(repository), "lock"):
        first = begin(bank)
        wait_for(home_of(bank) / "maintain.json", "backup", done="validate")
        second = run("maintain", "weekly", "--bank", bank, "--lock-timeout", "0")
        first.kill()
        first.wait()
    assert second.returncode == 11
    assert f"another maintenance run is under way: daily, process {first.pid}, since 20" in second.stderr


def begin(bank: Path) -> subprocess.Popen[bytes]:
    """A daily run in a process of its own."""
    words = [sys.executable, "-m", "memorybank_cli", "maintain", "daily", "--quiet", "--lock-timeout", "60"]
    return subprocess.Popen([*words, "--bank", bank], stdout=subprocess.DEVNULL)


def wait_for(record: Path, _then: str, *, done: str) -> None:
    """Until a step is recorded as done, so that the next one is under way."""
    for _ in range(3_000):
        if record.exists() and done in record.read_text():
            return
        time.sleep(0.01)
    raise AssertionError(f"{done} was never done")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_run_after_an_interrupted_one_goes_on(bank: Path, how: signal.Signals) -> None:
    repository = backed_up(bank).repository
    with locks.hold(Root(repository), "lock"):
        first = begin(bank)
        wait_for(home_of(bank) / "maintain.json", "backup", done="validate")
        first.send_signal(how)
        first.wait()
    assert beats(bank) == {}
    report = maintained(bank)
    assert results(report) == {step.name: "done" for step in STEPS["daily"]} | {"validate": "skipped"}
    assert report.steps[0].message.endswith("Z by a run that was interrupted")
    assert report.exit_code() == 0
    assert len(ids(bank)) == 2
    assert results(maintained(bank))["validate"] == "done"


def test_what_was_done_before_the_last_time_of_the_job_is_done_again(
    bank: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C at noon, by hand, must not cost the snapshot of the next morning."""
    begun = {"backup": clock.now()}
    (home_of(bank) / "maintain.json").write_text(json.dumps({"begun": {"daily": begun}}))
    with opened(bank) as one:
        assert Record(Notebook(one), "daily").done == begun
        monkeypatch.setattr(maintain_record, "last_before", lambda _job, moment: moment)
        assert Record(Notebook(one), "daily").done == {}
    assert results(maintained(bank))["backup"] == "done"


def test_what_was_done_long_ago_is_done_again(bank: Path) -> None:
    for begun in (
        {"validate": "2020-01-01T00:00:00Z"},
        {"validate": clock.show(datetime.now(UTC) + timedelta(days=1))},
        {"validate": 7},
        ["validate"],
    ):
        (home_of(bank) / "maintain.json").write_text(json.dumps({"begun": {"daily": begun}}))
        assert results(maintained(bank))["validate"] == "done"
    (home_of(bank) / "maintain.json").write_text(json.dumps({"begun": 1, "running": 2, "rehash": 3}))
    assert maintained(bank).ok
    assert maintained(bank, "weekly").ok


# A limit of time


def test_a_step_that_takes_too_long_is_ended_and_goes_on_next_time(bank: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMORYBANK_MAINTAIN_STEP_MINUTES", "0.0000001")
    report = maintained(bank, step=("validate", "backup", "rotate"))
    assert results(report) == {"validate": "failed", "backup": "failed", "rotate": "done"}  # no snapshot was made
    assert report.steps[0].hint == "raise the setting maintain.step_minutes"
    assert report.exit_code() == 3
    backed_up(bank)
    report = maintained(bank, "weekly", step=("verify",))
    assert (results(report), report.exit_code(), report.tone) == ({"verify": "unfinished"}, 0, "warning")
    assert report.summary().endswith("1 unfinished")
    assert report.warnings() == ["weekly verify unfinished: it took longer than 1e-07 minutes; the next run goes on"]
    monkeypatch.setenv("MEMORYBANK_MAINTAIN_STEP_MINUTES", "0")
    assert results(maintained(bank, "weekly", step=("verify",))) == {"verify": "done"}


def test_reading_every_file_goes_on_where_its_time_was_over(
    make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank = make_bank(40, padded=False)
    for path in bank.rglob("*.json"):
        put(path, path.read_bytes(), age=600)
    backed_up(bank)
    monkeypatch.setattr(maintain_steps, "_AT_ONCE", 2)
    shown: list[str] = []
    whole = Scanner.run_on

    def counted(self: Any, paths: Any) -> Any:
        found = list(paths)
        if len(shown) >= 2:
            raise TimeUp
        shown.extend(found)
        return whole(self, found)

    monkeypatch.setattr(Scanner, "run_on", counted)
    assert results(maintained(bank, "weekly", step=("rehash",))) == {"rehash": "unfinished"}
    monkeypatch.setattr(Scanner, "run_on", whole)
    read = []
    for _ in range(2):
        [step] = maintained(bank, "weekly", step=("rehash",)).steps
        read.append(int(step.message.removesuffix(" files read")))
    with opened(bank) as one:
        total = one.catalog.meta("files")
    assert read[1] == total
    assert 0 < read[0] <= total - len(shown)


# What was missed


def missed_of(path: Path, **options: Any) -> MaintainReport:
    with opened(path) as one:
        return missed(one, **options)


def test_what_was_missed_is_made_up_for_once(bank: Path) -> None:
    backed_up(bank)
    rehearsed = missed_of(bank, dry_run=True)
    assert [one.job for one in rehearsed.steps if one.step == "heartbeat"] == ["monthly", "weekly", "daily"]
    assert beats(bank) == {}
    report = missed_of(bank, scheduled=True)
    assert [one.job for one in report.steps if one.step == "heartbeat"] == ["monthly", "weekly", "daily"]
    assert report.exit_code() == 0
    assert {job: beat.next_due is not None for job, beat in beats(bank).items()} == dict.fromkeys(JOBS, True)
    again = missed_of(bank)
    assert (again.steps, again.summary(), again.exit_code()) == ((), "Nothing was missed", 0)


def test_a_run_that_never_came_to_its_end_was_missed(bank: Path) -> None:
    backed_up(bank)
    missed_of(bank)
    place = bank / ".memorybank/heartbeats"
    put(place / "weekly.json", {**json.loads((place / "weekly.json").read_bytes()), "at": "2026-01-01T00:00:00Z"})
    (place / "daily.json").unlink()
    tomorrow = clock.show(datetime.now(UTC) + timedelta(days=1))
    put(place / "monthly.json", {**json.loads((place / "monthly.json").read_bytes()), "at": tomorrow})
    assert [one.job for one in missed_of(bank).steps if one.step == "heartbeat"] == ["monthly", "weekly", "daily"]


def test_the_view_names_the_job_where_there_are_several(bank: Path, run: Run) -> None:
    backed_up(bank)
    done = run("maintain", "missed", "--bank", bank)
    assert done.returncode == 0, done.stderr
    assert "monthly verify " in done.stdout
    assert "daily heartbeat " in done.stdout
    assert run("maintain", "missed", "--bank", bank).stdout == "Nothing was missed\n"


def test_writers_go_on_meanwhile(bank: Path, run: Run) -> None:
    run("account", "create", "alpha", "--bank", bank)
    script = (
        "import sys\nfrom memorybank_cli import open_bank\n"
        "with open_bank(sys.argv[1]) as bank:\n"
        "    for number in range(200):\n"
        "        bank.account('alpha').add(role='user', content=f'message {number}')\n"
    )
    writer = subprocess.Popen([sys.executable, "-c", script, bank], env={**os.environ})
    for job in JOBS:
        assert maintained(bank, job).exit_code() == 0
    assert writer.wait(60) == 0
    assert len(run("message", "list", "--account", "alpha", "--bank", bank, "--json").lines) == 200
    repaired(bank)
    assert run("validate", "--bank", bank).returncode == 0


@pytest.mark.slow
def test_killed_at_any_change_the_next_run_makes_up_for_it(
    make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank = make_bank()
    repaired(bank)
    backed_up(bank)
    real = clock.now_ns
    monkeypatch.setattr(clock, "now_ns", lambda: real() + 31 * 86_400 * clock.SECOND_NS)  # what waits is old
    names = ("rotate", "heartbeat")  # what others do is killed in their own tests
    monkeypatch.setitem(STEPS, "daily", tuple(step for step in STEPS["daily"] if step.name in names))

    def again() -> None:
        report = maintained(bank)
        assert report.exit_code() == 0, report.as_dict()
        assert not list((bank / ".memorybank/quarantine").iterdir())
        assert beats(bank)["daily"].ok
        with opened(bank) as one:
            assert prove(one).ok

    assert killed_everywhere(bank, lambda: maintained(bank), again) > 20
