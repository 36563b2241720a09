"""A bank's own records that rot: journal, catalog and marks are altered, and what the bank then says is looked at."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

from tests.faults.flips import ALTERATIONS, Alter
from tests.faults.lab import Lab, Prepared, Story, no_crash, prepared
from tests.faults.stories import nothing

TEXTS = [f"message {number}" for number in range(12)]


def _line_twice(chance: random.Random, data: bytes) -> bytes:
    lines = data.splitlines(keepends=True)
    at = chance.randrange(len(lines))
    return b"".join([*lines[: at + 1], *lines[at:]])


def _line_gone(chance: random.Random, data: bytes) -> bytes:
    lines = data.splitlines(keepends=True)
    del lines[chance.randrange(len(lines))]
    return b"".join(lines)


def _lines_exchanged(chance: random.Random, data: bytes) -> bytes:
    lines = data.splitlines(keepends=True)
    one, other = chance.randrange(len(lines)), chance.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]
    return b"".join(lines)


LINES: tuple[tuple[int, Alter], ...] = ((3, _line_twice), (3, _line_gone), (3, _lines_exchanged))


def _prepare(lab: Lab) -> None:
    lab.run("init", "--account", "a")
    for text in TEXTS:
        lab.run("message", "add", text, "--account", "a", "--role", "user")
    lab.run("repair")
    lab.run("backup")
    lab.run("message", "list", "--account", "a")


CONVERSATION = Story("conversation", _prepare, (), b"", nothing)


def records(scene: Prepared) -> list[Path]:
    """What is altered, relative to the lab: the journal, the catalog, and what stands in the state directory."""
    inner = [*scene.saved.glob("bank/.memorybank/journal/*"), *scene.saved.glob("bank/.memorybank/catalog*")]
    state = scene.saved.glob("home/state/*/*.json")
    return sorted(path.relative_to(scene.saved) for path in (*inner, *state) if path.stat().st_size)


def alter_once(scene: Prepared, path: Path, chance: random.Random) -> None:
    """Alter one of them: no crash, and either every message is there in its order or the damage is told."""
    weights, ways = zip(*ALTERATIONS, *(LINES if "journal" in path.parts else ()), strict=True)
    (way,) = chance.choices(ways, weights)
    lab = scene.reset()
    data = way(chance, (lab.place / path).read_bytes())
    if data is None:
        (lab.place / path).unlink()
    else:
        (lab.place / path).write_bytes(data)
    proof = lab.call("log", "--verify", "--json", "--bank", str(lab.bank))
    listed = lab.call("message", "list", "--account", "a", "--json", "--bank", str(lab.bank))
    status = lab.call("status", "--json", "--bank", str(lab.bank))
    for done in (proof, listed, status):
        assert done.code != 70, (path, way.__name__, [report.read_text() for report in lab.place.rglob("crash-*")])
        no_crash(done)
        assert done.code in (0, 1, 3), (path, way.__name__, done)
    told = proof.code != 0 or listed.code != 0 or status.code != 0
    texts = [json.loads(line)["content"] for line in listed.out.splitlines()] if listed.code == 0 else []
    assert told or texts == TEXTS, (path, way.__name__, texts, proof)


def campaign(rounds: int, seed: int) -> Iterator[str]:
    """`rounds` alterations, each file as often as the next."""
    chance = random.Random(seed)
    with prepared(CONVERSATION, 2) as scene:
        paths = records(scene)
        for number in range(rounds):
            alter_once(scene, paths[number % len(paths)], chance)
    names = ", ".join(sorted({path.name for path in paths}))
    yield f"{rounds} alterations of {names}: every message there, or the damage told"
