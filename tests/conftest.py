"""What every test has: a home of its own, small banks of a trading agent, and the command as a process."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest
from hypothesis import is_hypothesis_test, settings

from memorybank_cli.base.context import Context
from memorybank_cli.operations.init import init
from tests.decoys import assert_untouched
from tests.faults.lab import warm
from tests.processes import Server

# A busy machine is no reason to fail.
# New examples are searched for at the desk; a run that decides about a change is the same each time.
settings.register_profile("patient", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("patient")


@dataclass(frozen=True)
class Ran:
    """A command that has ended."""

    returncode: int
    raw: bytes
    raw_errors: bytes

    @property
    def stdout(self) -> str:
        return self.raw.decode(errors="backslashreplace")

    @property
    def stderr(self) -> str:
        return self.raw_errors.decode(errors="backslashreplace")

    @property
    def json(self) -> Any:
        """The one object on stdout."""
        return json.loads(self.raw)

    @property
    def lines(self) -> list[Any]:
        """The JSON lines on stdout."""
        return [json.loads(line) for line in self.raw.splitlines()]

    @property
    def error(self) -> dict[str, str]:
        """The error object on stderr."""
        found: dict[str, str] = json.loads(self.raw_errors.splitlines()[-1])["error"]
        return found


class Run(Protocol):
    def __call__(
        self,
        *arguments: str | os.PathLike[str],
        cwd: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        prefix: Sequence[str] = (),
        user: int | None = None,
    ) -> Ran: ...


class MakeBank(Protocol):
    def __call__(self, trades: int = 3, *, padded: bool = True, adopt: bool = True, name: str = "bank") -> Path: ...


@pytest.fixture(autouse=True)
def home(stays_put: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:  # noqa: ARG001 - before monkeypatch
    """The state home of this test; nothing of the machine's own settings counts."""
    for name in [name for name in os.environ if name.startswith("MEMORYBANK_")]:
        monkeypatch.delenv(name)
    path = tmp_path / "state-home"
    monkeypatch.setenv("MEMORYBANK_STATE_HOME", str(path))
    # The tests of contexts switch them on: when one is refreshed depends on how often a bank is closed.
    monkeypatch.setenv("MEMORYBANK_CONTEXT_MESSAGES", "0")
    monkeypatch.setenv("MEMORYBANK_CONTEXT_HOURS", "0")
    monkeypatch.setattr("tempfile.tempdir", None)
    os.umask(0o077)
    return path


@pytest.fixture
def stays_put() -> Iterator[None]:
    """A test that leaves the process in a directory of its own takes it away from those that follow."""
    before = Path.cwd()
    yield
    assert Path.cwd() == before


@pytest.fixture(autouse=True)
def touches_nothing_outside(tmp_path: Path) -> Iterator[None]:
    """What links of this test lead to is as it was."""
    yield
    assert_untouched(tmp_path)


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """What forks processes of memorybank."""
    one = Server()
    yield one
    one.close()


@pytest.fixture
def run(server: Server) -> Run:
    """Run `python -m memorybank_cli ARGUMENTS`, with nobody to ask."""

    def call(
        *arguments: str | os.PathLike[str],
        cwd: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        prefix: Sequence[str] = (),
        user: int | None = None,
    ) -> Ran:
        environment = {**os.environ, **(env or {})}
        if not prefix and user is None and server.serves(environment):
            words = [os.fsdecode(word) for word in arguments]
            return Ran(*server.run(words, environment, os.fspath(cwd or "."), stdin, 120))
        done = subprocess.run(
            [*prefix, sys.executable, "-m", "memorybank_cli", *arguments],
            cwd=cwd,
            env=environment,
            input=stdin,
            capture_output=True,
            check=False,
            timeout=120,
            user=user,
            group=user,
            extra_groups=None if user is None else [],
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    return call


def trade(number: int) -> dict[str, Any]:
    """A trade as a bot writes it."""
    return {
        "timestamp": f"2025-03-31T{number // 60 % 24:02d}:{number % 60:02d}:26.100831Z",
        "opportunity": {
            "token_pair": "WETH-DAI",
            "dex_1": "aerodrome",
            "dex_2": "baseswap",
            "potential_profit": 0.0771,
        },
        "success": True,
        "net_profit": 0.0725,
        "gas_cost": 0.0046,
        "tx_hash": f"0x{number:064x}",
        "error": None,
    }


def write_json(path: Path, value: Any) -> bytes:
    """A document as agents write it, and its bytes."""
    data = json.dumps(value, indent=2).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return data


@pytest.fixture
def make_bank(tmp_path: Path) -> MakeBank:
    """Make what a trading agent leaves behind: trades, a list of trades followed by NULs, metrics, state.

    `adopt=False` leaves the directory without a bank around it.
    """

    def make(trades: int = 3, *, padded: bool = True, adopt: bool = True, name: str = "bank") -> Path:
        path = tmp_path / name
        path.mkdir(mode=0o700)
        for number in range(trades):
            write_json(path / f"trades/trade_{number}.json", trade(number))
        recent = write_json(path / "trades/recent_trades.json", {"trades": [trade(number) for number in range(3)]})
        if padded:
            (path / "trades/recent_trades.json").write_bytes(recent + bytes(5_000))
        write_json(path / "metrics/metrics.json", {"gas_price": 35.5, "wallet_balance": 1.25})
        write_json(path / "state/state.json", {"bot_status": "running", "last_update": "2025-04-08T01:00:34Z"})
        if adopt:
            init(Context(bank=str(path)))
        return path

    return make


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow tests come first, so that no process waits for another in the end.

    No coverage where a test runs the same lines over and over: it would take twice as long.
    """
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
    for item in items:
        if item.get_closest_marker("slow") or is_hypothesis_test(getattr(item, "obj", None)):
            item.add_marker("no_cover")


def pytest_collection_finish() -> None:
    """What stands once the tests are collected stays to the end: the collector need not look at it time and again."""
    if sys.gettrace():  # what is imported first where coverage does not look would count as never run
        warm()
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000)
