"""Finding files in snapshots by path, record and text."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.base import digests
from memorybank_cli.base.errors import SnapshotNotFound, UsageError
from memorybank_cli.operations.searching import FindReport, find
from memorybank_cli.snapshots.blobs import Blobs
from memorybank_cli.snapshots.sealing import Damaged
from tests.conftest import MakeBank, Run
from tests.operations.banks import backed_up, opened, put


class Saved:
    """A bank with three snapshots."""

    def __init__(self, path: Path) -> None:
        self.path = path
        put(path / "trades/list.json", [{"trade_id": "x", "price": 1, "note": "Grüße"}, {"trade_id": "y"}])
        put(path / "docs/notes.md", b"first line\nthe word is needle, here\nneedle again\n")
        self.ids = [self.save()]
        put(path / "trades/list.json", [{"trade_id": "x", "price": 2, "note": "Grüße"}])
        put(path / "state/other.json", {"text": 'with "quotes"'})
        self.ids.append(self.save())
        put(path / "trades/trade_0.json", b"{")
        (path / "docs/notes.md").unlink()
        self.ids.append(self.save())

    def save(self) -> str:
        made = backed_up(self.path).document
        assert made is not None
        return made.id

    @property
    def bank_id(self) -> str:
        return str(json.loads((self.path / "bank.json").read_bytes())["bank_id"])

    def find(self, *patterns: str, **options: Any) -> FindReport:
        with opened(self.path) as bank:
            return find(bank, *patterns, **options)

    def told(self, *patterns: str, **options: Any) -> list[tuple[str, int, int]]:
        """Path, and the numbers of the first and the last snapshot."""
        versions = self.find(*patterns, **options).as_dict()["versions"]
        number = self.ids.index
        return [(one["path"], number(one["first"]["id"]), number(one["last"]["id"])) for one in versions]


@pytest.fixture
def bank(make_bank: MakeBank) -> Saved:
    return Saved(make_bank(padded=False))


def test_by_path(bank: Saved) -> None:
    both = [("trades/list.json", 0, 0), ("trades/list.json", 1, 2)]
    for pattern in ("trades/list.json", "./trades/list.json", "list.json", "*/l?st.json", "li*", "trades/list.json/"):
        assert bank.told(pattern) == both
    assert bank.told("docs") == bank.told("docs/") == [("docs/notes.md", 0, 1)]
    assert bank.told("LIST.json") == []
    assert bank.told("list.json", "docs") == [("docs/notes.md", 0, 1), *both]
    assert bank.told("list.json", newest=True) == both[1:]


def test_what_was_found_damaged_stands_beside_the_good_version(bank: Saved) -> None:
    report = bank.find("trade_0.json").as_dict()
    assert [(one["rule"], one["size"] is None) for one in report["versions"]] == [("", False), ("MB103", True)]
    assert report["versions"][1]["sha256"] != report["versions"][0]["sha256"]
    assert bank.told("trade_0.json", newest=True) == [("trades/trade_0.json", 0, 2)]
    assert report["snapshots"] == 3


def test_by_record(bank: Saved) -> None:
    assert bank.told(id=("x",)) == [("trades/list.json", 0, 0), ("trades/list.json", 1, 2)]
    assert bank.told(id=("y", "none")) == [("trades/list.json", 0, 0)]
    assert bank.told("docs", id=("x",)) == []
    [first, _] = bank.find(id=("x",)).as_dict()["versions"]
    value = {"trade_id": "x", "price": 1, "note": "Grüße"}
    assert first["records"] == [{"kind": "trade", "id": "x", "pointer": "/0", "value": value}]
    assert bank.told("trade_*", id=(f"0x{1:064x}",)) == [("trades/trade_1.json", 0, 2)]


def test_by_text(bank: Saved) -> None:
    assert bank.told(text=("needle",)) == [("docs/notes.md", 0, 1)]
    [one] = bank.find(text=("needle",)).as_dict()["versions"]
    assert (one["line"], one["text"]) == (2, "the word is needle, here")
    # JSON may have written it with escapes.
    assert bank.told(text=("Grüße",)) == [("trades/list.json", 0, 0), ("trades/list.json", 1, 2)]
    assert bank.told(text=('with "quotes"',)) == [("state/other.json", 1, 2)]
    assert bank.told(text=("needle", "Grüße"), newest=True) == [("docs/notes.md", 0, 1), ("trades/list.json", 1, 2)]
    assert bank.told(text=("Grüße",), id=("y",)) == [("trades/list.json", 0, 0)]
    assert bank.told(text=("nowhere",)) == []


def test_only_in_some_snapshots(bank: Saved) -> None:
    assert bank.told("list.json", snapshot=(bank.ids[1],)) == [("trades/list.json", 1, 1)]
    assert bank.told("docs", snapshot=(bank.ids[2],)) == []
    with pytest.raises(SnapshotNotFound):
        bank.find("docs", snapshot=("nothing",))


def test_each_content_is_read_once(bank: Saved, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    real = Blobs.get

    def get(self: Blobs, name: str) -> bytes:
        read.append(name)
        return real(self, name)

    for number in range(5):
        put(bank.path / f"docs/copy_{number}.md", b"the same in all")
    bank.save()
    monkeypatch.setattr(Blobs, "get", get)
    assert len(bank.find(text=("the same in all",)).versions) == 5
    assert read.count(digests.of(b"the same in all")) == 1


def test_what_cannot_be_read_is_named(bank: Saved, monkeypatch: pytest.MonkeyPatch) -> None:
    sha = bank.find("docs/notes.md").as_dict()["versions"][0]["sha256"]
    real = Blobs.get

    def get(self: Blobs, name: str) -> bytes:
        if name == sha:
            raise Damaged("gone")
        return real(self, name)

    monkeypatch.setattr(Blobs, "get", get)
    report = bank.find(text=("needle", "Grüße"))
    assert [(one.rule, one.path) for one in report.findings] == [("MB130", "docs/notes.md")]
    assert (len(report.versions), report.exit_code()) == (2, 1)


def test_as_a_command(bank: Saved, run: Run) -> None:
    done = run("snapshot", "find", "list.json", cwd=bank.path)
    assert done.returncode == 0
    assert done.stdout.splitlines()[0] == "trades/list.json"
    assert f"  {bank.ids[1]} to {bank.ids[2]}  " in done.stdout
    assert done.stdout.endswith("2 versions of 1 file in 3 snapshots\n")
    done = run("snapshot", "find", "--id", "nobody", cwd=bank.path)
    assert (done.returncode, done.stdout) == (10, "Nothing found in 3 snapshots.\n")
    done = run("snapshot", "find", "--json", cwd=bank.path)
    assert (done.returncode, done.error["code"]) == (2, "usage")
    with pytest.raises(UsageError):
        bank.find()


@pytest.mark.parametrize("how", ["empty", "gone"])
def test_nothing_found_where_packs_are_damaged(bank: Saved, run: Run, how: str) -> None:
    for path in (Path(os.environ["MEMORYBANK_STATE_HOME"]) / "repositories").glob("*/packs/*/*"):
        path.unlink()
        if how == "empty":
            path.touch()
    done = run("snapshot", "find", "trades/list.json", "--json", cwd=bank.path)
    assert (done.returncode, done.json["versions"]) == (1, [])
    assert {one["rule"] for one in done.json["findings"]} == {"MB130"}
    assert [one for one in done.json["findings"] if one["pointer"].startswith("/packs/")] or how == "gone"
    assert "of which a part cannot be read" in run("snapshot", "find", "x", cwd=bank.path).stdout


def test_a_damaged_pack_is_told_where_something_may_be_missing(bank: Saved, run: Run) -> None:
    odd = Path(os.environ["MEMORYBANK_STATE_HOME"]) / "repositories" / bank.bank_id / "packs/00" / ("0" * 64)
    odd.parent.mkdir(exist_ok=True)
    odd.touch()
    assert run("snapshot", "find", "trades/list.json", cwd=bank.path).returncode == 0
    done = run("snapshot", "find", "nope", cwd=bank.path)
    assert done.returncode == 1
    assert "pack 000000000000 is damaged" in done.stdout
