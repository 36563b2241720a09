from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank_cli.accounts.context_topics import turns
from memorybank_cli.accounts.contexts import LEAST
from tests.accounts.conversations import GARDEN, GAS, TRAVEL, conversation


def found(*parts: list[str]) -> list[int]:
    return [turn.at for turn in turns(conversation(*parts))]


@pytest.mark.parametrize("parts", [(GAS, GARDEN), (GARDEN, TRAVEL), (TRAVEL, GAS)])
def test_a_change_of_topic_is_found_where_it_is(parts: tuple[list[str], list[str]]) -> None:
    assert found(*parts) == [8]


def test_each_of_several_changes_is_found() -> None:
    assert found(GAS, GARDEN, TRAVEL) == [8, 16]


@pytest.mark.parametrize("part", [GAS, GARDEN, TRAVEL])
def test_one_topic_has_no_change(part: list[str]) -> None:
    assert found(part) == []


def test_a_topic_begins_with_no_answer() -> None:
    shifted = conversation(GAS[:-1], GARDEN)  # the first line about the garden is said by the assistant
    assert {shifted[turn.at]["role"] for turn in turns(shifted)} == {"user"}
    agents = [{**one, "role": "assistant"} for one in shifted]
    assert [turn.at for turn in turns(agents)] == [7]


def test_a_greeting_speaks_for_a_change() -> None:
    plain = conversation(GAS)
    greeted = [{**one, "content": f"Hello again. {one['content']}"} if one["seq"] == 5 else one for one in plain]
    assert turns(plain) == []
    assert [turn.at for turn in turns(greeted)] == [4]


def test_words_that_end_and_that_change_a_subject_speak_for_it_together() -> None:
    said = {4: "See you.", 5: "By the way, gas."}
    cued = [{**one, "content": said.get(one["seq"], one["content"])} for one in conversation(GAS)]
    uncued = [{**one, "content": {4: "", 5: "Gas."}.get(one["seq"], one["content"])} for one in conversation(GAS)]
    assert [turn.at for turn in turns(cued)] == [4]
    assert turns(uncued) == []


def test_nothing_to_hold_against_each_other() -> None:
    assert turns([]) == turns(conversation(GAS[:1])) == turns(conversation(["and"] * 30)) == []


MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant"]), "content": st.sampled_from([*GAS, *TRAVEL, "hi", ""])}
    ),
    max_size=40,
)


@given(MESSAGES)
def test_topics_are_never_shorter_than_the_least_and_always_the_same(messages: list[dict[str, str]]) -> None:
    cuts = [0, *(turn.at for turn in turns(messages)), len(messages)]
    assert cuts == sorted(cuts)
    assert len(cuts) == 2 or min(b - a for a, b in zip(cuts, cuts[1:], strict=False)) >= LEAST
    assert turns(messages) == turns(list(messages))
