"""Small banks and repositories for the tests of snapshots, and the golden repository."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from memorybank_cli.base import files
from memorybank_cli.snapshots import documents, keys, trees
from memorybank_cli.snapshots.blobs import Blobs
from memorybank_cli.snapshots.repository import Repository
from memorybank_cli.snapshots.saving import Folder, Item, Row, Saved, Totals, save

MTIME = 1_700_000_000_123_456_789


def meta(bank_id: str = "bank", **fields: Any) -> documents.Meta:
    return documents.Meta(bank_id, **{"time": "2026-11-20T14:00:00.000000Z", "host": "here", **fields})


def row(path: str, data: bytes, **fields: Any) -> Row:
    return Row(path, 0o640, MTIME, len(data), lambda: data, **fields)


def save_files(repo: Repository, contents: Mapping[str, bytes], **fields: Any) -> Saved:
    """A snapshot of these files."""
    return save_rows(repo, [row(path, data) for path, data in sorted(contents.items())], **fields)


def save_rows(repo: Repository, rows: Iterable[Item], **fields: Any) -> Saved:
    def describe(_totals: Totals) -> documents.Meta:
        return meta(**fields)

    return save(repo, rows, describe)


def read_back(repo: Repository, document: documents.Document) -> dict[str, bytes]:
    """Every file of a snapshot; raises at the first that cannot be read."""
    blobs = Blobs(repo)
    return {entry.path: trees.read_file(blobs, entry) for entry in trees.files(blobs, document.root)}


def on_disk(directory: Path) -> dict[str, bytes]:
    """Every regular file below a directory, by its path relative to it."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def packs_of(repo: Repository) -> list[Path]:
    """The pack files, sorted."""
    return sorted(path for path in (Path(repo.path) / "packs").rglob("*") if path.is_file())


def drop_index(repo: Repository) -> None:
    """Remove the cache, which may be done at any time."""
    for path in (Path(repo.path) / "index").iterdir():
        path.unlink()


class Faults:
    """Stands in for `os` in `base.files`: the n-th call that changes the disk fails, or the process is gone there."""

    CHANGING = frozenset(
        "write fsync fdatasync rename link unlink mkdir rmdir fchmod utime ftruncate posix_fallocate open".split()  # noqa: SIM905
    )

    def __init__(self, at: int, number: int | None, persistent: bool = False) -> None:
        self._at, self._number, self._persistent = at, number, persistent
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name not in self.CHANGING:
            return real

        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            if self.calls == self._at or (self._persistent and self.calls > self._at):
                self._fail()
            return real(*args, **kwargs)

        return call

    def _fail(self) -> NoReturn:
        if self._number is None:
            os._exit(137)
        raise OSError(self._number, os.strerror(self._number))


GOLDEN: dict[str, bytes] = {
    "README.md": b"# A bank\n",
    "account_a/whole_history.json": b'{"messages": [' + b'{"role": "user", "content": "again"}, ' * 120_000 + b"0]}\n",
    "docs/empty.md": b"",
    "docs/odd \\xff\\x0aname\\\\.md": b"odd\n",
    "metrics/metrics.json": b'{"sharpe": 1.5}\n',
    "trades/2026/t1.json": b'{"trade_id": "t1", "price": 100000000000000000000}\n',
    "trades/2026/t2.json": b'{"trade_id": "t2"}\n',
    "trades/damaged.json": b'{"trade_id": "never good"',
}
"""What the golden repository restores to, by escaped path; metrics were found damaged and have a good version."""


MANY: dict[str, bytes] = {**GOLDEN, **{f"trades/all/{n:03}.json": b'{"trade_id": %d}' % n for n in range(100)}}
"""What the later golden repositories restore to: one directory is cut into parts."""
PASSPHRASE = keys.Secret("passphrase", "correct horse, bätterie".encode())
RAW_KEY = keys.Secret("raw", bytes(range(32)))


def golden_rows(contents: Mapping[str, bytes]) -> Iterator[Row | Folder]:
    """The rows of a golden snapshot."""
    yield Folder("state", 0o750, MTIME)
    for path, data in sorted(contents.items()):
        if path == "trades/damaged.json":
            yield Row(path, 0o600, MTIME, len(data), found_content=lambda data=data: data, rule="MB103")  # type: ignore[misc]
        elif path == "metrics/metrics.json":
            yield row(path, data, found_content=lambda data=data: data + bytes(64), rule="MB102")
        else:
            yield row(path, data)


def make_golden(directory: Path, contents: Mapping[str, bytes] = GOLDEN, *, encrypted: bool = False) -> None:
    """Make a golden repository anew: only when a format is released, never to make a test pass."""
    with Repository.create(directory, reserve=0, secret=PASSPHRASE if encrypted else None) as repo:
        if repo.key is not None:
            keys.add(repo.backend, repo.repo_id, repo.key.master, RAW_KEY, "cron")
        rows = golden_rows(contents)
        save_rows(repo, rows, bank_id="0192f0c4-0000-7000-8000-000000000001", seq=7, tags=("golden",))
    files.remove(files.make_root(directory), "lock")
