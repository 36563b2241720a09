"""What a bank holds already, as an import asks for it: files, messages, refused bytes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from hashlib import sha256

from memorybank_cli.bank import layout
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.journal import Entry
from memorybank_cli.base import clock, digests, files
from memorybank_cli.base.walk import Root


class Once:
    """Leaves out messages that a bank holds, or that were given already."""

    def __init__(self, bank: Bank | None) -> None:
        self.bank = bank
        self.fresh: set[str] = set()
        """Accounts that do not exist yet: nothing can be twice in them but what is given."""
        self._given: set[int] = set()

    def new(self, entries: list[Entry]) -> list[Entry]:
        """Those that are new. Hashes are remembered, of 64 bits: a million messages cost little."""
        first = [entry for entry in entries if self._is_first(entry)]
        if self.bank is None:
            return first
        known = [entry for entry in first if entry.fields["account"] not in self.fresh]
        if not known:
            return first
        others = [entry for entry in first if entry.fields["account"] in self.fresh]
        return others + self.bank.admitted(known)

    def _is_first(self, entry: Entry) -> bool:
        mark = hash((entry.fields["account"], entry.fields["record"]))
        if mark in self._given:
            return False
        self._given.add(mark)
        return True


class There:
    """What stands in a tree, one directory after the other."""

    def __init__(self, root: Root) -> None:
        self.root = root
        self._directory: str | None = None
        self._names: frozenset[str] | None = frozenset()

    def digest(self, path: str) -> str | None:
        """The digest of the file at a path, None for a free one; '' for anything else, or a file above it."""
        directory, _, name = path.rpartition("/")
        if directory != self._directory:
            self._directory, self._names = directory, self._listed(directory)
        if self._names is None:
            return ""
        if name not in self._names:
            return None
        try:
            fd = self.root.open(path)
        except OSError:
            return ""
        try:
            return digests.of_fd(fd)[0]
        finally:
            os.close(fd)

    def _listed(self, directory: str) -> frozenset[str] | None:
        """The names in a directory, none for one that can be made; None where something else stands."""
        head = directory
        while head and self.root.stat(head) is None:
            head = head.rpartition("/")[0]
        if not self.root.is_dir(head):
            return None
        return frozenset(entry.name for entry in self.root.listing(directory)) if head == directory else frozenset()


class Kept:
    """Refused bytes in quarantine, each once; there may be very many, so they become durable together."""

    def __init__(self, bank: Bank) -> None:
        self._bank = bank
        self._places: dict[str, str] = {}
        self._stage = f"{layout.SCRATCH}/refused"
        self.fresh = 0
        """How many are there now that were not there before."""

    def put(self, pieces: Iterable[bytes]) -> str:
        """Keep bytes; where they are."""
        root, digest = self._bank.root, sha256()
        if not self._places:
            files.make_dirs(root, layout.SCRATCH)
            files.make_dirs(root, layout.QUARANTINE)
            found = (f"{layout.QUARANTINE}/{one.name}" for one in root.listing(layout.QUARANTINE))
            self._places = {place[-16:]: place for place in found}

        def read() -> Iterator[bytes]:
            for piece in pieces:
                digest.update(piece)
                yield piece

        files.replace(root, self._stage, read(), durable=False)
        place = layout.quarantine_file(clock.now(), digest.hexdigest())
        if known := self._places.get(place[-16:]):
            files.remove(root, self._stage)
            return known
        files.rename(root, self._stage, place, durable=False)
        self._places[place[-16:]] = place
        self.fresh += 1
        return place

    def finish(self) -> None:
        """Make what was kept durable."""
        if self.fresh:
            files.sync_all(self._bank.root)
