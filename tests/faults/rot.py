"""An account whose files rot: tiers, segments, index, identities and journal are altered, one of them at a time.

Each message is written in two places at least. So damage of one file loses nothing: what is listed is exact or the
damage is told, `repair` brings everything back, and what was stored is still known as stored.
"""

from __future__ import annotations

import json
import random
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from shutil import rmtree
from unittest import mock

from memorybank_cli.accounts import history, segments
from tests.faults.flips import ALTERATIONS
from tests.faults.journals import LINES
from tests.faults.lab import Lab, Prepared, Ran, Story, no_crash, prepared
from tests.faults.simulated.banks import patched
from tests.faults.stories import nothing

COUNT = 74
MOST = 10  # of a segment here, so that there are many
SHORT = 20  # lines of a segment of the journal
THOROUGH = 4
"""In one of so many rounds the damage is repaired and the account written to."""
VALIDATED = 0.15
"""In this share of the others `validate` is asked, too, where what was listed is exact."""


def lines(first: int, last: int) -> bytes:
    """Messages as `message add --stdin` takes them."""
    return b"".join(b'{"role": "user", "id": "m%d", "content": "text %d"}\n' % (n, n) for n in range(first, last))


def small() -> AbstractContextManager[object]:
    """Segments of ten messages."""
    return patched((segments, "MOST", MOST), (history, "MOST", MOST))


def _prepare(lab: Lab) -> None:
    for section in lab.bank.iterdir():
        rmtree(section)  # of agents' files nothing is asked here
    lab.run("init", "--account", "a")
    for first, last in ((0, 1), (1, 33), (33, 68), (68, COUNT)):
        lab.run("message", "add", "--stdin", "--account", "a", stdin=lines(first, last))
    lab.run("repair")


def _pack(lab: Lab) -> None:
    """The same after a snapshot, archived and compacted: what is sealed stands in no line of the journal any more."""
    with mock.patch("memorybank_cli.bank.journal.SEGMENT_LINES", SHORT):
        _prepare(lab)
    lab.run("backup")
    lab.env["MEMORYBANK_UNDO_BUDGET_MIB"] = "0"
    lab.run("account", "archive", "a", "--keep-mib", "0")
    lab.run("account", "compact")


SCENES = (Story("standing", _prepare, (), b"", nothing), Story("packed", _pack, (), b"", nothing))


def paths(scene: Prepared) -> list[Path]:
    """What is altered, relative to the lab."""
    inner = ("account_a/*.json", "account_a/history/*", ".memorybank/journal/*", ".memorybank/index.sqlite")
    found = (path for pattern in inner for path in (scene.saved / "bank").glob(pattern))
    return sorted(path.relative_to(scene.saved) for path in found if path.stat().st_size)


def alter(path: Path, data: bytes, chance: random.Random) -> tuple[str, bytes | None]:
    """Other bytes for a file, and what was done."""
    weights, ways = zip(*ALTERATIONS, *(LINES if "journal" in path.parts else ()), strict=True)
    (way,) = chance.choices(ways, weights)
    return way.__name__, way(chance, data)


def alter_once(scene: Prepared, path: Path, chance: random.Random, thorough: bool) -> None:
    """Alter one file and hold what must hold."""
    lab = scene.reset()
    target = lab.place / path
    before = target.read_bytes()
    way, data = alter(path, before, chance)
    if data is None:
        target.unlink()
    else:
        target.write_bytes(data)
    try:
        if target.name == "index.sqlite":
            _stays_known(lab)
        else:
            _hold(lab, target, data if data != before else None, thorough, thorough or chance.random() < VALIDATED)
    except AssertionError as error:
        digest = zlib.crc32(data or b"")
        raise AssertionError(f"{path} with {way} ({digest:08x}): {error}") from error


def _stays_known(lab: Lab) -> None:
    """Identities that rot come back by themselves, or `account check` names them: then nothing is stored twice."""
    _call(lab, "account", "check", "a")
    assert _add(lab, COUNT) == 0, "stored twice"
    assert _call(lab, "account", "check", "a").code == 0, "still not as it must be"


def _add(lab: Lab, count: int) -> int:
    """Send so many messages; how many were not there yet."""
    again = _call(lab, "message", "add", "--stdin", "--account", "a", "--json", stdin=lines(0, count))
    assert again.code == 0, again
    return int(json.loads(again.out)["added"])


def _hold(lab: Lab, target: Path, altered: bytes | None, thorough: bool, validated: bool) -> None:
    """What was listed is exact, or the damage is told, also by `validate`; with `thorough` everything comes back."""
    listed = _call(lab, "message", "list", "--account", "a", "--json")
    ids = [json.loads(line)["id"] for line in listed.out.splitlines()]
    exact = [f"m{number}" for number in range(COUNT)]
    if ids == exact and not validated:
        return
    seen = _call(lab, "validate", "--json")
    told = listed.code == 3 or seen.code in (1, 3)
    assert ids == exact or told, f"{len(ids)} messages and not a word"
    assert listed.code or ids == exact, f"{len(ids)} messages were listed as if they were all"
    still = altered is not None and target.exists() and target.read_bytes() == altered
    if still and target.parent.name in ("account_a", "history"):
        assert seen.code, "a file is not what was written, and nobody says so"
    if thorough:
        _comes_back(lab, exact)


def _comes_back(lab: Lab, exact: list[str]) -> None:
    """After a repair each message is there, and known."""
    _call(lab, "repair")
    assert _add(lab, COUNT + 1) == 1, "stored twice after repair"
    listed = _call(lab, "message", "list", "--account", "a", "--json")
    ids = [json.loads(line)["id"] for line in listed.out.splitlines()]
    assert ids == [*exact, f"m{COUNT}"], f"after repair: {ids}"
    seen = _call(lab, "validate", "--json")
    assert seen.code == 0, f"after repair: {seen.out}"


def _call(lab: Lab, *words: str, stdin: bytes = b"") -> Ran:
    done = lab.call(*words, "--bank", str(lab.bank), stdin=stdin)
    no_crash(done)
    assert done.code in (0, 1, 3), (words, done)
    return done


def campaign(rounds: int, seed: int, thorough: int = THOROUGH) -> Iterator[str]:
    """`rounds` alterations, each file as often as the next."""
    chance = random.Random(seed)
    for story in SCENES:
        with small(), prepared(story, 2) as scene:
            found = paths(scene)
            for number in range(rounds // len(SCENES)):
                try:
                    alter_once(scene, found[number % len(found)], chance, number % thorough == 0)
                except AssertionError as error:
                    raise AssertionError(f"seed {seed}, {story.name}, round {number}: {error}") from error
        count = rounds // len(SCENES)
        yield f"{story.name}: {count} alterations of {len(found)} files of an account: recovered, or named"
