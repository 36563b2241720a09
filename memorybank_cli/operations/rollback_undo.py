"""What the last rollback replaced, as something to go back to: exactly those bytes, where nothing was changed since."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

from memorybank_cli.bank import layout, versions
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.replacing import BEGIN, END, digest_there
from memorybank_cli.bank.rows import FileRow
from memorybank_cli.base import digests
from memorybank_cli.base.errors import NotFound
from memorybank_cli.base.records import Finding
from memorybank_cli.operations.contents import Contents, Found, Read, pieces
from memorybank_cli.operations.rollback_plan import LOST, AccountState, Told, Version
from memorybank_cli.operations.rollback_targets import StillForgotten
from memorybank_cli.snapshots import trees
from memorybank_cli.snapshots.sealing import Damaged

Wanted = Callable[[str], bool]


class Act(NamedTuple):
    """A rollback as the journal tells it."""

    id: str
    begin: int
    """The line that began it."""
    end: int
    time: str
    rows: list[FileRow]
    kept: dict[str, str]
    """Where bytes that stood there are, by path."""
    accounts: list[str]
    safety: str
    """The snapshot that was made before."""


def last_act(bank: Bank, reason: str) -> Act:
    """The newest act of a reason that was ended. Raises NotFound."""
    begins: dict[str, int] = {}
    act: Act | None = None
    for line in bank.journal.lines(0, (b'"op":"restore.',)):
        core = line.core
        if core.get("reason") != reason:
            continue
        if line.op == BEGIN:
            begins.setdefault(core["id"], line.seq)
        elif line.op == END:
            if act is None or act.id != core["id"]:
                accounts, begin = list(core.get("accounts", ())), begins.get(core["id"], line.seq)
                act = Act(core["id"], begin, line.seq, core["ts"], [], {}, accounts, str(core.get("safety", "")))
            act.rows.extend(FileRow(*row) for row in core["files"])
            act.kept.update(core.get("kept", {}))
    if act is None:
        raise NotFound("there is no rollback to undo", hint="memorybank log shows what happened")
    return act


class UndoTarget:
    """The state before a rollback, of the files that it replaced and that are as it left them."""

    def __init__(self, bank: Bank, contents: Contents, act: Act) -> None:
        self.bank, self.contents, self.act = bank, contents, act
        self.title = f"the state before the rollback of line {act.end} ({act.time})"
        self.findings: list[Finding] = []
        self.told: dict[str, Told] = {}
        self.unknown: list[str] = []
        self.left = self._left()
        """Paths that were changed since, or belong to an account that was."""
        self._still = StillForgotten(self, contents, act.begin - 1, act.time)
        self.forgotten = self._still.accounts
        self.only: set[str] | None = {row.path for row in act.rows} - self.left

    def _left(self) -> set[str]:
        changed = {row.path for row in self.act.rows if digest_there(self.bank, row.path) != row.after}
        accounts = {layout.account_of(path.partition("/")[0]) for path in changed} - {""}
        sections = {layout.account_section(account) for account in accounts}
        return changed | {row.path for row in self.act.rows if row.path.partition("/")[0] in sections}

    def versions(self, wanted: Wanted) -> Iterator[Version]:
        """What stood at each path, where something did."""
        modes = self._modes({row.path for row in self.act.rows if wanted(row.path)})
        for row in self.act.rows:
            if not wanted(row.path) or self._still.holds_back(row.path):
                continue
            kept = self._kept(row.path)
            if kept is not None:
                yield kept
            elif row.before is not None:
                found = self._found(row.path, row.before)
                mode, mtime = modes.get(row.path, (None, None))
                yield Version(row.path, row.before, 0, mode, mtime, None if found is None else found.read)

    def _kept(self, path: str) -> Version | None:
        """What is in quarantine since, if that is a file; what stood in the way of it was no version of it."""
        place = self.act.kept.get(path, "")
        info = self.bank.root.stat(place) if place and "-no-file-" not in place else None
        if info is None or not stat.S_ISREG(info.st_mode):
            return None
        read: Read = partial(pieces, self.bank, place)
        digest = digests.of_pieces(read())
        return Version(path, digest, info.st_size, info.st_mode & 0o777, info.st_mtime_ns, read)

    def _found(self, path: str, sha: str) -> Found | None:
        found = self.contents.find(path, sha, 0)
        if found is None:
            content = versions.find(self.bank.journal, path, sha)
            found = None if content is None else Found(lambda: iter((content,)), "journal")
        return found

    def _modes(self, paths: set[str]) -> dict[str, tuple[int, int]]:
        """Mode and time of change by path, as the snapshot before the rollback has them."""
        repository = self.contents.snapshots.repo
        if repository is None or not self.act.safety:
            return {}
        document = next((one for one in self.contents.snapshots.newest_first() if one.id == self.act.safety), None)
        if document is None:
            return {}
        try:
            entries = trees.files(self.contents.snapshots.blobs, document.root, lambda _path, _error: None)
            return {one.path: (one.mode, one.mtime_ns) for one in entries if one.path in paths}
        except Damaged:
            return {}

    def settled(self, misfits: list[Version]) -> Iterator[Version]:
        """Those whose bytes are still kept somewhere."""
        for one in misfits:
            if one.read is not None:
                yield one
                continue
            message = "what the rollback replaced is kept nowhere any more"
            self.findings.append(Finding(LOST, message, one.path, "memorybank snapshot list shows what there is"))

    def accounts(self, wanted: Wanted) -> list[AccountState]:
        """Those that forgot something since; the files of the others are among the versions."""
        return self._still.states(wanted)

    def lines(self, restored: list[Version], removed: list[str]) -> dict[str, int]:
        """The line before the rollback, for each account that it changed."""
        paths = {*(one.path for one in restored), *removed}
        heads = {name: layout.account_file(name, "whole_history") for name in self.act.accounts}
        return {name: self.act.begin - 1 for name, head in heads.items() if head in paths}

    def line_of(self, account: str) -> int | None:
        """The line before the rollback."""
        return self.act.begin - 1 if account in self.act.accounts else None

    def fields(self) -> dict[str, Any]:
        """Which rollback is undone."""
        return {"undoes": self.act.id, "line": self.act.begin - 1}
