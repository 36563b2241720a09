from __future__ import annotations

from typing import Any

import pytest

from memorybank_cli.bank.misfits import Fault, Misfit, describe, pointer, shorten


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (1.5, "1.5"),
        (10**20, "100000000000000000000"),
        (-(10**99), "an integer of about 100 digits"),
        ("a", "'a'"),
        ("a" * 60, "'" + "a" * 60 + "'"),
        ("a" * 61, "'" + "a" * 57 + "...'"),
        ("\x1b[31mred\n", r"'\x1b[31mred\x0a'"),
        ("\x1b" * 60, "'" + r"\x1b" * 14 + r"\...'"),
        ({}, "an empty object"),
        ({"secret": 1}, "an object of 1"),
        ([[]], "an array of 1"),
        ([], "an empty array"),
    ],
)
def test_shorten(value: Any, text: str) -> None:
    assert shorten(value) == text


def test_pointer_escapes_what_rfc_6901_asks_for() -> None:
    assert pointer(["a/b", 0, "m~n", ""]) == "/a~1b/0/m~0n/"
    assert pointer([]) == ""


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Fault("type", "string", (), 1), "expected string, found 1"),
        (Fault("type", ["string", "null"], (), 1), "expected null or string, found 1"),
        (Fault("required", "a\n", (), {}), r"the member 'a\x0a' is missing"),
        (Fault("additionalProperties", ["x"], (), {}), "unknown member: 'x'"),
        (Fault("additionalProperties", [str(n) for n in range(14)], (), {}),
         "unknown member: '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '10', '11' and 2 more"),
        (Fault("enum", ["a", 1], (), "b"), "expected one of 'a', 1, found 'b'"),
        (Fault("maxLength", 3, (), "long"), "expected at most 3 characters, found 'long'"),
        (Fault("pattern", "\x1b$", (), "x"), r"expected text that matches \x1b$, found 'x'"),
        (Fault("pattern", "^a$", (), "x", wanted="One a.\x1b"), r"expected One a.\x1b, found 'x'"),
        (Fault("contains", {"const": 1}, (), [2]), "does not satisfy contains: an array of 1"),
    ],
)  # fmt: skip
def test_messages(fault: Fault, message: str) -> None:
    assert describe([fault], 5) == [Misfit("", message)]


def alternatives(*branches: list[Fault]) -> list[Misfit]:
    return describe([Fault("anyOf", None, ("x",), {"p": "1"}, tuple(map(tuple, branches)))], 5)


def test_alternatives_are_one_sentence() -> None:
    missing = [[Fault("required", name, ("x",), {})] for name in ("a", "b")]
    assert alternatives(*missing) == [Misfit("/x", "at least one of these members is needed: 'a', 'b'")]
    kinds = [[Fault("type", kind, ("x",), {})] for kind in ("string", ["number", "null"])]
    assert alternatives(*kinds) == [Misfit("/x", "expected null or number or string, found an object of 1")]
    assert alternatives([], []) == [Misfit("/x", "fits more than one of the alternatives: an object of 1")]


def test_the_nearest_alternative_speaks_where_they_differ() -> None:
    other = Fault("type", "array", ("x",), {})
    inner = Fault("type", "number", ("x", "p"), "1")
    assert alternatives([other], [inner]) == [Misfit("/x/p", "expected number, found '1'")]


def test_the_outermost_come_first_without_repetition() -> None:
    deep, flat = Fault("type", "string", ("a", "b"), 1), Fault("type", "string", ("z",), 1)
    assert [one.pointer for one in describe([deep, deep, flat], 5)] == ["/z", "/a/b"]
    assert [one.pointer for one in describe([deep, deep, flat], 1)] == ["/z"]
