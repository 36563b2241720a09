"""The words of messages: what they are made of, where a sentence ends, what is named, and what makes one important."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import lru_cache

LONGEST = 400
"""Characters of a sentence that a summary takes over; the rest is cut off."""
READ = 20_000
"""Characters of a message that are looked at."""
EITHER_END = 12
"""Sentences of a longer message that are looked at, from its beginning and up to its end."""
MOST_NAMES = 8

_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")
_UNSPACED = re.compile(r"[぀-ヿ㐀-鿿豈-﫿]+")  # scripts without spaces between words
_SENTENCE = re.compile(r"(?<=[.!?…])[\"'\u201d\u2019)\]]*\s+|(?<=[\u3002\uff01\uff1f])|\n+")
_NAME = re.compile(r"(?:[^\W\d_a-z][\w&'\u2019.-]*\w|[^\W\d_a-z])(?:\s+[^\W\d_a-z][\w&'\u2019-]*)*")
_CODED = re.compile(
    r"[@#]\w[\w-]+|\b[A-Z][A-Z0-9]+(?:[-/_][A-Z0-9]+)+\b|\b[\w.-]+\.(?:json|py|md|csv|txt|com|org|io)\b"
)
_QUOTED = re.compile(r"[\"\u201c\u00ab]([^\"\u201d\u00bb\n]{2,60})[\"\u201d\u00bb]")
_NUMBER = re.compile(r"\d")
_DECISION = re.compile(
    r"\b(?:decid\w+|decision|agreed?|settled?\s+on|chose|chosen|choose|go(?:ing)?\s+with|let['\u2019]?s\s+(?:use|go|do|take|keep)"
    r"|we(?:['\u2019]ll|\s+will|\s+should)\s+(?:use|go|take|keep)|conclu\w+|prefer\w*|instead\s+of|approved?|rejected?)\b"
)
_COMMITMENT = re.compile(
    r"\b(?:(?:i|we|you|he|she|they)(?:['\u2019]ll|\s+will|\s+shall|\s+must|\s+have\s+to)|promise\w*|plan(?:s|ned|ning)?\s+to"
    r"|going\s+to|deadline|due\s+(?:on|by)|remind\w*|to-?do|by\s+(?:tomorrow|monday|tuesday|wednesday|thursday|friday"
    r"|saturday|sunday|next\s+\w+)|need(?:s)?\s+to)\b"
)
_STOP_WORDS = """
a about above after again against ain all also always am an and any are aren't as at be because been before being
below between both but by can can't cannot come could couldn't d did didn't do does doesn't doing don don't down
during each even ever every few for from further get go going good got great had hadn't has hasn't have haven't having
he he'd he'll he's hello help her here hers herself hey hi him himself his how i i'd i'll i'm i've if in into is isn't
it it'd it'll it's its itself just know let let's like ll lot m make many may maybe me might more most much must my
myself need no nor not now of off oh ok okay on once one only or other our ours ourselves out over own please re
really s same say see she she'd she'll she's should shouldn't so some something sounds still such sure t take tell
than thank thanks that that's the their theirs them themselves then there there's these they they'd they'll they're
they've thing things think this those through time to today tomorrow too try two under until up us use very want was
wasn't way we we'd we'll we're we've well were weren't what what's when where which while who whom why will with won't
would wouldn't yeah yes yesterday yet you you'd you'll you're you've your yours yourself yourselves
"""
_STOP = frozenset(_STOP_WORDS.split())


def words(text: str) -> Iterator[str]:
    """The stems of the words that carry meaning; of scripts without spaces pairs of characters."""
    return (stem for stem, _ in forms_of(text))


def forms_of(text: str) -> Iterable[tuple[str, str]]:
    """The same, each with the word as it is written, in lower case."""
    return _forms(text) if len(text) <= LONGEST else _found(text)


@lru_cache(maxsize=4_096)  # each is asked for several times; of longer ones too much would be kept
def _forms(text: str) -> tuple[tuple[str, str], ...]:
    return tuple(_found(text))


def _found(text: str) -> Iterator[tuple[str, str]]:
    for found in _WORD.findall(text[:READ].lower()):
        word = found.replace("\u2019", "'").removesuffix("'s")
        if _UNSPACED.search(word):
            for run in _UNSPACED.findall(word):
                pairs = [run[at : at + 2] for at in range(max(1, len(run) - 1))]
                yield from zip(pairs, pairs, strict=True)
        elif len(word) > 1 and word not in _STOP and not word.isdigit():
            yield _stem(word), word


@lru_cache(maxsize=20_000)
def _stem(word: str) -> str:
    """A word without its commonest English ending; only has to bring the forms of one word together."""
    for ending, least in (("ies", 5), ("ing", 6), ("edly", 7), ("ed", 5), ("es", 5), ("s", 4), ("ly", 6)):
        if word.endswith(ending) and len(word) >= least and not word.endswith("ss"):
            word = word[: -len(ending)] + ("y" if ending == "ies" else "")
            break
    if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "aeiouls":
        word = word[:-1]
    return word.removesuffix("e") if len(word) > 3 else word


def sentences(text: str) -> list[str]:
    """The sentences of a text, each on one line and at most `LONGEST` characters; of a long text the first and last."""
    found = [" ".join(part.split()) for part in _SENTENCE.split(text[:READ])]
    said = [part if len(part) <= LONGEST else part[: LONGEST - 1] + "…" for part in found if part]
    return said if len(said) <= 2 * EITHER_END else [*said[:EITHER_END], *said[-EITHER_END:]]


def marks(sentence: str) -> list[str]:
    """What makes a sentence important: number, name, decision, question, commitment."""
    lower = sentence.lower()
    found = {
        "number": _NUMBER.search(sentence),
        "name": _names(sentence),
        "decision": _DECISION.search(lower),
        "question": sentence.rstrip("\"'\u201d\u2019)").endswith(("?", "\uff1f")),
        "commitment": _COMMITMENT.search(lower),
    }
    return [name for name, there in found.items() if there]


def entities(parts: Iterable[str]) -> list[str]:
    """What is named in sentences, the most often named first."""
    counted = Counter(name for part in parts for name in _names(part))
    return [name for name, _ in sorted(counted.items(), key=lambda one: (-one[1], one[0]))[:MOST_NAMES]]


@lru_cache(maxsize=4_096)  # each is asked for twice
def _names(sentence: str) -> tuple[str, ...]:
    rest = _QUOTED.sub(" ", sentence)
    found = [*_QUOTED.findall(sentence), *_CODED.findall(rest)]
    for one in _NAME.finditer(_CODED.sub(" ", rest)):
        name = one[0].rstrip(".-'\u2019&")
        first = _is_first(rest, one.start())
        if first and name.partition(" ")[0].lower() in _STOP:
            name, first = name.partition(" ")[2], False
        several = " " in name
        if len(name) > 1 and (several or not first) and name.partition(" ")[0].lower() not in _STOP:
            found.append(name)
    return tuple(found)


def _is_first(sentence: str, at: int) -> bool:
    """Whether only signs stand before a place, so that a capital letter says nothing."""
    return not any(char.isalnum() for char in sentence[:at])
