from __future__ import annotations

import pytest

from memorybank_cli.accounts.context_words import EITHER_END, LONGEST, READ, entities, marks, sentences, words


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("swap", "swaps"),
        ("limit", "limited"),
        ("trade", "trading"),
        ("agency", "agencies"),
        ("stop", "stopped"),
        ("Marta", "Marta's"),
        ("it\u2019s Marta", "it's Marta\u2019s"),
    ],
)
def test_forms_of_a_word_are_one(one: str, other: str) -> None:
    assert list(words(one)) == list(words(other)) != []


def test_words_that_carry_nothing_are_left_out() -> None:
    assert list(words("It is what you've got, and 42 of them!")) == []
    assert list(words("class pass")) == ["class", "pass"]


def test_scripts_without_spaces_give_pairs_of_characters() -> None:
    assert list(words("我喜欢音乐 ok")) == ["我喜", "喜欢", "欢音", "音乐"]
    assert list(words("茶")) == ["茶"]
    assert list(words("gas茶費")) == ["茶費"]


def test_sentences_end_where_they_end() -> None:
    assert sentences('He said "no." Then 3.5 gwei!  Why?\nA list\n\nof lines') == [
        'He said "no.',
        "Then 3.5 gwei!",
        "Why?",
        "A list",
        "of lines",
    ]
    assert sentences("你好\u3002我很好\uff01") == ["你好\u3002", "我很好\uff01"]
    assert sentences(" \n ") == []


def test_a_long_sentence_is_cut() -> None:
    (found,) = sentences("x" * 1_000)
    assert len(found) == LONGEST
    assert found.endswith("x…")


def test_of_a_long_text_both_ends_are_looked_at() -> None:
    found = sentences(" ".join(f"Sentence {number}." for number in range(1_000)))
    assert len(found) == 2 * EITHER_END
    assert found[0] == "Sentence 0."
    assert found[-1] == "Sentence 999."
    assert len("".join(sentences("a. " * READ))) < READ


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("Gas is 35.5 now.", ["number"]),
        ("the pair is WETH-DAI", ["name"]),
        ("Yesterday Marta Keller called.", ["name"]),
        ("we decided to wait", ["decision"]),
        ("let's use the other pool", ["decision"]),
        ("is it done?", ["question"]),
        ("真的吗\uff1f", ["question"]),
        ("I'll write it down", ["commitment"]),
        ("remind me by tomorrow", ["commitment"]),
        ("Let's go with Base at 40?", ["number", "name", "decision", "question"]),
        ("nothing here", []),
        ("", []),
    ],
)
def test_marks(sentence: str, expected: list[str]) -> None:
    assert marks(sentence) == expected


def test_entities_are_the_names_the_most_often_named_first() -> None:
    found = entities(
        [
            "Marta Keller lives in Bern.",
            "Yesterday Marta Keller read “Silent Spring” and sent report.md to @ops.",
            "The Albertina is in Vienna.",
            "Vienna is far, I'm told.",
            "In Bern it rains; WETH-DAI rises.",
        ]
    )
    assert found[0] == "Bern"
    assert set(found) == {
        "Bern",
        "Marta Keller",
        "Silent Spring",
        "report.md",
        "@ops",
        "Albertina",
        "Vienna",
        "WETH-DAI",
    }


def test_a_capital_at_the_beginning_is_no_name() -> None:
    assert entities(["Tomatoes need water.", "- Water them.", "I am here."]) == []
