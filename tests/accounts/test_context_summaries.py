from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from memorybank_cli.accounts import context_summaries
from memorybank_cli.accounts.context_summaries import (
    LONGEST,
    MOST_SENTENCES,
    MOST_SUMMARIES,
    condensed,
    summarised,
)
from memorybank_cli.accounts.context_words import entities
from memorybank_cli.accounts.contexts import laid_between
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
def test_neighbours_are_told_as_one() -> None:
    assert condensed(chain(8)) == []
    summaries = chain(9)
    found = condensed(summaries)
    assert [(one["first"], one["last"]) for one in found] == [(1, 16), (17, 32), (33, 48)]
    for one in found:
        assert len(one["sentences"]) <= MOST_SENTENCES
        quoted = {sentence["message"] for sentence in one["sentences"]}
        assert set(one["messages"]) == quoted
        assert one["entities"] == entities(sentence["text"] for sentence in one["sentences"])
        weights = sorted((s["weight"] for part in summaries[:2] for s in part["sentences"]), reverse=True)
        assert sorted((s["weight"] for s in one["sentences"]), reverse=True) == weights[: len(one["sentences"])]


def lengths_after(count: int, at_once: int) -> list[int]:
    """How many messages each of the summaries stands for, after so many new ones of ten messages each."""
    (one,), shown = summarised(conversation(GAS)), list[dict[str, Any]]()
    for start in range(0, count, at_once):
        fresh = [{**one, "first": at * 10 + 1, "last": at * 10 + 10} for at in range(start, start + at_once)]
        shown = laid_between(shown, fresh)
        shown = laid_between(shown, condensed(shown))
    assert shown[0]["first"] == 1
    assert all(before["last"] + 1 == after["first"] for before, after in pairwise(shown))
    return [one["last"] - one["first"] + 1 for one in shown]


@pytest.mark.parametrize("at_once", [1, 25])
def test_each_stands_for_a_part_in_proportion_to_its_age(at_once: int) -> None:
    """Not one for nearly everything: what is twice as far back is told twice as short."""
    lengths = lengths_after(5_000, at_once)
    assert len(lengths) <= MOST_SUMMARIES
    assert sum(lengths) == 50_000
    assert lengths == sorted(lengths, reverse=True)
    assert max(lengths) <= 50_000 / 4
    assert lengths[-4:] == [10] * 4


@pytest.mark.usefixtures("few")
def test_nothing_is_told_over_a_gap() -> None:
    summaries = chain(10)
    del summaries[1]
    found = condensed(summaries)
    assert [(one["first"], one["last"]) for one in found] == [(17, 48)]
    assert condensed(chain(20)[::2]) == []
