"""`benchmarks/compare`: snapshots beside restic and borg in one run, as ratios of whole processes."""

from __future__ import annotations

import argparse
import json
import os
import random
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from statistics import median

from benchmarks import corpus
from benchmarks.cases import BIN, MIB
from benchmarks.pairs import Command, Failed, Run, once, race, ratio
from benchmarks.peers import PASSPHRASE, Borg, Ours, Place, Restic, environment, find, same

GOALS: dict[str, tuple[float | None, float | None]] = {  # of restic, of borg
    "first backup": (0.60, 0.30),
    "nothing changed": (0.35, 0.22),
    "1 % changed": (0.40, 0.25),
    "bytes added": (0.5, None),
    "verify, reading all": (0.35, 0.12),
    "restore": (0.55, 0.42),
}
SIZE = {"small": 0.45, "mixed": 0.80}
LITTLE = 0.15
"""The goal of a bank of 2,000 files, of restic."""


@dataclass(frozen=True)
class Row:
    """One line: ours divided by a peer's."""

    corpus: str
    what: str
    peer: str
    wall: float
    cpu: float | None
    goal: float | None
    note: str = ""

    def as_dict(self) -> dict[str, object]:
        """The fields, and whether the goal was met."""
        return {**vars(self), "verdict": self.verdict}

    @property
    def verdict(self) -> str:
        """`met`, `missed`, or `-` where there is no goal."""
        return "-" if self.goal is None else "met" if self.wall <= self.goal else "missed"


class Comparison:
    """One corpus, saved by each program."""

    def __init__(self, name: str, work: str, share: float, rounds: int, programs: dict[str, str]) -> None:
        self.name, self.rounds, self.share = name, rounds, share
        self.bank = _corpus(work, name, share)
        env = environment(work)
        place = f"{work}/{name}-{os.getpid()}"
        self.ours = Ours(f"{BIN}/memorybank", f"{place}/ours", self.bank, env)
        self.raw = Ours(f"{BIN}/memorybank", f"{place}/raw", self.bank, env)
        self.ours.key = ("--password-file", _secret(f"{work}/passphrase", PASSPHRASE.encode()))
        self.raw.key = ("--key-file", _secret(f"{work}/key", secrets.token_bytes(32)))
        self.peers: dict[str, Place] = {"restic": Restic(programs["restic"], f"{place}/restic", self.bank, env)}
        if name != "little":
            self.peers["borg"] = Borg(programs["borg"], f"{place}/borg", self.bank, env)
        self.all: list[Place] = [self.ours, self.raw, *self.peers.values()]
        self.place = place
        _init(self.ours)

    def rows(self) -> Iterator[Row]:
        """Every comparison, in the order of a repository's life."""
        yield from self._rows("first backup", self._first())
        sizes = [one.size() for one in self.all]
        yield from self._of_each("size after the first", [float(size) for size in sizes], SIZE.get(self.name))
        yield from self._rows("nothing changed", self._race([one.backup() for one in self.all]))
        if self.name == "little":
            return
        yield from self._changed()
        yield from self._rows("verify, reading all", self._race([one.verify() for one in self.all], self.rounds - 1))
        yield from self._rows("restore", self._restored())

    def close(self) -> None:
        """Take the repositories and what was restored away."""
        shutil.rmtree(self.place)

    def _race(self, commands: list[Command], rounds: int = 0) -> list[list[Run]]:
        return race(commands, max(rounds or self.rounds, 1))

    def _first(self) -> list[list[Run]]:
        found: list[list[Run]] = [[] for _ in self.all]
        for number in range(self.rounds + 1):
            runs = []
            for place in range(len(self.all)):
                which = (place + number) % len(self.all)
                one = self.all[which]
                one.another()
                one.make()
                _warm(self.bank)
                runs.append((which, once(one.backup())))
            for which, run in runs if number else ():  # the first round warms up
                found[which].append(run)
        return found

    def _changed(self) -> Iterator[Row]:
        """A hundredth of the files gets other content, at random places, before each round."""
        names = sorted(f"{base}/{name}" for base, _, files in os.walk(f"{self.bank}/trades") for name in files)
        rng = random.Random(1)
        added: list[list[int]] = [[] for _ in self.all]
        found: list[list[Run]] = [[] for _ in self.all]
        for number in range(self.rounds):
            for path in rng.sample(names, len(names) // 100):
                _touch(path, rng)
            for place in range(len(self.all)):
                which = (place + number) % len(self.all)
                before = self.all[which].size()
                _warm(self.bank)
                found[which].append(once(self.all[which].backup()))
                added[which].append(self.all[which].size() - before)
        yield from self._rows("1 % changed", found)
        yield from self._of_each("bytes added", [median(one) for one in added], None)

    def _restored(self) -> list[list[Run]]:
        found: list[list[Run]] = [[] for _ in self.all]
        for number in range(max(self.rounds - 1, 1)):
            for place in range(len(self.all)):
                which = (place + number) % len(self.all)
                found[which].append(once(self.all[which].restore()))
        for one in self.all:
            if not same(self.bank, f"{one.path}/restored"):
                raise Failed(f"{one.program} did not restore what was saved")
        return found

    def _rows(self, what: str, found: list[list[Run]]) -> Iterator[Row]:
        note = f"{median([run.wall for run in found[0]]):.2f} s, {max(run.peak for run in found[0]) / MIB:.0f} MiB"
        for number, peer in enumerate(self.peers, start=2):
            goal = GOALS[what][number - 2] if self.name != "little" else LITTLE
            for key, ours in zip(("", ", raw key"), found[:2], strict=True):
                one = ratio(ours, found[number])
                then = f"{median([run.wall for run in found[number]]):.2f} s [{one.least:.2f}..{one.most:.2f}]"
                yield self._row(what + key, peer, one.wall, one.cpu, None if key else goal, f"{note} / {then}")

    def _of_each(self, what: str, found: list[float], goal: float | None) -> Iterator[Row]:
        for number, peer in enumerate(self.peers, start=2):
            note = f"{found[0] / MIB:.2f} MiB / {found[number] / MIB:.2f} MiB"
            goals = GOALS.get(what, (goal, goal))
            yield self._row(what, peer, found[0] / max(found[number], 1), None, goals[number - 2], note)

    def _row(self, what: str, peer: str, wall: float, cpu: float | None, goal: float | None, note: str) -> Row:
        return Row(self.name, what, peer, wall, cpu, goal if self.share >= 1 else None, note)


def _corpus(work: str, name: str, share: float) -> str:
    path = f"{work}/{name}-{share:g}"
    if not os.path.exists(f"{path}.done"):
        _say(f"writing {name}")
        shutil.rmtree(path, ignore_errors=True)
        files: Iterable[tuple[str, bytes]] = corpus.mixed(share)
        if name != "mixed":
            files = corpus.documents(2_000 if name == "little" else int(100_000 * share))
        digest = corpus.write(path, files, time.time() - 3_600)
        with open(f"{path}.done", "w", encoding="utf-8") as file:
            file.write(digest)
    return path


def _init(ours: Ours) -> None:
    """A bank in which agents may change trades, which has been looked at once."""
    config = f"{ours.bank}/config/memorybank.json"
    os.makedirs(os.path.dirname(config), mode=0o700, exist_ok=True)
    if not os.path.exists(config):
        with open(config, "w", encoding="utf-8") as file:
            json.dump({"open_patterns": ["trades/*"]}, file)
        once(ours.command(ours.program, "init", ours.bank))
        once(ours.command(ours.program, "config", "trust"))
    once(ours.command(ours.program, "validate", codes=(0, 1)))


def _warm(bank: str) -> None:
    """Have every file in memory: borg drops what it has read, and whoever comes after it would wait for the disk."""
    for base, _, names in os.walk(bank):
        for name in names:
            with open(f"{base}/{name}", "rb") as file:
                while file.read(MIB):
                    pass


def _touch(path: str, rng: random.Random) -> None:
    """Other content as an agent writes it, some minutes ago."""
    with open(path, encoding="utf-8") as file:
        trade = json.load(file)
    trade["price"] = round(rng.uniform(1, 70_000), 2)
    with open(f"{path}.new", "w", encoding="utf-8") as file:
        json.dump(trade, file, indent=1)
    then = time.time() - 300
    os.utime(f"{path}.new", (then, then))
    os.rename(f"{path}.new", path)


def _secret(path: str, data: bytes) -> str:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
    return path


def main() -> int:
    """Compare what was asked for; 0 unless something failed to run, whatever the verdicts."""
    chosen = _arguments()
    rows: list[Row] = []
    failures: list[str] = []
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="memorybank-compare-") as scratch:
        work = os.path.abspath(chosen.work or scratch)
        os.makedirs(f"{work}/home", mode=0o700, exist_ok=True)
        try:
            programs = {name: find(name, getattr(chosen, name)) for name in ("restic", "borg")}
        except Failed as error:
            _say(f"failed: {error}")
            return 1
        for name in chosen.only or ("small", "mixed", "little"):
            try:
                comparison = Comparison(name, work, 0.02 if chosen.quick else 1.0, chosen.rounds, programs)
                try:
                    if not rows:
                        _say("; ".join(one.version() for one in (comparison.ours, *comparison.peers.values())))
                    for row in comparison.rows():
                        rows.append(row)
                        _say(_line(row))
                finally:
                    comparison.close()
            except (Failed, OSError) as error:
                failures.append(f"{name}: {error}")
    if chosen.json:
        found = {"rows": [row.as_dict() for row in rows], "failures": failures, "load": [load, os.getloadavg()[0]]}
        print(json.dumps(found))
    else:
        print("\n".join(map(_line, rows)))
        print(f"load {load:.2f} before, {os.getloadavg()[0]:.2f} after; ratio: wall time, median of the rounds")
    for failure in failures:
        _say(f"failed: {failure}")
    return 1 if failures else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks/compare", description="snapshots beside restic and borg")
    parser.add_argument("--restic", metavar="PATH", help="the program (default: on PATH)")
    parser.add_argument("--borg", metavar="PATH", help="the program (default: on PATH)")
    parser.add_argument("--quick", action="store_true", help="few files: shows that everything works")
    parser.add_argument("--work", metavar="DIR", help="keep the corpora there for the next run (default: temporary)")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each command (5)")
    parser.add_argument("--only", action="append", choices=("small", "mixed", "little"), help="one corpus")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    return parser.parse_args()


def _line(row: Row) -> str:
    cpu = "" if row.cpu is None else f"{row.cpu:.3f}"
    goal = "" if row.goal is None else f"{row.goal:g}"
    name = f"{row.corpus}: {row.what} / {row.peer}"
    return f"{name:42} {row.wall:7.3f} {cpu:>7} {goal:>5} {row.verdict:7} {row.note}"


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
