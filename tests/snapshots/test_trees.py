from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank_cli.base.errors import OperationFailed
from memorybank_cli.base.names import escape
from memorybank_cli.snapshots import trees
from memorybank_cli.snapshots.blobs import Blobs
from memorybank_cli.snapshots.building import TreeBuilder
from memorybank_cli.snapshots.packing import PackWriter
from memorybank_cli.snapshots.repository import Repository
from memorybank_cli.snapshots.sealing import Damaged
from memorybank_cli.snapshots.trees import DirectoryEntry, FileEntry
from tests.snapshots import making

A, B = "a" * 64, "b" * 64


def built(paths: list[str]) -> tuple[str, dict[str, bytes]]:
    """The root of a tree with these files, and all trees by id."""
    stored: dict[str, bytes] = {}

    def store(data: bytes) -> str:
        name = f"{len(stored):064x}"
        stored[name] = data
        return name

    builder = TreeBuilder(store)
    for path in paths:
        builder.file(path, 0o600, 5, (A,), 1)
    return builder.finish(), stored


def listed(root: str, stored: dict[str, bytes], prefix: str = "") -> list[str]:
    _, files, directories, _ = trees.parse(stored[root], prefix, stored.__getitem__)
    return [entry.path for entry in files] + [
        path for inner in directories for path in listed(inner.tree, stored, inner.path)
    ]


def test_a_sorted_list_and_a_walk_give_the_same_tree() -> None:
    by_path = ["a-b/x", "a.json", "a/b/c", "a/b/d", "a/c", "b"]
    by_walk = ["a.json", "b", "a/c", "a/b/c", "a/b/d", "a-b/x"]
    (root, stored), (other, others) = built(by_path), built(by_walk)
    assert sorted(listed(root, stored)) == sorted(listed(other, others)) == sorted(by_path)
    names = [item[1] for item in orjson.loads(stored[root])]
    assert names == ["a", "a-b", "a.json", "b"]


def test_the_rows_are_those_of_the_format() -> None:
    stored: list[bytes] = []

    def store(data: bytes) -> str:
        stored.append(data)
        return B

    builder = TreeBuilder(store)
    builder.directory("empty", 0o40750, 9)
    builder.directory("x", 0o700, 8)
    builder.file("bad", 0o100640, 1, None, 3, (A,), "MB103")
    builder.file("cured", 0o600, 1, (A,), 3, (A, B), "MB102")
    builder.file("long", 0o600, 1, (A, B), 5 << 20)
    builder.file("plain", 0o600, 1, (A,), 3)
    builder.file("x/y", 0o600, 1, (A,), 3)
    builder.finish()
    assert orjson.loads(stored[-1]) == [
        ["f", "bad", 0o640, 1, None, 3, {"found": A, "rule": "MB103"}],
        ["f", "cured", 0o600, 1, A, 3, {"found": [A, B], "rule": "MB102"}],
        ["d", "empty", 0o750, 9, B],
        ["f", "long", 0o600, 1, [A, B], 5 << 20],
        ["f", "plain", 0o600, 1, A, 3],
        ["d", "x", 0o700, 8, B],
    ]


@pytest.mark.parametrize(
    "paths", [["a", "a"], ["d/x", "e", "d/y"], ["d", "d/x"], ["d/x", "d"], ["a/b/x", "a/c", "a/b/y"]]
)
def test_a_stream_out_of_order_is_an_error_of_the_caller(paths: list[str]) -> None:
    with pytest.raises(ValueError, match="comes twice"):
        built(paths)


@pytest.mark.parametrize(
    "path", ["", "a//b", "../x", "a/./b", ".git/config", "a/.env", "a\\x2fb", "\\x2e\\x2e/x", "a\0b", "a\\x00"]
)
def test_no_tree_is_built_with_a_name_that_leads_elsewhere(path: str) -> None:
    with pytest.raises(OperationFailed):
        built([path])


def entry(**changes: Any) -> list[Any]:
    fields = {"kind": "f", "name": "x", "mode": 0o600, "mtime": 1, "ids": A, "size": 1, **changes}
    return list(fields.values())


@pytest.mark.parametrize(
    "tree",
    [
        None, 1, "text", {"f": 1}, [1], ["fxyzabc"], [[]], [["f"]], [entry()[:5]], [[*entry(), None, None]],
        [entry(kind="l")], [entry(kind=1)],
        [entry(name="..")], [entry(name=".")], [entry(name="")], [entry(name=".git")], [entry(name="a/b")],
        [entry(name="a\\x2fb")], [entry(name="\\x2e\\x2e")], [entry(name="a\\x00")], [entry(name="a\0b")],
        [entry(name=5)],
        [entry(), entry()], [entry(name="b"), entry(name="a")],
        [entry(mode=-1)], [entry(mode=0o10000)], [entry(mode=True)], [entry(mode="6")], [entry(mode=None)],
        [entry(mtime=1.5)], [entry(mtime=1 << 63)], [entry(mtime=-(1 << 63) - 1)], [entry(mtime=None)],
        [entry(ids="../../etc/passwd")], [entry(ids=A.upper())], [entry(ids=[])], [entry(ids=[1])], [entry(ids=None)],
        [entry(ids={A: 1})], [entry(size=-1)], [entry(size=True)], [entry(size=1 << 70)],
        [[*entry(), {"found": A}]], [[*entry(), {"rule": "MB102"}]], [[*entry(), []]], [[*entry(), "x"]],
        [[*entry(), {"found": A, "rule": "rm -rf"}]], [[*entry(), {"found": A, "rule": 5}]],
        [[*entry(), {"found": None, "rule": "MB102"}]], [["d", "x", 0o700, 1]], [["d", "x", 0o700, 1, None]],
        [["d", "x", 0o700, 1, "a"]], [["d", "x", 0o700, 1, A, 1]], [["d", "x", 0o700, 1, [A]]],
    ],
)  # fmt: skip
def test_hostile_trees_are_refused(tree: object) -> None:
    try:
        data = orjson.dumps(tree)
    except TypeError:
        data = repr(tree).replace("'", '"').encode()
    with pytest.raises(Damaged):
        trees.parse(data)


@pytest.mark.parametrize("data", [b"", b"[", b"\xff", b"[" * 100_000, b"[" + b"[]," * 3_000_000 + b"[]]"])
def test_what_is_no_tree_at_all_is_refused(data: bytes) -> None:
    with pytest.raises(Damaged):
        trees.parse(data)


def test_names_that_another_python_would_escape_are_read() -> None:
    later, earlier = "new\U0001fae9", escape("bell\x07")
    data = orjson.dumps([entry(name="a\x7f"), entry(name=earlier), entry(name=later)])
    _, files, *_ = trees.parse(data)
    assert [file.path for file in files] == ["a\\x7f", "bell\\x07", escape(later)]


LEAVES = st.none() | st.booleans() | st.integers(-5, 1 << 62) | st.floats(allow_nan=False)
WORDS = st.sampled_from(["f", "d", "x", A, ".."])
VALUES = st.recursive(
    LEAVES | WORDS,
    lambda inner: st.lists(inner, max_size=7) | st.dictionaries(st.sampled_from(["found", "rule"]), inner),
    max_leaves=20,
)


@given(st.binary(max_size=200) | VALUES.map(orjson.dumps))
def test_parsing_anything_gives_entries_or_damage(data: bytes) -> None:
    try:
        _, files, directories, _ = trees.parse(data)
    except Damaged:
        return
    assert all(isinstance(file, FileEntry) for file in files)
    assert all(isinstance(directory, DirectoryEntry) for directory in directories)


def test_walking_and_finding(repo: Repository) -> None:
    contents = {"a.json": b"1", "d/e/f.json": b"2", "d/g.json": b"3", "z/h.json": b"4"}
    root = making.save_files(repo, contents).document.root
    blobs = Blobs(repo)
    assert [level.directory.path for level in trees.walk(blobs, root)] == ["", "d", "d/e", "z"]
    assert [file.path for file in trees.files(blobs, root)] == ["a.json", "d/g.json", "d/e/f.json", "z/h.json"]
    wanted = trees.walk(blobs, root, wanted=lambda path: path == "d")
    assert [level.directory.path for level in wanted] == ["", "d"]
    found = trees.find(blobs, root, "d/e/f.json")
    assert isinstance(found, FileEntry)
    assert trees.read_file(blobs, found) == b"2"
    inner = trees.find(blobs, root, "d/e")
    assert isinstance(inner, DirectoryEntry)
    assert [file.path for level in trees.walk(blobs, inner.tree) for file in level.files] == ["f.json"]
    assert isinstance(trees.find(blobs, root, ""), DirectoryEntry)
    for missing in ("x", "a.json/b", "d/e/f", "d/x/y"):
        assert trees.find(blobs, root, missing) is None


def test_an_unreadable_directory_hides_nothing_else(repo: Repository) -> None:
    writer = PackWriter(repo, {})
    good = writer.add_tree(orjson.dumps([entry()]))
    root = writer.add_tree(orjson.dumps([["d", "bad", 0o700, 1, B], ["d", "good", 0o700, 1, good]]))
    writer.finish()
    blobs = Blobs(repo)
    heard: list[str] = []
    assert [file.path for file in trees.files(blobs, root, lambda path, _: heard.append(path))] == ["good/x"]
    assert heard == ["bad"]
    with pytest.raises(Damaged):
        list(trees.files(blobs, root))


def test_a_tree_without_end_is_cut_off(repo: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trees, "MAX_DIRECTORIES", 1000)
    writer = PackWriter(repo, {})
    tree = writer.add_tree(b"[]")
    for _ in range(40):
        tree = writer.add_tree(orjson.dumps([["d", name, 0o700, 1, tree] for name in "ab"]))
    deep = tree
    for _ in range(trees.MAX_DEPTH + 2):
        deep = writer.add_tree(orjson.dumps([["d", "a", 0o700, 1, deep]]))
    writer.finish()
    for root in (tree, deep):
        with pytest.raises(Damaged, match="more directories"):
            list(trees.walk(Blobs(repo), root))


def test_directories_deeper_than_can_be_read_are_not_saved() -> None:
    built(["/".join("d" * trees.MAX_DEPTH) + "/f"])
    with pytest.raises(OperationFailed, match="nested deeper"):
        built(["/".join("d" * (trees.MAX_DEPTH + 1)) + "/f"])


def test_a_list_of_blobs_that_cannot_make_the_size_is_not_read(repo: Repository) -> None:
    writer = PackWriter(repo, {})
    (name,) = writer.add(b"x" * 1000)
    writer.finish()
    with pytest.raises(Damaged, match="do not make"):
        trees.read_file(Blobs(repo), FileEntry("x", 0, 0, (name,) * 10_000, 1000))
