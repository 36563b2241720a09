"""Accounts under fire: a message, a batch, an overflow, a seal, a context, compaction, archive, rename, forgetting.

After each fault the account holds every acknowledged message once, in order, in files that agree; what was to be
forgotten stands there wholly or nowhere, and nowhere once the command was run again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import chain
from unittest import mock

from tests.faults.lab import Lab, Story

SECRET = "the word is swordfish"  # noqa: S105 - of nobody
SECRETS = frozenset({5, 1_005})
"""Messages that say it: one is sealed, one stands in the head."""
SHORT_SEGMENT = 300  # lines of a segment of the journal while an account is prepared
MANY = 1_010
ADD = ("message", "add", "--stdin", "--account", "a")


def line(number: int, secrets: Iterable[int] = ()) -> dict[str, str]:
    """One message, with a sentence of its own."""
    text = f"order {number} was filled at {number * 7} because the stop moved; what about order {number + 1}?"
    return {"role": "user", "id": f"m{number}", "content": SECRET if number in secrets else text}


def lines(first: int, last: int, secrets: Iterable[int] = ()) -> bytes:
    """Messages as `message add --stdin` takes them."""
    return b"".join(json.dumps(line(number, secrets)).encode() + b"\n" for number in range(first, last))


def named(first: int, last: int, without: Iterable[int] = ()) -> list[str]:
    """Their ids."""
    return [f"m{number}" for number in range(first, last) if number not in without]


def listed(lab: Lab, account: str = "a") -> list[str]:
    """The ids that `message list` gives."""
    text = lab.run("message", "list", "--account", account, "--json")
    return [json.loads(one)["id"] for one in text.splitlines()]


def accounts(lab: Lab) -> list[str]:
    """Their ids."""
    return [one["account"] for one in json.loads(lab.run("account", "list", "--json"))["accounts"]]


def add(lab: Lab, first: int, last: int, secrets: Iterable[int] = ()) -> int:
    """Store these; how many were not there already."""
    return int(json.loads(lab.run(*ADD, "--json", stdin=lines(first, last, secrets)))["added"])


def in_files(lab: Lab, account: str = "a") -> list[str]:
    """The ids in segments, archived or not, and head. The windows are their end, and no file of it is a finding."""
    place = lab.bank / f"account_{account}"
    sealed = [json.loads(data) for _, data in sorted(unpacked(lab, f"account_{account}/history/0*"))]
    head, short, mid = (
        json.loads((place / f"{name}.json").read_bytes()) for name in ("whole_history", "short_term", "mid_term")
    )
    ids = [one["id"] for one in chain.from_iterable(part["messages"] for part in (*sealed, head))]
    assert [one["id"] for one in short["messages"]] == ids[-50:]
    assert [one["id"] for one in mid["messages"]] == ids[-250:-50]
    found = json.loads(lab.run("validate", "--json", codes=(0, 1)))
    assert not [one for one in found["findings"] if one["path"].startswith("account_")], found["findings"]
    return ids


def unpacked(lab: Lab, pattern: str = "**/*") -> Iterator[tuple[str, bytes]]:
    """Files of the bank by name and content, as they are before they are packed."""
    import zstandard

    for path in lab.bank.glob(pattern):
        if path.is_file():
            data = path.read_bytes()
            if path.suffix == ".zst":
                data = zstandard.ZstdDecompressor().decompressobj().decompress(data)
            yield str(path.relative_to(lab.bank)), data


def told_by(lab: Lab) -> list[str]:
    """The files of the bank in which the secret stands."""
    return [name for name, data in unpacked(lab) if SECRET.encode() in data]


# How each begins, and what must hold after it


def _growing(name: str, before: int, after: int) -> Story:
    """An account that holds so many messages gets more in one batch: all of them or none."""

    def prepare(lab: Lab) -> None:
        lab.run("init", "--account", "a")
        add(lab, 0, before)

    def check(lab: Lab) -> None:
        assert listed(lab) in (named(0, before), named(0, after))
        add(lab, before, after)
        assert listed(lab) == in_files(lab) == named(0, after)
        assert not (lab.bank / ".memorybank/quarantine").exists()

    return Story(name, prepare, ADD, lines(before, after), check, lambda lab: listed(lab) == named(0, after))


def _talked(lab: Lab) -> None:
    lab.run("init", "--account", "a")
    add(lab, 0, 60)


def _has_summaries(lab: Lab) -> bool:
    return bool(json.loads((lab.bank / "account_a/history_context.json").read_bytes())["summaries"])


def _is_summarised(lab: Lab) -> None:
    lab.run("context", "refresh", "--account", "a")
    assert _has_summaries(lab)
    assert listed(lab) == in_files(lab) == named(0, 60)


def _long(lab: Lab) -> None:
    """Two accounts; of the one some messages are sealed, and the journal has several segments."""
    lab.run("init", "--account", "a", "--account", "b")
    lab.run("message", "add", "kept", "--account", "b", "--role", "user", "--id", "kept")
    with mock.patch("memorybank_cli.bank.journal.SEGMENT_LINES", SHORT_SEGMENT):
        for first in range(0, MANY, 202):
            add(lab, first, first + 202, SECRETS)
    assert len(list((lab.bank / ".memorybank/journal").iterdir())) > 2


def _old(lab: Lab) -> None:
    """As `_long`, and nothing of the journal is kept for undoing."""
    _long(lab)
    lab.env["MEMORYBANK_UNDO_BUDGET_MIB"] = "0"


def _holds_all(lab: Lab, account: str = "a") -> bool:
    return listed(lab, account) == in_files(lab, account) == named(0, MANY)


def _is_compact(lab: Lab) -> None:
    assert _holds_all(lab)
    lab.run("account", "compact")
    assert add(lab, 0, MANY, SECRETS) == 0, "what the journal has no data of any more was stored again"
    assert _holds_all(lab)


def _is_archived(lab: Lab) -> None:
    assert _holds_all(lab)
    lab.run("account", "archive", "a", "--keep-mib", "0")
    assert list((lab.bank / "account_a/history").glob("*.zst"))
    assert _holds_all(lab)
    lab.run("account", "archive", "a", "--undo")
    assert not list((lab.bank / "account_a/history").glob("*.zst"))
    assert _holds_all(lab)


def _is_renamed(lab: Lab) -> None:
    assert accounts(lab) in (["a", "b"], ["b", "c"])
    if "a" in accounts(lab):
        assert _holds_all(lab)
        lab.run("account", "rename", "a", "c")
    assert [path for path in lab.bank.glob("account_a/**/*") if path.is_file()] == []
    assert _holds_all(lab, "c")


FORGET_MESSAGES = ("message", "forget", *(f"m{number}" for number in sorted(SECRETS)), "--account", "a", "--yes")


def _are_forgotten(lab: Lab) -> bool:
    return listed(lab) == named(0, MANY, SECRETS) and not told_by(lab)


def _is_forgotten(lab: Lab) -> None:
    """The others stand there all the time, and these wholly or not at all."""
    assert listed(lab) in (named(0, MANY), named(0, MANY, SECRETS))
    lab.run(*FORGET_MESSAGES)
    assert told_by(lab) == []
    assert listed(lab) == in_files(lab) == named(0, MANY, SECRETS)
    add(lab, MANY, MANY + 1)
    assert listed(lab) == in_files(lab) == named(0, MANY + 1, SECRETS)


def _is_gone(lab: Lab) -> bool:
    return accounts(lab) == ["b"] and not told_by(lab)


def _is_no_more(lab: Lab) -> None:
    """The account stands there wholly or not at all, and the other one is not touched."""
    assert accounts(lab) in (["a", "b"], ["b"])
    if "a" in accounts(lab):
        assert _holds_all(lab)
    lab.run("account", "forget", "a", "--yes", codes=(0, 10))
    assert accounts(lab) == ["b"]
    assert told_by(lab) == []
    assert listed(lab, "b") == in_files(lab, "b") == ["kept"]


STORIES = (
    _growing("add", 1, 2),
    _growing("batch", 2, 40),
    _growing("overflow", 45, 300),
    _growing("seal", 990, 1_020),
    Story("context", _talked, ("context", "refresh", "--account", "a"), b"", _is_summarised, _has_summaries),
    Story("compact", _old, ("account", "compact"), b"", _is_compact, _holds_all),
    Story("archive", _long, ("account", "archive", "a", "--keep-mib", "0"), b"", _is_archived, _holds_all),
    Story("rename", _long, ("account", "rename", "a", "c"), b"", _is_renamed, lambda lab: _holds_all(lab, "c")),
    Story("forget_messages", _long, FORGET_MESSAGES, b"", _is_forgotten, _are_forgotten),
    Story("forget_account", _long, ("account", "forget", "a", "--yes"), b"", _is_no_more, _is_gone),
)
