"""Reading documents to learn from them and to prove what was learnt."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.base import workers
from memorybank_cli.base.walk import Root
from memorybank_cli.meaning.learning import Named, learn, prove


def files_of(path: Path, **contents: bytes) -> list[Named]:
    (path / "trades").mkdir(exist_ok=True)
    for name, data in contents.items():
        (path / f"trades/{name}.json").write_bytes(data)
    return [("trades", f"{name}.json") for name in contents]


def by_type(_directory: str, _name: str, value: Any) -> str:
    return "one" if isinstance(value, dict) else "many" if isinstance(value, list) else ""


@pytest.fixture(params=[1, 10_000], ids=["two processes", "one process"])
def processes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers.spread, "__defaults__", (request.param,))
    monkeypatch.setattr(workers, "_processors", lambda: 2)


@pytest.mark.usefixtures("processes")
def test_documents_are_learnt_by_kind_and_the_rest_is_listed(tmp_path: Path) -> None:
    files = files_of(tmp_path, a=b'{"x":1}', b=b"[1]", c=b'{"x":2}', d=b'"text"', e=b"{", f=b"{}\0\0", g=b'{"x":3}')
    files.append(("trades", "gone.json"))
    files.append(("nowhere", "x.json"))
    learnt = learn(Root(tmp_path), files, by_type)
    assert {kind: families.count for kind, families in learnt.kinds.items()} == {"one": 3, "many": 1}
    assert [(one.path, one.rule) for one in learnt.left_out] == [
        ("trades/e.json", "MB103"),
        ("trades/f.json", "MB102"),
        ("trades/gone.json", "MB307"),
        ("nowhere/x.json", "MB307"),
    ]
    [family] = learnt.kinds["one"].alternatives()
    assert family.examples == ["trades/a.json", "trades/c.json", "trades/g.json"]


@pytest.mark.usefixtures("processes")
def test_documents_are_held_against_alternatives(tmp_path: Path) -> None:
    files = files_of(tmp_path, a=b'{"x":1}', b=b'{"x":2,"y":1}', c=b'{"z":2}', d=b"[]", e=b"{", f=b'{"y":null}')

    def has(member: str) -> Callable[[Any], bool]:
        return lambda value: member in value

    proof = prove(Root(tmp_path), files, by_type, {"one": [has("x"), has("y")]}, {"one": ("x",)})["one"]
    assert proof.matching == {1: 1, 3: 1, 0: 1, 2: 1}
    assert proof.misfits == ["trades/c.json"]
    assert len(set(proof.numbers["x"])) == 2


def test_large_files_are_read_whole_and_too_large_ones_left_out(tmp_path: Path) -> None:
    files = files_of(tmp_path, large=json.dumps({"x": "y" * 100_000}).encode(), huge=b"")
    with (tmp_path / "trades/huge.json").open("wb") as file:
        file.truncate(65 << 20)
    learnt = learn(Root(tmp_path), files, by_type)
    assert learnt.kinds["one"].count == 1
    assert [(one.path, one.rule) for one in learnt.left_out] == [("trades/huge.json", "MB108")]
