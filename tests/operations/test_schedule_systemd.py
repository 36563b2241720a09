from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from memorybank_cli.base.errors import OperationFailed
from memorybank_cli.operations import schedule_systemd
from memorybank_cli.operations.schedule_times import JOBS
from tests.operations.schedulers import Systemd

ONE, TWO = "01a20059-787d-7b0d-9d19-895c993cb36e", "01a20059-787d-7b0d-9d19-895c993cb36f"
STEM = "memorybank-895c993cb36e"
NAMES = ("samples", *JOBS, "missed", "watch")
ANALYZE = shutil.which("systemd-analyze")


def units(path: str = "/srv/bank", *, service: bool = False, bank_id: str = ONE, **environment: str) -> dict[str, str]:
    commands = {name: ["/bin/true", name, "--bank", path] for name in NAMES}
    return schedule_systemd.units(bank_id, path, commands, environment, service=service)


def test_each_job_has_a_timer_and_what_it_starts() -> None:
    made = units()
    jobs = ("monthly", "weekly", "daily", "samples", "missed")
    assert sorted(made) == sorted(f"{STEM}-{job}.{kind}" for job in jobs for kind in ("service", "timer"))
    assert sorted({*units(service=True)} - {*made}) == [f"{STEM}-watch.service"]
    timer = made[f"{STEM}-daily.timer"].splitlines()
    for line in ("OnCalendar=*-*-* 06:00:00", "Persistent=true", "RandomizedDelaySec=5min", "WantedBy=timers.target"):
        assert line in timer
    assert "OnCalendar=Sun *-*-* 02:00:00" in made[f"{STEM}-weekly.timer"]
    assert "OnCalendar=*-*-01 01:00:00" in made[f"{STEM}-monthly.timer"]
    assert "OnCalendar=*:0/5\n" in made[f"{STEM}-samples.timer"]
    assert "RandomizedDelaySec" not in made[f"{STEM}-samples.timer"]
    service = made[f"{STEM}-daily.service"].splitlines()
    for line in ("Type=oneshot", 'ExecStart="/bin/true" "daily" "--bank" "/srv/bank"', "UMask=0077"):
        assert line in service
    assert "SuccessExitStatus=1" in made[f"{STEM}-samples.service"]
    assert "SuccessExitStatus" not in made[f"{STEM}-daily.service"]
    watch = units(service=True)[f"{STEM}-watch.service"]
    assert "Restart=on-failure\nRestartSec=30\nRestartPreventExitStatus=10\n" in watch


def test_nothing_in_a_path_is_taken_for_more_than_itself() -> None:
    text = units('/srv/100% "$HOME" \\', HOME="/a%b")[f"{STEM}-daily.service"]
    assert 'ExecStart="/bin/true" "daily" "--bank" "/srv/100%% \\"$$HOME\\" \\\\"\n' in text
    assert 'Environment="HOME=/a%%b"\n' in text
    assert 'Description=memorybank maintain daily, /srv/100%% "$HOME" \\' in text
    for path in ("/srv/a\nb", "/srv/\x1b", "/\udcff"):
        with pytest.raises(OperationFailed, match="no unit file can hold the path"):
            units(path)


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not here")
@pytest.mark.parametrize("path", ["/srv/bank", '/srv/100% "$HOME" it\'s'])
def test_systemd_understands_what_is_written(path: str, tmp_path: Path) -> None:
    made = units(path, service=True, MEMORYBANK_STATE_HOME="/srv/a b")
    for name, text in made.items():
        (tmp_path / name).write_text(text)
    found = subprocess.run(
        [str(ANALYZE), "verify", "--man=no", *(str(tmp_path / name) for name in made)],
        capture_output=True,
        text=True,
        check=False,
        env={"SYSTEMD_UNIT_PATH": f"{tmp_path}:/usr/lib/systemd/system", "PATH": "/usr/bin:/bin"},
    )
    complaints = [line for line in found.stderr.splitlines() if STEM in line]
    assert not complaints
    times = [line.partition("=")[2] for text in made.values() for line in text.splitlines() if "OnCalendar" in line]
    subprocess.run([str(ANALYZE), "calendar", *times], check=True, stdout=subprocess.DEVNULL)


def test_units_are_written_and_started(systemd: Systemd) -> None:
    assert schedule_systemd.is_running()
    made = units(service=True)
    assert schedule_systemd.installed(ONE) == []
    schedule_systemd.install(made, [])
    assert {path.name: path.read_text() for path in systemd.units.iterdir()} == made
    assert {path.stat().st_mode & 0o777 for path in systemd.units.iterdir()} == {0o644}
    started = sorted(name for name in made if name.endswith((".timer", "watch.service")))
    assert [call.split()[1] for call in systemd.calls[1:]] == ["daemon-reload", "enable", "restart"]
    for call in systemd.calls[2:]:
        assert sorted(call.split()[2:]) == started


def test_what_is_not_wanted_any_more_is_stopped_and_removed(systemd: Systemd) -> None:
    schedule_systemd.install(units(service=True), [])
    schedule_systemd.install(units(bank_id=TWO), [])
    (systemd.units / "mine.timer").write_text("mine")
    (systemd.units / f"{STEM}-mine.service").write_text("[Service]\n")
    edited = systemd.units / f"{STEM}-daily.service.d"  # as `systemctl --user edit` makes it
    edited.mkdir()
    schedule_systemd.install(units(), schedule_systemd.installed(ONE))
    assert f"--user disable --now {STEM}-watch.service" in systemd.calls
    assert schedule_systemd.installed(ONE) == sorted(units())
    schedule_systemd.remove(schedule_systemd.installed(ONE))
    assert schedule_systemd.installed(ONE) == []
    assert {path.name for path in systemd.units.iterdir()} == {
        "mine.timer",
        f"{STEM}-mine.service",
        edited.name,
        *units(bank_id=TWO),
    }
    assert systemd.calls[-1] == "--user daemon-reload"


def test_what_systemd_refuses_is_told(systemd: Systemd) -> None:
    systemd.fails("Failed to connect to bus: No medium found\nmore")
    assert not schedule_systemd.is_running()
    with pytest.raises(OperationFailed, match="'systemctl --user daemon-reload' failed: Failed to connect to bus"):
        schedule_systemd.install(units(), [])


def test_whether_timers_outlive_the_session(systemd: Systemd, programs: Path) -> None:
    assert schedule_systemd.lingers("bot")
    systemd.does_not_linger()
    assert not schedule_systemd.lingers("bot")
    (programs / "loginctl").unlink()
    assert schedule_systemd.lingers("bot")


def test_without_systemd(programs: Path) -> None:
    assert programs.is_dir()
    assert not schedule_systemd.is_running()
    assert schedule_systemd.installed(ONE) == []


def test_the_place_is_the_user_s(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert schedule_systemd.place() == f"{tmp_path}/.config/systemd/user"
