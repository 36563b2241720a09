"""Importer of the dialogues of MemoryBank (SiliconFriend): conversations of many people by day, in one JSON document.

`{NAME: {"name", "summary", "personality", "overall_history", "history": {DATE: [{"query", "response"}]}}}`. A query
is what the user says, a response what the assistant answers. What is said of a person beside the conversations is
state of an agent, not something that was said: it becomes a document in `state/`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from itertools import chain, islice
from typing import Any

from memorybank_cli.base import clock
from memorybank_cli.base.exact_json import FlawedJSON, dumps
from memorybank_cli.base.names import escape_text
from memorybank_cli.migrations.account_names import AccountNames
from memorybank_cli.migrations.conversations import LARGEST_MESSAGE, MOST_BESIDE, Ids
from memorybank_cli.migrations.items import AccountItem, Assumption, FileItem, Item, MessageItem, Rejected
from memorybank_cli.migrations.naming import Names
from memorybank_cli.migrations.pieces import Path, Piece, encoding, pieces
from memorybank_cli.migrations.source import Source

NAME = "dialogues"
TITLE = "dialogues of MemoryBank: history by date with query and response"

_SAMPLE = 200
_NAMED = re.compile(r"(?i)dialog|memory_bank")
_LAST_YEAR = 9000
_SIGN = re.compile(
    r'\s*\{\s*"[^"]*"\s*:\s*\{.*("overall_history"|"personality"|"query"\s*:.*"response"\s*:)', re.DOTALL
)
_SPEAKERS = (("query", "user"), ("response", "assistant"))
_TIMED = "dialogues have dates only: their messages follow one another by the second from 00:00 UTC"
_UNTIMED = "dialogues whose date is none: their messages have no time"


def score(source: Source) -> int:
    """How sure it is that there are dialogues, by the beginnings of files."""
    candidates = [path for path in source.paths if path.endswith(".json")]
    named = (path for path in candidates if _NAMED.search(path))
    looked_at = chain(islice(named, _SAMPLE), candidates[:: 1 + len(candidates) // _SAMPLE])
    return 90 if any(takes(source, path) for path in looked_at) else 0


def takes(source: Source, path: str) -> bool:
    """Whether a file begins as such a document does."""
    if not path.endswith(".json"):
        return False
    head = source.head(path)
    name, mark = encoding(head)
    text = head[mark:].decode(name, "ignore")
    return '"history"' in text and _SIGN.match(text) is not None


def read(source: Source, paths: Sequence[str]) -> Iterator[Item]:
    """The conversations of everybody, person by person and day by day."""
    names, places, ids = AccountNames(), Names(), Ids()
    for path in paths:
        yield from _Document(path, names, places, ids).items(source)
    yield from names.assumptions()


def _enter(path: Path) -> bool:
    """Down to the single turns; a list is nobody's."""
    match path:
        case () | (str(),) | (str(), "history") | (str(), "history", str()):
            return True
    return False


class _Document:
    """One document while it is read."""

    def __init__(self, origin: str, names: AccountNames, places: Names, ids: Ids) -> None:
        self._origin, self._names, self._places, self._ids = origin, names, places, ids
        self._person: str | None = None
        self._account = ""
        self._said_of: dict[str, Any] = {}
        self._room = MOST_BESIDE
        self._day = ""
        self._second = 0
        self._assumed: Counter[str] = Counter()
        self._taken = 0

    def items(self, source: Source) -> Iterator[Item]:
        """Everything; what is wrong with the document itself comes last."""
        wrong = ""
        try:
            for piece in pieces(source.chunks(self._origin), _enter):
                yield from self._sorted(piece)
        except FlawedJSON as error:
            wrong = f"{error.flaw.rule} {error}"
        except OSError as error:
            wrong = error.strerror or str(error)
        yield from self._finish()
        for text, count in self._assumed.items():
            yield Assumption(text, count)
        if wrong:
            yield Rejected(self._origin, f"{wrong}; {self._taken:,} messages that stand before it were taken")

    def _sorted(self, piece: Piece) -> Iterator[Item]:
        if len(piece.path) < 2 or isinstance(piece.path[0], int):
            yield self._rejected(piece, "is nobody's conversations")
            return
        if piece.path[0] != self._person:
            yield from self._finish()
            yield from self._begin(str(piece.path[0]))
        if len(piece.path) == 4:
            yield from self._turn(piece)
        elif piece.path[1] != "history":
            yield from self._keep(piece)
        else:
            yield self._rejected(piece, "is no day of conversations")

    def _begin(self, person: str) -> Iterator[Item]:
        self._person, self._account = person, self._names.id_of(person)
        self._said_of, self._room, self._day = {}, MOST_BESIDE, ""
        yield AccountItem(self._account, self._origin)

    def _finish(self) -> Iterator[Item]:
        """What is said of a person, once all of it is read."""
        said = {name: value for name, value in self._said_of.items() if value not in ("", None, [], {})}
        if self._person is not None and (said.keys() - {"name"} or said.get("name", self._account) != self._account):
            place = self._places.fresh(f"state/dialogues/{self._account}", ".json")
            yield FileItem(place, self._origin, dumps(said, indent=True) + b"\n")
        self._person = None

    def _keep(self, piece: Piece) -> Iterator[Item]:
        self._room -= piece.size
        if piece.flaw or self._room < 0:
            yield self._rejected(piece, f"makes what is said of a person larger than {MOST_BESIDE >> 20} MiB")
        else:
            self._said_of[str(piece.path[1])] = piece.value

    def _turn(self, piece: Piece) -> Iterator[Item]:
        """A query and its response."""
        day, number, turn = str(piece.path[2]), piece.path[3], piece.value
        if day != self._day:
            self._day, self._second = day, 0
        texts = [turn.get(name, "") for name, _ in _SPEAKERS] if isinstance(turn, dict) else []
        if piece.flaw or piece.size > LARGEST_MESSAGE or not any(texts) or not all(isinstance(t, str) for t in texts):
            yield self._rejected(piece, "is no query with its response, or too large")
            return
        start, others = _start(day), {k: v for k, v in turn.items() if k not in dict(_SPEAKERS)}
        for (_, role), text in zip(_SPEAKERS, texts, strict=True):
            if text:
                time = clock.show(start + timedelta(seconds=self._second)) if start else ""
                id = f"{day}-{number}-{role}" if start else _digest(self._account, day, str(number), role)
                if not self._ids.is_free(*(bytes.fromhex(_digest(*one)) for one in ((self._account, id), (text,)))):
                    id = _digest(self._account, day, str(number), role, text)  # another document has that turn too
                yield MessageItem(self._account, role, text, id, time, others, self._origin)
                self._second += 1
                self._taken += 1
                self._assumed[_TIMED if start else _UNTIMED] += 1

    def _rejected(self, piece: Piece, reason: str) -> Rejected:
        reason = f"{piece.flaw.rule} {piece.flaw.message}" if piece.flaw else reason
        where = "/".join(escape_text(str(part)[:40]) for part in piece.path)
        return Rejected(self._origin, f"{where}: {reason}", piece.data or dumps(piece.value))


def _start(day: str) -> datetime | None:
    """The first moment of a day; None for what is no date, or one after which there may be no second."""
    try:
        found = date.fromisoformat(day)
    except ValueError:
        return None
    return datetime(found.year, found.month, found.day, tzinfo=UTC) if found.year < _LAST_YEAR else None


def _digest(*parts: str) -> str:
    return sha256(dumps(parts)).hexdigest()[:32]
