"""The two rings: what is kept, for how long, what is lost with a damaged file, and that nothing grows."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from memorybank_cli.bank import layout
from memorybank_cli.base import database, files
from memorybank_cli.base.walk import Root
from memorybank_cli.health import samples as module
from memorybank_cli.health.samples import LONG, SHORT, Ring, Samples, read, recent
from tests.operations.owners import OWNER, as_root, own_ids_again, public_place

NOON = 1_763_985_600  # a multiple of both steps


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    found = Root(tmp_path)
    yield found
    found.close()


@pytest.fixture
def rings(root: Root) -> Iterator[Samples]:
    found = Samples(root)
    yield found
    found.close()


def file(root: Root) -> Path:
    return Path(root.path, ".memorybank/samples.sqlite")


def values(ring: list[module.Sample], name: str = "score") -> list[tuple[int, float | None]]:
    return [(one.at - NOON, one.values.get(name)) for one in ring]


def test_a_sample_is_in_both_rings(rings: Samples, root: Root) -> None:
    assert rings.put({"score": 96, "disk_free_bytes": 1 << 40}, NOON + 7)
    assert values(rings.between(SHORT, NOON, NOON + 60)) == [(5, 96.0)]
    assert values(read(root, LONG, NOON, NOON + 60)) == [(0, 96.0)]
    assert read(root, SHORT, NOON, NOON + 60)[0].values["disk_free_bytes"] == 1 << 40
    assert file(root).stat().st_mode & 0o777 == 0o600


def test_names_may_come_and_go(rings: Samples) -> None:
    rings.put({"score": 1}, NOON)
    rings.put({"drill_age_seconds": 2}, NOON + 5)
    rings.put({"score": 3, "files": 4}, NOON + 10)
    assert [one.values for one in rings.between(SHORT, NOON, NOON + 60)] == [
        {"score": 1.0},
        {"drill_age_seconds": 2.0},
        {"score": 3.0, "files": 4.0},
    ]


def test_what_is_no_number_is_left_out(rings: Samples) -> None:
    rings.put({"score": float("nan"), "files": float("inf"), "bytes": 3}, NOON)
    assert [one.values for one in rings.between(SHORT, NOON, NOON + 5)] == [{"bytes": 3.0}]


def test_the_long_ring_has_the_means_of_the_short_one(rings: Samples) -> None:
    for second in range(0, 600, 5):
        rings.put({"score": second}, NOON + second)
    rings.put({"score": 7}, NOON + 600)
    assert values(rings.between(LONG, NOON, NOON + 900)) == [(0, 147.5), (300, 447.5), (600, 7.0)]


def test_one_sample_each_five_minutes_makes_the_long_ring(rings: Samples) -> None:
    for number in range(4):
        rings.put({"score": number}, NOON + number * 301)
    assert values(rings.between(LONG, NOON, NOON + 1_200)) == [(0, 0), (300, 1), (600, 2), (900, 3)]


def test_rings_come_round_and_never_grow(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHORT", Ring(0, 5, 8))
    monkeypatch.setattr(module, "LONG", Ring(1, 300, 4))
    rings = Samples(root)
    for second in range(0, 3_000, 5):
        rings.put({"score": second}, NOON + second)
    assert [at for at, _ in values(rings.between(module.SHORT, 0, NOON * 2))] == list(range(2_960, 3_000, 5))
    assert [at for at, _ in values(rings.between(module.LONG, 0, NOON * 2))] == [1_800, 2_100, 2_400, 2_700]
    assert rings.db.execute("SELECT count(*) FROM slots").fetchone() == (12,)
    rings.close()


def test_the_rings_are_an_hour_and_ninety_days() -> None:
    assert (SHORT.span, LONG.span) == (3_600, 90 * 86_400)


def test_no_more_names_than_are_kept(rings: Samples, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_NAMES", 2)
    rings.put({"a": 1, "b": 2, "c": 3}, NOON)
    assert [one.values for one in rings.between(SHORT, NOON, NOON + 5)] == [{"a": 1.0, "b": 2.0}]


def test_a_clock_that_jumped_ahead_leaves_nothing_that_is_told(rings: Samples) -> None:
    rings.put({"score": 1}, NOON + 10**8)
    rings.put({"score": 2}, NOON)
    assert values(rings.between(SHORT, NOON - 60, NOON + 60)) == [(0, 2.0)]
    rings.put({"score": 4}, NOON + 300)
    assert values(rings.between(LONG, NOON - 60, NOON + 300)) == [(0, 2.0), (300, 4.0)]


def test_the_last_values_for_a_chart(root: Root, rings: Samples) -> None:
    now = int(time.time())
    for age in (20, 10, 0):
        rings.put({"score": age, **({"files": 1} if age else {})}, now - age)
    found = recent(root, ["score", "files", "none"], 12)
    assert [one for one in found["score"] if one is not None] == [20, 10, 0]
    assert found["none"] == [None] * 12
    assert sorted(recent(root)) == ["files", "score"]
    assert len(recent(root)["score"]) == 60


def test_nothing_yet(root: Root) -> None:
    assert recent(root) == {}
    assert read(root, SHORT, 0, time.time()) == []
    assert not file(root).parent.exists()


@pytest.mark.parametrize("data", [b"no database", b"SQLite format 3\0" + bytes(5_000), bytes(100)])
def test_a_damaged_file_is_begun_anew(root: Root, data: bytes) -> None:
    file(root).parent.mkdir()
    file(root).write_bytes(data)
    assert recent(root) == {}
    rings = Samples(root)
    assert not rings.in_memory
    rings.put({"score": 5}, NOON)
    rings.close()
    assert values(read(root, SHORT, NOON, NOON)) == [(0, 5.0)]


def test_damage_while_it_is_open_costs_samples_and_nothing_else(rings: Samples, root: Root) -> None:
    rings.put({"score": 1}, NOON)
    rings.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with file(root).open("r+b") as out:
        out.seek(100)
        out.write(b"\xff" * (file(root).stat().st_size - 100))
    rings.db.close()
    rings.db = sqlite3.connect(file(root), isolation_level=None)
    assert rings.between(SHORT, NOON, NOON) == []
    assert not rings.put({"score": 2}, NOON + 5)
    assert rings.put({"score": 3}, NOON + 10)
    assert values(rings.between(SHORT, NOON, NOON + 60)) == [(10, 3.0)]


def test_what_somebody_else_wrote_there_counts_as_nothing(rings: Samples, root: Root) -> None:
    rings.put({"score": 1}, NOON)
    rings.db.execute("UPDATE slots SET value='no json'")
    assert rings.between(SHORT, NOON, NOON) == []
    assert read(root, SHORT, NOON, NOON) == []


def test_a_removed_file_is_begun_anew(rings: Samples, root: Root) -> None:
    rings.put({"score": 1}, NOON)
    for one in file(root).parent.iterdir():
        one.unlink()
    assert rings.put({"score": 2}, NOON + 5)
    assert values(read(root, SHORT, NOON, NOON + 60)) == [(5, 2.0)]


def test_a_place_that_cannot_be_made_again_leaves_them_in_memory(
    rings: Samples, root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError

    rings.put({"score": 1}, NOON)
    file(root).unlink()
    monkeypatch.setattr(files, "make_database", refuse)
    assert rings.put({"score": 2}, NOON + 5)
    assert rings.in_memory
    assert values(rings.between(SHORT, NOON, NOON + 60)) == [(5, 2.0)]
    monkeypatch.undo()
    assert rings.put({"score": 3}, NOON + 10)
    assert rings.in_memory  # it is not tried each time
    monkeypatch.setattr(module, "AGAIN", 0)
    rings._again = 0
    assert rings.put({"score": 4}, NOON + 15)
    assert values(read(root, SHORT, NOON, NOON + 60)) == [(15, 4.0)]


def test_a_place_that_is_never_there_costs_nothing_that_is_in_memory(
    root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AGAIN", 0)
    file(root).parent.write_text("a file stands where the directory should")
    rings = Samples(root)
    assert rings.put({"score": 1}, NOON)
    assert rings.put({"score": 2}, NOON + 5)
    assert rings.in_memory
    assert values(rings.between(SHORT, NOON, NOON + 60)) == [(0, 1.0), (5, 2.0)]
    file(root).parent.unlink()
    assert rings.put({"score": 3}, NOON + 10)
    assert values(read(root, SHORT, NOON, NOON + 60)) == [(10, 3.0)]
    file(root).unlink()
    file(root).parent.rename(file(root).parent.with_suffix(".away"))
    file(root).parent.write_text("and again")
    assert rings.put({"score": 4}, NOON + 15)
    assert rings.in_memory
    rings.close()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE slots SET value='no json'",
        "UPDATE slots SET value='7'",
        """UPDATE slots SET value='["text"]'""",
        "UPDATE slots SET value=CAST(x'5bff5d' AS TEXT)",
        "UPDATE names SET id=4611686018427387904",
        "UPDATE names SET name=x'ff'",
        "DROP TABLE names; CREATE TABLE names (other TEXT)",
        "DROP TABLE slots; CREATE TABLE slots (other TEXT)",
    ],
)
def test_a_file_of_another_form_is_begun_anew(root: Root, change: str) -> None:
    with closing(Samples(root)) as rings:
        rings.put({"score": 1}, NOON)
        rings.db.executescript(change)
    assert read(root, SHORT, NOON, NOON + 60) == []
    with closing(Samples(root)) as rings:
        kept = [rings.put({"score": number}, NOON + 300 * number) for number in range(4)]
        assert not rings.in_memory
    assert (kept.count(False) <= 1, kept[-1]) == (True, True)
    assert values(read(root, SHORT, NOON + 600, NOON + 900))[-1] == (900, 3.0)


def test_whatever_bytes_are_damaged_samples_go_on(root: Root) -> None:
    with closing(Samples(root)) as rings:
        for number in range(40):
            rings.put({"score": number, "files": 3}, NOON + 30 * number)
    good, random = file(root).read_bytes(), Random(6)
    for _ in range(60):
        data = bytearray(good)
        for _ in range(random.choice((1, 8, 400))):
            data[random.randrange(len(data))] = random.randrange(256)
        database.remove(root, layout.SAMPLES)
        file(root).write_bytes(data)
        read(root, LONG, NOON, NOON + 3_600)
        with closing(Samples(root)) as rings:
            kept = [rings.put({"score": number}, NOON + 2_000 + number * 301) for number in range(4)]
        assert (kept.count(False) <= 1, rings.in_memory) == (True, False)


def test_a_place_that_cannot_be_looked_at_costs_nothing(
    rings: Samples, root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(type(root), "stat", refuse)
    monkeypatch.setattr(files, "make_database", refuse)
    assert rings.put({"score": 1}, NOON)
    assert rings.in_memory


@as_root
def test_a_bank_that_cannot_be_written() -> None:
    with public_place() as place, own_ids_again():
        (place / ".memorybank").mkdir(mode=0o755)
        root = Root(place)
        os.seteuid(OWNER)
        rings = Samples(root)
        assert rings.in_memory
        assert rings.put({"score": 2}, NOON)
        assert values(rings.between(SHORT, NOON, NOON + 60)) == [(0, 2.0)]
        rings.close()
        os.seteuid(0)
        root.close()


@as_root
def test_samples_of_a_place_that_cannot_be_written_can_be_read() -> None:
    with public_place() as place, own_ids_again():
        root = Root(place)
        rings = Samples(root)
        rings.put({"score": 2}, NOON)
        rings.close()
        (place / ".memorybank").chmod(0o555)
        (place / ".memorybank/samples.sqlite").chmod(0o444)
        os.seteuid(OWNER)
        found = values(read(root, SHORT, NOON, NOON))
        os.seteuid(0)
        (place / ".memorybank/samples.sqlite").chmod(0o000)
        os.seteuid(OWNER)
        hidden = read(root, SHORT, NOON, NOON)
        os.seteuid(0)
        root.close()
    assert (found, hidden) == ([(0, 2.0)], [])


def test_a_busy_file_costs_one_sample(rings: Samples, root: Root) -> None:
    rings.db.execute("PRAGMA busy_timeout=1")
    other = sqlite3.connect(file(root), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert not rings.put({"score": 1}, NOON)
    other.execute("ROLLBACK")
    other.close()
    assert rings.put({"score": 1}, NOON)


def test_readers_and_writers_at_once(root: Root) -> None:
    done, found = threading.Event(), list[int]()

    def look() -> None:
        while not done.is_set():
            found.append(len(read(root, SHORT, NOON, NOON + 3_600)))

    reader = threading.Thread(target=look)
    writers = [Samples(root) for _ in range(2)]
    reader.start()
    for number in range(100):
        assert writers[number % 2].put({"score": number}, NOON + number * 5)
    done.set()
    reader.join()
    assert found == sorted(found)
    assert len(read(root, SHORT, NOON, NOON + 3_600)) == 100
    for one in writers:
        one.close()
