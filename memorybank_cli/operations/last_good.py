"""The last good version of a file that is damaged, gone, or cannot be read: the recorded one, else the newest kept."""

from __future__ import annotations

from functools import partial

from memorybank_cli.bank import layout, versions
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.examine import Examiner
from memorybank_cli.bank.rows import Expected, is_good
from memorybank_cli.base.strict_json import HARD_SIZE
from memorybank_cli.base.walk import Entry
from memorybank_cli.operations.repositories import Snapshots
from memorybank_cli.snapshots import trees
from memorybank_cli.snapshots.saving import Row
from memorybank_cli.snapshots.sealing import Damaged


class LastGood:
    """Finds last good versions as rows of a snapshot."""

    def __init__(self, bank: Bank, snapshots: Snapshots, examiner: Examiner) -> None:
        self._bank, self._snapshots, self._examiner = bank, snapshots, examiner

    def row(self, path: str, expected: Expected | None, there: Entry | Row | None) -> Row | None:
        """A row with the last good version and its records; None where none is kept. The file itself is not read.

        `expected` is what was recorded of the file. What stands there gives mode and time where nothing else does.
        """
        good = expected if expected is not None and expected.good else None
        saved = self._snapshots.version(path, good.sha, good.size) if good is not None else None
        saved = saved or next(self._snapshots.versions(path), None)
        mtime = saved[1].mtime_ns if saved else there.mtime_ns if there else 0
        if good is not None:
            kept = versions.find(self._bank.journal, path, good.sha, good.seq)
            if kept is not None:
                content, records = partial(bytes, kept), self._records(path, kept)
                return Row(path, good.mode, mtime, good.size, content, (good.sha,), records=records)
        if saved is not None:
            one = saved[1]
            return Row(path, one.mode, one.mtime_ns, one.size, None, one.good, records=self._records_of(one))
        older = self._older(path) if good is not None else None
        if good is None or older is None:
            return None
        mode, records = there.mode & 0o7777 if there else good.mode, self._records(path, older)
        return Row(path, mode, mtime, len(older), partial(bytes, older), records=records)

    def _older(self, path: str) -> bytes | None:
        """The newest good version that the journal still keeps of a file."""
        for line, row in versions.history(self._bank.journal, path):
            if row.after is not None and is_good(row.rules) and (data := versions.unpack(line).get(path)) is not None:
                return data
        return None

    def _records_of(self, entry: trees.FileEntry) -> int:
        """What is too large to be held in memory has none."""
        try:
            data = trees.read_file(self._snapshots.blobs, entry) if entry.size <= HARD_SIZE else b""
        except Damaged:
            return 0
        return self._records(entry.path, data)

    def _records(self, path: str, data: bytes) -> int:
        return self._examiner.memory(data, layout.place(path)).records
