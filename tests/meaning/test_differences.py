"""What differs between two versions of a document."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memorybank_cli.bank.schemas import Registry
from memorybank_cli.base.exact_json import dumps, loads
from memorybank_cli.meaning.differences import Comparison, Field, compare, compare_records, fields
from memorybank_cli.meaning.records import Reader, Record

READER = Reader(Registry())
PATH = "trades/a.json"


def between(before: Any, after: Any, path: str = PATH) -> Comparison:
    return compare(READER, path, dumps(before), dumps(after))


def told(found: Comparison) -> list[tuple[str, str, str]]:
    return [(one.what, one.id, one.pointer) for one in found.changes]


def test_the_fields_of_a_changed_trade() -> None:
    found = between({"id": 1, "price": 2.5, "old": None}, {"id": 1, "price": 2.50001, "new": [1]})
    [change] = found.changes
    assert (change.what, change.kind, change.id, change.pointer) == ("changed", "trade", "1", "")
    assert change.fields == (
        Field("/price", "changed", 2.5, 2.50001),
        Field("/old", "removed", None, None),
        Field("/new", "added", None, [1]),
    )
    assert change.as_dict() == {
        "what": "changed",
        "kind": "trade",
        "id": "1",
        "pointer": "",
        "fields": [
            {"pointer": "/price", "what": "changed", "before": 2.5, "after": 2.50001},
            {"pointer": "/old", "what": "removed", "before": None},
            {"pointer": "/new", "what": "added", "after": [1]},
        ],
    }


def test_a_file_of_one_record_is_that_record_whatever_its_id() -> None:
    [change] = between({"id": 1}, {"id": 2}).changes
    assert (change.what, change.fields) == ("changed", (Field("/id", "changed", 1, 2),))


def test_records_of_a_list_by_their_ids() -> None:
    before = [{"id": 1, "p": 1}, {"id": 2, "p": 1}, {"id": 3, "p": 1}]
    after = [{"id": 3, "p": 1}, {"id": 4, "p": 1}, {"id": 1, "p": 2}]
    found = between(before, after)
    assert told(found) == [("added", "4", "/1"), ("changed", "1", "/2"), ("removed", "2", "/1")]
    assert found.reordered
    assert found.changes[0].as_dict()["after"] == {"id": 4, "p": 1}
    assert found.changes[2].as_dict() == {
        "what": "removed", "kind": "trade", "id": "2", "pointer": "/1", "before": {"id": 2, "p": 1}
    }  # fmt: skip


def test_only_another_order() -> None:
    assert between([{"id": 1}, {"id": 2}], [{"id": 2}, {"id": 1}]) == Comparison((), reordered=True)


def test_of_records_with_one_id_the_same_content_is_the_same_record() -> None:
    first, second = {"id": 1, "p": 1}, {"id": 1, "p": 2}
    assert told(between([first, second], [second])) == [("removed", "1", "/0")]
    assert told(between([first, first], [first, second])) == [("changed", "1", "/1")]
    assert told(between([first], [second, second])) == [("changed", "1", "/0"), ("added", "1", "/1")]


def test_records_without_any_id_by_content_then_by_order() -> None:
    assert told(between([{"p": 1}, {"p": 2}], [{"p": 2}])) == [("removed", "", "/0")]
    assert told(between([{"p": 1}, {"p": 2}, {"p": 2}], [{"p": 1}, {"p": 2}, {"p": 3}])) == [("changed", "", "/2")]
    three = told(between([{"p": 1}, {"p": 2}], [{"p": 3}]))
    assert three == [("added", "", "/0"), ("removed", "", "/0"), ("removed", "", "/1")]


def test_one_trade_that_became_a_list() -> None:
    found = between({"id": 1, "p": 1}, [{"id": 1, "p": 1}, {"id": 2}])
    assert (told(found), found.reshaped) == ([("added", "2", "/1")], True)
    assert between([{"id": 1}], {"trades": [{"id": 1}]}) == Comparison(reshaped=True)


def test_members_beside_a_list() -> None:
    found = between({"trades": [{"id": 1}], "total": 1}, {"trades": [{"id": 1}, {"id": 2}], "total": 2})
    assert told(found) == [("added", "2", "/trades/1"), ("changed", "total", "/total")]


def test_members_of_metrics_in_any_order() -> None:
    found = between({"a": {"x": 1, "y": [1, 2]}, "b": 1}, {"b": 1, "a": {"y": [1, 3], "x": 1}}, "metrics/m.json")
    assert found == Comparison(found.changes)
    [change] = found.changes
    assert (change.id, change.fields) == ("a", (Field("/y/1", "changed", 2, 3),))


@pytest.mark.parametrize(
    ("before", "after"),
    [(1, 1.0), (True, 1), (0.0, -0.0), (None, False), (10**30, 10**30 + 1), ("1", 1), ([], {})],
)
def test_values_that_python_calls_equal_are_not(before: Any, after: Any) -> None:
    [change] = between({"id": 1, "v": before}, {"id": 1, "v": after}).changes
    assert change.fields == (Field("/v", "changed", before, after),)
    assert not between({"v": before}, {"v": before}).changes


def test_the_same_values_written_differently() -> None:
    assert compare(READER, PATH, b'{"id": 1, "p": 1.50}', b'{"p":1.5,"id":1}') == Comparison()
    assert compare(READER, PATH, b"{", b"{") == Comparison()


def test_a_file_that_came_or_went() -> None:
    assert told(compare(READER, PATH, None, b'[{"id": 1}, {"id": 2}]')) == [("added", "1", "/0"), ("added", "2", "/1")]
    assert told(compare(READER, PATH, b'{"id": 1}', None)) == [("removed", "1", "")]
    assert told(compare(READER, "metrics/m.json", None, b'{"a": 1}')) == [("added", "a", "/a")]


@pytest.mark.parametrize(
    ("before", "after", "side"),
    [
        (b"{", b"{}", "before"),
        (b"{}", b"", "after"),
        (b"{", b"[", "both"),
        (None, b"[", "after"),
        (b"[", None, "before"),
    ],
)
def test_of_damaged_versions_only_the_bytes_differ(before: bytes | None, after: bytes | None, side: str) -> None:
    assert compare(READER, PATH, before, after) == Comparison(damaged=side)  # type: ignore[arg-type]


def test_a_document_that_is_no_json_has_no_records() -> None:
    assert compare(READER, "docs/a.md", b"one", b"two") == Comparison()


def test_items_of_inner_lists() -> None:
    assert list(fields([1, 2, 3], [1, 3, 4])) == [Field("/2", "added", None, 4), Field("/1", "removed", 2, None)]
    assert list(fields([1, 2, 3], [1, 4, 3])) == [Field("/1", "changed", 2, 4)]
    assert list(fields([1, 2, 3], [0, 1, 2, 3])) == [Field("/0", "added", None, 0)]
    assert list(fields([1, 2, 3], [1, 3])) == [Field("/1", "removed", 2, None)]
    assert list(fields(["a", "b"], ["b", "a"])) == [Field("", "reordered", ["a", "b"], ["b", "a"])]
    old, new = [{"id": 1, "q": 1}, {"id": 2, "q": 1}], [{"id": 2, "q": 5}, {"id": 1, "q": 1}]
    assert list(fields(old, new)) == [Field("/0/q", "changed", 1, 5), Field("", "reordered", old, new)]
    assert Field("", "reordered", old, new).as_dict() == {"pointer": "", "what": "reordered"}


def test_the_same_records_in_other_places() -> None:
    was = [Record("message", "a", "/messages/7", {"t": 1}), Record("message", "b", "/messages/8", {"t": 2})]
    now = [Record("message", "b", "/messages/0", {"t": 2})]
    assert told(compare_records(was, now)) == [("removed", "a", "/messages/7")]


def test_changes_applied_to_the_old_records_give_the_new_ones() -> None:
    """Whatever is changed at random: what the comparison says is what makes the one out of the other."""
    chance = random.Random(4)
    for _ in range(300):
        before = [{"id": chance.randrange(6), "p": chance.randrange(3)} for _ in range(chance.randrange(6))]
        after = [one for one in before if chance.random() < 0.7]
        after += [{"id": chance.randrange(6), "p": chance.randrange(3)} for _ in range(chance.randrange(3))]
        chance.shuffle(after)
        kept = [dumps(one) for one in before]
        for change in between(before, after).changes:
            if change.what != "added":
                kept.remove(dumps(change.before))
            if change.what != "removed":
                kept.append(dumps(change.after))
        assert sorted(kept) == sorted(map(dumps, after))


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from([0.0, 1.0, 1.5, 2**70])
    | st.text("ab/~", max_size=2)
)
KEYS = st.sampled_from(["id", "name", "ts", "a", "b_id", "~/"])
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4))


@given(VALUES, VALUES)
@settings(max_examples=500)
def test_no_field_differs_only_where_nothing_does(before: Any, after: Any) -> None:
    same = json.dumps(before, sort_keys=True) == json.dumps(after, sort_keys=True)
    assert (not list(fields(before, after))) == same
    assert list(fields(before, before)) == []
    for path in ("trades/a.json", "metrics/a.json", "agents/a.json", "account_a/short_term.json"):
        found = between(before, after, path)
        assert (found == Comparison()) == same


def test_a_large_list_costs_as_much_as_it_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted, not timed: each record is written as text a fixed number of times."""
    from memorybank_cli.meaning import differences

    calls = 0
    text = differences._text

    def counting(value: Any) -> bytes:
        nonlocal calls
        calls += 1
        return text(value)

    monkeypatch.setattr(differences, "_text", counting)
    for with_id in (True, False):
        calls = 0
        before = [{"id": number, "p": 1} if with_id else {"p": number} for number in range(5_000)]
        found = between(before, list(reversed(before))[1:])
        assert (len(found.changes), found.reordered) == (1, True)
        assert calls <= 4 * 5_000
    assert loads(dumps(before)) == before
