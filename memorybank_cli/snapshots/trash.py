"""The trash of a repository: what forget and prune took away stands here for a week, and can be brought back.

Each run has a bin, `trash/<UTC>/`, with `snapshots/` and `packs/` as they stood in the repository.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, cast

from memorybank_cli.base import clock
from memorybank_cli.snapshots.backends import Backend, Stored
from memorybank_cli.snapshots.documents import Document
from memorybank_cli.snapshots.repository import Repository, is_digest, pack_path
from memorybank_cli.snapshots.retention import JUMP

FOLDER = "trash"
GRACE = timedelta(days=7)
_FORM = "%Y%m%dT%H%M%SZ"


class Bin(NamedTuple):
    """What one run took away."""

    name: str
    snapshots: dict[str, int]
    """By id the bytes of the document."""
    packs: dict[str, Stored]

    @property
    def bytes(self) -> int:
        """What it occupies."""
        return sum(self.snapshots.values()) + sum(pack.size for pack in self.packs.values())

    @property
    def time(self) -> datetime | None:
        """When that was; None for a name that says nothing."""
        try:
            return datetime.strptime(self.name, _FORM).replace(tzinfo=UTC)
        except ValueError:
            return None

    @property
    def when(self) -> str | None:
        """The time as it is shown."""
        return clock.show(self.time) if self.time else None

    @property
    def until(self) -> str | None:
        """When the grace is over, as it is shown."""
        return clock.show(self.time + GRACE) if self.time else None

    def is_over(self, now: datetime) -> bool:
        """Whether its grace is over. An age of years is a clock that jumped: such a bin waits for `prune --now`."""
        return self.time is not None and GRACE < now - self.time <= JUMP

    def path(self, kind: str, name: str) -> str:
        """Where one thing stands in it: `packs` or `snapshots`."""
        inner = pack_path(name) if kind == "packs" else f"{kind}/{name}"
        return f"{FOLDER}/{self.name}/{inner}"


def bins(repo: Repository) -> list[Bin]:
    """Every bin, oldest first."""
    found = []
    for folder in repo.backend.entries(FOLDER):
        if folder.folder:
            place = f"{FOLDER}/{folder.name}"
            snapshots = {one.name: one.size for one in repo.backend.entries(f"{place}/snapshots") if one.regular}
            pairs = [one.name for one in repo.backend.entries(f"{place}/packs") if one.folder]
            packs = [
                one for pair in pairs for one in repo.backend.entries(f"{place}/packs/{pair}") if is_digest(one.name)
            ]
            found.append(Bin(folder.name, snapshots, {one.name: one for one in packs if one.regular}))
    return found


def new_bin(snapshots: Iterable[Document]) -> Bin:
    """An empty one for what is taken away now, or, by a clock that was set back, when the newest snapshot was made."""
    now = datetime.now(UTC)
    times = [moment for moment in map(_moment, snapshots) if moment is not None and now < moment <= now + JUMP]
    return Bin(max(times, default=now).strftime(_FORM), {}, {})


def _moment(snapshot: Document) -> datetime | None:
    try:
        return clock.parse(snapshot.time).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def throw(repo: Repository, target: Bin, kind: str, name: str) -> None:
    """Move a pack or a snapshot's document into a bin. Raises OSError."""
    source = pack_path(name) if kind == "packs" else f"{kind}/{name}"
    repo.backend.move(source, target.path(kind, name))


def take_back(repo: Repository, source: Bin, kind: str, name: str) -> None:
    """Move a pack or a snapshot's document out of a bin into its place. Raises OSError."""
    target = pack_path(name) if kind == "packs" else f"{kind}/{name}"
    repo.backend.move(source.path(kind, name), target)


def empty(repo: Repository, one: Bin) -> None:
    """Remove a bin for good. Raises OSError."""
    repo.backend.remove_folder(f"{FOLDER}/{one.name}")


def with_trash(repo: Repository, found: list[Bin]) -> Repository:
    """The repository as if the packs in these bins were in their places; only for reading."""
    packs = {pack.name: (one, pack) for one in found for pack in one.packs.values()}
    if not packs:
        return repo
    return Repository(cast("Backend", _Overlay(repo.backend, packs)), repo.repo_id, repo.seal, 0)


class _Overlay:
    """A backend that finds packs in the trash too; whatever else is asked goes to the one below."""

    def __init__(self, below: Backend, packs: dict[str, tuple[Bin, Stored]]) -> None:
        self._below = below
        self._places = {pack_path(name): one.path("packs", name) for name, (one, _) in packs.items()}
        self._listed: dict[str, dict[str, Stored]] = {"packs": {}}
        for name, (_, stored) in packs.items():
            folder = Stored(name[:2], 0, stored.mtime_ns, regular=False, folder=True)
            self._listed["packs"][name[:2]] = folder
            self._listed.setdefault(f"packs/{name[:2]}", {})[name] = stored

    def __getattr__(self, name: str) -> Any:
        return getattr(self._below, name)

    def _place(self, name: str) -> str:
        other = self._places.get(name)
        return name if other is None or self._below.size(name) is not None else other

    def entries(self, folder: str) -> list[Stored]:
        """What stands in a folder, or would if the packs were back."""
        there = {entry.name: entry for entry in self._below.entries(folder)}
        return sorted({**self._listed.get(folder, {}), **there}.values())

    def size(self, name: str) -> int | None:
        """The bytes of a file."""
        return self._below.size(self._place(name))

    def read(self, name: str, limit: int) -> bytes:
        """A whole file."""
        return self._below.read(self._place(name), limit)

    def read_part(self, name: str, offset: int, length: int) -> bytes:
        """A part of a file."""
        return self._below.read_part(self._place(name), offset, length)

    def digest(self, name: str) -> tuple[str, int]:
        """The SHA-256 and size of a file."""
        return self._below.digest(self._place(name))
