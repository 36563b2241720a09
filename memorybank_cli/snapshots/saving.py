"""Saving: from a stream of files to a committed snapshot, in the one order that no crash can break.

Shared lock, generation, packs (read back), index, generation again and every older pack still there, document.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from memorybank_cli.base import locks
from memorybank_cli.base.errors import OperationFailed, from_os_error
from memorybank_cli.base.records import QUIET, Finding, Progress
from memorybank_cli.snapshots import documents, index
from memorybank_cli.snapshots.packs import PackWriter
from memorybank_cli.snapshots.repository import Repository, explained
from memorybank_cli.snapshots.trees import Ids, TreeBuilder

_STEP = 500


Content = Callable[[], bytes | Iterator[bytes]]
"""Reads a file: all of it, or a large one in pieces of `packs.FILE_BLOB_SIZE`, the last one shorter."""


class Row(NamedTuple):
    """One file to save. A sound file has no `rule`; a damaged one has its last good version and what was found.

    Blob ids are trusted where the repository holds them, and then nothing is read; else the callable
    gives the bytes. A callable that reads is called at once, before the next row is asked for.
    """

    path: str
    """Relative to the bank, escaped."""
    mode: int
    mtime_ns: int
    size: int
    """Bytes of the good version, with `mode` and `mtime_ns`; of the found one where there is no good one."""
    content: Content | None = None
    """Reads the good version; FileNotFoundError leaves the file out, another OSError is a MB307."""
    good: Ids | None = None
    """Its blob ids where they are known."""
    found_content: Content | None = None
    """Reads the damaged bytes."""
    found: Ids | None = None
    """Their blob ids where they are known."""
    rule: str = ""
    """The rule that the damaged bytes break."""


class Folder(NamedTuple):
    """One directory to save, before anything that is in it; one that holds nothing is kept too."""

    path: str
    mode: int
    mtime_ns: int


@dataclass(frozen=True)
class Totals:
    """What was seen by the time the last row was taken."""

    files: int
    bytes: int
    findings: tuple[Finding, ...]
    """Files that could not be saved (MB307) or whose good version is lost (MB130)."""


@dataclass(frozen=True)
class Saved:
    """A committed snapshot and what it cost."""

    document: documents.Document
    new_bytes: int
    """Bytes of the packs that were written."""
    new_packs: int
    findings: tuple[Finding, ...]

    def as_dict(self) -> dict[str, Any]:
        """The snapshot with `new_bytes`, `new_packs` and `findings`."""
        return {
            **self.document.as_dict(),
            "new_bytes": self.new_bytes,
            "new_packs": self.new_packs,
            "findings": [finding.as_dict() for finding in self.findings],
        }


def save(
    repo: Repository,
    rows: Iterable[Row | Folder],
    describe: Callable[[Totals], documents.Meta],
    progress: Progress = QUIET,
    *,
    distrust: Container[str] = (),
    lock_timeout: float = locks.DEFAULT_TIMEOUT,
) -> Saved:
    """Save rows as a snapshot. When this returns it is durable; when it raises, what was there before is untouched.

    Everything below a directory must come in one piece (`trees.TreeBuilder`). `describe` is asked when the
    rows are at their end. Packs named in `distrust` count as absent, so what is in them is stored again.
    Raises OperationFailed, Locked.
    """
    with explained("cannot save the snapshot"), repo.adding(lock_timeout):
        generation = repo.generation()
        known = index.load(repo, distrust)
        run = _Run(repo, known, progress)
        root = run.take(rows)
        packs = run.writer.finish()
        index.write(repo, known, packs)
        totals = Totals(run.files, run.bytes, tuple(run.findings))
        document = documents.make(root, run.files, run.bytes, describe(totals))
        _check_still_there(repo, generation, {known.frames[place].pack for place in run.writer.relied})
        documents.write(repo, document)
        repo.keep_reserve()
    return Saved(document, run.writer.new_bytes, len(packs), totals.findings)


def _check_still_there(repo: Repository, generation: bytes, relied: set[str]) -> None:
    if repo.generation() != generation or not relied <= repo.packs().keys():
        raise OperationFailed(
            "packs were removed from the repository during the backup, so no snapshot was made",
            hint="run the backup again",
            path=repo.path,
        )


class _Run:
    """One save under way."""

    def __init__(self, repo: Repository, known: index.Index, progress: Progress) -> None:
        self.writer = PackWriter(repo, known.where)
        self.files = self.bytes = 0
        self.findings: list[Finding] = []
        self._progress = progress

    def take(self, rows: Iterable[Row | Folder]) -> str:
        """Store every row; the id of the root tree."""
        builder = TreeBuilder(self.writer.add_tree)
        self._progress.start("saving files")
        for row in rows:
            if isinstance(row, Folder):
                builder.directory(*row)
                continue
            sound = not row.rule
            ids, size = self._good(row) if sound else self._last_good(row)
            found = None if sound else self._found(row)
            if ids is None and found is None:
                continue
            builder.file(row.path, row.mode, row.mtime_ns, ids, size, found, row.rule if found else "")
            self.files += 1
            self.bytes += size
            if self.files % _STEP == 0:
                self._progress.advance(_STEP)
        self._progress.advance(self.files % _STEP)
        self._progress.finish()
        return builder.finish()

    def _good(self, row: Row) -> tuple[Ids | None, int]:
        if row.good is not None and all(map(self.writer.has, row.good)):
            return row.good, row.size
        if row.content is None:
            self._lost(row.path, "is in no pack of the repository any more, and nothing gives its bytes")
            return None, row.size
        ids, size = self._store(row.path, row.content)
        return ids, row.size if ids is None else size

    def _last_good(self, row: Row) -> tuple[Ids | None, int]:
        if row.good is None and row.content is None:
            return None, row.size
        return self._good(row)

    def _found(self, row: Row) -> Ids | None:
        if row.found is not None and all(map(self.writer.has, row.found)):
            return row.found
        return None if row.found_content is None else self._store(row.path, row.found_content)[0]

    def _store(self, path: str, content: Content) -> tuple[Ids | None, int]:
        """Blob ids and size of what is read; None for what cannot be read, which is told."""
        ids: Ids = ()
        size = 0
        try:
            data = content()
            pieces = iter((data,)) if isinstance(data, bytes) else data
            piece = next(pieces, None)
        except OSError as error:
            return self._unread(path, error)
        while piece is not None:
            ids, size = ids + self.writer.add(piece), size + len(piece)
            try:
                piece = next(pieces, None)
            except OSError as error:
                return self._unread(path, error)
        return ids, size

    def _unread(self, path: str, error: OSError) -> tuple[None, int]:
        if isinstance(error, FileNotFoundError):
            self._progress.note(f"{path} was removed during the backup")
        else:
            why = from_os_error(error).message
            self.findings.append(Finding("MB307", f"it could not be read, and is not in the snapshot: {why}", path))
        return None, 0

    def _lost(self, path: str, why: str) -> None:
        self.findings.append(Finding("MB130", f"its last good version {why}", path))
