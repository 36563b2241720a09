"""The machine under the bank: each limit from both sides, and systems that tell less."""

from __future__ import annotations

import ctypes
import os
import resource
from pathlib import Path
from typing import NamedTuple

import pytest

from memorybank_cli.base import clock, libc
from memorybank_cli.base.settings import BY_NAME
from memorybank_cli.base.walk import Root
from memorybank_cli.health import system
from memorybank_cli.health.probing import Reading
from memorybank_cli.health.samples import Samples
from tests.conftest import MakeBank
from tests.operations.banks import opened


@pytest.fixture
def path(make_bank: MakeBank) -> Path:
    return make_bank(1, padded=False)


def look(path: Path, name: str) -> Reading:
    with opened(path) as bank:
        found: Reading = getattr(system, name)(bank)
    return found


def told(path: Path, name: str) -> list[tuple[str, str, str]]:
    return [(one.rule, one.pointer, one.message) for one in look(path, name).findings]


class Disk(NamedTuple):
    f_bavail: int
    f_blocks: int
    f_favail: int = 900
    f_files: int = 1_000
    f_frsize: int = 1 << 20


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> list[Disk]:
    found = [Disk(500, 1_000)]
    monkeypatch.setattr(os, "statvfs", lambda _place: found[0])
    return found


@pytest.mark.usefixtures("disk")
def test_room_enough(path: Path) -> None:
    found = look(path, "disk")
    assert found.findings == ()
    assert found.samples == {
        "disk_free_bytes": 500 << 20,
        "disk_size_bytes": 1_000 << 20,
        "inodes_free": 900,
        "inodes": 1_000,
    }


@pytest.mark.parametrize(
    ("found", "rules"),
    [
        (Disk(2_000, 40_000), []),
        (Disk(1_999, 40_000), ["MB502"]),
        (Disk(64, 1_000), []),
        (Disk(63, 1_000), ["MB502"]),
        (Disk(50, 500), []),
        (Disk(49, 500), ["MB502"]),
        (Disk(500, 1_000, 50), []),
        (Disk(500, 1_000, 49), ["MB508"]),
        (Disk(1, 1_000, 0), ["MB502", "MB508"]),
        (Disk(500, 1_000, 0, 0), []),  # inodes are made as they are needed
    ],
)
def test_a_full_disk(path: Path, disk: list[Disk], found: Disk, rules: list[str]) -> None:
    disk[0] = found
    assert [rule for rule, _, _ in told(path, "disk")] == rules


@pytest.mark.parametrize(
    ("found", "severities"),
    [
        (Disk(1, 1_000), ["warning"]),
        (Disk(0, 1_000), ["error"]),
        (Disk(0, 1_000, 1), ["error", "warning"]),
        (Disk(500, 1_000, 0), ["error"]),
    ],
)
def test_where_nothing_can_be_written_it_is_an_error(
    path: Path, disk: list[Disk], found: Disk, severities: list[str]
) -> None:
    disk[0] = found
    assert [one.severity for one in look(path, "disk").findings] == severities


def test_how_full_may_be_set(path: Path, disk: list[Disk], monkeypatch: pytest.MonkeyPatch) -> None:
    disk[0] = Disk(300, 1_000, 300)
    monkeypatch.setenv(BY_NAME["health.disk_percent"].variable, "31")
    assert [rule for rule, _, _ in told(path, "disk")] == ["MB502", "MB508"]
    disk[0] = Disk(0, 1_000, 0)
    monkeypatch.setenv(BY_NAME["health.disk_percent"].variable, "0")
    assert told(path, "disk") == []


# Memory


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the system tells, from files of the test."""
    place = tmp_path / "proc"
    (place / "self/fd").mkdir(parents=True)
    (place / "sys/fs").mkdir(parents=True)
    monkeypatch.setattr(system, "PROC", str(place))
    monkeypatch.setattr(system, "CGROUP", str(place))
    return place


def meminfo(proc: Path, free: int, size: int = 1_000_000) -> None:
    proc.joinpath("meminfo").write_text(f"MemTotal: {size} kB\nMemFree: 5 kB\nMemAvailable: {free} kB\nHugePages: 0\n")


def test_memory(path: Path, proc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    meminfo(proc, 50_000)
    assert look(path, "memory") == Reading({"memory_available_bytes": 51_200_000, "memory_size_bytes": 1_024_000_000})
    meminfo(proc, 49_999)
    assert told(path, "memory") == [("MB509", "", "48 of 976 MiB of memory are available")]
    monkeypatch.setenv(BY_NAME["health.memory_percent"].variable, "0")
    assert told(path, "memory") == []


def test_memory_of_a_container(path: Path, proc: Path) -> None:
    meminfo(proc, 900_000)
    limit = 100 << 20
    proc.joinpath("memory.max").write_text(f"{limit}\n")
    proc.joinpath("memory.current").write_text(f"{97 << 20}\n")
    assert [rule for rule, _, _ in told(path, "memory")] == ["MB509"]
    proc.joinpath("memory.stat").write_text(f"anon 1\ninactive_file {50 << 20}\n")
    assert look(path, "memory").samples == {"memory_available_bytes": 53 << 20, "memory_size_bytes": limit}
    proc.joinpath("memory.max").write_text("max\n")
    assert look(path, "memory").samples["memory_size_bytes"] == 1_024_000_000


def test_where_nobody_tells(path: Path, proc: Path) -> None:
    assert look(path, "memory") == Reading({})
    proc.joinpath("self/fd").rmdir()
    assert look(path, "handles") == Reading({})


def test_here() -> None:
    found = system._memory()
    assert found is None or 0 < found[0] <= found[1]


# Handles


def test_handles(path: Path, proc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _what: (10, 10))
    for number in range(9):
        proc.joinpath(f"self/fd/{number}").touch()
    proc.joinpath("sys/fs/file-nr").write_text("1000\t100\t1000\n")
    assert look(path, "handles") == Reading({"open_handles": 9, "machine_handles": 900})
    proc.joinpath("self/fd/9").touch()
    proc.joinpath("sys/fs/file-nr").write_text("1001\t100\t1000\n")
    assert told(path, "handles") == [
        ("MB530", "/process", "this process has 10 of at most 10 files open"),
        ("MB530", "/machine", "programs on this machine have 901 of at most 1,000 files open"),
    ]
    monkeypatch.setattr(resource, "getrlimit", lambda _what: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    proc.joinpath("sys/fs/file-nr").unlink()
    assert look(path, "handles") == Reading({"open_handles": 10})


# The clock


def in_step(path: Path, monkeypatch: pytest.MonkeyPatch, state: bool | None) -> Reading:
    monkeypatch.setattr(libc, "clock_in_step", lambda: state)
    return look(path, "clock_step")


def test_a_clock_that_nobody_ever_kept_in_step_is_told_and_no_finding(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert in_step(path, monkeypatch, True) == Reading({"clock_in_step": 1})
    assert in_step(path, monkeypatch, False) == Reading({"clock_in_step": 0})
    assert in_step(path, monkeypatch, None) == Reading({})


def test_a_clock_that_was_kept_in_step_and_is_not_any_more(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = Root(path)
    rings = Samples(root)
    now = clock.now_ns() / clock.SECOND_NS
    rings.put({"clock_in_step": 1}, now - 25 * 3_600)
    assert in_step(path, monkeypatch, False).findings == ()
    rings.put({"clock_in_step": 1}, now - 3_600)
    rings.put({"clock_in_step": 0}, now)
    [one] = in_step(path, monkeypatch, False).findings
    assert (one.rule, one.severity, one.pointer) == ("MB531", "warning", "/step")
    assert in_step(path, monkeypatch, True).findings == ()
    rings.close()
    root.close()


def test_the_system_itself_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    assert libc.clock_in_step() in (True, False, None)
    for answer, state in ((0, True), (4, True), (5, False), (-1, None)):
        library = type("Library", (), {"adjtimex": lambda _self, _buffer, answer=answer: answer})
        monkeypatch.setattr(ctypes, "CDLL", lambda *_, use_errno, library=library: library())  # noqa: ARG005
        assert libc.clock_in_step() is state
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, use_errno: object())  # noqa: ARG005
    assert libc.clock_in_step() is None


def test_a_clock_behind_the_journal(path: Path) -> None:
    assert look(path, "clock_behind").findings == ()
    [segment] = (path / ".memorybank/journal").iterdir()
    ahead = clock.now_ns() + 3_600 * clock.SECOND_NS
    os.utime(segment, ns=(ahead, ahead))
    found = look(path, "clock_behind")
    [one] = found.findings
    assert one.rule == "MB531"
    assert one.message.startswith("the clock is 3,600 seconds behind") or "3,599" in one.message
    assert found.samples["clock_behind_seconds"] > 3_500
    near = clock.now_ns() + 30 * clock.SECOND_NS
    os.utime(segment, ns=(near, near))
    assert look(path, "clock_behind").findings == ()
    segment.unlink()
    with opened(path) as bank:  # a bank that nothing was ever written to
        assert system.clock_behind(bank).findings == ()
