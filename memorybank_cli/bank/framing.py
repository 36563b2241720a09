"""One line of the journal: `{"core": {…}, "hash": "…", "data": …, "salt": "…"}`.

`hash` = SHA-256(previous hash in hex ‖ the literal bytes of `core`). `core.commit` = SHA-256(salt ‖ the literal
bytes of `data`), so `data` and `salt` can be dropped later and the chain stays provable.
"""

from __future__ import annotations

from binascii import b2a_hex
from collections.abc import Iterable
from hashlib import sha256
from itertools import chain
from typing import Any, NamedTuple

from memorybank_cli.base.chance import random_bytes
from memorybank_cli.base.exact_json import FlawedJSON, dumps, loads
from memorybank_cli.base.names import is_id

GENESIS = "0" * 64
_CORE = b'{"core":'
_HASH = b'},"hash":"'
_DATA = b',"data":'
_SALT = b',"salt":"'
ROW_LENGTH = 7  # of the elements of `files`
NEEDED: dict[str, frozenset[str]] = {
    **dict.fromkeys(("bank.created", "bank.renamed"), frozenset({"files"})),
    **dict.fromkeys(("file.adopted", "file.found", "file.removed", "file.accepted"), frozenset({"files"})),
    **dict.fromkeys(("restore.begin", "restore.end", "migrate.end"), frozenset({"id", "files"})),
    "migrate.begin": frozenset({"id", "step", "snapshot", "repository"}),
    "files.rendered": frozenset({"account", "upto", "files"}),
    **dict.fromkeys(("forget.begin", "forget.end"), frozenset({"id", "subject", "records", "lines"})),
}
"""Fields without which a line of an operation is none; what reads them does not look again."""


class Line(NamedTuple):
    """One entry as it stands in the journal. `data` is the literal JSON, None where there is none (any more)."""

    seq: int
    hash: str
    core: dict[str, Any]
    data: bytes | None

    @property
    def op(self) -> str:
        """What happened, e.g. `file.adopted`."""
        op: str = self.core["op"]
        return op

    @property
    def value(self) -> Any:
        """The data as a value, None where it was dropped."""
        return None if self.data is None else loads(self.data)


def frame(previous: str, core: dict[str, Any], data: bytes | None = None) -> tuple[bytes, Line]:
    """The bytes of a line, newline included, and what a reader will make of them; `core` becomes the line's.

    `core` has no `key` and no `commit` yet; `data` is JSON.

    Raises ValueError for a core with a field named `hash` right after an object: no reader would find its end.
    """
    tail, text = b"}\n", dumps(core)
    core["key"] = None  # nulls are written apart: where `dumps` meets one it has to look for numbers that are none
    ending = b',"key":null}'
    if data is not None:
        salt = b2a_hex(random_bytes())
        core["commit"] = commit = sha256(salt + data).hexdigest()
        ending = b',"key":null,"commit":"%s"}' % commit.encode()
        tail = b'%s%s%s%s"}\n' % (_DATA, data, _SALT, salt)
    text = text[:-1] + ending
    if _HASH in text:
        raise ValueError("a field named hash stands after an object in the core of a journal line")
    digest = link(previous, text)
    return b'%s%s,"hash":"%s"%s' % (_CORE, text, digest.encode(), tail), Line(core["seq"], digest, core, data)


def link(previous: str, core: bytes) -> str:
    """The hash of a line whose predecessor has the hash `previous`."""
    return sha256(previous.encode() + core).hexdigest()


def unframe(line: bytes) -> tuple[Line, bytes] | None:
    """A line and the literal bytes of its core, None for bytes that are no complete line. The chain is not checked."""
    cut = line.find(_HASH)
    if not line.startswith(_CORE) or cut < 0 or not line.endswith(b"}\n"):
        return None
    text = line[len(_CORE) : cut + 1]
    digest, rest = line[cut + len(_HASH) : cut + len(_HASH) + 64], line[cut + len(_HASH) + 64 : -2]
    try:
        core = loads(text)
    except FlawedJSON:
        return None
    if not _is_core(core):
        return None
    good, data = _data(core, rest[1:]) if rest[:1] == b'"' else (False, None)
    return (Line(core["seq"], digest.decode("ascii", "replace"), core, data), text) if good else None


def stripped(line: bytes) -> bytes:
    """A complete line without its data and salt; the chain holds as before."""
    end = line.index(_HASH) + len(_HASH) + 64
    return line[:end] + b'"}\n'


def _is_core(core: Any) -> bool:
    """Whether a core has the members that reading relies on, in their shapes."""
    if not isinstance(core, dict) or type(core.get("seq")) is not int or not isinstance(core.get("op"), str):
        return False
    if not 0 < core["seq"] < 1 << 53 or not _has_fields(core):
        return False
    group, breaks, rows = core.get("txn", ["", 0, 1]), core.get("breaks", []), core.get("files", [])
    return (
        isinstance(group, list)
        and [type(part) for part in group] == [str, int, int]
        and isinstance(breaks, list)
        and all(isinstance(one, list) and [type(part) for part in one] == [int, str] for one in breaks)
        and isinstance(rows, list)
        and (not rows or _are_rows(rows))
    )


def _has_fields(core: dict[str, Any]) -> bool:
    if not NEEDED.get(core["op"], frozenset()) <= core.keys() or not _is_forgetting(core):
        return False
    account, accounts = core.get("account"), core.get("accounts", {})
    return (
        (account is None or (isinstance(account, str) and is_id(account)))
        and isinstance(accounts, dict)
        and all(type(seq) is int for seq in accounts.values())
        and type(core.get("upto", 0)) in (int, list)
        and isinstance(core.get("id", ""), str)
    )


def _is_forgetting(core: dict[str, Any]) -> bool:
    """Whether what a line says of forgetting has its shapes; True for any other line."""
    if core["op"] not in ("forget.begin", "forget.end"):
        return True
    records, lines = core["records"], core["lines"]
    return (
        isinstance(core["subject"], str)
        and is_id(core["subject"])
        and isinstance(records, list)
        and all(isinstance(one, str) for one in records)
        and isinstance(lines, list)
        and all(type(one) is int for one in lines)
    )


def _are_rows(rows: list[Any]) -> bool:
    """Whether all are rows of files, looked at column by column: a line may have a thousand."""
    if _types(rows) != {list} or set(map(len, rows)) != {ROW_LENGTH}:
        return False
    paths, afters, sizes, modes, rules, kinds, befores = zip(*rows, strict=True)
    return (
        _types(paths) == _types(kinds) == {str}
        and _types(afters) | _types(befores) <= {str, type(None)}
        and _types(sizes) == _types(modes) == {int}
        and 0 <= min(sizes) <= max(sizes) < 1 << 63
        and 0 <= min(modes) <= max(modes) < 1 << 32
        and _types(rules) == {list}
        and _types(chain.from_iterable(rules)) <= {str}
    )


def _types(values: Iterable[Any]) -> set[type]:
    return set(map(type, values))


def _data(core: dict[str, Any], rest: bytes) -> tuple[bool, bytes | None]:
    """Whether what follows the hash is what `core` commits to, and the data."""
    if not rest:
        return True, None
    cut = rest.rfind(_SALT)
    if not rest.startswith(_DATA) or cut < 0 or not rest.endswith(b'"'):
        return False, None
    data, salt = rest[len(_DATA) : cut], rest[cut + len(_SALT) : -1]
    return sha256(salt + data).hexdigest() == core.get("commit"), data
