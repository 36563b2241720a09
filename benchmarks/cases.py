"""What is compared with what, on which files, and the goal of each comparison.

Both sides get the same files in a warm cache. Before a comparison of checks counts, a damaged file is planted and both
must name it.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from benchmarks import corpus
from benchmarks.pairs import Command, Failed, Run, compare, once, output

MIB = 1 << 20
BIN = os.path.dirname(os.path.abspath(sys.executable))
LIGHT = (
    ("status",),
    ("log",),
    ("config", "get", "actor"),
    ("account", "list"),
    ("message", "list", "--account", "alpha"),
    ("explain", "MB102"),
)


@dataclass(frozen=True)
class Row:
    """One line of the result: a ratio (ours to the peer's, or to the limit), its goal, and how it was found."""

    name: str
    ratio: float
    goal: float | None
    cpu: float | None = None
    spread: tuple[float, float] | None = None
    note: str = ""

    @property
    def verdict(self) -> str:
        """`met`, `missed`, or `-` where there is no goal."""
        return "-" if self.goal is None else "met" if self.ratio <= self.goal else "missed"


@dataclass
class Bench:
    """Sizes, and a directory in which the corpora stand and may stay for the next run."""

    work: str
    files: int = 100_000
    schema_files: int = 10_000
    pairs: int = 5
    say: Callable[[str], None] = field(default=lambda _: None)

    def __post_init__(self) -> None:
        self.work = os.path.abspath(self.work)
        home = f"{self.work}/home"
        self.env = {name: value for name, value in os.environ.items() if not name.startswith(("MEMORYBANK_", "PYTHON"))}
        # Compiled modules, as an installed program has them, also of a source tree that cannot be written.
        self.env |= {"PYTHONPYCACHEPREFIX": f"{self.work}/pycache", "TERM": "dumb"}
        self.env |= {"MEMORYBANK_STATE_HOME": home, "GIT_CONFIG_GLOBAL": os.devnull}
        os.makedirs(home, mode=0o700, exist_ok=True)
        self.schema = f"{self.work}/trade.schema.json"
        with open(self.schema, "w", encoding="utf-8") as file:
            json.dump(corpus.SCHEMA, file)

    # Commands

    def ours(self, *words: str, cwd: str | None = None, codes: tuple[int, ...] = (0,)) -> Command:
        """Our command."""
        return self.command(f"{BIN}/memorybank", *words, cwd=cwd, codes=codes)

    def python(self) -> Command:
        """Python that does nothing: the floor of every command."""
        return self.command(sys.executable, "-c", "pass")

    def command(self, *words: str, cwd: str | None = None, codes: tuple[int, ...] = (0,)) -> Command:
        """Any command in our environment."""
        return Command(words, cwd or self.work, self.env, codes)

    # Files

    def trades(self, name: str, count: int) -> str:
        """A directory with so many trades an hour old, made when it is not there yet."""
        path = f"{self.work}/{name}-{count}"
        if not os.path.exists(f"{path}.done"):
            self.say(f"writing {count:,} trades")
            shutil.rmtree(path, ignore_errors=True)
            digest = corpus.write(path, corpus.documents(count), time.time() - 3_600)
            with open(f"{path}.done", "w", encoding="utf-8") as file:
                file.write(digest)
        return path

    def bank(self, name: str, count: int, schema: bool = False) -> str:
        """Trades for a bank; what an earlier run made around them is taken away. `init` is left to the caller."""
        path = self.trades(name, count)
        shutil.rmtree(f"{path}/.memorybank", ignore_errors=True)
        for one in ("bank.json", "README.md"):
            if os.path.exists(f"{path}/{one}"):
                os.unlink(f"{path}/{one}")
        if schema:
            os.makedirs(f"{path}/config/schemas", mode=0o700, exist_ok=True)
            shutil.copyfile(self.schema, f"{path}/config/schemas/trade.schema.json")
        return path

    # Results

    def row(self, name: str, ours: Command, peer: Command, goal: float | None, pairs: int = 0, note: str = "") -> Row:
        """A comparison as a row."""
        self.say(name)
        found = compare(ours, peer, pairs or self.pairs)
        return Row(name, found.wall, goal, found.cpu, (found.least, found.most), note or f"{found.peak / MIB:.0f} MiB")

    def both_find(self, path: str, data: bytes, ours: Command, peer: Command) -> None:
        """With `data` in place of the file at `path` both commands must name it. Raises Failed."""
        name = os.path.basename(path)
        with _planted(path, data):
            for command in (ours, peer):
                if name not in output(Command(command.words, command.cwd, command.env, (0, 1))):
                    raise Failed(f"{' '.join(command.words[:3])} … does not find the damaged {path}")


@contextmanager
def _planted(path: str, data: bytes) -> Iterator[None]:
    with open(path, "rb") as file:
        kept, info = file.read(), os.stat(path)
    _overwrite(path, data)
    try:
        yield
    finally:
        _overwrite(path, kept)
        os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))


def _overwrite(path: str, data: bytes) -> None:
    with open(path, "r+b") as file:
        file.write(data)
        file.truncate()


def _names(root: str) -> list[str]:
    return sorted(f"{base}/{name}" for base, _, names in os.walk(f"{root}/trades") for name in names)


def _with(path: str, old: bytes, new: bytes) -> bytes:
    with open(path, "rb") as file:
        data = file.read()
    if old not in data:
        raise Failed(f"{path} does not hold {old!r}")
    return data.replace(old, new, 1)


# The comparisons


def schema(bench: Bench) -> Iterator[Row]:
    """Many files against one schema."""
    path = bench.trades("schema", bench.schema_files)
    names = _names(path)
    ours = bench.ours("validate", "--schema", bench.schema, f"{path}/trades")
    peer = bench.command(f"{BIN}/check-jsonschema", "--schemafile", bench.schema, *names)
    bench.both_find(names[-7], _with(names[-7], b'"side": ', b'"side": 1'), ours, peer)
    bench.both_find(names[7], _with(names[7], b'"schema_version": 1', b'"schema_version": 2'), ours, peer)
    count = f"{bench.schema_files:,} files"
    goal = 0.05 if bench.schema_files >= 10_000 else None
    yield bench.row(f"validate --schema, {count} / check-jsonschema", ours, peer, goal, bench.pairs)
    single = bench.command(*_on_one(ours))
    yield bench.row(f"the same on one processor, {count} / check-jsonschema", single, peer, None, 3)
    bank = bench.bank("schema", bench.schema_files, schema=True)
    once(bench.ours("init", bank))
    first = bench.ours("validate", cwd=bank)
    anew = Command(first.words, bank, bench.env, before=lambda: _forget_catalog(bank))
    note = "the catalog is made again from the journal in each run"
    yield bench.row(f"validate of a bank, {count}, no catalog / check-jsonschema", anew, peer, None, 3, note)
    full = bench.ours("validate", "--full", cwd=bank)
    yield bench.row(f"validate --full of a bank, {count} / check-jsonschema", full, peer, None, 3)


def _forget_catalog(bank: str) -> None:
    for name in os.listdir(f"{bank}/.memorybank"):
        if name.startswith("catalog"):
            os.unlink(f"{bank}/.memorybank/{name}")


def tree(bench: Bench) -> Iterator[Row]:
    """A large bank: memory, a second look, all digests."""
    path = bench.bank("tree", bench.files)
    bench.say("init and the first look")
    limit = 60 * MIB + 600 * bench.files
    again = bench.ours("validate", cwd=path)
    init = once(bench.ours("init", path))
    first, second = once(again), once(again)
    for name, run in (("init", init), ("validate, first", first), ("validate, second", second)):
        note = f"{run.peak / MIB:.0f} MiB; {run.wall:.2f} s"
        yield Row(f"memory of {name} / 60 MiB + 600 B a file", run.peak / limit, 1.0, note=note)
    status = _git(bench, path)
    names = _names(path)
    count = f"{bench.files:,} files"
    yield bench.row(
        f"validate, nothing changed, {count} / git status", again, status, _large(bench, 3.0), 2 * bench.pairs
    )
    manifest = f"{bench.work}/manifest-{bench.files}"
    with open(manifest, "w", encoding="utf-8") as file:
        subprocess.run(bench.ours("manifest").words, cwd=path, env=bench.env, stdout=file, check=True)
    check = bench.ours("manifest", "--check", manifest, cwd=path)
    sums = bench.command("sha256sum", "-c", "--quiet", manifest, cwd=path)
    yield bench.row(f"manifest --check, {count} / sha256sum -c", check, sums, _large(bench, 0.85))
    single = bench.command(*_on_one(check), cwd=path)
    yield bench.row(f"the same on one processor, {count} / sha256sum -c", single, sums, _large(bench, 1.0))
    full = bench.ours("validate", "--full", cwd=path)
    yield bench.row(f"validate --full, {count} / sha256sum -c", full, sums, None, note="reads, hashes, parses, judges")
    wrong = _with(names[-7], b'"schema_version": 1', b'"schema_version": 2')
    bench.both_find(names[-7], wrong, again, status)
    bench.both_find(names[-7], wrong, check, sums)


def _large(bench: Bench, goal: float) -> float | None:
    """Goals of the large bank hold for the large bank: with few files both sides only start."""
    return goal if bench.files >= 100_000 else None


def _on_one(command: Command) -> list[str]:
    """A command kept to one processor, so that it starts no second process."""
    return ["taskset", "-c", str(min(os.sched_getaffinity(0))), *command.words]


def _git(bench: Bench, path: str) -> Command:
    """`git status` in a tree that is committed, its index warm."""
    status = bench.command("git", "status", cwd=path)
    if not os.path.isdir(f"{path}/.git"):
        bench.say("git add and commit")
        once(bench.command("git", "init", "--quiet", cwd=path))
        with open(f"{path}/.git/info/exclude", "w", encoding="utf-8") as file:
            file.write(".memorybank/\nbank.json\n")
        who = ("-c", "user.name=benchmark", "-c", "user.email=benchmark@localhost")
        # One pack instead of a file for each object: only the index matters here.
        once(bench.command("git", "-c", "core.bigFileThreshold=1", "-c", "core.compression=0", "add", "-A", cwd=path))
        once(bench.command("git", *who, "-c", "gc.auto=0", "commit", "--quiet", "-m", "all", cwd=path))
    if "nothing to commit" not in output(status):
        raise Failed(f"git sees changes in {path}; remove it and run again")
    return status


def start(bench: Bench) -> Iterator[Row]:
    """What a command costs before it does anything, and light commands."""
    python = bench.python()
    yield bench.row("--version / python -c pass", bench.ours("--version"), python, 1.8, 5 * bench.pairs)
    path = bench.bank("small", 20)
    once(bench.ours("init", path, "--account", "alpha"))
    once(bench.ours("message", "add", "hello", "--account", "alpha", "--role", "user", cwd=path))
    one = _names(path)[3]
    peer = bench.command(f"{BIN}/check-jsonschema", "--schemafile", bench.schema, one)
    ours = bench.ours("validate", one, cwd=path)
    alone = bench.ours("validate", "--schema", bench.schema, one)
    bench.both_find(one, _with(one, b'"side": ', b'"side": 1'), ours, peer)
    bench.both_find(one, _with(one, b'"schema_version": 1', b'"schema_version": 2'), alone, peer)
    yield bench.row("validate FILE in a bank / check-jsonschema", ours, peer, 0.35, 2 * bench.pairs)
    yield bench.row("validate --schema FILE / check-jsonschema", alone, peer, 0.35, 2 * bench.pairs)
    for words in LIGHT:
        command = bench.ours(*words, cwd=path)
        yield bench.row(f"{' '.join(words)} / python -c pass", command, python, 7.0, 3 * bench.pairs)


def imports(bench: Bench) -> Iterator[Row]:
    """Bringing many files into a new bank, and learning their schema, in units of checking them all."""
    path = bench.bank("tree", bench.files)
    once(bench.ours("init", path))
    words = bench.ours("validate").words
    check = Command(words, path, bench.env, before=lambda: _forget_catalog(path))  # --full does not parse what it knows
    count = f"{bench.files:,} files"
    target, done = f"{bench.work}/imported", f"{bench.work}/imported.done"
    os.makedirs(done, exist_ok=True)

    def aside() -> None:
        # Removed at the end: ext4 spends minutes on new files where as many were deleted a moment ago.
        if os.path.exists(target):
            os.rename(target, f"{done}/{len(os.listdir(done))}")

    words = bench.ours("init", target, "--from", path).words
    into = Command(words, bench.work, bench.env, before=aside)
    yield bench.row(f"init --from, {count} / validate, no catalog", into, check, _large(bench, 3.0), 3)
    limit = 60 * MIB + 600 * bench.files
    peak = once(into).peak
    yield Row("memory of init --from / 60 MiB + 600 B a file", peak / limit, 1.0, note=f"{peak / MIB:.0f} MiB")
    infer = bench.ours("schema", "infer", "trades", "--dry-run", cwd=path)
    yield bench.row(f"schema infer, {count} / validate, no catalog", infer, check, _large(bench, 4.0), 3)
    for place in (target, done):
        shutil.rmtree(place)


def snapshots(bench: Bench) -> Iterator[Row]:
    """Many snapshots in one repository: a list costs hardly more than its start, a prune what there is of them."""
    steps = (50, 100, 200, 500) if bench.files >= 100_000 else (5, 10, 20)
    path, repo = bench.bank("saved", 2_000), f"{bench.work}/saved"
    once(bench.ours("init", path))
    for stale in (repo, f"{repo}-one"):
        shutil.rmtree(stale, ignore_errors=True)
    found: dict[int, tuple[Run, Run]] = {}
    for number in range(1, steps[-1] + 1):
        for agent in range(20):
            _state(f"{path}/state/agent_{agent}.json", number * 20 + agent)
        once(bench.ours("backup", "--repo", repo, cwd=path))
        if number == 1:
            shutil.copytree(repo, f"{repo}-one")
        if number in steps:
            bench.say(f"prune beside {number} snapshots")
            found[number] = _pruned(bench, path, repo)
    alone = bench.ours("snapshot", "list", "--repo", f"{repo}-one", cwd=path)
    many = bench.ours("snapshot", "list", "--repo", repo, cwd=path)
    yield bench.row(f"snapshot list, {steps[-1]} / the same, 1", many, alone, _large(bench, 1.5), 3 * bench.pairs)
    for which, name in enumerate(("snapshot prune", "snapshot prune, all in the trash too")):
        runs = {number: pair[which] for number, pair in found.items()}
        first, last = runs[steps[0]], runs[steps[-1]]
        share = steps[0] / steps[-1]
        note = ", ".join(f"{number}: {run.wall:.2f} s" for number, run in runs.items())
        title = f"{name}, of each of {steps[-1]} / of each of {steps[0]}"
        yield Row(title, share * last.wall / first.wall, _large(bench, 1.2), share * last.cpu / first.cpu, note=note)


def _state(path: str, seed: int) -> None:
    rng = random.Random(seed)
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"bot_status": "running", "positions": [round(rng.uniform(1, 70_000), 2) for _ in range(40)]}, file)


def _pruned(bench: Bench, path: str, repo: str) -> tuple[Run, Run]:
    """Prune a copy in which every pack is two days old: small ones are joined. And once more, where nothing is left."""
    copy, then = f"{repo}-pruned", time.time() - 2 * 86_400
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(repo, copy)
    for base, _, names in os.walk(f"{copy}/packs"):
        for name in names:
            os.utime(f"{base}/{name}", (then, then))
    prune = bench.ours("snapshot", "prune", "--yes", "--repo", copy, cwd=path)
    return once(prune), once(prune)


CASES: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "start": start,
    "schema": schema,
    "tree": tree,
    "imports": imports,
    "snapshots": snapshots,
}
