"""The companion of watch: cadences, what it keeps and writes, its lines, and that what is stale is unknown."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.schemas import Registry
from memorybank_cli.base.records import Finding, Progress
from memorybank_cli.base.walk import Root
from memorybank_cli.health.probing import HEALTH, METRICS, SAMPLES, STATE, Probe, Reading, Result
from memorybank_cli.health.samples import SHORT, read, recent
from memorybank_cli.health.score import score
from memorybank_cli.operations import sampling
from memorybank_cli.operations.probes import look
from memorybank_cli.operations.sampling import COST, HANGS, LOOKS, SOON, Sampling
from memorybank_cli.operations.surroundings import PROBES
from tests.conftest import MakeBank
from tests.operations.banks import backed_up, journal, opened


class Clock:
    """A clock that stands until somebody moves it; on the wall it is the same moment."""

    def __init__(self) -> None:
        self.now, self.asleep = 1_000.0, 0.0
        self.wall = time.time() - self.now

    def __call__(self) -> float:
        return self.now


class AtOnce:
    """Slow probes without a thread, by the clock of the test; `hangs` keeps what they say."""

    def __init__(self, bank: Bank, moments: Clock) -> None:
        self.bank, self.moments = bank, moments
        self.running: Probe | None = None
        self.since, self.hangs = 0.0, False
        self.done: Result | None = None

    def start(self, probe: Probe, known: list[Finding]) -> None:
        self.running, self.since = probe, self.moments.now
        self.done = Result(probe, self.moments.now, 0.0, probe.run(self.bank, known))

    def take(self) -> Result | None:
        if self.running is None or self.hangs:
            return None
        self.running = None
        return self.done

    def close(self) -> None:
        self.running = None


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()

    class Time:
        monotonic = staticmethod(found)
        clock_gettime = staticmethod(lambda _which: found.now + found.asleep)
        CLOCK_BOOTTIME = CLOCK_MONOTONIC = 1

    monkeypatch.setattr(sampling, "time", Time)
    monkeypatch.setattr(sampling, "Beside", lambda bank: AtOnce(bank, found))
    monkeypatch.setattr("memorybank_cli.health.samples.time.time", lambda: found.wall + found.now)
    return found


@pytest.fixture
def path(make_bank: MakeBank) -> Path:
    made = make_bank(2, padded=False)
    backed_up(made)
    return made


@pytest.fixture
def bank(path: Path) -> Iterator[Bank]:
    with opened(path) as found:
        yield found


@pytest.fixture
def companion(bank: Bank, clock: Clock) -> Iterator[Sampling]:  # noqa: ARG001 - it stands before the companion is made
    found = Sampling(bank)
    found.looked(look(bank)[1])
    yield found
    found.close()


def until_nothing_is_due(companion: Sampling, clock: Clock) -> list[dict[str, Any]]:
    lines = list(companion.run())
    while companion.due() <= clock.now:
        lines += companion.run()
    return lines


def status(path: Path) -> dict[str, Any]:
    document = json.loads((path / ".memorybank/status.json").read_bytes())
    assert Registry().misfits("status", document, 5) == []
    found: dict[str, Any] = document["memory_bank_status"]
    return found


def counted(monkeypatch: pytest.MonkeyPatch, *cadences: float, takes: Callable[[], object] = int) -> list[str]:
    """Probes that only say that they ran; each calls `takes`."""
    ran: list[str] = []

    def made(name: str, cadence: float) -> Probe:
        def run(_bank: Bank, _known: object) -> Reading:
            ran.append(name)
            takes()
            return Reading({f"{name}_value": 1})

        return Probe(name, "system", "system", cadence, run)

    probes = tuple(made("abcdef"[number], cadence) for number, cadence in enumerate(cadences))
    monkeypatch.setattr(sampling, "PROBES", probes)
    return ran


def test_each_probe_by_its_cadence(bank: Bank, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = counted(monkeypatch, METRICS, HEALTH, STATE, SAMPLES)
    companion = Sampling(bank)
    for _ in range(601):
        until_nothing_is_due(companion, clock)
        assert companion.due() > clock.now
        clock.now += 1
    companion.close()
    assert {name: ran.count(name) for name in "abcd"} == {"a": 121, "b": 21, "c": 11, "d": 3}


def test_the_table_has_the_cadences_of_the_specs() -> None:
    assert (METRICS, HEALTH, STATE, SAMPLES) == (5, 30, 60, 300)
    assert {one.cadence for one in PROBES} <= {METRICS, HEALTH, STATE, SAMPLES}
    assert {one.group for one in PROBES} == {"system", "data", "performance", "protection"}
    assert len({one.name for one in PROBES}) == len(PROBES)


def test_of_slow_probes_one_at_a_time(bank: Bank, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = counted(monkeypatch, METRICS, STATE, STATE, METRICS)
    companion = Sampling(bank)
    list(companion.run())
    assert ran == ["a", "d", "b"]
    assert companion.due() <= clock.now
    list(companion.run())
    assert ran == ["a", "d", "b", "c"]
    companion.close()


def test_a_probe_that_takes_long_rests_long(bank: Bank, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    def takes() -> None:
        clock.now += 0.1

    ran = counted(monkeypatch, METRICS, takes=takes)
    companion = Sampling(bank)
    list(companion.run())
    assert companion._due["a"] == pytest.approx(clock.now + COST * 0.1)
    clock.now += COST * 0.1 - 1
    list(companion.run())
    clock.now += 2
    list(companion.run())
    assert ran == ["a", "a"]
    companion.close()


def test_what_hangs_holds_nothing_up_and_is_unknown(companion: Sampling, path: Path, clock: Clock) -> None:
    until_nothing_is_due(companion, clock)
    assert isinstance(companion.beside, AtOnce)
    companion.beside.hangs = True
    clock.now += SAMPLES
    companion.looked([])
    for _ in range(3):
        list(companion.run())
    hung = companion.beside.running
    assert hung is not None
    assert list(companion.findings) == []
    assert clock.now < companion.due() <= clock.now + SOON
    clock.now += HANGS + 1
    lines = list(companion.run())
    assert {line["finding"]["detected_at"] for line in lines} == {one.detected_at for one in companion.findings}
    slow = {one.name for one in PROBES if one.cadence > METRICS}
    assert {line["finding"]["pointer"].rpartition("/")[2] for line in lines} == slow
    assert score(companion.findings).word == "unknown"
    assert all(f"{hung.name} has not answered" in one.message for one in companion.findings)
    assert companion.due() > clock.now  # and it is not asked all the time
    clock.now += HEALTH
    companion.looked([])
    list(companion.run())
    assert status(path)["health_status"] == "degraded"
    companion.beside.hangs = False
    until_nothing_is_due(companion, clock)
    clock.now += SAMPLES
    companion.looked([])
    until_nothing_is_due(companion, clock)
    assert list(companion.findings) == []


def test_what_hangs_makes_nothing_unknown_whose_time_has_not_come(companion: Sampling, clock: Clock) -> None:
    until_nothing_is_due(companion, clock)
    assert isinstance(companion.beside, AtOnce)
    companion.beside.hangs = True
    clock.now += STATE
    list(companion.run())
    clock.now += HANGS + 1
    companion.looked([])
    list(companion.run())
    unknown = {one.pointer.rpartition("/")[2] for one in companion.findings}
    assert unknown == {one.name for one in PROBES if one.cadence == STATE}
    first = {one.fingerprint: one.detected_at for one in companion.findings}
    clock.now += METRICS
    list(companion.run())
    assert {one.fingerprint: one.detected_at for one in companion.findings} == first  # since when, not when last


def test_a_sample_each_five_seconds(companion: Sampling, path: Path, clock: Clock) -> None:
    for _ in range(4):
        until_nothing_is_due(companion, clock)
        clock.now += 5
    root = Root(path)
    found = read(root, SHORT, clock.wall, clock.wall + clock.now)
    assert len(found) == 4
    assert {"score", "files", "disk_free_bytes", "snapshot_age_seconds", "disk_write_seconds"} <= found[
        -1
    ].values.keys()
    assert recent(root, ["score"], 8)["score"][-5:-1] == [100.0] * 4
    root.close()


def test_the_status_document_is_of_the_last_look(companion: Sampling, bank: Bank, path: Path, clock: Clock) -> None:
    until_nothing_is_due(companion, clock)
    first = status(path)
    assert (first["health_status"], first["integrity_checks"]["trades"]["file_count"]) == ("healthy", 3)
    damage = Finding("MB102", "NULs follow", "trades/a.json")
    companion.told([damage], [])
    clock.now += HEALTH
    until_nothing_is_due(companion, clock)
    found = status(path)
    assert (found["health_status"], found["integrity_checks"]["trades"]["status"]) == ("error", "error")
    assert found["last_check"] == first["last_check"]
    assert found["integrity_checks"]["state"]["last_snapshot"] is not None
    companion.told([], [damage])
    clock.now += HEALTH
    companion.looked(look(bank)[1])
    until_nothing_is_due(companion, clock)
    assert status(path)["health_status"] == "healthy"
    assert status(path)["last_check"] > first["last_check"]


@pytest.mark.parametrize("asleep", [False, True])
def test_what_is_stale_is_unknown_and_never_green(
    companion: Sampling, bank: Bank, path: Path, clock: Clock, asleep: bool
) -> None:
    until_nothing_is_due(companion, clock)
    since, span = companion._looked, LOOKS * companion._every + 1
    clock.now += 5 if asleep else span
    clock.asleep += span if asleep else 0
    [line] = [one for one in until_nothing_is_due(companion, clock) if one["type"] == "finding"]
    assert (line["finding"]["rule"], line["path"]) == ("MB507", "")
    assert line["finding"]["message"].startswith(f"data stale since {since}: ")
    assert score(companion.findings).word == "unknown"
    clock.now += HEALTH
    until_nothing_is_due(companion, clock)
    found = status(path)
    assert (found["health_status"], found["last_check"]) == ("degraded", since)
    assert f"data stale since {since}" in found["alerts"][0]["message"]
    companion.looked(look(bank)[1])
    clock.now += METRICS
    [line] = until_nothing_is_due(companion, clock)
    assert (line["type"], line["rule"]) == ("resolved", "MB507")
    assert companion.findings == ()


def test_a_clock_on_the_wall_that_jumps_fires_nothing(companion: Sampling, clock: Clock) -> None:
    until_nothing_is_due(companion, clock)
    clock.wall += 40 * 86_400
    clock.now += METRICS
    assert until_nothing_is_due(companion, clock) == []
    clock.wall -= 80 * 86_400
    clock.now += METRICS
    assert until_nothing_is_due(companion, clock) == []


def test_own_findings_are_lines_and_alerts(companion: Sampling, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    until_nothing_is_due(companion, clock)
    fed: list[list[str]] = []
    monkeypatch.setattr(
        sampling, "feed", lambda _bank, found, origin: fed.append([origin, *(one.rule for one in found)])
    )
    monkeypatch.setenv("MEMORYBANK_HEALTH_DISK_PERCENT", "100")
    clock.now += METRICS
    lines = until_nothing_is_due(companion, clock)
    assert {line["finding"]["rule"] for line in lines} == {"MB502", "MB508"}
    assert {one.rule for one in companion.findings} == {"MB502", "MB508"}
    clock.now += METRICS
    assert until_nothing_is_due(companion, clock) == []  # told once
    assert fed == []
    clock.now += HEALTH
    until_nothing_is_due(companion, clock)
    assert fed == [["sampling", "MB502", "MB508"]]
    monkeypatch.setenv("MEMORYBANK_HEALTH_DISK_PERCENT", "0")
    clock.now += METRICS
    lines = until_nothing_is_due(companion, clock)
    assert [(line["type"], line["rule"]) for line in lines] == [("resolved", "MB502"), ("resolved", "MB508")]


def test_nothing_is_told_as_fine_before_every_probe_ran(
    companion: Sampling, path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    fed: list[object] = []
    monkeypatch.setattr(sampling, "feed", lambda *given: fed.append(given))
    (path / ".memorybank/status.json").unlink(missing_ok=True)
    list(companion.run())
    assert fed == []
    assert score(companion.findings).word == "unknown"
    assert not (path / ".memorybank/status.json").exists()
    until_nothing_is_due(companion, clock)
    assert len(fed) == 1
    assert score(companion.findings).word == "healthy"
    assert status(path)["integrity_checks"]["state"]["last_snapshot"] is not None


def test_metric_snapshots_are_made_when_they_are_due(
    companion: Sampling, path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    until_nothing_is_due(companion, clock)
    [name] = [row[0] for row in journal(path)[-1]["files"]]
    assert name.startswith("metrics/historical/")
    tried: list[object] = []
    monkeypatch.setattr(sampling, "record_if_due", lambda *given: tried.append(given))
    clock.now += SAMPLES - 1
    until_nothing_is_due(companion, clock)
    assert tried == []
    clock.now += 1
    until_nothing_is_due(companion, clock)
    assert len(tried) == 1


@pytest.mark.parametrize(("busy", "words"), [(True, "another process holds"), (False, "disk is full")])
def test_a_bank_that_takes_nothing_now(
    path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, busy: bool, words: str
) -> None:
    notes: list[str] = []

    class Notes(Progress):
        def note(self, text: str) -> None:
            notes.append(text)

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    if not busy:
        monkeypatch.setattr(sampling, "record_if_due", refuse)
    with opened(path) as other, opened(path, progress=Notes(), lock_timeout=0.01) as bank:
        companion = Sampling(bank)
        if busy:
            with other.locked():
                until_nothing_is_due(companion, clock)
        else:
            until_nothing_is_due(companion, clock)
        companion.close()
    assert len(notes) == 1
    assert words in notes[0]


def test_a_status_that_cannot_be_written_is_said_once(
    path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes: list[str] = []

    class Notes(Progress):
        def note(self, text: str) -> None:
            notes.append(text)

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with opened(path, progress=Notes()) as bank:
        companion = Sampling(bank)
        for refused in (True, True, False, True):
            monkeypatch.setattr(sampling, "put_status", refuse if refused else lambda *_: None)
            until_nothing_is_due(companion, clock)
            clock.now += HEALTH
        companion.close()
    assert notes == ["status.json could not be written: no space left on device"] * 2


def test_a_watch_keeps_samples_and_the_status(path: Path) -> None:
    watch = subprocess.Popen(
        [sys.executable, "-m", "memorybank_cli", "watch", "--json", "--bank", path],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    root = Root(path)
    try:
        for _ in range(600):
            if recent(root, ["score"]).get("score") and (path / ".memorybank/status.json").exists():
                break
            time.sleep(0.05)
        assert {100.0, None} >= set(recent(root, ["score"])["score"])
        assert status(path)["health_status"] == "healthy"
        assert status(path)["integrity_checks"]["trades"]["file_count"] == 3  # of the looks of this watch
        assert set(recent(root, ["files"])["files"]) == {7.0, None}
    finally:
        root.close()
        watch.terminate()
        out, errors = watch.communicate(timeout=60)
    assert (watch.returncode, errors) == (0, b"")
    lines = [json.loads(line) for line in out.splitlines()]
    assert {"ready", "stopped"} <= {line["type"] for line in lines}
    assert not [line for line in lines if line["type"] == "finding"]
