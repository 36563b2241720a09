"""The checksum manifest in the form of `sha256sum`, and checking files against one."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from memorybank_cli.bank.bank import Bank
from memorybank_cli.base import digests
from memorybank_cli.base.context import Context
from memorybank_cli.base.errors import UsageError, from_os_error
from memorybank_cli.base.names import escape, quoted, unescape
from memorybank_cli.base.records import Finding
from memorybank_cli.base.strict_json import HARD_SIZE
from memorybank_cli.base.walk import READ, open_regular
from memorybank_cli.base.words import counted
from memorybank_cli.base.workers import spread
from memorybank_cli.operations.options import Option, RepoOption
from memorybank_cli.operations.repositories import open_repository

_LINE = re.compile(rb"(\\?)([0-9a-f]{64}) [ *](.+)")
MANIFEST_LIMIT = 4 * HARD_SIZE


@dataclass(frozen=True)
class Manifest:
    """Digests by path; as text, what `sha256sum -c` reads in the bank's directory."""

    files: tuple[tuple[str, str], ...]

    def as_dict(self) -> dict[str, Any]:
        """Under `files`: path and sha256 of each."""
        return {"files": [{"path": path, "sha256": sha} for path, sha in self.files]}

    def text(self) -> bytes:
        """The lines, names as the system has them."""
        return b"".join(manifest_line(path, sha) for path, sha in self.files)


@dataclass(frozen=True)
class ManifestCheck:
    """What holding files against a manifest came to."""

    checked: int
    findings: tuple[Finding, ...]

    def as_dict(self) -> dict[str, Any]:
        """`ok`, how many, and what differs."""
        return {"ok": not self.findings, "checked": self.checked, "findings": [one.as_dict() for one in self.findings]}

    def exit_code(self) -> int:
        """1 when something differs."""
        return 1 if self.findings else 0

    def summary(self) -> str:
        """How many, how many not."""
        verdict = f"{len(self.findings)} differ" if self.findings else "all as the manifest says"
        return f"{counted(self.checked, 'file')} checked: {verdict}"


def manifest(
    bank: Bank,
    context: Context,
    *,
    check: Annotated[
        str | None, Option("hold the bank's files against this manifest; - reads stdin", metavar="FILE")
    ] = None,
    snapshot: Annotated[str | None, Option("the manifest of this snapshot", metavar="ID")] = None,
    repo: RepoOption = None,
) -> Manifest | ManifestCheck:
    """Write the checksums of all files, or check them.

    What is written says what every file should be, as the journal has it; `sha256sum -c` in the bank's
    directory reads it.

    Exit codes:
        0  written, or everything is as the manifest says
        1  --check found a difference

    Examples:
        memorybank manifest > bank.sha256
        memorybank manifest --check bank.sha256
    """
    if check is not None:
        with context.open_input(check) as file:
            wanted = parse(file.read(MANIFEST_LIMIT))
        return ManifestCheck(len(wanted), tuple(compare(bank.root.path, wanted)))
    if snapshot is not None:
        return Manifest(tuple(_of_snapshot(bank, snapshot, repo)))
    known = ((path, expected.sha) for path, expected in bank.catalog.all_expected())
    return Manifest(tuple((path, sha) for path, sha in known if not sha.startswith(digests.UNREAD)))


def _of_snapshot(bank: Bank, wanted: str, repo: str | None) -> Iterator[tuple[str, str]]:
    from memorybank_cli.operations.ownership import to_look_at
    from memorybank_cli.snapshots import trees
    from memorybank_cli.snapshots.blobs import Blobs

    with open_repository(bank, repo) as repository:
        blobs = Blobs(repository)
        for entry in trees.files(blobs, to_look_at(bank, repository, wanted).root):
            ids = entry.good or entry.found or ()
            yield entry.path, ids[0] if len(ids) == 1 else digests.of(trees.read_file(blobs, entry))


def manifest_line(path: str, sha: str) -> bytes:
    """One line; sha256sum marks a name with a backslash or a line break by a backslash in front."""
    name = os.fsencode(unescape(path))
    odd = name.translate(None, b"\\\n\r") != name
    if odd:
        name = name.replace(b"\\", b"\\\\").replace(b"\n", b"\\n").replace(b"\r", b"\\r")
    return (b"\\" if odd else b"") + sha.encode() + b"  " + name + b"\n"


def parse(text: bytes) -> list[tuple[str, str]]:
    """Escaped paths and digests of a manifest. Raises UsageError for a line that is none, or leads out of the bank."""
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        found = _LINE.fullmatch(line)
        if found is None:
            if not line.strip():
                continue
            raise UsageError(
                f"line {number} of the manifest is none", hint="a line is a SHA-256, two blanks and a path"
            )
        mark, sha, name = found.groups()
        if mark:
            name = re.sub(rb"\\([\\nr])", lambda m: {b"n": b"\n", b"r": b"\r"}.get(m[1], b"\\"), name)
        path = escape(os.fsdecode(name).removeprefix("./"))
        if path.startswith("/") or (".." in path and ".." in path.split("/")):
            raise UsageError(f"line {number} of the manifest leads out of the bank: {path}")
        rows.append((path, sha.decode()))
    return rows


def compare(root: str, wanted: list[tuple[str, str]]) -> list[Finding]:
    """Findings about files below `root` that are not as a manifest says; two processes where it is worth it."""

    def differing(part: list[tuple[str, str]]) -> list[tuple[str, str]]:
        return list(_differing(root, part))

    return [_finding(path, why) for path, why in spread(wanted, differing)]


def _differing(root: str, wanted: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    from memorybank_cli.base.walk import Root

    tree = Root(root)
    directory, fd = None, -1
    try:
        for path, sha in wanted:
            head, _, name = path.rpartition("/")
            if head != directory:
                directory, fd = head, _reopened(tree, head, fd)
            if fd < 0:
                yield path, "missing"
            elif not _is_small_and_right(name, fd, sha) and (why := _difference(name, fd, sha)):
                yield path, why
    finally:
        if fd >= 0:
            os.close(fd)
        tree.close()


def _reopened(tree: Any, directory: str, fd: int) -> int:
    if fd >= 0:
        os.close(fd)
    try:
        with tree.directory(directory) as found:
            return os.dup(found)
    except OSError:
        return -1


def _is_small_and_right(name: str, dir_fd: int, sha: str) -> bool:
    """Whether one read shows that a file has this digest; False says nothing yet.

    pread takes nothing out of a pipe, and a digest that fits needs no stat: together a fifth of the whole check.
    """
    try:
        fd = os.open(unescape(name), READ, dir_fd=dir_fd)
    except OSError:
        return False
    try:
        data = os.pread(fd, digests.CHUNK, 0)
    except OSError:
        return False
    finally:
        os.close(fd)
    return len(data) < digests.CHUNK and digests.of(data) == sha


def _difference(name: str, dir_fd: int, sha: str) -> str:
    try:
        fd = open_regular(unescape(name), dir_fd)
    except FileNotFoundError:
        return "missing"
    except OSError as error:
        return from_os_error(error).message
    try:
        return "" if digests.of_fd(fd)[0] == sha else "differs"
    finally:
        os.close(fd)


def _finding(path: str, why: str) -> Finding:
    if why == "missing":
        return Finding("MB111", "the manifest has it, the bank does not", path)
    if why == "differs":
        return Finding(
            "MB110", "the content is not what the manifest says", path, f"memorybank log --path {quoted(path)}"
        )
    return Finding("MB307", why, path)
