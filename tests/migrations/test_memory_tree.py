"""The earlier memory/ layouts: whose messages they are, in which order, and what else comes along."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.migrations import memory_tree
from memorybank_cli.migrations.items import AccountItem, Assumption, FileItem, Item, MessageItem
from memorybank_cli.migrations.source import Source
from tests.migrations.conftest import Make, write_files


def said(*numbers: int) -> list[dict[str, Any]]:
    return [{"role": "user", "content": str(number), "timestamp": 1743394526.0 + number} for number in numbers]


def items(source: Source) -> list[Item]:
    return list(memory_tree.read(source, [path for path in source.paths if memory_tree.takes(source, path)]))


def contents(source: Source) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for item in items(source):
        if isinstance(item, AccountItem):
            found.setdefault(item.account, [])
        if isinstance(item, MessageItem):
            found[item.account].append(item.content)
    return found


def test_history_comes_first_then_what_it_lacks(make_source: Make) -> None:
    source = make_source(
        {
            "memory/account_a/short_term.json": said(3, 4, 6),
            "memory/account_a/mid_term.json": said(2, 3, 5),
            "memory/account_a/whole_history.json": said(1, 2, 3, 4),
            "memory/account_b/short_term.json": {"status": "active", "messages": said(9)},
        }
    )
    assert contents(source) == {"a": ["1", "2", "3", "4", "5", "6"], "b": ["9"]}
    assert memory_tree.score(source) == 95


@pytest.mark.parametrize(
    ("paths", "accounts", "score"),
    [
        (["whole_history.json"], ["default"], 60),
        (["memory/whole_history.json", "memory/short_term.json"], ["default"], 80),
        (["memory/bob/whole_history.json"], ["bob"], 60),
        (["account_x/whole_history.json"], ["x"], 95),
        (["memory/short_term.json", "memory/t/short_term.json", "memory/whole_history.json"], ["default", "t"], 80),
        (["account_/short_term.json"], ["default"], 95),
        (["bot1/memory/short_term.json", "bot2/memory/short_term.json"], ["bot1", "bot2"], 60),
        (["bot1/memory/account_7/short_term.json"], ["bot1-7"], 95),
        (["a b/short_term.json", "a-b/short_term.json"], ["a-b-2", "a-b"], 60),
    ],
)
def test_whose_messages_they_are(make_source: Make, paths: list[str], accounts: list[str], score: int) -> None:
    source = make_source({path: said(number) for number, path in enumerate(paths)})
    assert sorted(contents(source)) == sorted(accounts)
    assert memory_tree.score(source) == score


def test_an_accounts_directory_given_by_itself_names_it(tmp_path: Path) -> None:
    write_files(tmp_path, {"account_carol/whole_history.json": said(1)})
    source = Source(tmp_path / "account_carol")
    assert contents(source) == {"carol": ["1"]}
    assert memory_tree.score(source) == 95
    source.close()
    single = Source(tmp_path / "account_carol/whole_history.json")
    assert contents(single) == {"default": ["1"]}
    single.close()


def test_summaries_and_what_an_account_says_of_itself_are_kept(make_source: Make) -> None:
    source = make_source(
        {
            "account_a/history_context.json": [{"summary": "long ago"}],
            "account_a/account.json": {"account_id": "a", "plan": "gold"},
            "account_b/history_context.json": {"summaries": ["x"]},
            "account_c/history_context.json": "{damaged",
        }
    )
    files = {item.path: item for item in items(source) if isinstance(item, FileItem)}
    assert sorted(files) == [
        "state/account_a/account.json",
        "state/account_a/history_context.json",
        "state/account_b/history_context.json",
        "state/account_c/history_context.json",
    ]
    changed = files["state/account_a/history_context.json"].data
    assert json.loads(changed or b"") == {"summaries": [{"summary": "long ago"}]}
    assert {item.data for path, item in files.items() if path != "state/account_a/history_context.json"} == {None}


@pytest.mark.parametrize("value", [[], {}, {"account_id": "a", "summaries": [], "status": {"status": "active"}}])
def test_what_says_nothing_stays_behind(make_source: Make, value: Any) -> None:
    source = make_source({"account_a/history_context.json": value, "account_a/whole_history.json": said(1)})
    assert not any(isinstance(item, FileItem) for item in items(source))
    assert [path for path, _ in source.skipped] == ["account_a/history_context.json"]


def test_a_changed_name_is_told(make_source: Make) -> None:
    source = make_source({"memory/account_Zoë B/short_term.json": said(1)})
    assert Assumption("the account 'Zoë B' is called Zo--B here") in items(source)


def test_what_is_no_tier_is_not_taken(make_source: Make) -> None:
    source = make_source({"memory/account_a/notes.json": "{}", "account.json": "{}", "trades/t.json": "{}"})
    assert not any(memory_tree.takes(source, path) for path in source.paths)
    assert memory_tree.score(source) == 0
