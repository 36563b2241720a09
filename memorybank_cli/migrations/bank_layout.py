"""Importer of the bank's own layout: a bank, or a directory that is laid out like one without being one yet.

Files go to the same path byte for byte, unread: their path decides. The conversations of a bank's accounts come in
as messages, whole_history with its sealed segments first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from memorybank_cli.bank import layout, readme
from memorybank_cli.base import digests
from memorybank_cli.base.exact_json import FlawedJSON
from memorybank_cli.base.names import escape
from memorybank_cli.migrations import memory_tree
from memorybank_cli.migrations.items import FileItem, Item, Rejected
from memorybank_cli.migrations.links import rewrite
from memorybank_cli.migrations.source import Source

NAME = "bank_layout"
TITLE = "a bank, or trades/, metrics/ and state/ with JSON files"

_SECTIONS = frozenset({*layout.SECTIONS, *layout.AGENTS})
_DIRECTORIES = _SECTIONS | {"config", "docs"}
_DOCUMENT = "docs/README.md"
_OWN = "the new bank has its own"
_ACCOUNT_FILES = frozenset(f"{name}.json" for name in (*layout.TIERS, "account"))


def score(source: Source) -> int:
    """How sure it is, by the names of files."""
    if layout.BANK in source and b'"bank_id"' in source.head(layout.BANK):
        return 100
    sections = sum(any(path.endswith(".json") for path in source.below(name)) for name in _SECTIONS)
    sealed = any(_is_sealed(source, top) for top in {path.partition("/")[0] for path in source.paths})
    return 90 if sections > 1 else 85 if sealed else 70 if sections else 0


def takes(source: Source, path: str) -> bool:
    """Whether a file has its place in a bank; in a bank every file has one."""
    top, below, _ = path.partition("/")
    if below and top in _DIRECTORIES:
        return True
    if layout.BANK in source or _is_sealed(source, top):
        return True
    document = path.endswith(".md") and path != layout.README
    return not below and (document or path.startswith(("LICENSE", "LICENCE")))


def read(source: Source, paths: Sequence[str]) -> Iterator[Item]:
    """Files as they are, in the order of their paths, and each account's messages where its directory stands."""
    source.staying = paths
    for top, found in groupby(paths, lambda path: path.partition("/")[0]):
        account = layout.account_of(top)
        if account and top not in source:
            yield from _account(source, account, list(found))
        else:
            for path in found:
                yield from _file(source, path)


def _file(source: Source, path: str) -> Iterator[Item]:
    if path == layout.BANK:
        source.skip(path, _OWN)
    elif path == layout.README and layout.BANK in source:
        yield from _readme(source, path)
    else:
        yield FileItem(path, path)


def _readme(source: Source, path: str) -> Iterator[Item]:
    """What people wrote into a bank's README becomes a document; its generated blocks are made anew."""
    try:
        text = readme.by_hand(source.read(path, layout.CONFIG_LIMIT)).strip()
    except OSError as error:
        yield Rejected(path, error.strerror or str(error))
        return
    if text == readme.by_hand(readme.render()).strip():
        source.skip(path, _OWN)
        return
    to = _DOCUMENT if _DOCUMENT not in source else f"docs/README-{digests.of(text)[:8]}.md"
    found = rewrite(
        text.decode(errors="surrogateescape"), path, to, lambda name: name if escape(name) in source else ""
    )
    yield FileItem(to, path, found.text.encode(errors="surrogateescape") + b"\n", references=found.changed)


def _is_sealed(source: Source, top: str) -> bool:
    return bool(layout.account_of(top)) and layout.history_index(layout.account_of(top)) in source


def _account(source: Source, account: str, paths: Sequence[str]) -> Iterator[Item]:
    """The directory of one account; its segments are plain or archived."""
    history = f"{layout.account_section(account)}/history/"
    segments = [path for path in paths if path.startswith(history) and _first(path) is not None]
    tiers = [path for path in paths if path.count("/") == 1 and path.partition("/")[2] in _ACCOUNT_FILES]
    index = layout.history_index(account)
    sealed = sorted({_first(path): path for path in reversed(segments)}.values(), key=lambda path: _first(path) or 0)
    yield from memory_tree.account(source, account, tiers or list(paths), sealed)
    if index in paths:
        yield from _against_index(source, index, sealed)
    for path in segments:
        if path not in sealed:
            source.skip(path, "its plain form was taken")
    ours = {*tiers, *segments, index}
    for path in paths:
        if path not in ours:
            yield FileItem(("state/" if path.endswith(".json") else "docs/") + path, path)


def _first(path: str) -> int | None:
    stem, _, ending = path.rpartition("/")[2].partition(".")
    is_segment = ending in ("json", "json.zst") and stem.isascii() and stem.isdecimal() and len(stem) <= 20
    return int(stem) if is_segment else None


def _against_index(source: Source, index: str, sealed: Sequence[str]) -> Iterator[Item]:
    """Where sealed segments are not what their index says; their messages were taken as they stand."""
    try:
        rows = source.json(index)["segments"]
        expected = {int(row["first"]): str(row["sha256"]) for row in rows}
    except (FlawedJSON, OSError, KeyError, TypeError, ValueError) as error:
        yield Rejected(index, f"it is no index of segments: {error}; segments were taken in their order")
        return
    for path in sealed:
        first = _first(path)
        if first in expected and not _is(source, path, expected.pop(first)):
            yield Rejected(path, "it is not what history/index.json says; its messages were taken as they stand")
    for first in expected:
        yield Rejected(index, f"it names the segment {first}, which is missing: its messages are lost")


def _is(source: Source, path: str, digest: str) -> bool:
    try:
        return digests.of_pieces(source.unpacked(path)) == digest
    except OSError:
        return False
