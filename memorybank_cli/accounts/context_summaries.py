"""Summaries of messages: a conversation is cut where its topic changes, and each part keeps its best sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from memorybank_cli.accounts.context_sentences import Ranked, Sentence, chosen
from memorybank_cli.accounts.context_topics import turns
from memorybank_cli.accounts.context_words import entities, forms_of, sentences
from memorybank_cli.accounts.contexts import Summary
from memorybank_cli.base import digests
from memorybank_cli.base.exact_json import dumps

LONGEST = 50
"""Messages of one summary; a longer topic has several."""
MOST_SENTENCES = 5
MOST_TOPICS = 6
MOST_SUMMARIES = 64
_PER_SENTENCE = 5  # messages

Message = dict[str, Any]


def summarised(messages: Sequence[Message], before: Sequence[Summary] = ()) -> list[Summary]:
    """Summaries of consecutive messages, each with its position; `before` are those of what came before them.

    The same for the same messages. The last one is of a topic that may go on.
    """
    parts = list(_parts(messages))
    told = [one["text"] for summary in before for one in summary["sentences"]]
    split = [
        [Sentence(index, text) for index, one in enumerate(part) for text in sentences(one["content"])]
        for part in parts
    ]
    counts = [min(MOST_SENTENCES, -(-len(part) // _PER_SENTENCE)) for part in parts]
    ranked = chosen(split, counts, told)
    return [_summary(part, found) for part, found in zip(parts, ranked, strict=True)]


def _parts(messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
    """The messages of each topic, in pieces of at most `LONGEST`."""
    cuts = [0, *(turn.at for turn in turns(messages)), len(messages)]
    for start, end in zip(cuts, cuts[1:], strict=False):
        for at in range(start, end, LONGEST):
            yield messages[at : min(at + LONGEST, end)]


def _summary(part: Sequence[Message], ranked: Sequence[Ranked]) -> Summary:
    first, last = part[0], part[-1]
    body = {
        "first": first["seq"],
        "last": last["seq"],
        "first_id": first["id"],
        "last_id": last["id"],
        "from": first["timestamp"],
        "to": last["timestamp"],
        "topics": _topics([one["content"] for one in part]),
        "entities": entities(text for one in part for text in sentences(one["content"])),
        "sentences": [
            {
                "message": part[one.sentence.message]["id"],
                "role": part[one.sentence.message]["role"],
                "text": one.sentence.text,
                "marks": one.marks,
                "weight": one.weight,
            }
            for one in ranked
        ],
        "messages": [one["id"] for one in part],
    }
    return _named(body)


def _topics(texts: Sequence[str]) -> list[str]:
    """The words that most of the texts share, as they are written there most often."""
    written: dict[str, Counter[str]] = {}
    shared: Counter[str] = Counter()
    for text in texts:
        forms = list(forms_of(text))
        for word, form in forms:
            written.setdefault(word, Counter())[form] += 1
        shared.update({word for word, _ in forms})
    best = sorted(shared, key=lambda word: (-shared[word], word))[:MOST_TOPICS]
    return [min(written[word].items(), key=lambda one: (-one[1], one[0]))[0] for word in best]


def _named(body: Summary) -> Summary:
    """A summary with its id, which is made of what it says."""
    return {"id": digests.of(dumps(body))[:32], **body}


def condensed(summaries: Sequence[Summary]) -> list[Summary]:
    """Neighbours told as one where there are more than `MOST_SUMMARIES`; [] where there are not.

    Those go first that are shortest for how far back they are. So the whole stays small at any length of history, and
    each summary stands for a part of it in proportion to its age. What is missing between two is not told away.
    """
    if len(summaries) <= MOST_SUMMARIES:
        return []
    groups = [[one] for one in summaries]
    while len(groups) > MOST_SUMMARIES * 3 // 4:
        pairs = list(zip(groups, groups[1:], strict=False))
        near = [at for at, (one, other) in enumerate(pairs) if one[-1]["last"] + 1 == other[0]["first"]]
        if not near:
            break
        at = min(near, key=lambda at: _share_of_age(*pairs[at], summaries[-1]["last"]))
        groups[at : at + 2] = [groups[at] + groups[at + 1]]
    return [_joined(group) for group in groups if len(group) > 1]


def _share_of_age(one: Sequence[Summary], other: Sequence[Summary], end: int) -> float:
    first = one[0]["first"]
    return float((other[-1]["last"] - first + 1) / (end - first + 1))


def _joined(group: Sequence[Summary]) -> Summary:
    """Summaries as one, in which nothing is taken from a message that it does not quote."""
    said = [sentence for one in group for sentence in one["sentences"]]
    best = sorted(range(len(said)), key=lambda index: (-said[index]["weight"], index))[:MOST_SENTENCES]
    kept = [said[index] for index in sorted(best)]
    body = {
        "first": group[0]["first"],
        "last": group[-1]["last"],
        "first_id": group[0]["first_id"],
        "last_id": group[-1]["last_id"],
        "from": group[0]["from"],
        "to": group[-1]["to"],
        "topics": _topics([sentence["text"] for sentence in kept]),
        "entities": entities(sentence["text"] for sentence in kept),
        "sentences": kept,
        "messages": list(dict.fromkeys(sentence["message"] for sentence in kept)),
    }
    return _named(body)
