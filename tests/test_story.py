"""The main job from one end to the other, as processes, on a damaged memory: in place, and imported."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared/data/listonian"
PADDED = ("metrics/metrics.json", "state/metrics.json", "trades/recent_trades.json")
TRADE = "trades/trade_1743394526.json"


def _made(place: Path) -> Path:
    """A memory in the shape of the public one: 450 trades, a list, metrics, state; three files padded with NULs."""
    rows: dict[str, Any] = {f"trades/trade_{1743394526 + number}.json": _trade(number) for number in range(450)}
    rows |= {"metrics/performance.json": {"total_trades": 155}, "state/state.json": {"bot_status": "running"}}
    padded = ({"gas_price": 35.5}, {"total_trades": 0}, {"trades": [_trade(number) for number in range(27)]})
    for name, value in rows.items():
        _write(place / name, json.dumps(value, indent=2).encode())
    for name, value in zip(PADDED, padded, strict=True):
        _write(place / name, json.dumps(value, indent=2).encode() + bytes(300_000))
    return place


def _trade(number: int) -> dict[str, Any]:
    return {
        "timestamp": f"2025-03-31T00:15:{number % 60:02}.1",
        "success": True,
        "net_profit": 0.07254469551556648 + number,
    }


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


@pytest.fixture(params=["made", "public"])
def memory(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A directory as a bot left it."""
    target = tmp_path / "memory"
    if request.param == "made":
        return _made(target)
    if not SHARED.exists():
        pytest.skip("the public bank is not there")
    shutil.copytree(SHARED, target)
    for path in (target, *target.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return target


class Bank:
    """A bank driven by the command line."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def run(self, *words: str, code: int = 0) -> dict[str, Any]:
        """What a command with `--json` prints; it must end with `code`."""
        command = [sys.executable, "-m", "memorybank_cli", *words, "--json"]
        done = subprocess.run(command, cwd=self.path, capture_output=True, check=False)
        assert done.returncode == code, (words, done.returncode, done.stderr.decode())
        assert b"Traceback" not in done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def damage(self, code: int = 1) -> dict[str, str]:
        """Rule by path of what `validate` says about bytes."""
        return {one["path"]: one["rule"] for one in self.run("validate", "--only", "MB1", code=code)["findings"]}


class Watch:
    """A running `watch --json`."""

    def __init__(self, path: Path) -> None:
        command = [sys.executable, "-m", "memorybank_cli", "watch", "--json"]
        self.process = subprocess.Popen(command, cwd=path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0)
        self.until("ready")

    def until(self, kind: str, path: str = "") -> dict[str, Any]:
        """The next line of a type (and about a path)."""
        assert self.process.stdout is not None
        while select.select([self.process.stdout], [], [], 30)[0]:
            line: dict[str, Any] = json.loads(self.process.stdout.readline())
            if line["type"] == kind and path in ("", line.get("path")):
                return line
        raise AssertionError(f"watch did not tell of {kind} {path}")

    def stop(self) -> int:
        """The exit code after SIGTERM."""
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=30)
        return self.process.returncode


@pytest.mark.parametrize("way", ["in place", "imported"])
def test_the_main_job(memory: Path, way: str, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in memory.rglob("*") if path.is_file()}
    modes = {path: (path.stat().st_mode, path.stat().st_mtime_ns) for path in before}
    bank = _bank(memory, way, tmp_path)
    assert {path: path.read_bytes() for path in before} == before
    assert {path: (path.stat().st_mode, path.stat().st_mtime_ns) for path in before} == modes
    assert len(list((bank.path / "trades").glob("trade_*.json"))) == 450

    assert bank.damage() == dict.fromkeys(PADDED, "MB102")
    rehearsed = bank.run("repair", "--dry-run")
    assert bank.damage() == dict.fromkeys(PADDED, "MB102")
    repaired = bank.run("repair")
    assert [(one["path"], one["method"]) for one in repaired["repaired"]] == [
        (one, "leading-document") for one in PADDED
    ]
    assert [one["path"] for one in rehearsed["repaired"]] == list(PADDED)
    for one in repaired["repaired"]:
        original = (memory / one["path"]).read_bytes() if way == "imported" else before[memory / one["path"]]
        assert (bank.path / one["path"]).read_bytes() == original.rstrip(b"\0")
        assert (bank.path / one["kept"]).read_bytes() == original
    assert bank.damage(code=0) == {}

    snapshot = bank.run("backup")["snapshot"]
    assert (snapshot["status"], snapshot["damaged"]) == ("good", [])
    assert bank.run("snapshot", "verify", "--read-data")["ok"]
    _changes_are_found_and_undone(bank)
    assert bank.run("log", "--verify")["ok"]


def _bank(memory: Path, way: str, tmp_path: Path) -> Bank:
    command = [sys.executable, "-m", "memorybank_cli", "init"]
    target = memory if way == "in place" else tmp_path / "bank"
    words = [str(target)] if way == "in place" else [str(target), "--from", str(memory)]
    done = subprocess.run([*command, *words, "--json"], capture_output=True, check=True)
    assert json.loads(done.stdout)["path"] == str(target)
    return Bank(target)


def _changes_are_found_and_undone(bank: Bank) -> None:
    trade = bank.path / TRADE
    good = trade.read_bytes()
    digit = good.index(b"0.07") + 3
    watch = Watch(bank.path)
    for position, byte, rule in ((digit, b"8", "MB113"), (0, b"x", "MB101")):
        trade.write_bytes(good[:position] + byte + good[position + 1 :])
        assert watch.until("finding", TRADE)["finding"]["rule"] == rule
        assert bank.damage() == {TRADE: rule}
        done = bank.run("rollback", "--path", TRADE, "--yes")
        assert done["restored"] == [TRADE]
        assert trade.read_bytes() == good
        assert watch.until("resolved", TRADE)["rule"] == rule
        assert bank.damage(code=0) == {}
    assert watch.stop() == 0


def test_a_repository_file_is_private(memory: Path) -> None:
    bank = _bank(memory, "in place", memory)
    where = Path(bank.run("backup", code=1)["repository"])
    for path in (where, *where.rglob("*"), bank.path / ".memorybank", *(bank.path / ".memorybank").rglob("*")):
        assert path.stat().st_mode & 0o077 == 0, path
    assert os.environ["MEMORYBANK_STATE_HOME"] in str(where)
