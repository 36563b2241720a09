from __future__ import annotations

import sys

import pytest

from memorybank_cli.accounts.context_sentences import Sentence, chosen
from tests.accounts.conversations import GARDEN, GAS

PART = [Sentence(number, text) for number, text in enumerate(GAS)]


def test_it_needs_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.feature_extraction.text", None)
    with pytest.raises(ImportError):
        chosen([PART], [2], [])


def test_the_best_come_in_their_order_and_are_always_the_same() -> None:
    (found,) = chosen([PART], [3], [])
    assert [one.sentence.message for one in found] == sorted(one.sentence.message for one in found)
    assert len(found) == 3
    assert all(0 < one.weight <= 1 for one in found)
    assert chosen([PART], [3], []) == [found]


def test_a_decision_is_among_them() -> None:
    (found,) = chosen([PART], [3], [])
    assert any("decision" in one.marks for one in found)


def test_what_was_told_is_not_told_again() -> None:
    (found,) = chosen([PART], [1], [])
    (again,) = chosen([PART], [1], [found[0].sentence.text])
    assert again[0].sentence != found[0].sentence


def test_the_same_sentence_is_taken_once_while_there_are_others() -> None:
    twice = [PART[2], PART[2], *PART[3:]]
    (found,) = chosen([twice], [3], [])
    assert len({one.sentence.text for one in found}) == 3


def test_a_sentence_of_few_words_counts_for_less() -> None:
    (found,) = chosen([[Sentence(0, "We decided."), *PART]], [4], [])
    assert "We decided." not in [one.sentence.text for one in found]


def test_parts_have_their_own() -> None:
    garden = [Sentence(number, text) for number, text in enumerate(GARDEN)]
    gas, of_garden = chosen([PART, garden], [2, 2], [])
    assert {one.sentence for one in gas} <= set(PART)
    assert {one.sentence for one in of_garden} <= set(garden)


def test_there_may_be_fewer_than_wanted_or_nothing_to_weigh() -> None:
    assert [len(one) for one in chosen([PART[:1], []], [5, 5], [])] == [1, 0]
    ((only,),) = chosen([[Sentence(0, "And so?")]], [5], [])
    assert (only.marks, only.weight) == (["question"], 0.0)
    assert chosen([], [], []) == []
