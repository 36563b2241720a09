"""`watch`: how soon a change is told, what a burst costs, what waiting costs, and what it costs who writes beside it.

What is timed is one program that watches, as a whole process with its lines in a pipe. Limits stand in the issue that
set the goals; a latency or a size over its limit is a ratio like the others.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, Self

from benchmarks import corpus
from benchmarks.cases import Bench, Row
from benchmarks.pairs import Failed, once

PATIENCE = 300.0
Change = Callable[[str, int], tuple[str, float]]
"""Changes a file of a bank: its path, and the moment from which time counts."""
DAMAGED = b'{"bot_status": "running", "positions": [1, 2,'
SOUND, CHANGED = b'"side": ', b'"side":  '
TICKS = os.sysconf("SC_CLK_TCK")
MB = 1_000_000
_WRITER = """
import json, os, sys, time
place, seconds = sys.argv[1], float(sys.argv[2])
data = [json.dumps({"bot_status": "running", "step": step, "positions": [0.5] * 60}).encode() for step in range(10)]
count, end = 0, time.monotonic() + seconds
while time.monotonic() < end:
    for agent in range(100):
        path = f"{place}/agent_{agent}.json"
        with open(f"{place}/.agent_{agent}.tmp", "wb") as file:
            file.write(data[count % 10])
        os.rename(file.name, path)
        count += 1
print(count / seconds)
"""


class Watch:
    """A `memorybank watch --json` that runs, and its lines with the moment at which each was there."""

    def __init__(self, bench: Bench, path: str, *processors: int) -> None:
        words = list(bench.ours("watch", "--json").words)
        if processors:
            words = ["taskset", "-c", ",".join(map(str, processors)), *words]
        self.lines: SimpleQueue[tuple[float, bytes]] = SimpleQueue()
        self.begun = time.monotonic()
        self.process = subprocess.Popen(
            words, cwd=path, env=bench.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        threading.Thread(target=self._read, daemon=True).start()
        self.ready, self.line = self.until(lambda one: one["type"] == "ready")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(PATIENCE)
        finally:
            self.process.kill()
            self.process.communicate()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put((time.monotonic(), line))

    def until(self, found: Callable[[dict[str, Any]], object]) -> tuple[float, dict[str, Any]]:
        """Seconds from the start to the next line of a kind, and the line. Raises Failed when none comes."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                moment, data = self.lines.get(timeout=max(end - time.monotonic(), 0.0))
            except Empty:
                raise Failed(f"watch did not tell what was waited for in {PATIENCE:.0f} s") from None
            line = json.loads(data)
            if found(line):
                return moment - self.begun, line

    def cpu(self) -> float:
        """Seconds of CPU up to now, those of its children too."""
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as file:
            fields = file.read().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / TICKS

    def memory(self) -> int:
        """Bytes that it holds now."""
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmRSS:"))


def watch(bench: Bench) -> Iterator[Row]:
    """A large bank that is watched: ready, idle, told of changes; bursts; writers; AIDE."""
    large = bench.files >= 100_000
    path = bench.bank("tree", bench.files)
    shutil.rmtree(f"{path}/state", ignore_errors=True)
    os.makedirs(f"{path}/state", mode=0o700)
    once(bench.ours("init", path))
    once(bench.ours("validate", cwd=path))
    yield from _waiting(bench, path, large)
    yield from _aide(bench, path, large)
    try:
        yield from _told(bench, path)
    finally:
        _put_right(path)
    yield from _burst(bench, large)
    yield from _slowed(bench)


def _waiting(bench: Bench, path: str, large: bool) -> Iterator[Row]:
    bench.say("ready, and a minute of waiting")
    times = []
    for _ in range(bench.pairs):
        with Watch(bench, path) as one:
            times.append(one.ready)
    ready, count = statistics.median(times), f"{bench.files:,} files"
    spread = (min(times) / 0.5, max(times) / 0.5)
    yield Row(f"watch is ready, {count} / 0.5 s", ready / 0.5, _goal(large), spread=spread, note=f"{ready:.2f} s")
    with Watch(bench, path) as one:
        time.sleep(5)
        before, begun = one.cpu(), time.monotonic()
        if large:
            time.sleep(60)
            one.until(lambda line: line["type"] == "looked")
        time.sleep(5)
        seconds = time.monotonic() - begun
        share, held = (one.cpu() - before) / seconds, one.memory()
    note = f"{share:.2%} of {seconds:.0f} s, a look at everything among them"
    yield Row(f"watch waits, {count} / 0.5 % of a core", share / 0.005, _goal(large), note=note if large else "")
    yield Row(f"memory of watch, {count} / 80 MB", held / (80 * MB), _goal(large), note=f"{held / MB:.0f} MB")


def _goal(large: bool, goal: float = 1.0) -> float | None:
    return goal if large else None


def _told(bench: Bench, path: str) -> Iterator[Row]:
    number = 40 * bench.pairs
    with Watch(bench, path) as one:
        for title, change, limits in (
            ("renamed into place, damaged", _renamed_damaged, (0.030, 0.100)),
            ("renamed into place, against its policy", _renamed_changed, (0.030, 0.100)),
            ("changed in place, damaged", _in_place, (0.200, None)),
        ):
            bench.say(f"told of files {title}")
            waits = sorted(_wait(one, path, change, which) for which in range(number))
            half, late = statistics.median(waits), waits[int(number * 0.99)]
            for name, value, limit in zip(("p50", "p99"), (half, late), limits, strict=True):
                against = f" / {limit * 1000:.0f} ms" if limit else " / 200 ms"
                ratio = value / (limit or 0.200)
                note = f"{value * 1000:.1f} ms, {number} changes"
                yield Row(f"{title}, {name}{against}", ratio, 1.0 if limit else None, note=note)


def _wait(one: Watch, path: str, change: Change, which: int) -> float:
    """Seconds from a change to the line of its finding."""
    time.sleep(random.uniform(0.02, 0.08))
    name, begun = change(path, which)
    moment, _ = one.until(lambda line: line["type"] == "finding" and line["path"] == name)
    return one.begun + moment - begun


def _renamed_damaged(path: str, which: int) -> tuple[str, float]:
    name = f"state/renamed_{which}.json"
    return name, _renamed(path, name, DAMAGED)


def _renamed_changed(path: str, which: int) -> tuple[str, float]:
    names = _names(path)
    name = names[(which * 7919) % len(names)]
    with open(f"{path}/{name}", "rb") as file:
        data = file.read()
    return name, _renamed(path, name, data.replace(SOUND, CHANGED))


def _renamed(path: str, name: str, data: bytes) -> float:
    folder, _, last = name.rpartition("/")
    beside = f"{path}/{folder}/.{last}.tmp"
    with open(beside, "wb") as file:
        file.write(data)
    begun = time.monotonic()
    os.rename(beside, f"{path}/{name}")
    return begun


def _put_right(path: str) -> None:
    """The files as they were: others compare with them too."""
    shutil.rmtree(f"{path}/state")
    for base, _, names in os.walk(f"{path}/trades"):
        for name in names:
            one = f"{base}/{name}"
            with open(one, "rb") as file:
                data = file.read()
            if CHANGED in data:
                with open(one, "r+b") as file:
                    file.write(data.replace(CHANGED, SOUND))
                    file.truncate()
                os.utime(one, (time.time() - 3_600,) * 2)


def _in_place(path: str, which: int) -> tuple[str, float]:
    name = f"state/written_{which}.json"
    with open(f"{path}/{name}", "wb", buffering=0) as file:
        file.write(DAMAGED[:20])
        file.write(DAMAGED[20:])
        begun = time.monotonic()
    return name, begun


_known: dict[str, list[str]] = {}


def _names(path: str) -> list[str]:
    if path not in _known:
        found = (f"{base}/{name}" for base, _, names in os.walk(f"{path}/trades") for name in names)
        _known[path] = sorted(os.path.relpath(one, path) for one in found if one.endswith(".json"))
    return _known[path]


def _burst(bench: Bench, large: bool) -> Iterator[Row]:
    """Files that appear in one folder as fast as they can be renamed, and `validate` of the same files."""
    count = bench.files // 2
    path = bench.bank("burst", 20)
    once(bench.ours("init", path))
    held, target = f"{bench.work}/burst-held", f"{path}/trades/all"
    ratios, notes, cpus = [], [], []
    for _ in range(max(bench.pairs // 2, 1)):
        bench.say(f"a burst of {count:,} files")
        _begin_anew(bench, path, held, target, count)
        with Watch(bench, path) as one:
            before, begun = one.cpu(), time.monotonic()
            _move_all(held, target)
            written = time.monotonic() - begun
            once(bench.ours("watch", "--sync", cwd=path))
            judged, used = time.monotonic() - begun, one.cpu() - before
        _check_adopted(bench, path, count)
        _begin_anew(bench, path, held, target, count)
        _move_all(held, target)
        check = once(bench.ours("validate", cwd=path))
        ratios.append(judged / check.wall)
        cpus.append(used / check.cpu)
        notes.append(f"{judged:.1f} s, written in {written:.1f}, validate {check.wall:.1f}")
    place = statistics.median_low(range(len(ratios)))
    found = sorted(zip(ratios, cpus, notes, strict=True))[place]
    title = f"burst of {count:,} files in one folder, all judged / validate of them"
    goal = _goal(large, 3.0)
    yield Row(title, found[0], goal, found[1], (min(ratios), max(ratios)), found[2])


def _begin_anew(bench: Bench, path: str, held: str, target: str, count: int) -> None:
    """A bank that has never seen the files, and the files beside it."""
    if os.path.isdir(target):
        _move_all(target, held)
        os.rmdir(target)
    if not os.path.isdir(held):
        os.makedirs(held, mode=0o700)
        for number, (_, data) in enumerate(corpus.documents(count, "burst")):
            with open(f"{held}/{number:06}.json", "wb") as file:
                file.write(data)
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(f"{path}/.memorybank")
    once(bench.ours("init", path, "--new-id"))


def _move_all(held: str, target: str) -> None:
    os.makedirs(target, mode=0o700, exist_ok=True)
    for name in os.listdir(held):
        os.rename(f"{held}/{name}", f"{target}/{name}")


def _check_adopted(bench: Bench, path: str, count: int) -> None:
    """Raises Failed where a file of the burst was not recorded."""
    done = subprocess.run(
        bench.ours("validate", "--json").words, cwd=path, env=bench.env, stdout=subprocess.PIPE, check=False
    )
    report = json.loads(done.stdout)
    if report["pending"] or report["checked"] < count:
        raise Failed(f"of a burst of {count} files {report['pending']} are not judged")


def _slowed(bench: Bench) -> Iterator[Row]:
    """An agent that writes as fast as it can, on one processor, while the other watches, and alone."""
    bench.say("a writing agent beside watch")
    path = bench.bank("slowed", 2_000)
    once(bench.ours("init", path))
    first, *rest = sorted(os.sched_getaffinity(0))
    seconds, ratios, rates = 4.0 if bench.pairs > 2 else 1.0, [], []
    os.makedirs(f"{path}/state", mode=0o700, exist_ok=True)
    for number in range(2 * bench.pairs):
        found = {}
        for watched in (True, False) if number % 2 else (False, True):
            with Watch(bench, path, *rest) if watched else contextlib.nullcontext():
                found[watched] = _rate(f"{path}/state", seconds, first)
        ratios.append(found[False] / found[True])
        rates.append(found[False])
    note = f"{statistics.median(rates):,.0f} writes a second alone"
    if not rest:
        note += "; there is one processor only, so no core to spare"
    spread = (min(ratios), max(ratios))
    yield Row("writes a second of an agent, alone / watched", statistics.median(ratios), 1.05, spread=spread, note=note)


def _rate(place: str, seconds: float, processor: int) -> float:
    words = ["taskset", "-c", str(processor), sys.executable, "-c", _WRITER, place, str(seconds)]
    return float(subprocess.run(words, stdout=subprocess.PIPE, check=True).stdout)


def _aide(bench: Bench, path: str, large: bool) -> Iterator[Row]:
    """A check by metadata, and one that reads everything, beside AIDE's, which does both at once."""
    if shutil.which("aide", path=f"{os.environ['PATH']}:/usr/sbin") is None:
        bench.say("aide is not installed: its comparisons are left out")
        return
    bench.say("aide --init")
    base = f"{bench.work}/aide"
    with open(f"{base}.conf", "w", encoding="utf-8") as file:
        file.write(
            f"database_in=file:{base}.db\ndatabase_out=file:{base}.db\nreport_url=stdout\n"
            f"!{path}/\\.memorybank\n{path} p+i+n+u+g+s+m+c+sha256\n"
        )
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{base}.db")
    once(bench.command("aide", "--init", "--config", f"{base}.conf"))
    peer = bench.command("aide", "--check", "--config", f"{base}.conf")
    count = f"{bench.files:,} files"
    quick = bench.ours("validate", cwd=path)
    yield bench.row(f"validate, nothing changed, {count} / aide --check", quick, peer, _goal(large, 0.05), 3)
    manifest = f"{bench.work}/watch-manifest"
    with open(manifest, "w", encoding="utf-8") as file:
        subprocess.run(bench.ours("manifest").words, cwd=path, env=bench.env, stdout=file, check=True)
    whole = bench.ours("manifest", "--check", manifest, cwd=path)
    yield bench.row(f"manifest --check, {count} / aide --check", whole, peer, _goal(large, 0.07), 3)
    full = bench.ours("validate", "--full", cwd=path)
    yield bench.row(f"validate --full, {count} / aide --check", full, peer, None, 3, "reads, parses, judges")
