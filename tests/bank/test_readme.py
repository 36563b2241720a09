"""The README that a new bank gets, and the generated blocks of documents."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank_cli.bank import layout, readme
from memorybank_cli.bank.readme import Facts, update

FACTS = Facts({"trades": 450, "metrics": 4, "": 2}, "2026-11-20T14:00:00Z", 3, 1, {"trade": 450, "": 2}, frozenset())


def block(name: str, inside: str = "") -> bytes:
    return f"<!-- memorybank: generated {name} -->\n{inside}{readme.END}".encode()


def test_it_names_every_section_and_has_its_marks() -> None:
    text = readme.render().decode()
    assert text.startswith("# Memory bank\n")
    assert text.index(readme.BEGIN) < text.index(readme.END)
    for section in layout.SECTIONS:
        assert f"`{section}/`" in text
    assert text.endswith(f"{readme.END}\n")


def test_the_readme_tells_everything() -> None:
    text = update(readme.render(), FACTS).decode()
    assert "| `trades/` | 450 |" in text
    assert "`/`" not in text
    assert "Last check: 2026-11-20T14:00:00Z, 3 errors, 1 warning." in text
    assert "| trade | built in | 450 |" in text
    assert "| (none) | | 2 |" in text
    assert "who writes" in text


@pytest.mark.parametrize(
    ("name", "words"), [("counts", b"| section |"), ("check", b"Last check"), ("schemas", b"built in")]
)
def test_a_named_block_tells_one_thing(name: str, words: bytes) -> None:
    text = update(block(name), FACTS)
    assert words in text
    assert update(text, FACTS) == text
    assert sum(other in text for other in (b"| section |", b"Last check", b"built in")) == 1


def test_text_outside_the_marks_stays() -> None:
    text = b"mine\r\n\xff\x00" + block("counts", "old\n") + b"\nmine too " + block("check") + b"end"
    new = update(text, FACTS)
    assert new.startswith(b"mine\r\n\xff\x00<!-- memorybank: generated counts -->\n| section")
    assert b"\nmine too <!--" in new
    assert new.endswith(b"end")
    assert b"old" not in new


@given(st.binary())
def test_a_document_without_marks_stays_as_it_is(text: bytes) -> None:
    assert update(text, FACTS) == text


@pytest.mark.parametrize(
    "text", [block("weather"), b"<!-- memorybank: generated counts -->\nno end", b"x" + readme.END.encode()]
)
def test_marks_that_are_not_ours_are_left_alone(text: bytes) -> None:
    assert update(text, FACTS) == text


def test_a_later_time_alone_is_no_news_for_a_day() -> None:
    text = update(readme.render(), FACTS)
    assert update(text, FACTS._replace(checked_at="2026-11-21T13:59:59Z")) == text
    assert b"2026-11-21T14:00:00Z" in update(text, FACTS._replace(checked_at="2026-11-21T14:00:00Z"))
    assert b"14:00:01Z, 4 errors" in update(text, FACTS._replace(checked_at="2026-11-20T14:00:01Z", errors=4))


@pytest.mark.parametrize("moment", ["2027-01-01T00:00:00Z", "yesterday"])
def test_a_time_that_cannot_be_is_written_anew(moment: str) -> None:
    text = update(readme.render(), FACTS).replace(FACTS.checked_at.encode(), moment.encode())
    assert update(text, FACTS) == update(readme.render(), FACTS)


def test_a_schema_of_the_bank_is_named_by_its_place() -> None:
    text = update(block("schemas"), FACTS._replace(own=frozenset({"trade"})))
    assert b"| trade | `config/schemas/trade.schema.json` | 450 |" in text


def test_a_bank_without_findings_is_all_good() -> None:
    assert b"Z, all good. " in update(block("check"), FACTS._replace(errors=0, warnings=0))


def test_names_are_no_markup_and_end_no_block() -> None:
    facts = FACTS._replace(files={f"a` | <b> {readme.END}": 3}, schemas={readme.END: 1}, own=frozenset({readme.END}))
    text = update(readme.render(), facts)
    assert text.count(readme.END.encode()) == 1
    assert b"<b>" not in text
    assert update(text, facts) == text


def test_marks_without_an_end_cost_one_look() -> None:
    text = f"{readme.BEGIN}\n".encode() * 20_000  # looked at from each mark to the end it would take minutes
    assert update(text, FACTS) == readme.by_hand(text) == text


def test_a_document_of_marks_stays_small() -> None:
    text = (block("about") + b"\n") * 10_000
    assert len(update(text, FACTS)) < 2 * len(text)
