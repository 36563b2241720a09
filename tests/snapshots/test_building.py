from __future__ import annotations

from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memorybank_cli.base.errors import OperationFailed
from memorybank_cli.base.names import escape
from memorybank_cli.snapshots import building, trees
from memorybank_cli.snapshots.blobs import Blobs
from memorybank_cli.snapshots.building import TreeBuilder
from memorybank_cli.snapshots.packing import PackWriter
from memorybank_cli.snapshots.repository import Repository
from memorybank_cli.snapshots.sealing import Damaged
from tests.snapshots import making

A, B = "a" * 64, "b" * 64
NAMES = st.lists(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=6)
    .filter(lambda name: name[0] != "." and "/" not in name and "\0" not in name)
    .map(escape),
    unique=True,
    max_size=150,
)


class Store:
    """Keeps trees in memory, by a name of the form of a digest."""

    def __init__(self) -> None:
        self.trees: dict[str, bytes] = {}
        self.names: dict[bytes, str] = {}

    def add(self, data: bytes) -> str:
        name = self.names.setdefault(data, f"{len(self.names):064x}")
        self.trees[name] = data
        return name

    def build(self, names: list[str], mtimes: dict[str, int] | None = None) -> str:
        builder = TreeBuilder(self.add)
        for name in names:
            builder.file(name, 0o600, (mtimes or {}).get(name, 5), (A,), 1)
        return builder.finish()

    def level(self, root: str) -> trees.Level:
        return trees.parse(self.trees[root], "", self.trees.__getitem__)


@given(NAMES)
@settings(deadline=None)
def test_any_directory_comes_back_and_is_cut_by_its_names_alone(names: list[str]) -> None:
    store = Store()
    root = store.build(names)
    assert store.build(sorted(names, reverse=True)) == root
    level = store.level(root)
    assert [entry.path for entry in level.files] == sorted(names)
    assert bool(level.parts) == (len(names) > building.WHOLE)
    sizes = [len(orjson.loads(store.trees[part])) for part in level.parts]
    assert all(1 <= size <= building.MOST for size in sizes)


@given(st.integers(0, 999), st.booleans())
@settings(deadline=None, max_examples=20)
def test_one_change_among_a_thousand_files_rewrites_few_rows(number: int, remove: bool) -> None:
    names = [f"trd_{one * 7919 % 100_003:06d}.json" for one in range(1000)]
    store = Store()
    before = store.level(store.build(names))
    changed = names[:number] + names[number + 1 :] if remove else names
    after = store.level(store.build(changed, {names[number]: 6}))
    new = set(after.parts) - set(before.parts)
    assert len(new) <= 2
    assert sum(len(orjson.loads(store.trees[part])) for part in new) <= 2 * building.MOST
    assert len(after.parts) >= 1000 // building.MOST


def test_a_tree_without_parts_reads_as_before(repo: Repository) -> None:
    rows = [["f", f"{number:03d}", 0o600, 1, A, 1] for number in range(100)]
    level = trees.parse(orjson.dumps(rows))
    assert (len(level.files), level.parts) == (100, ())
    contents = {f"{number:03d}": b"%d" % number for number in range(100)}
    document = making.save_files(repo, contents).document
    (level,) = trees.walk(Blobs(repo), document.root)
    assert len(level.parts) > 1
    assert making.read_back(repo, document) == contents
    found = trees.find(Blobs(repo), document.root, "077")
    assert isinstance(found, trees.FileEntry)


def entry(name: str) -> list[Any]:
    return ["f", name, 0o600, 1, A, 1]


def _named(rows: Any) -> Any:
    """Rows with the ids of parts as long as they must be."""
    if not isinstance(rows, list):
        return rows
    return [["p", row[1].rjust(64, "0")] if row[0] == "p" and row[1:] in (["1"], ["2"]) else row for row in rows]


@pytest.mark.parametrize(
    ("tree", "parts"),
    [
        ([["p", "1"]], {"1": [["p", "1"]]}),  # a part of itself
        ([["p", "1"]], {"1": [["p", "2"]], "2": [entry("a")]}),  # parts of parts
        ([["p", "1"], ["p", "1"]], {"1": [entry("a")]}),  # the same names again
        ([["p", "1"], ["p", "2"]], {"1": [entry("b")], "2": [entry("a")]}),
        ([["p", "1"], ["p", "1"]], {"1": []}),  # endless nothing
        ([["p", "1"], entry("z")], {"1": [entry("a")]}),
        ([entry("a"), ["p", "1"]], {"1": [entry("z")]}),
        ([["p"]], {}),
        ([["p", "1", "2"]], {"1": [entry("a")]}),
        ([["p", 1]], {}),
        ([["p", "../x"]], {}),
        ([["p", "1"]], {"1": {"a": 1}}),
        ([["p", "1"]], {"1": None}),
        ([["p", "1"]], {"1": [entry("..")]}),
    ],
)
def test_hostile_parts_are_refused(tree: list[Any], parts: dict[str, Any]) -> None:
    blobs = {name.rjust(64, "0"): orjson.dumps(_named(rows)) for name, rows in parts.items()}
    with pytest.raises(Damaged):
        trees.parse(orjson.dumps(_named(tree)), "", blobs.__getitem__)


def test_what_nobody_could_read_again_is_not_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trees, "MAX_VALUES", 700)
    built = []
    for count in range(70, 130):
        store = Store()
        with suppress(OperationFailed):
            assert len(store.level(store.build([f"trade_{number}" for number in range(count)])).files) == count
            built.append(count)
    assert built == list(range(70, max(built) + 1))
    assert 80 < max(built) < 120
    with pytest.raises(OperationFailed, match="holds 130 files"):
        Store().build([f"trade_{number}" for number in range(130)])


def test_huge_parts_are_refused_before_they_are_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trees, "MAX_VALUES", 100)
    asked: list[str] = []

    def part(name: str) -> bytes:
        asked.append(name)
        return orjson.dumps([entry(f"{len(asked):04d}{number}") for number in range(9)])

    tree = orjson.dumps([["p", f"{number:064x}"] for number in range(20)])
    with pytest.raises(Damaged, match="more values"):
        trees.parse(tree, "", part)
    assert len(asked) <= 2


def test_a_lost_part_hides_one_directory(repo: Repository) -> None:
    writer = PackWriter(repo, {})
    good = writer.add_tree(orjson.dumps([entry("x")]))
    bad = writer.add_tree(orjson.dumps([["p", B]]))
    root = writer.add_tree(orjson.dumps([["d", "bad", 0o700, 1, bad], ["d", "good", 0o700, 1, good]]))
    writer.finish()
    heard: list[str] = []
    found = trees.files(Blobs(repo), root, lambda path, _: heard.append(path))
    assert [file.path for file in found] == ["good/x"]
    assert heard == ["bad"]


def test_whole_directories_and_batches_make_the_same_tree() -> None:
    store = Store()
    heard: dict[str, str] = {}
    builder = TreeBuilder(store.add, heard.__setitem__)
    builder.directory("d", 0o750, 9)
    builder.files("d", [building.file_item("a", 0o600, 1, (A,), 3), building.file_item("b", 0o600, 1, (B,), 4)])
    root = builder.finish()
    assert set(heard) == {"", "d"}
    again = TreeBuilder(store.add)
    again.whole("d", 0o40750, 9, heard["d"])
    assert again.finish() == root
    with pytest.raises(ValueError, match="comes twice"):
        again.whole("d", 0o750, 9, heard["d"])


@pytest.mark.parametrize("bad", ["", ".hidden", "a/b", "..", "\\x00", "a\\x2fb"])
def test_a_name_that_no_tree_may_hold_is_refused_in_a_batch_too(bad: str) -> None:
    builder = TreeBuilder(Store().add)
    with pytest.raises(OperationFailed, match="cannot stand in a snapshot"):
        builder.files("d", [building.file_item(name, 0o600, 1, (A,), 3) for name in ("good", bad)])


@pytest.mark.parametrize("names", [("a", "b", "a"), ("b", "before")])
def test_a_name_that_comes_twice_in_a_batch_or_before_it(names: tuple[str, ...]) -> None:
    builder = TreeBuilder(Store().add)
    builder.file("d/before", 0o600, 1, (A,), 1)
    with pytest.raises(ValueError, match="comes twice"):
        builder.files("d", [building.file_item(name, 0o600, 1, (A,), 3) for name in names])


@given(NAMES)
@settings(deadline=None)
def test_a_batch_is_what_single_files_are(names: list[str]) -> None:
    store = Store()
    builder = TreeBuilder(store.add)
    builder.files("", [building.file_item(name, 0o600, 5, (A,), 1) for name in names])
    assert builder.finish() == store.build(names)
