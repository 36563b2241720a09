"""`watch --sync`: proof that all that was changed before the call has been looked at and judged."""

from __future__ import annotations

import time
from collections.abc import Iterator

from memorybank_cli.bank.bank import Bank
from memorybank_cli.base.errors import Locked
from memorybank_cli.integrity import requests
from memorybank_cli.operations.watch_telling import Line, line
from memorybank_cli.operations.watching import Watching

STEP = 0.02


def caught_up(bank: Bank, own: Watching) -> Iterator[Line]:
    """Ask the watch that leads, and wait for its answer; where none leads, look once with `own`. Raises Locked."""
    started = time.monotonic()
    by = "own"
    if requests.is_watched(bank.root) and _ask(bank, own):
        by = "running"
    elif not own.stopping:
        yield from own.run(once=True, around=False)
    if not own.stopping:
        yield line("synced", by=by, seconds=round(time.monotonic() - started, 3))


def _ask(bank: Bank, own: Watching) -> bool:
    """Whether the watch that leads has answered; False where it ended meanwhile, or somebody stops this one."""
    name = requests.ask(bank.root)
    deadline = time.monotonic() + bank.lock_timeout
    try:
        while not requests.is_answered(bank.root, name):
            if own.stopping or not requests.is_watched(bank.root):
                return False
            if time.monotonic() >= deadline:
                raise Locked(
                    f"the watch that runs did not answer within {bank.lock_timeout:g} s",
                    path=bank.root.path,
                    hint="it may be stopped, or at a long look: --lock-timeout SECONDS waits longer",
                )
            time.sleep(STEP)
        return True
    finally:
        requests.answer(bank.root, name)
