"""The journal's lines that make up an account's history, past the parts that a rollback took back."""

from __future__ import annotations

from collections.abc import Iterator

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


def whole(bank: Bank, account: str, upto: int) -> Iterator[Line]:
    """The lines that make up the account's whole history as of line `upto`, without what was taken back.

    Raises AccountDamaged where the journal does not hold it from the beginning.
    """
    begun = False
    for start, stop in _stretches(bank, account, upto):
        for line in lines_about(bank, account, start, stop):
            if line.op == RESTORED:
                continue  # where it led stands in the stretches
            if not begun and line.op != CREATED:
                break
            begun = True
            yield line
        if not begun:
            break
    if not begun:
        raise not_whole(account)


def _stretches(bank: Bank, account: str, upto: int) -> list[tuple[int, int]]:
    """Parts of the journal, each after a line and up to one: a restore goes on from the line that it names."""
    restores = [
        (line.seq, int(line.core["accounts"][account]))
        for line in bank.journal.lines(0, (_RESTORE,))
        if line.op == RESTORED and line.seq <= upto and account in line.core.get("accounts", ())
    ]
    found = []
    for seq, back_to in reversed(restores):
        if seq > upto:
            continue  # it was itself taken back
        found.append((seq, upto))
        upto = min(back_to, seq - 1)
    return [(0, upto), *reversed(found)]


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
