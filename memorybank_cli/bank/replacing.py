"""Replacing files as one journaled act: staged, begun, swapped, ended; what a kill interrupts is finished later.

Used by rollback, restore in place, repair and import. Directories are never replaced: agents and watchers hold them
open. Only those of accounts are removed, where an act leaves them empty. An act of any size needs little memory: its
rows wait in a spool, and the contents in the stage.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from hashlib import sha256
from typing import Any, NamedTuple

from memorybank_cli.bank import layout, versions
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.journal import Entry
from memorybank_cli.bank.rendering import make_way, quarantine_file
from memorybank_cli.bank.rows import FileRow
from memorybank_cli.bank.spool import Spool
from memorybank_cli.base import clock, digests, files
from memorybank_cli.base.errors import OperationFailed
from memorybank_cli.base.names import escape, unescape, uuid7
from memorybank_cli.base.walk import component, components

BEGIN = "restore.begin"
END = "restore.end"
ROWS = 1_000  # files that a line names at most
SHORT = 100  # characters of ASCII that any file system takes as a name
_NOTHING = f"{files.TEMPORARY}nothing"  # no file has this name


Keep = bool | Collection[str]
"""Whether what stood there goes to quarantine, or of which paths."""


class Replacement(NamedTuple):
    """One file to put in place: its content (None removes it), mode, time of change, kind and rules."""

    path: str
    content: bytes | Iterator[bytes] | None
    mode: int = files.FILE_MODE
    mtime_ns: int | None = None
    kind: str = ""
    rules: tuple[str, ...] = ()
    method: str = ""
    """How the content was come by, where a line should say so."""


class Replaced(NamedTuple):
    """What came of it: paths put in place, paths removed, and where the bytes that stood there are kept."""

    restored: list[str]
    removed: list[str]
    kept: dict[str, str]


def replace_files(
    bank: Bank, wanted: Iterable[Replacement], reason: str, keep: bool = True, **fields: object
) -> Replaced:
    """Put files in place under the bank's lock. With `keep` what stood there goes to quarantine first.

    Raises OSError before anything is swapped when staging fails; the bank is then as it was.
    """
    with replacing(bank, reason, keep, **fields) as act:
        for one in wanted:
            act.put(one, digest_there(bank, one.path))
        return act.carry_out()


@contextmanager
def replacing(bank: Bank, reason: str, keep: Keep = True, **fields: object) -> Iterator[Act]:
    """An act to which files and journal entries are given one by one; unless it is carried out it leaves nothing.

    The bank's lock is held meanwhile. `fields` stand in the act's first line.
    """
    with bank.locked():
        bank.check_writable()
        act = Act(bank, {"id": uuid7(), "reason": reason}, keep, fields)
        try:
            act.open()
            yield act
        except OSError:
            if act.begun and not act.ended:
                bank.context.progress.note("it was begun: the next command finishes it, once that can be done")
            raise
        finally:
            act.close()
            if not act.begun or act.ended:  # else a failure leaves the stage: the next opening goes on with it
                files.remove_tree(bank.root, act.stage)


class Act:
    """Files that are to be replaced together, and entries that hold from the same moment on."""

    def __init__(self, bank: Bank, head: dict[str, Any], keep: Keep, fields: dict[str, Any]) -> None:
        self.bank, self.keep = bank, keep
        self.stage = f"{layout.SCRATCH}/{head['id']}"
        self.begun = self.ended = False
        self._head, self._fields = head, fields
        self._spool = Spool(bank.root, f"{self.stage}/entries")
        self._rows: list[FileRow] = []
        self._contents: list[bytes | None] = []
        self._methods: dict[str, str] = {}
        self._done = Replaced([], [], {})
        self._parts = self._staged = 0
        self._fd = -1
        self._directories: set[str] = set()
        self._room = versions.room(bank.root, bank.settings)

    def open(self) -> None:
        """Make the stage."""
        files.make_dirs(self.bank.root, self.stage)
        with self.bank.root.directory(self.stage) as fd:
            self._fd = os.dup(fd)

    def close(self) -> None:
        """Give the stage's descriptor back."""
        if self._fd >= 0:
            os.close(self._fd)

    def put(self, one: Replacement, before: str | None) -> FileRow:
        """Stage one file where something of the digest `before` stands now; what the journal will say of it.

        Raises OSError.
        """
        self._check_place(one)
        if one.content is None:
            row, kept = FileRow(one.path, None, 0, 0, [], one.kind, before), None
        else:
            digest, size, kept = self._write(one)
            row = FileRow(one.path, digest, size, one.mode & 0o7777, list(one.rules), one.kind, before)
        (self._done.removed if one.content is None else self._done.restored).append(one.path)
        self._rows.append(row)
        self._contents.append(kept)
        if one.method:
            self._methods[one.path] = one.method
        self._staged += 1
        if len(self._rows) >= ROWS:
            self._close_part()
        return row

    def add(self, entry: Entry) -> None:
        """An admitted entry that is to be written in the same group as the act's beginning."""
        self._spool.add(entry)

    def carry_out(self) -> Replaced:
        """Begin, swap, end. Raises OSError; once it is begun the next opening finishes it."""
        self._close_part()
        if len(self._spool):
            self._sync_stage()
            self.bank.commit_group(self._spool)
            self.begun = bool(self._parts)
        if self.begun:
            self._done.kept.update(swap(self.bank, self._begun_rows(), self.stage, self.keep))
            leave(self.bank, self._done.removed)
            self.bank.commit_group(_Endings(self._spool, self._parts, self._done.kept))
            self.ended = True
        return self._done

    def _write(self, one: Replacement) -> tuple[str, int, bytes | None]:
        """Write a staged file; its digest, size, and the content where that is small enough to be kept."""
        name, mtime = str(self._staged), clock.now_ns() if one.mtime_ns is None else one.mtime_ns
        data, digest, size = one.content, sha256(), 0

        def pieces() -> Iterator[bytes]:
            nonlocal size
            for piece in (data,) if isinstance(data, bytes) else data or ():
                digest.update(piece)
                size += len(piece)
                yield piece

        files.write_new(self._fd, name, pieces(), one.mode & 0o7777, mtime)
        return digest.hexdigest(), size, data if isinstance(data, bytes) and size <= versions.LARGEST else None

    def _check_place(self, one: Replacement) -> None:
        """Raise OSError for what cannot be put here, or taken away: once the act is begun it would be too late."""
        directory, _, name = one.path.rpartition("/")
        names = [] if one.content is None else [component(name)]
        if directory not in self._directories:
            self._directories.add(directory)
            self._check_directory(directory)
            names += components(directory)
        for part in names:
            if len(part) <= SHORT and part.isascii():
                continue
            with suppress(FileNotFoundError):
                os.stat(part, dir_fd=self._fd, follow_symlinks=False)

    def _check_directory(self, directory: str) -> None:
        """Raise where one may not write, or where nothing can be moved to: where something is mounted."""
        root = self.bank.root
        while directory and not root.is_dir(directory):
            directory = directory.rpartition("/")[0]
        with root.directory(directory) as fd:
            effective = os.access in os.supports_effective_ids
            if not os.access(".", os.W_OK | os.X_OK, dir_fd=fd, effective_ids=effective):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), root.absolute(directory))
            try:
                files.move_in(self._fd, _NOTHING, fd, _NOTHING)
            except FileNotFoundError:
                return
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                raise _elsewhere(root.absolute(directory)) from None

    def _close_part(self) -> None:
        if not self._rows:
            return
        fields = {**self._head, "files": [list(row) for row in self._rows]}
        if self._methods:
            fields["methods"] = self._methods
        if not self._parts:
            fields |= self._fields
        packed = versions.pack(self._contents) if self._room > 0 else None
        self._room -= len(packed["zstd"]) if packed else 0
        self._spool.add(Entry(BEGIN, fields, packed))
        self._parts += 1
        self._rows, self._contents, self._methods = [], [], {}

    def _sync_stage(self) -> None:
        staged = (f"{self.stage}/{number}" for number in range(min(self._staged, files.SYNCED_SINGLY + 1)))
        files.sync_paths(self.bank.root, [*staged, self.stage])

    def _begun_rows(self) -> Iterator[FileRow]:
        return (FileRow(*row) for fields in self._spool.fields(BEGIN) for row in fields["files"])


def _elsewhere(place: str) -> OperationFailed:
    return OperationFailed(
        f"{escape(place)} lies on another file system, or is mounted apart, so its files cannot be replaced as one act",
        hint="nothing was changed. A bank belongs on one file system; memorybank snapshot restore --to DIR gives the "
        "files, to be copied by hand",
        path=place,
    )


class _Endings:
    """The lines that end an act: one for each that began it."""

    def __init__(self, spool: Spool, count: int, kept: dict[str, str]) -> None:
        self._spool, self._count, self._kept = spool, count, kept

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Entry]:
        return (ending(fields, self._kept) for fields in self._spool.fields(BEGIN))


def ending(begun: dict[str, Any], kept: dict[str, str], **fields: object) -> Entry:
    """The line that ends what a line began; what that keeps of contents is not said again."""
    here = {row[0]: kept[row[0]] for row in begun["files"] if row[0] in kept}
    return Entry(END, {**begun, "kept": here, **fields})


def digest_there(bank: Bank, path: str) -> str | None:
    """The digest of what stands at `path` now, None where no file stands."""
    try:
        fd = bank.root.open(path)
    except OSError:
        return None
    try:
        return digests.of_fd(fd)[0]
    finally:
        os.close(fd)


def swap(bank: Bank, rows: Iterable[FileRow], stage: str, keep: Keep) -> dict[str, str]:
    """Exchange what is staged with what stands there, durably; the kept bytes by path."""
    kept: dict[str, str] = {}
    changed: set[str] = set()
    with bank.root.directory(stage) as staged, closing(_Directory(bank, changed)) as directory:
        for index, row in enumerate(rows):
            if row.after is not None and row.before is None:
                place, fd = directory.of(row.path)
                if files.move_in(staged, str(index), fd, unescape(row.path.rpartition("/")[2])):
                    if place:
                        kept[row.path] = place
                    continue
            kept_too = keep if isinstance(keep, bool) else row.path in keep
            if place := swap_in(bank, row, f"{stage}/{index}", kept_too, changed):
                kept[row.path] = place
    files.sync_paths(bank.root, changed)
    return kept


class _Directory:
    """The directory into which new files come, kept open from one file to the next."""

    def __init__(self, bank: Bank, changed: set[str]) -> None:
        self.bank, self.changed = bank, changed
        self._path, self._fd = "", os.dup(bank.root.fd)
        changed.add("")

    def of(self, path: str) -> tuple[str, int]:
        """A descriptor of the directory of `path`, made where it is missing, and where a file in its way is kept."""
        directory, place = path.rpartition("/")[0], ""
        if directory != self._path:
            place = _way(self.bank, path, self.changed)
            with self.bank.root.directory(directory) as fd:
                os.close(self._fd)
                self._path, self._fd = directory, os.dup(fd)
        return place, self._fd

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._fd)


def _way(bank: Bank, path: str, changed: set[str]) -> str:
    """Have a directory for `path`; where a file that stood in its way is kept, '' for none."""
    directory = path.rpartition("/")[0]
    if directory in changed:
        return ""
    place = make_way(bank.root, path)
    files.make_dirs(bank.root, directory, None)
    changed.add(directory)
    return place


def swap_in(bank: Bank, row: FileRow, staged: str, keep: bool, changed: set[str]) -> str:
    """Put one file in place; where the bytes that came out are kept, '' when they were known or none.

    Directories that the caller then has to sync go into `changed`; those in it were made already.
    """
    if row.after is None:
        return _take_out(bank, row, staged, keep, changed)
    place = _way(bank, row.path, changed)
    while not files.move_new(bank.root, staged, row.path):
        try:
            if files.exchange(bank.root, staged, row.path):
                return put_away(bank, staged, row, keep)
        except FileNotFoundError:  # its writer took it away in between
            continue
        break
    else:
        return place
    place = put_away(bank, row.path, row, keep)
    files.rename(bank.root, staged, row.path)
    return place


def _take_out(bank: Bank, row: FileRow, staged: str, keep: bool, changed: set[str]) -> str:
    """Remove one file: out of its writers' reach first, for what they put there while it is read is not the same."""
    there = bank.root.stat(row.path)
    if there is None or stat.S_ISDIR(there.st_mode):  # a directory was made for files of this very replacement
        return ""
    try:
        files.rename(bank.root, row.path, staged, durable=False)
    except FileNotFoundError:
        return ""
    changed.add(row.path.rpartition("/")[0])
    return put_away(bank, staged, row, keep)


def leave(bank: Bank, removed: Iterable[str]) -> None:
    """Remove directories of accounts that are empty now that these files are gone; others belong to their writers."""
    directories = {path.rpartition("/")[0] for path in removed if layout.account_of(path.partition("/")[0])}
    for one in sorted(directories, reverse=True):
        path = one
        while path:
            files.remove_empty(bank.root, path)
            path = path.rpartition("/")[0]


def put_away(bank: Bank, path: str, row: FileRow, keep: bool) -> str:
    """Move what came out into quarantine when the caller wants that, or when it is no version that was recorded."""
    digest, expected = digest_there(bank, path), bank.catalog.row(row.path).expected
    if not keep and digest is not None and expected is not None and digest == row.before == expected.sha:
        files.remove(bank.root, path)
        return ""
    place = quarantine_file(bank.root, path, digest or f"no-file-{os.urandom(4).hex()}")
    if digest != row.before:
        bank.context.progress.note(f"{row.path} was changed by somebody else meanwhile; those bytes are in {place}")
    return place
