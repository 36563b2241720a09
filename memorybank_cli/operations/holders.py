"""Which snapshots still hold what was forgotten: forgetting never writes to a repository."""

from __future__ import annotations

from contextlib import closing
from typing import NamedTuple

from memorybank_cli.bank import layout
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.forgetting import Traces
from memorybank_cli.operations.repositories import Snapshots
from memorybank_cli.snapshots import trees
from memorybank_cli.snapshots.blobs import Blobs
from memorybank_cli.snapshots.sealing import Damaged


class Holder(NamedTuple):
    """A snapshot that still holds it."""

    id: str
    time: str
    certain: bool = True
    """False where a part of the account cannot be read in it, so it may hold it."""


class Holders(NamedTuple):
    """The snapshots that still hold it, the oldest first, and why they could not be looked at, '' where they were."""

    snapshots: tuple[Holder, ...]
    trouble: str


def holders(bank: Bank, repo: str | None, traces: Traces) -> Holders:
    """Look for it in every snapshot of the bank. Each distinct directory and content is read once."""
    with closing(Snapshots(bank, repo, look=True, ask=True)) as snapshots:
        documents = sorted(snapshots.newest_first(), key=lambda one: one.order)
        if snapshots.repo is None:
            return Holders((), snapshots.trouble)
        look = _Look(snapshots.blobs, traces)
        bank.context.progress.start("looking into snapshots", len(documents))
        found = []
        for one in documents:
            bank.context.progress.advance(1)
            holds = look.holds(one.root)
            if holds is not False:
                found.append(Holder(one.id, one.time, holds is True))
        bank.context.progress.finish()
        return Holders(tuple(found), "")


class _Look:
    """One search under way. Its answers: True, False, and None where something cannot be read."""

    def __init__(self, blobs: Blobs, traces: Traces) -> None:
        self.blobs, self.traces = blobs, traces
        self._trees: dict[str, bool | None] = {}
        self._contents: dict[trees.Ids, bool | None] = {}

    def holds(self, root: str) -> bool | None:
        """Whether the snapshot with this root does."""
        answers = {self._section(root, layout.account_section(name)) for name in self.traces.subject.names}
        return True if True in answers else None if None in answers else False

    def _section(self, root: str, section: str) -> bool | None:
        try:
            found = trees.find(self.blobs, root, section)
        except Damaged:
            return None
        if not isinstance(found, trees.DirectoryEntry):
            return False
        if found.tree not in self._trees:
            self._trees[found.tree] = self._directory(found.tree)
        return self._trees[found.tree]

    def _directory(self, tree: str) -> bool | None:
        lost = False

        def damaged(_path: str, _error: Exception) -> None:
            nonlocal lost
            lost = True

        try:
            for entry in trees.files(self.blobs, tree, damaged):
                for ids in (entry.good, entry.found):
                    holds = ids and self._content(ids)
                    if holds:
                        return True
                    lost = lost or (holds is None and ids is not None)
        except Damaged:
            lost = True
        return None if lost else False

    def _content(self, ids: trees.Ids) -> bool | None:
        if self.traces.subject.whole:
            return True
        if ids not in self._contents:
            try:
                self._contents[ids] = self.traces.in_file(b"".join(map(self.blobs.get, ids)))
            except Damaged:
                self._contents[ids] = None
        return self._contents[ids]
