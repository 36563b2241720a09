"""Accounts get allowed ids, and no two of them the same."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from memorybank_cli.base.names import is_id
from memorybank_cli.migrations.account_names import MOST_TOLD, AccountNames
from memorybank_cli.migrations.items import Assumption


def test_an_allowed_name_is_kept_and_not_told() -> None:
    names = AccountNames()
    assert [names.id_of("alpha"), names.id_of("alpha"), names.id_of("Alpha")] == ["alpha", "alpha", "Alpha"]
    assert list(names.assumptions()) == []


def test_others_are_changed_and_told() -> None:
    names = AccountNames({"John-Zhang"})
    assert [names.id_of(one) for one in ("John Zhang", " Ivy ", ".env", "", "../x")] == [
        "John-Zhang-2",
        "Ivy",
        "-env",
        "unnamed",
        "-.-x",
    ]
    assert Assumption("the account 'John Zhang' is called John-Zhang-2 here") in list(names.assumptions())
    assert names.id_of("John-Zhang") == "John-Zhang"


def test_long_names_stay_apart() -> None:
    names = AccountNames()
    first, second = names.id_of("x" * 70), names.id_of("x" * 71)
    assert (len(first), len(second), second[-2:]) == (64, 64, "-2")


def test_a_fresh_id_is_never_one_that_was_given() -> None:
    names = AccountNames()
    assert [names.fresh("chat"), names.fresh("chat"), names.fresh("chat")] == ["chat", "chat-2", "chat-3"]


def test_of_many_only_the_first_are_told_by_name() -> None:
    names = AccountNames()
    for number in range(MOST_TOLD + 5):
        names.id_of(f"a b {number}")
    told = list(names.assumptions())
    assert len(told) == MOST_TOLD + 1
    assert told[-1].count == 5


@given(st.lists(st.text(), unique=True, max_size=8))
def test_any_names(given_names: list[str]) -> None:
    names = AccountNames()
    ids = [names.id_of(one) for one in given_names]
    assert all(is_id(one) for one in ids)
    assert len(set(ids)) == len(ids)
    assert [names.id_of(one) for one in given_names] == ids
