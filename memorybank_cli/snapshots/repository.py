"""The directory that keeps snapshots: its layout, its lock, its generation and its reserve.

What stands in packs, trees and documents is the business of the modules of those names.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from types import TracebackType
from typing import Self

import orjson

from memorybank_cli.base import exact_json, locks
from memorybank_cli.base.errors import FormatMismatch, NotFound, OperationFailed, Refused, WrongKey, from_os_error
from memorybank_cli.base.names import escape, uuid7
from memorybank_cli.snapshots import keys
from memorybank_cli.snapshots.backends import LOCK, Backend, LocalBackend, Stored
from memorybank_cli.snapshots.sealing import Plain, Seal, Sealed

FORMAT = "mb-repo"
VERSION = 1
ENCRYPTION = "aes-256-gcm"
RESERVE_SIZE = 16 << 20
CONFIG = "config.json"
DIRECTORIES = ("packs", "snapshots", "index", "trash")
_OURS = {*DIRECTORIES, CONFIG, keys.FOLDER, "pins", "reserve", LOCK, "generation"}
_SMALL = 1 << 16
_DIGEST = re.compile("[0-9a-f]{64}")
_PAIR = re.compile("[0-9a-f]{2}")
FULL = {errno.ENOSPC, errno.EDQUOT}
MAKE_ROOM = "memorybank snapshot prune --now makes room where the repository is; nothing that was there is lost"
# Where these are the answer to taking the lock, one reads without it: read-only media, file systems without locks, and
# a full disk, of which one must be able to restore.
_NO_LOCK = {errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOLCK, errno.ENOTSUP, errno.ENOSPC, errno.EDQUOT}

Unlock = Callable[[Backend, str], keys.Unlocked]
"""Opens an encrypted repository, by its place and its id. Raises WrongKey."""


class Repository:
    """An open repository; close it, or use it in a `with`."""

    def __init__(
        self, backend: Backend, repo_id: str, seal: Seal, reserve: int, key: keys.Unlocked | None = None
    ) -> None:
        self.backend, self.repo_id, self.seal, self.reserve = backend, repo_id, seal, reserve
        self.key = key
        """What opened it where it is encrypted."""

    @classmethod
    def create(
        cls, path: str | os.PathLike[str], reserve: int = RESERVE_SIZE, *, secret: keys.Secret | None = None
    ) -> Repository:
        """Make a repository at `path` (0700), or open the one that stands there; with a secret it is encrypted.

        `reserve` is the size in bytes of the file that is given up when the disk is full, 0 for none.
        Raises Refused for a directory that holds anything else, or a repository that is not encrypted where a
        secret is given; OperationFailed for one that lost its config.json; WrongKey where one is encrypted and the
        secret does not open it.
        """
        backend = LocalBackend.create(path)
        with explained("cannot make the repository", MAKE_ROOM), _closing_on_error(backend):
            strangers = {entry.name for entry in backend.entries("")} - _OURS
            if strangers and backend.size(CONFIG) is None:
                raise Refused(
                    f"{escape(backend.place)} is not empty and no repository",
                    hint="give a new or empty directory with --repo",
                    path=backend.place,
                )
            backend.make_folders(DIRECTORIES)
            unlock = unlocking(secret) if secret else None
            if backend.size(CONFIG) is None:
                _check_nothing_lost(backend)
                unlock = _write_config(backend, secret) or unlock
            opened = cls._opened(backend, reserve, unlock)
            if secret is not None and not opened.encrypted:
                raise not_encrypted(backend.place)
            return opened

    @classmethod
    def open(
        cls, path: str | os.PathLike[str], reserve: int = RESERVE_SIZE, *, unlock: Unlock | None = None
    ) -> Repository:
        """The repository at `path`; `unlock` is asked where it is encrypted.

        Raises NotFound where there is none, FormatMismatch for an unknown version, WrongKey.
        """
        backend = _place(path)
        with explained("cannot open the repository"), _closing_on_error(backend):
            return cls._opened(backend, reserve, unlock)

    @classmethod
    def _opened(cls, backend: Backend, reserve: int, unlock: Unlock | None) -> Repository:
        repo_id, encrypted = _read_config(backend)
        if not encrypted:
            _check_no_keys(backend)
            return cls(backend, repo_id, Plain(), reserve)
        if unlock is None:
            raise WrongKey(
                f"the repository {escape(backend.place)} is encrypted and no key was given",
                hint="give --password-file FILE or --key-file FILE",
                path=backend.place,
            )
        key = unlock(backend, repo_id)
        return cls(backend, repo_id, Sealed(key.master, repo_id), reserve, key)

    @property
    def encrypted(self) -> bool:
        """Whether a key is needed to read it."""
        return self.key is not None

    @property
    def path(self) -> str:
        """Where it is."""
        return self.backend.place

    def close(self) -> None:
        """Give the descriptor back; a second call does nothing."""
        self.backend.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def adding(self, timeout: float = locks.DEFAULT_TIMEOUT) -> Iterator[None]:
        """The shared lock of a run that adds to the repository. Raises Locked."""
        with self.backend.lock(shared=True, timeout=timeout):
            yield

    @contextmanager
    def reading(self, timeout: float = locks.DEFAULT_TIMEOUT) -> Iterator[None]:
        """The shared lock where there can be one; read-only media have nobody to wait for. Raises Locked."""
        lock = self.backend.lock(shared=True, timeout=timeout)
        try:
            lock.__enter__()
        except OSError as error:
            if error.errno not in _NO_LOCK:
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
        with self.backend.lock(shared=False, timeout=timeout):
            yield

    def generation(self) -> bytes:
        """A token that every prune changes; only good for comparing."""
        try:
            return self.backend.read("generation", _SMALL)
        except FileNotFoundError:
            return b""

    def next_generation(self) -> None:
        """Make the token another one; to be called under `alone`."""
        self.backend.put("generation", uuid7().encode() + b"\n")

    def packs(self) -> dict[str, int]:
        """Name and size in bytes of every regular file that is named like a pack and stands in its place."""
        return {name: entry.size for name, entry in self.stored_packs().items()}

    def stored_packs(self) -> dict[str, Stored]:
        """What the place says of each of them."""
        found = {}
        for folder in self.backend.entries("packs"):
            if folder.folder and _PAIR.fullmatch(folder.name):
                for entry in self.backend.entries(f"packs/{folder.name}"):
                    if is_digest(entry.name) and entry.name[:2] == folder.name and entry.regular:
                        found[entry.name] = entry
        return found

    def strays(self) -> list[str]:
        """What stands below packs/ and is no pack: other names, links, special files."""
        packs, found = self.packs(), []
        for folder in self.backend.entries("packs"):
            inner = self.backend.entries(f"packs/{folder.name}") if folder.folder else []
            found += [f"packs/{folder.name}/{entry.name}" for entry in inner if entry.name not in packs]
            if not _PAIR.fullmatch(folder.name) or not folder.folder:
                found.append(f"packs/{folder.name}")
        return found

    def keep_reserve(self) -> bool:
        """Have the reserve in place; says whether it is. A place that cannot hold it does without."""
        if not self.reserve:
            return False
        try:
            return self.backend.allocate("reserve", self.reserve)
        except OSError:
            return False

    def release_reserve(self) -> None:
        """Give the reserve up, so that a prune has room on a full disk."""
        self.backend.remove("reserve")


def is_digest(name: str) -> bool:
    """Whether `name` has the form of a SHA-256 in lower-case hexadecimal."""
    return _DIGEST.fullmatch(name) is not None


def pack_path(name: str) -> str:
    """Where a pack stands below the repository."""
    return f"packs/{name[:2]}/{name}"


def _place(path: str | os.PathLike[str]) -> Backend:
    if not os.path.isdir(path):
        raise NotFound(
            f"there is no repository at {escape(os.fspath(path))}",
            hint="memorybank backup makes one; --repo names one elsewhere",
            path=os.fspath(path),
        )
    return LocalBackend(path)


def keys_at(path: str | os.PathLike[str]) -> list[keys.Key] | None:
    """The keys of the repository at `path`, without opening it; None for one that is not encrypted. Raises NotFound."""
    backend = _place(path)
    with explained("cannot read the keys of the repository"), closing(backend):
        return keys.listing(backend) if _read_config(backend)[1] else None


def stands_at(path: str | os.PathLike[str]) -> bool:
    """Whether a repository was begun at `path`: there is a config.json, good or not, or one may not look for it."""
    try:
        os.lstat(os.path.join(path, CONFIG))
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return os.path.isdir(path)
    return True


def unlocking(secret: keys.Secret) -> Unlock:
    """Opens with this secret."""
    return lambda backend, repo_id: keys.unlock(backend, repo_id, secret)


def not_encrypted(place: str) -> Refused:
    """The error of asking for encryption where a repository stands that has none."""
    return Refused(
        f"the repository {escape(place)} is not encrypted, and cannot become so",
        hint="name a new directory with --repo for an encrypted one; what stands in this one anybody can read",
        path=place,
    )


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
def explained(doing: str, when_full: str = "") -> Iterator[None]:
    """Turns an OSError into an OperationFailed that says what was being done, and on a full disk `when_full`."""
    try:
        yield
    except OSError as error:
        explanation = from_os_error(error, doing)
        if when_full and error.errno in FULL:
            explanation.hint = when_full
        raise explanation from error


@contextmanager
def _closing_on_error(backend: Backend) -> Iterator[None]:
    try:
        yield
    except BaseException:
        backend.close()
        raise


def _check_nothing_lost(backend: Backend) -> None:
    """Raise where a config.json made anew would put a repository's id and keys out of force."""
    if backend.entries("snapshots") or backend.entries("packs"):
        place = escape(backend.place)
        raise OperationFailed(
            f"the repository {place} has lost its {CONFIG}; nothing was written",
            hint=f"bring {CONFIG} back from a copy (of an encrypted repository each file in keys/ has the repo_id), or "
            "name a new directory with --repo",
            path=backend.place,
        )


def _check_no_keys(backend: Backend) -> None:
    """Raise where somebody made an encrypted repository look like one that is not: it would be read and written so."""
    if keys.listing(backend):
        raise OperationFailed(
            f"{CONFIG} of the repository {escape(backend.place)} does not say that it is encrypted, and there are keys",
            hint=f'if you did not do that, somebody else did; "encryption": "{ENCRYPTION}" belongs into {CONFIG}',
            path=backend.place,
        )


def _write_config(backend: Backend, secret: keys.Secret | None) -> Unlock | None:
    """Make it a repository; how to open it without deriving a key again, None where another process was first."""
    config = {"format": FORMAT, "version": VERSION, "repo_id": secrets.token_hex(16)}
    key: keys.Unlocked | None = None
    if secret is not None:  # the key comes first: with the config the repository is there, and must open
        config["encryption"] = ENCRYPTION
        master = keys.new_master()
        key = keys.Unlocked(keys.add(backend, str(config["repo_id"]), master, secret), master)
    ours = backend.put_new(CONFIG, orjson.dumps(config, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    return (lambda _backend, _repo_id: key) if ours and key is not None else None


def _read_config(backend: Backend) -> tuple[str, bool]:
    """The repository's id, and whether it is encrypted."""
    place = escape(backend.place)
    try:
        data = backend.read(CONFIG, _SMALL)
    except FileNotFoundError:
        raise NotFound(
            f"{place} is no repository: it has no {CONFIG}", hint="--repo names another place", path=backend.place
        ) from None
    try:
        config = exact_json.loads(data)
    except exact_json.FlawedJSON as error:
        raise OperationFailed(
            f"config.json of the repository {place} is damaged: {error}",
            hint='it holds {"format": "mb-repo", "version": 1, "repo_id": 32 hex digits}; write it anew. If there are '
            'files in keys/, repo_id is the one in them, and "encryption": "aes-256-gcm" belongs to it',
            path=backend.place,
        ) from None
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise OperationFailed(
            f"{place} is not a repository of memorybank", hint="--repo names another place", path=backend.place
        )
    version, repo_id = config.get("version"), config.get("repo_id")
    if type(version) is not int or version != VERSION or config.get("encryption", ENCRYPTION) != ENCRYPTION:
        raise FormatMismatch(
            f"the repository {place} has a format that this program does not know",
            hint="a newer memorybank wrote it; update memorybank",
            path=backend.place,
        )
    if not isinstance(repo_id, str) or not re.fullmatch("[0-9a-f]{32}", repo_id):
        raise OperationFailed(
            f"config.json of the repository {place} is damaged: repo_id is not 32 hex digits",
            hint="bring config.json back from a copy; of an encrypted repository each file in keys/ has the repo_id",
            path=backend.place,
        )
    return repo_id, "encryption" in config
