"""Exports and backtest results of freqtrade: each trade a file of its own, what was counted over them a metrics file.

Known shapes: `backtest-result-*.json` ({"strategy": {NAME: {"trades": [...], ...}}}, also in a zip archive, with
`*.meta.json` beside it), the answer of the REST interface ({"trades": [...], "trades_count": n}) and the list that
`show-trades --print-json` prints. Whether a trade succeeded is not derived: a profit is no success. Configurations
stay behind: they hold the keys of exchanges.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from heapq import nlargest
from posixpath import splitext
from typing import Any, NamedTuple

from memorybank_cli.base import clock
from memorybank_cli.base.exact_json import FlawedJSON, dumps
from memorybank_cli.base.names import escape_text
from memorybank_cli.migrations.archives import Unreadable, is_archive, unpacked
from memorybank_cli.migrations.items import Assumption, FileItem, Item, Rejected
from memorybank_cli.migrations.naming import Names, safe, safe_path
from memorybank_cli.migrations.pieces import Path, Piece, encoding, pieces
from memorybank_cli.migrations.source import Source

NAME = "freqtrade"
TITLE = "freqtrade exports and backtest results"

LARGEST_SUMMARY = 8 << 20
"""Bytes of a strategy's summary; a file of metrics may have 10 MiB."""
_SAMPLE = 200
_LAST_MS = 253_402_300_799_999
_NAMED = re.compile(r"(?:.*/)?backtest[-_]result[^/]*\.(?:json|zip)")
_TRADE = ('"pair"', '"open_date"', '"stake_amount"')
_RESULT = re.compile(
    r'\s*\{\s*(?:"metadata"\s*:.{0,2000}?)?"strategy"\s*:\s*\{\s*(?:\}|"[^"]*"\s*:\s*\{\s*"trades"\s*:)', re.DOTALL
)
_CONFIG = ('"max_open_trades"', '"stake_currency"', '"dry_run"')
_KEYS = "a configuration of freqtrade, which may hold keys of an exchange"
_META = re.compile(r'\s*\{\s*"[^"]*"\s*:\s*\{\s*"run_id"\s*:.{0,500}"backtest_start_time"', re.DOTALL)
_SAME = (("symbol", "pair"), ("entry_price", "open_rate"), ("exit_price", "close_rate"), ("profit", "profit_abs"))
_NAIVE = "dates of freqtrade without a zone were read as UTC, which is what it writes"


def score(source: Source) -> int:
    """How sure it is that freqtrade wrote some of the source: an export is among the largest files of its folder."""
    candidates = [path for path in source.paths if path.endswith((".json", ".zip"))]
    looked_at = [path for path in candidates if _NAMED.fullmatch(path)][:1] or nlargest(
        _SAMPLE, candidates, source.size
    )
    return 90 if any(takes(source, path) for path in looked_at) else 0


def takes(source: Source, path: str) -> bool:
    """Whether a file is one of freqtrade's, by its name or by how it begins."""
    if not path.endswith((".json", ".zip")):
        return False
    return _NAMED.fullmatch(path) is not None or _looks_like_it(source.head(path), path)


def _looks_like_it(head: bytes, path: str) -> bool:
    if path.endswith(".zip"):
        return is_archive(head) and head[30:].startswith(b"backtest-result")
    text = _beginning(head)
    known = all(word in text for word in _TRADE) or _is_config(text)
    return known or _RESULT.match(text) is not None or _META.match(text) is not None


def _beginning(head: bytes) -> str:
    name, mark = encoding(head)
    return head[mark:].decode(name, "ignore")


def _is_config(text: str) -> bool:
    return all(word in text for word in _CONFIG) and '"trades"' not in text


def read(source: Source, paths: Sequence[str]) -> Iterator[Item]:
    """The trades and summaries of all exports, one after the other."""
    names = Names()
    for path in paths:
        export = names.fresh(safe_path(splitext(path)[0]))
        if _is_config(_beginning(source.head(path))):
            source.skip(path, _KEYS)
        elif path.endswith(".meta.json"):
            yield FileItem(f"metrics/freqtrade/{export}.json", path)
        else:
            yield from _Export(path, export).items(_chunks(source, path))


def _chunks(source: Source, path: str) -> Iterator[bytes]:
    if not path.endswith(".zip"):
        yield from source.chunks(path)
        return
    name = path.rpartition("/")[2]
    yield from unpacked(source.read(path), name.removesuffix("zip") + "json")


def _enter(path: Path) -> bool:
    """What is read piece by piece: down to the single trades, and the members of a strategy's summary."""
    match path:
        case () | ("strategy",) | ("trades",) | ("strategy", _) | ("strategy", _, "trades"):
            return True
    return False


class _Export:
    """One file of freqtrade while it is read."""

    def __init__(self, origin: str, name: str) -> None:
        self._origin, self._name = origin, name
        self._names = Names()
        self._taken = self._naive = 0
        self._strategy = ""
        self._summary: dict[str, Any] = {}
        self._rest: dict[str, Any] = {}
        self._room = LARGEST_SUMMARY

    def items(self, chunks: Iterable[bytes]) -> Iterator[Item]:
        """All of its items; what is wrong with the file itself comes last."""
        wrong = ""
        try:
            for piece in pieces(chunks, _enter):
                yield from self._sorted(piece)
        except FlawedJSON as error:
            wrong = f"{error.flaw.rule} {error}"
        except OSError as error:
            wrong = error.strerror or str(error)
        except Unreadable as error:
            wrong = str(error)
        yield from self._summarised()
        if self._rest:
            yield self._metrics("summary", self._rest)
        if self._naive:
            yield Assumption(_NAIVE, self._naive)
        if wrong:
            yield Rejected(self._origin, f"{wrong}; {self._taken:,} trades that stand before it were taken")

    def _sorted(self, piece: Piece) -> Iterator[Item]:
        match piece.path:
            case ("strategy", str(strategy), *rest) if rest:
                if strategy != self._strategy:
                    yield from self._summarised()
                    self._strategy = strategy
                yield from self._trade(piece) if rest[0] == "trades" else self._count(piece, self._summary)
            case (int(),) | ("trades", _):
                yield from self._trade(piece)
            case (str(),):
                yield from self._count(piece, self._rest)
            case _:
                yield self._rejected(piece, "is not what freqtrade writes")

    def _count(self, piece: Piece, summary: dict[str, Any]) -> Iterator[Item]:
        """Keep one member of a summary."""
        self._room -= piece.size
        if piece.flaw or self._room < 0:
            yield self._rejected(piece, f"makes the summary larger than {LARGEST_SUMMARY >> 20} MiB")
        else:
            summary[str(piece.path[-1])] = piece.value

    def _summarised(self) -> Iterator[Item]:
        """The summary of the strategy that has been read."""
        if self._summary:
            yield self._metrics(self._strategy, self._summary)
        self._summary, self._room = {}, LARGEST_SUMMARY

    def _metrics(self, name: str, summary: dict[str, Any]) -> FileItem:
        path = self._names.fresh(f"metrics/freqtrade/{self._name}/{safe(name)}", ".json")
        return FileItem(path, self._origin, dumps(summary, indent=True) + b"\n")

    def _trade(self, piece: Piece) -> Iterator[Item]:
        trade = piece.value
        if not isinstance(trade, dict) or not isinstance(trade.get("pair"), str) or not trade["pair"]:
            yield self._rejected(piece, "is not a trade: it names no pair")
            return
        opened, closed = _moment(trade, "open"), _moment(trade, "close")
        if not opened.text:
            yield self._rejected(piece, "does not say when it was opened")
            return
        self._taken += 1
        self._naive += opened.naive + closed.naive
        known = {"opened_at": opened.text, "closed_at": closed.text or None, **_known(trade)}
        if self._strategy:
            known["strategy"] = self._strategy
        folder = "/".join(filter(None, (self._name, self._strategy and safe(self._strategy))))
        path = self._names.fresh(f"trades/freqtrade/{folder}/{_stem(trade, opened.text)}", ".json")
        yield FileItem(path, self._origin, dumps({**known, **trade}, indent=True) + b"\n")

    def _rejected(self, piece: Piece, reason: str) -> Rejected:
        reason = f"{piece.flaw.rule} {piece.flaw.message}" if piece.flaw else reason
        where = "".join(f"/{escape_text(str(part)[:60])}" for part in piece.path) or "the document"
        return Rejected(self._origin, f"{where}: {reason}", piece.data if piece.flaw else dumps(piece.value))


class _Moment(NamedTuple):
    """A time as the bank writes it ('' for none), and whether its zone was assumed."""

    text: str = ""
    naive: bool = False


def _moment(trade: dict[str, Any], which: str) -> _Moment:
    stamp, text = trade.get(f"{which}_timestamp"), trade.get(f"{which}_date")
    if isinstance(stamp, int | float) and not isinstance(stamp, bool) and 0 < stamp <= _LAST_MS:
        return _Moment(clock.from_ns(int(stamp) * 1_000_000))
    if not isinstance(text, str):
        return _Moment()
    try:
        moment = datetime.fromisoformat(text)
        return _Moment(clock.show(clock.parse(text)), moment.tzinfo is None)
    except (ValueError, OverflowError):
        return _Moment()


def _known(trade: dict[str, Any]) -> dict[str, Any]:
    """What the schema of trades calls otherwise than freqtrade."""
    known = {ours: trade[theirs] for ours, theirs in _SAME if theirs in trade}
    if isinstance(trade.get("is_short"), bool):
        known["side"] = "short" if trade["is_short"] else "long"
    if isinstance(trade.get("is_open"), bool):
        known["status"] = "open" if trade["is_open"] else "closed"
    return known


def _stem(trade: dict[str, Any], opened: str) -> str:
    """What a trade's file is called: the number that freqtrade gave it; backtests give none."""
    number = trade.get("trade_id")
    if isinstance(number, int) and abs(number) < 10**18:
        return str(number)
    return safe(f"{opened[:19].replace(':', '').replace('-', '')}Z-{trade['pair']}")
