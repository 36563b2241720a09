from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from memorybank_cli.alerts.ledger import Changed, Ledger, Origin, sees
from memorybank_cli.base.errors import NotFound
from memorybank_cli.base.records import Finding
from tests.alerts.feeding import damage, ledger, open_to_others, pass_time, slow


def states(book: Ledger) -> dict[str, str]:
    return {one.rule: one.state for one in [*book.pending(), *book.firing(), *book.resolved()]}


def test_damage_fires_at_once_and_is_resolved_when_it_is_gone(tmp_path: Path) -> None:
    with ledger(tmp_path) as book:
        assert book.looked([damage()], "watch") == Changed(1, 0)
        [alert] = book.firing()
        assert (alert.rule, alert.section, alert.family, alert.times) == ("MB101", "trades", "data", 1)
        assert alert.first_seen == alert.since == alert.last_seen
        assert alert.hint == "memorybank repair trades/a.json"
        assert book.looked([damage()], "watch") == Changed(0, 0)
        [seen] = book.firing()
        assert seen.last_seen > alert.last_seen
        assert seen.since == alert.since
        assert book.looked([], "watch") == Changed(0, 1)
        [over] = book.resolved()
        assert over.resolved_at == over.since > alert.since
        assert book.firing() == []


def test_a_message_that_changes_is_the_same_alert(tmp_path: Path) -> None:
    with ledger(tmp_path) as book:
        book.looked([damage(message="one")], "watch")
        book.looked([damage(message="two")], "watch")
        [alert] = book.firing()
        assert (alert.message, alert.times) == ("two", 1)


def test_what_flaps_fires_after_it_was_there_for_a_while(tmp_path: Path) -> None:
    with ledger(tmp_path) as book:
        book.looked([slow()], "health")
        assert states(book) == {"MB504": "pending"}
        pass_time(book.store, 59)
        book.looked([slow()], "health")
        assert states(book) == {"MB504": "pending"}
        pass_time(book.store, 2)
        assert book.looked([slow()], "health") == Changed(1, 0)
        [alert] = book.firing()
        assert alert.times == 1
        assert alert.since > alert.first_seen


def test_what_was_seen_once_only_leaves_no_trace(tmp_path: Path) -> None:
    with ledger(tmp_path) as book:
        book.looked([slow()], "health")
        book.looked([], "health")
        assert states(book) == {}


def test_time_alone_makes_nothing_fire(tmp_path: Path) -> None:
    with ledger(tmp_path) as book:
        book.looked([slow()], "health")
        pass_time(book.store, 10_000)
        assert states(book) == {"MB504": "pending"}  # who saw it may have ended since
        book.looked([damage()], "watch")  # and does not see it
        assert states(book) == {"MB101": "firing", "MB504": "pending"}


def test_a_flapping_rule_that_is_an_error_does_not_wait(tmp_path: Path) -> None:
    with ledger(tmp_path) as book:
        book.looked([slow()], "health")
        book.looked([Finding("MB504", "every call fails", level="error")], "health")
        assert states(book) == {"MB504": "firing"}


def test_one_that_comes_back_keeps_its_past(tmp_path: Path) -> None:
    with ledger(tmp_path) as book:
        book.looked([damage()], "watch")
        first = book.firing()[0].first_seen
        book.looked([], "watch")
        book.looked([damage()], "watch")
        [alert] = book.firing()
        assert (alert.times, alert.first_seen, alert.resolved_at) == (2, first, None)
        assert alert.since > first


def test_a_pending_one_that_had_fired_before_is_resolved_again(tmp_path: Path) -> None:
    with ledger(tmp_path) as book:
        book.looked([Finding("MB504", "fails", level="error")], "health")
        book.looked([], "health")
        book.looked([slow()], "health")
        assert states(book) == {"MB504": "pending"}
        book.looked([], "health")
        assert states(book) == {"MB504": "resolved"}


@pytest.mark.parametrize(
    ("origin", "rule", "there"),
    [
        ("watch", "MB101", True),
        ("health", "MB101", True),
        ("sampling", "MB101", False),
        ("watch", "MB502", False),
        ("health", "MB502", True),
        ("sampling", "MB502", True),
        ("watch", "MB521", True),
        ("health", "MB521", False),
        ("watch", "MB117", True),
        ("health", "MB117", False),
        ("health", "MB118", True),
        ("alerting", "MB554", True),
        ("health", "MB554", False),
        ("alerting", "MB101", False),
        ("health", "MB560", True),
    ],
)
def test_who_does_not_look_for_a_rule_resolves_nothing(tmp_path: Path, origin: Origin, rule: str, there: bool) -> None:
    assert sees(origin, rule) == there
    finding = Finding(rule, "x", level="error")
    with ledger(tmp_path) as book:
        book.told([finding], [])
        book.looked([], origin)
        assert states(book) == {rule: "resolved" if there else "firing"}


def test_what_is_for_information_is_no_alert(tmp_path: Path) -> None:
    with ledger(tmp_path) as book:
        book.looked([Finding("MB202", "no schema", "trades/a.json")], "watch")
        book.told([Finding("MB202", "no schema", "trades/b.json")], [])
        assert states(book) == {}


def test_a_part_is_told_and_says_nothing_of_the_rest(tmp_path: Path) -> None:
    with ledger(tmp_path) as book:
        assert book.told([damage("trades/a.json"), damage("trades/b.json")], []) == Changed(2, 0)
        assert book.told([damage("trades/c.json")], [damage("trades/a.json")]) == Changed(1, 1)
        assert [one.path for one in book.firing()] == ["trades/b.json", "trades/c.json"]
        assert book.told([], [damage("trades/a.json"), damage("trades/never.json")]) == Changed(0, 0)


def test_security_is_resolved_by_people_only(tmp_path: Path) -> None:
    with ledger(tmp_path) as book:
        book.looked([open_to_others()], "watch")
        book.looked([], "watch")
        [alert] = book.firing()
        assert alert.gone_at is not None
        at = alert.gone_at
        book.looked([], "watch")
        assert book.firing()[0].gone_at == at
        acked = book.acknowledge(alert.fingerprint[:6], "me", "umask corrected")
        assert (acked.state, acked.acked_by, acked.ack_reason) == ("resolved", "me", "umask corrected")
        assert book.firing() == []


def test_security_that_comes_back_unseen_is_news(tmp_path: Path) -> None:
    with ledger(tmp_path) as book:
        book.looked([open_to_others()], "watch")
        book.looked([], "watch")
        book.looked([open_to_others()], "watch")
        [alert] = book.firing()
        assert (alert.gone_at, alert.times) == (None, 2)


def test_what_was_acknowledged_is_resolved_once_it_is_gone(tmp_path: Path) -> None:
    with ledger(tmp_path) as book:
        book.looked([open_to_others(), damage()], "watch")
        for alert in book.firing():
            assert book.acknowledge(alert.fingerprint, "me", "seen").state == "firing"
        book.looked([], "watch")
        assert states(book) == {"MB303": "resolved", "MB101": "resolved"}
        book.looked([open_to_others()], "watch")
        assert book.firing()[0].acked_at is None


def test_what_becomes_worse_is_not_acknowledged_any_more(tmp_path: Path) -> None:
    with ledger(tmp_path) as book:
        book.looked([Finding("MB301", "big", "trades/a.json")], "watch")
        book.acknowledge(book.firing()[0].fingerprint, "me", "seen")
        book.looked([Finding("MB301", "huge", "trades/a.json")], "watch")
        assert book.firing()[0].acked_at is not None
        book.looked([Finding("MB301", "no room", "trades/a.json", level="error")], "watch")
        [alert] = book.firing()
        assert (alert.acked_at, alert.severity) == (None, "error")


def test_an_alert_is_named_by_a_beginning_that_is_one_alone(tmp_path: Path) -> None:
    with ledger(tmp_path) as book:
        book.looked([damage(f"trades/{number}.json") for number in range(40)], "watch")
        whole = book.firing()[7].fingerprint
        assert book.one(whole).fingerprint == whole
        for name in ("", "zz", whole[0], "%"):
            with pytest.raises(NotFound):
                book.one(name)


def test_what_is_long_over_is_forgotten_but_not_before_it_was_told(tmp_path: Path) -> None:
    with ledger(tmp_path) as book:
        book.looked([damage("trades/a.json"), damage("trades/b.json"), damage("trades/c.json")], "watch")
        told = book.firing()[0].fingerprint
        book.store.db.execute("INSERT INTO alert_told VALUES ('log', ?, 'error', 'x')", (told,))
        book.looked([damage("trades/c.json")], "watch")
        assert book.prune(1) == 0
        assert [one.fingerprint for one in book.over()] == [told]
        book.store.db.execute("UPDATE alerts SET resolved_at = '2020-01-01T00:00:00.000000Z' WHERE state = 'resolved'")
        assert book.prune(1) == 1
        assert [one.fingerprint for one in book.resolved()] == [told]
        assert len(book.firing()) == 1


@pytest.mark.parametrize(
    "change",
    ["severity = 'odd'", "state = 'odd'", "last_seen = 'odd'", "message = x'ff'", "times = 'odd'", "rule = x'ff'"],
)
def test_a_row_that_somebody_damaged_is_damage(tmp_path: Path, change: str) -> None:
    with ledger(tmp_path) as book:
        book.looked([damage()], "watch")
        book.store.db.execute(f"UPDATE alerts SET {change}")  # noqa: S608 - ours
        with pytest.raises(sqlite3.DatabaseError, match="damaged"):
            book.looked([damage()], "watch")
        with pytest.raises(sqlite3.DatabaseError, match="damaged"):
            book.one(damage().fingerprint)


def test_a_look_at_no_time_is_damage(tmp_path: Path) -> None:
    with ledger(tmp_path) as book:
        book.looked([], "watch")
        book.store.db.execute("UPDATE alert_looks SET at = 'odd'")
        with pytest.raises(sqlite3.DatabaseError, match="damaged"):
            book.looks()
