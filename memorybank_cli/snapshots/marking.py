"""What the listed snapshots need: every tree and blob, each tree looked at once however many snapshots share it."""

from __future__ import annotations

from collections.abc import Iterable

from memorybank_cli.base.errors import Refused
from memorybank_cli.base.records import QUIET, Progress
from memorybank_cli.snapshots import trees
from memorybank_cli.snapshots.blobs import Blobs
from memorybank_cli.snapshots.documents import Document, Listing
from memorybank_cli.snapshots.sealing import Damaged


class Marks:
    """The ids that are needed; `lost` says for which snapshots that cannot be told, and why."""

    def __init__(self) -> None:
        self.trees: set[str] = set()
        """Trees and their parts."""
        self.files: set[str] = set()
        """Blobs of files, the damaged ones that stand beside good ones too."""
        self.lost: dict[str, str] = {}

    def add(self, blobs: Blobs, snapshots: Iterable[Document], progress: Progress = QUIET) -> None:
        """Mark what these need."""
        progress.start("looking what snapshots need")
        for document in snapshots:
            try:
                self._mark(blobs, document.root, progress)
            except Damaged as error:
                self.lost[document.id] = error.message
        progress.finish()

    def _mark(self, blobs: Blobs, root: str, progress: Progress) -> None:
        waiting = [root]
        while waiting:
            tree = waiting.pop()
            if tree in self.trees:
                continue
            level = trees.parse(blobs.get(tree))
            self.trees.add(tree)
            progress.advance()
            for entry in level.files:
                self.files.update(entry.good or ())
                self.files.update(entry.found or ())
            waiting += level.parts
            waiting += [inner.tree for inner in level.directories]


def of_listing(blobs: Blobs, found: Listing, progress: Progress = QUIET) -> Marks:
    """The marks of all listed snapshots. Raises Refused where they cannot be complete, for what is not marked goes."""
    marks = Marks()
    marks.add(blobs, found.documents, progress)
    unread = {finding.pointer.rpartition("/")[2]: finding.message for finding in found.findings}
    unread |= {name: f"snapshot {name} cannot be read whole: {why}" for name, why in marks.lost.items()}
    if unread:
        name, why = next(iter(unread.items()))
        more = f" (and {len(unread) - 1} more like it)" if len(unread) > 1 else ""
        raise Refused(
            f"{why}{more}; what it needs is not known, so nothing was removed",
            hint=f"memorybank backup may store it again; memorybank snapshot forget {name} puts it into the trash",
        )
    return marks
