"""The live view: a thread that draws what the watching thread tells, and does what keys ask for.

Watching stays in the main thread, where signals arrive; it never waits for the terminal. Everything that the two have
to tell each other goes through one queue and a doorbell.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Any

from memorybank_cli.base import clock
from memorybank_cli.base.context import Context
from memorybank_cli.base.errors import Refused
from memorybank_cli.base.words import counted
from memorybank_cli.cli import terminal
from memorybank_cli.cli.live.actions import Actions
from memorybank_cli.cli.live.controls import Controls, Row
from memorybank_cli.cli.live.keys import Keys
from memorybank_cli.cli.live.layout import draw
from memorybank_cli.cli.live.model import BUCKET, POINTS, Model, span
from memorybank_cli.cli.live.screen import Screen, is_before_us
from memorybank_cli.cli.progress import Notes
from memorybank_cli.health.samples import recent
from memorybank_cli.integrity.hints import answer, doorbell, ring, wait

Line = dict[str, Any]
_Handler = Callable[[int, FrameType | None], None]
SAMPLES = ("score", "write_p95_seconds", "disk_free_bytes", "memory_available_bytes", "pending_changes")
"""The samples whose trends are shown, as far as there is room."""
FRAME = 0.1
"""Seconds between two drawings at least; what comes in a burst is drawn as one."""
SECOND = 1.0
ESCAPE = 0.05
PATIENCE = 2.0
"""Seconds that a terminal which takes nothing any more is waited for at the end."""
DROPS = 100
"""So many times what it did not take is thrown away then, a buffer at a time."""


class Told(Notes):
    """What the view is told of progress: the step at work, and notes as events; on stderr once the view is gone."""

    def __init__(self, words: Callable[[str], str], post: Callable[[Line], None]) -> None:
        super().__init__(words)
        self.post, self.work = post, ""
        self.kept: list[str] | None = []
        """Notes from before the view is there; None while it is."""
        self._what, self._total, self._done = "", None, 0  # type: tuple[str, int | None, int]

    def start(self, what: str, total: int | None = None) -> None:
        """A step begins."""
        self._what, self._total, self._done = what, total, 0

    def advance(self, count: int = 1) -> None:
        """Counts."""
        self._done += count
        end = "" if self._total is None else f" of {self._total:,}"
        self.work = f"{self._what} {self._done:,}{end}"

    def finish(self) -> None:
        """The step is over; where there is no view, what was kept for it is said."""
        self.work = ""
        for text in self.kept or ():
            super().note(text)
        self.kept = [] if self.kept is not None else None

    def note(self, text: str) -> None:
        """An event of the view."""
        if self.kept is None:
            self.post({"type": "note", "ts": clock.now(), "text": self.words(text)})
        else:
            self.kept.append(text)


class View:
    """One live view; `follow` shows a stream to its end."""

    def __init__(self, context: Context, words: Callable[[str], str], *, colour: bool) -> None:
        self.lines: SimpleQueue[Line] = SimpleQueue()
        self.bell, self.ringer = doorbell()
        self.progress = Told(words, self.post)
        self.context = context
        self.screen, self.keys, self.controls = Screen(colour=colour), Keys(), Controls()
        self.sampled_at = -BUCKET
        self.failure: BaseException | None = None
        self.interrupted = self.ending = self.done = False

    def post(self, line: Line) -> None:
        """Have a line taken in; may be called from any thread and from signal handlers."""
        self.lines.put(line)
        ring(self.ringer)

    def follow(self, lines: Generator[Line, None, int | None], bank: Any) -> int:
        """Show the lines of `watch` until they end; the exit code. Raises what watching or the view raised."""
        self.model = Model(bank.root.path, float(bank.settings["reconcile_seconds"]))
        self.root = bank.root
        self.actions = Actions(self.context, bank.root.path, self.post, self.progress)
        begun = time.monotonic()
        thread = threading.Thread(target=self._run, name="live view", daemon=True)
        code = 0
        with _signals(self._signalled, self._interrupted):
            early, self.progress.kept = self.progress.kept or [], None
            thread.start()
            try:
                for text in early:
                    self.progress.note(text)
                code = self._pass_on(lines)
            finally:
                self._end(thread)
                lines.close()
        if self.failure is not None:
            raise self.failure
        changes, left = counted(self.model.changes, "change"), counted(len(self.model.findings), "open finding")
        terminal.write_line("stdout", f"watched for {span(time.monotonic() - begun)}: {changes}, {left}")
        return code

    def _pass_on(self, lines: Generator[Line, None, int | None]) -> int:
        while self.failure is None:
            try:
                self.post(next(lines))
                if self.interrupted:
                    self.interrupted = False
                    signal.raise_signal(signal.SIGTERM)
            except StopIteration as end:
                return int(end.value or 0)
        return 0

    def _end(self, thread: threading.Thread) -> None:
        self.ending = True
        self.actions.close()
        self.done = True
        ring(self.ringer)
        thread.join(PATIENCE)
        for _ in range(DROPS):
            if not thread.is_alive():
                break
            self.screen.drop()  # the terminal takes nothing, and that thread waits for it
            signal.pthread_kill(thread.ident or 0, signal.SIGWINCH)  # has it look whether there is room now
            thread.join(PATIENCE / 10)
        self.progress.kept = []

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        """SIGHUP ends like SIGTERM; the rest is about the screen."""
        del frame
        if number == signal.SIGHUP:
            signal.raise_signal(signal.SIGTERM)
        else:
            self.post({"type": "screen", "signal": number})

    def _interrupted(self, *_: object) -> None:
        """Before watching has handlers of its own it is told later; after them it is ending anyway, and in order."""
        self.interrupted = True

    # In the view's own thread

    def _run(self) -> None:
        try:
            self.screen.enter()
            try:
                self._loop()
            finally:
                self.screen.leave()
        except BaseException as error:  # noqa: BLE001  # raised again where watching ends
            self.failure = error
            self._stop()

    def _loop(self) -> None:
        drawn_at, stale = 0.0, True
        while not self.done:
            now = time.monotonic()
            if self.screen.hidden:
                self._rest()
                continue
            if stale and now - drawn_at >= FRAME:
                self._draw(now)
                drawn_at, stale = now, False
            pause = FRAME - (now - drawn_at) if stale else SECOND - now % SECOND
            wait(min(pause, ESCAPE) if self.keys.waits else pause, self.screen.keyboard, self.bell)
            told = self._take_in()
            pressed = self._read_keys()
            stale = stale or told or pressed or time.monotonic() - drawn_at >= SECOND
            if pressed:
                drawn_at = 0.0  # a person waits for it

    def _rest(self) -> None:
        """Behind a shell: take in what is told, until the terminal is ours again."""
        wait(SECOND, self.bell)
        self._take_in()
        self.model.tick(time.monotonic())
        if self.screen.hidden and is_before_us():
            self.screen.enter()

    def _draw(self, now: float) -> None:
        self.model.tick(now)
        if now >= self.sampled_at + BUCKET:
            self.sampled_at = now
            self.model.samples = recent(self.root, SAMPLES, POINTS)
        self.controls.busy = self.progress.work or (self.actions.what if self.actions.running else "")
        self.screen.show(draw(self.model, self.controls, self.screen.size(), now, plain=self.screen.plain))
        self.controls.drawn = True

    def _take_in(self) -> bool:
        if not answer(self.bell):
            return False
        now = time.monotonic()
        while True:
            try:
                line = self.lines.get_nowait()
            except Empty:
                return True
            kind = line.get("type")
            if kind == "screen":
                self._screen(line["signal"])
            elif kind == "page":
                self.controls.read(line["title"], line["rows"])
            elif kind == "asked":
                (self.controls.ask_secret if line.get("secret") else self.controls.ask)(line["text"])
            elif kind == "done":
                self._finished(line)
            else:
                self.model.take(line, now)

    def _screen(self, number: int) -> None:
        if number == signal.SIGTSTP:
            self.screen.leave()
            signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)  # to all, and before this thread goes on
        elif number == signal.SIGCONT and not is_before_us():
            self.screen.hide()
        elif number == signal.SIGCONT:
            self.screen.enter()
        self.screen.forget()

    def _finished(self, line: Line) -> None:
        self.controls.close()
        self.progress.finish()
        text = line["text"]
        self.model.take({"type": "note", "ts": clock.now(), "text": text}, time.monotonic())
        if line["trouble"]:
            self.controls.read("Not done", [((part, ""),) for part in text.split("; ")])
        else:
            self.controls.message = text

    def _read_keys(self) -> bool:
        if self.screen.hidden or not _readable(self.screen.keyboard):
            keys = self.keys.idle() if self.keys.waits else []
        else:
            data = self.screen.read()
            if not data:
                self._stop()
                self.done = True
            keys = self.keys.feed(data)
        for key in keys:
            self._press(key)
        return bool(keys)

    def _press(self, key: str) -> None:
        wish = self.controls.press(key, self.model.count)
        if wish == "quit":
            self.controls.message = "stopping"
            self._stop()
        elif wish == "redraw":
            self.screen.forget()
        elif wish == "answered":
            self.actions.answer(self.controls.answer)
        elif wish:
            self._of_finding(wish)

    def _of_finding(self, wish: str) -> None:
        findings, _ = self.model.shown(self.controls.filter)
        if not findings:
            self.controls.message = "there is no finding here"
            return
        finding = findings[self.controls.place(findings)]
        if wish == "details":
            self.controls.read("Finding", _details(finding))
        elif self.actions.running:
            self.controls.message = f"{self.actions.what} is not over yet"
        else:
            try:
                (self.actions.accept if wish == "accept" else self.actions.roll_back)(finding)
            except Refused as error:
                self.controls.message = "; ".join(one for one in (error.message, error.hint) if one)

    @staticmethod
    def _stop() -> None:
        """Have the watching thread end, as kill -TERM does; only the main thread's sleep is cut short by it."""
        main = threading.main_thread().ident
        assert main is not None  # it runs
        signal.pthread_kill(main, signal.SIGTERM)


def _readable(descriptor: int) -> bool:
    import select

    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


def _details(finding: Line) -> list[Row]:
    from memorybank_cli.base.rules import RULES

    rule = RULES.get(str(finding["rule"]))
    names = (
        "rule",
        "name",
        "severity",
        "path",
        "line",
        "pointer",
        "message",
        "expected",
        "found",
        "detected_at",
        "hint",
    )
    told = [(name.replace("_", " "), str(finding[name])) for name in names if finding.get(name)]
    if rule is not None:
        told += [("means", rule.what), ("why", rule.why), ("cure", rule.cure)]
    width = max(len(name) for name, _ in told)
    return [((f"{name:<{width}}  ", "dim"), (text, "")) for name, text in told]


@contextmanager
def _signals(of_screen: _Handler, of_end: _Handler) -> Iterator[None]:
    former = {
        number: signal.signal(number, handler)
        for handler, numbers in (
            (of_screen, (signal.SIGWINCH, signal.SIGTSTP, signal.SIGCONT, signal.SIGHUP)),
            (of_end, (signal.SIGINT, signal.SIGTERM)),
        )
        for number in numbers
    }
    try:
        yield
    finally:
        for number, old in former.items():
            signal.signal(number, old)
