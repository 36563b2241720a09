"""A deterministic tree of trades as trading agents write them: the same count and seed give the same bytes.

    python -m benchmarks.corpus DIRECTORY 10000

About 1.1 KB a file (0.4 to 6 KB), one-space indentation, 1,000 files a day in trades/YYYY/MM/DD/.
"""

from __future__ import annotations

import json
import os
import random
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import accumulate
from typing import Any

LAST_DAY = datetime(2026, 11, 20, tzinfo=UTC)
FILES_A_DAY = 1_000
AGENTS = ("execution", "hedging", "momentum", "rebalancing", "sentiment")
SYMBOLS = ("BTC-USD", "ETH-USD", "SOL-USD", "WETH-DAI", "EUR-USD", "NVDA", "AAPL", "TSLA")
ORDERS = ("market", "limit", "stop", "stop_limit")
STATUS = ("open", "partially_filled", "filled", "cancelled", "rejected")
VENUES = ("aerodrome", "binance", "coinbase", "kraken", "nasdaq")
TAGS = ("breakout", "carry", "gap", "hedge", "news", "reversal", "scalp", "swing")

_TIME = {"type": "string", "format": "date-time"}
_POSITIVE = {"type": "number", "exclusiveMinimum": 0}
_FILL = {
    "fill_id": {"type": "integer", "minimum": 0},
    "qty": _POSITIVE,
    "px": _POSITIVE,
    "fee": {"type": "number", "minimum": 0},
    "at": _TIME,
    "venue": {"enum": list(VENUES)},
}
_RISK = {
    "stop_loss": {"type": "number"},
    "take_profit": {"type": "number"},
    "max_loss_pct": {"type": "number", "minimum": 0, "maximum": 100},
    "tags": {"type": "array", "uniqueItems": True, "items": {"type": "string"}},
}
_TRADE = {
    "schema_version": {"const": 1},
    "trade_id": {"type": "string", "pattern": "^trd_[0-9a-f]{12}$"},
    "account_id": {"type": "string", "pattern": "^[a-z0-9_-]{1,64}$"},
    "agent_id": {"enum": list(AGENTS)},
    "symbol": {"type": "string", "minLength": 1, "maxLength": 20},
    "side": {"enum": ["buy", "sell"]},
    "order_type": {"enum": list(ORDERS)},
    "status": {"enum": list(STATUS)},
    "quantity": _POSITIVE,
    "price": _POSITIVE,
    "opened_at": _TIME,
    "closed_at": {"anyOf": [_TIME, {"type": "null"}]},
    "fills": {"type": "array", "maxItems": 500, "items": {"$ref": "#/$defs/fill"}},
    "risk": {
        "type": "object",
        "additionalProperties": False,
        "required": ["stop_loss", "take_profit", "max_loss_pct"],
        "properties": _RISK,
    },
    "notes": {"type": "string", "maxLength": 10_000},
}
SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$id": "urn:example:benchmark:trade",
    "type": "object",
    "additionalProperties": False,
    "required": [name for name in _TRADE if name not in ("closed_at", "notes")],
    "properties": _TRADE,
    "$defs": {
        "fill": {
            "type": "object",
            "additionalProperties": False,
            "required": [name for name in _FILL if name != "venue"],
            "properties": _FILL,
        }
    },
}


class Trades:
    """The trades of one seed, one after the other."""

    def __init__(self, seed: str = "memorybank") -> None:
        self.rng = random.Random(seed)
        letters = "bcdfghklmnprstvz"
        self.words = ["".join(self.rng.choices(letters + "aeiou", k=self.rng.randint(2, 9))) for _ in range(5_000)]
        self.weights = list(accumulate(1 / (rank + 3) for rank in range(len(self.words))))  # as in a language

    def trade(self, number: int) -> dict[str, Any]:
        """Trade `number`, a document that fits SCHEMA."""
        rng = self.rng
        opened = day_of(number) + timedelta(milliseconds=rng.randrange(43_200_000))
        price = round(rng.uniform(1, 70_000), 2)
        closed = None if rng.random() < 0.3 else _iso(opened + timedelta(seconds=rng.randint(1, 90_000)))
        return {
            "schema_version": 1,
            "trade_id": f"trd_{rng.getrandbits(48):012x}",
            "account_id": f"acct_{number % 20:02d}",
            "agent_id": rng.choice(AGENTS),
            "symbol": rng.choice(SYMBOLS),
            "side": rng.choice(("buy", "sell")),
            "order_type": rng.choice(ORDERS),
            "status": rng.choice(STATUS),
            "quantity": round(rng.uniform(0.001, 500), 4),
            "price": price,
            "opened_at": _iso(opened),
            "closed_at": closed,
            "fills": [self._fill(one, price, opened) for one in range(min(30, int(rng.expovariate(0.25))))],
            "risk": {
                "stop_loss": round(price * 0.97, 2),
                "take_profit": round(price * 1.06, 2),
                "max_loss_pct": round(rng.uniform(0.1, 5), 2),
                "tags": rng.sample(TAGS, rng.randint(0, 3)),
            },
            "notes": self.text(min(300, 3 + int(rng.expovariate(0.04)))),
        }

    def _fill(self, number: int, price: float, opened: datetime) -> dict[str, Any]:
        rng = self.rng
        return {
            "fill_id": number,
            "qty": round(rng.uniform(0.001, 50), 4),
            "px": round(price * rng.uniform(0.99, 1.01), 2),
            "fee": round(rng.uniform(0, 5), 4),
            "at": _iso(opened + timedelta(seconds=3 * number)),
            "venue": rng.choice(VENUES),
        }

    def text(self, count: int) -> str:
        """So many words."""
        return " ".join(self.rng.choices(self.words, cum_weights=self.weights, k=count))


def day_of(number: int) -> datetime:
    """The day in whose directory trade `number` stands."""
    return LAST_DAY - timedelta(days=number // FILES_A_DAY)


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def documents(count: int, seed: str = "memorybank") -> Iterator[tuple[str, bytes]]:
    """Relative path and bytes of each of `count` trades."""
    trades = Trades(seed)
    for number in range(count):
        one = trades.trade(number)
        path = f"trades/{day_of(number):%Y/%m/%d}/{one['trade_id']}.json"
        yield path, json.dumps(one, indent=1).encode() + b"\n"


ACCOUNTS = 20
MESSAGES = 20_000
METRICS = 5_000


def mixed(share: float = 1.0) -> Iterator[tuple[str, bytes]]:
    """Relative path and bytes of each file of a bank of 25,082: accounts with tiers, trades, samples; or a share."""
    trades = Trades("mixed")
    for number in range(ACCOUNTS):
        folder = f"account_{number:02d}"
        messages = [_message(trades, one, folder) for one in range(int(MESSAGES * share))]
        for name, last in (("whole_history", len(messages)), ("mid_term", 200), ("short_term", 50)):
            yield f"{folder}/{name}.json", b"[\n" + b",\n".join(messages[-last:]) + b"\n]\n"
        yield f"{folder}/history_context.json", json.dumps({"summary": trades.text(400)}).encode()
    yield from documents(int(ACCOUNTS * 1_000 * share), "mixed trades")
    for number in range(int(METRICS * share)):
        taken = LAST_DAY - timedelta(minutes=5 * number)
        values = {f"{trades.rng.choice(TAGS)}_{one}": round(trades.rng.random() * 1_000, 4) for one in range(25)}
        name = f"{taken:%Y%m%dT%H%M%SZ}_{number:05d}"
        yield f"metrics/historical/{name}.json", json.dumps({"taken_at": _iso(taken), "metrics": values}).encode()
    yield "metrics/metrics.json", json.dumps({word: trades.rng.random() for word in trades.words[:50]}).encode()
    yield "state/state.json", json.dumps({word: trades.rng.random() for word in trades.words[:50]}).encode()


def _message(trades: Trades, number: int, account: str) -> bytes:
    words = trades.text(4 + min(200, int(trades.rng.expovariate(0.06))))
    moment = _iso(LAST_DAY + timedelta(seconds=31 * number))
    value = {"id": f"msg_{number:08d}", "ts": moment, "role": trades.rng.choice(("user", "assistant", "tool"))}
    return json.dumps({**value, "account_id": account, "content": words}, separators=(",", ":")).encode()


def write(directory: str, files: Iterable[tuple[str, bytes]], mtime: float | None = None) -> str:
    """Write files below `directory`, with this mtime; the SHA-256 over all bytes in order."""
    digest, made = sha256(), ""
    for path, data in files:
        digest.update(data)
        folder, _, name = path.rpartition("/")
        if folder != made:
            os.makedirs(f"{directory}/{folder}", mode=0o700, exist_ok=True)
            made = folder
        fd = os.open(f"{directory}/{folder}/{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
            if mtime is not None:
                os.utime(fd, (mtime, mtime))
        finally:
            os.close(fd)
    return digest.hexdigest()


if __name__ == "__main__":
    print(write(sys.argv[1], documents(int(sys.argv[2]))))
