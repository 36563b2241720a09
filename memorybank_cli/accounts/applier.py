"""How stored messages become an account's files, and the gate that keeps a message from being stored twice."""

from __future__ import annotations

from typing import Any

from memorybank_cli.accounts.tiers import History, render
from memorybank_cli.bank.bank import Bank, Rendering
from memorybank_cli.bank.framing import Line
from memorybank_cli.bank.journal import Entry
from memorybank_cli.bank.layout import account_file, account_of
from memorybank_cli.base import digests
from memorybank_cli.base.errors import OperationFailed
from memorybank_cli.base.exact_json import FlawedJSON, loads

STORED = "record.stored"
CREATED = "account.created"
RESTORED = "restore.end"


class AccountApplier:
    """Accounts as an `Applier` of the bank."""

    ops = frozenset({STORED, CREATED})

    def admit(self, bank: Bank, entries: list[Entry]) -> list[Entry]:
        """Leave out messages that the account holds already, or that stand twice in the group."""
        histories: dict[str, History] = {}
        admitted = []
        for entry in entries:
            if entry.op != STORED or entry.fields.get("kind") != "message":
                admitted.append(entry)
                continue
            account = str(entry.fields["account"])
            if account not in histories:
                histories[account] = read_history(bank, account)
            known = histories[account].ids
            if entry.fields["record"] not in known:
                known.add(str(entry.fields["record"]))
                admitted.append(entry)
        return admitted

    def render(self, bank: Bank, account: str, upto: int) -> list[Rendering]:
        """The account's files as of journal line `upto`; none while its history cannot be had whole."""
        try:
            return render(read_history(bank, account, upto))
        except AccountDamaged as error:
            bank.context.progress.note(f"{error.message}; its files are left as they are")
            return []

    def is_rendering(self, bank: Bank, path: str, data: bytes) -> bool:
        """Whether bytes found at `path` are the rendering at the journal line that they name."""
        account = account_of(path.partition("/")[0])
        try:
            value = loads(data)
        except FlawedJSON:
            return False
        seq = value.get("seq", bank.end.seq) if isinstance(value, dict) else None
        if not account or not isinstance(seq, int):
            return False
        history = rebuild_history(bank, account, seq)
        return history is not None and any(one.path == path and one.data == data for one in render(history))


class AccountDamaged(OperationFailed):
    """An account's history cannot be had whole from its files and the journal as they are."""

    code = "account_damaged"


def read_history(bank: Bank, account: str, upto: int | None = None) -> History:
    """An account's messages: from its files where they can be relied on, then from the journal's later lines.

    Raises AccountDamaged where that does not give the whole history.
    """
    history = None
    if upto is None or upto >= bank.end.seq:
        base, start = _from_files(bank, account)
        history = _replay(bank, base, start, upto) if base is not None else None
    history = history or rebuild_history(bank, account, upto)
    if history is None:
        path = account_file(account, "whole_history")
        raise AccountDamaged(
            f"{path} is damaged, and the journal does not hold all of it", path=path, hint=f"memorybank repair {path}"
        )
    return history


def rebuild_history(bank: Bank, account: str, upto: int | None = None) -> History | None:
    """An account's messages from the journal alone, None where it does not hold them all."""
    history = _replay(bank, History(account), 0, upto)
    return history if history is not None and history.exists else None


def history_from(bank: Bank, account: str, whole: bytes, seq: int) -> History | None:
    """An account's messages from a version of its whole_history.json, recorded in line `seq`, and what came later."""
    try:
        value = loads(whole)
        history = _parse(account, value, str(value["messages"][0]["timestamp"]) if value["messages"] else "")
    except (FlawedJSON, KeyError, TypeError, IndexError):
        return None
    return _replay(bank, history, seq, None)


def _replay(bank: Bank, history: History, start: int, upto: int | None) -> History | None:
    """Lines after `start` laid over a history; None at a restore of files whose content the journal cannot give."""
    for line in bank.journal.lines(start):
        if upto is not None and line.seq > upto:
            break
        if line.op == RESTORED and history.account in line.core.get("accounts", {}):
            base = rebuild_history(bank, history.account, line.core["accounts"][history.account])
            if base is None:
                return None
            history.messages, history.ids = base.messages, base.ids
        elif line.core.get("account") == history.account:
            _apply(history, line)
    return history


def _apply(history: History, line: Line) -> None:
    if line.op == CREATED and not history.exists:
        history.created_at = history.last_update = str(line.core["ts"])
        history.seq = line.seq
    elif line.op == STORED and line.core.get("kind") == "message" and line.data is not None:
        history.add(line.value, line.seq, str(line.core["ts"]))


def _from_files(bank: Bank, account: str) -> tuple[History | None, int]:
    """The history as the account's files have it, and the journal line after which to go on; None for no use."""
    texts = [bank.root.read_if_there(account_file(account, kind)) for kind in ("whole_history", "account")]
    expected = bank.catalog.row(account_file(account, "whole_history")).expected
    if texts[0] is None or (expected is None and not bank.is_empty):
        return None, 0
    try:
        history = _parse(account, loads(texts[0]), loads(texts[1] or b"")["created_at"])
    except (FlawedJSON, KeyError, TypeError):
        return None, 0
    if expected is None:
        return history, 0  # there is no baseline yet: the files are all there is
    if digests.of(texts[0]) == expected.sha:
        return history, expected.seq
    return (history, history.seq) if _is_ours(bank, history, expected.seq) else (None, 0)


def _parse(account: str, whole: Any, created_at: str) -> History:
    history = History(account, created_at)
    history.messages = whole["messages"]
    history.ids = {message["id"] for message in history.messages}
    history.seq, history.last_update = whole["seq"], whole["status"]["last_update"]
    return history


def _is_ours(bank: Bank, history: History, rendered: int) -> bool:
    """Whether the files are a rendering whose line in the journal was lost with a crash: they hold what came since."""
    lines = [line for line in bank.journal.lines(rendered) if line.core.get("account") == history.account]
    since = [line.core["record"] for line in lines if line.op == STORED and line.seq <= history.seq]
    return bool(since) and [message["id"] for message in history.messages[-len(since) :]] == since
