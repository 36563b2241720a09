"""What a backup would save, found out without writing anything."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256

from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.scan import Scanner
from memorybank_cli.operations.backup_report import BackupReport
from memorybank_cli.operations.looks import Looks
from memorybank_cli.operations.loss import sudden_loss
from memorybank_cli.operations.repositories import Snapshots, repository_path
from memorybank_cli.operations.snapshot_rows import Source
from memorybank_cli.snapshots import index as indexes
from memorybank_cli.snapshots import trees
from memorybank_cli.snapshots.index import Index
from memorybank_cli.snapshots.packs import FILE_BLOB_SIZE, LEVEL, compressor
from memorybank_cli.snapshots.saving import Content, Row, Sound, Whole
from memorybank_cli.snapshots.sealing import Damaged
from memorybank_cli.snapshots.trees import Ids

SAMPLE = 1 << 20  # so many bytes are compressed to see what others will come to, where no pack tells


def rehearse(bank: Bank, repo: str | None, started: float) -> BackupReport:
    """Look at everything a backup would look at, and say what it would do."""
    looks = Looks()
    bank.context.progress.start("reading files", bank.catalog.meta("files"))
    scan = Scanner(bank, bank.context.progress, looks).run()
    bank.context.progress.finish()
    with closing(Snapshots(bank, repo)) as snapshots, closing(Source(bank, snapshots, looks)) as source:
        index = None if snapshots.repo is None else indexes.load(snapshots.repo)
        source.compare(index)
        run = _Rehearsal(snapshots, index)
        run.take(source)
        pending = {change.path for change in scan.changes}
        return BackupReport(
            document=None,
            files=run.files,
            bytes=run.bytes,
            new_files=run.new_files,
            new_bytes=run.estimate(),
            damaged=tuple(source.damaged),
            lacking=frozenset(source.lacking),
            losses=tuple(sudden_loss(bank, snapshots, source.amounts(run.files), pending)),
            excluded=tuple(source.excluded),
            findings=tuple(source.findings),
            repository=repository_path(bank, repo),
            encrypted=snapshots.repo is not None and snapshots.repo.encrypted,
            changed_files=run.changed_files,
            seconds=time.perf_counter() - started,
        )


class _Rehearsal:
    """The counts of a snapshot that is not made."""

    def __init__(self, snapshots: Snapshots, index: Index | None) -> None:
        self._snapshots, self._index = snapshots, index
        self._seen: set[str] = set()
        self._sample: list[bytes] = []
        self._sampled = 0
        self._names: tuple[str, frozenset[str]] = "", frozenset()
        self.files = self.bytes = self.new_files = self.changed_files = 0
        self._new = 0
        self._root = next((one.root for one in snapshots.newest_first()), None)

    def take(self, source: Source) -> None:
        """Count every row."""
        for row in source.rows():
            if isinstance(row, Whole):
                self.files += row.files
                self.bytes += row.bytes
            elif isinstance(row, Sound):
                for _, name, _, _, digest, size in row.files:
                    self._count(size)
                    if self._is_new(digest):
                        self._note(row.directory, name, size)
                        if self._index is None and self._sampled < SAMPLE:
                            self._try(row.read(name))
            elif isinstance(row, Row):
                self._row(row)

    def _row(self, row: Row) -> None:
        self._count(row.size)
        directory, _, name = row.path.rpartition("/")
        if self._new_bytes(row.good, row.content) + self._new_bytes(row.found, row.found_content):
            self._note(directory, name, 0)

    def _new_bytes(self, ids: Ids | None, content: Content | None) -> int:
        """How many bytes of a file the repository lacks; files of several blobs have to be read for that."""
        if content is None or (ids is not None and all(map(self._has, ids))):
            return 0
        new = 0
        for piece in _pieces(content):
            if self._is_new(sha256(piece).hexdigest()):
                self._new += len(piece)
                new += len(piece)
                self._try(piece)
        return new

    def _count(self, size: int) -> None:
        self.files += 1
        self.bytes += size

    def _note(self, directory: str, name: str, size: int) -> None:
        self.new_files += 1
        self._new += size
        self.changed_files += name in self._before(directory)

    def _has(self, digest: str) -> bool:
        return digest in self._seen or (self._index is not None and digest in self._index.where)

    def _is_new(self, digest: str) -> bool:
        """Whether a blob would be written, once."""
        new = not self._has(digest)
        self._seen.add(digest)
        return new

    def _before(self, directory: str) -> frozenset[str]:
        """The names of files that the newest snapshot has in a directory."""
        if self._root is None or self._index is None:
            return frozenset()
        if self._names[0] != directory or not self._names[1]:
            try:
                found = trees.find(self._snapshots.blobs, self._root, directory)
                level = trees.read(self._snapshots.blobs, found) if isinstance(found, trees.DirectoryEntry) else None
            except Damaged:
                level = None
            files = level.files if level is not None else ()
            self._names = directory, frozenset(one.path.rpartition("/")[2] for one in files)
        return self._names[1]

    def _try(self, data: bytes) -> None:
        if self._sampled < SAMPLE:
            self._sample.append(data)
            self._sampled += len(data)

    def estimate(self) -> int:
        """What the new bytes will come to in the repository, as far as its packs, or a sample, tell."""
        if self._index is not None and self._index.frames:
            stored = sum(one.frame.length for one in self._index.frames)
            plain = sum(sum(one.frame.sizes) for one in self._index.frames)
        else:
            sample = b"".join(self._sample)
            stored, plain = len(compressor(LEVEL).compress(sample)), len(sample)
        return self._new * stored // max(plain, 1)


def _pieces(content: Content) -> Iterator[bytes]:
    """A file's bytes as blobs would hold them; nothing of one that cannot be read, which the backup will tell."""
    try:
        data = content()
        if isinstance(data, bytes):
            yield from (data[start : start + FILE_BLOB_SIZE] for start in range(0, max(len(data), 1), FILE_BLOB_SIZE))
        else:
            yield from data
    except OSError:
        return
