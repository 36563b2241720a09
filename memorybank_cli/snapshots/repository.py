"""The directory that keeps snapshots: its layout, its lock, its generation and its reserve.

What stands in packs, trees and documents is the business of the modules of those names.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

import orjson

from memorybank_cli.base import exact_json, files, locks
from memorybank_cli.base.errors import FormatMismatch, NotFound, OperationFailed, Refused, from_os_error
from memorybank_cli.base.names import escape, uuid7
from memorybank_cli.base.walk import Root
from memorybank_cli.snapshots.sealing import Plain, Seal

FORMAT = "mb-repo"
VERSION = 1
RESERVE_SIZE = 16 << 20
DIRECTORIES = ("packs", "snapshots", "index", "trash")
_OURS = {*DIRECTORIES, "config.json", "keys", "reserve", "lock", "generation"}
_SMALL = 1 << 16
_DIGEST = re.compile("[0-9a-f]{64}")
_PAIR = re.compile("[0-9a-f]{2}")
_READ_ONLY = {errno.EROFS, errno.EACCES, errno.EPERM}


class Repository:
    """An open repository; close it, or use it in a `with`."""

    def __init__(self, root: Root, repo_id: str, seal: Seal, reserve: int) -> None:
        self.root, self.repo_id, self.seal, self.reserve = root, repo_id, seal, reserve

    @classmethod
    def create(cls, path: str | os.PathLike[str], reserve: int = RESERVE_SIZE) -> Repository:
        """Make a repository at `path` (0700), or open the one that stands there.

        `reserve` is the size in bytes of the file that is given up when the disk is full, 0 for none.
        Raises Refused for a directory that holds anything else.
        """
        root = files.make_root(path)
        with explained("cannot make the repository"), _closing_on_error(root):
            strangers = {name for name in os.listdir(root.fd) if not name.startswith(files.TEMPORARY)} - _OURS
            if strangers and root.stat("config.json") is None:
                raise Refused(
                    f"{escape(root.path)} is not empty and no repository",
                    hint="give a new or empty directory with --repo",
                    path=root.path,
                )
            for directory in DIRECTORIES:
                files.make_dirs(root, directory)
            config = {"format": FORMAT, "version": VERSION, "repo_id": secrets.token_hex(16)}
            files.create(
                root, "config.json", orjson.dumps(config, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
            )
            return cls._opened(root, reserve)

    @classmethod
    def open(cls, path: str | os.PathLike[str], reserve: int = RESERVE_SIZE) -> Repository:
        """The repository at `path`. Raises NotFound where there is none, FormatMismatch for an unknown version."""
        if not os.path.isdir(path):
            raise NotFound(
                f"there is no repository at {escape(os.fspath(path))}",
                hint="memorybank backup makes one; --repo names one elsewhere",
                path=os.fspath(path),
            )
        root = Root(path)
        with explained("cannot open the repository"), _closing_on_error(root):
            return cls._opened(root, reserve)

    @classmethod
    def _opened(cls, root: Root, reserve: int) -> Repository:
        repo_id, seal = _read_config(root)
        return cls(root, repo_id, seal, reserve)

    @property
    def path(self) -> str:
        """Where it is."""
        return self.root.path

    def close(self) -> None:
        """Give the descriptor back; a second call does nothing."""
        self.root.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def adding(self, timeout: float = locks.DEFAULT_TIMEOUT) -> Iterator[None]:
        """The shared lock of a run that adds to the repository. Raises Locked."""
        with locks.hold(self.root, "lock", shared=True, timeout=timeout):
            yield

    @contextmanager
    def reading(self, timeout: float = locks.DEFAULT_TIMEOUT) -> Iterator[None]:
        """The shared lock where the place is writable; read-only media have nobody to wait for. Raises Locked."""
        lock = locks.hold(self.root, "lock", shared=True, timeout=timeout)
        try:
            lock.__enter__()
        except OSError as error:
            if error.errno not in _READ_ONLY:
                raise
            yield
            return
        try:
            yield
        finally:
            lock.__exit__(None, None, None)

    @contextmanager
    def alone(self, timeout: float = locks.DEFAULT_TIMEOUT) -> Iterator[None]:
        """The exclusive lock of a run that takes things away. Raises Locked."""
        with locks.hold(self.root, "lock", timeout=timeout):
            yield

    def generation(self) -> bytes:
        """A token that every prune changes; only good for comparing."""
        return self.root.read_if_there("generation", _SMALL) or b""

    def next_generation(self) -> None:
        """Make the token another one; to be called under `alone`."""
        files.replace(self.root, "generation", uuid7().encode() + b"\n")

    def packs(self) -> dict[str, int]:
        """Name and size in bytes of every regular file that is named like a pack and stands in its place."""
        found = {}
        for folder in self.root.listing("packs"):
            if stat.S_ISDIR(folder.mode) and _PAIR.fullmatch(folder.name):
                for entry in self.root.listing(f"packs/{folder.name}"):
                    if is_digest(entry.name) and entry.name[:2] == folder.name and stat.S_ISREG(entry.mode):
                        found[entry.name] = entry.size
        return found

    def strays(self) -> list[str]:
        """What stands below packs/ and is no pack: other names, links, special files."""
        packs, found = self.packs(), []
        for folder in self.root.listing("packs"):
            inner = self.root.listing(f"packs/{folder.name}") if stat.S_ISDIR(folder.mode) else []
            found += [f"packs/{folder.name}/{entry.name}" for entry in inner if entry.name not in packs]
            if not _PAIR.fullmatch(folder.name) or not stat.S_ISDIR(folder.mode):
                found.append(f"packs/{folder.name}")
        return found

    def keep_reserve(self) -> bool:
        """Have the reserve in place; says whether it is. A place that cannot hold it does without."""
        if not self.reserve:
            return False
        try:
            info = self.root.stat("reserve")
            if info is not None and info.st_size >= self.reserve:
                return True
            return files.allocate(self.root, "reserve", self.reserve)
        except OSError:
            return False

    def release_reserve(self) -> None:
        """Give the reserve up, so that a prune has room on a full disk."""
        files.remove(self.root, "reserve")


def is_digest(name: str) -> bool:
    """Whether `name` has the form of a SHA-256 in lower-case hexadecimal."""
    return _DIGEST.fullmatch(name) is not None


def pack_path(name: str) -> str:
    """Where a pack stands below the repository."""
    return f"packs/{name[:2]}/{name}"


def is_inside(path: str | os.PathLike[str], bank: str | os.PathLike[str]) -> bool:
    """Whether `path` (it may not exist yet) is the bank or lies below it, by whatever names and mounts."""
    place = os.path.realpath(path)
    inner = os.stat(bank)
    while True:
        try:
            here = os.stat(place)
        except OSError:
            here = None
        if here is not None and (here.st_dev, here.st_ino) == (inner.st_dev, inner.st_ino):
            return True
        above = os.path.dirname(place)
        if above == place:
            return False
        place = above


@contextmanager
def explained(doing: str) -> Iterator[None]:
    """Turns an OSError into an OperationFailed that says what was being done."""
    try:
        yield
    except OSError as error:
        raise from_os_error(error, doing) from error


@contextmanager
def _closing_on_error(root: Root) -> Iterator[None]:
    try:
        yield
    except BaseException:
        root.close()
        raise


def _read_config(root: Root) -> tuple[str, Seal]:
    place = escape(root.path)
    data = root.read_if_there("config.json", _SMALL)
    if data is None:
        raise NotFound(
            f"{place} is no repository: it has no config.json", hint="--repo names another place", path=root.path
        )
    try:
        config = exact_json.loads(data)
    except exact_json.FlawedJSON as error:
        raise OperationFailed(
            f"config.json of the repository {place} is damaged: {error}",
            hint='it holds {"format": "mb-repo", "version": 1, "repo_id": 32 hex digits}; write it anew',
            path=root.path,
        ) from None
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise OperationFailed(
            f"{place} is not a repository of memorybank", hint="--repo names another place", path=root.path
        )
    version, repo_id = config.get("version"), config.get("repo_id")
    if type(version) is not int or version != VERSION or "encryption" in config:
        raise FormatMismatch(
            f"the repository {place} has a format that this program does not know",
            hint="a newer memorybank wrote it; update memorybank",
            path=root.path,
        )
    if not isinstance(repo_id, str) or not re.fullmatch("[0-9a-f]{32}", repo_id):
        raise OperationFailed(
            f"config.json of the repository {place} is damaged: repo_id is not 32 hex digits",
            hint="restore config.json from a copy; unencrypted packs do not depend on it",
            path=root.path,
        )
    return repo_id, Plain()
