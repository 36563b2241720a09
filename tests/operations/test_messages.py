"""Messages: durable when the command returns, stored once, all or nothing, and read back by every filter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.accounts.messages import Message
from memorybank_cli.bank.gates import LARGEST_ENTRY
from memorybank_cli.bank.schemas import Registry
from memorybank_cli.base.context import Context
from memorybank_cli.base.errors import AccountNotFound, Refused, UsageError
from memorybank_cli.operations.accounts import create
from memorybank_cli.operations.messages import add, list_, store
from tests.conftest import MakeBank, Run
from tests.operations.banks import contents, journal, opened, rules
from tests.operations.here import run

__all__ = ("run",)  # a fixture

BIG = 10**77 + 1


@pytest.fixture
def path(make_bank: MakeBank) -> Path:
    made = make_bank(0, padded=False)
    with opened(made) as bank:
        create(bank, "a")
    return made


def stored(path: Path, *messages: Message) -> tuple[int, int]:
    with opened(path) as bank:
        done = store(bank, "a", list(messages))
    return done.added, done.duplicates


def tier(path: Path, name: str) -> Any:
    return json.loads((path / f"account_a/{name}.json").read_bytes())


def listed(path: Path, **options: Any) -> list[str]:
    with opened(path) as bank:
        return [one["content"] for one in list_(bank, account="a", **options)]


def test_one_message(run: Run, path: Path) -> None:
    done = run("message", "add", "hello", "--account", "a", "--role", "user", "--bank", path, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    told = {"added": 1, "duplicates": 0, "moved_to_mid_term": 0, "context_refreshed": False, "account": "a", "total": 1}
    [line] = run("message", "list", "--account", "a", "--bank", path, "--json").lines
    assert done.json == {**told, "ids": [line["id"]], "duplicate_ids": []}
    assert set(line) == {"type", "id", "seq", "role", "content", "timestamp", "metadata"}
    assert (line["type"], line["seq"], line["role"], line["content"], line["metadata"]) == (
        "message",
        1,
        "user",
        "hello",
        {},
    )
    assert tier(path, "short_term")["messages"] == [{name: line[name] for name in line if name != "type"}]
    assert (
        "1 added; a holds 2 messages."
        in run("message", "add", "-", "--account", "a", "--role", "tool", "--bank", path, stdin="ä\n".encode()).stdout
    )
    assert listed(path) == ["hello", "ä\n"]
    people = run("message", "list", "--account", "a", "--bank", path).stdout
    assert f"{line['timestamp']} user: hello\n" in people


def test_the_same_id_is_stored_once(run: Run, path: Path) -> None:
    arguments = ("message", "add", "hello", "--account", "a", "--role", "user", "--id", "m1", "--bank", path)
    assert run(*arguments, "--json").json["added"] == 1
    again = run(*arguments, "--json")
    assert (again.returncode, again.json["added"], again.json["duplicates"], again.json["total"]) == (0, 0, 1, 1)
    assert "0 added, 1 already there" in run(*arguments).stdout
    assert [core["op"] for core in journal(path)].count("record.stored") == 1


def test_the_same_words_at_the_same_time_are_stored_once(path: Path) -> None:
    moment = "2026-11-20T15:00:00+01:00"
    assert stored(path, Message("user", "hello", timestamp=moment)) == (1, 0)
    assert stored(path, Message("user", "hello", timestamp="2026-11-20T14:00:00Z")) == (0, 1)
    assert stored(path, Message("user", "hello", timestamp="2026-11-20T14:00:01Z")) == (1, 0)
    assert stored(path, Message("tool", "hello", timestamp=moment)) == (1, 0)
    assert stored(path, Message("user", "hello"), Message("user", "hello")) == (2, 0)


def test_duplicates_within_a_batch(path: Path) -> None:
    one = Message("user", "one", id="m1")
    assert stored(path, one, one, Message("user", "two", id="m2"), one) == (2, 2)
    assert [message["id"] for message in tier(path, "whole_history")["messages"]] == ["m1", "m2"]


def test_the_same_id_in_another_account_is_another_message(path: Path) -> None:
    assert stored(path, Message("user", "one", id="m1")) == (1, 0)
    with opened(path) as bank:
        create(bank, "b")
        assert store(bank, "b", [Message("user", "one", id="m1")]).added == 1


# Batches


def lines(*values: Any) -> bytes:
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


def test_a_batch_is_one_durable_group(run: Run, path: Path) -> None:
    data = lines(*({"role": "user", "content": f"text {number}"} for number in range(300))) + b"\n  \n"
    done = run("message", "add", "--stdin", "--account", "a", "--bank", path, "--json", stdin=data)
    assert (done.returncode, done.json["added"], done.json["moved_to_mid_term"]) == (0, 300, 250)
    cores = [core for core in journal(path) if core["op"] == "record.stored"]
    assert len({core["txn"][0] for core in cores}) == 1
    assert [core["txn"][1:] for core in cores] == [[number, 300] for number in range(300)]
    registry = Registry()
    sizes = {"short_term": 50, "mid_term": 200, "whole_history": 300}
    for name, size in sizes.items():
        value = tier(path, name)
        assert registry.misfits(name, value, 5) == []
        assert len(value["messages"]) == value["status"]["message_count"] == size
    assert [one["seq"] for one in tier(path, "mid_term")["messages"]] == list(range(51, 251))
    assert rules(path) == {}
    more = run("message", "add", "--stdin", "--account", "a", "--bank", path, "--json", stdin=data[: data.index(b"\n")])
    assert (more.json["added"], more.json["moved_to_mid_term"], more.json["total"]) == (1, 1, 301)


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (b"{", "line 3 is no JSON"),
        (b"[]", "line 3 is no JSON object"),
        (b'{"content": "x"}', "line 3 has no role"),
        (b'{"role": "user", "content": 1}', "line 3: 'content' must be a text"),
        (b'{"role": "user", "content": "x", "timestamp": "soon"}', "line 3: 'soon' is not a time"),
        (b'{"role": "user", "content": "\xff"}', "line 3 is no JSON"),
        (b'{"role": "user", "role": "tool", "content": "x"}', "line 3 is no JSON"),
    ],
)
def test_a_bad_line_stores_nothing(run: Run, path: Path, bad: bytes, says: str) -> None:
    before = contents(path, private=True)[".memorybank/journal/000000000001.jsonl"]
    good = lines({"role": "user", "content": "1"})
    batch = good * 2 + bad + b"\n" + good
    done = run("message", "add", "--stdin", "--account", "a", "--bank", path, "--json", stdin=batch)
    assert (done.returncode, done.error["code"]) == (2, "usage")
    assert says in done.error["message"]
    assert contents(path, private=True)[".memorybank/journal/000000000001.jsonl"] == before
    assert listed(path) == []


def test_an_empty_batch(run: Run, path: Path) -> None:
    before = journal(path)
    done = run("message", "add", "--stdin", "--account", "a", "--bank", path, "--json")
    assert (done.returncode, done.json["added"], done.json["total"]) == (0, 0, 0)
    assert journal(path) == before


def test_what_was_listed_can_be_added_elsewhere(run: Run, path: Path) -> None:
    with opened(path) as bank:
        create(bank, "b")
    stored(path, Message("user", "one", metadata={"model": "m"}), Message("tool", "two", id="own"))
    stored(path, Message("user", "late", timestamp="2020-01-01T00:00:00Z"))
    data = run("message", "list", "--account", "a", "--bank", path, "--json").raw
    assert run("message", "add", "--stdin", "--account", "b", "--bank", path, stdin=data).returncode == 0
    assert run("message", "list", "--account", "b", "--bank", path, "--json").raw == data
    again = run("message", "add", "--stdin", "--account", "b", "--bank", path, "--json", stdin=data)
    assert (again.json["added"], again.json["duplicates"]) == (0, 3)


def test_numbers_in_metadata_are_exact(run: Run, path: Path) -> None:
    data = b'{"role": "user", "content": "x", "wei": %d, "metadata": {"deep": [{"n": -%d, "f": 0.1}]}}' % (BIG, BIG)
    assert run("message", "add", "--stdin", "--account", "a", "--bank", path, stdin=data).returncode == 0
    raw = run("message", "list", "--account", "a", "--bank", path, "--json").raw
    assert json.loads(raw)["metadata"] == {"wei": BIG, "deep": [{"n": -BIG, "f": 0.1}]}
    assert str(BIG).encode() in (path / "account_a/whole_history.json").read_bytes()


# What is refused


def test_calls_that_make_no_sense(run: Run, path: Path) -> None:
    for arguments in (
        ("--role", "user"),
        ("text", "--stdin", "--role", "user"),
        ("text",),
        ("text", "--role", "x" * 65),
        ("text", "--role", "user", "--timestamp", "0001-01-01T00:00:00+14:00"),
    ):
        done = run("message", "add", *arguments, "--account", "a", "--bank", path, "--json")
        assert (done.returncode, done.error["code"]) == (2, "usage"), arguments
    assert run("message", "add", "text", "--role", "user", "--bank", path).returncode == 2
    assert listed(path) == []


def test_text_that_is_not_utf_8(run: Run, path: Path) -> None:
    base = ("--account", "a", "--role", "user", "--bank", path, "--json")
    done = run("message", "add", "-", *base, stdin=b"\xff")
    assert (done.returncode, "stdin is not UTF-8" in done.error["message"]) == (2, True)
    with opened(path) as bank, pytest.raises(UsageError, match="the text is not UTF-8"):
        add(bank, Context(), "\udcff", account="a", role="user")


def test_an_account_that_is_not_there(run: Run, path: Path) -> None:
    done = run("message", "add", "x", "--account", "none", "--role", "user", "--bank", path, "--json")
    assert (done.returncode, done.error["code"]) == (10, "account_not_found")
    with opened(path) as bank:
        with pytest.raises(AccountNotFound):
            list_(bank, account="none")
        with pytest.raises(UsageError):
            list_(bank, account="../a")


def test_a_message_that_fills_half_a_segment(path: Path) -> None:
    with opened(path) as bank, pytest.raises(Refused, match="bytes; at most"):
        store(bank, "a", [Message("user", "small"), Message("user", "x" * LARGEST_ENTRY)])
    assert listed(path) == []


# Reading


def test_the_filters(run: Run, path: Path) -> None:
    stored(
        path,
        *(
            Message(
                ("user", "assistant")[number % 2], f"text {number}", timestamp=f"2026-11-{number + 1:02d}T00:00:00Z"
            )
            for number in range(10)
        ),
    )
    assert listed(path) == [f"text {number}" for number in range(10)]
    assert listed(path, last=2) == ["text 8", "text 9"]
    assert listed(path, last=0) == []
    assert listed(path, last=99) == listed(path)
    assert listed(path, since="2026-11-09") == ["text 8", "text 9"]
    assert listed(path, until="2026-11-02T00:00:00Z") == ["text 0"]
    assert listed(path, since="2026-11-02", until="2026-11-04") == ["text 1", "text 2"]
    assert listed(path, role="assistant", last=1) == ["text 9"]
    assert listed(path, grep=r"[3-5]$") == ["text 3", "text 4", "text 5"]
    assert listed(path, grep="4", role="assistant") == []
    done = run("message", "list", "--account", "a", "--last", "3", "--role", "user", "--bank", path, "--json")
    assert [one["seq"] for one in done.lines] == [5, 7, 9]


@pytest.mark.parametrize("arguments", [("--last", "-1"), ("--grep", "("), ("--since", "soon"), ("--until", "soon")])
def test_filters_that_are_none(run: Run, path: Path, arguments: tuple[str, str]) -> None:
    done = run("message", "list", "--account", "a", *arguments, "--bank", path, "--json")
    assert (done.returncode, done.error["code"], done.raw) == (2, "usage", b"")


def test_nothing_is_printed_raw(run: Run, path: Path) -> None:
    stored(path, Message("us\x1ber", "red \x1b[31m\x07"))
    people = run("message", "list", "--account", "a", "--bank", path)
    assert b"\x1b" not in people.raw
    assert b"\x07" not in people.raw
