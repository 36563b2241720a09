"""Crashes of a simulated file system: over 5,000 states in which one may find a bank and its repository."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.faults.simulated.campaign import fast_place
from tests.faults.simulated.disk import Disk, Node
from tests.faults.simulated.events import Data, Names, Said, Sync
from tests.faults.simulated.exploring import Explorer
from tests.faults.simulated.proofs import ORDERS, Bench
from tests.faults.simulated.scenarios import SCENARIOS
from tests.faults.simulated.sites import RENAMES, Order, Site, named_first, swapped, sync_sites, without

SEED = 20_261_121
DRAWS = 12
LEAST = 5_000
STATES = {
    "messages": 300,
    "sealing": 250,
    "roll-over": 300,
    "room": 200,
    "checkpoints": 200,
    "foreign": 80,
    "refused": 100,
    "refused unshared": 100,
    "unlocked": 100,
    "unshared": 250,
    "init": 80,
    "new bank": 100,
    "adoption": 15,
    "repair": 80,
    "recovery": 25,
    "migrate": 200,
    "migrate unhindered": 80,
    "migrate refused": 80,
    "recovered import": 45,
    "init from": 90,
    "backup": 90,
    "next backup": 80,
    "killed backup": 90,
    "export": 350,
    "restore": 500,
    "retention": 150,
    "unpin": 10,
    "forget message": 150,
    "forget account": 150,
    "compaction": 50,
    "archive": 80,
    "rename": 150,
    "summaries": 60,
    "rollback": 250,
    "account rollback": 200,
}
"""How many different states of each scenario are looked at here; short operations have no more."""


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A directory in memory where there is such a thing."""
    with tempfile.TemporaryDirectory(dir=fast_place()) as path:
        yield Path(path)


@pytest.fixture(scope="module")
def bench(place: Path) -> Bench:
    return Bench(place / "bench", SEED)


@pytest.mark.parametrize("name", SCENARIOS)
def test_no_crash_breaks_a_promise(name: str, place: Path) -> None:
    outcome = Explorer(SCENARIOS[name](), place / "lab", SEED).explore(STATES[name], DRAWS)
    assert not outcome.violations, outcome.violations[0]
    assert outcome.states >= STATES[name]


def test_there_are_states_enough() -> None:
    assert STATES.keys() == SCENARIOS.keys()
    assert sum(STATES.values()) >= LEAST


@pytest.mark.parametrize("site", sync_sites(), ids=str)
def test_a_sync_that_is_left_out_is_found(site: Site, bench: Bench) -> None:
    assert bench.violation(partial(without, site=site)) is not None


@pytest.mark.parametrize("order", ORDERS, ids=str)
def test_steps_in_the_wrong_order_are_found(order: Order, bench: Bench) -> None:
    assert bench.violation(partial(swapped, order=order)) is not None, order.why


@pytest.mark.parametrize("function", RENAMES)
def test_a_name_given_before_the_content_is_found(function: str, bench: Bench) -> None:
    assert bench.violation(partial(named_first, function=function)) is not None


NEW = Node(b"", 0o600, 0)


def model(*events: Names | Data | Sync | Said) -> Disk:
    """A disk with a directory `d` (1), a durable file `f` (2) in it, and new inodes 3 and 4 that nothing names."""
    disk = Disk()
    disk.make(1, Node(None, 0o700, 0))
    disk.make(2, Node(b"old", 0o600, 0))
    disk.make(3, NEW)
    disk.make(4, NEW)
    disk.names[0]["d"], disk.names[1]["f"] = 1, 2
    for event in events:
        disk.take(event)
    return disk


def contents(disk: Disk, kept: set[int]) -> dict[str, bytes | None]:
    return {path: node.content for path, node in disk.tree(kept).items() if node.content is not None}


CREATED, WRITTEN = Names(((1, "t", 3),)), Data(3, 0, b"new")
RENAMED = Names(((1, "f", 3), (1, "t", None)))


def test_a_rename_may_be_there_before_the_bytes() -> None:
    disk = model(CREATED, WRITTEN, RENAMED)
    assert contents(disk, set()) == {"d/f": b"old"}
    assert contents(disk, disk.closed([2])) == {"d/f": b""}
    assert contents(disk, {0, 1}) == {"d/f": b"old", "d/t": b"new"}


def test_a_sync_of_a_file_makes_its_bytes_durable_and_not_its_name() -> None:
    disk = model(CREATED, WRITTEN, Sync(3, True), RENAMED)
    assert contents(disk, set()) == {"d/f": b"old"}
    assert contents(disk, disk.closed([1])) == {"d/f": b"new"}


def test_a_sync_of_the_directory_makes_names_durable_and_no_bytes() -> None:
    disk = model(CREATED, WRITTEN, RENAMED, Sync(1, False))
    assert contents(disk, set()) == {"d/f": b""}
    disk.take(Sync(None, False))
    assert contents(disk, set()) == {"d/f": b"new"}


def test_a_file_that_moves_to_another_directory_is_never_in_neither() -> None:
    move = (Names(((0, "g", 2),), move=1), Names(((1, "f", None),), move=1))
    disk = model(*move)
    assert contents(disk, disk.closed([0])) == {"d/f": b"old", "g": b"old"}
    assert contents(disk, disk.closed([1])) == {"g": b"old"}
    assert disk.without(0) == set()
    disk.take(Sync(1, False))
    assert contents(disk, set()) == {"g": b"old"}


def test_an_omitted_write_is_a_hole_and_a_cut_one_is_gone() -> None:
    disk = model(CREATED, Data(3, 0, b"one"), Data(3, 3, b"two"), Data(3, 3, b"", cut=True))
    assert contents(disk, {0, 2})["d/t"] == b"\0\0\0two"
    assert contents(disk, {0, 1, 2, 3})["d/t"] == b"one"
    assert disk.tree({0, 1}, tear=lambda change: (change.data[:1], True))["d/t"].content == b"onet\0\0"
