"""What protects a bank: age of snapshots and drills, retention, encryption, other disks, damage in the repository."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from datetime import datetime, timedelta, tzinfo
from pathlib import Path

import pytest

from memorybank_cli.base.records import Finding
from memorybank_cli.base.settings import BY_NAME
from memorybank_cli.health.probing import Reading
from memorybank_cli.operations import protection
from memorybank_cli.operations.drill import drill
from memorybank_cli.operations.forgetting import forget
from memorybank_cli.operations.last_saved import Saved
from memorybank_cli.operations.proofs import keep_drill
from memorybank_cli.operations.repositories import Snapshots
from memorybank_cli.operations.verifying import lacking, verify
from memorybank_cli.snapshots.documents import Document
from memorybank_cli.snapshots.retention import Decision, Policy
from tests.conftest import MakeBank
from tests.operations.banks import backed_up, opened


@pytest.fixture
def path(make_bank: MakeBank) -> Path:
    return make_bank(1, padded=False)


@pytest.fixture
def repository(path: Path, home: Path) -> Path:
    """The bank's default repository, with a snapshot."""
    backed_up(path)
    [found] = home.glob("repositories/*")
    return found


def look(path: Path, name: str = "repository") -> Reading:
    with opened(path) as bank:
        found: Reading = getattr(protection, name)(bank)
    return found


def told(path: Path, name: str = "repository") -> list[tuple[str, str]]:
    return [(one.rule, one.severity) for one in look(path, name).findings]


def set_to(monkeypatch: pytest.MonkeyPatch, name: str, value: object) -> None:
    monkeypatch.setenv(BY_NAME[f"health.{name}"].variable, str(value))


def later(monkeypatch: pytest.MonkeyPatch, span: timedelta) -> None:
    """Have ages counted as they will be so much later."""

    class Later(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Later:
            moment = datetime.now(tz) + span
            return Later.fromtimestamp(moment.timestamp(), tz)

    monkeypatch.setattr("memorybank_cli.operations.last_saved.datetime", Later)


@pytest.mark.usefixtures("repository")
def test_the_age_of_the_newest_snapshot(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = look(path, "saved")
    assert found.findings == ()
    assert 0 <= found.samples["snapshot_age_seconds"] < 3_600
    assert isinstance(found.fact, Saved)
    later(monkeypatch, timedelta(hours=27))
    assert told(path, "saved") == [("MB501", "warning")]


@pytest.mark.usefixtures("repository")
def test_a_snapshot_that_is_yet_to_be_made_protects_nobody(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock was a year ahead when it was made: its age would be less than any limit for a year and a day."""
    later(monkeypatch, timedelta(days=-365))
    found = look(path, "saved")
    [one] = found.findings
    assert (one.rule, one.severity, found.samples) == ("MB507", "warning", {})
    assert "is yet to come; memorybank backup makes one of now" in one.message
    set_to(monkeypatch, "offsite_max_age_hours", 1)
    monkeypatch.setattr(protection, "_device", hash)
    assert told(path, "elsewhere") == [("MB536", "warning")]
    later(monkeypatch, timedelta(minutes=-59))  # so much clocks differ
    assert (told(path, "saved"), look(path, "saved").samples["snapshot_age_seconds"]) == ([], 0)


@pytest.mark.usefixtures("repository")
def test_of_snapshots_the_newest_that_is_not_yet_to_come_counts(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("memorybank_cli.base.clock.time.time_ns", lambda: int((time.time() + 365 * 86_400) * 1e9))
        backed_up(path)
    later(monkeypatch, timedelta(hours=30))
    [one] = look(path, "saved").findings
    assert (one.rule, one.message) == ("MB501", "the newest good snapshot is 30 hours old")


def test_without_a_repository(path: Path) -> None:
    assert look(path) == Reading({})
    assert told(path, "saved") == [("MB501", "warning")]


@pytest.mark.usefixtures("repository")
def test_a_sound_repository(path: Path) -> None:
    assert look(path) == Reading({"snapshots": 1, "repository_encrypted": 0, "snapshots_to_forget": 0})


# What is gone


def test_a_repository_that_is_not_there_any_more(
    path: Path, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where its disk is not mounted: the next backup begins a new one in its place."""
    backed_up(path)
    repository.rename(tmp_path / "unmounted")
    [one] = look(path).findings
    assert (one.rule, one.severity) == ("MB130", "error")
    assert one.message == f"2 snapshots that the journal tells of are not in the repository {repository}"
    backed_up(path)
    assert told(path) == [("MB130", "warning")]
    with opened(path) as bank:
        assert {one.pointer for one in verify(bank).findings} == {
            f"/snapshots/{name}" for name in lacking(bank, str(repository), None) if name not in made(path)
        }
    later(monkeypatch, timedelta(days=31))
    assert ("MB130", "warning") not in told(path)


def made(path: Path) -> list[str]:
    """The snapshots that are in the repository, the newest first."""
    with opened(path) as bank, closing(Snapshots(bank)) as snapshots:
        return [one.id for one in snapshots.newest_first()]


def test_what_was_forgotten_is_not_gone(path: Path, repository: Path) -> None:
    for _ in range(3):
        backed_up(path)
    with opened(path) as bank:
        forget(bank, made(path)[-1], yes=True)
        assert lacking(bank, str(repository), None).keys() == set(made(path))
    assert told(path) == []


def test_a_repository_that_was_moved_is_not_gone(
    path: Path, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.rename(tmp_path / "moved")
    backed_up(path, repo=str(tmp_path / "moved"))
    monkeypatch.setenv(BY_NAME["repository"].variable, str(tmp_path / "moved"))
    assert told(path) == []
    monkeypatch.delenv(BY_NAME["repository"].variable)
    backed_up(path)  # a new one where it stood
    assert told(path) == []


# Drills


@pytest.mark.usefixtures("repository")
def test_a_drill_is_due_some_time_after_the_first_snapshot(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    later(monkeypatch, timedelta(hours=239))
    assert told(path) == []
    later(monkeypatch, timedelta(hours=241))
    assert told(path) == [("MB533", "warning")]
    set_to(monkeypatch, "drill_max_age_hours", 0)
    assert told(path) == []


@pytest.mark.usefixtures("repository")
def test_a_drill_that_passed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(path) as bank:
        assert drill(bank).exit_code() == 0
    assert 0 <= look(path).samples["drill_age_seconds"] < 3_600
    later(monkeypatch, timedelta(hours=300))
    [one] = look(path).findings
    assert (one.rule, one.message) == ("MB533", "the last drill passed 300 hours ago")


@pytest.mark.usefixtures("repository")
def test_a_drill_that_is_yet_to_come_proves_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(path) as bank:
        ahead = {"time": "2999-01-01T00:00:00Z", "ok": True, "last_good": "2999-01-01T00:00:00Z"}
        bank.home.keep_derived("drill", ahead)
    assert "drill_age_seconds" not in look(path).samples
    later(monkeypatch, timedelta(hours=241))
    [one] = look(path).findings
    assert (one.rule, one.message) == ("MB533", "none of its snapshots was ever restored in a drill")


@pytest.mark.usefixtures("repository")
def test_a_drill_that_failed_is_an_error(path: Path) -> None:
    with opened(path) as bank:
        keep_drill(bank, "x", ok=True, seconds=1)
        keep_drill(bank, "x", ok=False, seconds=1)
    assert told(path) == [("MB533", "error")]


# Damage, room, retention, encryption


def test_a_damaged_snapshot(path: Path, repository: Path) -> None:
    [document] = (repository / "snapshots").iterdir()
    document.write_bytes(b"x")
    assert told(path) == [("MB130", "error")]


def test_a_damaged_pack_stays_known(path: Path, repository: Path) -> None:
    pack = next((repository / "packs").rglob("*/*"))
    pack.chmod(0o600)
    pack.write_bytes(pack.read_bytes()[:-1] + b"x")
    with opened(path) as bank:
        verify(bank, read_data=True)
    [one] = look(path).findings
    assert (one.rule, one.message) == ("MB130", "1 pack of the repository found damaged when last read")


def test_a_full_disk_of_the_repository(path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_to(monkeypatch, "disk_percent", 100)
    assert told(path) == []  # on the bank's own disk, of which another probe tells
    monkeypatch.setattr(protection, "_device", lambda place: int(place == str(repository)))
    found = look(path).findings
    assert {one.rule for one in found} == {"MB502", "MB508"}
    assert all(one.pointer == "/repository" and str(repository) in one.message for one in found)


@pytest.mark.usefixtures("repository")
def test_snapshots_that_wait_to_be_forgotten(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing_is_kept(found: Sequence[Document], _policy: Policy, _pins: object) -> list[Decision]:
        return [Decision(one, ()) for one in found] * count

    monkeypatch.setattr(protection, "decide", nothing_is_kept)
    count = protection.WAITING
    assert look(path) == Reading({"snapshots": 1, "repository_encrypted": 0, "snapshots_to_forget": count})
    count += 1
    assert told(path) == [("MB534", "info")]


@pytest.mark.usefixtures("repository")
def test_an_empty_policy_keeps_all(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, setting in BY_NAME.items():
        if name.startswith("retention."):
            monkeypatch.setenv(
                setting.variable, "0d" if name.endswith("within") else "" if name.endswith("tags") else "0"
            )
    assert look(path).samples["snapshots_to_forget"] == 0


@pytest.mark.usefixtures("repository")
def test_encryption_where_it_is_asked_for(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_to(monkeypatch, "require_encryption", 1)
    assert told(path) == [("MB535", "warning")]
    password = tmp_path / "password"
    password.write_text("secret")
    password.chmod(0o600)
    monkeypatch.setenv("MEMORYBANK_PASSWORD_FILE", str(password))
    monkeypatch.setenv("MEMORYBANK_REPOSITORY", str(tmp_path / "sealed"))
    backed_up(path, encrypt=True)
    assert look(path) == Reading({"snapshots": 1, "repository_encrypted": 1, "snapshots_to_forget": 0})


# Another disk


@pytest.mark.usefixtures("repository")
def test_a_copy_on_another_disk(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert look(path, "elsewhere") == Reading({})  # nobody asked
    set_to(monkeypatch, "offsite_max_age_hours", 24)
    [one] = look(path, "elsewhere").findings
    assert (one.rule, one.severity) == ("MB536", "warning")
    assert one.message.startswith("no snapshot lies on another disk")
    other = tmp_path / "usb"
    backed_up(path, repo=str(other))
    backed_up(path)
    assert told(path, "elsewhere") == [("MB536", "warning")]
    real = protection._device
    monkeypatch.setattr(protection, "_device", lambda place: 1 << 40 if place == str(other) else real(place))
    found = look(path, "elsewhere")
    assert found.findings == ()
    assert 0 <= found.samples["offsite_age_seconds"] < 3_600
    later(monkeypatch, timedelta(hours=30))
    [one] = look(path, "elsewhere").findings
    assert one.message == "the newest snapshot on another disk than the bank is 30 hours old"


def test_what_is_not_there_now_is_no_copy(tmp_path: Path) -> None:
    assert protection._device(str(tmp_path / "gone")) is None
    assert protection._device("a\0b") is None
    assert protection._device(str(tmp_path)) == tmp_path.stat().st_dev


# What cannot be opened


def test_a_repository_without_its_key_is_judged_by_the_journal(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    password = tmp_path / "password"
    password.write_text("secret")
    password.chmod(0o600)
    monkeypatch.setenv("MEMORYBANK_PASSWORD_FILE", str(password))
    backed_up(path, encrypt=True)
    monkeypatch.delenv("MEMORYBANK_PASSWORD_FILE")
    found = look(path, "saved")
    [one] = found.findings
    assert (one.rule, one.severity) == ("MB501", "info")
    assert "by the journal: " in one.message
    assert 0 <= found.samples["snapshot_age_seconds"] < 3_600
    later(monkeypatch, timedelta(hours=30))
    assert told(path, "saved") == [("MB501", "warning")]


def test_where_nobody_knows_it_is_unknown() -> None:
    one = Saved(trouble="permission denied").finding(24)
    assert isinstance(one, Finding)
    assert (one.rule, one.pointer) == ("MB507", "/snapshots/saved")
