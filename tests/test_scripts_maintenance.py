"""scripts/cron-maintenance.sh and scripts/maintenance-schedule.sh: by shellcheck, by hand, and under a real cron.

The cron is Debian's, started with a clock that stands shortly before a job's time (libfaketime), in namespaces of its
own with an empty crontab: nothing of the machine's own schedule is read, run or changed. Needs root, cron, libfaketime
and unshare; what is not there is skipped.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from filelock import FileLock

from memorybank_cli.base import clock
from memorybank_cli.operations.maintain_record import LOCK
from memorybank_cli.operations.schedule_state import Installed, keep
from memorybank_cli.operations.schedule_times import minute
from tests.conftest import MakeBank, Run
from tests.operations.banks import backed_up, opened
from tests.operations.schedulers import Crontab
from tests.operations.test_maintain import beats, home_of

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"
CRON, SCHEDULE = SCRIPTS / "cron-maintenance.sh", SCRIPTS / "maintenance-schedule.sh"
FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)


@pytest.fixture
def bank(make_bank: MakeBank) -> Path:
    path = make_bank(padded=False)
    backed_up(path)
    return path


@pytest.fixture
def memorybank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The program that the scripts are to call."""
    path = tmp_path / "memorybank"
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m memorybank_cli "$@"\n')
    path.chmod(0o755)
    monkeypatch.setenv("MEMORYBANK", str(path))
    monkeypatch.setenv("PYTHONPATH", str(SCRIPTS.parent))
    return path


def script(*words: str | os.PathLike[str], **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words, capture_output=True, text=True, check=False, env={**os.environ, **environment}, timeout=120
    )


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not here")
@pytest.mark.parametrize("path", sorted(SCRIPTS.glob("*.sh")), ids=lambda path: path.name)
def test_shellcheck_has_nothing_to_say(path: Path) -> None:
    done = script("shellcheck", path)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.usefixtures("memorybank")
def test_each_job_runs_and_says_nothing_on_a_good_day(bank: Path) -> None:
    for job in ("samples", "daily", "weekly", "monthly", "missed"):
        done = script(CRON, job, bank)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), job
    assert {job: beat.next_due is not None for job, beat in beats(bank).items() if job != "samples"} == {
        "daily": True,
        "weekly": True,
        "monthly": True,
    }


@pytest.mark.usefixtures("memorybank")
def test_the_bank_may_come_from_the_environment(bank: Path) -> None:
    assert script(CRON, "daily", MEMORYBANK_BANK=str(bank), MEMORYBANK_JITTER="0").returncode == 0
    done = script(CRON, "daily")
    assert (done.returncode, done.stderr) == (
        2,
        "say which bank: cron-maintenance.sh daily BANK, or MEMORYBANK_BANK=BANK\n",
    )


@pytest.mark.parametrize("words", [(), ("hourly",), ("daily", "a", "b"), ("--help",)])
@pytest.mark.parametrize("path", [CRON, SCHEDULE], ids=lambda path: path.name)
def test_wrong_usage_shows_the_right_one(path: Path, words: Sequence[str]) -> None:
    done = script(path, *words)
    assert done.returncode == 2
    assert f"Usage: scripts/{path.name} " in done.stderr
    assert "set -euo" not in done.stderr


def test_a_missing_program_is_told(bank: Path, tmp_path: Path) -> None:
    places = {name: str(shutil.which(name)) for name in ("bash", "dirname", "env")}
    for name, place in places.items():
        (tmp_path / name).symlink_to(place)
    copies = tmp_path / "elsewhere/scripts"
    copies.mkdir(parents=True)
    for path in (CRON, SCHEDULE):
        copy = Path(shutil.copy(path, copies))
        done = script(copy, "daily" if path == CRON else "show", bank, PATH=str(tmp_path))
        assert done.returncode == 3
        assert "memorybank is not in PATH" in done.stderr


@pytest.mark.usefixtures("memorybank")
def test_trouble_is_printed_logged_and_in_the_exit_code(make_bank: MakeBank, tmp_path: Path) -> None:
    bank, log = make_bank(), tmp_path / "cron.log"
    plain = script(CRON, "daily", bank)
    assert plain.returncode == 1
    assert plain.stderr.startswith("daily validate trouble: ")
    logged = script(CRON, "daily", bank, MEMORYBANK_LOG=str(log))
    assert logged.returncode == 1
    assert logged.stdout.startswith("daily validate trouble: ")
    for line in log.read_text().splitlines():
        assert line[:2] == "20"
        assert line[19:22] == "Z d"


@pytest.mark.usefixtures("memorybank")
def test_a_log_that_takes_nothing_hides_nothing(make_bank: MakeBank, tmp_path: Path) -> None:
    for log in ("/dev/full", tmp_path / "nowhere/cron.log"):
        done = script(CRON, "daily", make_bank(name=f"bank-{Path(log).name}"), MEMORYBANK_LOG=str(log))
        assert done.returncode == 1
        assert [line.split()[1] for line in done.stdout.splitlines()] == ["validate", "backup"]
        assert str(log) in done.stderr or "No space left on device" in done.stderr


@pytest.mark.usefixtures("memorybank")
def test_two_runs_never_overlap(bank: Path) -> None:
    with FileLock(home_of(bank) / LOCK):
        done = script(CRON, "weekly", bank, MEMORYBANK_LOCK_TIMEOUT="0")
        assert (done.returncode, "another maintenance run is under way" in done.stderr) == (11, True)
        done = script(CRON, "weekly", bank, MEMORYBANK_TIMEOUT="0.5", MEMORYBANK_LOCK_TIMEOUT="60")
        assert done.returncode == 124  # as timeout ends it


@pytest.mark.usefixtures("memorybank")
def test_the_schedule_by_the_script(bank: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "programs").mkdir()
    crontab = Crontab(tmp_path / "programs")
    monkeypatch.setenv("PATH", f"{tmp_path}/programs:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    assert "Nothing is scheduled" in script(SCHEDULE, "show", bank).stdout
    assert script(SCHEDULE, "install", bank, "--cron").returncode == 0
    assert "maintain daily" in script(SCHEDULE, "show", MEMORYBANK_BANK=str(bank)).stdout
    assert b"maintain daily" in (crontab.content or b"")
    assert "is removed" in script(SCHEDULE, "remove", bank).stdout


def test_lines_for_a_container(bank: Path, tmp_path: Path) -> None:
    done = script(SCHEDULE, "print", bank, "bot")
    assert done.stdout.splitlines() == [
        f"*/5 * * * * bot {CRON} samples {bank}",
        f"0 6 * * * bot {CRON} daily {bank}",
        f"0 2 * * 0 bot {CRON} weekly {bank}",
        f"0 1 1 * * bot {CRON} monthly {bank}",
        f"17 * * * * bot {CRON} missed {bank}",
    ]
    assert script(SCHEDULE, "print", bank).stdout.startswith(f"*/5 * * * * {CRON} samples {bank}\n")
    odd = tmp_path / "100% odd"
    odd.mkdir()
    done = script(SCHEDULE, "print", odd)
    assert (done.returncode, done.stdout) == (3, "")
    assert "cron cannot take the path" in done.stderr
    assert script(SCHEDULE, "print").returncode == 2
    scripts = tmp_path / "my scripts"
    scripts.mkdir()
    done = script(shutil.copy(SCHEDULE, scripts), "print", bank)
    assert (done.returncode, done.stdout) == (3, "")
    assert f"cron cannot take the path '{scripts}'" in done.stderr
    done = script("env", "--chdir", bank.parent, f"CDPATH={bank.parent}", SCHEDULE, "print", bank.name)
    assert done.stdout.startswith(f"*/5 * * * * {CRON} samples {bank}\n")


# Under a real cron

REAL = """
set -eu
mkdir "$WORK/crontabs" "$WORK/cron.d" "$WORK/run"
: > "$WORK/crontab"
chgrp crontab "$WORK/crontabs"
chmod 1730 "$WORK/crontabs"
mount --bind "$WORK/crontabs" /var/spool/cron/crontabs
mount --bind "$WORK/cron.d" /etc/cron.d
mount --bind "$WORK/crontab" /etc/crontab
mount --bind "$WORK/run" /run
# libfaketime leaves shared memory behind under the number of its process, and numbers begin anew in each namespace:
# what another test left there would keep cron from starting. Directories there are other tests' places, this one's too.
mount --bind /dev/shm /mnt
mount -t tmpfs none /dev/shm
for place in /mnt/*/; do
  [ -d "$place" ] || continue
  mkdir "/dev/shm/$(basename "$place")"
  mount --bind "$place" "/dev/shm/$(basename "$place")"
done
echo 'MAILTO=""' | crontab -
$INSTALL
crontab -l > "$WORK/installed"
at() { # at TIME JOB: cron is started with that clock, until the job has left its heartbeat
  LD_PRELOAD="$FAKETIME_LIBRARY" FAKETIME="@$1" cron -f &
  cron=$!
  for _ in $(seq 600); do
    [ -e "$BANK/.memorybank/heartbeats/$2.json" ] && break
    sleep 0.1
  done
  [ -e "$BANK/.memorybank/heartbeats/$2.json" ] || { echo "$2 left no heartbeat"; ps -ef; exit 1; } >&2
  kill "$cron"
  wait "$cron" || true
  ls "$BANK/.memorybank/heartbeats" | grep -v samples > "$WORK/after-$2"
}
$TIMES
"""
EACH = {"daily": "2026-11-21 05:59:58", "weekly": "2026-11-22 01:59:58", "monthly": "2026-12-01 00:59:58"}
BY_AND_BY = [["daily"], ["daily", "weekly"], ["daily", "monthly", "weekly"]]
INSTALL = f'"{sys.executable}" -m memorybank_cli schedule install --cron --bank "$BANK"'


def _namespaces() -> bool:
    words = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "mount", "--bind", "/tmp", "/mnt"]
    return os.geteuid() == 0 and shutil.which("unshare") is not None and script(*words).returncode == 0


needs_cron = pytest.mark.skipif(
    FAKETIME is None or not all(map(shutil.which, ("cron", "crontab"))) or not _namespaces(),
    reason="it needs root, cron, libfaketime and namespaces",
)


def under_cron(bank: Path, work: Path, install: str, times: Mapping[str, str]) -> list[list[str]]:
    """Start a real cron at times, one after the other, until a job has run; the heartbeats that are there then."""
    work.mkdir()
    text = REAL.replace("$INSTALL", install)
    text = text.replace("$TIMES", "\n".join(f'at "{moment}" {job}' for job, moment in times.items()))
    done = script(
        *("unshare", "--mount", "--pid", "--fork", "--mount-proc", "sh", "-c", text),
        BANK=str(bank),
        WORK=str(work),
        FAKETIME_LIBRARY=str(FAKETIME),
        TZ="UTC",
    )
    assert done.returncode == 0, done.stderr
    assert all(beat.ok for beat in beats(bank).values())
    return [(work / f"after-{job}").read_text().replace(".json", "").split() for job in times]


@needs_cron
@pytest.mark.slow
def test_a_real_cron_runs_what_was_installed(make_bank: MakeBank, tmp_path: Path, run: Run) -> None:
    bank = make_bank(padded=False, name="it's 100% my bank")
    backed_up(bank)
    assert under_cron(bank, tmp_path / "work", INSTALL, EACH) == BY_AND_BY
    assert 'MAILTO=""\n# >>> memorybank ' in (tmp_path / "work/installed").read_text()
    shown = run("schedule", "show", "--bank", bank, "--json").json
    assert [one["ok"] for one in shown["jobs"][:3]] == [True, True, True]
    last = json.loads((bank / ".memorybank/heartbeats/daily.json").read_bytes())
    assert last["next_due"] > last["at"]


@needs_cron
@pytest.mark.slow
@pytest.mark.usefixtures("memorybank")
def test_a_real_cron_runs_the_script(bank: Path, home: Path, memorybank: Path, tmp_path: Path) -> None:
    settings = f"MEMORYBANK={memorybank}\\nMEMORYBANK_STATE_HOME={home}\\nPYTHONPATH={SCRIPTS.parent}\\nSHELL=/bin/bash"
    install = f'{{ printf "{settings}\\n"; "{SCHEDULE}" print "$BANK"; }} | crontab -'
    assert under_cron(bank, tmp_path / "work", install, EACH) == BY_AND_BY


@needs_cron
@pytest.mark.slow
def test_a_real_cron_makes_up_for_what_was_missed(bank: Path, tmp_path: Path) -> None:
    with opened(bank) as one:
        keep(one, Installed("cron", clock.show(datetime.now(UTC) - timedelta(days=40)), service=False))
        before = (minute(one.bank_id) - 1) % 60
    times = {"daily": f"2026-11-23 12:{before:02}:58"}  # after the others
    assert under_cron(bank, tmp_path / "work", INSTALL, times) == [["daily", "monthly", "weekly"]]
