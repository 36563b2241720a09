"""Running commands against hostile repositories, each case in a process with little memory and little time."""

from __future__ import annotations

import gc
import json
import os
import re
import resource
import signal
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path

from memorybank_cli.snapshots import keys, trees
from memorybank_cli.snapshots.repository import Repository, unlocking
from tests.faults.hostile import CASES, Case
from tests.faults.lab import BROKEN, Lab, Prepared, Ran, Story, no_crash, prepared
from tests.faults.stories import nothing
from tests.snapshots import making

MEMORY = 512 << 20
"""Bytes beyond what the process has already."""
SECONDS = 120
"""Of processor time, for all commands of one case."""
DIRECTORIES = 4_000
"""The most that a snapshot may list here: a million of them take minutes."""
KEY = bytes(range(32)).hex()
EXITS = {0, 1, 2, 3, 10, 12, 13, 14}
_RAW = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")

COMMANDS = (
    "snapshot list", "snapshot list --json", "snapshot show latest", "snapshot show latest --json",
    "snapshot verify", "snapshot verify --read-data", "snapshot restore latest --to {place}/out/deep/target",
    "snapshot diff", "snapshot find *", "snapshot find --text planted", "snapshot cat latest a",
    "snapshot export --to {place}/out/x.tar", "snapshot drill", "rollback --dry-run", "rollback --yes",
    "snapshot pin latest", "snapshot key list", "snapshot undelete", "snapshot forget --keep-last 1 --yes",
    "snapshot prune --yes", "snapshot prune --now --yes", "backup", "status", "log --verify",
)  # fmt: skip


def victim(encrypted: bool) -> Story:
    """A bank with two snapshots."""

    def prepare(lab: Lab) -> None:
        if encrypted:
            (lab.place / "key").write_text(KEY)
            lab.env["MEMORYBANK_KEY_FILE"] = str(lab.place / "key")
        (lab.place / "outside/packs").mkdir(parents=True)
        (lab.place / "outside/keep").write_text("nobody's business")
        (lab.place / "out/deep").mkdir(parents=True)
        lab.run("init")
        lab.run("repair")
        lab.run("backup")
        (lab.bank / "metrics/now.json").write_bytes(b'{"sharpe": 1}')
        lab.run("backup")

    return Story("victim", prepare, (), b"", nothing)


def attack(scene: Prepared, case: Case, encrypted: bool) -> None:
    """Alter the repository and run every command. AssertionError for a crash, or anything written elsewhere."""
    lab = scene.reset()
    bank_id = json.loads((lab.bank / "bank.json").read_bytes())["bank_id"]
    unlock = unlocking(keys.raw(KEY.encode())) if encrypted else None
    with Repository.open(lab.repository, unlock=unlock) as repo:
        case(repo, bank_id)
    before = _surroundings(lab)
    report = lab.place.parent / "report"
    report.unlink(missing_ok=True)
    child = os.fork()
    if not child:
        _suffer(lab, report)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code == 0, f"{code}: {report.read_text() if report.exists() else 'no report'}"
    assert _surroundings(lab) == before
    json.loads((lab.bank / "bank.json").read_bytes())


def _surroundings(lab: Lab) -> dict[str, bytes]:
    """What stands beside the bank, its state and the places that were named for output."""
    ours = ("bank/", "home/", "out/deep/target/", "out/x.tar")
    return {path: data for path, data in making.on_disk(lab.place).items() if not path.startswith(ours)}


def _suffer(lab: Lab, report: Path) -> None:
    code = BROKEN
    words = ""
    try:
        gc.set_threshold(700)  # the tests' own keeps the documents of earlier commands for long
        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))
        used = int(sum(resource.getrusage(resource.RUSAGE_SELF)[:2]))
        resource.setrlimit(resource.RLIMIT_CPU, (used + SECONDS, used + SECONDS))
        signal.alarm(2 * SECONDS)  # one that waits for ever
        trees.MAX_DIRECTORIES = DIRECTORIES
        for words in COMMANDS:
            done = lab.call(*words.replace("{place}", str(lab.place)).split(" "), "--bank", str(lab.bank))
            _judge(done, words)
        code = 0
    except BaseException:  # noqa: BLE001 - whatever it is, it must not come back into the test
        report.write_text(f"{words}: {traceback.format_exc()[-3_000:]}")
    finally:
        os._exit(code)


def _judge(done: Ran, words: str) -> None:
    no_crash(done)
    assert done.code in EXITS, done
    if "cat" not in words:  # bytes as they are
        found = _RAW.search(done.out + done.err)
        assert found is None, (found, done)


def attacks(encrypted: bool, names: Iterable[str] = CASES) -> Iterator[str]:
    """What went wrong in each of these cases; nothing where all went well."""
    with prepared(victim(encrypted), 2) as scene:
        for name in names:
            try:
                attack(scene, CASES[name], encrypted)
            except AssertionError as error:
                yield f"{name}: {error}"


def campaign(rounds: int, seed: int) -> Iterator[str]:
    """Every case, `rounds` times over; one line each."""
    del seed  # nothing is left to chance
    for encrypted in (False, True):
        for _ in range(rounds):
            wrong = list(attacks(encrypted))
            assert not wrong, "\n".join(wrong)
        kind = "encrypted" if encrypted else "plain"
        yield f"{len(CASES)} hostile repositories, {kind}: {len(COMMANDS)} commands each, no crash and no escape"
