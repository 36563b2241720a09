"""Checking files anywhere against one schema: by name, from a file, of a bank, many of them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from memorybank_cli.base.errors import NotFound, OperationFailed, UsageError
from memorybank_cli.base.records import QUIET
from memorybank_cli.base.strict_json import HARD_SIZE
from memorybank_cli.base.walk import READ_SIZE
from memorybank_cli.base.workers import WORTH_IT
from memorybank_cli.operations.accept import accept
from memorybank_cli.operations.anywhere import check_files
from tests.conftest import MakeBank, Run, trade
from tests.operations.banks import opened, put
from tests.operations.owners import OWNER, as_root, own_ids_again, public_place


def found(*paths: Path, schema: str = "trade") -> tuple[int, list[tuple[str, str]]]:
    count, findings = check_files([str(path) for path in paths], schema, None, QUIET)
    return count, [(one.rule, one.path) for one in findings]


def test_files_and_directories(tmp_path: Path) -> None:
    put(tmp_path / "a.json", trade(1))
    put(tmp_path / "below/b.json", {"timestamp": []})
    put(tmp_path / "below/deep/c.json", b"{")
    put(tmp_path / "below/notes.md", b"no JSON")
    put(tmp_path / "below/.hidden.json", b"no JSON")
    (tmp_path / "below/link.json").symlink_to("deep/c.json")
    (tmp_path / "below/loop").symlink_to(".")
    assert found(tmp_path / "a.json") == (1, [])
    assert found(tmp_path / "a.json", tmp_path / "below") == (
        3,
        [("MB201", str(tmp_path / "below/b.json")), ("MB103", str(tmp_path / "below/deep/c.json"))],
    )
    assert found(tmp_path / "below/notes.md") == (1, [("MB101", str(tmp_path / "below/notes.md"))])


def test_nothing_to_check(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="which files"):
        found()
    with pytest.raises(UsageError, match="which files"):
        found(tmp_path)
    with pytest.raises(NotFound, match="there is no"):
        found(tmp_path / "gone.json")


def test_a_schema_that_is_not_known(run: Run, tmp_path: Path) -> None:
    put(tmp_path / "a.json", trade(1))
    done = run("validate", "--schema", "trad", "a.json", "--json", cwd=tmp_path)
    assert done.returncode in (2, 10)
    assert "trad" in done.error["message"]


def test_a_schema_from_a_file(run: Run, tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}, "t": {"$ref": "urn:memorybank:schema:time"}}}
    put(tmp_path / "own.json", schema)
    put(tmp_path / "good.json", {"n": 1, "t": "2026-11-20T14:00:00Z"})
    put(tmp_path / "bad.json", {"n": "one", "t": []})
    done = run("validate", "--schema", "./own.json", "good.json", "bad.json", "--json", cwd=tmp_path)
    assert done.returncode == 1
    assert {(one["path"], one["pointer"]) for one in done.json["findings"]} == {("bad.json", "/n"), ("bad.json", "/t")}
    assert found(tmp_path / "good.json", schema=str(tmp_path / "own.json")) == (1, [])


@pytest.mark.parametrize(
    "schema",
    [b"{", b"[]", b'{"type": "nonsense"}', b'{"$ref": "file:///etc/passwd"}', b'{"$ref": "http://localhost/x"}'],
)
def test_a_schema_that_is_none(run: Run, tmp_path: Path, schema: bytes) -> None:
    put(tmp_path / "own.json", schema)
    put(tmp_path / "a.json", {})
    done = run("validate", "--schema", "./own.json", "a.json", "--json", cwd=tmp_path)
    assert done.returncode in (2, 3)
    assert "own.json" in done.error["message"]


def test_a_schema_file_that_is_gone(tmp_path: Path) -> None:
    put(tmp_path / "a.json", {})
    with pytest.raises(OperationFailed, match="cannot read the schema"):
        found(tmp_path / "a.json", schema=str(tmp_path / "gone.json"))


def test_a_schema_of_the_bank(make_bank: MakeBank, tmp_path: Path) -> None:
    path = make_bank(0, padded=False)
    put(path / "config/schemas/signal.schema.json", {"type": "object", "required": ["signal"]})
    with opened(path) as bank:
        accept(bank, str(path / "config"))
    put(tmp_path / "a.json", {"signal": 1})
    put(tmp_path / "b.json", {})
    with opened(path) as bank:
        count, findings = check_files([str(tmp_path / "a.json"), str(tmp_path / "b.json")], "signal", bank, QUIET)
    assert (count, [one.path for one in findings]) == (2, [str(tmp_path / "b.json")])


def test_odd_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "link").symlink_to("real")
    put(tmp_path / "real", trade(1))
    put(tmp_path / "long", json.dumps({**trade(1), "notes": "x" * READ_SIZE}).encode())
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(HARD_SIZE + 10)
    count, findings = found(*(tmp_path / name for name in ("pipe", "loop", "link", "long", "huge")))
    assert count == 5
    assert [(rule, Path(path).name) for rule, path in findings] == [
        ("MB104", "pipe"),
        ("MB307", "loop"),
        ("MB108", "huge"),
    ]


@as_root
def test_a_file_that_cannot_be_read() -> None:
    with public_place() as place, own_ids_again():
        put(place / "dark.json", {})
        (place / "dark").mkdir(mode=0o700)
        os.seteuid(OWNER)
        assert found(place / "dark.json") == (1, [("MB307", str(place / "dark.json"))])
        with pytest.raises(OperationFailed, match="cannot read the directory"):
            found(place / "dark")


def test_names_are_escaped(tmp_path: Path) -> None:
    put(tmp_path / "a\nb.json", b"{")
    assert found(tmp_path / "a\nb.json")[1] == [("MB103", f"{tmp_path}/a\\x0ab.json")]


def test_many_files_are_checked_by_two_processes(tmp_path: Path) -> None:
    (tmp_path / "many").mkdir()
    for number in range(WORTH_IT + 1):
        (tmp_path / f"many/{number:05d}.json").write_bytes(b'{"timestamp": 1}' if number % 500 else b"{")
    count, findings = found(tmp_path / "many")
    assert count == WORTH_IT + 1
    assert [Path(path).name for _, path in findings] == [f"{number:05d}.json" for number in range(0, WORTH_IT + 1, 500)]
