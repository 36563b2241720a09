"""Watching: arm, look, judge; then each settled batch of changes is looked at afresh, adopted by policy or reported."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Annotated

from memorybank_cli.bank.bank import Bank
from memorybank_cli.base.context import Context
from memorybank_cli.operations.watch_catching_up import caught_up
from memorybank_cli.operations.watch_telling import Line
from memorybank_cli.operations.watching import Watching


def watch(
    bank: Bank,
    context: Context,
    *,
    once: Annotated[bool, "look once, adopt or report, and stop"] = False,
    no_adopt: Annotated[bool, "report only; what agents may change stays pending"] = False,
    heal: Annotated[bool, "cure every damaged file where nothing is lost; default: as watch.heal says"] = False,
    sync: Annotated[bool, "wait until all that changed up to now is judged, and stop"] = False,
) -> Iterator[Line]:
    """Watch the bank and tell of each change.

    Valid changes that agents may make are adopted into the journal; damaged files of accounts, with --heal all
    damaged files, are made again where nothing is lost by it; everything else is a finding, with its cure.
    Of several watches one leads; the others report only. With --sync the one that runs is asked, else it looks
    itself. Stops on Ctrl-C or SIGTERM.

    Exit codes:
        0   stopped by a signal, or --once or --sync is done
        10  the bank went away
        11  with --sync: the watch that runs does not answer

    Examples:
        memorybank watch
        memorybank watch --json | tee events.jsonl
        memorybank watch --sync && memorybank validate
    """
    what = "all" if heal else str(bank.settings["watch.heal"])
    one = Watching(bank, context, adopt=not no_adopt, heal=what)
    with _signals(one.stop):
        yield from caught_up(bank, one) if sync else one.run(once)


@contextmanager
def _signals(handler: Callable[[str], None]) -> Iterator[None]:
    def stop(number: int, _frame: FrameType | None) -> None:
        handler(signal.Signals(number).name)

    former = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, old in former.items():
            signal.signal(number, old)
