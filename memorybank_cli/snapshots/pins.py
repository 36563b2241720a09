"""Pins: snapshots that nobody forgets; an empty file in the repository for each."""

from __future__ import annotations

from memorybank_cli.snapshots.repository import Repository

FOLDER = "pins"


def pinned(repo: Repository) -> frozenset[str]:
    """The ids of the snapshots that are pinned."""
    return frozenset(entry.name for entry in repo.backend.entries(FOLDER) if entry.regular)


def pin(repo: Repository, name: str) -> None:
    """Pin the snapshot of that id. Raises OSError."""
    repo.backend.put(f"{FOLDER}/{name}", b"")


def unpin(repo: Repository, name: str) -> None:
    """Take the pin away; none there is fine. Raises OSError."""
    repo.backend.remove(f"{FOLDER}/{name}")
