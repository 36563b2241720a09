"""The live view on a real terminal: what stands there, what keys do meanwhile, and that all is given back."""

from __future__ import annotations

import json
import os
import signal
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.base.context import Context
from memorybank_cli.base.errors import BankNotFound
from memorybank_cli.cli.live import view as live
from memorybank_cli.cli.live.model import POINTS
from memorybank_cli.cli.live.screen import Screen, is_before_us
from memorybank_cli.operations.opening import open_bank
from memorybank_cli.operations.watch import watch
from tests.cli.terminals import PATIENCE, Display, Session, watching
from tests.conftest import MakeBank, Run, trade
from tests.operations.banks import backed_up, journal, put

QUICK = {"MEMORYBANK_SETTLE_MS": "50", "MEMORYBANK_RECONCILE_SECONDS": "60"}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in QUICK.items():
        monkeypatch.setenv(name, value)


# In this process: watching in the main thread, as ever, and a person in another one


class Person(Session):
    """Somebody at a terminal that this process has taken for its own."""

    def __init__(self) -> None:  # no program is started
        self.ours, self.theirs = os.openpty()
        self.display = Display()
        self._set_size(80, 24)
        self.modes = termios.tcgetattr(self.theirs)
        self.process = _Here()  # type: ignore[assignment]  # it never ends


class _Here:
    returncode = 0

    def poll(self) -> None:
        return None

    def kill(self) -> None:
        return None

    def wait(self) -> None:
        return None


@dataclass
class Seen:
    """How a view ended."""

    code: int = -1
    out: str = ""
    errors: list[BaseException] = field(default_factory=list)


@contextmanager
def before_a_person(monkeypatch: pytest.MonkeyPatch) -> Iterator[Person]:
    """A terminal in place of this process' stdin and stdout, which is given back in the end."""
    with Person() as person:
        stdin = os.fdopen(os.dup(person.theirs), "r", encoding="utf-8")
        stdout = os.fdopen(os.dup(person.theirs), "w", encoding="utf-8", errors="backslashreplace")
        with monkeypatch.context() as patched, stdin, stdout:
            patched.setattr(sys, "stdin", stdin)
            patched.setattr(sys, "stdout", stdout)
            yield person


def lived(
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    act: Callable[[Person], object],
    *,
    colour: bool = False,
    **context: Any,
) -> Seen:
    """Have a view of a bank on a terminal while a person acts; SIGTERM ends it where the person did not."""
    seen = Seen()
    with before_a_person(monkeypatch) as person:

        def live_person() -> None:
            try:
                person.until("memorybank watch")
                act(person)
            except BaseException as error:  # noqa: BLE001  # told in the main thread
                seen.errors.append(error)
            finally:
                if not one.ending:
                    one._stop()

        one = live.View(Context(bank=str(path), **context), str, colour=colour)
        bank = open_bank(Context(bank=str(path), progress=one.progress))
        other = threading.Thread(target=live_person)
        # The person may end what is just ending by itself: a signal that comes after the view is for nobody.
        former = signal.signal(signal.SIGTERM, lambda *_: None)
        other.start()
        try:
            seen.code = one.follow(watch(bank, bank.context), bank)  # type: ignore[arg-type]  # it is a generator
        finally:
            other.join(PATIENCE)
            signal.signal(signal.SIGTERM, former)
            bank.close()
            person.drain()
        if seen.errors:
            raise seen.errors[0]
        assert person.is_given_back(), person.display.text()
        seen.out = person.display.text()
    return seen


def adopted(path: Path) -> set[str]:
    """The files that were recorded since the bank was made."""
    lines = [line for one in sorted((path / ".memorybank/journal").iterdir()) for line in one.read_bytes().splitlines()]
    # The newest line may be half there: it is being written.
    cores = [json.loads(line)["core"] for line in lines[2:] if line.startswith(b"{") and line.endswith(b"}")]
    return {row[0] for core in cores if core["op"] == "file.adopted" for row in core["files"]}


def eventually(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_what_stands_there(make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_bank(3)

    def act(person: Person) -> None:
        text = person.until("MB102")
        assert "> error MB102 trades/recent_trades.json" in text
        assert "memorybank repair trades/recent_trades.json" in text
        put(path / "trades/new.json", trade(9))
        person.until("adopted trades/new.json")
        (path / "state/state.json").write_text("{")
        person.until("MB103")
        person.press("q")

    seen = lived(path, monkeypatch, act)
    assert seen.code == 0
    assert seen.out.strip().startswith("watched for ")
    assert " open findings" in seen.out


def test_colours_only_where_they_are_wanted(make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_bank(1)
    raw: list[bytes] = []

    def act(person: Person) -> None:
        person.until("MB102")
        raw.append(person.display.raw)

    lived(path, monkeypatch, act, colour=True)
    lived(path, monkeypatch, act, colour=False)
    assert b"\x1b[31m" in raw[0]
    assert b"\x1b[31m" not in raw[1]
    assert b"\x1b[1m" not in raw[1]


def test_filter_pause_help_and_details(make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_bank(3)

    def act(person: Person) -> None:
        person.until("MB102")
        (path / "state/state.json").write_text("{")
        person.until("MB103")
        person.press("fSTATE/\r")
        person.until("filter 'STATE/'", gone="MB102")
        person.press("\r")
        assert "state/state.json" in person.until("The document stops before it is complete")
        person.press("\x1b")
        person.until("FINDINGS 1")
        person.press("\x1b")
        person.until("MB102", gone="filter '")
        person.press("p")
        person.until("paused, 0 more events")
        put(path / "trades/new.json", trade(9))
        person.until("more events", gone="paused, 0 more")
        assert "trades/new.json" not in person.display.text()
        person.press("p")
        person.until("adopted trades/new.json")
        person.press("?")
        person.until("draw everything again")
        person.press("\x1b\x0c")
        person.until("EVENTS", gone="draw everything again")

    lived(path, monkeypatch, act)


def test_a_filter_that_leaves_nothing_has_nothing_to_act_on(
    make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    def act(person: Person) -> None:
        person.until("ready watched")
        person.press("fnothing like it\ra")
        person.until("there is no finding here")

    lived(make_bank(1, padded=False), monkeypatch, act)


def test_the_whole_bank_is_not_accepted_by_one_key(make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch) -> None:
    def act(person: Person) -> None:
        person.until("MB501 the bank: there is no good snapshot")
        person.press("fMB501\ra")
        person.until("this finding is about the whole bank; memorybank backup")
        person.press("r")
        person.until("this finding names no file and no time to go back to")

    lived(make_bank(1, padded=False), monkeypatch, act)


def test_notes_before_and_after_the_view_are_lines(capsys: pytest.CaptureFixture[str]) -> None:
    posted: list[dict[str, Any]] = []
    told = live.Told(str.upper, posted.append)
    told.start("reading", 3)
    told.advance(2)
    assert told.work == "reading 2 of 3"
    told.note("early")
    assert posted == []
    told.finish()
    assert (told.work, capsys.readouterr().err) == ("", "EARLY\n")
    told.kept = None
    told.note("now")
    told.finish()
    assert [one["text"] for one in posted] == ["NOW"]
    assert capsys.readouterr().err == ""


def changed(path: Path) -> bytes:
    """An append-only file that somebody changed, and what stood there."""
    target = path / "trades/trade_1.json"
    good = target.read_bytes()
    target.write_bytes(good.replace(b"0.0725", b"0.9725"))
    return good


def test_roll_back_shows_what_would_change_and_asks(make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_bank(3, padded=False)
    backed_up(path)
    target = path / "trades/trade_1.json"

    def act(person: Person) -> None:
        good = changed(path)
        person.until("MB113")
        person.press("r")
        text = person.until("Replace 1 file")
        assert "What would change" in text
        assert "net_profit 0.9725 -> 0.0725" in text
        assert target.read_bytes() != good
        put(path / "trades/new.json", trade(9))  # watching goes on while the question stands
        person.press("n")
        person.until("adopted trades/new.json")
        person.until("nothing was changed")
        assert target.read_bytes() != good
        person.press("r")
        person.until("Replace 1 file")
        person.press("y")
        person.until("1 file restored")
        assert target.read_bytes() == good
        person.until("resolved MB113 trades/trade_1.json")
        person.until("FINDINGS none")

    lived(path, monkeypatch, act)
    restored = [core["op"] for core in journal(path) if core["op"].startswith("restore.")]
    assert restored == ["restore.begin", "restore.end"]  # samples may be recorded at any time


def test_accept_asks_and_is_journaled(make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_bank(3, padded=False)

    def act(person: Person) -> None:
        changed(path)
        person.until("MB113")
        person.press("a")
        person.until("Accept trades/trade_1.json as it is now?")
        person.press("y")
        person.until("1 change accepted")

    lived(path, monkeypatch, act, actor="somebody")
    last = [core for core in journal(path) if core["op"] == "file.accepted"][-1]
    assert (last["actor"], last["reason"]) == ("somebody", "accepted in the live view")


def test_what_cannot_be_done_is_told(make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_bank(3)

    def act(person: Person) -> None:
        person.until("MB102")
        person.press("a")
        person.until("as it is now?")
        person.press("y")
        text = person.until("Not done")
        assert "is damaged, so it cannot be what is wanted" in text
        person.press("\x1b")
        person.until("MB102")
        person.press("r")
        person.until("Not done")  # there is no snapshot
        person.press("\x1b")
        person.until("MB102")

    lived(path, monkeypatch, act)


def test_quitting_answers_no(make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_bank(3, padded=False)

    def act(person: Person) -> None:
        changed(path)
        person.until("MB113")
        person.press("a")
        person.until("as it is now?")
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)

    assert lived(path, monkeypatch, act).code == 0
    assert "file.accepted" not in [core["op"] for core in journal(path)]


def test_a_resize_is_followed(make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_bank(1)

    def act(person: Person) -> None:
        person.until("MB102")
        for columns, rows in ((40, 24), (200, 50), (20, 3), (80, 24)):
            person.resize(columns, rows)
            os.kill(os.getpid(), signal.SIGWINCH)
            person.until("of 100 error" if rows == 3 else "MB102")
            assert len(person.display.text().splitlines()[0]) <= columns

    lived(path, monkeypatch, act)


def test_names_of_agents_are_escaped(make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_bank(1, padded=False)
    (path / "trades/\x1b[2J\x07.json").write_text("{")

    def act(person: Person) -> None:
        person.until("trades/\\x1b[2J\\x07.json")
        assert not person.display.unknown

    lived(path, monkeypatch, act)


def test_notes_are_events_and_the_terminal_stays_whole(make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_bank(2, padded=False)
    monkeypatch.setenv("MEMORYBANK_LOCK_TIMEOUT", "0")

    def act(person: Person) -> None:
        from memorybank_cli.bank import layout
        from memorybank_cli.base.locks import hold
        from memorybank_cli.base.walk import Root

        person.until("ready watched")
        root = Root(path)
        with hold(root, layout.LOCK):
            put(path / "trades/new.json", trade(9))
            person.until("nothing is adopted: another process holds")
        root.close()

    lived(path, monkeypatch, act)


def test_behind_a_shell_nothing_is_drawn(make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_bank(1)

    def act(person: Person) -> None:
        person.until("MB102")
        monkeypatch.setattr(live, "is_before_us", lambda: False)
        os.kill(os.getpid(), signal.SIGCONT)
        person.until(lambda _: not person.display.alternate)
        termios.tcsetattr(person.theirs, termios.TCSANOW, person.modes)  # as the shell does
        put(path / "trades/new.json", trade(9))
        eventually(lambda: "trades/new.json" in adopted(path))
        assert person.is_given_back()
        monkeypatch.setattr(live, "is_before_us", lambda: True)
        person.until("adopted trades/new.json")
        os.kill(os.getpid(), signal.SIGCONT)
        person.press("?")
        person.until("draw everything again")

    lived(path, monkeypatch, act)


def test_a_hang_up_ends_it(make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_bank(1)

    def by_signal(person: Person) -> None:
        person.until("MB102")
        os.kill(os.getpid(), signal.SIGHUP)
        person.until(lambda _: not person.display.alternate)

    assert lived(path, monkeypatch, by_signal).code == 0

    def by_the_line(person: Person) -> None:
        person.until("MB102")
        monkeypatch.setattr(Screen, "read", lambda _: b"")
        person.press("x")
        person.until(lambda _: not person.display.alternate)

    assert lived(path, monkeypatch, by_the_line).code == 0


def test_while_one_action_runs_there_is_no_other(make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memorybank_cli.cli.live.actions.Actions.running", True)

    def act(person: Person) -> None:
        person.until("MB102")
        person.press("a")
        person.until("is not over yet")

    lived(make_bank(1), monkeypatch, act)


def test_a_terminal_that_nobody_shares_is_before_us(monkeypatch: pytest.MonkeyPatch) -> None:
    with before_a_person(monkeypatch) as person:
        assert is_before_us()
        one = live.View(Context(), str, colour=False)
        assert not one.screen.plain
        one.screen.leave()  # it was not entered
        one.screen.hide()
        person.drain()
        assert person.display.raw == b""
        one.screen.keyboard = os.open(os.devnull, os.O_WRONLY)
        assert one.screen.read() == b""
        os.close(one.screen.keyboard)


def test_a_signal_before_watching_listens_is_not_lost(make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch) -> None:
    before = live.View._pass_on

    def early(one: live.View, lines: Any) -> int:
        os.kill(os.getpid(), signal.SIGTERM)
        return before(one, lines)

    monkeypatch.setattr(live.View, "_pass_on", early)
    assert lived(make_bank(1), monkeypatch, lambda _: None).code == 0


def test_trends_come_from_the_samples(make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_bank(1, padded=False)
    asked: list[tuple[Any, ...]] = []

    def recent(*given: Any) -> dict[str, list[float | None]]:
        asked.append(given)
        return {"score": [90.0, 100.0]}

    monkeypatch.setattr(live, "recent", recent)

    def act(person: Person) -> None:
        person.until("score ▇█ 100")

    lived(path, monkeypatch, act)
    assert asked[0][1:] == (live.SAMPLES, POINTS)


def test_a_failure_of_the_view_ends_watching_and_is_raised(
    make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("drawing")

    def act(person: Person) -> None:
        person.until("ready watched")
        monkeypatch.setattr(live, "draw", fail)
        person.until(lambda _: not person.display.alternate)

    with pytest.raises(ZeroDivisionError, match="drawing"):
        lived(make_bank(1, padded=False), monkeypatch, act)


def test_a_bank_that_goes_away_gives_the_terminal_back(make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_bank(1, padded=False)
    displays: list[Display] = []

    def act(person: Person) -> None:
        person.until("ready watched")
        displays.append(person.display)
        path.rename(path.with_name("gone"))
        person.until(lambda _: not person.display.alternate)

    with pytest.raises(BankNotFound):
        lived(path, monkeypatch, act)
    assert (displays[0].alternate, displays[0].cursor) == (False, True)


# As a process


def test_a_session(make_bank: MakeBank) -> None:
    path = make_bank(3)
    with watching(path) as session:
        session.until("MB102")
        session.press("q")
        assert session.ended() == 0
        assert session.is_given_back()
        assert "watched for" in session.display.text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_give_the_terminal_back(make_bank: MakeBank, number: signal.Signals) -> None:
    with watching(make_bank(1)) as session:
        session.until("MB102")
        session.send(number)
        assert session.ended() == 0
        assert session.is_given_back()


def test_ctrl_c_ends_it(make_bank: MakeBank) -> None:
    with watching(make_bank(1)) as session:
        session.until("MB102")
        session.press("\x03")
        assert session.ended() == 0
        assert session.is_given_back()


CRASH = """
from memorybank_cli.integrity import watcher
before = watcher.Watcher.next
def crash(self, timeout):
    if crash.times:
        raise ZeroDivisionError
    crash.times += 1
    return before(self, 0.5)
crash.times = 0
watcher.Watcher.next = crash
"""


def test_a_crash_gives_the_terminal_back(make_bank: MakeBank) -> None:
    with watching(make_bank(1), script=CRASH) as session:
        session.until("MB102")
        assert session.ended() == 70
        assert session.is_given_back()
        assert "an internal error (ZeroDivisionError)" in session.display.text()


def test_ctrl_z_and_on(make_bank: MakeBank) -> None:
    path = make_bank(1)
    with watching(path) as session:
        session.until("MB102")
        session.press("\x1a")
        session.until(lambda _: not session.display.alternate)
        assert os.waitid(os.P_PID, session.process.pid, os.WSTOPPED) is not None
        assert session.is_given_back()
        session.send(signal.SIGCONT)
        session.until("MB102")
        assert session.display.alternate
        session.press("q")
        assert session.ended() == 0


SHELL = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
mine = os.getpgrp()
watch = subprocess.Popen([sys.executable, "-m", "memorybank_cli", *sys.argv[1:]], process_group=0)
os.tcsetpgrp(0, watch.pid)
def until_stopped():
    os.waitid(os.P_PID, watch.pid, os.WSTOPPED | os.WNOWAIT)
    os.tcsetpgrp(0, mine)
until_stopped()
print("in the shell", flush=True)
sys.stdin.readline()
os.kill(watch.pid, signal.SIGCONT)
print("behind the shell", flush=True)
sys.stdin.readline()
os.tcsetpgrp(0, watch.pid)
os.kill(watch.pid, signal.SIGCONT)
sys.exit(watch.wait())
"""


def test_behind_a_shell_it_watches_and_leaves_the_terminal_alone(make_bank: MakeBank) -> None:
    path = make_bank(1)
    with Session("-c", SHELL, "watch", "--bank", str(path)) as session:
        session.until("MB102")
        session.press("\x1a")
        session.until("in the shell")
        put(path / "trades/new.json", trade(9))
        session.press("\n")
        session.until("behind the shell")
        eventually(lambda: "trades/new.json" in adopted(path))
        assert session.is_given_back()
        session.press("\n")
        session.until("adopted trades/new.json")
        assert session.display.alternate
        session.press("q")
        assert session.ended() == 0


def test_a_terminal_that_takes_nothing_holds_nothing_up(make_bank: MakeBank) -> None:
    """A line that hangs: nobody reads what is drawn; changes are adopted all the same, and the end comes."""
    path = make_bank(1)
    with watching(path, columns=500, rows=500) as session:
        session.until("MB102")
        for number in range(400):  # more than a terminal's buffer takes
            put(path / f"trades/{number:03d}{'x' * 150}.json", trade(number))
        eventually(lambda: len(adopted(path)) >= 400)
        session.send(signal.SIGTERM)
        assert session.process.wait(PATIENCE) == 0


def test_the_terminal_goes_away(make_bank: MakeBank) -> None:
    path = make_bank(1)
    with watching(path) as session:
        session.until("MB102")
        spare = os.open(os.devnull, os.O_RDONLY)
        os.close(session.theirs)
        os.dup2(spare, session.ours)  # the last end of the terminal on our side
        session.theirs = spare
        assert session.process.wait(PATIENCE) in (0, 3)


@pytest.mark.parametrize(
    ("options", "env"),
    [(["--no-input"], {}), (["--quiet"], {}), (["--once"], {}), ([], {"TERM": "dumb"})],
    ids=["no-input", "quiet", "once", "dumb"],
)
def test_lines_where_no_view_is_wanted(make_bank: MakeBank, options: list[str], env: dict[str, str]) -> None:
    with watching(make_bank(1), *options, env=env, columns=200) as session:
        if options != ["--once"]:
            session.until("ready")
            session.send(signal.SIGTERM)
        assert session.ended() == 0
        assert "finding error MB102" in session.display.text()
        assert b"\x1b[?1049h" not in session.display.raw


def test_json_and_pipes_get_lines(make_bank: MakeBank, run: Run) -> None:
    done = run("watch", "--once", "--bank", make_bank(1))
    assert "\x1b" not in done.stdout
    with watching(make_bank(1, name="other"), "--json", columns=500) as session:
        session.until('"type":"ready"')
        assert not session.display.alternate
