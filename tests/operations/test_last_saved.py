"""When a bank was last saved, and where: also with --repo elsewhere."""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import closing
from pathlib import Path

import pytest

from memorybank_cli.operations.backup import backup
from memorybank_cli.operations.examining import examine
from memorybank_cli.operations.health import HealthReport, health
from memorybank_cli.operations.journal import prove
from memorybank_cli.operations.last_saved import Saved, last_saved
from memorybank_cli.operations.repair import repair
from memorybank_cli.operations.repositories import Snapshots
from memorybank_cli.operations.status import status
from tests.conftest import MakeBank
from tests.operations.banks import backed_up, opened

OLD = "2020-01-01T00:00:00.000000Z"


def told(path: Path) -> Saved:
    with opened(path) as bank:
        return last_saved(bank)


def test_never_and_in_the_default_repository(make_bank: MakeBank) -> None:
    path = make_bank(1, padded=False)
    assert told(path) == Saved()
    made = backed_up(path).document
    assert made is not None
    assert told(path) == Saved(made.time)


def test_elsewhere(make_bank: MakeBank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, place = make_bank(1, padded=False), str(tmp_path / "my disk")
    for _ in range(2):
        made = backed_up(path, repo=place).document
    assert made is not None
    assert told(path) == Saved(made.time, "", place)
    with opened(path) as bank:
        shown = status(bank)
        assert shown.as_dict()["snapshots_elsewhere"] == place
        assert shown.document["memory_bank_status"]["integrity_checks"]["state"]["last_snapshot"] == made.time
        looked = health(bank)
    assert isinstance(looked, HealthReport)
    (finding,) = looked.findings
    assert (finding.rule, finding.severity, finding.hint) == (
        "MB501",
        "info",
        f"memorybank config set repository '{place}'",
    )
    assert "in the default repository" in finding.message
    assert (looked.score.value, looked.samples["snapshot_age_seconds"] < 3600) == (100, True)
    monkeypatch.setenv("MEMORYBANK_REPOSITORY", place)
    assert told(path) == Saved(made.time)


def test_elsewhere_and_taken_away(make_bank: MakeBank, tmp_path: Path) -> None:
    path, place = make_bank(1, padded=False), tmp_path / "repo"
    backed_up(path, repo=str(place))
    shutil.move(place, tmp_path / "moved")
    found = told(path)
    assert (found.trouble, found.elsewhere) == ("it is not there now", str(place))
    assert found.time is not None
    finding = found.finding(24)
    assert finding is not None
    assert finding.severity == "info"
    assert finding.message.endswith("The journal says so: it is not there now")
    place.mkdir()
    (place / "config.json").write_text("{")
    found = told(path)
    assert "damaged" in found.trouble
    assert found.elsewhere == str(place)
    finding = found.finding(24)
    assert finding is not None
    assert finding.rule == "MB507"  # the journal tells that it was made, nobody that it is still there
    shutil.rmtree(place)
    shutil.move(tmp_path / "moved", place)
    for one in (place / "snapshots").iterdir():
        one.unlink()
    assert told(path) == Saved()  # it was forgotten there


def test_only_where_no_key_is_named_the_journal_is_enough(
    make_bank: MakeBank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that is named and does not open it: each backup fails, and health must not call that healthy."""
    path, key = make_bank(1, padded=False), tmp_path / "key"
    for name, data in (("key", b"k" * 32), ("other", b"o" * 32)):
        (tmp_path / name).write_bytes(data)
        (tmp_path / name).chmod(0o600)
    monkeypatch.setenv("MEMORYBANK_KEY_FILE", str(key))
    backed_up(path, encrypt=True)

    def rules() -> list[tuple[str, str]]:
        with opened(path) as bank:
            return [(one.rule, one.severity) for one in examine(bank).findings]

    assert rules() == []
    monkeypatch.setenv("MEMORYBANK_KEY_FILE", str(tmp_path / "other"))
    assert rules() == [("MB507", "warning")]
    key.unlink()
    monkeypatch.setenv("MEMORYBANK_KEY_FILE", str(key))
    assert rules() == [("MB507", "warning")]
    monkeypatch.delenv("MEMORYBANK_KEY_FILE")
    assert rules() == [("MB501", "info")]


def test_what_is_too_old_is_a_warning() -> None:
    for saved in (Saved(OLD), Saved(OLD, "", "/mnt/x"), Saved(OLD, "gone", "/mnt/x", is_usual=True)):
        finding = saved.finding(24)
        assert finding is not None
        assert finding.severity == "warning"
    assert Saved(OLD).finding(1e9) is None


def test_what_cannot_be_read_is_told(make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_bank(1, padded=False)
    system, locked = os.open, "journal"

    def refuse(name: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if name == locked:
            raise PermissionError(errno.EACCES, "Permission denied", name)
        return system(name, flags, mode, dir_fd=dir_fd)

    with opened(path) as bank:
        place = Path(os.environ["MEMORYBANK_STATE_HOME"]) / "repositories" / bank.bank_id / "snapshots"
        monkeypatch.setattr(os, "open", refuse)
        journal = f"{path}/.memorybank/journal"
        assert status(bank).snapshots_unknown == f"cannot read the journal: {journal}: permission denied"
        locked = "none"
        backup(bank)
        locked = "snapshots"
        assert status(bank).snapshots_unknown == f"cannot read the snapshots: {place}: permission denied"
        assert "MB507" in {one.rule for one in examine(bank).findings}
        assert any("cannot read the snapshots" in one.message for one in prove(bank).findings)
        assert repair(bank).exit_code() == 0


def test_an_index_that_cannot_be_read_leaves_a_repair_without_snapshots(
    make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_bank(1, padded=False)
    backed_up(path)
    system, locked = os.open, "packs"

    def refuse(name: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if name == locked:
            raise PermissionError(errno.EACCES, "Permission denied", name)
        return system(name, flags, mode, dir_fd=dir_fd)

    with opened(path) as bank:
        monkeypatch.setattr(os, "open", refuse)
        with closing(Snapshots(bank, look=True)) as snapshots:
            assert snapshots.trouble == ""
            assert snapshots.content("state/state.json") is None
            assert snapshots.trouble.startswith("cannot read the snapshots: ")
        with closing(Snapshots(bank)) as snapshots, pytest.raises(PermissionError):
            snapshots.content("state/state.json")
