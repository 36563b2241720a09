"""How long the disk takes: what is measured, what is too slow, and writes that fail."""

from __future__ import annotations

import errno
import time
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.base import files
from memorybank_cli.base.records import Finding
from memorybank_cli.base.settings import BY_NAME
from memorybank_cli.base.walk import Root
from memorybank_cli.health.probing import Reading
from memorybank_cli.health.samples import Samples
from memorybank_cli.health.speed import SIZE, disk_latency
from tests.conftest import MakeBank
from tests.operations.banks import journal, opened


@pytest.fixture
def path(make_bank: MakeBank) -> Path:
    return make_bank(1, padded=False)


def look(path: Path, *known: Finding) -> Reading:
    with opened(path) as bank:
        return disk_latency(bank, known)


def test_a_durable_write_is_measured(path: Path) -> None:
    lines = journal(path)
    found = look(path)
    assert found.findings == ()
    assert all(0 <= found.samples[name] < 60 for name in ("disk_write_seconds", "disk_read_seconds"))
    assert (path / ".memorybank/probe").stat().st_size == SIZE
    assert journal(path) == lines


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that takes two seconds, on a clock of its own."""
    moments = [0.0]
    replace = files.replace

    def later(root: Root, path: str, *given: Any, **named: Any) -> None:
        moments[0] += 2
        replace(root, path, *given, **named)

    monkeypatch.setattr(files, "replace", later)
    monkeypatch.setattr(time, "perf_counter", lambda: moments[0])


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize(("limit", "rules"), [("500", ["MB532"]), ("1999", ["MB532"]), ("2000", []), ("0", [])])
def test_a_slow_disk(path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, rules: list[str]) -> None:
    monkeypatch.setenv(BY_NAME["health.write_ms"].variable, limit)
    with opened(path) as bank:
        found = disk_latency(bank)
    assert (found.samples["disk_write_seconds"], [one.rule for one in found.findings]) == (2.0, rules)
    if rules:
        assert found.findings[0].message.startswith("a durable write of 4 KiB took 2.00 s, ")


@pytest.mark.parametrize(
    ("before", "ago", "rules"), [(0.4, 60, []), (0.6, 60, ["MB532"]), (0.4, 1_000, ["MB532"]), (None, 60, ["MB532"])]
)
def test_one_slow_write_alone_is_nobodys_alert(
    path: Path, slow: None, before: float | None, ago: float, rules: list[str]
) -> None:
    del slow
    with opened(path) as bank:
        samples = Samples(bank.root)
        samples.put({"score": 1, **({} if before is None else {"disk_write_seconds": before})}, time.time() - ago)
        samples.close()
        assert [one.rule for one in disk_latency(bank).findings] == rules


@pytest.mark.usefixtures("slow")
def test_a_disk_that_was_slow_once_only(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(path) as bank:
        moments = iter([0.0, 2.0, 2.0, 2.0, 2.1, 2.1])
        monkeypatch.setattr(time, "perf_counter", lambda: next(moments))
        found = disk_latency(bank)
    assert (found.samples["disk_write_seconds"], found.findings) == (2.0, ())


def test_a_disk_that_takes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files, "make_dirs", refuse)
    with opened(path) as bank:
        found = disk_latency(bank)
        [one] = found.findings
        assert (one.rule, one.severity, one.pointer, found.samples) == ("MB306", "error", "/write", {})
        assert "the disk is full" in one.message
        assert one.hint
        assert disk_latency(bank, [Finding("MB306", "the bank's directory cannot be written")]).findings == ()


def test_another_process_measures_at_the_same_time(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace = files.replace

    def theirs(root: Root, path: str, data: bytes, **more: Any) -> None:
        monkeypatch.undo()
        replace(root, path, data, **more)
        with opened(Path(root.path)) as other:
            assert disk_latency(other).findings == ()

    with opened(path) as bank:
        monkeypatch.setattr(files, "replace", theirs)
        assert disk_latency(bank).findings == ()


def test_a_disk_that_gives_back_something_else(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(path) as bank:
        monkeypatch.setattr(Root, "read", lambda *_: b"x")
        [one] = disk_latency(bank).findings
        monkeypatch.undo()
    assert (one.rule, one.pointer) == ("MB306", "/write")
    assert "could not be read back" in one.message
