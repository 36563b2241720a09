"""The schedule of a bank: installed, shown, removed; and what is noticed where it does not run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.alerts import heartbeats
from memorybank_cli.base import clock
from memorybank_cli.base.errors import CopiedBank, OperationFailed, UsageError
from memorybank_cli.operations import programs as programs_module
from memorybank_cli.operations.programs import checked, ourselves, run
from memorybank_cli.operations.schedule import ScheduleReport, install, remove, show
from memorybank_cli.operations.schedule_state import Installed, findings, installed, is_due, keep, never_ran, sampled
from memorybank_cli.operations.schedule_times import JOBS
from tests.conftest import MakeBank, Run
from tests.operations.banks import backed_up, opened, put
from tests.operations.schedulers import Crontab, Systemd
from tests.operations.test_maintain import Noted, maintained


@pytest.fixture
def bank(make_bank: MakeBank) -> Path:
    return make_bank(padded=False)


@pytest.fixture(autouse=True)
def on_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine was not off of late, wherever this runs."""
    monkeypatch.setattr(clock, "uptime", lambda: timedelta(days=90))


def scheduled(path: Path, operation: Any = install, **options: Any) -> ScheduleReport:
    with opened(path) as one:
        found: ScheduleReport = operation(one, **options)
        return found


def test_cron_runs_everything_by_its_time(bank: Path, crontab: Crontab, home: Path) -> None:
    crontab.put(b"MAILTO=me\n0 4 * * * other\n")
    report = scheduled(bank, cron=True)
    assert report.summary() == "Scheduled by the crontab."
    content = (crontab.content or b"").decode()
    assert content.startswith("MAILTO=me\n0 4 * * * other\n# >>> memorybank 01")
    lines = [line.split(maxsplit=5) for line in content.splitlines()[4:-1]]
    times = {line[5].partition(f" --bank {bank}")[0].rpartition("memorybank ")[2]: " ".join(line[:5]) for line in lines}
    missed = times.pop("maintain missed")
    assert times == {
        "health": "*/5 * * * *",
        "maintain daily": "0 6 * * *",
        "maintain weekly": "0 2 * * 0",
        "maintain monthly": "0 1 1 * *",
    }
    assert missed.endswith(" * * * *")
    assert 0 <= int(missed.split()[0]) < 60
    for line in lines:
        assert line[5].startswith(f"MEMORYBANK_STATE_HOME={home} /")
        assert " --quiet" in line[5]
    again = scheduled(bank, cron=True)
    assert (crontab.content or b"").decode() == content
    assert again.by == "cron"
    shown = scheduled(bank, show)
    assert (shown.by, shown.service, [one["job"] for one in shown.jobs]) == (
        "cron",
        False,
        ["maintain monthly", "maintain weekly", "maintain daily", "health"],
    )
    gone = scheduled(bank, remove)
    assert (gone.written, gone.summary()) == ({"crontab": ""}, "The schedule is removed.")
    assert crontab.content == b"MAILTO=me\n0 4 * * * other\n"
    assert scheduled(bank, remove).summary() == "Nothing was scheduled."
    assert scheduled(bank, show).summary() == "Nothing is scheduled. Next: memorybank schedule install"


def test_each_line_runs(bank: Path, crontab: Crontab, run: Run) -> None:
    backed_up(bank)
    scheduled(bank, cron=True)
    for line in (crontab.content or b"").decode().splitlines()[2:-1]:
        command = line.split(maxsplit=5)[5]  # nothing in it is special to cron
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            cwd="/",
            env={"PATH": "/usr/bin:/bin", "HOME": "/"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        assert (done.returncode, done.stdout) == (0, b""), command
    found = run("schedule", "show", "--bank", bank, "--json").json
    assert {one["job"]: one.get("ok") for one in found["jobs"]} == {
        "maintain monthly": True,
        "maintain weekly": True,
        "maintain daily": True,
        "health": True,
    }
    [health] = found["jobs"][3:]
    assert "next" not in health


def test_two_banks_have_a_block_each(make_bank: MakeBank, crontab: Crontab) -> None:
    one, two = make_bank(padded=False, name="it's 100% one"), make_bank(padded=False, name="two")
    scheduled(one, cron=True)
    before = crontab.content
    scheduled(two, cron=True)
    scheduled(two, remove)
    assert crontab.content == before


def test_systemd_is_taken_where_there_is_one(bank: Path, systemd: Systemd, crontab: Crontab) -> None:
    report = scheduled(bank, service=True)
    assert report.summary() == "Scheduled by timers of your systemd, watch as a service."
    assert sorted(report.written) == sorted(str(path) for path in systemd.units.iterdir())
    assert crontab.content is None
    shown = scheduled(bank, show)
    assert (shown.by, shown.service) == ("systemd", True)
    assert scheduled(bank).service is False
    assert not list(systemd.units.glob("*watch*"))
    assert len(scheduled(bank, remove).written) == 10
    assert list(systemd.units.iterdir()) == []
    assert scheduled(bank, show).by is None


def test_what_was_elsewhere_moves(bank: Path, systemd: Systemd, crontab: Crontab) -> None:
    scheduled(bank, cron=True)
    since = of_state(bank).since
    scheduled(bank, systemd=True)
    assert crontab.content is None
    assert of_state(bank) == Installed("systemd", since, service=False)
    scheduled(bank, cron=True)
    assert list(systemd.units.iterdir()) == []
    assert crontab.content is not None


def of_state(path: Path) -> Installed:
    with opened(path) as one:
        found = installed(one)
        assert found is not None
        return found


def test_a_rehearsal_shows_what_would_be_written(bank: Path, crontab: Crontab, run: Run) -> None:
    done = run("schedule", "install", "--dry-run", "--bank", bank)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("crontab would be written:\n# >>> memorybank 01")
    assert done.stdout.endswith("Would be installed by the crontab.\n")
    assert not crontab.content
    run("schedule", "install", "--bank", bank)
    before = crontab.content
    assert before is not None
    done = run("schedule", "remove", "-n", "--bank", bank)
    assert done.stdout == "out of crontab\nThe schedule would be removed.\n"
    assert crontab.content == before


def test_people_see_how_it_went(bank: Path, crontab: Crontab, run: Run) -> None:
    assert crontab.content is None
    backed_up(bank)
    assert run("schedule", "install", "--bank", bank).returncode == 0
    maintained(bank)
    done = run("schedule", "show", "--bank", bank)
    [daily] = [line for line in done.stdout.splitlines() if line.startswith("maintain daily")]
    assert "every day, 06:00" in daily
    assert "good, " in daily


def test_where_there_is_neither(bank: Path, programs: Path) -> None:
    assert programs.is_dir()
    with pytest.raises(UsageError, match="there is no program crontab here, and no systemd of yours"):
        scheduled(bank)
    with pytest.raises(UsageError, match="there is no program crontab here"):
        scheduled(bank, cron=True)
    for option in ("systemd", "service"):
        with pytest.raises(UsageError, match="you have no systemd that answers here"):
            scheduled(bank, **{option: True})
        with pytest.raises(UsageError, match=f"--cron does not go with --{option}"):
            scheduled(bank, cron=True, **{option: True})
    assert scheduled(bank, show).by is None
    assert scheduled(bank, remove).summary() == "Nothing was scheduled."


def test_who_may_not_use_cron_has_nothing_in_it(bank: Path, systemd: Systemd, crontab: Crontab) -> None:
    crontab.fails("You (bot) are not allowed to use this program (crontab)")
    assert scheduled(bank, systemd=True).by == "systemd"
    assert systemd.calls
    scheduled(bank, remove)
    with pytest.raises(OperationFailed, match="not allowed to use this program"):
        scheduled(bank, cron=True)
    crontab.beside("fails").unlink()
    scheduled(bank, cron=True)
    crontab.fails("disk trouble")
    with pytest.raises(OperationFailed, match="disk trouble"):  # here something of ours is in it
        scheduled(bank, remove)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can open somebody else's bank")
def test_root_does_not_schedule_for_others(bank: Path, crontab: Crontab) -> None:
    with opened(bank) as one:
        one.owner = 12_345
        for operation in (install, remove):
            with pytest.raises(OperationFailed, match="belongs to the owner of the bank, uid 12345") as error:
                operation(one)
            assert error.value.hint == "run it as that user: sudo -u '#12345' memorybank schedule ..."
        keep(one, Installed("cron", clock.now(), service=False))
        assert show(one).by == "cron"  # as it was noted
    assert crontab.calls == []


def test_what_cron_would_not_know_is_told(bank: Path, systemd: Systemd, monkeypatch: pytest.MonkeyPatch) -> None:
    assert scheduled(bank).notes == ()
    monkeypatch.setenv("MEMORYBANK_KEY_FILE", "/etc/key")
    systemd.does_not_linger()
    report = scheduled(bank)
    assert report.warnings() == [
        "key_file is named for this run only; memorybank config set key_file VALUE --scope user keeps it",
        "your timers stop when you log out; loginctl enable-linger lets them go on",
    ]


def test_a_copy_leaves_the_schedule_to_the_original(bank: Path, crontab: Crontab, tmp_path: Path) -> None:
    scheduled(bank, cron=True)
    before, copy = crontab.content, tmp_path / "copy"
    shutil.copytree(bank, copy)
    for operation in (lambda one: install(one, cron=True), remove):
        with pytest.raises(CopiedBank, match="is a copy of the bank at"):
            scheduled(copy, operation)
    assert crontab.content == before
    assert before is not None
    assert str(bank) in before.decode()


def test_many_banks_are_scheduled_at_once(run: Run, crontab: Crontab, tmp_path: Path) -> None:
    banks = [tmp_path / f"bank{number}" for number in range(4)]
    for path in banks:
        assert run("init", path, "--quiet").returncode == 0
    slow = crontab.path.read_text().replace(
        'cat > "$0.content"', 'cat > "$0.$$"; /bin/sleep 0.2; /bin/mv "$0.$$" "$0.content"'
    )
    crontab.path.write_text(slow)
    command = [sys.executable, "-m", "memorybank_cli", "schedule", "install", "--cron", "--quiet", "--bank"]
    started = [subprocess.Popen([*command, path], stdout=subprocess.DEVNULL) for path in banks]
    assert [one.wait() for one in started] == [0] * 4
    assert (crontab.content or b"").count(b"# >>> memorybank") == 4


# What is noticed


def found(path: Path) -> list[str]:
    with opened(path) as one:
        return [f"{each.rule} {each.pointer}" for each in never_ran(one)]


def since(path: Path, ago: timedelta) -> None:
    with opened(path) as one:
        keep(one, Installed("cron", clock.show(datetime.now(UTC) - ago), service=False))


def test_a_schedule_that_never_runs_is_a_finding(bank: Path) -> None:
    assert found(bank) == []
    since(bank, timedelta())
    assert found(bank) == []
    since(bank, timedelta(days=40))
    assert found(bank) == ["MB562 /monthly", "MB562 /weekly", "MB562 /daily", "MB562 /samples"]
    assert [one.rule for one in scheduled(bank, show).findings] == ["MB562"] * 4
    backed_up(bank)
    maintained(bank)
    assert found(bank) == ["MB562 /monthly", "MB562 /weekly", "MB562 /samples"]
    with opened(bank) as one:
        sampled(one)
    assert found(bank) == ["MB562 /monthly", "MB562 /weekly"]


def test_what_could_not_run_yet_is_not_missed(bank: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    since(bank, timedelta(days=40))
    for minutes, many in ((119, 0), (121, 4)):
        monkeypatch.setattr(clock, "uptime", lambda minutes=minutes: timedelta(minutes=minutes))
        assert len(found(bank)) == many


def test_a_heartbeat_of_another_machine_is_no_delay(bank: Path) -> None:
    with opened(bank) as one:
        heartbeats.beat(one, "daily", ok=True, seconds=1.0, next_due=datetime.now(UTC) - timedelta(days=9))
        assert [each.rule for each in findings(one)] == ["MB560"]
        keep(one, Installed("cron", clock.now(), service=False))
        assert findings(one) == []


def test_a_run_by_hand_before_it_was_scheduled_is_none_by_the_clock(bank: Path) -> None:
    backed_up(bank)
    maintained(bank)
    since(bank, timedelta(days=40))  # the run is younger: the first time of the next is still to come
    assert "MB562 /daily" not in found(bank)
    path = bank / ".memorybank/heartbeats/daily.json"
    beat = json.loads(path.read_bytes())
    assert beat["next_due"] is None
    put(path, {**beat, "at": clock.show(datetime.now(UTC) - timedelta(days=3))})
    assert "MB562 /daily" in found(bank)
    maintained(bank)  # and now a next one is expected by its heartbeat
    assert "MB562 /daily" not in found(bank)


def test_what_never_ran_is_due_once_its_time_came(bank: Path) -> None:
    with opened(bank) as one:
        assert [job for job in JOBS if is_due(one, job)] == list(JOBS)  # somebody else's schedule asks for it
    since(bank, timedelta())
    with opened(bank) as one:
        assert [job for job in JOBS if is_due(one, job)] == []
    since(bank, timedelta(days=40))
    with opened(bank) as one:
        assert [job for job in JOBS if is_due(one, job)] == list(JOBS)


@pytest.mark.parametrize("kept", [{}, {"by": "me"}, {"by": "cron"}, {"by": "cron", "since": 3}])
def test_a_damaged_note_counts_as_none(bank: Path, kept: dict[str, Any]) -> None:
    with opened(bank) as one:
        one.home.keep_derived("schedule", kept)
        assert installed(one) is None


def test_after_a_removal_no_job_is_expected(bank: Path, crontab: Crontab) -> None:
    backed_up(bank)
    scheduled(bank)
    maintained(bank)
    with opened(bank) as one:
        sampled(one)
    for job in ("daily", "samples"):
        assert json.loads((bank / f".memorybank/heartbeats/{job}.json").read_bytes())["next_due"] is not None
    scheduled(bank, remove)
    assert list((bank / ".memorybank/heartbeats").iterdir()) == []
    assert crontab.content is None


# Programs


def test_memorybank_is_called_by_its_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert ourselves() == [str(tmp_path / "python"), "-P", "-m", "memorybank_cli"]
    (tmp_path / "memorybank").touch(mode=0o755)
    assert ourselves() == [str(tmp_path / "memorybank")]


def test_a_program_that_hangs_or_fails_without_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs_module, "_SECONDS", 0.05)
    with pytest.raises(OperationFailed, match="'sleep 60' did not end within"):
        run(["sleep", "60"])
    with pytest.raises(OperationFailed, match="'sh -c exit 3' failed: exit code 3"):
        checked(["sh", "-c", "exit 3"])


def test_a_monitor_that_died_is_noticed(bank: Path, run: Run) -> None:
    assert run("health", "--record", "--bank", bank, "--quiet").returncode == 0
    assert not (bank / ".memorybank/heartbeats").exists()  # by hand: nobody expects the next one
    assert run("health", "--record", "--scheduled", "--bank", bank, "--quiet").returncode == 0
    later = datetime.now(UTC) + timedelta(minutes=130)
    with opened(bank) as one:
        assert heartbeats.overdue(one.root) == []
        assert [found.rule for found in heartbeats.overdue(one.root, later)] == ["MB560"]


def test_a_look_by_the_clock_says_the_same_once_only(bank: Path, run: Run) -> None:
    put(bank / "state/bad.json", b"{")
    by_hand = run("health", "--bank", bank, "--quiet")
    assert by_hand.returncode == 1
    assert ", error: MB10" in by_hand.stderr
    by_clock = run("health", "--record", "--scheduled", "--bank", bank, "--quiet")
    assert (by_clock.returncode, by_clock.stdout, by_clock.stderr) == (1, "", "")  # else a mail every five minutes


def test_a_heartbeat_of_the_monitor_that_cannot_be_left_is_noted(bank: Path) -> None:
    (bank / ".memorybank/heartbeats").write_text("in the way")
    progress = Noted()
    with opened(bank, progress=progress) as one:
        sampled(one)
    assert progress.notes[0].startswith("no heartbeat of samples was left: ")
