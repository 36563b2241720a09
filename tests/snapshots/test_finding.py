"""Versions of files over all snapshots."""

from __future__ import annotations

import pytest

from memorybank_cli.base.errors import MemorybankError
from memorybank_cli.snapshots import trees
from memorybank_cli.snapshots.blobs import Blobs
from memorybank_cli.snapshots.documents import Document
from memorybank_cli.snapshots.finding import in_order, versions
from memorybank_cli.snapshots.repository import Repository
from tests.snapshots.making import row, save_rows


def everything(_path: str) -> bool:
    return True


def never(path: str, error: MemorybankError) -> None:
    raise AssertionError(f"{path}: {error}")


@pytest.fixture
def documents(repo: Repository) -> list[Document]:
    """A file with the contents 1, 1, 2, 1 and gone, beside one that never changes."""
    made = []
    for number, text in enumerate(("1", "1", "2", "1", "")):
        rows = [row("d/a", text.encode())] if text else []
        damaged = row("d/same", b"same", found_content=lambda: b"bad", rule="MB102")
        made.append(save_rows(repo, [*rows, damaged], seq=number).document)
    return made


def told(found: list[object], documents: list[Document]) -> list[tuple[str, str, int, int]]:
    number = {one.id: index for index, one in enumerate(documents)}
    return [(one.path, one.rule, number[one.first.id], number[one.last.id]) for one in found]  # type: ignore[attr-defined]


def test_the_first_and_the_last_snapshot_of_each_version(repo: Repository, documents: list[Document]) -> None:
    found = versions(Blobs(repo), documents, everything, never)
    assert told([*found], documents) == [
        ("d/a", "", 0, 3),
        ("d/a", "", 2, 2),
        ("d/same", "", 0, 4),
        ("d/same", "MB102", 0, 4),
    ]
    some = versions(Blobs(repo), documents[1:3], lambda path: path == "d/a", never)
    assert told([*some], documents) == [("d/a", "", 1, 1), ("d/a", "", 2, 2)]


def test_each_directory_is_read_once(
    repo: Repository, documents: list[Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    real = trees.read

    def counting(blobs: Blobs, directory: trees.DirectoryEntry) -> trees.Level:
        read.append(directory.tree)
        return real(blobs, directory)

    monkeypatch.setattr(trees, "read", counting)
    versions(Blobs(repo), documents, everything, never)
    assert len(read) == len(set(read))


def test_a_directory_that_cannot_be_read_is_named_once(repo: Repository, documents: list[Document]) -> None:
    blobs = Blobs(repo)
    lost: list[str] = []
    del blobs.index.where[documents[4].root]
    found = versions(blobs, documents, everything, lambda path, _: lost.append(path))
    assert lost == [""]
    assert told([*found], documents)[2] == ("d/same", "", 0, 3)


def test_contents_in_the_order_of_the_packs(repo: Repository) -> None:
    save_rows(repo, [row("a", b"1"), row("b", b"2")])
    blobs = Blobs(repo)
    every = list(blobs.index.where)
    assert in_order(blobs, [(one,) for one in every] * 2) == [(one,) for one in every]
