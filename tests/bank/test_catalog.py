from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memorybank_cli.bank import layout
from memorybank_cli.bank.catalog import ROOM, Catalog
from memorybank_cli.bank.chain import GAP, START, Break, Position, Reading
from memorybank_cli.bank.framing import GENESIS, Line
from memorybank_cli.bank.rows import Content, Expected, FileRow, Row, Seen
from memorybank_cli.base import database, files
from memorybank_cli.base.database import connect
from memorybank_cli.base.walk import Root

SHA = "a" * 64
SEEN = Seen(SHA, 5, 1_000, 2_000, 42, 0o100600, "trade", (Content("MB202", "odd", "/a", 3, "x", "y"),), 3_000, 1)


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    opened = Root(tmp_path)
    files.make_dirs(opened, layout.PRIVATE)
    yield opened
    opened.close()


@pytest.fixture
def catalog(root: Root) -> Iterator[Catalog]:
    opened = Catalog(root)
    yield opened
    opened.close()


def names(root: Root) -> list[str]:
    return sorted(entry.name for entry in root.listing(layout.PRIVATE) if entry.name.endswith(".sqlite"))


def row(
    path: str, after: str | None = SHA, size: int = 5, rules: tuple[str, ...] = (), kind: str = "trade"
) -> list[Any]:
    return list(FileRow(path, after, size, 0o600, list(rules), kind, None))


def line(seq: int, op: str, **core: Any) -> Line:
    return Line(seq, f"{seq:064x}", {"seq": seq, "op": op, **core}, None)


def end(seq: int) -> Reading:
    return Reading(Position(seq, f"{seq:064x}", 1, seq * 100), (), None)


def apply(catalog: Catalog, *stream: Line | Reading) -> Reading:
    with catalog.writing():
        return catalog.apply(stream)


def rows(catalog: Catalog) -> list[Any]:
    return catalog.db.execute(
        "SELECT dir,name,sha,size,mode,seq,rules,kind FROM files WHERE sha IS NOT NULL ORDER BY dir,name"
    ).fetchall()


def test_a_new_catalog_knows_nothing(catalog: Catalog) -> None:
    assert catalog.position() == START
    assert catalog.breaks() == []
    assert catalog.unrendered() == []
    assert list(catalog.all_expected()) == []
    assert catalog.row("trades/a.json") == Row(None, None)
    assert catalog.meta("anything", "default") == "default"
    assert not catalog.in_memory


def test_lines_become_expectations(catalog: Catalog) -> None:
    reading = apply(
        catalog,
        line(1, "file.adopted", files=[row("trades/a.json"), row("top.json", rules=("MB102",)), row("trades/b.json")]),
        line(2, "file.removed", files=[row("trades/b.json", None)]),
        line(3, "file.adopted", files=[row("trades/a.json", "b" * 64, 7, ("MB202",))]),
        line(4, "something.else", files=[row("trades/c.json")]),
        end(4),
    )
    assert reading == end(4)
    assert catalog.position() == end(4).end
    changed = Expected("b" * 64, 7, 0o600, 3, ("MB202",), "trade")
    found = Expected(SHA, 5, 0o600, 1, ("MB102",), "trade")
    assert dict(catalog.all_expected()) == {"trades/a.json": changed, "top.json": found}
    assert [path for path, _ in catalog.all_expected("trades")] == ["trades/a.json"]
    assert [path for path, _ in catalog.all_expected("top.json")] == ["top.json"]
    assert list(catalog.all_expected("trad")) == []
    assert catalog.directories() == {"", "trades"}
    assert (changed.good, changed.fits, found.good, found.fits) == (True, False, False, False)
    assert catalog.rows("trades") == {"a.json": Row(changed, None)}


def test_an_expectation_is_never_lowered(catalog: Catalog) -> None:
    apply(catalog, line(5, "file.adopted", files=[row("a", "b" * 64)]), end(5))
    apply(catalog, line(2, "file.adopted", files=[row("a", "c" * 64)]), end(5))
    expected = catalog.row("a").expected
    assert expected is not None
    assert (expected.sha, expected.seq) == ("b" * 64, 5)


CHANGES = st.lists(
    st.lists(st.tuples(st.sampled_from(["a", "d/a", "d/b", "e/f/c"]), st.sampled_from([None, "1", "2"])), max_size=3),
    max_size=8,
)


@given(CHANGES, st.integers(0, 8))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_applied_piece_by_piece_or_rebuilt_is_the_same(
    tmp_path_factory: pytest.TempPathFactory, changes: list[list[tuple[str, str | None]]], cut: int
) -> None:
    root = Root(tmp_path_factory.mktemp("catalog"))
    files.make_dirs(root, layout.PRIVATE)
    lines: list[Line | Reading] = [
        line(seq, "file.adopted", files=[row(*one) for one in dict(change).items()])
        for seq, change in enumerate(changes, 1)
    ]
    pieces = Catalog(root)
    apply(pieces, *lines[:cut], end(cut))
    apply(pieces, *lines[cut:], end(len(lines)))
    last: dict[str, str | None] = {path: sha for change in changes for path, sha in change}
    assert {path: one.sha for path, one in pieces.all_expected()} == {p: s for p, s in last.items() if s is not None}
    whole = Catalog(root)
    whole.close()
    whole.db = whole.replaced()
    apply(whole, *lines, end(len(lines)))
    assert rows(whole) == rows(pieces)
    pieces.close()
    whole.close()
    root.close()


def test_breaks_stay_until_a_gap_names_them(catalog: Catalog) -> None:
    one, two = Break(3, "h3", 1, 300, "MB120", "odd"), Break(5, "h5", 1, 500, "MB121", "short")
    apply(catalog, end(3)._replace(breaks=(one,)))
    apply(catalog, end(5)._replace(breaks=(one, two)))
    assert catalog.breaks() == [one, two]
    apply(catalog, line(6, GAP, breaks=[[3, "h3"], [9, "h9"]]), end(6))
    assert catalog.breaks() == [two]
    apply(catalog, line(7, "file.adopted", files=[], breaks=[[5, "h5"]]), end(7))
    assert catalog.breaks() == [two]


def test_accounts_are_unrendered_until_they_are_rendered(catalog: Catalog) -> None:
    apply(catalog, line(1, "record.stored", account="b"), line(2, "record.stored", account="a"), end(2))
    apply(catalog, line(3, "record.stored", account="b"), end(3))
    assert catalog.unrendered() == ["b", "a"]
    assert [catalog.unrendered_since(one) for one in ("a", "b", "c")] == [2, 1, None]
    apply(catalog, line(4, "files.rendered", account="b", upto=3, files=[row("account_b/x.json")]), end(4))
    assert catalog.unrendered() == ["a"]
    apply(catalog, line(5, "files.rendered", account="a", upto=1, files=[]), end(5))
    assert catalog.unrendered() == ["a"]


def test_kinds_are_bound_by_the_first_line_only(catalog: Catalog) -> None:
    apply(catalog, line(1, "bank.created", files=[], bound=["trade"]), end(1))
    apply(catalog, line(2, "bank.renamed", files=[], bound=["state"]), end(2))
    assert catalog.meta("bound") == ["trade"]


def test_looks_are_kept_beside_expectations_and_go_with_them(catalog: Catalog) -> None:
    apply(catalog, line(1, "file.adopted", files=[row("d/a")]), end(1))
    with catalog.writing():
        catalog.remember("d", [("a", SEEN), ("new", SEEN._replace(content=(), hashed=9_000))])
        catalog.remember("", [("top", SEEN)])
        catalog.set_unchanged("d", "signature", "[1]", "")
    assert catalog.row("d/a") == Row(Expected(SHA, 5, 0o600, 1, (), "trade"), SEEN)
    assert catalog.row("d/new") == Row(None, SEEN._replace(content=(), hashed=9_000))
    assert catalog.unchanged() == {"d": ("signature", "[1]", "", "")}
    assert catalog.looks_before(10_000, ("", ""), 5) == [("", "top"), ("d", "a"), ("d", "new")]
    apply(catalog, line(2, "file.adopted", files=[row("d/a"), row("top"), row("other")]), end(2))
    assert catalog.row("d/a").seen == SEEN
    assert catalog.unchanged() == {}
    assert catalog.looks_before(10_000, ("", "top"), 1) == [("d", "a")]
    with catalog.writing():
        catalog.remember("d", [], ["a", "new"])
    assert catalog.row("d/a").expected is not None
    assert catalog.row("d/new") == Row(None, None)
    apply(catalog, line(3, "file.removed", files=[row("d/a", None)]), end(3))
    assert catalog.row("d/a") == Row(None, None)


def test_looks_can_be_forgotten_and_doubted(catalog: Catalog) -> None:
    apply(catalog, line(1, "file.adopted", files=[row("old"), row("young")]), end(1))
    last = catalog.meta("last_entry")
    with catalog.writing():
        catalog.remember(
            "", [("old", SEEN._replace(mtime=last - 200 * 10**9)), ("young", SEEN._replace(mtime=last)), ("new", SEEN)]
        )
        catalog.set_unchanged("d", "s", "c", "f")
        catalog.doubt_seen()
    assert catalog.row("old").seen is not None
    assert catalog.row("young").seen is None
    assert catalog.unchanged() == {}
    with catalog.writing():
        catalog.forget_seen()
    assert catalog.row("old").seen is None
    assert catalog.row("old").expected is not None
    assert catalog.row("new") == Row(None, None)


def test_a_transaction_is_all_or_nothing(catalog: Catalog) -> None:
    def fail() -> None:
        with catalog.writing():
            catalog.set_meta("a", 1)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert catalog.meta("a") is None
    with catalog.writing():
        catalog.set_meta("a", {"b": [1, None]})
    assert catalog.meta("a") == {"b": [1, None]}


def test_it_lasts(root: Root, catalog: Catalog) -> None:
    apply(catalog, line(1, "file.adopted", files=[row("a")]), end(1))
    again = Catalog(root)
    assert rows(again) == rows(catalog)
    assert again.position() == end(1).end
    again.close()
    assert names(root) == ["catalog.sqlite"]


@pytest.mark.parametrize("damage", [b"no database at all" * 100, b"SQLite format 3\0" + b"\xff" * 5_000, b"\0" * 4096])
def test_a_damaged_file_is_replaced_under_a_new_name(root: Root, damage: bytes) -> None:
    files.replace(root, f"{layout.PRIVATE}/catalog.sqlite", damage)
    catalog = Catalog(root)
    assert not catalog.in_memory
    apply(catalog, line(1, "file.adopted", files=[row("a")]), end(1))
    if damage.strip(b"\0"):
        (name,) = names(root)
        assert name.startswith("catalog-")
    again = Catalog(root)
    assert again.position() == end(1).end
    again.close()
    catalog.close()


def test_where_nothing_can_be_written_it_is_in_memory(root: Root) -> None:
    files.remove_tree(root, layout.PRIVATE)
    catalog = Catalog(root)
    assert catalog.in_memory
    apply(catalog, line(1, "file.adopted", files=[row("a")]), end(1))
    assert catalog.row("a").expected is not None
    catalog.close()
    assert not root.is_dir(layout.PRIVATE)


def test_on_a_full_disk_it_is_in_memory_and_what_is_there_is_left(
    root: Root, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction says that the disk is full at its end: too late to go on with another catalog."""
    with catalog.writing():
        catalog.set_meta("x", 1)
    for free, in_memory in ((ROOM - 1, True), (ROOM, False)):
        found = os.statvfs(root.path)
        full = SimpleNamespace(f_blocks=found.f_blocks, f_bavail=free, f_frsize=1)
        with monkeypatch.context() as patch:
            patch.setattr(os, "statvfs", lambda _path, full=full: full)
            second = Catalog(root)
        assert (second.in_memory, second.meta("x")) == (in_memory, None if in_memory else 1)
        second.close()
    assert names(root) == ["catalog.sqlite"]


def test_from_memory_it_goes_back_to_the_disk_once_that_takes_it(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch, closing(Catalog(root)) as first:
        apply(first, line(1, "file.adopted", files=[row("a")]), end(1))
        patch.setattr(Catalog, "_has_room", lambda _self: False)
        found = Catalog(root)
        apply(found, line(1, "file.adopted", files=[row("b")]), end(1))
        assert not found.return_to_disk()
        assert found.row("b").expected is not None
    with closing(found):
        assert (found.return_to_disk(), found.in_memory) == (True, False)
        assert found.row("a").expected is not None
        assert not found.return_to_disk()


def test_a_new_one_on_the_disk_is_not_in_memory(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Catalog, "_has_room", lambda _self: False)
        found = Catalog(root)
    found.close()
    found.db = found.replaced()
    assert not found.in_memory
    found.close()


def test_what_could_not_be_made_leaves_nothing(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> Any:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(
        database, "connect", lambda *given: refuse() if given[0] != database.MEMORY else connect(*given)
    )
    for _ in range(3):
        with closing(Catalog(root)) as found:
            assert found.in_memory
    assert names(root) == ["catalog.sqlite"]


def test_a_directory_in_its_place_does_not_stop_anything(root: Root) -> None:
    files.make_dirs(root, f"{layout.PRIVATE}/catalog.sqlite/x")
    catalog = Catalog(root)
    apply(catalog, line(1, "file.adopted", files=[row("a")]), end(1))
    assert catalog.row("a").expected is not None
    catalog.close()


def test_a_busy_database_is_not_a_damaged_one(root: Root, catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    connect: Callable[..., sqlite3.Connection] = sqlite3.connect

    def impatient(*where: Any, **options: Any) -> sqlite3.Connection:
        return connect(*where, **{**options, "timeout": 0})

    monkeypatch.setattr(sqlite3, "connect", impatient)
    catalog.db.execute("PRAGMA journal_mode=DELETE")
    with catalog.writing():
        catalog.set_meta("a", 1)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            Catalog(root)
    assert names(root) == ["catalog.sqlite"]
    Catalog(root).close()


def test_the_newest_of_several_is_taken(root: Root, catalog: Catalog) -> None:
    apply(catalog, end(3))
    newer = catalog.replaced()
    assert len(names(root)) == 1
    newer.close()
    fresh = Catalog(root)
    assert fresh.position() == Position(0, GENESIS, 0, 0)
    fresh.close()


def test_an_account_that_is_none_is_damage(catalog: Catalog) -> None:
    catalog.db.execute("INSERT INTO unrendered (account, since) VALUES ('metrics/historical', 1)")
    with pytest.raises(sqlite3.DatabaseError, match="did not write"):
        catalog.unrendered()
