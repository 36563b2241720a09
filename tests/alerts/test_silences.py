from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from memorybank_cli.alerts.grouping import muting
from memorybank_cli.alerts.matching import Matcher, matcher
from memorybank_cli.alerts.silences import LONGEST, Silence, Silences
from memorybank_cli.base.errors import NotFound, UsageError
from tests.alerts.feeding import damage, ledger, open_to_others, pass_time


def soon(hours: float = 1) -> datetime:
    return datetime.now(UTC) + timedelta(hours=hours)


def test_a_silence_covers_what_it_means_until_it_ends(tmp_path: Path) -> None:
    with ledger(tmp_path) as book:
        book.looked([damage("trades/a.json"), damage("state/a.json")], "watch")
        silences = Silences(book.store)
        made = silences.add(matcher({"section": "trades"}), "the bot is rebuilt", "me", soon())
        assert (made.reason, made.created_by, made.active) == ("the bot is rebuilt", "me", True)
        assert silences.active() == silences.all() == [made]
        state, trades = sorted(book.firing(), key=lambda one: one.path)
        assert made.covers(trades)
        assert not made.covers(state)
        muted = muting(book.firing(), silences.active())
        assert muted(trades) == f"silenced until {made.ends_at} by {made.id}: the bot is rebuilt"
        assert muted(state) == ""
        pass_time(book.store, 3_601)
        assert silences.active() == []
        assert not silences.one(made.id).covers(trades)


def test_a_wall_clock_that_is_set_back_lets_no_silence_grow(tmp_path: Path) -> None:
    with ledger(tmp_path) as book:
        silences = Silences(book.store)
        made = silences.add(matcher({"rule": "MB1"}), "x", "me", soon())
        book.store.db.execute("UPDATE alert_silences SET ends_at = '2199-01-01T00:00:00.000000Z'")
        assert silences.one(made.id).active
        pass_time(book.store, 3_601)
        assert not silences.one(made.id).active


def test_a_wall_clock_that_is_set_ahead_ends_it(tmp_path: Path) -> None:
    with ledger(tmp_path) as book:
        silences = Silences(book.store)
        made = silences.add(matcher({"rule": "MB1"}), "x", "me", soon())
        book.store.db.execute("UPDATE alert_silences SET ends_at = '2001-01-01T00:00:00.000000Z'")
        assert not silences.one(made.id).active


def test_it_can_be_ended(tmp_path: Path) -> None:
    with ledger(tmp_path) as book:
        silences = Silences(book.store)
        made = silences.add(matcher({"rule": "MB1"}), "x", "me", soon())
        ended = silences.end(made.id)
        assert not ended.active
        assert ended.ends_at < made.ends_at
        assert silences.end(made.id) == ended
        with pytest.raises(NotFound, match="there is no silence 'none'"):
            silences.end("none")


def test_security_is_silenced_by_its_rule_only(tmp_path: Path) -> None:
    with ledger(tmp_path) as book:
        book.looked([open_to_others()], "watch")
        [alert] = book.firing()
        for condition, covered in (
            ({"section": "trades"}, False),
            ({"severity": "info"}, False),
            ({"rule": "MB3"}, False),
            ({"rule": ["MB3", "MB303"]}, True),
            ({"rule": "MB303"}, True),
        ):
            made = Silences(book.store).add(matcher(condition), "x", "me", soon())
            assert made.covers(alert) == covered, condition


@pytest.mark.parametrize(
    ("what", "reason", "until", "words"),
    [
        (Matcher(), "x", soon(), "which alerts"),
        (matcher({"rule": "MB1"}), " ", soon(), "needs a reason"),
        (matcher({"rule": "MB1"}), "x", soon(-1), "ends after now"),
        (matcher({"rule": "MB1"}), "x", datetime.now(UTC) + LONGEST + timedelta(days=1), "within 90 days"),
    ],
)
def test_one_without_condition_reason_or_near_end_is_refused(
    tmp_path: Path, what: Matcher, reason: str, until: datetime, words: str
) -> None:
    with ledger(tmp_path) as book:
        with pytest.raises(UsageError, match=words):
            Silences(book.store).add(what, reason, "me", until)
        assert Silences(book.store).all() == []


def test_those_that_ended_long_ago_are_forgotten(tmp_path: Path) -> None:
    with ledger(tmp_path) as book:
        silences = Silences(book.store)
        old = silences.add(matcher({"rule": "MB1"}), "x", "me", soon())
        new = silences.add(matcher({"rule": "MB2"}), "x", "me", soon())
        book.store.db.execute(
            "UPDATE alert_silences SET ends_at = '2020-01-01T00:00:00.000000Z' WHERE id = ?", (old.id,)
        )
        assert book.prune(30) == 1
        assert [one.id for one in silences.all()] == [new.id]


def test_a_silence_as_json(tmp_path: Path) -> None:
    with ledger(tmp_path) as book:
        made: Silence = Silences(book.store).add(matcher({"path": "trades/*"}), "x", "me", soon())
        assert made.as_dict() == {
            "id": made.id,
            "match": {"path": ["trades/*"]},
            "reason": "x",
            "created_at": made.created_at,
            "created_by": "me",
            "ends_at": made.ends_at,
            "active": True,
        }


@pytest.mark.parametrize(
    "change",
    [
        "matcher = '{'",
        "matcher = '[]'",
        """matcher = '{"rule": "x"}'""",
        "reason = x'ff'",
        "ends_at = 'never'",
        "ends_tick = 'x'",
    ],
)
def test_one_that_somebody_damaged_is_damage(tmp_path: Path, change: str) -> None:
    with ledger(tmp_path) as book:
        Silences(book.store).add(matcher({"rule": "MB1"}), "x", "me", soon())
        book.store.db.execute(f"UPDATE alert_silences SET {change}")  # noqa: S608 - ours
        with pytest.raises(sqlite3.DatabaseError, match="a silence in it is damaged"):
            Silences(book.store).active()


def test_what_cannot_be_recorded_does_not_hold(tmp_path: Path) -> None:
    def fail(_one: Silence) -> None:
        raise OSError("no room")

    with ledger(tmp_path) as book:
        with pytest.raises(OSError, match="no room"):
            Silences(book.store).add(matcher({"rule": "MB1"}), "x", "me", soon(), fail)
        assert Silences(book.store).all() == []
