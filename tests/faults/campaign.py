"""Killing memorybank at every moment: each operation is started as a process, killed with SIGKILL, and looked at.

After each kill the bank must open, its journal must be provable, every acknowledged message must be there, every
file must be wholly old or new, and the operation run again must succeed. `scripts/faults` runs it for long.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

PROGRAM = (sys.executable, "-m", "memorybank_cli")
TRADES = 60


class Story(NamedTuple):
    """One operation under fire: how the bank is prepared, what runs, and what must hold afterwards."""

    name: str
    prepare: Callable[[Lab], None]
    command: tuple[str, ...]
    stdin: bytes
    check: Callable[[Lab], None]


class Lab:
    """A bank in a directory of its own, with its state beside it."""

    def __init__(self, place: Path) -> None:
        self.place, self.bank = place, place / "bank"
        self.env = {**os.environ, "MEMORYBANK_STATE_HOME": str(place / "home")}
        self.env.pop("MEMORYBANK_BANK", None)

    def build(self) -> None:
        """A bank as a bot leaves it: trades, a list padded with NULs, a truncated one."""
        for section in ("trades", "metrics", "state"):
            (self.bank / section).mkdir(parents=True)
        for number in range(TRADES):
            (self.bank / f"trades/trade_{number:04}.json").write_bytes(trade(number))
        recent = json.dumps({"trades": [json.loads(trade(number)) for number in range(20)]}).encode()
        (self.bank / "trades/recent.json").write_bytes(recent + bytes(50_000))
        (self.bank / "state/cut.json").write_bytes(b'[{"a": 1}, {"a": 2}, {"a"')

    def run(self, *words: str, stdin: bytes = b"", codes: tuple[int, ...] = (0,)) -> str:
        """The standard output of a command that must end with one of `codes`."""
        command = [*PROGRAM, *words, "--bank", str(self.bank)]
        done = subprocess.run(command, input=stdin, capture_output=True, env=self.env, check=False)
        assert b"Traceback" not in done.stderr, done.stderr.decode()
        assert done.returncode in codes, (words, done.returncode, done.stderr.decode())
        return done.stdout.decode()

    def start(self, story: Story) -> subprocess.Popen[bytes]:
        """The operation of a story, under way."""
        words = (word.replace("{place}", str(self.place)) for word in story.command)
        command = [*PROGRAM, *words, "--bank", str(self.bank)]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, env=self.env, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)
        assert process.stdin is not None
        try:
            process.stdin.write(story.stdin)
            process.stdin.close()
        except BrokenPipeError:
            pass  # it was killed before it read
        process.stdin = None  # communicate() would close it again
        return process


def trade(number: int) -> bytes:
    """One trade in the shape of a public bot's."""
    moment = f"2026-01-01T00:00:{number % 60:02}.000000Z"
    row = {"timestamp": moment, "net_profit": number / 7, "success": number % 5 != 0}
    return json.dumps(row, indent=2).encode()


def _nothing(lab: Lab) -> None:
    del lab


def _init(lab: Lab) -> None:
    lab.run("init")


def _repaired(lab: Lab) -> None:
    lab.run("init")
    lab.run("repair")


def _saved(lab: Lab) -> None:
    _repaired(lab)
    lab.run("backup")
    for number in range(0, TRADES, 2):
        changed = b'{"timestamp": "2026-01-01T00:00:00Z", "net_profit": 0}'
        (lab.bank / f"trades/trade_{number:04}.json").write_bytes(changed)


def _account(lab: Lab) -> None:
    lab.run("init", "--account", "a")
    lab.run("message", "add", "first", "--account", "a", "--role", "user", "--id", "first")


def _is_initialised(lab: Lab) -> None:
    lab.run("init")
    found = json.loads(lab.run("validate", "--json", codes=(1,)))
    damaged = {one["path"] for one in found["findings"] if one["rule"].startswith("MB1")}
    assert damaged == {"trades/recent.json", "state/cut.json"}
    assert found["pending"] == 0
    for number in range(TRADES):
        assert (lab.bank / f"trades/trade_{number:04}.json").read_bytes() == trade(number)


def _is_repaired(lab: Lab) -> None:
    recent, cut = (lab.bank / "trades/recent.json").read_bytes(), (lab.bank / "state/cut.json").read_bytes()
    assert len(recent.rstrip(b"\0")) in (len(recent), len(recent) - 50_000)
    assert cut in (b'[{"a": 1}, {"a": 2}, {"a"', b'[{"a": 1}, {"a": 2}\n]\n')
    lab.run("repair")
    found = json.loads(lab.run("validate", "--json"))
    assert not [one for one in found["findings"] if one["rule"].startswith("MB1")]
    kept = [path.read_bytes() for path in (lab.bank / ".memorybank/quarantine").iterdir()]
    assert b'[{"a": 1}, {"a": 2}, {"a"' in kept


def _is_saved(lab: Lab) -> None:
    lab.run("backup", codes=(0, 1))
    assert json.loads(lab.run("snapshot", "verify", "--read-data", "--json"))["ok"]


def _is_rolled_back(lab: Lab) -> None:
    for number in range(TRADES):
        found = (lab.bank / f"trades/trade_{number:04}.json").read_bytes()
        assert found == trade(number) or (number % 2 == 0 and found.endswith(b'"net_profit": 0}')), (number, found)
    lab.run("rollback", "--path", "trades", "--yes")
    for number in range(TRADES):
        assert (lab.bank / f"trades/trade_{number:04}.json").read_bytes() == trade(number)
    assert not list((lab.bank / ".memorybank/tmp").iterdir())


BATCH = b"".join(b'{"role": "user", "id": "m%d", "content": "message %d"}\n' % (n, n) for n in range(120))


def _is_all_or_nothing(lab: Lab) -> None:
    ids = [json.loads(line)["id"] for line in lab.run("message", "list", "--account", "a", "--json").splitlines()]
    assert ids[0] == "first"
    assert len(ids) in (1, 121), len(ids)
    lab.run("message", "add", "--stdin", "--account", "a", stdin=BATCH)
    whole = json.loads((lab.bank / "account_a/whole_history.json").read_bytes())
    assert [one["id"] for one in whole["messages"]] == ["first", *(f"m{n}" for n in range(120))]
    found = json.loads(lab.run("validate", "--json", codes=(0, 1)))
    assert not [one for one in found["findings"] if one["path"].startswith("account_a")]


LONG_BATCH = b"".join(b'{"role": "user", "id": "l%d", "content": "message %d"}\n' % (n, n) for n in range(2_500))


def _long_account(lab: Lab) -> None:
    lab.run("init", "--account", "a")
    lab.run(
        "message",
        "add",
        "--stdin",
        "--account",
        "a",
        stdin=LONG_BATCH[: LONG_BATCH.index(b'{"role": "user", "id": "l900"')],
    )


def _is_sealed(lab: Lab) -> None:
    """Head, index and segments hold each message once, whatever was written of them when the kill came."""
    expected = [f"l{n}" for n in range(2_500)]
    ids = [json.loads(line)["id"] for line in lab.run("message", "list", "--account", "a", "--json").splitlines()]
    assert ids in (expected[:900], expected), len(ids)
    lab.run("message", "add", "--stdin", "--account", "a", stdin=LONG_BATCH)
    account = lab.bank / "account_a"
    files = [*sorted((account / "history").glob("0*.json")), account / "whole_history.json"]
    assert [one["id"] for path in files for one in json.loads(path.read_bytes())["messages"]] == expected
    found = json.loads(lab.run("validate", "--json", codes=(0, 1)))
    assert not [one for one in found["findings"] if one["path"].startswith("account_a")]
    assert not (lab.bank / ".memorybank/quarantine").exists()


IMPORTED = {f"trades/{number:03}.json": trade(number) for number in range(150)}
TALK = b"".join(
    b'{"role": "user", "id": "t%d", "content": "message %d", "timestamp": 17000000%02d}\n' % (n, n, n)
    for n in range(60)
)


def _source(lab: Lab) -> None:
    """What is to be imported, beside the bank: trades, and a conversation."""
    source = lab.place / "source"
    (source / "trades").mkdir(parents=True)
    for name, data in IMPORTED.items():
        (source / name).write_bytes(data)
    messages = b",\n".join(TALK.splitlines())
    (source / "short_term.json").write_bytes(b"[" + messages + b"]")


def _fresh(lab: Lab) -> None:
    """A source, and no bank yet."""
    _source(lab)
    shutil.rmtree(lab.bank)


def _standing(lab: Lab) -> None:
    _source(lab)
    lab.run("init")


def _taken(lab: Lab, before: int) -> int:
    """How many of the source's files stand in the bank, each wholly; a bank is without all of them or has all."""
    there = {name: lab.bank / name for name in IMPORTED if (lab.bank / name).exists()}
    for name, path in there.items():
        assert path.read_bytes() == IMPORTED[name], name
    accounts = json.loads(lab.run("account", "list", "--json"))["accounts"]
    counts = {one["account"]: one["messages"] for one in accounts}
    assert len(there) in (before, len(IMPORTED)), len(there)
    assert counts == ({"default": 60} if len(there) == len(IMPORTED) else {}), (counts, len(there))
    return len(there)


def _is_imported_anew(lab: Lab) -> None:
    source = str(lab.place / "source")
    if lab.bank.exists():
        assert _taken(lab, len(IMPORTED)) == len(IMPORTED)
    lab.run("init", "--from", source)
    _taken(lab, len(IMPORTED))
    assert [one.name for one in lab.place.iterdir() if one.name.startswith(".")] == []
    found = json.loads(lab.run("validate", "--json"))
    assert found["pending"] == 0


def _is_migrated(lab: Lab) -> None:
    source = str(lab.place / "source")
    lab.run("status")  # the next opening finishes what was begun
    _taken(lab, 0)
    again = json.loads(lab.run("migrate", "--from", source, "--json"))
    assert again["rejected"] == []
    _taken(lab, len(IMPORTED))
    assert json.loads(lab.run("migrate", "--from", source, "--json"))["imported"] == 0
    assert not list((lab.bank / ".memorybank/tmp").iterdir())
    for number in range(TRADES):
        assert (lab.bank / f"trades/trade_{number:04}.json").read_bytes() == trade(number)


STORIES = (
    Story("init", _nothing, ("init",), b"", _is_initialised),
    Story("repair", _init, ("repair",), b"", _is_repaired),
    Story("backup", _repaired, ("backup",), b"", _is_saved),
    Story("rollback", _saved, ("rollback", "--path", "trades", "--yes"), b"", _is_rolled_back),
    Story("message", _account, ("message", "add", "--stdin", "--account", "a"), BATCH, _is_all_or_nothing),
    Story("history", _long_account, ("message", "add", "--stdin", "--account", "a"), LONG_BATCH, _is_sealed),
    Story("watch", _init, ("watch", "--json"), b"", _is_initialised),
    Story("import", _fresh, ("init", "--from", "{place}/source"), b"", _is_imported_anew),
    Story("migrate", _standing, ("migrate", "--from", "{place}/source"), b"", _is_migrated),
)


def kill_once(story: Story, lab: Lab, delay: float) -> bool:
    """Start the operation, kill it after `delay` seconds, check everything; whether it was killed before its end."""
    process = lab.start(story)
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    killed = process.returncode == -signal.SIGKILL
    if (lab.bank / "bank.json").exists():
        lab.run("status")
        proof = json.loads(lab.run("log", "--verify", "--json"))
        assert proof["ok"], proof
    story.check(lab)
    return killed


def campaign(rounds: int, seed: int, stories: tuple[Story, ...] = STORIES) -> dict[str, int]:
    """`rounds` kills of each story at random moments; how many hit before the operation was done."""
    chance = random.Random(seed)
    hits = {}
    for story in stories:
        hits[story.name] = 0
        with tempfile.TemporaryDirectory() as place:
            base = Path(place)
            lab = Lab(base / "lab")
            lab.build()
            story.prepare(lab)
            shutil.copytree(lab.place, base / "saved", symlinks=True)
            seconds = _timed(story, lab)
            for _ in range(rounds):
                _reset(lab, base / "saved")
                hits[story.name] += kill_once(story, lab, chance.uniform(0.05, seconds))
    return hits


def _timed(story: Story, lab: Lab) -> float:
    started = time.monotonic()
    process = lab.start(story)
    if story.name == "watch":
        time.sleep(0.8)
        process.kill()
    process.communicate()
    return time.monotonic() - started


def _reset(lab: Lab, saved: Path) -> None:
    """The prepared state again. The bank keeps its directory: a new one at the same path would be another bank."""
    for left in lab.place.glob(".*"):
        shutil.rmtree(left)
    for part in ("bank", "home"):
        target = lab.place / part
        if part == "bank" and not (saved / part).exists():
            shutil.rmtree(target, ignore_errors=True)
            continue
        target.mkdir(exist_ok=True)
        for item in target.iterdir():
            shutil.rmtree(item) if item.is_dir() else item.unlink()
        if (saved / part).exists():
            shutil.copytree(saved / part, target, dirs_exist_ok=True, symlinks=True)


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(1 << 30)
    print(f"seed {seed}, {rounds} kills of each operation", flush=True)
    for name, hits in campaign(rounds, seed).items():
        print(f"{name:10} {hits} of {rounds} killed before the end; every bank was whole", flush=True)


if __name__ == "__main__":
    main()
