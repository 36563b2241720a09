from __future__ import annotations

import os
from pathlib import Path

import pytest

from memorybank_cli.base.records import Finding
from memorybank_cli.operations.maintain_audit import audited
from tests.conftest import MakeBank
from tests.operations.banks import backed_up, opened
from tests.operations.test_maintain import home_of, maintained, results


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memorybank_cli.snapshots.keys.SCRYPT_N", 16)


@pytest.fixture
def bank(make_bank: MakeBank) -> Path:
    return make_bank(padded=False)


def audit(path: Path, repo: str | None = None, **options: str) -> dict[str, Finding]:
    """What the audit finds of its own, by the part of a place."""
    with opened(path, **options) as one:
        return {found.pointer: found for found in audited(one, repo)[1] if found.rule in ("MB563", "MB564")}


def test_a_bank_as_it_is_made_is_good(bank: Path) -> None:
    assert audit(bank) == {}  # also before there are snapshots
    backed_up(bank)
    assert audit(bank) == {}
    assert results(maintained(bank, "monthly", step=("audit",))) == {"audit": "done"}


def test_places_that_others_may_enter(bank: Path, home: Path) -> None:
    repository = Path(backed_up(bank).repository)
    (home / "config.json").write_text("{}")
    (home / "alerts.json").write_text("{}")
    for path, mode in {
        bank / ".memorybank": 0o750,
        home_of(bank): 0o777,
        repository: 0o755,
        home / "config.json": 0o644,
        home / "alerts.json": 0o640,
    }.items():
        path.chmod(mode)
    found = audit(bank)
    assert {name: one.message.partition("may be ")[2] for name, one in found.items()} == {
        f"/mode/{bank}/.memorybank": "read by other users (mode 0750)",
        f"/mode/{home_of(bank)}": "written by other users (mode 0777)",
        f"/mode/{repository}": "read by other users (mode 0755)",
        f"/mode/{home}/alerts.json": "read by other users (mode 0640)",
    }
    for one in found.values():
        assert os.system(one.hint) == 0  # noqa: S605 - what people are told to do
    (home / "config.json").chmod(0o666)
    [one] = audit(bank).values()
    assert one.message.endswith("config.json may be written by other users (mode 0666)")
    assert os.system(one.hint) == 0  # noqa: S605
    assert audit(bank) == {}
    assert (home / "config.json").stat().st_mode & 0o777 == 0o644


def test_files_that_others_may_write_now(bank: Path) -> None:
    backed_up(bank)
    path = bank / "state/state.json"
    path.chmod(0o666)
    report = maintained(bank, "monthly", step=("audit",))
    assert [(one.rule, one.path) for one in report.findings] == [("MB308", "state/state.json")]
    assert results(report) == {"audit": "trouble"}


def test_the_audit_tells_of_what_it_finds(bank: Path) -> None:
    home_of(bank).chmod(0o755)
    report = maintained(bank, "monthly", step=("audit",))
    assert (results(report), report.exit_code()) == ({"audit": "trouble"}, 1)
    assert [one.rule for one in report.findings] == ["MB563"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_place_of_somebody_else(bank: Path) -> None:
    repository = Path(backed_up(bank).repository)
    os.chown(repository, 12_345, -1)
    [one] = audit(bank).values()
    assert one.message == f"{repository} belongs to uid 12345, not to the owner of the bank"


def test_the_files_of_keys(bank: Path, tmp_path: Path) -> None:
    key = tmp_path / "my key"
    key.write_bytes(b"k" * 32)
    key.chmod(0o644)
    found = audit(bank, key_file=str(key))
    assert [one.hint for one in found.values()] == [f"chmod go-rwx '{key}'"]
    assert audit(bank, password_file="-") == {}  # noqa: S106 - it is stdin


def test_keys_that_are_damaged_or_alone(bank: Path, tmp_path: Path) -> None:
    from memorybank_cli.operations.keys import add

    key, spare = tmp_path / "key", tmp_path / "spare"
    key.write_bytes(b"k" * 32)
    key.chmod(0o600)
    with opened(bank, key_file=str(key)) as one:
        from memorybank_cli.operations.backup import backup

        repository = Path(backup(one, encrypt=True).repository)
    [lone] = audit(bank).values()
    assert lone.message.endswith("has only one key: who loses it loses every snapshot")
    with opened(bank, key_file=str(key)) as one:
        name = add(one, name="spare", new_key_file=str(spare)).name
    assert audit(bank) == {}
    (repository / f"keys/{name}.json").write_bytes(b"{")
    found = audit(bank)
    assert sorted(found) == ["/keys", "/keys/spare"]
    assert found["/keys/spare"].hint.startswith("memorybank snapshot key remove spare")
