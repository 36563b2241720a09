"""What a rollback changes, record by record: shown before anybody is asked, and by a rehearsal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from memorybank_cli.bank import layout
from memorybank_cli.bank.examine import Examiner
from memorybank_cli.bank.rows import SOUND
from memorybank_cli.base import digests
from memorybank_cli.base.exact_json import FlawedJSON, dumps, loads
from memorybank_cli.meaning.differences import compare
from memorybank_cli.meaning.records import MESSAGE, Reader
from memorybank_cli.meaning.telling import FIELDS, told
from memorybank_cli.operations.rollback_plan import AccountState, Plan, Version, is_rendered
from memorybank_cli.snapshots.sealing import Damaged

MOST = 200
"""Changes that are told one by one."""
COMPARED = 64 << 20
"""Bytes of files that are read to find them."""
LARGEST = 8 << 20
"""Bytes of one file that is taken apart."""
SHORT = 400  # bytes of JSON of one value that is shown whole
_HISTORY = ("whole_history", "history_segment")
_Message = tuple[str, tuple[str, dict[str, Any]]]


class Changes:
    """The changes of one plan, as far as they are told one by one; `more` counts records or files beyond that."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.bank = plan, plan.bank
        self.reader = Reader(plan.bank.registry)
        self.found: list[dict[str, Any]] = []
        self.more = 0
        self._left = COMPARED
        self._find()

    def _find(self) -> None:
        then = {one.path: one for one in self.plan.restored}
        accounts: dict[str, list[str]] = {state.account: [] for state in self.plan.accounts}
        for path in sorted([*then, *self.plan.removed]):
            if is_rendered(path):
                accounts.setdefault(layout.account_of(path.partition("/")[0]), []).append(path)
            else:
                self._file(path, then.get(path))
        states = {state.account: state for state in self.plan.accounts}
        for account, paths in sorted(accounts.items()):
            self._account(account, paths, then, states.get(account))

    def _add(self, one: dict[str, Any]) -> None:
        if len(self.found) < MOST:
            self.found.append(one)
        else:
            self.more += 1

    # Files

    def _file(self, path: str, version: Version | None) -> None:
        info = self.bank.root.stat(path)
        size = (info.st_size if info else 0) + (version.size if version else 0)
        if len(self.found) >= MOST or size > self._left:
            self.more += 1
            return
        self._left -= size
        there = self.plan.before.get(path) is not None
        what = "changed" if there and version else "removed" if there else "added"
        found = [] if size > LARGEST else list(self._records(path, version))
        for one in found or [_file(path, what, self._damage(path) if there and size <= LARGEST else "")]:
            self._add(one)

    def _damage(self, path: str) -> str:
        """The rule that a file breaks now, '' for a sound one."""
        data = self.bank.root.content(path) or b""
        flaws = Examiner(self.bank.registry).memory(data, layout.place(path)).content
        return next((one.rule for one in flaws if one.rule not in SOUND), "")

    def _records(self, path: str, version: Version | None) -> Iterator[dict[str, Any]]:
        now = self.bank.root.content(path)
        try:
            then = None if version is None or version.read is None else b"".join(version.read())
        except Damaged:
            return
        for change in compare(self.reader, path, now, then).changes:
            yield _one(path, change.as_dict())

    # Accounts: a message moves from file to file as others come, so all of them together are compared

    def _account(self, account: str, paths: list[str], then: dict[str, Version], state: AccountState | None) -> None:
        before, after = dict(self._messages_now(paths, state)), dict(self._messages_then(paths, then, state))
        path = layout.account_file(account, "whole_history")
        count = len(self.found) + self.more
        for what, side, some, others in (("removed", "before", before, after), ("added", "after", after, before)):
            for name, (digest, value) in some.items():
                if others.get(name, ("", {}))[0] != digest:
                    change = {"what": what, "kind": MESSAGE, "id": name, "pointer": "", side: value}
                    self._add(_one(path, change))
        if count == len(self.found) + self.more:
            self._add(_file(path, "changed"))

    def _messages_now(self, paths: list[str], state: AccountState | None) -> Iterator[_Message]:
        differing = [path for path, sha in state.files.items() if self.plan.before.get(path) != sha] if state else []
        for path in {*paths, *differing}:
            if layout.place(path).kind in _HISTORY:
                yield from _messages(self.bank.root.content(path) or b"")

    def _messages_then(
        self, paths: list[str], then: dict[str, Version], state: AccountState | None
    ) -> Iterator[_Message]:
        for path in paths:
            version = then.get(path)
            if layout.place(path).kind in _HISTORY and version is not None and version.read is not None:
                yield from _messages(b"".join(version.read()))
        for one in state.make() if state else ():
            if one.kind in _HISTORY and self.plan.before.get(one.path) != state.files.get(one.path):  # type: ignore[union-attr]
                yield from _messages(one.data)


def _messages(data: bytes) -> Iterator[_Message]:
    """Id of each message of a head or a segment, its digest and how it begins; of one that is damaged nothing."""
    try:
        for one in loads(data)["messages"]:
            digest = digests.of(dumps({name: value for name, value in one.items() if name != "seq"}))
            yield str(one["id"]), (digest, {"role": one["role"], "content": one["content"][:SHORT]})
    except (FlawedJSON, KeyError, TypeError, AttributeError):
        return


def _file(path: str, what: str, damage: str = "") -> dict[str, Any]:
    """A file of which no records are told; `damaged_now` names the rule that it breaks."""
    found = {"path": path, "what": what, "kind": "file", "id": "", "pointer": "", "summary": "the file"}
    return {**found, "damaged_now": damage} if damage else found


def _one(path: str, change: dict[str, Any]) -> dict[str, Any]:
    """A change with its line for people, and without values that are too long to be looked at."""
    found = {"path": path, **change, "summary": told(change, with_what=False)}
    for name in ("before", "after"):
        if name in found and len(dumps(found[name])) > SHORT:
            del found[name]
    if "fields" in found:
        found["fields"] = [
            {name: value for name, value in one.items() if name in ("pointer", "what") or len(dumps(value)) <= SHORT}
            for one in found["fields"][:FIELDS]
        ]
    return found
