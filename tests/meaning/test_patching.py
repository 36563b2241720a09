"""Single records in a document's bytes: they come, go and change, and nothing else does."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank_cli.bank.schemas import Registry
from memorybank_cli.base.exact_json import loads
from memorybank_cli.meaning.differences import compare_held
from memorybank_cli.meaning.patching import only, operated
from memorybank_cli.meaning.records import Held, Reader

READER = Reader(Registry())
PATH = "trades/list.json"


def trades(*numbers: int, value: Any = 1) -> list[dict[str, Any]]:
    return [{"trade_id": f"t{number}", "value": value, "text": 'a "b", [c] {d}'} for number in numbers]


def patched(now: bytes, then: bytes | None, ids: set[str], path: str = PATH) -> bytes:
    held = READER.held(path, *(loads(one) for one in (now, then) if one is not None))
    want = held[1] if then is not None else Held([])
    changes = [
        one for one in compare_held(held[0]._replace(beside=()), want._replace(beside=())).changes if one.id in ids
    ]
    return operated(now, held[0], then or b"", want, changes)


def text(value: Any, indent: int | None = None) -> bytes:
    return json.dumps(value, indent=indent).encode()


SOME = st.lists(st.integers(0, 8), unique=True, max_size=6)


@given(now=SOME, then=SOME, chosen=st.sets(st.integers(0, 8)), indent=st.sampled_from([None, 2]), bare=st.booleans())
def test_any_records_as_another_version_has_them(
    now: list[int], then: list[int], chosen: set[int], indent: int | None, bare: bool
) -> None:
    def document(values: list[Any]) -> bytes:
        return text(values if bare else {"note": [1], "trades": values, "after": {}}, indent)

    here, there = trades(*sorted(now)), trades(*sorted(then), value=2)
    found = patched(document(here), document(there), {f"t{number}" for number in chosen})
    expected = [
        one for number in range(9) for one in (there if number in chosen else here) if one["trade_id"] == f"t{number}"
    ]
    value = loads(found)
    held = value if bare else value["trades"]
    assert sorted(held, key=lambda one: one["trade_id"]) == expected
    for known in (here, there):  # those that a version has stand in its order
        names = [one["trade_id"] for one in known]
        order = [one["trade_id"] for one in held if one["trade_id"] in names]
        assert order == [name for name in names if name in order]
    if not bare:
        assert (value["note"], value["after"]) == ([1], {})
    if not chosen & ({*now} | {*then}):
        assert found == document(here)


@pytest.mark.parametrize("indent", [None, 4])
def test_what_comes_back_has_the_bytes_that_it_had(indent: int | None) -> None:
    then = text({"trades": trades(1, 2, 3)}, indent)
    for gone in (1, 2, 3):
        now = text({"trades": [one for one in trades(1, 2, 3) if one["trade_id"] != f"t{gone}"]}, indent)
        assert patched(now, then, {f"t{gone}"}) == then
    assert patched(text({"trades": []}, indent), then, {"t1", "t2", "t3"}) == then


def test_of_several_with_one_id_only_those_that_differ_change() -> None:
    then = text([{"id": "a", "p": 1}, {"id": "b", "p": 2}, {"id": "a", "p": 3}])
    now = text([{"id": "b", "p": 9}, {"id": "a", "p": 1}, {"id": "a", "p": 7}])
    expected = text([{"id": "b", "p": 9}, {"id": "a", "p": 1}, {"id": "a", "p": 3}])
    assert patched(now, then, {"a"}, "trades/t.json") == expected


def test_odd_spacing_stays() -> None:
    now = b'{ "trades" :[ {"trade_id":"t1"}\n,\t{"trade_id":"t3"} ] }'
    then = b'{"trades": [{"trade_id": "t1"}, {"trade_id": "t2"}, {"trade_id": "t3"}]}'
    assert (
        patched(now, then, {"t2"})
        == b'{ "trades" :[ {"trade_id":"t1"}\n,\t{"trade_id": "t2"}\n,\t{"trade_id":"t3"} ] }'
    )
    assert patched(now, then, {"t1"}) == now  # the same values
    assert patched(now, None, {"t1"}) == b'{ "trades" :[ {"trade_id":"t3"} ] }'
    assert patched(now, None, {"t1", "t3"}) == b'{ "trades" :[] }'


def test_members_of_a_document() -> None:
    now, then = b'{\n "a": 1,\n "b": {"c": 2}\n}\n', b'{"z": 0, "b": 3, "d,": [4]}'
    path = "state/state.json"
    assert patched(now, then, {"b"}, path) == b'{\n "a": 1,\n "b": 3\n}\n'
    assert patched(now, then, {"a", "d,"}, path) == b'{\n "b": {"c": 2},\n "d,": [4]\n}\n'
    assert patched(b"{}", then, {"z"}, path) == b'{"z": 0}'


def test_records_without_ids_are_anchors_too() -> None:
    now, then = text([{"v": 1}, {"v": 3}]), text([{"v": 1}, {"trade_id": "t", "v": 2}, {"v": 3}])
    assert loads(patched(now, then, {"t"})) == loads(then)


def test_only_some_records() -> None:
    data = text({"note": 1, "trades": trades(1, 2, 3)}, 2)
    (held,) = READER.held(PATH, loads(data))
    assert loads(only(data, held, {"t2"})) == {"note": 1, "trades": trades(2)}
    assert loads(only(data, held, set())) == {"note": 1, "trades": []}
