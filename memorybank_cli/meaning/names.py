"""What the names of members tell: data that is used as keys, ids, moments; and names in words."""

from __future__ import annotations

import re
from collections.abc import Collection

MANY = 100
# Symbols and pairs of them, numbers, hexadecimal digests and addresses, UUIDs, dates and times.
_DATA = re.compile(
    "[A-Z0-9]{2,12}([-/_:.][A-Z0-9]{2,12})*|[a-z0-9]*[A-Z][A-Za-z0-9]*([-/:][a-z0-9]*[A-Z][A-Za-z0-9]*)+|[+-]?[0-9]+([.][0-9]+)?|0x[0-9A-Fa-f]+|[0-9a-f]{16,}"
    "|[0-9a-f]{8}-[0-9a-f-]{27}|[0-9]{4}-[0-9]{2}(-[0-9]{2}([T ][0-9:.,Z+-]+)?)?"
)
_MOMENT = re.compile("(.*_)?(time|timestamp|ts|date|at|updated?|since|until)(_(ms|millis|seconds|sec))?")
_KIND = re.compile("(.*_)?(type|kind|event|action|op|category|class)(_of)?")
_PARTS = re.compile("[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^A-Za-z0-9_. -]+")
_GROWING = re.compile(
    "(account|address|agent|asset|bot|broker|chain|client|coin|contract|dex|exchange|feed|host|indicator|instrument"
    "|location|market|model|network|pair|platform|pool|product|project|protocol|provider|source|symbol|tag|ticker|token"
    "|tool|topic|user|venue|wallet)(e?s)?|(counterpart|countr|currenc|strateg)(y|ies)"
)
"""Things of which there may be another one tomorrow."""
_QUALIFYING = re.compile("[0-9]+|[abxy]|address|base|code|from|id|in|key|label|name|out|quote|slug|symbol|title|to")
"""Words after the name of a thing that leave it the name of that thing: `token_in`, `agent_name`."""
_WIDE = 60


def are_data(names: Collection[str]) -> bool:
    """Whether an object's keys are data, as symbols are, and no names of members: very many, or all look so."""
    return len(names) > MANY or (len(names) > 1 and all(map(_DATA.fullmatch, names)))


def is_moment(name: str) -> bool:
    """Whether a member of that name holds a moment: `timestamp`, `opened_at`, `lastUpdate`."""
    return bool(_MOMENT.fullmatch("_".join(_PARTS.findall(name)).lower()))


def is_kind(name: str) -> bool:
    """Whether a member of that name says what kind of thing a record is: `type`, `eventType`, `action`."""
    return bool(_KIND.fullmatch("_".join(_PARTS.findall(name)).lower()))


def is_growing(name: str) -> bool:
    """Whether a member of that name names a thing of which more will come: `pair`, `dex_1`, `tokenIn`, `strategies`."""
    parts = [part.lower() for part in _PARTS.findall(name)]
    while len(parts) > 1 and _QUALIFYING.fullmatch(parts[-1]):
        parts.pop()
    return bool(parts and _GROWING.fullmatch(parts[-1]))


def in_words(name: str) -> str:
    """`historical_metrics` and `tokenPair` as a title: `Historical metrics`, `Token pair`."""
    words = " ".join(part if part.isupper() and len(part) > 1 else part.lower() for part in _PARTS.findall(name))
    return (words[:1].upper() + words[1:])[:_WIDE]
