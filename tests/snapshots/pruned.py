"""Repositories for the tests of what takes things away, and what they must still hold afterwards."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from memorybank_cli.snapshots import documents
from memorybank_cli.snapshots.documents import Document
from memorybank_cli.snapshots.repository import Repository
from memorybank_cli.snapshots.trash import Bin, new_bin, throw
from tests.snapshots.making import packs_of, read_back, save_files

DAY = 86_400
Files = dict[str, bytes]


def content(number: int, size: int = 2_000) -> bytes:
    """Bytes that nothing else has and that do not shrink much."""
    return os.urandom(size) + str(number).encode()


def versions(count: int, stable: int = 3) -> list[Files]:
    """The files of that many snapshots: some stay, one changes each time, one is new each time."""
    kept = {f"trades/stable_{number}.json": content(number) for number in range(stable)}
    made: list[Files] = []
    for number in range(count):
        kept = {**kept, f"trades/new_{number}.json": content(number)}
        made.append({**kept, "state/state.json": content(number)})
    return made


def aged(repo: Repository, seconds: float = 2 * DAY) -> None:
    """Let every pack be older than it is."""
    then = time.time() - seconds
    for path in packs_of(repo):
        os.utime(path, (then, then))


def grown(repo: Repository, count: int = 4, **fields: object) -> dict[str, Files]:
    """A repository of some snapshots, all packs old enough; what each holds, by id, oldest first."""
    made = {}
    for number, files in enumerate(versions(count), 1):
        saved = save_files(repo, files, seq=number, time=f"2026-11-{number:02}T14:00:00.000000Z", **fields)
        made[saved.document.id] = files
    aged(repo)
    return made


def thrown(repo: Repository, *names: str) -> Bin:
    """Forget snapshots, as `snapshot forget` does."""
    target = new_bin(documents.listing(repo).documents)
    for name in names:
        throw(repo, target, "snapshots", name)
    return target


def listed(repo: Repository) -> list[Document]:
    found = documents.listing(repo)
    assert not found.findings
    return list(found.documents)


def check(path: Path, wanted: Mapping[str, Files]) -> set[str]:
    """Everything that is listed restores; the ids."""
    with Repository.open(path, reserve=0) as repo:
        names = set()
        for document in listed(repo):
            assert read_back(repo, document) == wanted[document.id], document.id
            names.add(document.id)
    return names


def copied(source: Path, target: Path) -> Path:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    return target
