"""`watch`: ready after the first look, each change told once and adopted by policy, findings opened and resolved."""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.accounts.messages import Message
from memorybank_cli.bank import layout, replacing
from memorybank_cli.base.errors import BankNotFound
from memorybank_cli.base.locks import hold
from memorybank_cli.base.records import Progress
from memorybank_cli.base.walk import Root
from memorybank_cli.integrity.watcher import Batch
from memorybank_cli.operations import watching as running
from memorybank_cli.operations.accounts import create
from memorybank_cli.operations.messages import store
from memorybank_cli.operations.rollback import rollback
from memorybank_cli.operations.watch import watch
from tests.broken_os import broken, full_after
from tests.conftest import MakeBank, Run, trade
from tests.operations.banks import backed_up, journal, journal_file, opened, put, rules

Line = dict[str, Any]
PATIENCE = 30.0
QUICK = {"MEMORYBANK_SETTLE_MS": "50", "MEMORYBANK_RECONCILE_SECONDS": "60"}


class Watching:
    """A `memorybank watch --json` that runs."""

    def __init__(self, path: Path, *options: str, prefix: Sequence[str] = ()) -> None:
        command = [*prefix, sys.executable, "-m", "memorybank_cli", "watch", "--json", "--bank", str(path), *options]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **QUICK}
        )
        self.lines: queue.Queue[Line | None] = queue.Queue()
        self.seen: list[Line] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for raw in self.process.stdout:
            self.lines.put(json.loads(raw))
        self.lines.put(None)

    def next(self) -> Line:
        line = self.lines.get(timeout=PATIENCE)
        assert line is not None, self.process.stderr.read() if self.process.stderr else ""
        self.seen.append(line)
        return line

    def until(self, kind: str, path: str = "") -> Line:
        """The next line of a kind about a path; what came before stands in `seen`."""
        while True:
            line = self.next()
            if line["type"] == kind and (not path or path == line.get("path") or path in line.get("paths", ())):
                return line

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, list[Line]]:
        """Its exit code, and what it said last."""
        self.process.send_signal(number)
        code = self.process.wait(PATIENCE)
        rest = []
        while (line := self.lines.get(timeout=PATIENCE)) is not None:
            rest.append(line)
        return code, rest


@contextmanager
def watching(path: Path, *options: str, prefix: Sequence[str] = ()) -> Iterator[Watching]:
    one = Watching(path, *options, prefix=prefix)
    try:
        yield one
    finally:
        if one.process.poll() is None:
            one.process.kill()
        one.process.communicate()


def once(path: Path, *, no_adopt: bool = False, **options: Any) -> list[Line]:
    with opened(path, **options) as bank:
        return list(watch(bank, bank.context, once=True, no_adopt=no_adopt))


def kinds(lines: list[Line]) -> list[str]:
    return [one["type"] for one in lines if one["type"] != "looked"]


def swap_in(path: Path, data: bytes) -> None:
    """Write beside and rename, as careful writers do."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(data)
    temporary.rename(path)


# As a process


def test_a_day_of_a_bank(make_bank: MakeBank) -> None:
    path = make_bank(3, padded=False)
    backed_up(path)
    target = path / "trades/trade_1.json"
    good = target.read_bytes()
    with watching(path) as one:
        ready = one.until("ready")
        assert ready["findings"] == 0
        assert ready["watched"] >= 5
        assert ready["backend"] in ("inotify", "polling")

        new = put(path / "trades/new.json", trade(9))
        changed = one.until("changed", "trades/new.json")
        assert (changed["change"], changed["before"]) == ("new", None)
        assert len(changed["after"]) == 64
        adopted = one.until("adopted", "trades/new.json")
        assert (adopted["paths"], adopted["count"]) == (["trades/new.json"], 1)

        target.write_bytes(good.replace(b"0.0725", b"0.9725"))
        found = one.until("finding", "trades/trade_1.json")
        assert (found["finding"]["rule"], found["finding"]["severity"]) == ("MB113", "error")
        assert "memorybank rollback --path trades/trade_1.json" in found["finding"]["hint"]
        health = one.until("health")
        assert health["status"] == "error"
        assert health["score"] < 100

        target.write_bytes(good[:-1] + b"\0")
        found = one.until("finding", "trades/trade_1.json")
        assert found["finding"]["rule"] in ("MB101", "MB103")
        resolved = one.until("resolved", "trades/trade_1.json")
        assert resolved["rule"] == "MB113"

        with opened(path) as bank:
            assert rollback(bank, path=("trades/trade_1.json",), yes=True).restored == ("trades/trade_1.json",)
        resolved = one.until("resolved", "trades/trade_1.json")
        assert resolved["rule"] == found["finding"]["rule"]
        assert resolved["fingerprint"] == found["finding"]["fingerprint"]
        assert one.until("health")["status"] != "error"

        code, rest = one.stop()
        assert (code, kinds(rest)[-1:], rest[-1]["reason"]) == (0, ["stopped"], "SIGTERM")
        assert not {"gap"} & {*kinds(one.seen), *kinds(rest)}
        assert all(line["ts"].endswith("Z") for line in one.seen)
    assert target.read_bytes() == good
    assert (path / "trades/new.json").read_bytes() == new
    assert rules(path, "MB") == {}
    assert [core["op"] for core in journal(path) if core["op"] == "file.adopted"]


def test_a_broken_byte_and_its_cure_by_the_writer(make_bank: MakeBank) -> None:
    path = make_bank(1, padded=False)
    target = path / "metrics/metrics.json"
    good = target.read_bytes()
    with watching(path) as one:
        one.until("ready")
        target.write_bytes(good.replace(b":", b";", 1))
        assert one.until("finding", "metrics/metrics.json")["finding"]["rule"] == "MB101"
        swap_in(target, good.replace(b"35.5", b"36.5"))
        assert one.until("resolved", "metrics/metrics.json")["rule"] == "MB101"
        assert one.until("adopted", "metrics/metrics.json")["count"] == 1
        code, rest = one.stop(signal.SIGINT)
        assert (code, rest[-1]["type"], rest[-1]["reason"]) == (0, "stopped", "SIGINT")


def test_our_own_writes_are_no_news(make_bank: MakeBank) -> None:
    path = make_bank(1, padded=False)
    with opened(path) as bank:
        create(bank, "a")
    with watching(path) as one:
        one.until("ready")
        for number in range(3):
            with opened(path) as bank:
                store(bank, "a", [Message("user", str(number))])
        put(path / "trades/last.json", trade(9))
        one.until("adopted", "trades/last.json")
        assert [line for line in one.seen if line["type"] == "finding" and line["path"]] == []
        assert [line["path"] for line in one.seen if line["type"] == "changed"] == ["trades/last.json"]


def test_new_directories_removed_files_and_renames(make_bank: MakeBank) -> None:
    path = make_bank(2, padded=False)
    with watching(path) as one:
        one.until("ready")
        put(path / "trades/2026/11/deep.json", trade(9))
        one.until("adopted", "trades/2026/11/deep.json")
        put(path / "trades/2026/11/more.json", trade(8))
        one.until("adopted", "trades/2026/11/more.json")
        (path / "state/state.json").unlink()
        gone = one.until("changed", "state/state.json")
        assert (gone["change"], gone["after"]) == ("removed", None)
        one.until("adopted", "state/state.json")
        (path / "trades/trade_1.json").unlink()
        assert one.until("finding", "trades/trade_1.json")["finding"]["rule"] == "MB111"
        shutil.rmtree(path / "trades/2026")
        missing = {one.until("finding")["path"], one.until("finding")["path"]}
        assert missing == {"trades/2026/11/deep.json", "trades/2026/11/more.json"}


def test_for_people(make_bank: MakeBank, run: Run) -> None:
    path = make_bank(1)
    put(path / "trades/new.json", trade(9))
    done = run("watch", "--once", "--bank", path)
    assert done.returncode == 0
    text = done.stdout
    assert "error MB102 trades/recent_trades.json: valid JSON ends" in text
    assert "new trades/new.json" in text
    assert "adopted trades/new.json" in text
    assert text.rstrip().splitlines()[-1].endswith("stopped reason=done")


# Once


def test_once(run: Run, make_bank: MakeBank) -> None:
    path = make_bank(2)
    put(path / "trades/new.json", trade(9))
    done = run("watch", "--once", "--json", "--bank", path)
    assert (done.returncode, done.stderr) == (0, "")
    assert kinds(done.lines) == ["finding", "changed", "adopted", "finding", "health", "ready", "stopped"]
    assert (done.lines[4]["finding"]["rule"], done.lines[5]["status"]) == ("MB501", "error")
    assert done.lines[-1]["reason"] == "done"
    assert done.lines[-2]["findings"] == 1
    assert kinds(once(path)) == ["finding", "finding", "health", "ready", "stopped"]
    recorded = [core for core in journal(path) if core["op"] == "file.adopted"]
    assert recorded[-1]["files"][0][0] == "trades/new.json"


def test_reporting_only(run: Run, make_bank: MakeBank) -> None:
    path = make_bank(2, padded=False)
    put(path / "trades/new.json", trade(9))
    lines = journal(path)
    for _ in range(2):
        done = run("watch", "--once", "--no-adopt", "--json", "--bank", path)
        assert kinds(done.lines) == ["changed", "finding", "health", "ready", "stopped"]
        assert done.lines[-3]["status"] == "degraded"
    assert journal(path) == lines


def test_a_bank_without_a_baseline_gets_one(make_bank: MakeBank) -> None:
    path = make_bank(2, padded=False)
    shutil.rmtree(path / ".memorybank")
    shutil.rmtree(os.environ["MEMORYBANK_STATE_HOME"])
    first, *rest = once(path)
    assert first["type"] == "adopted"
    assert "trades/trade_0.json" in first["paths"]
    assert [kind for kind in kinds(rest) if kind != "finding"] == ["health", "ready", "stopped"]
    assert rules(path, "MB") == {}


class Notes(Progress):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_a_damaged_journal_does_not_end_the_watch(make_bank: MakeBank) -> None:
    path = make_bank(2, padded=False)
    put(path / "trades/new.json", trade(9))
    segment = journal_file(path)
    segment.write_bytes(segment.read_bytes().replace(b'"actor":"', b'"actor":"x', 1))
    for name in (path / ".memorybank").glob("catalog*"):
        name.unlink()
    notes = Notes()
    lines = once(path, progress=notes)
    assert "MB120" in {one["finding"]["rule"] for one in lines if one["type"] == "finding"}
    assert "adopted" not in kinds(lines)
    assert any(one.startswith("nothing is adopted: the journal is damaged") for one in notes.notes)


def test_a_lock_that_is_held_long_does_not_end_the_watch(make_bank: MakeBank) -> None:
    path = make_bank(2, padded=False)
    put(path / "trades/new.json", trade(9))
    notes = Notes()
    root = Root(path)
    with hold(root, layout.LOCK):
        lines = once(path, progress=notes, lock_timeout=0.0)
    root.close()
    assert "changed" in kinds(lines)
    assert "adopted" not in kinds(lines)
    assert notes.notes[0].startswith("nothing is adopted: another process holds")
    assert "adopted" in kinds(once(path))


# In process, so that every step counts


class Told:
    """A watch in this process: lines until one is what is waited for, and acts between them."""

    def __init__(self, lines: Iterator[Line]) -> None:
        self.lines, self.seen = lines, list[Line]()

    def until(self, *kinds: str) -> Line:
        timer = threading.Timer(PATIENCE, os.kill, (os.getpid(), signal.SIGTERM))
        timer.start()
        try:
            for line in self.lines:
                self.seen.append(line)
                if line["type"] in kinds:
                    return line
        finally:
            timer.cancel()
        raise AssertionError(f"it ended without {kinds}: {self.seen}")


@contextmanager
def told(path: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> Iterator[Told]:
    for name, value in QUICK.items():
        monkeypatch.setenv(name, value)
    with opened(path, **options) as bank:
        lines = watch(bank, bank.context)
        try:
            yield Told(lines)
        finally:
            lines.close()  # type: ignore[attr-defined]  # it is a generator


def signals() -> tuple[Any, Any]:
    return signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_cleanly(
    make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    before = signals()
    with told(make_bank(1, padded=False), monkeypatch) as one:
        one.until("ready")
        os.kill(os.getpid(), number)
        assert one.until("stopped")["reason"] == number.name
        assert next(one.lines, None) is None
    assert signals() == before


def test_what_is_told_of_a_file(make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_bank(2, padded=False)
    target = path / "trades/trade_1.json"
    good = target.read_bytes()
    with told(path, monkeypatch) as one:
        one.until("ready")
        swap_in(target, good.replace(b"0.0725", b"0.9725"))
        assert one.until("finding")["finding"]["rule"] == "MB113"
        swap_in(target, good[:-9])
        assert one.until("finding")["finding"]["rule"] == "MB103"
        assert one.until("resolved")["rule"] == "MB113"
        swap_in(target, good[:-20])
        again = one.until("finding")
        assert (again["finding"]["rule"], "changed" in kinds(one.seen)) == ("MB103", True)
        swap_in(target, good)
        assert one.until("resolved")["rule"] == "MB103"
        assert one.until("health")["status"] != "error"


def test_a_config_that_changes_is_looked_at(make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_bank(1, padded=False)
    (path / "config").mkdir()
    with told(path, monkeypatch) as one:
        one.until("ready")
        put(path / "config/memorybank.json", {"exclude": ["*"]})
        while (found := one.until("finding"))["path"] != "config/memorybank.json":
            pass
        assert found["finding"]["rule"] == "MB110"


def test_the_root_changes(make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_bank(1, padded=False)
    with told(path, monkeypatch) as one:
        one.until("ready")
        put(path / "stray.json", {"a": 1})
        while (found := one.until("finding"))["path"] != "stray.json":
            pass
        assert found["finding"]["rule"] == "MB112"
        (path / "more").mkdir()
        put(path / "more/x.md", b"text")
        while "more/x.md" not in one.until("adopted")["paths"]:
            pass


def test_the_bank_goes_away(make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_bank(1, padded=False)
    with told(path, monkeypatch) as one:
        one.until("ready")
        path.rename(path.with_name("moved"))
        with pytest.raises(BankNotFound, match="went away") as caught:
            one.until("stopped")
        path.with_name("moved").rename(path)
    assert caught.value.exit_code == 10


POWERS = "-dac_override,-dac_read_search"
POWERLESS = ("setpriv", f"--bounding-set={POWERS}", f"--inh-caps={POWERS}") if os.geteuid() == 0 else ()
"""Before a command: root may no more read what nobody may."""


@pytest.mark.skipif(POWERLESS != () and shutil.which("setpriv") is None, reason="root may read everything")
def test_a_bank_that_may_not_be_read_any_more_ends_it_as_one_that_went_away(make_bank: MakeBank) -> None:
    path = make_bank(1, padded=False)
    with watching(path, prefix=POWERLESS) as one:
        one.until("ready")
        path.chmod(0)
        try:
            while (found := one.until("finding")["finding"])["rule"] != "MB118":
                pass
            code = one.process.wait(PATIENCE)
        finally:
            path.chmod(0o700)
        assert "may not be read any more" in found["message"]
        assert found["hint"] == "check the owner and the mode of the directory"
        assert code == 10


def test_the_reconcile_finds_what_no_event_told(make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_bank(1, padded=False)
    monkeypatch.setitem(QUICK, "MEMORYBANK_RECONCILE_SECONDS", "0.2")
    with told(path, monkeypatch) as one:
        one.until("ready")
        with opened(path) as bank:
            create(bank, "a")
        (path / "account_a/short_term.json").unlink()
        assert one.until("finding")["path"] == "account_a/short_term.json"


def batches(path: Path, *batches: Batch) -> list[list[Line]]:
    """What a watch tells of each batch; before the first it has not looked yet."""
    with opened(path) as bank:
        one = running.Watching(bank, bank.context, adopt=True)
        try:
            return [list(one._batch(batch)) for batch in batches]
        finally:
            one.close()


def test_a_gap_is_told_and_everything_is_looked_at(make_bank: MakeBank) -> None:
    path = make_bank(1)
    put(path / "trades/unseen.json", trade(9))
    gap = ("2026-11-20T14:00:00Z", "2026-11-20T14:00:05Z")
    everything = Batch(frozenset(), frozenset(), True, None)
    first, *others = batches(
        path, everything._replace(gap=gap), everything, everything._replace(full=False, directories=frozenset({""}))
    )
    assert kinds(first) == ["gap", "finding", "changed", "adopted"]
    assert (first[0]["from"], first[0]["to"]) == gap
    assert [kinds(one) for one in others] == [[], []]


def test_a_directory_is_looked_at_as_a_whole(make_bank: MakeBank) -> None:
    path = make_bank(1, padded=False)
    put(path / "trades/sub/a.json", trade(9))
    put(path / "state/state.json", b"{")
    [lines] = batches(path, Batch(frozenset(), frozenset({"trades"}), False, None))
    assert kinds(lines) == ["changed", "adopted"]


def test_what_only_the_whole_bank_shows_is_told_once_until_it_is_gone(make_bank: MakeBank) -> None:
    path = make_bank(2, padded=False)
    put(path / "metrics/a.json", {"total_trades": 7})
    everything = Batch(frozenset(), frozenset(), True, None)
    with opened(path) as bank:
        one = running.Watching(bank, bank.context, adopt=True)
        try:
            assert kinds(list(one._batch(everything))) == ["finding", "changed", "adopted"]
            put(path / "metrics/a.json", {"total_trades": 7, "more": 1})
            put(path / "trades/new.json", trade(9))
            some = everything._replace(full=False, paths=frozenset({"metrics/a.json", "trades/new.json"}))
            assert kinds(list(one._batch(some))) == ["changed", "changed", "adopted"]
            assert kinds(list(one._batch(everything))) == []
            put(path / "metrics/a.json", {"total_trades": 3})
            assert kinds(list(one._batch(everything))) == ["changed", "resolved", "adopted"]
        finally:
            one.close()


def test_a_full_disk_does_not_end_the_watch(make_bank: MakeBank) -> None:
    path = make_bank(2, padded=False)
    put(path / "trades/new.json", trade(9))
    notes = Notes()
    with broken(write=full_after(0)):
        lines = once(path, progress=notes)
    assert [kind for kind in kinds(lines) if kind != "finding"] == ["changed", "health", "ready", "stopped"]
    assert notes.notes == ["nothing is adopted: the disk is full"]
    assert "adopted" in kinds(once(path))


def test_a_rollback_under_way_is_our_own(make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look between the exchange of the files and the line that tells of it waits for that line."""
    path = make_bank(1, padded=False)
    backed_up(path)
    put(path / "state/state.json", {"bot_status": "stopped"})
    looked: list[Line] = []
    threads: list[threading.Thread] = []
    real = replacing.swap

    def look() -> None:
        with opened(path) as bank:
            begun.set()
            looked.extend(running.Watching(bank, bank.context, adopt=True).some({"state/state.json"}))

    def swapped(*arguments: Any) -> Any:
        kept = real(*arguments)
        threads.append(threading.Thread(target=look))
        threads[0].start()
        begun.wait(PATIENCE)
        return kept

    begun = threading.Event()
    monkeypatch.setattr(replacing, "swap", swapped)
    with opened(path) as bank:
        rollback(bank, yes=True)
    threads[0].join(PATIENCE)
    assert not {"changed", "adopted", "finding"} & set(kinds(looked))
    ops = [core["op"] for core in journal(path)]
    assert ops[-1] == "restore.end"
