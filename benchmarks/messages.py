"""`benchmarks/compare messages`: durable messages beside SQLite and bare appends, in one run on one file system."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from statistics import median
from typing import Any

from benchmarks.cases import MIB
from benchmarks.message_runs import Bench, Row, check, in_turn, ratios, typical
from benchmarks.pairs import Failed, compare, once
from benchmarks.writers import ACCOUNT, Job

PEERS = {"sqlite": "SQLite WAL FULL", "bare": "bare append + fdatasync"}
MILLION = 1_000_000
SMALL = 1_000
MANY = 16
CROWD = 32
PATIENCE = 0.100  # seconds that one of a crowd may wait, 99 times of 100
OPENING = {"after a clean close": 0.100, "after a kill": 1.0}
NEWEST = 0.002
MEMORY = 100 * 10**6


# The comparisons


def single(bench: Bench) -> Iterator[Row]:
    """One durable message at a time, in one process."""
    yield from _beside(bench, "one message", 1, bench.many(2_000, 100), {"sqlite": 1.0, "bare": 0.7})


def batches(bench: Bench) -> Iterator[Row]:
    """Messages in durable groups of a hundred."""
    yield from _beside(bench, "a batch of 100", 100, bench.many(40_000, 1_000), {"sqlite": 0.5})


def _beside(bench: Bench, what: str, batch: int, count: int, goals: dict[str, float]) -> Iterator[Row]:
    name = f"beside-{batch}"
    jobs = {kind: [Job(kind, bench.place(kind, name), count=count, batch=batch)] for kind in ("ours", *PEERS)}
    found = in_turn(bench, jobs)
    check(bench, jobs["ours"][0].path, jobs["ours"], bench.rounds + 1)
    for kind, peer in PEERS.items():
        ratio, spread = ratios([one.rate for one in found["ours"]], [one.rate for one in found[kind]])
        goal = bench.goal(goals[kind]) if kind in goals else None
        note = f"{typical(found['ours'])} / {typical(found[kind])}"
        yield Row(f"{what}: rate / {peer}", ratio, goal, note, spread=spread)


def shared(bench: Bench) -> Iterator[Row]:
    """Sixteen processes that share a commit, in units of one."""
    for kind, name in {"ours": "memorybank", **PEERS}.items():
        count = bench.many(4_000, 320) // MANY * MANY
        several = [Job(kind, "", f"p{number:02}-", count=count // MANY) for number in range(MANY)]
        yield from _to_one(bench, f"16 processes, {name}", several)


def threads(bench: Bench) -> Iterator[Row]:
    """Sixteen threads of one process that share a bank, in units of one."""
    count = bench.many(4_000, 320) // MANY * MANY
    yield from _to_one(bench, "16 threads, memorybank", [Job("ours", "", "t", count=count, threads=MANY)])


def _to_one(bench: Bench, what: str, several: list[Job]) -> Iterator[Row]:
    kind = several[0].kind
    path = bench.place(kind, "shared")
    several = [replace(job, path=path) for job in several]
    alone = [Job(kind, path, "one", count=sum(job.count for job in several))]
    found = in_turn(bench, {"several": several, "one": alone})
    if kind == "ours":
        check(bench, path, [*several, *alone], bench.rounds + 1)
    ratio, spread = ratios([one.rate for one in found["several"]], [one.rate for one in found["one"]])
    goal = bench.goal(4.0 if is_journaled(bench.work) else 2.0) if kind == "ours" else None
    note = f"{typical(found['several'])} / {typical(found['one'])}"
    yield Row(f"{what}: rate / one writer", ratio, goal, note, spread=spread)


def is_journaled(path: str) -> bool:
    """Whether a place is on ext4 with a journal."""
    device = os.stat(path).st_dev
    link = f"/sys/dev/block/{os.major(device)}:{os.minor(device)}"
    if not os.path.exists(link) or not os.path.isdir("/proc/fs/jbd2"):
        return False
    name = os.path.basename(os.path.realpath(link))
    return any(one.rpartition("-")[0] == name for one in os.listdir("/proc/fs/jbd2"))


def flat(bench: Bench) -> Iterator[Row]:
    """The cost of a message in a long history, in units of that in a short one."""
    total, count = bench.many(MILLION, 5_000), bench.many(2_000, 500)
    large, small = long_bank(bench, total), bench.bank("short")
    bench.write(Job("ours", small, count=SMALL, batch=SMALL))
    name = f"x{os.getpid()}-"
    jobs = {"large": [Job("ours", large, name, count=count)], "small": [Job("ours", small, name, count=count)]}
    found = in_turn(bench, jobs)
    ratio, spread = ratios([one.wall for one in found["large"]], [one.wall for one in found["small"]])
    note = f"{typical(found['large'])} / {typical(found['small'])}"
    what = f"one message at {total:,}: time / that at {SMALL:,}"
    yield Row(what, ratio, bench.goal(1.2), note, most=True, spread=spread)
    name = f"y{os.getpid()}-"
    jobs = {
        "large": [Job("ours", large, name, count=20 * count, batch=100)],
        "small": [Job("ours", small, name, count=20 * count, batch=100)],
    }
    found = in_turn(bench, jobs, 3)
    ratio, spread = ratios([one.wall for one in found["large"]], [one.wall for one in found["small"]])
    note = f"{typical(found['large'])} / {typical(found['small'])}"
    yield Row(f"a batch of 100 at {total:,}: the same", ratio, None, note, most=True, spread=spread)


def long_bank(bench: Bench, total: int) -> str:
    """A bank with so many messages, made when it is not there yet; what earlier runs added stays in it."""
    path = f"{bench.work}/long-{total}"
    if not os.path.exists(f"{path}.done"):
        say(f"writing {total:,} messages")
        bench.bank(f"long-{total}")
        result = bench.write(Job("ours", path, count=total, batch=min(1_000, total)))
        with open(f"{path}.done", "w", encoding="utf-8") as file:
            file.write(f"{result}\n")
    return path


def opening(bench: Bench) -> Iterator[Row]:
    """Opening a long history, after a clean close and after a kill; reading the newest 50 of it."""
    total = bench.many(MILLION, 5_000)
    large, small = long_bank(bench, total), bench.bank("warm")
    bench.write(Job("ours", small, count=SMALL, batch=SMALL))
    once(bench.ours("status", cwd=large))
    opened: dict[str, list[dict[str, Any]]] = {name: [] for name in OPENING}
    for number in range(bench.rounds):
        for name in OPENING:
            last = ""
            if name == "after a kill":
                killed = Job("ours", large, f"k{os.getpid()}-{number}-", count=900, dies_after=700 + number)
                bench.told([killed], codes=(-9,))
                last = killed.ids()[killed.dies_after - 1]
            (told,) = bench.told([Job("open", large, count=50, warm=small)])
            if last and last not in told["ids"]:
                raise Failed(f"{last} was acknowledged before the kill and is not there")
            opened[name].append(told)
    for name, limit in OPENING.items():
        times = [one["newest"] for one in opened[name]]
        alone = median(one["opened"] for one in opened[name])
        note = f"{median(times) * 1e3:.1f} ms with the newest message read; opening alone {alone * 1e3:.1f} ms"
        spread = min(times) / limit, max(times) / limit
        what = f"opening {total:,} messages {name} / {limit * 1e3:g} ms"
        yield Row(what, median(times) / limit, bench.goal(1.0), note, most=True, spread=spread)
    for name, each in opened.items():  # after a kill 700 messages are not rendered yet, and this reader leaves it so
        waits = [wait for one in each for wait in one["waits"]]
        note = f"{median(waits) * 1e3:.2f} ms, at most {max(waits) * 1e3:.2f} ms"
        goal = None if name == "after a kill" else bench.goal(1.0)
        what = f"the last 50 of {total:,} {name} / {NEWEST * 1e3:g} ms"
        yield Row(what, median(waits) / NEWEST, goal, note, most=True)


def memory(bench: Bench) -> Iterator[Row]:
    """What `message list` of a long history holds in memory."""
    total = bench.many(MILLION, 5_000)
    large = long_bank(bench, total)
    list_ = ("message", "list", "--account", ACCOUNT, "--json")
    for words in (list_, (*list_, "--grep", "00777"), (*list_, "--last", "50")):
        run = once(bench.ours(*words, cwd=large))
        note = f"{run.peak / MIB:.0f} MiB; {run.wall:.2f} s"
        what = f"{' '.join(words[:2] + words[5:])} of {total:,}: memory / 100 MB"
        yield Row(what, run.peak / MEMORY, bench.goal(1.0), note, most=True)


def crowd(bench: Bench) -> Iterator[Row]:
    """Thirty-two processes that add messages to one account, one by one: how long one waits, and that all are kept."""
    each = bench.many(200, 10)
    for kind, name in {"ours": "memorybank", **PEERS}.items():
        path = bench.place(kind, "crowd")
        jobs = [Job(kind, path, f"w{number:02}-", count=each) for number in range(CROWD)]
        result = bench.write(*jobs)
        kept = check(bench, path, jobs, 1) if kind == "ours" else result.count
        goal = bench.goal(1.0) if kind == "ours" else None
        waits = f"p50 {result.wait(0.5) * 1e3:.1f} ms, p99 {result.wait(0.99) * 1e3:.1f} ms"
        note = (
            f"{waits}, longest {max(result.waits) * 1e3:.0f} ms; {result}; {result.count - kept} of {result.count} lost"
        )
        yield Row(f"{CROWD} processes, {name}: p99 / 100 ms", result.wait(0.99) / PATIENCE, goal, note, most=True)


def shell(bench: Bench) -> Iterator[Row]:
    """`message add` as a command of its own."""
    path = bench.bank("shell")
    ours = bench.ours("message", "add", "hello", "--account", ACCOUNT, "--role", "user", cwd=path)
    peers = {"python -c pass": bench.command(sys.executable, "-c", "pass")}
    if bench.peer:
        peers[bench.peer] = bench.command(*shlex.split(bench.peer))
    for name, peer in peers.items():
        found = compare(ours, peer, 3 * bench.rounds)
        goal = bench.goal(1.2) if name == bench.peer else None
        note = f"CPU {found.cpu:.2f}, {found.peak / MIB:.0f} MiB"
        yield Row(f"message add / {name}", found.wall, goal, note, most=True, spread=(found.least, found.most))


CASES: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "single": single,
    "batches": batches,
    "shared": shared,
    "threads": threads,
    "crowd": crowd,
    "flat": flat,
    "opening": opening,
    "memory": memory,
    "shell": shell,
}


def main() -> int:
    """Compare what was asked for; 0 unless something failed to run, whatever the verdicts."""
    chosen = _arguments()
    rows: list[Row] = []
    failures: list[str] = []
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="memorybank-messages-") as scratch:
        bench = Bench(chosen.work or scratch, chosen.rounds, 0.005 if chosen.quick else 1.0, chosen.shell_peer)
        for name in chosen.only or CASES:
            try:
                for row in CASES[name](bench):
                    rows.append(row)
                    say(str(row))
            except (Failed, OSError) as error:
                failures.append(f"{name}: {error}")
    after = os.getloadavg()[0]
    if chosen.json:
        print(json.dumps({"rows": [row.as_dict() for row in rows], "failures": failures, "load": [load, after]}))
    else:
        print("\n".join(map(str, rows)))
        print(f"load {load:.2f} before, {after:.2f} after; median of {chosen.rounds} rounds [smallest..largest]")
    for failure in failures:
        say(f"failed: {failure}")
    return 1 if failures else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks/compare messages", description=__doc__)
    parser.add_argument("--shell-peer", metavar="COMMAND", default="", help="beside `message add`: 'borg --version'")
    parser.add_argument("--quick", action="store_true", help="few messages: shows that everything works")
    parser.add_argument("--work", metavar="DIR", help="write there, and keep the long history for the next run")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each comparison (5)")
    parser.add_argument("--only", action="append", choices=tuple(CASES), help="one comparison")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    return parser.parse_args()


def say(words: str) -> None:
    """Tell on stderr while it goes on."""
    print(words, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
