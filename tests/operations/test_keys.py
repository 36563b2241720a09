"""The commands of keys, by hand and by cron, and every command on an encrypted repository."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.base.context import Context
from memorybank_cli.base.errors import NotFound, Refused, UsageError, WrongKey
from memorybank_cli.operations import keys
from memorybank_cli.operations.backup import backup
from memorybank_cli.operations.examining import examine
from memorybank_cli.operations.journal import prove
from memorybank_cli.operations.manifest import Manifest, manifest
from memorybank_cli.operations.opening import open_bank
from memorybank_cli.operations.repair import repair
from memorybank_cli.operations.repositories import open_repository
from memorybank_cli.operations.status import status
from tests.conftest import MakeBank, Run
from tests.operations.banks import opened, put, repaired

RAW, OTHER = b"k" * 32, b"o" * 32


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memorybank_cli.snapshots.keys.SCRYPT_N", 16)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """Files with secrets by name."""
    found = {}
    for name, data in {"raw": RAW, "other": OTHER, "password": b"a passphrase\n", "wrong": b"wrong\n"}.items():
        path = tmp_path / name
        path.write_bytes(data)
        path.chmod(0o600)
        found[name] = str(path)
    return found


@pytest.fixture
def path(make_bank: MakeBank, files: dict[str, str]) -> Path:
    """A bank whose default repository is encrypted with the raw key, and has one snapshot."""
    path = make_bank(2, padded=False)
    with opened(path, key_file=files["raw"]) as bank:
        assert backup(bank).exit_code() == 0
    return path


def names(path: Path) -> list[str]:
    with opened(path) as bank:
        return [one.name for one in keys.list_(bank).keys]


def test_listing_needs_no_key(path: Path) -> None:
    with opened(path) as bank:
        found = keys.list_(bank)
    (one,) = found.as_dict()["keys"]
    assert (one["kind"], one["damage"]) == ("raw", "")
    assert found.exit_code() == 0
    assert found.summary() == f"1 key of {found.repository}"


def test_a_damaged_key_is_named(path: Path) -> None:
    with opened(path) as bank:
        place = Path(bank.home.repository)
    (place / "keys" / "broken.json").write_bytes(b"{}")
    with opened(path) as bank:
        found = keys.list_(bank)
    assert found.exit_code() == 1
    assert "1 of them damaged" in found.summary()
    assert [one["kind"] for one in found.as_dict()["keys"] if one["name"] == "broken"] == [None]


def test_adding_and_removing(path: Path, files: dict[str, str]) -> None:
    (first,) = names(path)
    with opened(path, key_file=files["raw"]) as bank:
        added = keys.add(bank, name="hand", new_password_file=files["password"])
        assert (added.name, added.kind) == ("hand", "passphrase")
        assert "Keep a copy elsewhere" in added.summary()
    with opened(path, password_file=files["password"]) as bank:
        rehearsed = keys.remove(bank, first, dry_run=True)
        assert (rehearsed.left, rehearsed.dry_run) == (("hand",), True)
        assert "would be removed" in rehearsed.summary()
        assert sorted(names(path)) == sorted([first, "hand"])
        removed = keys.remove(bank, first, yes=True)
        assert removed.left == ("hand",)
        assert "is gone" in removed.summary()
    assert names(path) == ["hand"]
    with opened(path, key_file=files["raw"]) as bank, pytest.raises(WrongKey):
        open_repository(bank, None)


def test_a_new_key_file_is_made_where_it_is_missing(path: Path, files: dict[str, str], tmp_path: Path) -> None:
    with opened(path, key_file=files["raw"]) as bank:
        keys.add(bank, name="cron", new_key_file=str(tmp_path / "made"))
    with opened(path, key_file=str(tmp_path / "made")) as bank:
        open_repository(bank, None).close()


def test_nobody_is_asked_for_a_passphrase_that_opens_nothing(path: Path) -> None:
    with opened(path, ask_secret=lambda _: pytest.fail("asked")) as bank, pytest.raises(UsageError) as caught:
        open_repository(bank, None)
    assert "--key-file FILE" in caught.value.hint


def test_a_new_passphrase_is_typed_twice(path: Path, files: dict[str, str]) -> None:
    answers = ["typed", "typed"]
    with opened(path, key_file=files["raw"], ask_secret=lambda _: answers.pop()) as bank:
        keys.add(bank)
    with opened(path, ask_secret=lambda _: "typed") as bank:
        open_repository(bank, None).close()


def test_the_last_key_stays(path: Path, files: dict[str, str]) -> None:
    (name,) = names(path)
    with opened(path, key_file=files["raw"]) as bank, pytest.raises(Refused, match="last key") as caught:
        keys.remove(bank, name, yes=True)
    assert "key add" in caught.value.hint
    assert names(path) == [name]


def test_the_key_in_use_stays(path: Path, files: dict[str, str]) -> None:
    (name,) = names(path)
    with opened(path, key_file=files["raw"]) as bank:
        keys.add(bank, name="other", new_key_file=files["other"])
        with pytest.raises(Refused, match="just now"):
            keys.remove(bank, name, yes=True)
    assert sorted(names(path)) == sorted([name, "other"])


def test_two_at_once_do_not_remove_each_other(path: Path, files: dict[str, str]) -> None:
    (name,) = names(path)
    with opened(path, key_file=files["raw"]) as bank:
        keys.add(bank, name="other", new_key_file=files["other"])
    with opened(path, key_file=files["raw"]) as one, opened(path, key_file=files["other"]) as two:

        def meanwhile(_question: str) -> bool:
            keys.remove(two, name, yes=True)
            return True

        slow = open_bank(Context(bank=str(path), key_file=files["raw"], confirm=meanwhile))
        with pytest.raises(NotFound):
            keys.remove(slow, "other")
        slow.close()
        del one
    assert names(path) == ["other"]


def test_what_is_refused(path: Path, files: dict[str, str], make_bank: MakeBank) -> None:
    with opened(path, key_file=files["raw"]) as bank:
        with pytest.raises(UsageError, match="password-file and key-file"):
            keys.add(bank, new_password_file="a", new_key_file="b")  # noqa: S106
        with pytest.raises(UsageError) as caught:
            keys.add(bank)
        assert caught.value.hint == "give --new-password-file FILE or --new-key-file FILE"
        with pytest.raises(NotFound):
            keys.remove(bank, "none", yes=True)
        keys.add(bank, name="hand", new_password_file=files["password"])
        with pytest.raises(UsageError, match="nobody to ask"):
            keys.remove(bank, "hand")
    with opened(path, password_file="-") as bank, pytest.raises(UsageError, match="both"):  # noqa: S106
        keys.add(bank, new_password_file="-")  # noqa: S106
    plain = make_bank(0, name="plain")
    with opened(plain) as bank:
        backup(bank)
        for act in (lambda: keys.list_(bank), lambda: keys.add(bank), lambda: keys.remove(bank, "x")):
            with pytest.raises(Refused, match="not encrypted"):
                act()


class TestWithoutAKey:
    """Who only wants to look is told what could not be looked at."""

    def test_health_and_status(self, path: Path) -> None:
        with opened(path) as bank:
            report = examine(bank)
            assert [(one.rule, one.severity) for one in report.findings] == [("MB501", "info")]
            assert "is encrypted and no key is named" in report.findings[0].message
            shown = status(bank)
            assert shown.score == 100
            assert "is encrypted" in shown.snapshots_unknown
            assert shown.summary().endswith("memorybank log")

    def test_with_the_key_in_the_settings_they_look(self, path: Path, files: dict[str, str], home: Path) -> None:
        (home / "config.json").write_text(json.dumps({"key_file": files["raw"]}))
        with opened(path) as bank:
            assert examine(bank).findings == []

    def test_the_proof_of_the_journal(self, path: Path, files: dict[str, str]) -> None:
        with opened(path) as bank:
            proof = prove(bank)
            assert proof.ok
            assert [one.rule for one in proof.findings] == ["MB123"]
            assert "no snapshot was asked" in proof.findings[0].message
        with opened(path, key_file=files["raw"]) as bank:
            assert prove(bank).findings == ()

    def test_repair_says_that_snapshots_were_left_out(
        self, make_bank: MakeBank, files: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MEMORYBANK_UNDO_BUDGET_MIB", "0")  # so that only the snapshot has the bytes
        path = make_bank(1, padded=False)
        with opened(path, key_file=files["raw"]) as bank:
            backup(bank)
        damaged = path / "trades/trade_0.json"
        good = damaged.read_bytes()
        put(damaged, good[: len(good) // 2])
        (left,) = repaired(path).unrepaired
        assert "is encrypted and no key is named" in left.reason
        with opened(path, key_file=files["raw"]) as bank:
            assert repair(bank).unrepaired == ()
        assert damaged.read_bytes() == good


def test_the_manifest_of_a_snapshot(path: Path, files: dict[str, str]) -> None:
    with opened(path, key_file=files["raw"]) as bank:
        found = manifest(bank, bank.context, snapshot="latest")
        assert isinstance(found, Manifest)
        assert len(found.files) > 2


SECRET = "correct-horse"  # noqa: S105


def everything(home: Path, path: Path) -> dict[str, bytes]:
    """What was written anywhere."""
    places = [home, path]
    return {str(one): one.read_bytes() for place in places for one in place.rglob("*") if one.is_file()}


def test_each_command_by_its_options_and_no_secret_anywhere(
    run: Run, make_bank: MakeBank, tmp_path: Path, home: Path
) -> None:
    path = make_bank(2, padded=False)
    password = tmp_path / "password"
    password.write_text(SECRET)
    password.chmod(0o600)
    key = ("--password-file", str(password), "--bank", str(path))
    made = run("backup", "--encrypt", "--json", *key)
    assert made.returncode == 0, made.stderr
    name = made.json["snapshot"]["id"]
    lines: list[tuple[Any, ...]] = [
        ("backup",),
        ("snapshot", "verify", "--read-data"),
        ("snapshot", "restore", name, "--to", tmp_path / "out"),
        ("rollback", "--dry-run"),
    ]
    for line in lines:
        done = run(*line, *key)
        assert done.returncode == 0, (line, done.stderr)
        assert SECRET not in done.stdout + done.stderr
    from_stdin = run("snapshot", "list", "--password-file", "-", "--bank", path, stdin=SECRET.encode())
    assert name in from_stdin.stdout
    wrong = run("snapshot", "list", "--password-file", "-", "--bank", path, "--json", stdin=b"guess")
    assert (wrong.returncode, wrong.error["code"]) == (12, "wrong_key")
    nobody = run("snapshot", "list", "--bank", path)
    assert nobody.returncode == 2
    assert "--password-file" in nobody.stderr
    for file, data in everything(home, path).items():
        assert SECRET.encode() not in data, file


def test_the_options_stand_in_the_help_of_commands_that_open_a_repository(run: Run) -> None:
    for line in (["backup"], ["snapshot", "list"], ["rollback"], ["snapshot", "key", "add"], ["repair"]):
        text = run(*line, "--help").stdout
        assert all(
            re.search(option, text) for option in ("--password-file FILE", "--key-file FILE", "--password-command")
        )
    assert "--key-file" not in run("validate", "--help").stdout


@pytest.mark.parametrize(("word", "short"), [("1234567", True), ("12345678", False)])
def test_a_short_passphrase_is_taken_with_a_word_about_it(
    make_bank: MakeBank, run: Run, tmp_path: Path, word: str, short: bool
) -> None:
    bank = make_bank(padded=False)
    for name in ("one", "two"):
        (tmp_path / name).write_text(f"{word}\n")
        (tmp_path / name).chmod(0o600)
    key = ("--password-file", tmp_path / "one")
    made = run("backup", "--encrypt", *key, cwd=bank)
    added = run("snapshot", "key", "add", *key, "--new-password-file", tmp_path / "two", cwd=bank)
    again = run("backup", *key, cwd=bank)
    assert [done.returncode for done in (made, added, again)] == [0, 0, 0]
    said = ["the passphrase is short" in done.stderr for done in (made, added, again)]
    assert said == [short, short, False]
