"""Many processes that write to one account and are killed at random, as agents are: what was acknowledged is kept once.

Who was killed comes again and sends what was not acknowledged once more, with the same ids. A reader looks on: what it
sees of each writer begins at the first message and leaves none out.
"""

from __future__ import annotations

import json
import mmap
import os
import random
import signal
import struct
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import NamedTuple
from unittest import mock

from memorybank_cli.accounts.messages import Message
from memorybank_cli.base import files
from memorybank_cli.base.context import Context
from memorybank_cli.operations.messages import list_, store
from memorybank_cli.operations.opening import open_bank
from tests.faults.lab import BROKEN, Lab, Story, prepared
from tests.faults.stories import nothing

WRITERS = 32
GROUPS = (1, 1, 1, 1, 1, 2, 7, 60)
"""How many messages a writer sends at once, as often as they stand here."""
PATIENCE = 120.0
"""Seconds that a writer waits for a lock: nobody may fail for the others' sake."""
SLOW = 0.2
"""Seconds of a sync on a very slow disk: long beside all that a busy machine needs for an append."""
SLOT = struct.Struct("q")


class Crowd(NamedTuple):
    """How many write, how many messages each, and how often one of them is killed or stopped for a moment."""

    writers: int
    each: int
    kills: int


class Outcome(NamedTuple):
    """What came of it."""

    killed: int
    stopped: int
    seconds: float


def _prepare(lab: Lab) -> None:
    lab.run("init", "--account", "a")


CROWD = Story("crowd", _prepare, (), b"", nothing)


class _Run:
    """One crowd in one lab; `acks` holds for each writer how many of its messages were acknowledged."""

    def __init__(self, lab: Lab, crowd: Crowd, seed: int) -> None:
        self.lab, self.crowd, self.chance = lab, crowd, random.Random(seed)
        self.acks = mmap.mmap(-1, SLOT.size * crowd.writers)
        self.living: dict[int, int] = {}
        """The writer's number, by process."""
        self.killed = self.stopped = 0

    def start(self, number: int) -> None:
        """Let a writer begin, or go on after what was acknowledged."""
        seed = self.chance.randrange(1 << 30)
        self.living[_forked(self.lab, lambda: self._write(number, random.Random(seed)))] = number

    def _write(self, number: int, chance: random.Random) -> None:
        (done,) = SLOT.unpack_from(self.acks, number * SLOT.size)
        context = Context(bank=str(self.lab.bank), lock_timeout=PATIENCE)
        while done < self.crowd.each:
            with closing(open_bank(context)) as bank:
                for _ in range(chance.randrange(1, 40)):
                    upto = min(done + chance.choice(GROUPS), self.crowd.each)
                    store(
                        bank, "a", [Message("user", f"text {one}", id=f"{number}-{one}") for one in range(done, upto)]
                    )
                    done = upto
                    SLOT.pack_into(self.acks, number * SLOT.size, done)
                    if done == self.crowd.each:
                        break

    def hurt(self) -> None:
        """Kill one of them, who comes again, or let it stand still for a moment."""
        process = self.chance.choice(list(self.living))
        if self.chance.random() < 0.1:
            os.kill(process, signal.SIGSTOP)
            time.sleep(self.chance.uniform(0, 0.05))
            os.kill(process, signal.SIGCONT)
            self.stopped += 1
            return
        os.kill(process, signal.SIGKILL)
        self.killed += self._ended(process) == -signal.SIGKILL

    def _ended(self, process: int) -> int:
        code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        number = self.living.pop(process)
        assert code in (0, -signal.SIGKILL), f"writer {number} failed by itself"
        if code:
            self.start(number)
        return code

    def go_on(self) -> None:
        """Hurt as many as asked for, then wait for all."""
        for _ in range(self.crowd.kills):
            time.sleep(self.chance.uniform(0, 0.03))
            for process in list(self.living):
                if os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                    self._ended(process)
            if not self.living:
                return
            self.hurt()
        while self.living:
            self._ended(next(iter(self.living)))


def _forked(lab: Lab, work: Callable[[], None]) -> int:
    child = os.fork()
    if not child:
        code = BROKEN
        try:
            with mock.patch.dict(os.environ, lab.env, clear=True):
                work()
            code = 0
        except BaseException:  # noqa: BLE001 - the parent learns of it by the exit code
            traceback.print_exc()
        finally:
            os._exit(code)
    return child


def _read(lab: Lab, crowd: Crowd) -> None:
    """Look at the account until everything is there: never fewer than before, and of each writer the first ones."""
    before = 0
    while before < crowd.writers * crowd.each:
        with closing(open_bank(Context(bank=str(lab.bank), lock_timeout=0))) as bank:
            ids = [one["id"] for one in list_(bank, account="a")]
        assert before <= len(ids), f"a reader saw {before} messages and then {len(ids)}"
        in_order(ids, crowd.writers)
        before = len(ids)
        time.sleep(0.01)


def in_order(ids: Iterable[str], writers: int) -> list[int]:
    """How many messages of each writer there are. Raises AssertionError for one twice, left out, or out of order."""
    counts = [0] * writers
    for id in ids:
        writer, _, number = id.partition("-")
        assert int(number) == counts[int(writer)], f"message {id} where {counts[int(writer)]} was to come"
        counts[int(writer)] += 1
    return counts


def at_once(lab: Lab, crowd: Crowd, seed: int) -> Outcome:
    """Let them write and be hurt, then hold that each message is there once, in its writer's order."""
    begun = time.monotonic()
    run = _Run(lab, crowd, seed)
    reader = _forked(lab, lambda: _read(lab, crowd))
    try:
        for number in range(crowd.writers):
            run.start(number)
        run.go_on()
        code, reader = os.waitstatus_to_exitcode(os.waitpid(reader, 0)[1]), 0
        assert not code, "a reader failed"
    finally:
        for process in filter(None, (*run.living, reader)):
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
    seconds = time.monotonic() - begun
    check(lab, [crowd.each] * crowd.writers)
    return Outcome(run.killed, run.stopped, seconds)


def syncs_of(lab: Lab, writers: int, each: int) -> int:
    """How often the journal is synced where so many write one message after the other, and a sync takes a while."""
    counts = mmap.mmap(-1, SLOT.size * writers)
    processes = [_forked(lab, partial(_write_slowly, lab, counts, number, each)) for number in range(writers)]
    codes = [os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in processes]
    assert not any(codes), codes
    check(lab, [each] * writers)
    return sum(SLOT.unpack_from(counts, number * SLOT.size)[0] for number in range(writers))


def _write_slowly(lab: Lab, counts: mmap.mmap, number: int, each: int) -> None:
    synced = 0

    def slow(_fd: int) -> None:
        nonlocal synced
        synced += 1
        time.sleep(SLOW)

    with closing(open_bank(Context(bank=str(lab.bank), lock_timeout=PATIENCE))) as bank:
        with mock.patch.object(files, "sync_data", slow):
            for one in range(each):
                store(bank, "a", [Message("user", f"text {one}", id=f"{number}-{one}")])
        SLOT.pack_into(counts, number * SLOT.size, synced)


def check(lab: Lab, counts: Sequence[int]) -> None:
    """The account has so many messages of each writer, its files agree, and nothing was put aside."""
    lab.check_whole()
    listed = [json.loads(line) for line in lab.run("message", "list", "--account", "a", "--json").splitlines()]
    assert in_order((one["id"] for one in listed), len(counts)) == list(counts)
    assert [one["seq"] for one in listed] == list(range(1, len(listed) + 1))
    ids = [one["id"] for one in listed]
    assert in_files(lab.bank / "account_a") == ids
    found = json.loads(lab.run("validate", "--json", codes=(0, 1)))
    assert not [one for one in found["findings"] if one["path"].startswith("account_a")], found["findings"]
    assert not (lab.bank / ".memorybank/quarantine").exists()


def in_files(account: Path) -> list[str]:
    """The ids of whole_history and its segments; short_term and mid_term are windows over their end."""
    sealed = sorted((account / "history").glob("0*.json"))
    ids = [one["id"] for path in (*sealed, account / "whole_history.json") for one in _messages(path)]
    assert [one["id"] for one in _messages(account / "short_term.json")] == ids[-50:]
    assert [one["id"] for one in _messages(account / "mid_term.json")] == ids[-250:-50]
    return ids


def _messages(path: Path) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(path.read_bytes())["messages"]
    return found


def campaign(rounds: int, seed: int) -> Iterator[str]:
    """`rounds` messages by 32 processes with a kill for every 20 of them."""
    crowd = Crowd(WRITERS, rounds // WRITERS, rounds // 20)
    with prepared(CROWD, 2) as scene:
        found = at_once(scene.lab, crowd, seed)
    count = crowd.writers * crowd.each
    yield f"{count} messages of {WRITERS} processes, {found.killed} killed, {found.stopped} stopped: 0 lost, 0 doubled"
