"""Messages in JSON documents of other programs: lists of {role, content, timestamp}, or objects with such a `messages`.

Documents of any size are read as a stream. What a message may be is what `accounts.messages` takes.
"""

from __future__ import annotations

import sqlite3
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

from memorybank_cli.base.exact_json import FlawedJSON, dumps
from memorybank_cli.base.names import LONGEST_MESSAGE_ID, LONGEST_ROLE
from memorybank_cli.base.words import counted
from memorybank_cli.migrations.items import Assumption, FileItem, Item, MessageItem, Rejected
from memorybank_cli.migrations.moments import Moment, moment
from memorybank_cli.migrations.pieces import Path, Piece, encoding, pieces
from memorybank_cli.migrations.source import Source

LARGEST_MESSAGE = 1 << 20
"""Characters that a message may have, as it is written."""
MOST_BESIDE = 8 << 20
"""Characters of what stands beside the messages of a document."""
WINDOW = 10_000
"""So many messages at the end of a tier are compared with the next tier."""
TIMES = ("timestamp", "time", "created_at")
_TEXTS = ("role", "content")
_DERIVED = frozenset(
    {
        "account_id", "capacity", "count", "created_at", "first", "index", "last_update", "last_updated",
        "max_messages", "memory_status", "message_count", "seq", "status", "total", "version",
    }
)  # fmt: skip
"""Members that an account's documents have beside the messages, which the new bank makes anew."""


class Unfit(ValueError):
    """A record that is no message the bank can hold."""


def looks_like_one(value: Any) -> bool:
    """Whether a value is a message: an object with who speaks and what was said."""
    return isinstance(value, dict) and all(isinstance(value.get(name), str) for name in _TEXTS)


def is_derived(document: dict[str, Any]) -> bool:
    """Whether an account's document says nothing but what the new bank makes anew."""
    return document.keys() <= _DERIVED


class Place(NamedTuple):
    """Where a record stands: its file, and its number in it."""

    origin: str
    number: int


class Conversation:
    """The messages of one account while they are read, tier after tier, each tier a list of files in order."""

    def __init__(self, source: Source, account: str) -> None:
        self._source, self._account = source, account
        self._overlap, self._ids = _Overlap(), Ids()
        self._assumed: Counter[str] = Counter()

    def tier(self, paths: Sequence[str], beside: str = "") -> Iterator[Item]:
        """The messages of files that together are one tier, without those that earlier tiers held.

        `beside` is the directory in the bank for what else the documents say.
        """
        for path in paths:
            yield from self._document(path, beside)
        self._overlap.next_tier()

    def assumptions(self) -> Iterator[Assumption]:
        """What was taken for granted in all tiers."""
        for text, count in self._assumed.items():
            yield Assumption(text, count)

    def _document(self, path: str, beside: str) -> Iterator[Item]:
        name, mark = encoding(self._source.head(path))
        if mark:
            self._assumed[f"text was read as {name.upper()}, as its byte order mark says"] += 1
        found = _Found()
        try:
            for piece in pieces(self._source.unpacked(path), found.enter):
                if piece.path and isinstance(piece.path[-1], int):
                    yield from self._message(piece, path, found)
                else:
                    found.keep(piece)
        except FlawedJSON as error:
            found.wrong = f"{error.flaw.rule} {error}"
        except OSError as error:
            found.wrong = error.strerror or str(error)
        yield from found.rest(path, beside)

    def _message(self, piece: Piece, path: str, found: _Found) -> Iterator[Item]:
        place = Place(path, int(piece.path[-1]) + 1)
        try:
            if piece.flaw:
                raise Unfit(f"{piece.flaw.rule} {piece.flaw.message}")
            if piece.size > LARGEST_MESSAGE:
                raise Unfit(f"{piece.size:,} characters; a message has at most {LARGEST_MESSAGE:,}")
            read = _read(piece.value, self._account, place)
        except Unfit as error:
            data = piece.data or dumps(piece.value)
            yield Rejected(path, f"message {place.number:,}: {error}", data)
            return
        found.taken += 1
        if read.is_own and not self._ids.is_free(read.identity, _same(read.item)):
            again = sha256(read.identity + _same(read.item))
            read = read._replace(item=read.item._replace(id=again.hexdigest()[:32]), identity=again.digest())
            read.assumed.append("ids that stand for several messages: the later ones got an id of their own")
        if self._overlap.is_new(read.identity):
            self._assumed.update(read.assumed)
            yield read.item


class _Found:
    """What was found in one document."""

    def __init__(self) -> None:
        self.taken = 0
        self.wrong = ""
        self._is_list = False
        self._beside: dict[str, Any] = {}
        self._room = MOST_BESIDE

    def enter(self, path: Path) -> bool:
        if path == ("messages",):
            self._is_list = True
        return path in ((), ("messages",))

    def keep(self, piece: Piece) -> None:
        """Note a member that stands beside the messages."""
        self._room -= piece.size
        if not piece.path:
            self.wrong = "it is neither a list of messages nor an object that has one"
        elif piece.flaw or self._room < 0:
            self.wrong = self.wrong or "what stands beside its messages cannot be taken"
        else:
            self._beside[str(piece.path[0])] = piece.value

    def rest(self, path: str, beside: str) -> Iterator[Item]:
        """What is left of the document once its messages are taken."""
        if self._beside and not self._is_list:
            self.wrong = self.wrong or "it holds no list of messages"
        elif beside and not is_derived(self._beside):
            yield FileItem(f"{beside}/{path.rpartition('/')[2]}", path, dumps(self._beside, indent=True) + b"\n")
        if self.wrong:
            were = "was" if self.taken == 1 else "were"
            yield Rejected(path, f"{self.wrong}; {counted(self.taken, 'message')} of it {were} taken")


class _Read(NamedTuple):
    """A message as it was read."""

    item: MessageItem
    assumed: list[str]
    identity: bytes
    """What makes it the same in another tier."""
    is_own: bool
    """Whether its id stood in the source."""


def _read(value: Any, account: str, place: Place) -> _Read:
    """The message that a value is. Raises Unfit."""
    if not isinstance(value, dict):
        raise Unfit("it is no object")
    role, content = (_text(value, name) for name in _TEXTS)
    if not role or len(role) > LONGEST_ROLE:
        raise Unfit(f"its role has {len(role)} characters; it must have 1 to {LONGEST_ROLE}")
    when = next((name for name in TIMES if value.get(name) not in (None, "")), TIMES[0])
    found, assumed = _time(value.get(when))
    metadata = value.get("metadata")
    if not isinstance(metadata, dict | None):
        raise Unfit("'metadata' must be an object")
    known = {*_TEXTS, "id", "seq", "late", "metadata", when}
    others = {name: one for name, one in value.items() if name not in known}
    if metadata and not others.keys().isdisjoint(metadata):
        metadata = {"metadata": metadata}  # beside a member of the same name neither may take the other's place
    own = value.get("id")
    id, identity = _identity(own, [role, content, found], place)
    if isinstance(own, int):
        assumed.append("ids that are numbers were taken as text")
    item = MessageItem(account, role, content, id, found, {**others, **(metadata or {})}, place.origin)
    return _Read(item, assumed, identity, own not in (None, ""))


def _same(item: MessageItem) -> bytes:
    """A digest of what was said, by whom and when."""
    return sha256(dumps([item.role, item.content, item.timestamp])).digest()


def _text(value: dict[str, Any], name: str) -> str:
    found = value.get(name, "")
    if not isinstance(found, str) or name not in value:
        raise Unfit(f"'{name}' must be a text" if name in value else f"it has no '{name}'")
    return found


def _time(value: Any) -> tuple[str, list[str]]:
    try:
        found: Moment = moment(value)
    except ValueError as error:
        raise Unfit(str(error)) from None
    assumed = found.assumed if found.text else "messages without a time were left without one"
    return found.text, [assumed] if assumed else []


def _identity(given: Any, parts: list[str], place: Place) -> tuple[str, bytes]:
    """A message's id, and what makes it the same in another tier.

    Its own id; else a digest of role, content and time; without a time the place counts for the id as well.
    """
    if isinstance(given, bool) or not isinstance(given, str | int | None):
        raise Unfit("'id' must be a text")
    if given is not None and given != "":
        text = str(given)
        if len(text) > LONGEST_MESSAGE_ID:
            raise Unfit(f"its id has {len(text):,} characters; at most {LONGEST_MESSAGE_ID} are taken")
        return text, sha256(b"id" + text.encode()).digest()
    same = sha256(dumps(parts)).digest()
    id = same if parts[-1] else sha256(dumps([*parts, *place])).digest()
    return id.hex()[:32], same


class Ids:
    """Which message has which id: some programs count anew with each session.

    The bank would take the later message for one that it has. A million of them would fill the memory, so they stand
    in a scratch file that SQLite removes by itself.
    """

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None)
        for statement in (
            "PRAGMA journal_mode=OFF",
            "PRAGMA cache_size=-8000",
            "CREATE TABLE owners (id INTEGER PRIMARY KEY, owner INTEGER)",
            "BEGIN",
        ):
            self._db.execute(statement)

    def __del__(self) -> None:
        self._db.close()

    def is_free(self, id: bytes, message: bytes) -> bool:
        """Whether an id is this message's or nobody's; it is this message's then."""
        key, owner = (int.from_bytes(one[:8], signed=True) for one in (id, message))
        self._db.execute("INSERT OR IGNORE INTO owners VALUES (?,?)", (key, owner))
        [(found,)] = self._db.execute("SELECT owner FROM owners WHERE id=?", (key,))
        return bool(found == owner)


class _Overlap:
    """Which messages of a tier stood in an earlier one: tiers are windows over one conversation, and overlap."""

    def __init__(self) -> None:
        self._before: Counter[bytes] = Counter()
        self._matched: Counter[bytes] = Counter()
        self._here: deque[bytes] = deque(maxlen=WINDOW)

    def is_new(self, identity: bytes) -> bool:
        """Whether a message is not one of an earlier tier's; one that stands there twice is left out twice."""
        if self._matched[identity] < self._before[identity]:
            self._matched[identity] += 1
            return False
        self._here.append(identity)
        return True

    def next_tier(self) -> None:
        """What comes from now on is of another tier."""
        self._before.update(self._here)
        self._matched.clear()
        self._here.clear()
