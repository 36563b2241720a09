"""What a snapshot holds, taken out of it: one file to stdout, or all of it as an archive."""

from __future__ import annotations

import os
import secrets
import shlex
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from memorybank_cli.bank.bank import Bank
from memorybank_cli.base import digests, files
from memorybank_cli.base.errors import MemorybankError, Refused, SnapshotNotFound, UsageError
from memorybank_cli.base.exact_json import FlawedJSON, loads
from memorybank_cli.base.names import escape
from memorybank_cli.base.records import Finding
from memorybank_cli.base.suggestions import did_you_mean
from memorybank_cli.base.walk import Root
from memorybank_cli.base.words import counted, size
from memorybank_cli.meaning.records import Reader, spans
from memorybank_cli.operations.comparing import names_beside
from memorybank_cli.operations.manifest import manifest_line
from memorybank_cli.operations.options import Option, RepoOption
from memorybank_cli.operations.ownership import to_look_at
from memorybank_cli.operations.paths import bank_path, find_hint
from memorybank_cli.operations.repositories import check_outside, open_repository
from memorybank_cli.snapshots import documents, trees
from memorybank_cli.snapshots.archives import SUFFIXES, Archive, Packing, packed
from memorybank_cli.snapshots.blobs import Blobs
from memorybank_cli.snapshots.repository import explained
from memorybank_cli.snapshots.sealing import Damaged
from memorybank_cli.snapshots.trees import FileEntry


class SnapshotFile:
    """One file of a snapshot, or a record of it; its bytes come from the repository as they are asked for."""

    def __init__(self, snapshot: str, entry: FileEntry, contents: Iterator[bytes]) -> None:
        self.snapshot, self.entry, self._contents = snapshot, entry, contents

    def pieces(self) -> Iterator[bytes]:
        """The bytes, once. Raises Damaged, also after some pieces."""
        return self._contents

    def as_dict(self) -> dict[str, Any]:
        """Snapshot, path, the rule that the found version breaks, and the content: as text, else as base64."""
        data = b"".join(self._contents)
        told: dict[str, Any] = {"snapshot": self.snapshot, "path": self.entry.path, "rule": self.entry.rule}
        told |= {"size": len(data), "sha256": digests.of(data)}
        try:
            return {**told, "encoding": "utf-8", "content": data.decode()}
        except UnicodeDecodeError:
            return {**told, "encoding": "base64", "content": b64encode(data).decode()}


def cat(
    bank: Bank,
    id: Annotated[str, "an id, a unique beginning of one, or latest"],
    path: Annotated[str, Option("a file of the bank", metavar="P")],
    *,
    found: Annotated[bool, "what was found damaged instead of the last good version"] = False,
    record: Annotated[str | None, Option("only the record of this id", metavar="ID")] = None,
    repo: RepoOption = None,
) -> SnapshotFile:
    """Write a file of a snapshot to stdout.

    The bytes are those that were saved. On a terminal control characters are escaped.

    Exit codes:
        0   written
        1   its bytes cannot be read; of a large file a part may have been written
        10  there is no such snapshot, file or record

    Examples:
        memorybank snapshot cat latest state/state.json
        memorybank snapshot cat latest trades/all.json --record 1743394526
    """
    place = bank_path(bank, path, must_exist=False)
    repository = bank.resources.enter_context(open_repository(bank, repo))
    bank.resources.enter_context(repository.reading(bank.lock_timeout))
    document = to_look_at(bank, repository, id)
    blobs = Blobs(repository)
    entry = _file(blobs, document, place)
    if found:
        if entry.found is None:
            raise SnapshotNotFound(
                f"{place} was not found damaged when snapshot {document.id} was made",
                path=place,
                hint="leave --found out",
            )
        entry = entry._replace(good=None)
    elif entry.good is None:
        bank.context.progress.note(f"{place} has no good version; this is what was found ({entry.rule})")
    if record is not None:
        return SnapshotFile(document.id, entry, iter(_record(bank, blobs, entry, record)))
    return SnapshotFile(document.id, entry, trees.chunks(blobs, entry))


def _file(blobs: Blobs, document: documents.Document, path: str) -> FileEntry:
    entry = trees.find(blobs, document.root, path)
    if isinstance(entry, FileEntry):
        return entry
    if entry is not None:
        raise UsageError(
            f"{path or 'the bank'} is a directory",
            hint=f"memorybank snapshot find '{path or '*'}' --snapshot {document.id} lists the files in it",
        )
    hint = did_you_mean(path, names_beside(blobs, document.root, path), find_hint(path))
    raise SnapshotNotFound(f"snapshot {document.id} has no '{path}'", path=path, hint=hint)


def _record(bank: Bank, blobs: Blobs, entry: FileEntry, wanted: str) -> list[bytes]:
    """The bytes of the records of that id as they stand in the file, a line break between two."""
    data = trees.read_file(blobs, entry)
    try:
        [held] = Reader(bank.registry).held(entry.path, loads(data))
    except FlawedJSON as error:
        raise Damaged(f"{entry.path} has no records: {error}") from None
    places = zip(held.records, spans(data, held), strict=True)
    parts = [data[span.start : span.end] for one, span in places if one.id == wanted]
    if not parts:
        hint = did_you_mean(
            wanted, (one.id for one in held.records), f"memorybank snapshot find --id {shlex.quote(escape(wanted))}"
        )
        raise SnapshotNotFound(f"{entry.path} has no record '{escape(wanted)}'", path=entry.path, hint=hint)
    return [b"\n".join(parts)]


class StreamedArchive:
    """An archive that goes to stdout."""

    def __init__(self, bank: Bank, archive: Archive, findings: list[Finding]) -> None:
        self._bank, self._archive, self._findings = bank, archive, findings

    def pieces(self) -> Iterator[bytes]:
        """The archive's bytes, once; what was left out is said on stderr."""
        yield from self._archive.pieces()
        for one in self._findings:
            self._bank.context.progress.note(f"left out {one.path}: {one.message}")

    def exit_code(self) -> int:
        """1 when something was left out."""
        return 1 if self._findings else 0


@dataclass(frozen=True)
class Exported:
    """The archive that was made."""

    snapshot: str
    path: str
    files: int
    bytes: int
    archive_bytes: int
    findings: tuple[Finding, ...]

    def as_dict(self) -> dict[str, Any]:
        """The fields as JSON."""
        told = {name: getattr(self, name) for name in ("snapshot", "files", "bytes", "archive_bytes")}
        return {**told, "path": escape(self.path), "findings": [one.as_dict() for one in self.findings]}

    def exit_code(self) -> int:
        """1 when something was left out."""
        return 1 if self.findings else 0

    def summary(self) -> str:
        """How much went where."""
        what = f"{counted(self.files, 'file')}, {size(self.bytes)}"
        return f"Snapshot {self.snapshot}: {what} in {escape(self.path)} ({size(self.archive_bytes)})"


def export(
    bank: Bank,
    id: Annotated[str, "an id, a unique beginning of one, or latest"] = documents.LATEST,
    *,
    to: Annotated[str, Option("a new .tar, .tar.gz or .tar.zst; - writes a tar to stdout", metavar="FILE")],
    repo: RepoOption = None,
) -> Exported | StreamedArchive:
    """Write a snapshot as an archive.

    Any tar reads it. It holds each file at its last good version, and checksums that `sha256sum -c
    SHA256SUMS` proves. The same snapshot always gives the same bytes. The archive of an encrypted
    repository is not encrypted.

    Exit codes:
        0   written
        1   written without what cannot be read; the findings name it
        10  there is no such snapshot
        13  something stands at FILE already, or FILE lies inside the bank or the repository

    Examples:
        memorybank snapshot export --to bank.tar.zst
        memorybank snapshot export latest --to - | ssh backup 'cat > bank.tar'
    """
    if to == "-" and bank.context.json:
        raise UsageError("an archive on stdout leaves no room for JSON", hint="give --to FILE, or leave --json out")
    if to == "-" and bank.context.live:
        raise UsageError("an archive is nothing for a terminal", hint="give --to FILE, or send it into a pipe")
    packing = _packing(to)
    repository = bank.resources.enter_context(open_repository(bank, repo))
    if to != "-":
        check_outside(bank, to, repository)
    bank.resources.enter_context(repository.reading(bank.lock_timeout))
    document = to_look_at(bank, repository, id)
    findings: list[Finding] = []

    def lost(path: str, error: MemorybankError) -> None:
        findings.append(Finding("MB130", f"it cannot be read of the snapshot: {error.message}", path))

    archive = Archive(Blobs(repository), document, manifest_line, lost)
    if to == "-":
        return StreamedArchive(bank, archive, findings)
    with explained("cannot write the archive"):
        written = write_new(os.path.abspath(to), packed(archive.pieces(), packing))
    return Exported(document.id, os.path.abspath(to), archive.files, archive.bytes, written, tuple(findings))


def _packing(name: str) -> Packing:
    if name == "-":
        return ""
    suffix = next((one for one in sorted(SUFFIXES, key=len, reverse=True) if name.endswith(one)), None)
    if suffix is None:
        known = ", ".join(SUFFIXES)
        raise UsageError(f"the name of the archive says no form: {escape(name)}", hint=f"end it with {known}")
    return SUFFIXES[suffix]


def write_new(place: str, pieces: Iterator[bytes]) -> int:
    """Put the pieces at a free place, durably and as a whole; the size in bytes. Raises Refused, OSError."""
    directory, name = os.path.split(place)
    if os.path.lexists(place):
        raise _taken(place)
    root = Root(directory)
    try:
        temporary, target = f"{files.TEMPORARY}{secrets.token_hex(8)}", escape(name)
        try:
            files.replace(root, temporary, pieces)
            if not files.move_new(root, temporary, target):
                raise _taken(place)
            files.sync_paths(root, [target, ""])
        finally:
            files.remove(root, temporary)
        info = root.stat(target)
        return info.st_size if info else 0
    finally:
        root.close()


def _taken(place: str) -> Refused:
    return Refused(f"{escape(place)} is there already", hint="name a new file; nothing was changed", path=place)
