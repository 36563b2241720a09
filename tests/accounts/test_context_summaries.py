from __future__ import annotations

from typing import Any

import pytest

from memorybank_cli.accounts import context_summaries
from memorybank_cli.accounts.context_summaries import LONGEST, MOST_SENTENCES, condensed, summarised
from memorybank_cli.accounts.context_words import entities
from tests.accounts.conversations import GARDEN, GAS, TRAVEL, conversation


def test_each_topic_has_a_summary_with_what_it_stands_on() -> None:
    messages = conversation(GAS, GARDEN, TRAVEL)
    found = summarised(messages)
    assert [(one["first"], one["last"]) for one in found] == [(1, 8), (9, 16), (17, 24)]
    by_id = {one["id"]: one for one in messages}
    for summary in found:
        part = messages[summary["first"] - 1 : summary["last"]]
        assert summary["messages"] == [one["id"] for one in part]
        assert (summary["first_id"], summary["last_id"]) == (part[0]["id"], part[-1]["id"])
        assert (summary["from"], summary["to"]) == (part[0]["timestamp"], part[-1]["timestamp"])
        for sentence in summary["sentences"]:
            assert sentence["message"] in summary["messages"]
            assert sentence["text"] in by_id[sentence["message"]]["content"]
            assert sentence["role"] == by_id[sentence["message"]]["role"]
    gas, garden, travel = found
    assert {"gas", "aerodrome", "swaps"} <= set(gas["topics"])
    assert {"Marta Keller", "Bern"} <= set(garden["entities"])
    assert "Vienna" in travel["entities"]
    assert any("decision" in sentence["marks"] for sentence in gas["sentences"])


def test_the_same_messages_give_the_same_summaries() -> None:
    assert summarised(conversation(GAS, TRAVEL)) == summarised(conversation(GAS, TRAVEL))


def test_ids_tell_summaries_apart() -> None:
    one, other = summarised(conversation(GAS, TRAVEL))
    assert one["id"] != other["id"]
    assert len(one["id"]) == 32


def test_what_was_told_before_is_no_news() -> None:
    (first,) = summarised(conversation(GAS))
    (again,) = summarised(conversation(GAS), [first])
    told = [one["text"] for one in first["sentences"]]
    assert not set(told) & {one["text"] for one in again["sentences"]}


def test_a_long_topic_has_several() -> None:
    found = summarised(conversation(GAS[:2] * 60))
    assert max(one["last"] - one["first"] + 1 for one in found) <= LONGEST
    assert [one["first"] for one in found[1:]] == [one["last"] + 1 for one in found[:-1]]
    assert max(len(one["sentences"]) for one in found) <= MOST_SENTENCES


def test_messages_without_words() -> None:
    (found,) = summarised(conversation(["", "…", "42"]))
    assert (found["topics"], found["entities"]) == ([], [])
    assert summarised([]) == []


def chain(count: int) -> list[dict[str, Any]]:
    """Summaries of one conversation after another."""
    (one,) = summarised(conversation(GAS))
    step = one["last"]
    return [{**one, "first": 1 + at * step, "last": (at + 1) * step} for at in range(count)]


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context_summaries, "MOST_SUMMARIES", 8)


@pytest.mark.usefixtures("few")
def test_older_ones_are_told_in_half_as_many() -> None:
    assert condensed(chain(8)) == []
    summaries = chain(9)
    found = condensed(summaries)
    assert [(one["first"], one["last"]) for one in found] == [(1, 16), (17, 32)]
    for one in found:
        assert len(one["sentences"]) <= MOST_SENTENCES
        quoted = {sentence["message"] for sentence in one["sentences"]}
        assert set(one["messages"]) == quoted
        assert one["entities"] == entities(sentence["text"] for sentence in one["sentences"])
        weights = sorted((s["weight"] for part in summaries[:2] for s in part["sentences"]), reverse=True)
        assert sorted((s["weight"] for s in one["sentences"]), reverse=True) == weights[: len(one["sentences"])]


@pytest.mark.usefixtures("few")
def test_nothing_is_told_over_a_gap() -> None:
    summaries = chain(10)
    del summaries[1]
    found = condensed(summaries)
    assert [(one["first"], one["last"]) for one in found] == [(25, 40)]
