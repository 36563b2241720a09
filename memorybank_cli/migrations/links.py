"""The links of a Markdown document: where they lead, and the same document once what they lead to has moved.

Inline links, images and reference definitions (CommonMark 0.31, sections 6.3, 6.4 and 4.7) that name a file
beside the document. Code, web addresses, absolute paths and anchors stay as they are, and so does every other byte.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple
from urllib.parse import quote, unquote

# A destination: <in angle brackets>, or without blanks and with balanced parentheses one level deep.
_BARE = r"(?:[^\s()<>\\]++|\\.|\([^\s()<>]{0,999}\))++"
_INLINE = re.compile(rf"(?<!`)(`{{1,16}})(?!`)|(?<!\\)\]\(\s{{0,99}}(?:<([^<>\n]*)>|({_BARE}))")
_DEFINITION = re.compile(rf" {{0,3}}\[[^\]\n]{{1,999}}\]:[ \t]{{0,99}}(?:<([^<>\n]*)>|({_BARE}))")
_FENCE = re.compile(r" {0,3}(`{3,}(?=[^`]*$)|~{3,})")
_PLAIN = re.compile(r"[^<>\\%?#\x00-\x1f\ud800-\udfff]+")
_ITEM = re.compile(r"[ \t]*(?:[-*+]|[0-9]{1,9}[.)])[ \t]")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


class Rewritten(NamedTuple):
    """A document, and how many of its links lead to another place than before."""

    text: str
    changed: int


def rewrite(text: str, before: str, after: str, moved: Callable[[str], str]) -> Rewritten:
    """A document that stood at `before` and stands at `after`, with links that fit.

    `moved` gives the place of a file of the source in the bank, '' for one that is not taken; paths are relative
    and plain (not escaped), '/' between their parts.
    """
    count = 0

    def target(found: str, angle: bool) -> str:
        nonlocal count
        new = _moved(found, before, after, moved, angle)
        count += new != found
        return new

    lines = [_line(line, target) if prose else line for line, prose in _sorted_out(text.split("\n"))]
    return Rewritten("\n".join(lines), count)


def _sorted_out(lines: Iterable[str]) -> Iterator[tuple[str, bool]]:
    """Each line, and whether it is prose: not part of a fenced or an indented code block."""
    fence, blank, listed = "", True, False
    for line in lines:
        opened = _FENCE.match(line.rstrip("\r"))
        if fence or opened:
            yield line, False
            closes = opened and fence and opened[1].startswith(fence) and not line[opened.end() :].strip()
            fence = "" if closes else fence or (opened[1] if opened else "")
            blank = not fence
            continue
        indented = line.startswith(("    ", "\t"))
        listed = _ITEM.match(line) is not None or (listed and (indented or not blank or not line.strip()))
        code = indented and blank and not listed  # an indented line that goes on with a list or a paragraph is prose
        yield line, not code
        blank = not line.strip() or code


def _line(line: str, target: Callable[[str, bool], str]) -> str:
    """One line outside of code blocks, with each destination put through `target`."""
    parts: list[str] = []
    at = 0
    found = _DEFINITION.match(line)
    while found or (found := _INLINE.search(line, at)):
        if found.re is _INLINE and found[1]:
            closing = re.compile(rf"(?<!`){found[1]}(?!`)").search(line, found.end())
            end = closing.end() if closing else found.end()
            parts.append(line[at:end])
        else:
            group = found.lastindex or 1
            start, end = found.span(group)
            angle = line[start - 1] == "<"
            parts += [line[at:start], target(found[group], angle)]
        at, found = end, None
    return "".join([*parts, line[at:]])


def _moved(found: str, before: str, after: str, moved: Callable[[str], str], angle: bool) -> str:
    path, mark, rest = _split(found)
    if not path or path.startswith(("/", "\\")) or _SCHEME.match(path):
        return found
    plain = unquote(re.sub(r"\\(.)", r"\1", path), errors="surrogateescape")
    name = posixpath.normpath(posixpath.join(posixpath.dirname(before), plain))
    place = moved(name)
    if name.startswith("..") or not place:
        return found
    here = posixpath.dirname(after)
    if posixpath.normpath(posixpath.join(here, plain)) == place:
        return found
    new = posixpath.relpath(place, here or ".")
    return (new if angle and _PLAIN.fullmatch(new) else quote(new, errors="surrogateescape")) + mark + rest


def _split(found: str) -> tuple[str, str, str]:
    """The path of a destination, and what follows it: '?' or '#', and the rest."""
    place = min((at for at in (found.find("#"), found.find("?")) if at >= 0), default=len(found))
    return found[:place], found[place : place + 1], found[place + 1 :]
