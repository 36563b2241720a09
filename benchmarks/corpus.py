"""A deterministic tree of trades as trading agents write them: the same count and seed give the same bytes.

    python -m benchmarks.corpus DIRECTORY 10000

About 1.1 KB a file (0.4 to 6 KB), one-space indentation, 1,000 files a day in trades/YYYY/MM/DD/.
"""

from __future__ import annotations

import json
import os
import random
import sys
from collections.abc import Iterator
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


def write(directory: str, count: int, mtime: float | None = None) -> str:
    """Write `count` trades below `directory`, with this mtime; the SHA-256 over all bytes in order."""
    digest, made = sha256(), ""
    for path, data in documents(count):
        digest.update(data)
        folder, _, name = path.rpartition("/")
        if folder != made:
            os.makedirs(f"{directory}/{folder}", mode=0o700, exist_ok=True)
            made = folder
        fd = os.open(f"{directory}/{folder}/{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.write(fd, data)
        if mtime is not None:
            os.utime(fd, (mtime, mtime))
        os.close(fd)
    return digest.hexdigest()


if __name__ == "__main__":
    print(write(sys.argv[1], int(sys.argv[2])))
