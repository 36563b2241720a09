from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from memorybank_cli.alerts import waiting
from memorybank_cli.alerts.breaker import Breaker, Moment
from memorybank_cli.alerts.channels.values import Message
from memorybank_cli.alerts.values import Notice
from memorybank_cli.alerts.waiting import MOST, Waiting
from memorybank_cli.bank.events import EventStore
from memorybank_cli.base.walk import Root
from tests.alerts.receivers import alert, notice

NOW = Moment("one", 1_000.0)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    root = Root(tmp_path)
    store = EventStore(root)
    yield store.db
    store.close()
    root.close()


def row(one: Notice) -> Waiting:
    return Waiting(one.id, one.channel, one.as_dict(), one.created_at)


def fill(db: sqlite3.Connection, count: int, channel: str = "desk") -> list[Waiting]:
    many = [row(notice(channel, alert(number))) for number in range(count)]
    for one in many:
        waiting.add(db, one)
    return many


def test_messages_wait_in_order_channel_by_channel(db: sqlite3.Connection) -> None:
    desk, hook = fill(db, 3), fill(db, 2, "hook")
    waiting.add(db, desk[0])
    assert (waiting.count(db, "desk"), waiting.count(db, "hook"), waiting.count(db, "none")) == (3, 2, 0)
    assert [one.id for one in waiting.oldest(db, "desk", 9)] == [one.id for one in desk]
    assert waiting.oldest(db, "desk", 1, [desk[0].id])[0] == desk[1]
    assert waiting.channels(db) == {"desk": desk[0].created_at, "hook": hook[0].created_at}


def test_what_was_delivered_waits_no_more_and_what_failed_does(db: sqlite3.Connection) -> None:
    first, second = fill(db, 2)
    waiting.failed(db, "desk", first.id, "it hangs", None)
    assert waiting.oldest(db, "desk", 1)[0] == first._replace(tries=1)
    waiting.delivered(db, "desk", first.id)
    waiting.failed(db, "desk", second.id, "too long", {**second.notice, "alerts": []})
    [left] = waiting.oldest(db, "desk", 9)
    assert (left.id, left.tries, left.notice["alerts"], left.notice["firing"]) == (second.id, 1, [], 1)
    one, other = waiting.deliveries(db, [first.id, second.id, "unknown"])
    assert (one.channel, one.tries, one.reason) == ("desk", 2, "")
    assert one.delivered_at is not None
    assert (other.delivered_at, other.reason) == (None, "too long")


def test_of_too_many_the_older_half_becomes_one_and_none_is_dropped(db: sqlite3.Connection) -> None:
    many = fill(db, MOST)
    assert waiting.count(db, "desk") == MOST
    [more] = fill(db, 1)
    assert waiting.count(db, "desk") == MOST // 2 + 2
    first, second, *_, last = waiting.oldest(db, "desk", MOST)
    assert (first.stands_for, first.created_at) == (MOST // 2, many[0].created_at)
    assert (first.notice["firing"], len(first.notice["alerts"])) == (MOST // 2, waiting.SUMMARISED)
    assert (second, last.id) == (many[MOST // 2], more.id)
    [before] = waiting.deliveries(db, [many[0].id])
    assert before.delivered_at is None
    waiting.delivered(db, "desk", first.id)
    [after] = waiting.deliveries(db, [many[0].id])
    assert after.delivered_at is not None
    assert after.created_at == many[0].created_at


def test_it_becomes_one_again_and_again(db: sqlite3.Connection) -> None:
    many = fill(db, 5 * MOST)
    assert waiting.count(db, "desk") <= MOST
    found = waiting.oldest(db, "desk", MOST)
    assert sum(one.stands_for for one in found) == 5 * MOST
    assert sum(one.notice["firing"] for one in found) == 5 * MOST
    waiting.delivered(db, "desk", found[0].id)
    assert all(one.delivered_at for one in waiting.deliveries(db, [many[0].id, many[MOST].id]))
    rows = db.execute("SELECT count(*) FROM deliveries").fetchone()[0]
    assert waiting.prune(db, "9999") == rows - len(found) + 1
    assert waiting.prune(db, "9999") == 0


def test_a_message_that_stands_for_others_has_the_worst_as_they_were_last() -> None:
    told = [
        notice("desk", alert(1, "warning"), alert(2, "critical")),
        notice("desk", alert(1, "warning", "resolved"), group="other"),
        Notice("n", "desk", "third", "/b", "2026", (alert(3),), 10, 2),
    ]
    one = waiting.merged([row(each) for each in told])
    assert [each["severity"] for each in one.notice["alerts"]] == ["critical", "error", "warning"]
    assert (one.notice["firing"], one.notice["resolved"], one.notice["group"]) == (2 + 9, 1 + 2, "several groups")
    assert (one.stands_for, one.created_at) == (3, told[0].created_at)
    assert waiting.merged([row(told[0]), row(told[0])]).notice["group"] == told[0].group


def test_only_what_was_delivered_long_ago_is_forgotten(db: sqlite3.Connection) -> None:
    first, second = fill(db, 2)
    waiting.delivered(db, "desk", first.id)
    assert waiting.prune(db, "2000") == 0
    assert waiting.prune(db, "9999") == 1
    assert [one.id for one in waiting.oldest(db, "desk", 9)] == [second.id]


def test_what_waits_for_a_channel_that_is_no_more_goes_to_another(db: sqlite3.Connection) -> None:
    many = fill(db, 2, "old")
    waiting.delivered(db, "old", many[0].id)
    waiting.readdress(db, "old", "log")
    assert waiting.channels(db).keys() == {"log"}
    assert waiting.deliveries(db, [many[0].id])[0].channel == "old"


def test_how_channels_have_done_is_kept(db: sqlite3.Connection) -> None:
    failed = Breaker().failed(NOW, "it hangs", "look at it")
    waiting.keep_breaker(db, "desk", failed)
    assert waiting.breakers(db) == {"desk": failed}
    waiting.keep_breaker(db, "desk", Breaker())
    assert waiting.breakers(db) == {"desk": Breaker()}


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        "[]",
        "\x00",
        '{"id": "x"}',
        '{"id": "x", "group": "g", "bank": "b", "alerts": 5, "firing": 1, "resolved": 0}',
        '{"id": "x", "group": "g", "bank": "b", "alerts": [], "firing": "1", "resolved": 0}',
        '{"id": "x", "group": "g", "bank": "b", "alerts": [{}], "firing": 1, "resolved": 0}',
        '{"id": "x", "group": "g", "bank": "b", "alerts": [7], "firing": 1, "resolved": 0}',
    ],
)
def test_a_message_that_was_tampered_with_is_still_a_message(db: sqlite3.Connection, body: str) -> None:
    first, second = fill(db, 2)
    db.execute("UPDATE deliveries SET body = ?, created_at = 'then', tries = 'x' WHERE id = ?", (body, first.id))
    found = waiting.oldest(db, "desk", 9)
    assert [one.id for one in found] == [first.id, second.id]
    assert Message(found[0].notice).text() == "memorybank : 0 alerts (a damaged message)\n"
    assert json.loads(Message(found[0].notice).body())["id"] == first.id
    assert waiting.merged(found).stands_for == 2
    assert waiting.age(found[0].created_at) == timedelta()


def test_what_was_tampered_with_opens_no_breaker_and_claims_nothing(db: sqlite3.Connection) -> None:
    for name, value in (("failures", "many"), ("wait", b"x"), ("tried", "now"), ("reason", b"\x1b")):
        waiting.keep_breaker(db, "desk", Breaker().failed(NOW, "it hangs"))
        db.execute(f"UPDATE channels SET {name} = ?", (value,))  # noqa: S608 - names of columns
        assert waiting.breakers(db) == {"desk": Breaker()}
    db.execute("UPDATE channels SET claim = 'other', claimed = 'x', claim_for = 'y', claim_boot = 'one'")
    assert waiting.claim(db, "desk", "a", NOW, 10)
    db.execute("UPDATE channels SET claim = 'other', claimed = 999.0, claim_for = 1e12, wait = 1e12, boot = 'one'")
    assert not waiting.claim(db, "desk", "a", NOW, 10)
    assert waiting.claim(db, "desk", "a", Moment("one", 1_000.0 + 3_600.0), 10)


def test_an_age_is_never_negative() -> None:
    assert waiting.age("2999-01-01T00:00:00Z") == timedelta()
    assert waiting.age("2001-01-01T00:00:00Z") > timedelta(days=9_000)


def test_one_process_at_a_time_sends(db: sqlite3.Connection) -> None:
    assert waiting.claim(db, "desk", "a", NOW, 10)
    assert waiting.claim(db, "desk", "a", NOW, 10)
    assert not waiting.claim(db, "desk", "b", Moment("one", 1_009.0), 10)
    assert waiting.claim(db, "hook", "b", NOW, 10)
    assert waiting.claim(db, "desk", "b", Moment("one", 1_010.0), 10)
    assert not waiting.claim(db, "desk", "a", Moment("one", 1_011.0), 10)
    waiting.keep_breaker(db, "desk", Breaker())
    assert waiting.claim(db, "desk", "a", Moment("one", 1_011.0), 10)
    assert waiting.claim(db, "desk", "b", Moment("two", 1_011.0), 10), "the machine was started anew"


def test_a_chain_of_messages_that_somebody_damaged_ends(db: sqlite3.Connection) -> None:
    first, second = fill(db, 2)
    db.execute("UPDATE deliveries SET merged_into = ? WHERE id = ?", (second.id, first.id))
    db.execute("UPDATE deliveries SET merged_into = ? WHERE id = ?", (first.id, second.id))
    assert len(waiting.deliveries(db, [first.id])) == 1
    db.execute("UPDATE deliveries SET merged_into = 'nothing'")
    assert len(waiting.deliveries(db, [first.id])) == 1


def test_of_what_is_not_named_any_more_security_is_the_last() -> None:
    told = [
        row(
            notice(
                "desk",
                *(alert(number, "error") for number in range(waiting.SUMMARISED)),
                replace(alert(99, "warning"), rule="MB303"),
            )
        )
    ]
    assert waiting.merged(told).notice["alerts"][0]["rule"] == "MB303"
