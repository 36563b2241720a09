"""Forms of text: which is recognised in which text, and that a schema asks for the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank_cli.bank.schemas import Registry
from memorybank_cli.meaning.formats import FORMS, forms_of, still
from tests.meaning.documents import TEXTS

REGISTRY = Registry({f"own-{name}": form.keywords for name, form in FORMS.items()})


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("2025-03-31T04:15:26Z", "date-time"),
        ("2025-03-31T04:15:26.100831-04:00", "date-time"),
        ("2025-03-31T00:15:26.100831", "time"),
        ("2025-03-31 00:15", "time"),
        ("2025-03-31T00:15:26+0400", "time"),
        ("2025-03-31", "date"),
        ("123e4567-e89b-42d3-a456-426614174000", "uuid"),
        ("0x" + "Ab" * 20, "hex0x40"),
        ("e" * 64, "hex64"),
        ("42", "digits"),
        ("-1.5e-7", "decimal"),
        ("+12.50", "decimal"),
        ("https://example.org/x?y=1", "address"),
        ("wss://example.org/stream", "address"),
    ],
)
def test_what_is_recognised(text: str, first: str) -> None:
    assert forms_of(text)[0] == first


@pytest.mark.parametrize(
    "text", ["", "buy", "2025", "2025-13-99T1", "0x12", "https://a b", "httpx://a", "1.2.3", "x" * 3000, "1\n", "1,5"]
)
def test_what_is_no_form_worth_asking_for(text: str) -> None:
    assert not any(FORMS[name].keywords for name in forms_of(text)[:1])


def test_one_more_text_leaves_what_both_have() -> None:
    assert still(("digits", "decimal"), "1.5") == ("decimal",)
    assert still(("digits", "decimal"), "7") == ("digits", "decimal")
    assert still(("decimal",), "7") == ("decimal",)
    assert still(("decimal",), "x") == ()


@given(TEXTS | st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9:.Z+-]*)?", fullmatch=True))
def test_a_schema_accepts_exactly_what_was_recognised(text: str) -> None:
    assert [name for name in forms_of(text) if not REGISTRY.matches(f"own-{name}", text)] == []


@given(TEXTS)
def test_what_has_not_the_form_does_not_match(text: str) -> None:
    for name, form in FORMS.items():
        if form.keywords and not form.matches(text):
            assert not REGISTRY.matches(f"own-{name}", text), name


def test_a_zone_may_be_added_to_times_that_had_none() -> None:
    forms = still(forms_of("2025-03-31T00:15:26.100831"), "2025-03-31 00:15")
    assert forms == ("time", "date-or-time")
    for text in ("2025-03-31T00:15:26.100831-04:00", "2025-03-31 00:15Z", "2025-03-31 00:15 +0400"):
        assert REGISTRY.matches(f"own-{forms[0]}", text)
    assert not REGISTRY.matches(f"own-{forms[0]}", "2025-03-31")
