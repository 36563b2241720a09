"""Saving: from a stream of files to a committed snapshot, in the one order that no crash can break.

Shared lock, generation, packs (read back), index, generation again and every older pack still there, document.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, NamedTuple

from memorybank_cli.base import locks
from memorybank_cli.base.errors import OperationFailed, from_os_error
from memorybank_cli.base.records import QUIET, Finding, Progress
from memorybank_cli.snapshots import documents, index
from memorybank_cli.snapshots.building import FileItem, TreeBuilder
from memorybank_cli.snapshots.packing import PackWriter
from memorybank_cli.snapshots.repository import MAKE_ROOM, Repository, explained, pack_path
from memorybank_cli.snapshots.trees import Ids

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
    """Reads the good version; FileNotFoundError leaves the file out, another OSError is tried again, then a MB307."""
    good: Ids | None = None
    """Its blob ids where they are known."""
    found_content: Content | None = None
    """Reads the damaged bytes."""
    found: Ids | None = None
    """Their blob ids where they are known."""
    rule: str = ""
    """The rule that the damaged bytes break."""
    records: int = 0
    """How many records the caller counted for it; for `Hooks.unread`."""


class Sound(NamedTuple):
    """Sound files right in a directory, known by digest and each of one blob: what most of a bank is.

    They are rows of the tree that the directory becomes, and need no call unless the repository lacks them.
    """

    directory: str
    files: list[FileItem]
    """Rows of a tree, of one blob each."""
    read: Callable[[str], bytes]
    """Reads a file by its name. Raises OSError."""
    instead: Callable[[str], Row | None]
    """What is saved of a file that cannot be read, or has other bytes than its digest says; None: nothing."""


class Whole(NamedTuple):
    """A directory whose tree the repository holds already, with everything that is in it."""

    path: str
    mode: int
    mtime_ns: int
    tree: str
    files: int
    """At and below it."""
    bytes: int


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
    older_packs: frozenset[str] = frozenset()
    """Packs that were there before and hold blobs that were asked for one by one."""
    new_files: int = 0
    """Files whose bytes were not in the repository."""

    def as_dict(self) -> dict[str, Any]:
        """The snapshot with what it cost and `findings`."""
        return {
            **self.document.as_dict(),
            "new_bytes": self.new_bytes,
            "new_packs": self.new_packs,
            "new_files": self.new_files,
            "findings": [finding.as_dict() for finding in self.findings],
        }


Item = Row | Sound | Whole | Folder
TRIES = 3
"""So many times a file is read that changes meanwhile, or gives an error."""


class _Unread(Exception):
    """What is to be saved could not be read."""

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        self.error = error


def _good_alone(row: Row, error: OSError | None) -> Row | None:
    """A damaged file without its damaged bytes, where there is a good version; nothing of any other."""
    there = row.good is not None or row.content is not None
    has_found = row.found is not None or row.found_content is not None
    return row._replace(found_content=None, found=None) if error is not None and there and has_found else None


@dataclass(frozen=True)
class Hooks:
    """What a caller may want to know, or to decide, while a snapshot is saved."""

    opened: Callable[[index.Index], object] = lambda _index: None
    """Hears of the repository's index before the first row is asked for."""
    closed: Callable[[str, str], None] = lambda _path, _tree: None
    """Hears of the path and tree of each directory that was built."""
    total: int | None = None
    """How many files there will be, where that is known."""
    unread: Callable[[Row, OSError | None], Row | None] = _good_alone
    """Gives what is saved instead of a row that cannot be read, without reading the file; None: nothing.

    Without an error it hears that nothing of a row could be had, so that it is not in the snapshot.
    """


def save(
    repo: Repository,
    rows: Iterable[Item],
    describe: Callable[[Totals], documents.Meta],
    progress: Progress = QUIET,
    *,
    distrust: Container[str] = (),
    hooks: Hooks | None = None,
    verify: bool = True,
    lock_timeout: float = locks.DEFAULT_TIMEOUT,
) -> Saved:
    """Save rows as a snapshot. When this returns it is durable; when it raises, what was there before is untouched.

    Everything below a directory must come in one piece (`building.TreeBuilder`). `describe` is asked when the
    rows are at their end. Packs named in `distrust` count as absent, so what is in them is stored again. With
    `verify` each frame is decoded and compared before it is written, and each pack read back.
    Raises OperationFailed, Locked.
    """
    hooks = hooks or Hooks()
    with explained("cannot save the snapshot", MAKE_ROOM), repo.adding(lock_timeout):
        generation = repo.generation()
        known = index.load(repo, distrust)
        hooks.opened(known)
        run = _Run(repo, known, progress, hooks, verify)
        try:
            root = run.take(rows)
            packs = run.writer.finish()
        finally:
            run.writer.give_up()
        _settle(repo, known)
        index.write(repo, known, packs)
        totals = Totals(run.files, run.bytes, tuple(run.findings))
        document = documents.make(root, run.files, run.bytes, describe(totals))
        _check_still_there(repo, generation, run.relied())
        documents.write(repo, document)
        repo.keep_reserve()
    return Saved(document, run.writer.new_bytes, len(packs), totals.findings, run.older_packs(), run.new_files)


def _settle(repo: Repository, known: index.Index) -> None:
    """Make packs durable that no cache names: a run may have left them that never came to its end."""
    cached = {pack.name for packs in known.caches.values() for pack in packs}
    left = sorted(known.packs.keys() - cached)
    if left:
        repo.backend.settle([pack_path(name) for name in left])


def _check_still_there(repo: Repository, generation: bytes, relied: AbstractSet[str]) -> None:
    if repo.generation() != generation or not relied <= repo.packs().keys():
        raise OperationFailed(
            "packs were removed from the repository during the backup, so no snapshot was made",
            hint="run the backup again",
            path=repo.path,
        )


class _Run:
    """One save under way."""

    def __init__(self, repo: Repository, known: index.Index, progress: Progress, hooks: Hooks, verify: bool) -> None:
        self.writer = PackWriter(repo, known.where, verify)
        self.files = self.bytes = self.new_files = 0
        self.findings: list[Finding] = []
        self._known, self._progress, self._hooks = known, progress, hooks
        self._wholes = 0
        self._builder = TreeBuilder(self.writer.add_tree, hooks.closed)

    def relied(self) -> AbstractSet[str]:
        """The older packs that the snapshot rests on; what is below an unchanged directory may be in any of them."""
        return self._known.packs.keys() if self._wholes else self.older_packs()

    def older_packs(self) -> frozenset[str]:
        """The older packs that hold blobs which were asked for."""
        return frozenset(self._known.frames[place].pack for place in self.writer.relied)

    def take(self, rows: Iterable[Item]) -> str:
        """Store every row; the id of the root tree."""
        builder, progress = self._builder, self._progress
        progress.start("saving files", self._hooks.total)
        for row in rows:
            before = self.files
            if isinstance(row, Sound):
                self._sound(row)
            elif isinstance(row, Row):
                self._row(row)
            elif isinstance(row, Whole):
                self._whole(row)
            else:
                builder.directory(*row)
            if self.files != before:
                progress.advance(self.files - before)
        progress.finish()
        return builder.finish()

    def _whole(self, row: Whole) -> None:
        if not self.writer.has(row.tree):
            raise ValueError(f"the repository does not hold the tree of '{row.path}'")
        self._builder.whole(row.path, row.mode, row.mtime_ns, row.tree)
        self._wholes += 1
        self.files += row.files
        self.bytes += row.bytes

    def _sound(self, batch: Sound) -> None:
        lacking = self.writer.lacking([row[4] for row in batch.files])
        doubtful = {
            row[1]: batch.instead(row[1]) for row in batch.files if row[4] in lacking and not self._add(batch, row)
        }
        rows = [row for row in batch.files if row[1] not in doubtful] if doubtful else batch.files
        self._builder.files(batch.directory, rows)
        self.files += len(rows)
        self.bytes += sum(row[5] for row in rows)
        for row in filter(None, doubtful.values()):
            self._row(row)

    def _add(self, batch: Sound, row: FileItem) -> bool:
        """Store a file that the repository lacks; whether it still is what its digest says."""
        _, name, _, _, digest, _ = row
        if self.writer.has(digest):  # another file of this batch has the same bytes
            return True
        try:
            data = batch.read(name)
        except OSError:
            return False
        if sha256(data).hexdigest() != digest:
            return False
        self.writer.add_new(digest, data)
        self.new_files += 1
        return True

    def _row(self, row: Row) -> None:
        blobs = self.writer.new_blobs
        try:
            ids, size = self._good(row)
            found = self._found(row) if row.rule else None
        except _Unread as unread:
            self._unread(row, unread.error)
            return
        if ids is None and found is None:
            self._hooks.unread(row, None)
            return
        self._builder.file(row.path, row.mode, row.mtime_ns, ids, size, found, row.rule if found else "")
        self.new_files += self.writer.new_blobs > blobs
        self.files += 1
        self.bytes += size

    def _good(self, row: Row) -> tuple[Ids | None, int]:
        if row.good is not None and all(map(self.writer.has, row.good)):
            return row.good, row.size
        if row.content is not None:
            return self._store(row.content)
        if row.good is not None or not row.rule:
            why = "is in no pack of the repository any more, and nothing gives its bytes"
            self.findings.append(Finding("MB130", f"its last good version {why}", row.path))
        return None, row.size

    def _found(self, row: Row) -> Ids | None:
        if row.found is not None and all(map(self.writer.has, row.found)):
            return row.found
        return None if row.found_content is None else self._store(row.found_content)[0]

    def _store(self, content: Content) -> tuple[Ids, int]:
        """Blob ids and size of what is read. Raises _Unread."""
        for _ in range(TRIES - 1):
            try:
                return self._try(content)
            except _Unread as unread:
                if isinstance(unread.error, FileNotFoundError):
                    raise
        return self._try(content)

    def _try(self, content: Content) -> tuple[Ids, int]:
        ids: Ids = ()
        size = 0
        try:
            data = content()
            pieces = iter((data,)) if isinstance(data, bytes) else data
            piece = next(pieces, None)
        except OSError as error:
            raise _Unread(error) from error
        while piece is not None:
            ids, size = ids + self.writer.add(piece), size + len(piece)
            try:
                piece = next(pieces, None)
            except OSError as error:
                raise _Unread(error) from error
        return ids, size

    def _unread(self, row: Row, error: OSError) -> None:
        """Save what there is instead of a file that cannot be read, and tell it."""
        instead = self._hooks.unread(row, error)
        if isinstance(error, FileNotFoundError):
            self._progress.note(f"{row.path} was removed during the backup")
        else:
            there = "is not in the snapshot" if instead is None else "the snapshot has its last good version"
            message = f"it could not be read, and {there}: {from_os_error(error).message}"
            self.findings.append(Finding("MB307", message, row.path))
        if instead is not None:
            self._row(instead)
