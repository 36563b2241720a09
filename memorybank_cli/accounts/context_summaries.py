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
    """The older half told in half as many where there are more than `MOST_SUMMARIES`; [] where there are not.

    So the whole stays small at any length of history, and the further back the shorter it is told. What is missing
    between two is not told away: they stay as they are.
    """
    if len(summaries) <= MOST_SUMMARIES:
        return []
    older = summaries[: MOST_SUMMARIES // 2]
    pairs = zip(older[::2], older[1::2], strict=True)
    return [_joined(one, other) for one, other in pairs if one["last"] + 1 == other["first"]]


def _joined(one: Summary, other: Summary) -> Summary:
    """Two summaries as one, in which nothing is taken from a message that it does not quote."""
    said = [*one["sentences"], *other["sentences"]]
    best = sorted(range(len(said)), key=lambda index: (-said[index]["weight"], index))[:MOST_SENTENCES]
    kept = [said[index] for index in sorted(best)]
    body = {
        "first": one["first"],
        "last": other["last"],
        "first_id": one["first_id"],
        "last_id": other["last_id"],
        "from": one["from"],
        "to": other["to"],
        "topics": _topics([sentence["text"] for sentence in kept]),
        "entities": entities(sentence["text"] for sentence in kept),
        "sentences": kept,
        "messages": list(dict.fromkeys(sentence["message"] for sentence in kept)),
    }
    return _named(body)
