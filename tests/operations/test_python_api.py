"""The Python interface: what it stores is durable and read back, threads and tasks share a bank, failures are ours."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from functools import reduce
from pathlib import Path
from typing import Any, assert_type

import pytest

import memorybank_cli
from memorybank_cli import (
    Account,
    AccountNotFound,
    AddedMessages,
    Bank,
    BankNotFound,
    Finding,
    HistoryContext,
    Locked,
    OperationFailed,
    RefreshReport,
    StoredMessage,
    UsageError,
    open_bank,
)
from memorybank_cli.base.errors import NotOurs
from memorybank_cli.operations import python_api
from memorybank_cli.operations.messages import list_
from tests.broken_os import broken, failing
from tests.conftest import MakeBank
from tests.operations.banks import journal, opened
from tests.operations.owners import OWNER, as_root, give_away, own_ids_again, public_place


@pytest.fixture
def path(make_bank: MakeBank) -> Path:
    """A bank with the account alpha."""
    made = make_bank(0, padded=False)
    with open_bank(made) as bank:
        bank.create_account("alpha")
    return made


def contents(path: Path, account: str = "alpha") -> list[str]:
    """What another process would find."""
    with opened(path) as bank:
        return [one["content"] for one in list_(bank, account=account)]


# One message, many, and reading them


def test_what_was_added_is_read_back(path: Path) -> None:
    with open_bank(path) as bank:
        alpha = bank.account("alpha")
        moment = datetime(2026, 11, 20, 15, 0, tzinfo=timezone(timedelta(hours=1)))
        done = alpha.add(role="user", content="buy?", timestamp=moment, id="m1", metadata={"tags": ("a", "b")})
        assert (done.added, done.duplicates, done.account, done.total) == (1, 0, "alpha", 1)
        assert list(alpha.messages()) == [
            {
                "id": "m1",
                "seq": 1,
                "role": "user",
                "content": "buy?",
                "timestamp": "2026-11-20T14:00:00.000000Z",
                "metadata": {"tags": ["a", "b"]},
            }
        ]
        again = alpha.add(role="user", content="buy?", id="m1")
        assert (again.added, again.duplicates, again.total) == (0, 1, 1)
        assert (again.ids, again.duplicate_ids) == (("m1",), ("m1",))
    assert contents(path) == ["buy?"]


def test_a_message_needs_no_more_than_who_and_what(path: Path) -> None:
    before = datetime.now(UTC)
    with open_bank(path) as bank:
        alpha = bank.account("alpha")
        for _ in range(2):  # neither id nor time: two messages
            alpha.add(role="tool", content="same")
        first, second = alpha.messages()
    assert first["id"] != second["id"]
    assert before <= datetime.fromisoformat(first["timestamp"]) <= datetime.now(UTC)
    assert first["metadata"] == {}


def test_a_batch_is_stored_whole_or_not_at_all(path: Path) -> None:
    with open_bank(path) as bank:
        alpha = bank.account("alpha")
        done = alpha.add_many({"role": "user", "content": f"text {number}"} for number in range(60))
        assert (done.added, done.moved_to_mid_term, done.total) == (60, 10, 60)
        with pytest.raises(UsageError, match="message 2"):
            alpha.add_many([{"role": "user", "content": "a"}, {"role": "", "content": "b"}])
        assert alpha.add_many([]).added == 0
    assert contents(path) == [f"text {number}" for number in range(60)]


def test_what_is_read_is_written_back_as_the_same(path: Path) -> None:
    with open_bank(path) as bank:
        alpha, beta = bank.account("alpha"), bank.create_account("beta")
        alpha.add_many([{"role": "user", "content": "a", "metadata": {"n": 10**30}}, {"role": "tool", "content": "b"}])
        beta.add_many(alpha.messages())
        assert list(beta.messages()) == list(alpha.messages())
        assert beta.add_many(alpha.messages()).duplicates == 2


def test_filters(path: Path) -> None:
    with open_bank(path) as bank:
        alpha = bank.account("alpha")
        start = datetime(2026, 11, 20, tzinfo=UTC)
        for hour in range(4):
            role = "user" if hour % 2 else "assistant"
            alpha.add(role=role, content=f"at {hour}", timestamp=start + timedelta(hours=hour))

        def found(**filters: Any) -> list[str]:
            return [one["content"] for one in alpha.messages(**filters)]

        assert found(last=2) == ["at 2", "at 3"]
        assert found(since=start + timedelta(hours=1), until="2026-11-20T03:00:00Z") == ["at 1", "at 2"]
        assert found(role="user", grep="[12]") == ["at 1"]
        with pytest.raises(UsageError, match="--last"):
            alpha.messages(last=-1)
        with pytest.raises(UsageError, match="no zone"):
            alpha.messages(since=datetime(2026, 11, 20))  # noqa: DTZ001


def test_reading_shows_what_others_wrote_since(path: Path) -> None:
    with open_bank(path) as one, open_bank(path) as other:
        mine = one.account("alpha")
        assert list(mine.messages()) == []
        other.account("alpha").add(role="user", content="from the other")
        assert [found["content"] for found in mine.messages()] == ["from the other"]
        other.create_account("beta")
        assert one.account_ids() == ["alpha", "beta"]
        assert one.account("beta").add(role="user", content="hello").total == 1


def test_a_reading_that_goes_on_while_others_write(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(python_api, "AT_ONCE", 3)
    with open_bank(path) as bank:
        alpha = bank.account("alpha")
        alpha.add_many({"role": "user", "content": str(number)} for number in range(10))
        found = []
        for one in alpha.messages():
            found.append(one["content"])
            alpha.add(role="user", content="later")
        assert found == [str(number) for number in range(10)]


def test_the_context_and_its_twin(path: Path) -> None:
    async def work() -> None:
        async with open_bank(path) as bank:
            alpha = bank.account("alpha")
            assert (await alpha.acontext()).status == "initializing"
            await alpha.aadd(role="user", content="we decided to sell 5 ETH at 3,000.")
            done = await alpha.arefresh_context()
            found = alpha.context()
            assert (found.account, found.messages) == ("alpha", 1)
            assert (found.summarised, len(found.summaries)) == (done.summarised, done.summaries)
            assert alpha.refresh_context(all=True).messages == 1

    asyncio.run(work())


def eventually(holds: Callable[[], bool]) -> bool:
    """Whether something becomes so; another thread is at it."""
    return any(holds() or threading.Event().wait(0.02) for _ in range(3_000))


def test_files_follow_while_the_bank_is_open(path: Path) -> None:
    with open_bank(path) as bank:
        bank.account("alpha").add(role="user", content="seen at once")
        assert eventually(lambda: b"seen at once" in (path / "account_alpha/short_term.json").read_bytes())


def test_what_a_killed_process_left_is_rendered_by_the_next_that_opens(path: Path) -> None:
    code = "import os, sys; from memorybank_cli import open_bank; from memorybank_cli.bank import renderer; "
    code += "renderer.PAUSE = 60; bank = open_bank(sys.argv[1]); "
    code += "bank.account('alpha').add(role='user', content='hello'); os._exit(9)"
    assert subprocess.run([sys.executable, "-c", code, path], check=False).returncode == 9
    assert b"hello" not in (path / "account_alpha/short_term.json").read_bytes()
    with open_bank(path):
        assert eventually(lambda: b"hello" in (path / "account_alpha/short_term.json").read_bytes())


def test_a_context_is_refreshed_beside_the_writers(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sklearn")
    monkeypatch.setenv("MEMORYBANK_CONTEXT_MESSAGES", "50")
    with open_bank(path) as bank:
        alpha = bank.account("alpha")
        done = alpha.add_many({"role": "user", "content": f"we decided on number {one}."} for one in range(60))
        assert done.context_refreshed
        assert eventually(lambda: alpha.context().summarised > 0)
        assert alpha.add(role="user", content="more").added == 1


# What is refused


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"role": ""}, "no role"),
        ({"role": "x" * 65}, "the role has 65 characters"),
        ({"content": 5}, "'content' must be a text"),
        ({"timestamp": "yesterday"}, "not a time"),
        ({"timestamp": datetime(2026, 1, 1)}, "no zone"),  # noqa: DTZ001
        ({"timestamp": datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1)))}, "not between the years 1 and 9999"),
        ({"metadata": {"a": {1, 2}}}, "cannot be written as JSON"),
        (
            {"metadata": {"a": reduce(lambda inner, _: {"a": inner}, range(5_000), dict[str, Any]())}},
            "cannot be written as JSON",
        ),
        ({"metadata": {"a": float("nan")}}, "cannot be written as JSON"),
        ({"metadata": ["a"]}, "'metadata' must be an object"),
        ({"content": "\ud800"}, "half a character"),
        ({"metadata": {"a": "\ud800"}}, "cannot be written as JSON"),
        ({"id": "x" * 2_000}, "the id has 2000 characters"),
    ],
)
def test_what_is_no_message_is_refused_and_nothing_is_stored(path: Path, given: dict[str, Any], words: str) -> None:
    with open_bank(path) as bank:
        alpha = bank.account("alpha")
        with pytest.raises(UsageError, match=words):
            alpha.add(**{"role": "user", "content": "x", **given})
        with pytest.raises(UsageError, match="message 1"):
            alpha.add_many([{"role": "user", "content": "x", **given}])
        with pytest.raises(UsageError, match="message 1 is no mapping"):
            alpha.add_many(["text"])  # type: ignore[list-item]
    assert contents(path) == []


def test_no_such_account_and_no_such_bank(path: Path, tmp_path: Path) -> None:
    with open_bank(path) as bank:
        with pytest.raises(AccountNotFound, match="there is no account 'alpa'") as raised:
            bank.account("alpa")
        assert "alpha" in raised.value.hint
        with pytest.raises(UsageError):
            bank.create_account("../up")
    with pytest.raises(BankNotFound):
        open_bank(tmp_path / "nowhere")


def test_a_closed_bank(path: Path) -> None:
    with open_bank(path) as bank:
        alpha = bank.account("alpha")
        alpha.add(role="user", content="x")
        pages = alpha.messages()
    bank.close()
    for call in (lambda: bank.account("alpha"), lambda: alpha.add(role="user", content="y"), lambda: next(pages)):
        with pytest.raises(UsageError, match="was closed"):
            call()


def test_a_bank_is_not_closed_by_a_call_that_uses_it(path: Path) -> None:
    with open_bank(path) as bank:
        with bank.using(), pytest.raises(UsageError, match="cannot be closed by a call"):
            bank.close()
        assert bank.account("alpha").add(role="user", content="x").total == 1


def test_a_close_that_is_interrupted_can_be_repeated(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: Any) -> None:
        raise KeyboardInterrupt

    bank = open_bank(path)
    bank.account("alpha").add(role="user", content="x")
    with monkeypatch.context() as patched:
        patched.setattr(bank._calls, "wait_for", interrupt)
        with pytest.raises(KeyboardInterrupt):
            bank.close()
    bank.close()
    assert b'"x"' in (path / "account_alpha/short_term.json").read_bytes()
    assert not [one for one in threading.enumerate() if one.name.startswith("memorybank-")]


FORKED = """
import os, sys
from concurrent.futures import ThreadPoolExecutor
from memorybank_cli import UsageError, open_bank

def refused(call):
    try:
        call()
    except UsageError as error:
        return "was opened before this process was forked" in error.message

def in_a_child(work):
    child = os.fork()
    if child == 0:
        os._exit(0 if work() else 1)
    assert os.waitpid(child, 0)[1] == 0

def inherited():
    with open_bank(sys.argv[1]) as own:
        own.account("alpha").add(role="user", content="child")
    calls = lambda: alpha.add(role="user", content="x"), lambda: next(pages), bank.account_ids
    done = all(map(refused, calls))
    bank.close()
    return done

def used():
    with bank.using():
        return False

with open_bank(sys.argv[1]) as bank, ThreadPoolExecutor(4) as threads:
    alpha = bank.account("alpha")
    alpha.add(role="user", content="before")
    assert list(alpha.messages(grep="e"))
    pages = alpha.messages()
    in_a_child(inherited)
    writes = [threads.submit(alpha.add, role="user", content=str(number)) for number in range(60)]
    for _ in range(5):
        in_a_child(lambda: refused(used))
    with bank.using():  # the thread that forks is in a call itself
        in_a_child(lambda: refused(used))
    assert sum(one.result().added for one in writes) == 60
in_a_child(lambda: bank.close() is None)
"""


def test_a_forked_child_opens_its_own(path: Path) -> None:
    """In a process of its own: what measures coverage has locks that do not outlive a fork beside threads."""
    ran = subprocess.run(
        [sys.executable, "-c", FORKED, path],
        capture_output=True,
        check=False,
        timeout=120,
        cwd=Path(__file__).parents[2],
    )
    assert ran.returncode == 0, ran.stderr.decode()
    assert sorted(contents(path)) == sorted(["before", "child", *map(str, range(60))])


def test_what_a_child_inherits_is_left_as_it_is(path: Path) -> None:
    with open_bank(path) as bank:
        with bank.using() as opened_one:
            bank._leave()
        for call in (bank.account_ids, lambda: bank.account("alpha")):
            with pytest.raises(UsageError, match="was opened before this process was forked"):
                call()
        bank.close()
        assert opened_one.root.content("bank.json")  # nothing was closed
        opened_one.close()


def test_the_nearest_bank_is_found_as_by_a_command(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path / "state")
    with open_bank() as bank:
        assert bank.path == str(path)
        assert repr(bank) == f"Bank({str(path)!r})"
        assert repr(bank.account("alpha")) == "Account('alpha')"
        with bank.using() as core:
            assert core.bank_id == bank.id


def test_the_actor_stands_in_the_journal(path: Path) -> None:
    with open_bank(path, actor="bot-7") as bank:
        bank.account("alpha").add(role="user", content="x")
        with bank.using() as core:
            assert "bot-7" in {line.core["actor"] for line in core.journal.lines()}


def test_a_bank_that_is_locked(path: Path) -> None:
    with opened(path) as holder, open_bank(path, lock_timeout=0) as bank:
        alpha = bank.account("alpha")
        with holder.locked(), pytest.raises(Locked):
            alpha.add(role="user", content="x")
        assert alpha.add(role="user", content="y").total == 1
    assert contents(path) == ["y"]


def test_a_failing_disk_is_told_in_words(path: Path) -> None:
    with open_bank(path) as bank:
        alpha = bank.account("alpha")
        with broken(fdatasync=failing(errno.EIO)), pytest.raises(OperationFailed, match="input/output error"):
            alpha.add(role="user", content="x")


def test_a_full_disk_is_told_in_words_and_work_goes_on(path: Path) -> None:
    with open_bank(path) as bank:
        alpha = bank.account("alpha")
        with broken(write=failing(errno.ENOSPC)), pytest.raises(OperationFailed, match="the disk is full"):
            alpha.add(role="user", content="x")
        assert alpha.add(role="user", content="y").total == 1
    assert contents(path) == ["y"]


@as_root
def test_root_does_not_become_somebody_else_for_a_library() -> None:
    with public_place() as place, own_ids_again():
        (place / "bank").mkdir()
        (place / "bank/bank.json").write_text("{}")
        give_away(place / "bank")
        with pytest.raises(NotOurs, match=f"belongs to uid {OWNER}"):
            open_bank(place / "bank")
        assert os.geteuid() == 0


def test_work_goes_on_after_the_catalog_was_damaged(path: Path) -> None:
    """It is made again from the journal, not from an empty one that would be taken for a bank without a baseline."""
    with open_bank(path) as bank:
        alpha = bank.account("alpha")
        alpha.add(role="user", content="1")
        with pytest.raises(OperationFailed, match="the catalog is damaged"), bank.using():
            raise sqlite3.DatabaseError("database disk image is malformed")
        assert alpha.add(role="user", content="2").total == 2
        assert [one["content"] for one in alpha.messages()] == ["1", "2"]
        assert bank.account_ids() == ["alpha"]
    assert [core["op"] for core in journal(path)].count("bank.created") == 1
    assert contents(path) == ["1", "2"]


def test_threads_that_write_first_make_one_baseline(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tmp_path / "shipped without a journal"
    shutil.copytree(path, made, ignore=shutil.ignore_patterns(".memorybank"))
    monkeypatch.setenv("MEMORYBANK_STATE_HOME", str(tmp_path / "elsewhere"))
    with open_bank(made) as bank, ThreadPoolExecutor(4) as threads:
        alpha, start = bank.account("alpha"), threading.Barrier(4)

        def work(number: int) -> int:
            start.wait()
            return alpha.add(role="user", content=str(number)).added

        assert list(threads.map(work, range(4))) == [1] * 4
    assert [core["op"] for core in journal(made)].count("bank.created") == 1
    assert sorted(contents(made)) == list("0123")


# Threads and tasks


def test_threads_share_a_bank(path: Path) -> None:
    start = threading.Barrier(8)

    def work(number: int) -> list[int]:
        start.wait()
        return [alpha.add(role="user", content=f"{number}-{turn}", id=f"{number}-{turn}").added for turn in range(10)]

    with open_bank(path) as bank, ThreadPoolExecutor(8) as threads:
        alpha = bank.account("alpha")
        assert [sum(done) for done in threads.map(work, range(8))] == [10] * 8
    found = contents(path)
    assert sorted(found) == sorted(f"{number}-{turn}" for number in range(8) for turn in range(10))
    for number in range(8):  # each thread's messages stand in its order
        assert [one for one in found if one.startswith(f"{number}-")] == [f"{number}-{turn}" for turn in range(10)]


def test_threads_that_read_while_others_write(path: Path) -> None:
    with open_bank(path) as bank, ThreadPoolExecutor(4) as threads:
        alpha = bank.account("alpha")
        writes = [threads.submit(alpha.add, role="user", content=str(number)) for number in range(20)]
        reads = [threads.submit(lambda: list(alpha.messages(last=5))) for _ in range(20)]
        assert [one.result().added for one in writes] == [1] * 20
        assert all(len(one.result()) <= 5 for one in reads)
        assert len(list(alpha.messages())) == 20


def test_the_twins_for_asyncio(path: Path) -> None:
    async def work() -> None:
        async with open_bank(path) as bank:
            alpha = bank.account("alpha")
            done = await asyncio.gather(*(alpha.aadd(role="user", content=str(number)) for number in range(20)))
            assert sum(one.added for one in done) == 20
            await alpha.aadd_many([{"role": "user", "content": "a"}, {"role": "user", "content": "b"}])
            with pytest.raises(UsageError, match="no role"):
                await alpha.aadd(role="", content="x")
            assert [one["content"] async for one in alpha.amessages(last=2)] == ["a", "b"]
        await bank.aclose()

    asyncio.run(work())
    found = contents(path)
    assert sorted(found[:20]) == sorted(str(number) for number in range(20))
    assert found[20:] == ["a", "b"]


def test_the_event_loop_goes_on_while_the_bank_is_held(path: Path) -> None:
    held, release = threading.Event(), threading.Event()

    def hold(bank: Bank) -> None:
        with bank.using():
            held.set()
            assert release.wait(30)

    with open_bank(path) as bank:
        bank.account("alpha")
        holder = threading.Thread(target=hold, args=(bank,))

        async def whole() -> str:
            alpha = bank.account("alpha")
            holder.start()
            held.wait(30)
            adding = asyncio.create_task(alpha.aadd(role="user", content="x"))
            await asyncio.sleep(0.01)
            assert not adding.done()
            release.set()
            return str((await adding).added)

        assert asyncio.run(whole()) == "1"
        holder.join()


def test_nobody_waits_for_what_takes_long(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A message is stored, and the newest are read, while another thread summarises and a third searches."""
    held, release = threading.Barrier(3, timeout=30), threading.Event()

    def slowly(*_: Any, **__: Any) -> Iterator[Any]:
        held.wait()
        release.wait(30)
        return iter(())

    monkeypatch.setattr("memorybank_cli.operations.contexts.refresh", slowly)
    with open_bank(path) as bank, ThreadPoolExecutor(2) as threads:
        alpha = bank.account("alpha")
        alpha.add(role="user", content="1")
        real = list_

        def list_slowly(*given: Any, **named: Any) -> Iterator[Any]:
            return slowly() if named["grep"] else real(*given, **named)

        monkeypatch.setattr("memorybank_cli.operations.messages.list_", list_slowly)
        threads.submit(alpha.refresh_context)
        searched = threads.submit(lambda: list(alpha.messages(grep="1")))
        held.wait()
        assert alpha.add(role="user", content="2").total == 2
        assert [one["content"] for one in alpha.messages(last=2)] == ["1", "2"]
        release.set()
        assert searched.result() == []


class Guarded:
    """A catalog's database that only the thread which holds the mutex may ask.

    Of one connection all statements share a transaction: what one thread reads makes another's writing fail.
    """

    def __init__(self, db: Any, mutex: Any) -> None:
        self.db, self.mutex = db, mutex

    def __getattr__(self, name: str) -> Any:
        assert self.mutex._is_owned(), "the catalog is asked without the mutex"
        return getattr(self.db, name)


def test_threads_take_turns_at_the_catalog(path: Path) -> None:
    with open_bank(path) as bank:
        with bank.using() as opened_one:
            catalog, mutex = opened_one._catalog, opened_one.mutex
        real, catalog.db = catalog.db, Guarded(catalog.db, mutex)  # type: ignore[assignment]
        alpha = bank.account("alpha")
        for number in range(3):
            alpha.add(role="user", content="x", id=f"m{number % 2}")
            alpha.add_many([{"role": "user", "content": "y"}] * 3)
            assert len(list(alpha.messages())) == len(list(alpha.messages(last=100)))
            assert len(list(alpha.messages(grep="y"))) == 3 * number + 3
        assert alpha.context().status == "initializing"
        bank.create_account("beta").add(role="user", content="z")
        assert bank.account_ids() == ["alpha", "beta"]
        catalog.db = real


def test_a_search_sees_what_was_added_just_before(path: Path) -> None:
    with open_bank(path) as bank:
        alpha = bank.account("alpha")
        for number in range(5):
            alpha.add(role="user", content=f"x{number}")
            assert [one["content"] for one in alpha.messages(grep=f"x{number}", last=1)] == [f"x{number}"]
            assert len(list(alpha.messages(role="user"))) == number + 1


def test_a_task_that_is_cancelled_leaves_the_bank_sound(path: Path) -> None:
    """Its message is stored or not; the bank waits for the call when it is closed."""

    async def work() -> None:
        async with open_bank(path) as bank:
            alpha = bank.account("alpha")
            with bank.using():  # nobody else gets on meanwhile
                waiting = [asyncio.create_task(alpha.aadd(role="user", content="x", id=f"m{n}")) for n in range(3)]
                waiting.append(asyncio.create_task(alpha.acontext()))  # type: ignore[arg-type]
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(alpha.aadd(role="user", content="late", id="late"), 0.05)
                for one in waiting:
                    one.cancel()
            ended = await asyncio.gather(*waiting, return_exceptions=True)
            assert {type(one) for one in ended} == {asyncio.CancelledError}
            assert (await alpha.aadd(role="user", content="late", id="late")).total >= 1

    asyncio.run(work())
    with open_bank(path) as bank:
        found = [one["id"] for one in bank.account("alpha").messages()]
        assert len(found) == len(set(found))
        assert "late" in found
        assert set(found) <= {"late", "m0", "m1", "m2"}


# The public names


def test_the_public_names() -> None:
    assert memorybank_cli.__all__ == (
        "Account",
        "AccountDamaged",
        "AccountNotFound",
        "AddedMessages",
        "Bank",
        "BankNotFound",
        "Finding",
        "HistoryContext",
        "Locked",
        "MemorybankError",
        "OperationFailed",
        "RefreshReport",
        "StoredMessage",
        "UsageError",
        "__version__",
        "open_bank",
    )


def test_each_public_name_can_be_had_and_no_other() -> None:
    for name in memorybank_cli.__all__:
        assert getattr(memorybank_cli, name)
        assert name in dir(memorybank_cli)
    with pytest.raises(AttributeError, match="no attribute 'open_banc'"):
        memorybank_cli.open_banc  # noqa: B018


def test_what_a_type_checker_is_told(path: Path) -> None:
    with open_bank(path) as bank:
        alpha = assert_type(bank.account("alpha"), Account)
        assert_type(alpha.add(role="user", content="x", timestamp=datetime.now(UTC)), AddedMessages)
        late = assert_type(alpha.add(role="user", content="y", timestamp="2020-01-01T00:00:00Z"), AddedMessages)
        assert_type(alpha.add_many(alpha.messages()), AddedMessages)
        found = assert_type(list(alpha.messages(last=2)), list[StoredMessage])
        assert [one.get("late") for one in found] == [None, True]
        assert_type(found[0]["metadata"], dict[str, Any])
        assert_type(alpha.context(), HistoryContext)
        assert_type(alpha.refresh_context().findings, tuple[Finding, ...])
        assert_type(bank.account_ids(), list[str])
        assert assert_type(late.ids, tuple[str, ...])

        async def twins() -> None:
            assert_type(await alpha.aadd(role="user", content="z"), AddedMessages)
            assert_type([one async for one in alpha.amessages()], list[StoredMessage])
            assert_type(await alpha.acontext(), HistoryContext)
            assert_type(await alpha.arefresh_context(), RefreshReport)

        asyncio.run(twins())


def public(kind: type) -> dict[str, Callable[..., Any]]:
    return {name: one for name, one in vars(kind).items() if not name.startswith("_") and callable(one)}


@pytest.mark.parametrize("kind", [memorybank_cli.Bank, memorybank_cli.Account])
def test_each_twin_takes_what_the_other_takes(kind: type) -> None:
    methods = public(kind)
    twins = [name for name in methods if f"a{name}" in methods]
    assert twins
    for name in twins:
        mine, other = dict(methods[name].__annotations__), dict(methods[f"a{name}"].__annotations__)
        mine.pop("return"), other.pop("return")
        assert mine == other
        assert methods[name].__kwdefaults__ == methods[f"a{name}"].__kwdefaults__


@pytest.mark.parametrize("kind", [memorybank_cli.Bank, memorybank_cli.Account])
def test_every_public_method_says_what_it_promises(kind: type) -> None:
    for name, method in public(kind).items():
        assert method.__doc__, name
        assert "return" in method.__annotations__, name


def test_closing_waits_for_what_is_under_way(path: Path) -> None:
    bank = open_bank(path)
    inside, leave = threading.Event(), threading.Event()

    def use() -> None:
        with bank.using() as core:
            inside.set()
            assert leave.wait(30)
            assert core.bank_id == bank.id

    with ThreadPoolExecutor(2) as threads:
        using = threads.submit(use)
        inside.wait(30)
        closing = threads.submit(bank.close)
        while bank._opened is not None:
            pass
        assert not closing.done()
        with pytest.raises(UsageError, match="was closed"):
            bank.account("alpha")
        leave.set()
        closing.result()
        using.result()
