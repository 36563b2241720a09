"""What the journal says last of an account's head, and what the line of its rendering remembers of the sealed part."""

from __future__ import annotations

from typing import Any, NamedTuple

from memorybank_cli.accounts.history import Capacity, capacity_of
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.catalog import FILE_OPS
from memorybank_cli.bank.following import RENDERED
from memorybank_cli.bank.layout import account_file
from memorybank_cli.base.exact_json import dumps

ARCHIVED = "archive"
"""The reason of acts that give sealed segments another form; no message comes or goes."""


class Base(NamedTuple):
    """What the line of a rendering remembers of the sealed part; see `History`."""

    line: int
    sealed: int
    digest: str
    created_at: str
    capacity: Capacity = Capacity()
    failing: bool = False
    gone: int = 0
    """Of the sealed positions those whose messages were forgotten."""

    def as_dict(self) -> dict[str, Any]:
        """As the line has it."""
        found = {**self._asdict(), "capacity": list(self.capacity)}
        return found if self.gone else {name: value for name, value in found.items() if name != "gone"}


class Record(NamedTuple):
    """What the journal says last of an account's head: its digest, in which line, and what it was made from."""

    sha: str
    seq: int
    after: int
    """The line from which on the journal is to be laid over the head."""
    base: Base | None
    rendered: bool
    """Whether it is a rendering of ours, so that its `seq` is a line of this journal."""
    proves: bool
    """Whether a history from the journal must give this very head: not where an older program rendered it."""
    newest_time: str | None = None
    """The latest time that a message had then, where the line says so."""

    @property
    def holds_from(self) -> int:
        """The line from which on the head is what was recorded."""
        return self.after if self.rendered else self.seq


def shown_by(bank: Bank, seq: int, account: str) -> int:
    """The line from which on the journal is to be laid over a head that line `seq` recorded."""
    core = _core(bank, seq)
    return _shown(seq, core, _whole_core(bank, seq, core), account)


def _shown(seq: int, core: dict[str, Any], whole: dict[str, Any], account: str) -> int:
    if core.get("op") == RENDERED:
        return int(core["upto"])
    shown = whole.get("shown")
    after = shown.get(account) if isinstance(shown, dict) else None
    return after if type(after) is int and 0 <= after < seq else seq


def record_of(bank: Bank, account: str, upto: int | None = None) -> Record | None:
    """What the journal says of an account's head, now or as of line `upto`; None where it says nothing."""
    path = account_file(account, "whole_history")
    if upto is None:
        expected = bank.catalog.row(path).expected
        sha, seq = (expected.sha, expected.seq) if expected else (None, 0)
    else:
        sha, seq = recorded_at(bank, path, upto)
    if sha is None:
        return None
    core = _core(bank, seq)
    whole, rendered = _whole_core(bank, seq, core), core.get("op") == RENDERED
    after, proves = _shown(seq, core, whole, account), not rendered or "base" in whole
    newest = whole.get("newest_time")
    newest = newest if isinstance(newest, str) else None
    return Record(sha, seq, after, _base(whole.get("base")), rendered, proves, newest)


def recorded_at(bank: Bank, path: str, upto: int) -> tuple[str | None, int]:
    """The digest that a file had by the journal's line `upto`, None for no file, and the line that says so."""
    found: tuple[str | None, int] = (None, 0)
    for line in bank.journal.lines(0, (dumps(path),)):
        if line.seq > upto:
            break
        for row in line.core.get("files", ()) if line.op in FILE_OPS else ():
            if row[0] == path:
                found = row[1], line.seq
    return found


def _whole_core(bank: Bank, seq: int, core: dict[str, Any]) -> dict[str, Any]:
    """The core of line `seq`, or of the first line of its act: there stand the fields of one that has several."""
    return _core(bank, seq - int(core["txn"][1])) if core.get("txn", [""])[0] else core


def _core(bank: Bank, seq: int) -> dict[str, Any]:
    line = next(bank.journal.lines(seq - 1), None)
    return line.core if line is not None and line.seq == seq else {}


def _base(value: Any) -> Base | None:
    if not isinstance(value, dict):
        return None
    parts: list[Any] = [value.get(name) for name in Base._fields[:4]]
    if [type(part) for part in parts] != [int, int, str, str]:
        return None
    capacity = capacity_of(value.get("capacity")) or Capacity()
    line, sealed, digest, created_at = parts
    gone = value.get("gone", 0)
    return Base(line, sealed, digest, created_at, capacity, value.get("failing") is True, gone or 0)
