"""Restoring a snapshot to a new place: built beside it, verified blob by blob, put there by one rename."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Collection, Iterable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from memorybank_cli.base import files, locks, workers
from memorybank_cli.base.errors import MemorybankError, NotFound, OperationFailed, Refused, from_os_error
from memorybank_cli.base.names import escape, quoted, unescape
from memorybank_cli.base.records import QUIET, Finding, Progress
from memorybank_cli.base.rules import RULES
from memorybank_cli.base.walk import Root
from memorybank_cli.snapshots import stages, trees
from memorybank_cli.snapshots.blobs import Blobs
from memorybank_cli.snapshots.documents import Document
from memorybank_cli.snapshots.repository import Repository, explained
from memorybank_cli.snapshots.sealing import Damaged
from memorybank_cli.snapshots.trees import DirectoryEntry, FileEntry, Level

# Set-user-id, set-group-id and sticky bits have no meaning for data, and root may be the one who restores.
_FILE_BITS = 0o777
_DIRECTORY_BITS = 0o3777
# So many files go to one process before it is the other's turn; a frame has some hundred.
SHARE = 1024
_NAME_TROUBLE = {errno.ENAMETOOLONG, errno.EEXIST, errno.EILSEQ, errno.EINVAL, errno.ENOTDIR, errno.ELOOP}


@dataclass(frozen=True)
class Restored:
    """What was put where."""

    path: str
    """The directory, absolute."""
    files: int
    bytes: int
    findings: tuple[Finding, ...]
    """A MB130 for each file that could not be read; the rule of their bytes for files without a good version."""

    def exit_code(self) -> int:
        """1 when a file could not be read, or was never good."""
        return 1 if self.findings else 0

    def as_dict(self) -> dict[str, Any]:
        """The fields as JSON."""
        findings = [finding.as_dict() for finding in self.findings]
        return {"path": escape(self.path), "files": self.files, "bytes": self.bytes, "findings": findings}


def restore_to(
    repo: Repository,
    document: Document,
    target: str | os.PathLike[str],
    paths: Iterable[str] | None = None,
    progress: Progress = QUIET,
    *,
    lock_timeout: float = locks.DEFAULT_TIMEOUT,
) -> Restored:
    """Put a snapshot's content directly into `target`, which must be missing or empty (else Refused).

    With `paths` (escaped, files or directories) only those, at their places; NotFound when one is not in
    the snapshot. Until the last step nothing stands at `target`; then all of it does, durable. Files whose
    bytes cannot be read are left out and named in the findings. Raises Damaged when the root cannot be read.
    """
    place = os.path.realpath(target)
    _check_free(place)
    chosen = _Chosen(paths)
    with explained("cannot restore"), repo.reading(lock_timeout):
        parent = files.make_root(os.path.dirname(place))
        with closing(parent):
            stages.remove_left(parent, progress)
            stage, root = stages.begin(parent)
            with closing(root):
                try:
                    run = _Run(Blobs(repo), document, root, progress)
                    run.fill(chosen)
                    chosen.check_found(document)
                    run.set_attributes()
                    files.sync_all(parent)
                    _put_in_place(parent, stage, place)
                except BaseException:
                    files.remove_tree(parent, stage)
                    raise
    return Restored(place, run.files, run.bytes, tuple(run.findings))


def _check_free(place: str) -> None:
    try:
        with os.scandir(place) as found:
            busy = next(found, None) is not None
    except FileNotFoundError:
        return
    except NotADirectoryError:
        busy = True
    except OSError as error:
        raise from_os_error(error, "cannot restore") from error
    if busy:
        raise _not_empty(place)
    if os.path.ismount(place):
        raise _mounted(place)


def _not_empty(place: str) -> Refused:
    return Refused(
        f"{escape(place)} is not an empty directory",
        hint="name one that is missing or empty; nothing was changed",
        path=place,
    )


def _mounted(place: str) -> Refused:
    return Refused(
        f"{escape(place)} is a mount point, and what is restored is put in place by one rename",
        hint=f"name a directory in it: {quoted(escape(os.path.join(place, 'bank')))}; nothing was changed",
        path=place,
    )


def _put_in_place(parent: Root, stage: str, place: str) -> None:
    try:
        files.rename(parent, stage, escape(os.path.basename(place)))
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise _not_empty(place) from None
        if error.errno == errno.EBUSY:  # a directory of the same file system that is mounted there
            raise _mounted(place) from None
        raise


class _Chosen:
    """Which paths of a snapshot are wanted, and which of these were met."""

    def __init__(self, paths: Iterable[str] | None) -> None:
        self._paths: Collection[str] | None = None if paths is None else {path.strip("/") for path in paths}
        self._missing = set(self._paths or ())

    def has(self, path: str) -> bool:
        """Whether a file or directory is wanted, itself or by a directory above."""
        if self._paths is None or "" in self._paths:
            return True
        while path and path not in self._paths:
            path = path.rpartition("/")[0]
        return bool(path)

    def leads(self, path: str) -> bool:
        """Whether something wanted is at or below a directory."""
        if self.has(path):
            return True
        return any(wanted.startswith(path + "/") for wanted in self._paths or ())

    def met(self, path: str) -> None:
        """A path was found in the snapshot."""
        self._missing.discard(path)

    def check_found(self, document: Document) -> None:
        """Raises NotFound for the first wanted path that the snapshot does not have."""
        missing = sorted(self._missing - {""})
        if missing:
            raise NotFound(
                f"snapshot {document.id} has no '{escape(missing[0])}'",
                hint=f"memorybank snapshot find {quoted(missing[0].rpartition('/')[2])} --snapshot {document.id}",
                path=missing[0],
            )


class _Run:
    """One restore under way."""

    def __init__(self, blobs: Blobs, document: Document, stage: Root, progress: Progress) -> None:
        self._blobs, self._document, self.stage, self._progress = blobs, document, stage, progress
        self.files = self.bytes = 0
        self.findings: list[Finding] = []
        self._made: list[DirectoryEntry] = []
        self._met = 0
        self._mine: int | None = None

    def fill(self, chosen: _Chosen) -> None:
        """Write what is chosen into the stage; of many files a second process writes every other thousand."""
        if not workers.pays(self._document.files):
            self._fill(chosen)
            return
        child = workers.Child(lambda: self._half(chosen))
        try:
            self._mine = 0
            self._fill(chosen)
            other = child.result()
        finally:
            child.end()
        if other is None:
            raise OperationFailed("the second process of the restore ended before its work was done", hint="try again")
        if other["errno"]:
            raise OSError(other["errno"], os.strerror(other["errno"]), self.stage.path)
        self.files += other["files"]
        self.bytes += other["bytes"]
        told = {(one.rule, one.path) for one in self.findings}  # both meet a directory that cannot be had
        self.findings += [one for row in other["findings"] if ((one := Finding(*row)).rule, one.path) not in told]

    def _half(self, chosen: _Chosen) -> dict[str, Any]:
        """The work of the second process."""
        self._mine, self._progress, number = 1, QUIET, 0
        try:
            self._fill(chosen)
        except OSError as error:
            number = error.errno or errno.EIO
        rows = [(one.rule, one.message, one.path, one.hint) for one in self.findings]
        return {"files": self.files, "bytes": self.bytes, "findings": rows, "errno": number}

    def _fill(self, chosen: _Chosen) -> None:
        self._progress.start("restoring files", self._document.files)
        for level in trees.walk(self._blobs, self._document.root, self._unreadable(chosen), chosen.leads):
            if self._make(level.directory):
                self._made.append(level.directory)
                self._write(level, chosen)
        self._progress.finish()

    def set_attributes(self) -> None:
        """Give the directories their modes and times, which writing into them would change."""
        for directory in reversed(self._made):
            if directory.path:
                files.set_attributes(self.stage, directory.path, directory.mode & _DIRECTORY_BITS, directory.mtime_ns)

    def _unreadable(self, chosen: _Chosen) -> Callable[[str, MemorybankError], None]:
        def report(path: str, error: MemorybankError) -> None:
            if not path:
                raise error
            chosen.met(path)
            self._lost(path, f"the directory cannot be restored: {error.message}")

        return report

    def _make(self, directory: DirectoryEntry) -> bool:
        try:
            files.make_dirs(self.stage, directory.path, durable=False)
        except OSError as error:
            return self._not_here(directory.path, error)
        return True

    def _write(self, level: Level, chosen: _Chosen) -> None:
        path = level.directory.path
        chosen.met(path)
        wanted = [entry for entry in level.files if chosen.has(entry.path)]
        for entry in wanted:
            chosen.met(entry.path)
        first, self._met = self._met, self._met + len(wanted)
        if self._met > self._document.files:
            raise Damaged(f"snapshot {self._document.id} lists more files than it says it has")
        if self._mine is not None:
            wanted = [one for place, one in enumerate(wanted, first) if place // SHARE % 2 == self._mine]
        with self.stage.directory(path) as fd:
            for entry in wanted:
                self._write_file(fd, entry)
        self._progress.advance(self._met - first)

    def _write_file(self, fd: int, entry: FileEntry) -> None:
        name = unescape(entry.path.rpartition("/")[2])
        try:
            files.write_new(fd, name, trees.chunks(self._blobs, entry), entry.mode & _FILE_BITS, entry.mtime_ns)
        except Damaged as error:
            self._lost(entry.path, f"the file cannot be restored: {error.message}")
            return
        except OSError as error:
            self._not_here(entry.path, error)
            return
        self.files += 1
        self.bytes += entry.size
        if entry.good is None:
            self.findings.append(_never_good(entry))

    def _lost(self, path: str, message: str) -> None:
        hint = "memorybank snapshot list shows other snapshots that may have it"
        self.findings.append(Finding("MB130", message, path, hint))

    def _not_here(self, path: str, error: OSError) -> bool:
        """A finding for a name or file that this place cannot hold; raises for trouble that hits every file."""
        if error.errno not in _NAME_TROUBLE:
            raise error
        self._lost(path, f"this place cannot hold it: {from_os_error(error).message}")
        return False


def _never_good(entry: FileEntry) -> Finding:
    message = f"no good version was ever recorded; what was found ({entry.rule}) was restored as it is"
    return Finding(entry.rule if entry.rule in RULES else "MB130", message, entry.path)
