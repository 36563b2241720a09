"""Memory banks of Markdown, as Cline, Roo Code and Cursor keep them, and other documents: kept as they are in docs/.

A document keeps its path below docs/, so the bank's own README.md is never its place; links that would lead nowhere
from there are updated. Text in UTF-16 and UTF-32, which its mark names, becomes UTF-8; all else keeps its bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from posixpath import splitext
from typing import NamedTuple

from memorybank_cli.base.names import escape, unescape
from memorybank_cli.migrations.items import Assumption, FileItem, Item, Rejected
from memorybank_cli.migrations.links import rewrite
from memorybank_cli.migrations.naming import Names
from memorybank_cli.migrations.pieces import encoding
from memorybank_cli.migrations.source import Source

NAME = "markdown_bank"
TITLE = "memory bank of Markdown documents"

LARGEST_TEXT = 4 << 20
"""Bytes of a document whose links are looked at."""
_CORE = ("projectbrief", "productcontext", "activecontext", "systempatterns", "techcontext", "progress", "decisionlog")
_DOCUMENT = re.compile(r"(?i)(?:.*/)?(?:[^/]*\.(?:md|mdc|markdown|txt)|(?:license|licence|copying|notice)[^/.]*)")
_LINKED = re.compile(r"(?i).*\.(?:md|mdc|markdown)")


def score(source: Source) -> int:
    """Surely a memory bank where three of the core documents stand in one folder; any document at all is a little."""
    folders: dict[str, int] = {}
    for path in source.paths:
        folder, _, name = path.rpartition("/")
        if name.lower().removesuffix(".md") in _CORE:
            folders[folder] = folders.get(folder, 0) + 1
    if max(folders.values(), default=0) >= 3:
        return 90
    return 20 if any(takes(source, path) for path in source.paths) else 0


def takes(source: Source, path: str) -> bool:  # noqa: ARG001 - importers are called alike
    """Whether a file is a document, by its name."""
    return _DOCUMENT.fullmatch(path) is not None


def read(source: Source, paths: Sequence[str]) -> Iterator[Item]:
    """Each document, in order of path."""
    places = _places(paths)

    def moved(name: str) -> str:
        path = escape(name)
        return unescape(places.get(path) or (source.place(path) if path in source else ""))

    recoded = 0
    for path in paths:
        try:
            text = _text(source, path)
        except OSError as error:
            yield Rejected(path, error.strerror or str(error))
            continue
        recoded += text.recoded
        yield _document(path, places[path], text, moved)
    if recoded:
        yield Assumption("documents that begin with a byte order mark were written as UTF-8 without one", recoded)


def _places(paths: Sequence[str]) -> dict[str, str]:
    """Where each document comes to stand; those that stand below docs/ already stay there."""
    names = Names()
    places: dict[str, str] = {}
    for path in sorted(paths, key=lambda one: (not one.startswith("docs/"), one)):
        stem, ending = splitext(path if path.startswith("docs/") else f"docs/{path}")
        places[path] = names.fresh(stem, ending)
    return places


class _Text(NamedTuple):
    """A document's text where its encoding is sure ('' where it is not), and whether it has to be written anew."""

    text: str = ""
    recoded: bool = False


def _text(source: Source, path: str) -> _Text:
    if source.size(path) > LARGEST_TEXT:
        return _Text()
    data = source.read(path, LARGEST_TEXT)
    name, mark = encoding(data)
    try:
        return _Text(data[mark:].decode(name), mark > 0)
    except UnicodeDecodeError:
        return _Text()


def _document(path: str, place: str, found: _Text, moved: Callable[[str], str]) -> FileItem:
    text, changed = found.text, 0
    if _LINKED.fullmatch(path):
        text, changed = rewrite(text, unescape(path), unescape(place), moved)
    return FileItem(place, path, text.encode() if changed or found.recoded else None, references=changed)
