"""Entries that wait: the same ones come out, in memory or from the file, as often as they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from memorybank_cli.bank.journal import Entry
from memorybank_cli.bank.spool import Spool
from memorybank_cli.base.walk import Root


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    opened = Root(tmp_path)
    yield opened
    opened.close()


def deep(levels: int) -> object:
    value: object = 10**30
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("held", [0, 300, 1 << 20])
def test_what_was_added_comes_out(root: Root, monkeypatch: pytest.MonkeyPatch, held: int) -> None:
    monkeypatch.setattr("memorybank_cli.bank.spool.HELD", held)
    spool = Spool(root, "entries")
    entries = [Entry("a.b", {"n": number, "text": "line\nbreak"}, {"x": 0.1}) for number in range(20)]
    entries += [Entry("none", {}), Entry("deep", {}, deep(63))]
    for entry in entries:
        spool.add(entry)
    assert len(spool) == len(entries)
    assert list(spool) == entries
    assert [one for one, _ in zip(spool, spool, strict=True)] == entries
    assert (Path(root.path) / "entries").exists() == (held < 1 << 20)


def test_an_empty_one(root: Root) -> None:
    assert list(Spool(root, "entries")) == []
    assert not list(Path(root.path).iterdir())
