from __future__ import annotations

import signal
import threading
import time
from contextlib import suppress

import pytest

from memorybank_cli.base.records import QUIET, Progress
from memorybank_cli.operations import timebox
from memorybank_cli.operations.timebox import Boxed, TimeUp, time_box


class Heard(Progress):
    def __init__(self) -> None:
        self.all: list[object] = []

    def start(self, what: str, total: int | None = None) -> None:
        self.all.append((what, total))

    def advance(self, count: int = 1) -> None:
        self.all.append(count)

    def finish(self) -> None:
        self.all.append("finish")

    def note(self, text: str) -> None:
        self.all.append(text)


def work_forever(progress: Progress) -> None:
    while True:
        progress.advance()


def use(progress: Progress) -> None:
    progress.start("work", 3)
    progress.advance(2)
    progress.note("note")
    progress.finish()


@pytest.mark.parametrize("seconds", [0, 3600])
def test_what_is_told_is_passed_on(seconds: float) -> None:
    heard, former = Heard(), signal.getsignal(signal.SIGALRM)
    with time_box(heard, seconds) as boxed:
        use(boxed)
    assert heard.all == [("work", 3), 2, "note", "finish"]
    assert signal.getsignal(signal.SIGALRM) is former
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


def test_it_ends_work_that_bears_every_exception() -> None:
    """As a channel of alerts does, and a probe: what goes wrong in one is told as its failure."""
    with pytest.raises(TimeUp), time_box(QUIET, 1e-9) as progress, suppress(Exception):
        progress.advance()


def test_it_ends_where_the_work_tells_of_itself_and_cleaning_up_goes_on() -> None:
    heard = Heard()
    boxed = Boxed(heard, 1e-9)
    boxed.note("not here")
    boxed.finish()
    with pytest.raises(TimeUp):
        boxed.start("work")
    use(boxed)  # once is enough
    assert heard.all == ["not here", "finish", ("work", 3), 2, "note", "finish"]
    with pytest.raises(TimeUp):
        Boxed(heard, 1e-9).advance()


def test_only_the_thread_that_works_is_ended() -> None:
    heard = Heard()
    boxed = Boxed(heard, 1e-9)
    other = threading.Thread(target=use, args=(boxed,))
    other.start()
    other.join()
    assert heard.all == [("work", 3), 2, "note", "finish"]


def test_work_that_tells_nothing_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timebox, "GRACE", 0.01)
    with pytest.raises(TimeUp), time_box(QUIET, 0.01):
        time.sleep(60)
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


def test_what_ended_by_itself_is_not_interrupted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timebox, "GRACE", 0.01)
    with time_box(QUIET, 0.01) as boxed:
        with pytest.raises(TimeUp):
            work_forever(boxed)
        time.sleep(0.05)  # the timer rings here


def test_in_another_thread_there_is_no_timer() -> None:
    found: list[object] = []

    def work() -> None:
        with time_box(QUIET, 3600) as boxed:
            found.append(type(boxed))
            found.append(signal.getitimer(signal.ITIMER_REAL)[0])

    other = threading.Thread(target=work)
    other.start()
    other.join()
    assert found == [Boxed, 0]
