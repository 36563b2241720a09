"""Refreshing on real banks: what is summarised, that it is durable, and what happens when something moves meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.accounts import context_refresh, context_summaries
from memorybank_cli.accounts.context_refresh import Done, refresh
from memorybank_cli.accounts.contexts import State
from memorybank_cli.accounts.sources import read_history
from memorybank_cli.base.context import Context
from memorybank_cli.operations.contexts import refresh as refresh_context
from memorybank_cli.operations.message_forget import forget
from memorybank_cli.operations.opening import open_bank
from memorybank_cli.operations.rollback import rollback
from tests.accounts.conversations import GARDEN, GAS, TRAVEL, conversation, said, state
from tests.operations.banks import backed_up, journal, opened, rules

ALL = conversation(GAS, GARDEN, TRAVEL)
CONTEXT = "account_a/history_context.json"


def refreshed(path: Path, reason: str = "request", **options: Any) -> Done:
    with opened(path) as bank:
        return refresh(bank, "a", reason, **options)


def spans(found: State) -> list[tuple[int, int]]:
    return [(one["first"], one["last"]) for one in found.summaries]


def test_an_account_without_messages(path: Path) -> None:
    assert refreshed(path) == Done(0, 0, finished=True)
    assert state(path).status == "initializing"


def test_the_newest_topic_is_told_anew_while_it_grows(path: Path) -> None:
    said(path, ALL[:12])
    assert refreshed(path) == Done(2, 12, finished=True, upto=12)
    assert spans(state(path)) == [(1, 8), (9, 12)]
    said(path, ALL[12:])
    assert refreshed(path, "messages") == Done(2, 16, finished=True, upto=24)
    assert spans(state(path)) == [(1, 8), (9, 16), (17, 24)]
    assert state(path).reason == "messages"
    assert refreshed(path) == Done(0, 0, finished=True)
    assert rules(path) == {}


def test_parts_of_a_long_history_join(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said(path, ALL)
    refreshed(path)
    whole = spans(state(path))
    monkeypatch.setattr(context_refresh, "AT_ONCE", 12)
    assert refreshed(path, again=True).finished
    assert spans(state(path)) == whole
    monkeypatch.setattr(context_refresh, "AT_ONCE", 24)
    assert refreshed(path, again=True).messages == 24


def test_no_more_than_asked_for_and_the_next_one_goes_on(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context_refresh, "AT_ONCE", 12)
    said(path, ALL)
    done = refreshed(path, most=4)
    assert not done.finished
    assert 0 < state(path).upto < 24
    assert refreshed(path, most=100).finished
    assert state(path).upto == 24


def test_everything_is_told_within_bounds(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context_summaries, "MOST_SUMMARIES", 8)
    said(path, conversation(*[GAS, GARDEN, TRAVEL] * 6))
    assert refreshed(path).finished
    found = state(path)
    assert len(found.summaries) <= 8
    assert found.upto == found.covered == 144
    assert found.summaries[0]["last"] - found.summaries[0]["first"] > 8


def test_a_summary_is_a_record_in_the_journal(path: Path) -> None:
    said(path, ALL[:12])
    refreshed(path)
    stored = [core for core in journal(path) if core["op"] == "record.stored" and core["kind"] == "summary"]
    assert [core["span"] for core in stored] == [[1, 8], [9, 12]]
    assert [core["record"] for core in stored] == [one["id"] for one in state(path).summaries]
    assert {core["reason"] for core in stored} == {"request"}


def test_a_killed_process_loses_no_summary(path: Path) -> None:
    said(path, ALL)
    before = state(path)
    bank = open_bank(Context(bank=str(path)))
    bank.render = lambda *_: True  # type: ignore[method-assign]  # it is killed before
    refresh(bank, "a", "request")
    bank.abandon()
    assert before.summaries == ()
    assert spans(state(path)) == [(1, 8), (9, 16), (17, 24)]
    assert rules(path) == {}


def test_a_lost_file_is_made_again_from_the_journal(path: Path) -> None:
    said(path, ALL)
    refreshed(path)
    before = (path / CONTEXT).read_bytes()
    (path / CONTEXT).write_bytes(b"\0" * 100)
    said(path, [{**ALL[0], "id": "more"}])
    assert (path / CONTEXT).read_bytes() == before
    assert rules(path) == {}


def test_a_rollback_takes_summaries_back_and_they_come_again(path: Path) -> None:
    said(path, ALL[:12])
    refreshed(path)
    seq = max(core["seq"] for core in journal(path))
    backed_up(path)
    said(path, ALL[12:])
    refreshed(path)
    after = state(path)
    with opened(path) as bank:
        rollback(bank, seq=seq, account="a", yes=True)
    assert spans(state(path)) == [(1, 8), (9, 12)]
    said(path, ALL[12:])
    refreshed(path)
    assert [one["id"] for one in state(path).summaries] == [one["id"] for one in after.summaries]
    assert rules(path) == {}


def test_summaries_of_messages_that_are_gone_are_taken_back(path: Path) -> None:
    said(path, ALL)
    refreshed(path)
    with opened(path) as bank:
        rollback(bank, account="a", record=("m3",), seq=2, yes=True)
        assert read_history(bank, "a").total == 23
    refreshed(path)
    found = state(path)
    assert found.upto == found.covered == 23
    assert not any("m3" in one["messages"] for one in found.summaries)
    assert rules(path) == {}


def test_who_comes_second_leaves_what_the_first_wrote(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said(path, ALL)
    summarised = context_summaries.summarised

    def overtaken(*arguments: Any) -> Any:
        monkeypatch.undo()
        assert refreshed(path, "age").finished
        return summarised(*arguments)

    monkeypatch.setattr(context_refresh, "summarised", overtaken)
    assert refreshed(path, "request") == Done(0, 0, finished=False)
    assert state(path).reason == "age"


def test_of_many_messages_few_summaries_are_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is told in half as many at once is not written before."""
    monkeypatch.setattr(context_summaries, "MOST_SUMMARIES", 8)
    monkeypatch.setattr(context_refresh, "AT_ONCE", 24)
    said(path, conversation(*[GAS, GARDEN, TRAVEL] * 6))
    done = refreshed(path)
    assert (done.messages, done.finished) == (144, True)
    stored = [core["record"] for core in journal(path) if core["op"] == "record.stored" and core["kind"] == "summary"]
    assert stored == [one["id"] for one in state(path).summaries]
    assert done.summaries == len(stored) <= 8


def test_what_was_told_is_stored_now_and_then(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context_refresh, "AT_ONCE", 24)
    monkeypatch.setattr(context_refresh, "DURABLE", 40)
    said(path, conversation(*[GAS, GARDEN, TRAVEL] * 6))
    summarised, calls = context_summaries.summarised, iter(range(100))

    def killed(*arguments: Any) -> Any:
        if next(calls) == 4:
            raise KeyboardInterrupt
        return summarised(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(context_refresh, "summarised", killed)
        with pytest.raises(KeyboardInterrupt):
            refreshed(path)
    assert 40 <= state(path).upto < 144
    assert refreshed(path).finished
    found = state(path)
    assert found.upto == found.covered == 144
    assert rules(path) == {}


def test_telling_everything_goes_on_where_others_summarise_meanwhile(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(context_refresh, "AT_ONCE", 24)
    monkeypatch.setattr(context_refresh, "DURABLE", 24)
    said(path, conversation(*[GAS, GARDEN, TRAVEL] * 4))
    summarised, firsts = context_summaries.summarised, list[int]()

    def beside(messages: Any, *arguments: Any) -> Any:
        firsts.append(messages[0]["seq"])
        if len(firsts) in (3, 5):
            with monkeypatch.context() as patched:
                patched.setattr(context_refresh, "summarised", summarised)
                said(path, [{**one, "id": f"{len(firsts)}-{one['id']}"} for one in ALL[:8]])
                assert refreshed(path, "messages").finished
        return summarised(messages, *arguments)

    monkeypatch.setattr(context_refresh, "summarised", beside)
    with opened(path) as bank:
        done = refresh_context(bank, account="a", all=True)
    assert (done.messages, done.summarised, done.pending) == (112, 112, False)
    assert firsts.count(1) == 1  # nothing is told twice from the beginning
    assert rules(path) == {}


def test_what_is_forgotten_meanwhile_is_not_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said(path, ALL)
    summarised = context_summaries.summarised

    def forgotten(*arguments: Any) -> Any:
        found = summarised(*arguments)
        monkeypatch.setattr(context_refresh, "summarised", summarised)
        with opened(path) as bank:
            forget(bank, "m3", account="a", yes=True)
        return found

    monkeypatch.setattr(context_refresh, "summarised", forgotten)
    assert not refreshed(path).finished
    assert state(path).summaries == ()
    assert refreshed(path).finished
    assert not any("m3" in one["messages"] for one in state(path).summaries)
    files = [one.read_bytes() for one in path.rglob("*") if one.is_file()]
    assert not any(ALL[2]["content"].encode() in data for data in files)
