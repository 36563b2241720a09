"""Exports and backtest results of freqtrade: each trade a file of its own, what was counted over them a metrics file.

Known shapes: `backtest-result-*.json` ({"strategy": {NAME: {"trades": [...], ...}}}, also in a zip archive, with
`*.meta.json` beside it), the answer of the REST interface ({"trades": [...], "trades_count": n}) and the list that
`show-trades --print-json` prints. Whether a trade succeeded is not derived: a profit is no success. Configurations
stay behind, as they hold the keys of exchanges, and so do candles, which no memory needs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from heapq import nlargest
from posixpath import splitext
from typing import Any

from memorybank_cli.base.exact_json import FlawedJSON, dumps
from memorybank_cli.base.names import escape_text
from memorybank_cli.migrations.archives import Unreadable, is_archive, unpacked
from memorybank_cli.migrations.freqtrade_records import converted, zoned
from memorybank_cli.migrations.items import Assumption, FileItem, Item, Rejected
from memorybank_cli.migrations.naming import Names, safe, safe_path
from memorybank_cli.migrations.pieces import Path, Piece, encoding, pieces
from memorybank_cli.migrations.source import Source

NAME = "freqtrade"
TITLE = "freqtrade exports and backtest results"

LARGEST_SUMMARY = 8 << 20
"""Bytes of a strategy's summary; a file of metrics may have 10 MiB."""
_SAMPLE = 200
_NAMED = re.compile(r"(?:.*/)?backtest[-_]result[^/]*\.(?:json|zip)")
_TRADE = ('"pair"', '"open_date"', '"stake_amount"')
_RESULT = re.compile(
    r'\s*\{\s*(?:"metadata"\s*:.{0,2000}?)?"strategy"\s*:\s*\{\s*(?:\}|"[^"]*"\s*:\s*\{\s*"trades"\s*:)', re.DOTALL
)
_CONFIG = ('"max_open_trades"', '"stake_currency"', '"dry_run"')
_SECTION = re.compile(
    r'"exchange"\s*:\s*\{.{0,4000}?"(?:key|secret|apiKey|password|privateKey)"\s*:\s*"'
    r'|"telegram"\s*:\s*\{.{0,4000}?"token"\s*:\s*"'
    r'|"api_server"\s*:\s*\{.{0,4000}?"(?:password|jwt_secret_key|ws_token)"\s*:',
    re.DOTALL,
)
"""A part of a configuration that holds keys, which its users keep in a file of its own."""
_CONFIG_NAME = re.compile(r"(?i)(?:.*/)?config[^/]*\.json")
_LARGEST_CONFIG, _CONFIG_BEGINNING = 1 << 20, 64 << 10
_KEYS = "a configuration of freqtrade, which may hold keys of an exchange"
_CANDLES = re.compile(r"(?:.*/)?[A-Z0-9_]+-[0-9]+[mhdwM](?:-[a-z_]+)?\.json")
_MARKET = "candles of freqtrade, which can be downloaded again"
_META = re.compile(r'\s*\{\s*"[^"]*"\s*:\s*\{\s*"run_id"\s*:.{0,500}"backtest_start_time"', re.DOTALL)
_ZONED = "dates of freqtrade without a zone are UTC, as it writes them"


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
    return _NAMED.fullmatch(path) is not None or _looks_like_it(source.head(path), path) or _holds_keys(source, path)


def _stays(source: Source, path: str) -> str:
    """Why a file of freqtrade stays behind, '' for one that comes in."""
    text = _beginning(source.head(path))
    if _is_config(text) or _holds_keys(source, path):
        return _KEYS
    return _MARKET if _are_candles(path, text) else ""


def _holds_keys(source: Source, path: str) -> bool:
    """Whether a file with a configuration's name is one, also where a long list of pairs stands before its keys."""
    if not _CONFIG_NAME.fullmatch(path):
        return False
    try:
        return _is_config(_beginning(source.read(path, _LARGEST_CONFIG)[:_CONFIG_BEGINNING]))
    except OSError:
        return False  # whoever reads it will say so


def _are_candles(path: str, text: str) -> bool:
    return text.startswith("[[1") and _CANDLES.fullmatch(path) is not None


def _looks_like_it(head: bytes, path: str) -> bool:
    if path.endswith(".zip"):
        return is_archive(head) and head[30:].startswith(b"backtest-result")
    text = _beginning(head)
    known = all(word in text for word in _TRADE) or _is_config(text) or _are_candles(path, text)
    return known or _RESULT.match(text) is not None or _META.match(text) is not None


def _beginning(head: bytes) -> str:
    name, mark = encoding(head)
    return head[mark:].decode(name, "ignore")


def _is_config(text: str) -> bool:
    whole = all(word in text for word in _CONFIG) and '"trades"' not in text
    return whole or _SECTION.search(text) is not None


def read(source: Source, paths: Sequence[str]) -> Iterator[Item]:
    """The trades and summaries of all exports, one after the other."""
    names = Names()
    for path in paths:
        export = names.fresh(safe_path(splitext(path)[0]))
        if reason := _stays(source, path):
            source.skip(path, reason)
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
        self._taken = self._zoned = 0
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
        if self._zoned:
            yield Assumption(_ZONED, self._zoned)
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
        document, count = zoned(summary)
        self._zoned += count
        return FileItem(path, self._origin, dumps(document, indent=True) + b"\n")

    def _trade(self, piece: Piece) -> Iterator[Item]:
        folder = "/".join(filter(None, (self._name, self._strategy and safe(self._strategy))))
        try:
            trade = converted(piece.value, folder, self._strategy)
        except ValueError as error:
            yield self._rejected(piece, str(error))
            return
        self._taken += 1
        self._zoned += trade.zoned
        path = self._names.fresh(f"trades/freqtrade/{folder}/{trade.stem}", ".json")
        yield FileItem(path, self._origin, dumps(trade.document, indent=True) + b"\n")

    def _rejected(self, piece: Piece, reason: str) -> Rejected:
        reason = f"{piece.flaw.rule} {piece.flaw.message}" if piece.flaw else reason
        where = "".join(f"/{escape_text(str(part)[:60])}" for part in piece.path) or "the document"
        return Rejected(self._origin, f"{where}: {reason}", piece.data if piece.flaw else dumps(piece.value))
