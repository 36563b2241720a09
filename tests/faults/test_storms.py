"""A watch that runs through storms and faults, in small: after settling no change is unreported. See `storms`."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.faults import storms
from tests.faults.disks import can_mount, fill, small_disk
from tests.faults.storms import STORMS, Watch, new_bank, put, record, swap_in, unreported, watching

SMALL = {"one folder": 400, "nested folders": 400}
"""Files of a storm in small; of others a fiftieth of the full size."""


@pytest.fixture
def bank(tmp_path: Path) -> Path:
    return new_bank(tmp_path / "bank", 20)


@pytest.fixture
def watch(bank: Path) -> Iterator[Watch]:
    with watching(bank) as one:
        yield one


@pytest.mark.parametrize("stopped", [False, True], ids=["", "stopped"])
@pytest.mark.parametrize("name", STORMS)
def test_a_storm(watch: Watch, name: str, stopped: bool) -> None:
    storm, size = STORMS[name]
    if stopped:
        watch.process.send_signal(signal.SIGSTOP)
    storm(watch.bank, SMALL.get(name, size // 50))
    watch.process.send_signal(signal.SIGCONT)
    watch.sync()
    assert unreported(watch) == set()
    assert watch.gaps() == 0
    assert watch.end() == 0


def test_a_queue_that_overflows_is_a_gap_and_nothing_is_lost(watch: Watch) -> None:
    with open("/proc/sys/fs/inotify/max_queued_events") as file:
        most = int(file.read())
    watch.process.send_signal(signal.SIGSTOP)
    one, other = watch.bank / "trades/old/0.json", watch.bank / "trades/old/1.json"
    for _ in range(most // 2 + 10):  # two of the same after each other would be one
        os.utime(one)
        os.utime(other)
    put(watch.bank / "trades/unseen/deep/1.json", record(900))
    (watch.bank / "trades/old/2.json").rename(watch.bank / "trades/old/renamed.json")
    watch.process.send_signal(signal.SIGCONT)
    watch.until("gap")
    watch.sync()
    assert unreported(watch) == set()
    put(watch.bank / "trades/unseen/deep/2.json", record(901))
    watch.until("changed", "trades/unseen/deep/2.json")
    assert "MB522" in {line["finding"]["rule"] for line in watch.lines if line["type"] == "finding"}


NAMESPACE = ("unshare", "--user", "--map-root-user")
"""Root of a new user namespace may set its limits without touching the machine's."""


def is_there(*command: str) -> bool:
    return shutil.which(command[0]) is not None and not subprocess.run([*command, "true"], check=False).returncode


@pytest.mark.skipif(not is_there(*NAMESPACE), reason="user namespaces are not available")
def test_directories_that_cannot_be_watched_are_said_and_not_lost(bank: Path) -> None:
    limited = (*NAMESPACE, "sh", "-c", 'echo 6 > /proc/sys/user/max_inotify_watches && exec "$@"', "sh")
    with watching(bank, prefix=limited) as watch:
        storms.nested_folders(bank, 300)
        watch.sync()
        assert unreported(watch) == set()
        assert "MB520" in {line["finding"]["rule"] for line in watch.lines if line["type"] == "finding"}
        put(bank / "trades/a0/later/new.json", record(999))  # nothing but looking finds this
        watch.until("changed", "trades/a0/later/new.json")


def test_a_writer_that_stops_in_the_middle(watch: Watch) -> None:
    data = json.dumps({"bot_status": "running", "pad": "x" * 3_000}).encode()
    path = watch.bank / "state/slow.json"
    with path.open("wb", buffering=0) as file:
        file.write(data[:1_000])
        found = watch.until("finding", "state/slow.json")
        assert found["finding"]["rule"] == "MB103"
        file.write(data[1_000:])
    watch.until("resolved", "state/slow.json")
    watch.sync()
    assert unreported(watch) == set()


def test_two_watches_take_turns(bank: Path, watch: Watch) -> None:
    with watching(bank) as second:
        assert next(line for line in second.lines if line["type"] == "ready")["role"] == "following"
        for number in range(20):
            swap_in(bank / f"trades/{number}.json", record(1_000 + number))
        watch.sync()
        assert unreported(watch) == set()
        recorded = [row[0] for line in journal(bank) if line["op"] == "file.adopted" for row in line["files"]]
        assert sorted(path for path in recorded if path.startswith("trades/") and "old" not in path) == sorted(
            f"trades/{number}.json" for number in range(20)
        )
        assert watch.end() == 0
        assert second.until("role")["role"] == "leading"
        put(bank / "trades/after.json", record(2_000))
        while "trades/after.json" not in second.until("adopted")["paths"]:
            pass
        assert second.end() == 0


def test_a_watch_that_is_killed_is_followed_by_one_that_misses_nothing(bank: Path) -> None:
    with watching(bank) as first:
        first.process.kill()
        first.process.wait(storms.PATIENCE)
    put(bank / "trades/between.json", record(3_000))
    with watching(bank) as second:
        assert next(line for line in second.lines if line["type"] == "ready")["role"] == "leading"
        second.digests.update({"trades/between.json": storms.digests(bank)["trades/between.json"]})
        second.sync()
        assert unreported(second) == set()
        assert "trades/between.json" in {line.get("path") for line in second.lines if line["type"] == "changed"}


def rows(bank: Path) -> int:
    """How many files the catalog on the disk knows; -1 where there is none."""
    found = [one for one in (bank / ".memorybank").glob("catalog*.sqlite") if one.stat().st_size]
    if not found:
        return -1
    with closing(sqlite3.connect(f"file:{found[0]}?mode=ro", uri=True)) as db:
        return int(db.execute("SELECT count(*) FROM files WHERE s_sha IS NOT NULL").fetchone()[0])


def journal(bank: Path) -> list[dict[str, Any]]:
    """The cores of all lines that are whole: somebody may be writing one."""
    segments = sorted((bank / ".memorybank/journal").iterdir())
    whole = (one.read_bytes().rstrip(b"\0").rpartition(b"\n")[0] for one in segments)
    return [json.loads(line)["core"] for data in whole for line in data.splitlines()]


mounts = pytest.mark.skipif(not can_mount(), reason="only root can mount a small file system")


@mounts
def test_a_bank_that_is_unmounted_ends_the_watch_and_says_so(tmp_path: Path) -> None:
    place = tmp_path / "disk"
    place.mkdir()
    # The second one is mounted over the first.
    with small_disk(place), watching(new_bank(place / "bank", 3)) as watch, small_disk(place):
        while (found := watch.until("finding", "")["finding"])["rule"] != "MB118":
            pass
        assert found["severity"] == "critical"
        assert watch.process.wait(storms.PATIENCE) == 10


@mounts
def test_a_full_disk_ends_neither_the_watch_nor_its_alerts(tmp_path: Path) -> None:
    place = tmp_path / "disk"
    place.mkdir()
    with small_disk(place, 8 << 20), watching(new_bank(place / "bank", 3)) as watch:
        fill(place)
        for number in range(5):
            (watch.bank / f"trades/old/{number}.json").unlink(missing_ok=True)
        time.sleep(1)
        assert watch.process.poll() is None
        (place / "filler").unlink()
        put(watch.bank / "trades/later.json", record(9))
        watch.sync()
        assert unreported(watch) == set()
        assert set(watch.findings("MB111")) == {f"trades/old/{number}.json" for number in range(3)}
        assert watch.end() == 0


@mounts
def test_a_watch_that_began_on_a_full_disk_keeps_the_catalog_there_once_it_can(tmp_path: Path) -> None:
    place = tmp_path / "disk"
    place.mkdir()
    with small_disk(place, 8 << 20):
        bank = new_bank(place / "bank", 3)
        for one in (bank / ".memorybank").glob("catalog*"):
            one.unlink()
        fill(place)
        with watching(bank) as watch:
            assert rows(bank) == -1
            (place / "filler").unlink()
            watch.sync()
            assert rows(bank) > 3
            put(bank / "trades/later.json", record(9))
            watch.sync()
            assert unreported(watch) == set()
            assert watch.end() == 0
