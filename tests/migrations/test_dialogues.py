"""Dialogues by person and day become accounts and messages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.migrations import dialogues
from memorybank_cli.migrations import dialogues as module
from memorybank_cli.migrations.items import AccountItem, Assumption, FileItem, Item, MessageItem, Rejected
from memorybank_cli.migrations.source import Source
from tests.migrations.conftest import Make


def person(name: str, history: Any, **more: Any) -> dict[str, Any]:
    return {"name": name, "summary": {}, "personality": {}, "overall_history": "", "history": history, **more}


def turn(number: int) -> dict[str, Any]:
    return {"query": f"q{number}", "response": f"r{number}"}


def items(source: Source) -> list[Item]:
    return list(dialogues.read(source, source.paths))


def messages(found: list[Item]) -> list[MessageItem]:
    return [item for item in found if isinstance(item, MessageItem)]


def rejected(found: list[Item]) -> list[Rejected]:
    return [item for item in found if isinstance(item, Rejected)]


def test_queries_and_responses_follow_one_another_through_the_day(make_source: Make) -> None:
    history = {"2023-04-27": [turn(1), {"query": "q2", "response": "", "mood": "sad"}], "2023-04-28": [turn(3)]}
    found = items(make_source({"m.json": {"Emily": person("Emily", history), "Bob": person("Bob", {})}}))
    assert [item.account for item in found if isinstance(item, AccountItem)] == ["Emily", "Bob"]
    assert [(one.role, one.content, one.timestamp, one.id) for one in messages(found)] == [
        ("user", "q1", "2023-04-27T00:00:00.000000Z", "2023-04-27-0-user"),
        ("assistant", "r1", "2023-04-27T00:00:01.000000Z", "2023-04-27-0-assistant"),
        ("user", "q2", "2023-04-27T00:00:02.000000Z", "2023-04-27-1-user"),
        ("user", "q3", "2023-04-28T00:00:00.000000Z", "2023-04-28-0-user"),
        ("assistant", "r3", "2023-04-28T00:00:01.000000Z", "2023-04-28-0-assistant"),
    ]
    assert messages(found)[2].metadata == {"mood": "sad"}
    assert [(item.count) for item in found if isinstance(item, Assumption)] == [5]
    assert not any(isinstance(item, FileItem | Rejected) for item in found)


def test_what_is_said_of_a_person_is_state(make_source: Make) -> None:
    source = make_source(
        {
            "m.json": {
                "Emily": person("Emily", {}, summary={"2023-04-27": "met"}, personality={}),
                "John Zhang": person("John Zhang", {}),
                "Bob": person("Bob", {}),
            }
        }
    )
    files = {item.path: json.loads(item.data or b"") for item in items(source) if isinstance(item, FileItem)}
    assert files == {
        "state/dialogues/Emily.json": {"name": "Emily", "summary": {"2023-04-27": "met"}},
        "state/dialogues/John-Zhang.json": {"name": "John Zhang"},
    }


def test_what_is_said_of_a_person_has_a_limit(make_source: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_BESIDE", 30)
    found = items(make_source({"m.json": {"Emily": {"summary": "x" * 40, "history": {"2023-04-27": [turn(1)]}}}}))
    assert "larger than" in rejected(found)[0].reason
    assert len(messages(found)) == 2


@pytest.mark.parametrize("day", ["someday", "9999-12-31", ""])
def test_a_date_that_is_none_gives_no_times(make_source: Make, day: str) -> None:
    source = make_source({"m.json": {"Emily": person("Emily", {day: [turn(1), turn(2)]})}})
    found = messages(items(source))
    assert {one.timestamp for one in found} == {""}
    assert len({one.id for one in found}) == 4
    assert messages(items(source)) == found


@pytest.mark.parametrize(
    ("history", "reason"),
    [
        ("none", "no day"),
        ({"2023-04-27": "none"}, "no day"),
        ({"2023-04-27": {"query": "a", "response": "b"}}, "no query"),
        ({"2023-04-27": ["none"]}, "no query"),
        ({"2023-04-27": [{"query": "", "response": ""}]}, "no query"),
        ({"2023-04-27": [{"query": 1, "response": "b"}]}, "no query"),
        ({"2023-04-27": [{"query": "x" * 1_100_000, "response": "b"}]}, "too large"),
    ],
)
def test_what_is_no_turn_is_rejected(make_source: Make, history: Any, reason: str) -> None:
    found = items(make_source({"m.json": {"Emily": person("Emily", history), "Bob": person("Bob", {"d": [turn(1)]})}}))
    assert reason in rejected(found)[0].reason
    assert rejected(found)[0].reason.startswith("Emily/history")
    assert {one.account for one in messages(found)} == {"Bob"}


@pytest.mark.parametrize("document", ["[[1, {}]]", '{"Emily": 1}', "17"])
def test_what_is_nobodys_is_rejected(make_source: Make, document: str) -> None:
    assert ["nobody" in one.reason for one in rejected(items(make_source({"m.json": document})))] == [True]


def test_everybody_before_a_truncation_comes_in(make_source: Make) -> None:
    text = json.dumps({name: person(name, {"2023-04-27": [turn(1), turn(2)]}) for name in ("Emily", "Bob")})
    found = items(make_source({"m.json": text[:-39]}))
    assert len(messages(found)) == 6
    assert rejected(found)[-1].reason.startswith("MB103 ")
    assert rejected(found)[-1].reason.endswith("; 6 messages that stand before it were taken")


def test_a_key_that_stands_twice_is_rejected_as_it_is_written(make_source: Make) -> None:
    text = '{"Emily": {"history": {"2023-04-27": [{"query": "a", "query": "b"}]}}}'
    (one,) = rejected(items(make_source({"m.json": text})))
    assert one.data == b'{"query": "a", "query": "b"}'
    assert "MB105" in one.reason


def test_a_file_that_vanishes_is_rejected(make_source: Make) -> None:
    source = make_source({"m.json": {"Emily": person("Emily", {})}})
    Path(source.root.path, "m.json").unlink()
    assert "changed or vanished" in rejected(items(source))[0].reason


def test_detection(make_source: Make) -> None:
    document = {"Emily": person("Emily", {"2023-04-27": [turn(1)]})}
    source = make_source({"memory_bank_en.json": document, "x.json": {"history": {}}, "y.md": json.dumps(document)})
    assert dialogues.score(source) == 90
    assert [path for path in source.paths if dialogues.takes(source, path)] == ["memory_bank_en.json"]
    assert dialogues.score(make_source({"x.json": {"history": []}})) == 0
    many = make_source({**{f"a{number}.json": "{}" for number in range(500)}, "z_dialogues.json": document})
    assert dialogues.score(many) == 90
    assert dialogues.score(make_source({"d.json": json.dumps(document).encode("utf-16")})) == 90
