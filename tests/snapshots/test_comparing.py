"""What differs between two trees."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from memorybank_cli.base.errors import MemorybankError
from memorybank_cli.snapshots import trees
from memorybank_cli.snapshots.blobs import Blobs
from memorybank_cli.snapshots.comparing import below, between, change, root
from memorybank_cli.snapshots.documents import Document
from memorybank_cli.snapshots.repository import Repository
from memorybank_cli.snapshots.trees import FileEntry
from tests.snapshots.making import MTIME, row, save_files, save_rows

OLD = FileEntry("a", 0o600, 1, ("1" * 64,), 5)
NEW = OLD._replace(good=("2" * 64,))
FOUND = OLD._replace(found=("3" * 64,), rule="MB102")


def everything(_path: str) -> bool:
    return True


def never(path: str, error: MemorybankError) -> None:
    raise AssertionError(f"{path}: {error}")


def told(repo: Repository, old: Document, new: Document) -> list[tuple[str, str]]:
    return [(one.what, one.path) for one in between(Blobs(repo), old.root, new.root, never, everything)]


@pytest.mark.parametrize(
    ("before", "after", "what"),
    [
        (OLD, OLD._replace(mtime_ns=2), None),
        (None, None, None),
        (OLD, NEW, "changed"),
        (OLD, OLD._replace(mode=0o644), "mode"),
        (OLD, FOUND, "damaged"),
        (FOUND, OLD, "healed"),
        (FOUND, NEW, "healed"),
        (FOUND, FOUND, None),
        (FOUND, FOUND._replace(found=("4" * 64,)), "changed"),
        (FOUND, FOUND._replace(good=("4" * 64,)), "changed"),
        # Now, what was held back stands there still; or something else that is not as it was recorded.
        (FOUND, FileEntry("a", 0o600, 1, FOUND.found, 5, None, "MB102"), None),
        (FOUND, FileEntry("a", 0o600, 1, ("9" * 64,), 5, None, "MB113"), "changed"),
        (OLD, FileEntry("a", 0o600, 1, ("9" * 64,), 5, None, "MB113"), "changed"),
        (None, OLD, "added"),
        (OLD, None, "removed"),
    ],
)
def test_what_became_of_a_file(before: FileEntry | None, after: FileEntry | None, what: str | None) -> None:
    found = change("a", before, after)
    assert (found and found.what) == what


def test_as_json() -> None:
    found = change("a", None, FOUND)
    assert found is not None
    after = {"size": 5, "mode": "0600", "rule": "MB102"}
    assert found.as_dict() == {"path": "a", "what": "added", "before": None, "after": after}


def save(repo: Repository, contents: Mapping[str, str]) -> Document:
    return save_files(repo, {path: text.encode() for path, text in contents.items()}).document


def test_between_two_snapshots(repo: Repository) -> None:
    same = {f"docs/{number}": "same" for number in range(3)}
    old = save(repo, {**same, "a": "1", "b/c/one": "1", "b/two": "2", "x": "file"})
    new = save(repo, {**same, "a": "2", "b/two": "2", "d/e/f": "3", "x/inner": "now a directory"})
    assert told(repo, old, new) == [
        ("changed", "a"),
        ("removed", "x"),
        ("removed", "b/c/one"),
        ("added", "d/e/f"),
        ("added", "x/inner"),
    ]
    assert told(repo, old, old) == []


def test_directories_that_are_the_same_are_not_read(repo: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    same = {f"d{number}/file": "same" for number in range(20)}
    old, new = save(repo, {**same, "e/one": "1"}), save(repo, {**same, "e/one": "2"})
    read: list[str] = []
    real = trees.read

    def counting(blobs: Blobs, directory: trees.DirectoryEntry) -> trees.Level:
        read.append(directory.path)
        return real(blobs, directory)

    monkeypatch.setattr(trees, "read", counting)
    assert told(repo, old, new) == [("changed", "e/one")]
    assert read == ["", "", "e", "e"]


def test_only_what_is_wanted(repo: Repository) -> None:
    old, new = save(repo, {"a/b": "1", "c/d": "1"}), save(repo, {"a/b": "2", "c/d": "2"})
    found = between(Blobs(repo), old.root, new.root, never, lambda path: path == "c")
    assert [one.path for one in found] == ["c/d"]
    assert [one.path for one in below(Blobs(repo), root(old.root), never, everything)] == ["a/b", "c/d"]


def test_a_directory_that_cannot_be_read_is_named_and_nothing_said_of_it(repo: Repository) -> None:
    old, new = save(repo, {"a/b": "1", "c/d": "1"}), save(repo, {"a/b": "2", "c/d": "2"})
    blobs = Blobs(repo)
    broken = next(one.tree for one in trees.read(blobs, root(old.root)).directories if one.path == "a")
    del blobs.index.where[broken]
    lost: list[str] = []
    found = between(blobs, old.root, new.root, lambda path, _: lost.append(path), everything)
    assert [one.path for one in found] == ["c/d"]
    assert lost == ["a"]
    deep = trees.DirectoryEntry("/".join("d" * 600), 0o700, 0, old.root)
    assert list(below(blobs, deep, lambda path, _: lost.append(path), everything)) == []
    assert len(lost) == 2


def test_modes_and_damage(repo: Repository) -> None:
    one = save_rows(repo, [row("a", b"good"), row("b", b"good")]).document
    damaged = row("b", b"good", found_content=lambda: b"bad", rule="MB102")
    two = save_rows(repo, [row("a", b"good")._replace(mode=0o600, mtime_ns=MTIME + 1), damaged]).document
    assert told(repo, one, two) == [("mode", "a"), ("damaged", "b")]
    assert told(repo, two, one) == [("mode", "a"), ("healed", "b")]
