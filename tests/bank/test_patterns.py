from __future__ import annotations

import pytest

from memorybank_cli.bank.patterns import UnusableSchema, explodes, in_python, original


@pytest.mark.parametrize(
    "pattern", ["(a+)+", "(a*)*b", "(?:a|a)*", "((a+))+", "(a|b){2,}", "(x(a+)y)*", "([a-z]+,){5,}", "((a|b)c)+"]
)
def test_patterns_that_may_never_end(pattern: str) -> None:
    assert explodes(pattern)


@pytest.mark.parametrize(
    "pattern",
    ["^a+$", "(a|b)?", "(a+)?", "([0-9a-f]{4}-){3}", r"(a\+)+", "([+*|])+", "(a)(b+)c*", r"\(a+\)+", "a{2,3}"],
)
def test_patterns_that_end(pattern: str) -> None:
    assert not explodes(pattern)


def test_patterns_are_translated_where_they_are_patterns() -> None:
    schema = {
        "pattern": r"^a\$$|b$",
        "properties": {"pattern": {"pattern": "c$"}, "$ref": {"const": {"pattern": "d$"}}, "never": False},
        "patternProperties": {"_x$": False},
        "additionalProperties": False,
        "anyOf": [False, {"enum": ["e$"]}],
    }
    assert in_python(schema) == {
        "pattern": r"(?a)^a\$\Z|b\Z",
        "properties": {"pattern": {"pattern": r"(?a)c\Z"}, "$ref": {"const": {"pattern": "d$"}}, "never": {"not": {}}},
        "patternProperties": {r"(?a)_x\Z": {"not": {}}},
        "additionalProperties": False,
        "anyOf": [{"not": {}}, {"enum": ["e$"]}],
    }
    assert original(r"(?a)^a\Z") == "^a$"
    assert original(7) == 7


@pytest.mark.parametrize("pattern", ["(", "(?=a)", "(?P<n>a)", r"(a)\1", r"a\Z", "(a+)+", "a{99999999999}", r"\p{L}"])
def test_patterns_that_python_cannot_bear_are_refused(pattern: str) -> None:
    with pytest.raises(UnusableSchema, match=r"not supported|without end"):
        in_python({"items": [{"pattern": pattern}]})
