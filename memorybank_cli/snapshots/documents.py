"""Snapshot documents: what one snapshot is, written last and never changed; writing one is the only commit point.

A document is JSON with sorted keys, indented by two. `digest` is the SHA-256 of the same document without
`digest` and `id`, as compact JSON with sorted keys; the id, which is also the file's name, ends in its first 8 digits.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from itertools import chain
from typing import Any, Literal

import orjson

from memorybank_cli.base import clock, digests, exact_json
from memorybank_cli.base.errors import MemorybankError, OperationFailed, SnapshotNotFound, UsageError
from memorybank_cli.base.records import Finding
from memorybank_cli.base.suggestions import did_you_mean
from memorybank_cli.snapshots.repository import Repository, is_digest
from memorybank_cli.snapshots.sealing import SNAPSHOT, Damaged

VERSION = 1
LATEST = "latest"
SAFETY = "before-rollback"
"""The tag of a snapshot that holds what a rollback replaced."""
_OPTIONAL = {"sections", "number"}
_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}")
_LIMIT = 32 << 20
_LAST_NUMBER = (1 << 53) - 1
"""What every reader of JSON can hold."""

Status = Literal["good", "suspect"]


@dataclass(frozen=True)
class Meta:
    """What the caller knows of a snapshot and the repository does not."""

    bank_id: str
    seq: int = 0
    """The journal position at which managed sections stand in it."""
    checkpoint: dict[str, Any] | None = None
    """The journal's checkpoint at `seq`."""
    parent: str | None = None
    """The id of the snapshot before."""
    records: int = 0
    status: Status = "good"
    reasons: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    """Escaped paths that were left out on purpose."""
    tags: tuple[str, ...] = ()
    host: str = ""
    time: str = field(default_factory=clock.now)
    sections: dict[str, list[int]] | None = None
    """How many files and records are below each top directory, by its name."""
    number: int | None = None
    """Its place among the bank's snapshots, as `next_number` gives it."""


@dataclass(frozen=True)
class Document:
    """One snapshot, as its document says."""

    id: str
    time: str
    host: str
    root: str
    """The id of the root tree."""
    parent: str | None
    bank_id: str
    seq: int
    checkpoint: dict[str, Any] | None
    files: int
    bytes: int
    records: int
    status: Status
    reasons: tuple[str, ...]
    excluded: tuple[str, ...]
    tags: tuple[str, ...]
    digest: str
    version: int = VERSION
    sections: dict[str, list[int]] | None = None
    """Files and records by top directory; None in a document that does not say."""
    number: int | None = None
    """Its place among the bank's snapshots, 1 or more; None in a document of a program that did not count."""

    def as_dict(self) -> dict[str, Any]:
        """The document as it is written and shown."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in _said(vars(self)).items()}

    @property
    def order(self) -> tuple[int, int, str, str]:
        """What a bank's snapshots are sorted by: clocks go wrong, and a journal may begin anew with a restored bank."""
        return self.number or 0, self.seq, self.time, self.id


@dataclass(frozen=True)
class Listing:
    """The snapshots of a repository, oldest first, and a MB130 for each document that cannot be read."""

    documents: tuple[Document, ...]
    findings: tuple[Finding, ...]

    def as_dict(self) -> dict[str, Any]:
        """Both as JSON."""
        return {
            "snapshots": [document.as_dict() for document in self.documents],
            "findings": [finding.as_dict() for finding in self.findings],
        }

    @property
    def latest(self) -> Document | None:
        """The newest that is not suspect; one of before a rollback only where there is no other."""
        good = [document for document in reversed(self.documents) if document.status != "suspect"]
        return next((document for document in good if SAFETY not in document.tags), good[0] if good else None)

    def of(self, bank_id: str) -> Listing:
        """Those of one bank; whose a damaged one is nobody knows."""
        return Listing(tuple(one for one in self.documents if one.bank_id == bank_id), self.findings)

    def named(self, wanted: str) -> list[Document]:
        """Those whose id, or its last 8 digits, begins so."""
        return [one for one in self.documents if _matches(one.id, wanted)]


def make(root: str, file_count: int, byte_count: int, meta: Meta) -> Document:
    """The document of a finished tree, with its digest and id. Raises UsageError for a tag with control characters."""
    for tag in meta.tags:
        if not tag or not tag.isprintable():
            raise UsageError(f"{tag!r} is not a tag", hint="a tag has at least one character and no control characters")
    body = _said({**vars(meta), "version": VERSION, "root": root, "files": file_count, "bytes": byte_count})
    digest = _digest(body)
    compact = clock.parse(meta.time).strftime("%Y%m%dT%H%M%SZ")
    return Document(id=f"{compact}-{digest[:8]}", digest=digest, **body)


def next_number(known: Iterable[Document]) -> int:
    """The number of a snapshot that is made after these of its bank. Two that are made at once may have the same."""
    return min(1 + max((one.number or 0 for one in known), default=0), _LAST_NUMBER)


def _said(body: dict[str, Any]) -> dict[str, Any]:
    """Without the fields that a document may lack."""
    return {name: value for name, value in body.items() if name not in _OPTIONAL or value is not None}


def _digest(body: dict[str, Any]) -> str:
    return digests.of(orjson.dumps(body, option=orjson.OPT_SORT_KEYS))


def encode(document: Document) -> bytes:
    """The bytes of a document's file, unsealed."""
    return _rendered(document.as_dict())


def _rendered(value: dict[str, Any]) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def write(repo: Repository, document: Document) -> None:
    """Commit a snapshot: from here on it is there, also after a crash. Raises OperationFailed, OSError."""
    path, data = f"snapshots/{document.id}", repo.seal.seal_file(SNAPSHOT, encode(document))
    if len(data) > _LIMIT:  # nobody would read it
        raise OperationFailed(
            f"{len(document.excluded):,} paths are left out, more than a snapshot can name",
            hint="give their directories a name that begins with a dot, or move them out of the bank",
        )
    written = repo.backend.put_new(path, data)
    if not written and read(repo, document.id) != document:
        raise OperationFailed(f"another snapshot is already named {document.id}", hint="run the backup again")


def read(repo: Repository, name: str, folder: str = "snapshots") -> Document:
    """The document of that exact id, which stands in a folder of the repository. Raises Damaged or OSError."""
    return parse(repo.seal.open_file(SNAPSHOT, repo.backend.read(f"{folder}/{name}", _LIMIT)), name)


def parse(data: bytes, name: str) -> Document:
    """The document in a file of that name. Raises Damaged."""
    try:
        value = exact_json.loads(data)
    except exact_json.FlawedJSON as error:
        raise Damaged(f"it is not JSON ({error})") from None
    if not isinstance(value, dict) or value.get("version") != VERSION:
        raise Damaged("it is no snapshot document of a version that this program knows")
    document = _typed(value)
    body = {key: item for key, item in value.items() if key not in ("id", "digest")}
    try:
        fits = _rendered(value) == data and _digest(body) == document.digest
    except TypeError as error:
        raise Damaged(f"it holds values that no document has ({error})") from None
    if not fits:
        raise Damaged("its digest does not fit")
    if document.id != name or not name.endswith("-" + document.digest[:8]):
        raise Damaged(f"it belongs to snapshot {document.id}")
    return document


_FIELDS = {item.name for item in fields(Document)} - _OPTIONAL
_TYPES: dict[str, tuple[type, ...]] = {
    "version": (int,), "id": (str,), "digest": (str,), "time": (str,), "host": (str,), "bank_id": (str,),
    "root": (str,), "parent": (str, type(None)), "seq": (int,), "checkpoint": (dict, type(None)),
    "files": (int,), "bytes": (int,), "records": (int,),
    "status": (str,), "reasons": (list,), "excluded": (list,), "tags": (list,),
}  # fmt: skip

_NUMBERS = [key for key, types in _TYPES.items() if types == (int,)]
_LISTS = [key for key, types in _TYPES.items() if types == (list,)]


def _typed(value: dict[str, Any]) -> Document:
    if value.keys() - _OPTIONAL != _FIELDS:
        raise Damaged("it has other fields than a snapshot document")
    for key, types in _TYPES.items():
        if type(value[key]) not in types:
            raise Damaged(f"its field '{key}' has an impossible value")
    if min(value[key] for key in _NUMBERS) < 0:
        raise Damaged("one of its numbers is below zero")
    lists = {key: tuple(value[key]) for key in _LISTS}
    if not set(map(type, chain(*lists.values()))) <= {str}:
        raise Damaged("one of its lists holds other things than texts")
    named = _ID.fullmatch(value["id"]) and is_digest(value["root"]) and is_digest(value["digest"])
    if not named or value["status"] not in ("good", "suspect"):
        raise Damaged("its id, root, digest or status is impossible")
    if not _is_time(value["time"]) or not _is_mark(value["checkpoint"]):
        raise Damaged("its time or checkpoint is impossible")
    if not _are_sections(value.get("sections", {})) or not _is_number(value.get("number", 1)):
        raise Damaged("its field 'sections' or 'number' has an impossible value")
    return Document(**{**value, **lists})


def _is_time(text: str) -> bool:
    try:
        clock.parse(text)
    except ValueError:
        return False
    return True


def _is_mark(checkpoint: dict[str, Any] | None) -> bool:
    if checkpoint is None:
        return True
    return type(checkpoint.get("seq")) is int and type(checkpoint.get("hash")) is str


def _is_number(number: Any) -> bool:
    return type(number) is int and 1 <= number <= _LAST_NUMBER


def _are_sections(sections: Any) -> bool:
    if not isinstance(sections, dict):
        return False
    pairs = sections.values()
    return all(
        isinstance(pair, list) and [type(one) for one in pair] == [int, int] and min(pair) >= 0 for pair in pairs
    )


def listing(repo: Repository) -> Listing:
    """Every snapshot, oldest first. Raises OSError only when the directory itself cannot be read."""
    documents: list[Document] = []
    findings: list[Finding] = []
    names = [entry.name for entry in repo.backend.entries("snapshots")]
    for name, data in repo.backend.read_each("snapshots", names, _LIMIT):
        if isinstance(data, FileNotFoundError):
            continue
        try:
            if isinstance(data, OSError):
                raise Damaged(str(data))
            documents.append(parse(repo.seal.open_file(SNAPSHOT, data), name))
        except Damaged as error:
            findings.append(damaged(name, error.message))
    return Listing(tuple(sorted(documents, key=lambda document: document.order)), tuple(findings))


def damaged(name: str, why: str) -> Finding:
    """The finding of a document that cannot be used."""
    return Finding(
        "MB130",
        f"snapshot {name} cannot be used: {why}",
        pointer=f"/snapshots/{name}",
        hint="memorybank backup makes a new snapshot; the others are not affected",
    )


def resolve(repo: Repository, wanted: str) -> Document:
    """A snapshot by `latest` (see `Listing.latest`), id, or a prefix of the id or of its last 8 digits.

    Raises SnapshotNotFound, UsageError for a prefix of several, Damaged for an id whose document is.
    """
    return pick(listing(repo), wanted)


def pick(found: Listing, wanted: str) -> Document:
    """`resolve` among snapshots that were listed."""
    if wanted == LATEST:
        if found.latest is None:
            raise SnapshotNotFound("there is no snapshot that is not suspect")
        return found.latest
    matches = found.named(wanted)
    if len(matches) > 1:
        raise UsageError(
            f"'{wanted}' begins the names of {len(matches)} snapshots",
            hint="give more of one: " + ", ".join(document.id for document in matches[-5:]),
        )
    if matches:
        return matches[0]
    raise _missing(found, wanted)


def _matches(name: str, wanted: str) -> bool:
    return bool(wanted) and (name.startswith(wanted) or name.partition("-")[2].startswith(wanted))


def _missing(found: Listing, wanted: str) -> MemorybankError:
    for finding in found.findings:
        if _matches(finding.pointer.rpartition("/")[2], wanted):
            return Damaged(finding.message)
    ids = [document.id for document in found.documents]
    ends = [name.partition("-")[2] for name in ids]  # people copy the last part alone too
    hint = did_you_mean(wanted, [LATEST, *ids, *ends])
    return SnapshotNotFound(f"there is no snapshot '{wanted}'", hint=hint)
