"""The outbox with real databases, threads and servers that fail, hang and come back."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from memorybank_cli.alerts import breaker, outbox, waiting
from memorybank_cli.alerts.breaker import Breaker, Moment
from memorybank_cli.alerts.channels.values import Channel, Message, Undelivered
from memorybank_cli.alerts.delivering import SPARE, Attempt, Deliverer
from memorybank_cli.alerts.outbox import Outbox
from memorybank_cli.alerts.values import Notice
from memorybank_cli.alerts.waiting import Waiting
from memorybank_cli.bank.events import EventStore
from memorybank_cli.base import clock
from memorybank_cli.base.walk import Root
from tests.alerts.receivers import Receiver, alert, hang, notice, receiver, status
from tests.waiting import until


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    (tmp_path / "bank").mkdir()
    found = Root(tmp_path / "bank")
    yield found
    found.close()


@contextmanager
def opened(root: Root, definitions: dict[str, Any] | None = None) -> Iterator[Outbox]:
    """An outbox as a process has it."""
    with closing(EventStore(root)) as store:
        box = Outbox(store, definitions or {}, root, os.geteuid())
        yield box
        box.close()


def hook(there: Receiver, **more: Any) -> dict[str, Any]:
    return {"kind": "webhook", "url": there.url, "allow_private": True, "timeout": 20, **more}


def put(box: Outbox, *notices: Notice) -> None:
    with box.store.writing():
        for one in notices:
            box.put(one)


def ids(there: Receiver) -> list[str]:
    return [json.loads(body)["id"] for body in there.bodies]


def logged(root: Root) -> list[str]:
    return [json.loads(line)["id"] for line in root.read(".memorybank/alerts.log").splitlines()]


def lines(box: Outbox, kind: str) -> Iterator[dict[str, Any]]:
    """Lines of a kind that the thread tells, until it told one."""
    found: list[dict[str, Any]] = []

    def look() -> bool:
        found.extend(one for one in box.drain() if one["type"] == kind)
        return bool(found)

    until(look)
    return iter(found)


# One shot


def test_notices_reach_their_channels_in_order(root: Root) -> None:
    with receiver() as there, opened(root, {"desk": hook(there)}) as box:
        told = [notice("desk", alert(number)) for number in range(5)]
        logs = notice("log")
        put(box, *told, logs)
        found = box.deliver(20)
        assert ids(there) == [one.id for one in told]
        assert logged(root) == [logs.id]
        assert [(one["type"], one["channel"], one["breaker"]) for one in found if one["channel"] == "desk"] == [
            ("delivered", "desk", "closed")
        ] * 5
        assert all(one.delivered_at for one in waiting.deliveries(box.store.db, [told[0].id, logs.id]))
        assert (box.deliver(20), box.findings(), box.next_due()) == ([], [], float("inf"))


def test_what_was_put_before_a_kill_is_told_by_the_next_process(root: Root) -> None:
    script = f"""
        import os
        from memorybank_cli.alerts.outbox import Outbox
        from memorybank_cli.bank.events import EventStore
        from memorybank_cli.base.walk import Root
        from tests.alerts.receivers import notice
        root = Root({root.path!r})
        store = EventStore(root)
        with store.writing():
            Outbox(store, {{}}, root, os.geteuid()).put(notice("log"))
        os.kill(os.getpid(), 9)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == -9
    with opened(root) as box:
        assert [one["type"] for one in box.deliver(20)] == ["delivered"]
    assert len(logged(root)) == 1


SENDER = """
    import os, sys
    from memorybank_cli.alerts import delivering
    from memorybank_cli.alerts.outbox import Outbox
    from memorybank_cli.bank.events import EventStore
    from memorybank_cli.base.walk import Root
    from tests.alerts.receivers import notice

    place, url = sys.argv[1:]
    delivering.SPARE = -20.9  # claims of those who are killed end after a tenth of a second
    root = Root(place)
    store = EventStore(root)
    hook = {"kind": "webhook", "url": url, "allow_private": True, "timeout": 20}
    box = Outbox(store, {"desk": hook}, root, os.geteuid())
    box.start()
    while True:
        told = notice("desk")
        with store.writing():
            box.put(told)
        print(told.id, flush=True)
        box.wake()
"""


@pytest.mark.slow
def test_whoever_is_killed_while_it_sends_loses_nothing(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memorybank_cli.alerts.delivering.SPARE", -20.9)
    told: list[str] = []
    command = [sys.executable, "-c", textwrap.dedent(SENDER), root.path]
    with receiver() as there:
        for number in range(8):
            with subprocess.Popen(
                [*command, there.url], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
            ) as process:
                assert process.stdout is not None
                told += [process.stdout.readline().strip() for _ in range(3 + 7 * number)]
                process.kill()
                told += process.stdout.read().split()
        with opened(root, {"desk": hook(there)}) as box:

            def all_sent() -> bool:
                box.deliver(20)
                return waiting.count(box.store.db, "desk") == 0

            until(all_sent)
            arrived = set(ids(there))
            lost = [one for one in told if one not in arrived]
            assert all(one.delivered_at for one in waiting.deliveries(box.store.db, lost)), "some became part of others"
    assert len(told) > 100


def test_a_transaction_that_is_undone_tells_nothing(root: Root) -> None:
    with opened(root) as box:
        with suppress(ZeroDivisionError), box.store.writing():
            box.put(notice("log"))
            raise ZeroDivisionError
        assert box.deliver(20) == []


def test_a_channel_that_hangs_holds_up_no_other(root: Root) -> None:
    with receiver(hang) as stuck, receiver() as there:
        with opened(root, {"stuck": hook(stuck), "desk": hook(there)}) as box:
            put(box, notice("stuck"), notice("desk"), notice("desk"), notice("log"))
            found: list[dict[str, Any]] = []

            def others() -> bool:
                found.extend(box.deliver(0.2))
                return len(found) == 3

            until(others)
            assert sorted(one["channel"] for one in found) == ["desk", "desk", "log"]
            until(lambda: len(stuck.requests) == 1)
        with opened(root, {"stuck": hook(stuck), "desk": hook(there)}) as box:
            assert box.deliver(0.1) == [], "somebody may still be sending"
            assert waiting.count(box.store.db, "stuck") == 1


def test_a_channel_that_does_not_exist(root: Root) -> None:
    told = notice("nobody")
    with opened(root) as box:
        put(box, told)
        assert [(one["channel"], one["type"]) for one in box.deliver(20)] == [("log", "delivered")]
        [finding] = box.findings()
        assert (finding.rule, finding.pointer) == ("MB555", "/channels/nobody")
    assert json.loads(root.read(".memorybank/alerts.log"))["channel"] == "nobody"


def test_a_route_to_no_channel_is_told_before_anything_goes_there(root: Root) -> None:
    with opened(root, {"odd": {"kind": "fax"}}) as box:
        found = box.findings(["log", "terminal", "odd", "dekc"])
        assert [(one.rule, one.pointer) for one in found] == [("MB554", "/channels/odd"), ("MB555", "/channels/dekc")]


def test_what_waits_for_a_channel_that_is_removed_goes_to_the_log(root: Root) -> None:
    with receiver(status(500)) as there, opened(root, {"desk": hook(there)}) as box:
        told = notice("desk")
        put(box, told)
        assert [one["type"] for one in box.deliver(20)] == ["undelivered"]
    with opened(root) as box:
        assert [one["channel"] for one in box.deliver(20)] == ["log"]
        assert [one.rule for one in box.findings()] == ["MB555"]
    assert logged(root) == [told.id]


def test_what_is_for_a_channel_with_a_mistake_waits_until_that_is_corrected(root: Root) -> None:
    with receiver() as there:
        with opened(root, {"desk": hook(there, passwort="x")}) as box:
            put(box, told := notice("desk"))
            assert box.deliver(20) == []
            [finding] = box.findings()
            assert (finding.rule, finding.severity) == ("MB554", "error")
            assert box.names == {"log"}
        with opened(root, {"desk": hook(there)}) as box:
            box.deliver(20)
        assert ids(there) == [told.id]


# The breaker


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries follow at once."""
    monkeypatch.setattr(breaker, "FIRST_WAIT", 0.0)


@pytest.mark.usefixtures("impatient")
def test_a_channel_that_fails_opens_its_breaker_which_outlives_the_process(root: Root) -> None:
    with receiver(status(500)) as there:
        definitions = {"desk": hook(there)}
        with opened(root, definitions) as box:
            put(box, notice("desk"), notice("desk"))
            found = box.deliver(20)
            assert [one["breaker"] for one in found] == ["closed", "open"], "its first failure, and that it opened"
            assert len(there.requests) == breaker.OPENS_AT
        for _ in range(3):
            with opened(root, definitions) as box:
                assert box.deliver(20) == []
                [finding] = box.findings()
                assert (finding.rule, finding.severity) == ("MB552", "error")
                assert "answered 500" in finding.message
                assert 25 < box.next_due() - time.monotonic() <= 60
        assert len(there.requests) == breaker.OPENS_AT


class Clock:
    """Moments that pass when the test says so."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> Moment:
        return Moment("one", self.seconds)


class Scripted:
    """A channel that does what it is told; `taken` are the messages that it took."""

    limit = 5.0

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.taken: list[Message] = []
        self.tried = 0

    def send(self, message: Message) -> None:
        self.tried += 1
        if self.error is not None:
            raise self.error
        self.taken.append(message)

    def close(self) -> None: ...


def worker(root: Root, channel: Channel, now: Callable[[], Moment]) -> Deliverer:
    return Deliverer(EventStore(root), {"desk": channel}, now=now)


def rounds(one: Deliverer) -> list[Attempt]:
    """Whatever is due now, to its end."""
    found: list[Attempt] = []
    while True:
        one.wake.clear()
        found += one.step()
        if not one.is_busy:
            return found
        assert one.wake.wait(20)


def add(one: Deliverer, told: Notice) -> Notice:
    with one.store.writing() as db:
        waiting.add(db, Waiting(told.id, told.channel, told.as_dict(), told.created_at))
    return told


def test_a_channel_that_is_down_for_a_day_is_told_everything_afterwards(
    root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every twenty minutes a notice, and a process that tries, as from cron; of many that wait some become one."""
    monkeypatch.setattr(waiting, "MOST", 20)
    channel, now = Scripted(), Clock()
    channel.error = Undelivered("it is down", hint="wait")
    yesterday = clock.show(datetime.now(UTC) - timedelta(days=1))
    told = []
    for number in range(72):
        one = worker(root, channel, now)
        told.append(add(one, notice("desk", alert(number), created_at=yesterday)))
        rounds(one)
        one.store.close()
        now.seconds += 1_200
    assert channel.tried < 50, "an open breaker lets few through"
    channel.error = None
    now.seconds += breaker.LONGEST_OPEN
    one = worker(root, channel, now)
    before = {name: each.state(now()) for name, each in waiting.breakers(one.store.db).items()}
    found = rounds(one)
    assert before == {"desk": "half-open"}
    assert found[0].news
    assert sum(message.stands_for for message in channel.taken) == 72
    named = sum(message.notice["firing"] for message in channel.taken)
    assert named == 72
    assert len(channel.taken) <= 20
    assert channel.taken[0].late > 86_000
    assert "Late by 1 day" in channel.taken[0].text()
    assert waiting.breakers(one.store.db) == {"desk": Breaker()}
    assert all(each.delivered_at for each in waiting.deliveries(one.store.db, [each.id for each in told]))
    one.store.close()


def test_half_open_lets_one_through_and_opens_for_longer_when_that_fails(root: Root) -> None:
    channel, now = Scripted(), Clock()
    channel.error = Undelivered("it is down")
    one = worker(root, channel, now)
    for _ in range(3):
        add(one, notice("desk"))
    for _ in range(breaker.OPENS_AT):
        rounds(one)
        now.seconds += one.breakers["desk"].left(now()) + 0.001
    assert (channel.tried, one.breakers["desk"].state(now())) == (breaker.OPENS_AT, "half-open")
    [again] = rounds(one)
    assert (again.state, again.news, channel.tried) == ("open", False, breaker.OPENS_AT + 1)
    assert one.breakers["desk"].wait >= breaker.FIRST_OPEN
    assert one.due() == one.breakers["desk"].wait
    one.store.close()


def test_a_receiver_that_asks_for_a_wait_gets_it(root: Root) -> None:
    channel, now = Scripted(), Clock()
    channel.error = Undelivered("too many", wait=500.0)
    one = worker(root, channel, now)
    add(one, notice("desk"))
    rounds(one)
    now.seconds += 499
    rounds(one)
    assert channel.tried == 1
    now.seconds += 1
    channel.error = None
    [attempt] = rounds(one)
    assert (attempt.reason, channel.taken[0].tries) == ("", 2)
    one.store.close()


def test_what_a_receiver_finds_too_long_is_told_shorter(root: Root) -> None:
    channel, now = Scripted(), Clock()
    channel.error = Undelivered("it answered 413", refused=True)
    one = worker(root, channel, now)
    told = add(one, notice("desk", *(alert(number) for number in range(20))))
    assert [each.refused for each in rounds(one)] == [True]
    now.seconds += 100
    channel.error = None
    rounds(one)
    assert (channel.taken[0].id, channel.taken[0].notice["alerts"]) == (told.id, [])
    assert channel.taken[0].text().endswith("... and 20 more: memorybank alert list\n")
    one.store.close()


def test_a_defect_in_a_channel_is_a_failure_like_others(root: Root) -> None:
    channel, now = Scripted(), Clock()
    channel.error = ZeroDivisionError("s3cret")
    one = worker(root, channel, now)
    add(one, notice("desk"))
    assert [each.reason for each in rounds(one)] == ["it failed inside (ZeroDivisionError)"]
    one.store.close()


def test_a_channel_that_never_returns_is_given_up(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()

    class Stuck(Scripted):
        limit = 0.01

        def send(self, message: Message) -> None:
            over.wait(30)

    monkeypatch.setattr("memorybank_cli.alerts.delivering.SPARE", 0.01)
    one = worker(root, Stuck(), Clock())
    add(one, notice("desk"))
    assert one.step() == []
    found: list[Attempt] = []

    def look() -> bool:
        found.extend(one.step())
        return bool(found)

    until(look)
    assert [each.reason for each in found] == ["no end within 0.02 seconds"]
    assert waiting.count(one.store.db, "desk") == 1
    over.set()
    one.store.close()


def test_a_process_that_died_while_it_sent_is_followed_by_another(root: Root) -> None:
    first, now = Scripted(), Clock()
    dead, alive = worker(root, first, now), worker(root, Scripted(), now)
    told = add(dead, notice("desk"))
    with dead.store.writing() as db:
        assert waiting.claim(db, "desk", "dead", now(), first.limit + SPARE)
    assert rounds(alive) == []
    assert alive.due() == 1.0
    now.seconds += first.limit + SPARE
    assert [each.notice["id"] for each in rounds(alive)] == [told.id]
    dead.store.close()
    alive.store.close()


def test_two_processes_send_each_message_once(root: Root) -> None:
    with receiver() as there:
        definitions = {"desk": hook(there)}
        with opened(root, definitions) as box:
            told = [notice("desk", alert(number)) for number in range(60)]
            put(box, *told)

        def work() -> None:
            with opened(root, definitions) as box:
                while waiting.count(box.store.db, "desk"):
                    box.deliver(20)
                    time.sleep(0.001)

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert ids(there) == [one.id for one in told]


def test_a_claim_is_taken_only_with_a_message(root: Root) -> None:
    channel, now = Scripted(), Clock()
    one, other = worker(root, channel, now), worker(root, Scripted(), now)
    told = add(one, notice("desk"))
    assert one._claimed("desk", 60.0) is not None
    with other.store.writing() as db:
        waiting.delivered(db, "desk", told.id)
        waiting.keep_breaker(db, "desk", Breaker())
    assert one._claimed("desk", 60.0) is None
    add(one, notice("desk"))
    assert len(rounds(other)) == 1
    for each in (one, other):
        each.store.close()


def test_a_database_that_others_keep_busy_is_tried_again(root: Root) -> None:
    channel, now = Scripted(), Clock()
    one, other = worker(root, channel, now), EventStore(root)
    told = add(one, notice("desk"))
    one.store.db.execute("PRAGMA busy_timeout=20")
    with other.writing():
        assert rounds(one) == []
        assert one.due() == 1.0
    assert [each.notice["id"] for each in rounds(one)] == [told.id]
    one.store.close()
    other.close()


# A disk that is full


@contextmanager
def full(store: EventStore) -> Iterator[None]:
    """SQLite cannot take one page more, as on a full disk."""
    [pages] = store.db.execute("PRAGMA page_count").fetchone()
    store.db.execute(f"PRAGMA max_page_count={pages}")
    yield
    store.db.execute("PRAGMA max_page_count=1073741823")


@pytest.mark.usefixtures("impatient")
def test_a_full_disk_is_told_all_the_same(root: Root) -> None:
    with receiver(status(500), status(204)) as there, opened(root, {"desk": hook(there)}) as box:
        large = notice("desk", *(alert(number, message="x" * 3_000) for number in range(20)))
        with full(box.store):
            with pytest.raises(sqlite3.OperationalError, match="full"):
                put(box, large)
            box.hold(large)
            found = box.deliver(20)
            assert [one["type"] for one in found] == ["undelivered", "delivered"]
            assert ids(there) == [large.id] * 2
            assert box.deliver(20) == []
        put(box, after := notice("desk"))
        box.deliver(20)
        assert ids(there)[2:] == [after.id]
        [one, _] = waiting.deliveries(box.store.db, [large.id, after.id])
        assert one.delivered_at is not None


def test_what_is_held_is_written_as_soon_as_that_can_be_done(root: Root) -> None:
    with receiver(status(500)) as there:
        with opened(root, {"desk": hook(there)}) as box:
            large = notice("desk", *(alert(number, message="x" * 3_000) for number in range(20)))
            with full(box.store):
                box.hold(large)
                box.deliver(20)
            box.deliver(20)
            assert waiting.count(box.store.db, "desk") == 1
        with closing(EventStore(root)) as store:
            assert waiting.breakers(store.db)["desk"].failures >= 1


@contextmanager
def frozen(store: EventStore) -> Iterator[None]:
    """SQLite reads and writes nothing, as on a file system that went read-only."""
    store.db.execute("PRAGMA query_only=ON")
    yield
    store.db.execute("PRAGMA query_only=OFF")


@pytest.mark.usefixtures("impatient")
def test_what_waited_on_disk_is_sent_once_though_that_cannot_be_written_down(root: Root) -> None:
    with receiver(status(500), status(204)) as there, opened(root, {"desk": hook(there)}) as box:
        told = [notice("desk"), notice("desk")]
        put(box, *told)
        with frozen(box.store):
            assert [one["type"] for one in box.deliver(20)] == ["undelivered", "delivered", "delivered"]
            assert box.deliver(20) == []
            assert ids(there) == [told[0].id, told[0].id, told[1].id]
        assert waiting.count(box.store.db, "desk") == 2
        assert box.deliver(20) == []
        assert waiting.count(box.store.db, "desk") == 0
        assert [one.tries for one in waiting.deliveries(box.store.db, [told[0].id])] == [2]


def test_a_message_in_memory_is_retried_as_one_on_disk(root: Root) -> None:
    channel, now = Scripted(), Clock()
    channel.error = Undelivered("it answered 413", refused=True)
    held: SimpleQueue[Waiting] = SimpleQueue()
    one = Deliverer(EventStore(root), {"desk": channel}, held, now=now)
    told = notice("desk", *(alert(number) for number in range(3)))
    held.put(Waiting(told.id, "desk", told.as_dict(), told.created_at))
    with frozen(one.store):
        rounds(one)
        now.seconds += 100
        channel.error = None
        rounds(one)
    [taken] = channel.taken
    assert (taken.id, taken.tries, taken.notice["alerts"]) == (told.id, 2, [])
    one.store.close()


def test_memory_too_holds_no_more_than_some(root: Root) -> None:
    channel, now = Scripted(), Clock()
    channel.error = Undelivered("it is down")
    held: SimpleQueue[Waiting] = SimpleQueue()
    store = EventStore(root)
    store.in_memory = True
    one = Deliverer(store, {"desk": channel}, held, now=now)
    for _ in range(3 * waiting.MOST):
        told = notice("desk")
        held.put(Waiting(told.id, "desk", told.as_dict(), told.created_at))
        rounds(one)
    assert len(one._unsaved["desk"]) <= waiting.MOST
    assert sum(each.stands_for for each in one._unsaved["desk"]) == 3 * waiting.MOST
    store.close()


def test_a_bank_that_cannot_be_written_is_told_about_from_memory(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("memorybank_cli.base.files.make_database", refuse)
    with receiver() as there, opened(root, {"desk": hook(there)}) as box:
        assert box.store.in_memory
        put(box, told := notice("desk"))
        box.deliver(20)
        assert ids(there) == [told.id]
        assert box.deliver(0.1) == []
    assert len(there.requests) == 1
    with receiver() as there, opened(root, {"desk": hook(there)}) as box:
        box.start()
        put(box, told := notice("desk"))
        box.wake()
        until(lambda: ids(there) == [told.id])


def test_a_database_that_breaks_while_it_is_open(root: Root) -> None:
    with receiver() as there, opened(root, {"desk": hook(there)}) as box:
        box.store.db.execute("DROP TABLE deliveries")
        box.store.db.execute("DROP TABLE channels")
        box.hold(told := notice("desk"))
        assert [one["type"] for one in box.deliver(20)] == ["delivered"]
        assert ids(there) == [told.id]
        assert box.deliver(0.1) == []
        assert box.findings() == []


# In a thread


def test_a_thread_delivers_what_is_put(root: Root) -> None:
    with receiver() as there, opened(root, {"desk": hook(there)}) as box:
        box.start()
        for _ in range(3):
            put(box, told := notice("desk"))
            box.wake()
            assert next(lines(box, "delivered"))["notice"] == told.id
        assert box.next_due() == float("inf")
        assert box.drain() == []


def test_a_thread_finds_what_other_processes_leave(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "LOOKS_EVERY", 0.02)
    with receiver() as there, opened(root, {"desk": hook(there)}) as box:
        box.start()
        with opened(root, {"desk": hook(there)}) as other:
            put(other, told := notice("desk"))
        until(lambda: ids(there) == [told.id])


@pytest.mark.usefixtures("impatient")
def test_a_thread_tells_when_a_channel_fails_and_comes_back(root: Root) -> None:
    with receiver(status(500), status(500), status(204)) as there, opened(root, {"desk": hook(there)}) as box:
        box.start()
        put(box, notice("desk"))
        box.wake()
        told: list[dict[str, Any]] = []

        def both() -> bool:
            told.extend(box.drain())
            return len(told) == 2

        until(both)
        assert [one["type"] for one in told] == ["undelivered", "delivered"]
        assert "answered 500" in told[0]["reason"]


def test_a_channel_that_is_repaired_by_hand_is_noticed(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "LOOKS_EVERY", 0.02)
    with receiver() as there, opened(root, {"desk": hook(there)}) as box:
        down = Breaker()
        for _ in range(breaker.OPENS_AT):
            down = down.failed(Moment.now(), "it hangs")
        with box.store.writing() as db:
            waiting.keep_breaker(db, "desk", down)
        put(box, told := notice("desk"))
        box.start()
        until(lambda: [one.rule for one in box.findings()] == ["MB552"])
        assert there.requests == []
        with box.store.writing() as db:
            waiting.keep_breaker(db, "desk", Breaker())
        until(lambda: ids(there) == [told.id])
        until(lambda: not box.findings())


def test_closing_tells_what_was_put_last(root: Root) -> None:
    with closing(EventStore(root)) as store:
        for _ in range(5):
            box = Outbox(store, {}, root, os.geteuid())
            box.start()
            put(box, told := notice("log"))
            box.hold(also := notice("log"))
            box.wake()
            box.close(20)
            assert logged(root)[-2:] in ([told.id, also.id], [also.id, told.id])


def test_closing_waits_for_nobody_for_longer_than_it_may(root: Root) -> None:
    with receiver(hang) as there, opened(root, {"desk": hook(there)}) as box:
        box.start()
        put(box, notice("desk"))
        box.wake()
        until(lambda: there.requests)
        box.close(0.05)
        assert waiting.count(box.store.db, "desk") == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_ended_by_a_defect_is_told(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Deliverer) -> list[Attempt]:
        raise ZeroDivisionError

    monkeypatch.setattr(Deliverer, "step", fail)
    with opened(root) as box:
        box.start()
        until(box.findings)
        assert [(one.rule, one.severity) for one in box.findings()] == [("MB553", "error")]


def test_a_database_that_is_busy_at_first(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    failed: list[int] = []

    def busy(where: Root, patience: float) -> EventStore:
        if not failed:
            failed.append(1)
            box._wake.set()
            raise sqlite3.OperationalError("database is locked")
        return EventStore(where, patience)

    with opened(root) as box:
        put(box, told := notice("log"))
        monkeypatch.setattr(outbox, "EventStore", busy)
        box.start()
        until(lambda: root.stat(".memorybank/alerts.log") and logged(root) == [told.id])
    assert failed


# The file


def test_what_waits_in_a_file_that_somebody_removes_comes_along(root: Root) -> None:
    with receiver(status(500), status(204)) as there, opened(root, {"desk": hook(there)}) as box:
        told = notice("desk")
        put(box, told)
        box.start()
        until(lambda: len(there.requests) == 1)
        next(lines(box, "undelivered"))
        for name in ("", "-wal", "-shm"):
            os.unlink(root.absolute(f".memorybank/findings.sqlite{name}"))
        box.wake()
        until(lambda: len(there.requests) == 2)
        next(lines(box, "delivered"))
    assert ids(there) == [told.id] * 2
    with opened(root) as box:
        until(lambda: all(one.delivered_at for one in waiting.deliveries(box.store.db, [told.id])))


def test_one_that_began_in_memory_finds_what_is_put_on_disk_later(root: Root) -> None:
    os.makedirs(root.absolute(".memorybank/findings.sqlite"))
    with receiver() as there, opened(root, {"desk": hook(there)}) as box:
        assert box.store.in_memory
        box.hold(first := notice("desk"))
        box.start()
        until(lambda: ids(there) == [first.id])
        os.rmdir(root.absolute(".memorybank/findings.sqlite"))
        assert box.store.return_to_disk()
        put(box, second := notice("desk"))
        box.wake()
        until(lambda: ids(there) == [first.id, second.id])


def test_other_definitions_lose_nothing_that_is_held(root: Root) -> None:
    os.makedirs(root.absolute(".memorybank/findings.sqlite"))
    with receiver(status(500)) as bad, receiver() as good, opened(root, {"desk": hook(bad)}) as box:
        box.hold(told := notice("desk"))
        box.start()
        next(lines(box, "undelivered"))
        box.define({"desk": hook(good)})
        until(lambda: ids(good) == [told.id])


def test_one_that_is_sending_while_its_channel_goes_away(root: Root) -> None:
    with receiver(hang) as there, opened(root, {"desk": hook(there, timeout=1)}) as box:
        told = notice("desk")
        put(box, told)
        box.start()
        until(lambda: there.requests)
        box.define({})
        until(lambda: root.stat(".memorybank/alerts.log") and logged(root) == [told.id])
        assert box.is_alive
        assert [one.rule for one in box.findings()] == ["MB555"]
