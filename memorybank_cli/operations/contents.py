"""Where the exact bytes that a file once had can be had now: the journal's data, a repository, the quarantine."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from memorybank_cli.bank import layout, versions
from memorybank_cli.bank.bank import Bank
from memorybank_cli.base import digests
from memorybank_cli.base.walk import READ_SIZE
from memorybank_cli.operations.repositories import Snapshots
from memorybank_cli.snapshots import trees
from memorybank_cli.snapshots.packs import FILE_BLOB_SIZE
from memorybank_cli.snapshots.sealing import Damaged

Read = Callable[[], Iterator[bytes]]


class Found(NamedTuple):
    """Bytes of a known digest: how to read them, in pieces, and where they are."""

    read: Read
    source: str
    """journal, snapshot, repository or quarantine."""


class Contents:
    """The places in which one bank's earlier bytes are kept."""

    def __init__(self, bank: Bank, snapshots: Snapshots) -> None:
        self.bank, self.snapshots = bank, snapshots
        self._quarantine: dict[str, list[str]] | None = None

    def find(self, path: str, sha: str, size: int, line: int = 0) -> Found | None:
        """The bytes with this digest that stood at `path`, read to be sure; the journal may keep them in `line`."""
        if line and self._kept(line, path, sha) is not None:
            return Found(partial(self._of_line, line, path, sha), "journal")
        return self._in_repository(path, sha, size) or self._in_quarantine(sha)

    def find_bytes(self, path: str, sha: str) -> bytes | None:
        """The bytes of a file that is small enough for one piece of memory, there or wherever they are kept."""
        data = self.bank.root.content(path)
        if data is not None and digests.of(data) == sha:
            return data
        found = self.find(path, sha, 0)
        return None if found is None else b"".join(found.read())

    def look_again(self, repo: str | None) -> None:
        """See what was added to the repository since, or the repository itself where there was none."""
        there = self.snapshots.repo
        self.snapshots = Snapshots(self.bank, repo) if there is None else Snapshots.of(self.bank, there)

    def holds(self, sha: str) -> bool:
        """Whether the repository has a blob of this digest."""
        return self.snapshots.repo is not None and sha in self.snapshots.blobs

    # The journal

    def _kept(self, seq: int, path: str, sha: str) -> bytes | None:
        content = versions.at(self.bank.journal, seq).get(path)
        return content if content is not None and digests.of(content) == sha else None

    def _of_line(self, seq: int, path: str, sha: str) -> Iterator[bytes]:
        content = self._kept(seq, path, sha)
        if content is None:
            raise Damaged(f"line {seq} of the journal does not hold {path} any more")
        yield content

    # The repository

    def _in_repository(self, path: str, sha: str, size: int) -> Found | None:
        if self.snapshots.repo is None:
            return None
        if sha in self.snapshots.blobs:
            try:
                self.snapshots.blobs.get(sha)
            except Damaged:
                return None
            return Found(partial(self._of_blob, sha), "snapshot")
        return self._of_several(path, sha, size) if size > FILE_BLOB_SIZE else None

    def _of_blob(self, sha: str) -> Iterator[bytes]:
        yield self.snapshots.blobs.get(sha)

    def _of_several(self, path: str, sha: str, size: int) -> Found | None:
        """A file of several blobs, whose digest no tree holds: the versions of the right size are tried."""
        for _, entry in self.snapshots.versions(path):
            if entry.size != size:
                continue
            try:
                if digests.of_pieces(trees.chunks(self.snapshots.blobs, entry)) == sha:
                    return Found(partial(trees.chunks, self.snapshots.blobs, entry), "snapshot")
            except Damaged:
                continue
        return None

    # The quarantine

    def _in_quarantine(self, sha: str) -> Found | None:
        if self._quarantine is None:
            self._quarantine = {}
            for entry in self.bank.root.listing(layout.QUARANTINE):
                self._quarantine.setdefault(entry.name.rpartition("-")[2], []).append(entry.name)
        for name in self._quarantine.get(sha[:16], ()):
            place = f"{layout.QUARANTINE}/{name}"
            try:
                if digests.of_pieces(pieces(self.bank, place)) == sha:
                    return Found(partial(pieces, self.bank, place), "quarantine")
            except OSError:
                continue
        return None


def pieces(bank: Bank, path: str) -> Iterator[bytes]:
    """The bytes of a file of the bank, a piece at a time. Raises OSError."""
    fd = bank.root.open(path)
    try:
        while piece := os.read(fd, READ_SIZE):
            yield piece
    finally:
        os.close(fd)
