from __future__ import annotations

from typing import Any

import pytest

from memorybank_cli.bank.misfits import Fault, Misfit, describe, pointer, shorten
from memorybank_cli.bank.validators import build_compiled, build_reference


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
    assert [(one.pointer, one.message) for one in describe([fault], 5)] == [("", message)]


@pytest.mark.parametrize(
    ("fault", "expected", "found"),
    [
        (Fault("type", ["string", "null"], (), 1), "null or string", "1"),
        (Fault("required", "a\n", (), {}), r"the member 'a\x0a'", ""),
        (Fault("additionalProperties", ["x", "y"], (), {}), "only known members", "'x', 'y'"),
        (Fault("enum", ["a", 1], (), "b"), "one of 'a', 1", "'b'"),
        (Fault("enum", ["a" * 60] * 3, (), "b"), f"one of '{'a' * 60}', '{'a' * 60}', '{'a' * 21}...", "'b'"),
        (Fault("const", {"a": 1}, (), "b"), "an object of 1", "'b'"),
        (Fault("maxLength", 3, (), "long"), "at most 3 characters", "'long'"),
        (Fault("pattern", "^a$", (), "x", wanted="One a."), "One a", "'x'"),
        (Fault("pattern", "^a$", (), "x", wanted="a" * 200), "a" * 117 + "...", "'x'"),
        (Fault("falseSchema", None, (), 3), "something else, or nothing", "3"),
        (Fault("contains", {"const": 1}, (), [2]), "what satisfies contains", "an array of 1"),
    ],
)  # fmt: skip
def test_what_is_expected_and_found_stands_apart_too(fault: Fault, expected: str, found: str) -> None:
    assert [(one.expected, one.found) for one in describe([fault], 5)] == [(expected, found)]


def test_the_cause_is_in_the_message() -> None:
    fault = Fault("type", "number", ("price",), "12.5")
    [one] = describe([fault], 5)
    assert one == Misfit("/price", "expected number, found '12.5'; a number written as text", "number", "'12.5'")
    [one] = describe([Fault("required", "price", (), {"prise": 1, "size": 2}, known=("size",))], 5)
    assert one.message == "the member 'price' is missing; 'prise' may be meant for 'price'"


def alternatives(*branches: list[Fault], found: Any = {"p": "1"}, known: tuple[str, ...] = ()) -> list[tuple[str, str]]:  # noqa: B006
    fault = Fault("anyOf", None, ("x",), found, tuple(map(tuple, branches)), known=known)
    return [(one.pointer, one.message) for one in describe([fault], 5)]


def at(keyword: str, expected: Any, *path: str | int, found: Any = None) -> Fault:
    return Fault(keyword, expected, ("x", *path), found)


def test_alternatives_are_one_sentence() -> None:
    needed = "at least one of these members is needed: "
    missing = [[at("required", name, found={})] for name in ("a", "b")]
    assert alternatives(*missing, found={}) == [("/x", needed + "'a', 'b'")]
    assert alternatives([at("required", "a"), at("required", "b")], *missing[1:], found={}) == [
        ("/x", needed + "'a' and 'b', 'b'")
    ]
    kinds = [[at("type", kind, found={})] for kind in ("string", ["number", "null"])]
    assert alternatives(*kinds) == [("/x", "expected null or number or string, found an empty object")]
    assert alternatives([], []) == [("/x", "fits more than one of the alternatives: an object of 1")]


def test_a_misspelt_member_among_several_that_would_do() -> None:
    missing = [[at("required", name)] for name in ("timestamp", "opened_at")]
    needed = "at least one of these members is needed: 'timestamp', 'opened_at'"
    assert alternatives(*missing, found={"openedAt": 1}) == [
        ("/x", f"{needed}; 'openedAt' may be meant for 'opened_at'")
    ]
    assert alternatives(*missing, found={"openedAt": 1}, known=("openedAt",)) == [("/x", needed)]


def test_the_nearest_alternative_speaks_where_they_differ() -> None:
    other, inner = at("type", "array"), at("type", "number", "p", found="one")
    assert alternatives([other], [inner]) == [("/x/p", "expected number, found 'one'")]
    assert alternatives([at("falseSchema", None)], [inner]) == [("/x/p", "expected number, found 'one'")]


def test_the_member_that_tells_shapes_apart_decides() -> None:
    kind = at("const", "limit", "kind", found="market")
    size, price = at("type", "number", "size", found="big"), at("required", "price")
    assert alternatives([kind], [size, price]) == [
        ("/x", "the member 'price' is missing"),
        ("/x/size", "expected number, found 'big'"),
    ]
    assert alternatives([size, price], [kind, price])[0][0] == "/x"


def test_the_alternative_with_fewer_members_wrong_is_nearer() -> None:
    missing = [at("required", name) for name in ("a", "b", "c")]
    assert alternatives(missing[:2], missing[2:], [*missing, at("type", "number", "d", found="x")]) == [
        ("/x", "the member 'c' is missing")
    ]


def test_alternatives_that_are_equally_near_are_all_named() -> None:
    first, second = at("pattern", "^a", found="c"), at("pattern", "^b", found="c")
    assert alternatives([first], [second]) == [
        ("/x", "expected text that matches ^a or text that matches ^b, found 'c'")
    ]
    values = [[at("const", value, found="c")] for value in ("a", "b")]
    assert alternatives(*values) == [("/x", "expected one of 'a', 'b', found 'c'")]
    assert alternatives([at("enum", ["a", "b"], found="c")], *values) == [("/x", "expected one of 'a', 'b', found 'c'")]
    assert alternatives([first], [second], [at("type", "null", found="c")])[0][1].startswith(
        "expected text that matches ^a or"
    )


def nothing(uri: str) -> Any:
    raise LookupError(uri)


SHAPES: dict[str, Any] = {
    "oneOf": [
        {
            "type": "object",
            "required": ["kind", "size"],
            "properties": {"kind": {"const": "market"}, "size": {"type": "number"}},
        },
        {
            "type": "object",
            "required": ["kind", "size", "price"],
            "properties": {"kind": {"const": "limit"}, "size": {"type": "number"}, "price": {"type": "number"}},
        },
        {"type": "array", "items": {"type": "object", "required": ["kind"]}},
    ]
}


@pytest.mark.parametrize(
    ("value", "places"),
    [
        ({"kind": "market", "size": "1"}, ["/size"]),
        ({"kind": "limit", "size": 1, "price": "x"}, ["/price"]),
        ({"kind": "limit", "price": None}, ["", "/price"]),
        ({"kind": "stop", "size": 1}, ["/kind"]),
    ],
)
def test_a_shape_is_known_by_its_kind(value: Any, places: list[str]) -> None:
    for build in (build_compiled, build_reference):
        assert [one.pointer for one in describe(build(SHAPES, nothing).faults(value), 5)] == places


def test_a_kind_of_no_shape() -> None:
    for build in (build_compiled, build_reference):
        [one] = describe(build(SHAPES, nothing).faults({"kind": "stop"}), 5)
        assert (one.pointer, one.message) == ("/kind", "expected one of 'market', 'limit', found 'stop'")


@pytest.mark.parametrize("value", [[{"kind": "market"}, {}], [{}], "text"])
def test_elsewhere_the_choice_is_that_of_jsonschema(value: Any) -> None:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    best = best_match(Draft202012Validator(SHAPES).iter_errors(value))
    assert best is not None
    for build in (build_compiled, build_reference):
        found = [one.pointer for one in describe(build(SHAPES, nothing).faults(value), 5)]
        assert found == [pointer(best.absolute_path)]


def test_the_outermost_come_first_without_repetition() -> None:
    deep, flat = Fault("type", "string", ("a", "b"), 1), Fault("type", "string", ("z",), 1)
    assert [one.pointer for one in describe([deep, deep, flat], 5)] == ["/z", "/a/b"]
    assert [one.pointer for one in describe([deep, deep, flat], 1)] == ["/z"]
