"""Accounts whose segments are small, what stands in them, and renderings that are killed on the way."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.accounts import history as history_module
from memorybank_cli.accounts import segments as segments_module
from memorybank_cli.accounts.messages import Message
from memorybank_cli.accounts.segments import parse_index, parse_segment
from memorybank_cli.bank import ledger as ledger_module
from memorybank_cli.bank import rendering
from memorybank_cli.bank.bank import Bank
from memorybank_cli.base import digests
from memorybank_cli.base.context import Context
from memorybank_cli.operations import messages as messages_module
from memorybank_cli.operations.init import init
from memorybank_cli.operations.messages import list_, store
from memorybank_cli.operations.opening import open_bank
from tests.operations.banks import contents, opened, rules

WHOLE, SHORT, MID = (f"account_a/{name}.json" for name in ("whole_history", "short_term", "mid_term"))
INDEX = "account_a/history/index.json"


def small_segments(patch: pytest.MonkeyPatch, most: int = 10, largest: int = 4_000) -> None:
    """Seal after a few messages, so that a history of many segments is quickly made."""
    for module in (segments_module, history_module):
        patch.setattr(module, "MOST", most)
        patch.setattr(module, "LARGEST", largest)
    patch.setattr(messages_module, "MOST", most)
    patch.setattr(ledger_module, "RENDERED_LINES", most)


def texts(*numbers: int) -> list[Message]:
    return [Message("user", f"text {number}", id=f"m{number}") for number in range(*numbers)]


def say(path: Path, *numbers: int) -> None:
    with opened(path) as bank:
        store(bank, "a", texts(*numbers))


def leave(bank: Bank) -> None:
    """End as after kill -9: nothing is rendered or closed in order."""
    bank.abandon()


@contextmanager
def unrecovered(path: Path) -> Iterator[None]:
    """Keep damaged files from being made again: while somebody holds the lock, readers go around them."""
    with opened(path) as holder, holder.locked():
        yield


def say_and_die(path: Path, *numbers: int) -> None:
    bank = open_bank(Context(bank=str(path)))
    store(bank, "a", texts(*numbers))
    leave(bank)


def ids(path: Path, **options: Any) -> list[str]:
    with opened(path) as bank:
        return [one["id"] for one in list_(bank, account="a", **options)]


def named(*numbers: int) -> list[str]:
    return [f"m{number}" for number in range(*numbers)]


def account_files(path: Path) -> dict[str, bytes]:
    return {name: data for name, data in contents(path).items() if name.startswith("account_a/")}


def segment(first: int) -> str:
    return f"account_a/history/{first:012d}.json"


def value(path: Path, name: str) -> Any:
    return json.loads((path / name).read_bytes())


def check(path: Path, expected: list[str]) -> None:
    """Head, index and segments hold exactly these messages in order, the windows are right, digests agree."""
    whole = value(path, WHOLE)
    found: list[dict[str, Any]] = []
    if whole["index"] is not None:
        index = (path / INDEX).read_bytes()
        assert digests.of(index) == whole["index"]
        for one in parse_index(index):
            listed, messages = parse_segment((path / segment(one.first)).read_bytes())
            assert listed == one
            found += messages
    assert whole["first"] == (len(found) + 1 if whole["messages"] else 0)
    found += whole["messages"]
    assert [one["id"] for one in found] == expected
    assert [one["seq"] for one in found] == list(range(1, len(found) + 1))
    assert whole["total"] == whole["status"]["message_count"] == len(found)
    assert value(path, SHORT)["messages"] == found[-50:]
    assert value(path, MID)["messages"] == found[-250:-50]
    assert rules(path) == {}


def adopted(path: Path, tmp_path: Path) -> Path:
    """A bank around the account's files: what they hold stands in no line of its journal."""
    target = tmp_path / "adopted"
    shutil.copytree(path, target, ignore=shutil.ignore_patterns(".memorybank", "bank.json"))
    init(Context(bank=str(target)))
    return target


class Killed(BaseException):
    """The process is gone."""


def dying_at(number: int) -> Any:
    """`rendering.put`, which is killed before it puts the file `number`; every file before it stands."""
    put, count = rendering.put, iter(range(10**6))

    def call(*arguments: Any) -> Any:
        if next(count) == number:
            raise Killed
        return put(*arguments)

    return call


def untold(append: Any) -> Any:
    """`Bank.append`, which is killed before it writes the line of a rendering."""

    def call(self: Bank, entries: list[Any]) -> Any:
        if [entry.op for entry in entries] == ["files.rendered"]:
            raise Killed
        return append(self, entries)

    return call


def killed(path: Path, step: int, *numbers: int) -> Bank:
    """Store messages and be killed before the file `step` of the rendering is put, or at last its line is written."""

    def die(bank: Bank) -> None:
        store(bank, "a", texts(*numbers))
        bank.render()

    bank = open_bank(Context(bank=str(path)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rendering, "put", dying_at(step))
        patch.setattr(Bank, "append", untold(Bank.append))
        with pytest.raises(Killed):
            die(bank)
    return bank


STEPS = range(9)  # two segments, index, head, three windows and account: eight files, then the line that tells of them
