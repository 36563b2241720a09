"""Directories and files for the examples of the documentation, as agents would have left them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.conftest import trade, write_json

FIRST = 1743394526  # 2025-03-31T04:15:26Z
MINUTE = 60


def bot(place: Path) -> None:
    """A trading bot's memory; three files were written by somebody who maps memory and does not truncate."""
    where = memory(place, 12, zone=True)
    padded(where / "trades" / "recent_trades.json", {"trades": []}, 1_238, 2_048)
    padded(where / "metrics" / "metrics.json", {"gas_price": 35.5, "wallet_balance": 1.25}, 63, 4_096)
    padded(where / "state" / "metrics.json", {"uptime": 86_400}, 21, 4_096)


def listonian(place: Path) -> None:
    """The like of a public bot's memory, 463 files; the three damaged ones end where those of the original do."""
    where = memory(place, 459, zone=False)
    (where / "LICENSE").write_text("All rights reserved.\n")
    padded(where / "metrics" / "metrics.json", {"gas_price": 35.5}, 2_021, 1_046_457)
    padded(where / "state" / "metrics.json", {"uptime": 86_400}, 83, 1_048_493)
    padded(where / "trades" / "recent_trades.json", {"trades": []}, 9_318, 2_087_480)


def memory(place: Path, trades: int, *, zone: bool) -> Path:
    """A bot's directory with trades, named by their second, and a state; local times where they have no zone."""
    where = place / "bot-memory"
    for number in range(trades):
        second = FIRST + number * MINUTE
        moment = datetime.fromtimestamp(second, UTC) - (timedelta() if zone else timedelta(hours=4))
        timestamp = moment.strftime("%Y-%m-%dT%H:%M:%S.100831") + ("Z" if zone else "")
        write_json(where / "trades" / f"trade_{second}.json", {**trade(number), "timestamp": timestamp})
    write_json(where / "state" / "state.json", {"bot_status": "running", "last_update": "2025-04-08T01:00:34Z"})
    return where


def sound(place: Path) -> None:
    """The same memory with no damage in it."""
    bot(place)
    for path in (place / "bot-memory").rglob("*.json"):
        path.write_bytes(path.read_bytes().rstrip(b"\0"))


def messages(place: Path) -> None:
    """A conversation as JSON lines."""
    lines = [
        {"role": "user" if number % 2 else "assistant", "content": f"message {number}", "id": f"m{number}"}
        for number in range(1, 301)
    ]
    (place / "messages.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def old(place: Path) -> None:
    """What an earlier agent left: trades, a conversation with epoch times, notes, and a file that is no JSON."""
    where = place / "old"
    for number in range(3):
        second = FIRST + number * MINUTE
        write_json(
            where / "trades" / f"trade_{second}.json",
            {**trade(number), "timestamp": f"2025-03-31T04:1{number + 5}:26Z"},
        )
    said = [{"role": "user", "content": f"message {number}", "timestamp": FIRST + number + 0.5} for number in range(4)]
    write_json(where / "memory" / "account_alpha" / "whole_history.json", said)
    write_json(where / "memory" / "account_alpha" / "short_term.json", said[-2:])
    (where / "notes.md").write_text("# Notes\n\nGas is high on Mondays.\n")
    (where / "trades" / "half.json").write_text('{"net_profit": ')


def padded(path: Path, value: dict[str, Any], size: int, nuls: int) -> None:
    """A document of `size` bytes or its own length, followed by NULs."""
    data = json.dumps(value, indent=2).encode()
    if len(data) < size:
        note = json.dumps({**value, "note": ""}, indent=2).encode()
        data = json.dumps({**value, "note": "." * max(0, size - len(note))}, indent=2).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data + bytes(nuls))


SAMPLES: dict[str, Callable[[Path], None]] = {
    "bot": bot,
    "listonian-like": listonian,
    "sound-bot": sound,
    "messages": messages,
    "old": old,
}
"""By the name in the pages."""
