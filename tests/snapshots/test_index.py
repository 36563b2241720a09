"""The index keeps what it knows of packs that cannot say it themselves any more."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from memorybank_cli.snapshots import documents, index, packing, pruning, trash
from memorybank_cli.snapshots.blobs import Blobs
from memorybank_cli.snapshots.documents import Document
from memorybank_cli.snapshots.repository import Repository
from memorybank_cli.snapshots.sealing import Damaged
from memorybank_cli.snapshots.trees import chunks, files
from tests.snapshots import making

DAY_NS = 86_400 * 10**9


ALL = {f"f{n}" for n in range(6)}


def age_all(repo: Repository) -> None:
    """All packs are older than what prune leaves alone."""
    for path in making.packs_of(repo):
        then = path.stat().st_mtime_ns - 2 * DAY_NS
        os.utime(path, ns=(then, then))


def readable(repo: Repository, document: Document) -> set[str]:
    """The files of a snapshot that can be read."""
    found, blobs = set(), Blobs(repo)
    for entry in files(blobs, document.root):
        try:
            b"".join(chunks(blobs, entry))
        except Damaged:
            continue
        found.add(entry.path)
    return found


@pytest.fixture
def two_packs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Repository, Document, Path]:
    """A snapshot in packs of one cache file, one of which lost its footer: only the cache says what is left in it."""
    monkeypatch.setattr(packing, "PACK_SIZE", 600_000)
    monkeypatch.setattr(index, "CACHE_FILES", 1)
    repo = Repository.create(tmp_path / "repo", reserve=0)
    making.save_files(repo, {"dead": b"dead"}, seq=0)
    document = making.save_files(repo, {f"f{n}": os.urandom(300_000) for n in range(6)}, seq=1).document
    hurt = max(making.packs_of(repo), key=lambda path: path.stat().st_size)
    hurt.write_bytes(hurt.read_bytes()[:-20])
    assert readable(repo, document) == ALL
    return repo, document, hurt


def test_joining_cache_files_keeps_what_is_known_of_a_damaged_pack(
    two_packs: tuple[Repository, Document, Path],
) -> None:
    repo, document, _ = two_packs
    making.save_files(repo, {"other": b"other"}, seq=2)
    assert len(list((Path(repo.path) / "index").iterdir())) == 1
    assert readable(repo, document) == ALL


def test_a_distrusted_pack_stays_in_the_cache(
    two_packs: tuple[Repository, Document, Path],
) -> None:
    repo, document, hurt = two_packs
    known = index.load(repo, {hurt.name})
    assert hurt.name not in known.packs
    assert not any(located.pack == hurt.name for located in known.frames)
    making.save_files(repo, {"other": b"other"}, seq=2)
    index.write(repo, index.load(repo, {hurt.name}), ())
    assert readable(repo, document) == ALL


def test_a_prune_keeps_what_is_known_of_a_damaged_pack(
    two_packs: tuple[Repository, Document, Path],
) -> None:
    repo, document, _ = two_packs
    dead = next(one for one in documents.listing(repo).documents if one.id != document.id)
    with repo.alone():
        trash.throw(repo, trash.new_bin(()), "snapshots", dead.id)
    age_all(repo)
    assert pruning.prune(repo, now=True).removed
    assert readable(repo, document) == ALL
