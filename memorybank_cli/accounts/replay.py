"""The journal's lines that make up an account's history, past the parts that a rollback took back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from memorybank_cli.accounts.history import History, Message
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.framing import Line
from memorybank_cli.bank.layout import account_file
from memorybank_cli.base.errors import AccountDamaged
from memorybank_cli.base.exact_json import dumps

STORED = "record.stored"
CREATED = "account.created"
RESTORED = "restore.end"
_RESTORE = b'"op":"restore.end"'


def lines_about(bank: Bank, account: str, after: int, upto: int) -> Iterator[Line]:
    """Lines after `after`, up to `upto`, that change the account's history: made, stored, restored."""
    for line in bank.journal.lines(after, (b'"account":' + dumps(account), _RESTORE)):
        if line.seq > upto:
            return
        if line.op == RESTORED:
            if account in line.core.get("accounts", ()):
                yield line
        elif line.core.get("account") == account and (line.op == CREATED or is_message(line)):
            yield line


def is_message(line: Line) -> bool:
    """Whether a line stores a message whose content is still there."""
    return line.op == STORED and line.core.get("kind") == "message" and line.data is not None


def whole(bank: Bank, account: str, upto: int, edit: Edit | None = None) -> Iterator[Line]:
    """The lines that make up the account's whole history as of line `upto`, without what was taken back.

    With `edit` as they would be after it. Raises AccountDamaged where the journal does not hold it from the beginning.
    """
    course = course_of(bank, account, upto)
    if course is not None and edit is not None:
        course = course.after(upto, edit)
    begun = False
    for line in lines_about(bank, account, 0, upto) if course else ():
        if line.op == RESTORED or course is None or line.seq not in course:
            continue  # where a restore led stands in the course
        if not begun and line.op != CREATED:
            break
        begun = True
        yield line
    if not begun:
        raise not_whole(account)


class Edit(NamedTuple):
    """Lines of single messages that a restore put back among the others, and lines that it took out."""

    taken: frozenset[int]
    dropped: frozenset[int]


class _Level(NamedTuple):
    """Lines after `after` and up to `upto` count; of the earlier ones those that `edit` names are settled by it."""

    after: int
    upto: int
    edit: Edit


class Course:
    """Which lines of the journal make up a history: all but for those that restores took back."""

    def __init__(self, levels: Iterable[_Level]) -> None:
        self._levels = tuple(levels)

    def __contains__(self, seq: int) -> bool:
        for level in self._levels:
            if seq > level.after:
                return seq <= level.upto
            if seq in level.edit.taken or seq in level.edit.dropped:
                return seq in level.edit.taken
        return False

    def after(self, seq: int, edit: Edit) -> Course:
        """The course as it would be if a restore after line `seq` made an edit."""
        return Course((_Level(seq, seq, edit), *self._levels))


NO_EDIT = Edit(frozenset(), frozenset())


def course_of(bank: Bank, account: str, upto: int) -> Course | None:
    """The course of an account's history up to a line: a restore goes on from the line that it names.

    None where a restore on the way put something in place that no lines of the journal make up.
    """
    restores = [
        (line.seq, line.core)
        for line in bank.journal.lines(0, (_RESTORE,))
        if line.op == RESTORED and line.seq <= upto and account in line.core.get("accounts", ())
    ]
    levels = []
    for seq, core in reversed(restores):
        if seq > upto:
            continue  # it was itself taken back
        edit = _edit(core, account)
        if edit is None:
            return None
        levels.append(_Level(seq, upto, edit))
        upto = min(int(core["accounts"][account]), seq - 1)
    return Course([*levels, _Level(0, upto, NO_EDIT)])


def _edit(core: dict[str, Any], account: str) -> Edit | None:
    edits = core.get("edits")
    if not isinstance(edits, dict) or account not in edits:
        return NO_EDIT
    found = edits[account]
    if not isinstance(found, dict):
        return None
    lists = [found.get(name) for name in ("take", "drop")]
    if not all(isinstance(one, list) and all(type(seq) is int for seq in one) for one in lists):
        return None
    return Edit(*(frozenset(one or ()) for one in lists))


def follow(history: History, line: Line) -> None:
    """Lay one line over a history."""
    if line.op == CREATED:
        if not history.exists:
            history.created_at = history.last_update = str(line.core["ts"])
            history.seq = line.seq
    else:
        history.add(line.value, line.seq, str(line.core["ts"]))


def messages(bank: Bank, account: str, upto: int) -> Iterator[Message]:
    """Every message as of line `upto`, from the journal alone, with its position. Raises AccountDamaged."""
    position = 0
    for line in whole(bank, account, upto):
        if line.op != CREATED:
            position += 1
            yield {**line.value, "seq": position}


def not_whole(account: str, path: str = "") -> AccountDamaged:
    """What is raised where neither the files nor the journal give the history."""
    path = path or account_file(account, "whole_history")
    return AccountDamaged(
        f"{path} is damaged, and the journal does not hold all of it", path=path, hint=f"memorybank repair {path}"
    )
