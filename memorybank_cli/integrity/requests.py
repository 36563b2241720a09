"""Asking the watch that runs whether it has caught up: a request is a file, and its removal is the answer.

The files lie in a directory of their own below `.memorybank`, beside the lock of the watch that leads.
"""

from __future__ import annotations

import stat

from memorybank_cli.bank import layout
from memorybank_cli.base import files
from memorybank_cli.base.locks import Lock
from memorybank_cli.base.names import uuid7
from memorybank_cli.base.walk import Root

LOCK = f"{layout.WATCH}/lock"
_PREFIX = "ask-"
MOST = 1_000


def prepare(root: Root) -> None:
    """Make the directory of requests. Raises OSError."""
    files.make_dirs(root, layout.WATCH)


def ask(root: Root) -> str:
    """Put a request; its name. Raises OSError."""
    prepare(root)
    name = f"{_PREFIX}{uuid7()}"
    files.replace(root, f"{layout.WATCH}/{name}", b"", durable=False)
    return name


def is_watched(root: Root) -> bool:
    """Whether a watch that leads runs: it holds the lock."""
    lock = Lock(root, LOCK)
    try:
        if not lock.open(create=False):
            return False
        return not lock.try_once()
    except OSError:
        return False
    finally:
        lock.close()


def waiting(root: Root) -> list[str]:
    """The requests that wait for an answer, at most 1,000."""
    try:
        found = root.listing(layout.WATCH)
        return [one.name for one in found if one.name.startswith(_PREFIX) and stat.S_ISREG(one.mode)][:MOST]
    except OSError:
        return []  # of a directory that cannot be read, which its own check reports


def is_answered(root: Root, name: str) -> bool:
    """Whether a request was answered, or taken back."""
    return root.stat(f"{layout.WATCH}/{name}") is None


def answer(root: Root, name: str) -> None:
    """Answer a request, or take it back. Raises OSError."""
    files.remove(root, f"{layout.WATCH}/{name}")
