from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank_cli.bank.framing import GENESIS, Line, frame, link, unframe
from memorybank_cli.base.exact_json import dumps

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
# Fields that reading relies on have shapes of their own: see `test_a_line_of_another_shape_is_none`.
SHAPED = {"seq", "op", "key", "commit", "hash", "id", "txn", "files", "breaks", "upto", "account", "accounts"}
NAMES = st.text(max_size=6).filter(lambda name: name not in SHAPED)
CORES = st.builds(
    lambda seq, op, rest: {"seq": seq, "op": op, **rest},
    st.integers(1, 10**12),
    st.text(max_size=10),
    st.dictionaries(NAMES, JSON, max_size=3),
)
DIGESTS = st.binary(min_size=1, max_size=4).map(lambda data: sha256(data).hexdigest())


@given(DIGESTS, CORES, JSON)
def test_a_line_is_read_as_it_was_written(previous: str, core: dict[str, Any], value: Any) -> None:
    raw, line = frame(previous, {**core}, None if value is None else dumps(value))
    assert raw.count(b"\n") == 1
    found = unframe(raw)
    assert found is not None
    assert found[0] == line
    assert found[0].value == value
    assert {name: one for name, one in line.core.items() if name != "commit"} == {**core, "key": None}
    assert link(previous, found[1]) == line.hash
    assert link(previous + "0", found[1]) != line.hash


def test_a_line_is_json_of_the_documented_shape() -> None:
    raw, line = frame(GENESIS, {"seq": 1, "op": "a.b"}, b'{"c":1}')
    value = json.loads(raw)
    assert list(value) == ["core", "hash", "data", "salt"]
    literal = raw[raw.index(b'{"seq"') : raw.index(b',"hash"')]
    assert value["hash"] == sha256(GENESIS.encode() + literal).hexdigest() == line.hash
    assert value["core"]["commit"] == sha256(value["salt"].encode() + b'{"c":1}').hexdigest()
    assert line.op == "a.b"
    bare = json.loads(frame(GENESIS, {"seq": 1, "op": "a.b"})[0])
    assert list(bare) == ["core", "hash"]
    assert "commit" not in bare["core"]


def test_the_same_data_commits_to_something_else_each_time() -> None:
    one, two = (frame(GENESIS, {"seq": 1, "op": "x"}, b'"guess me"')[1].core["commit"] for _ in "ab")
    assert one != two


@given(CORES, JSON.filter(lambda value: value is not None))
def test_data_and_salt_can_be_dropped_and_the_chain_still_holds(core: dict[str, Any], value: Any) -> None:
    raw, line = frame(GENESIS, core, None if value is None else dumps(value))
    bare = raw[: raw.index(b',"data":', len(b'{"core":') + raw.index(line.hash.encode()) - len(b'{"core":'))] + b"}\n"
    found = unframe(bare)
    assert found is not None
    assert found[0] == Line(line.seq, line.hash, line.core, None)
    assert found[0].value is None
    assert link(GENESIS, found[1]) == line.hash


def test_nested_names_do_not_confuse_the_reader() -> None:
    core = {"seq": 1, "op": "x", "note": '},"hash":"', "notes": [{"data": ',"salt":"'}]}
    raw, line = frame(GENESIS, core, dumps({"a": ',"salt":"', "salt": "1", "hash": {"b": {}}}))
    assert unframe(raw) == (line, raw[len(b'{"core":') : raw.index(b',"hash":"' + line.hash.encode())])


@pytest.mark.parametrize(
    "fields",
    [
        {"txn": 5},
        {"txn": ["a", "b", "c"]},
        {"breaks": 7},
        {"breaks": [[1]]},
        {"files": 3},
        {"files": [["a"]]},
        {"op": 1},
    ],
)
def test_a_line_of_another_shape_is_none(fields: dict[str, Any]) -> None:
    raw, _ = frame(GENESIS, {"seq": 1, "op": "x", **fields})
    assert unframe(raw) is None


def test_a_core_that_no_reader_could_delimit_is_not_written() -> None:
    with pytest.raises(ValueError, match="field named hash"):
        frame(GENESIS, {"seq": 1, "op": "x", "document": {"a": {}, "hash": "f" * 64}})
    for fields in ({"hash": "f"}, {"a": [{}], "hash": "f"}, {"document": {"hash": "f" * 64, "a": {}}}):
        raw, line = frame(GENESIS, {"seq": 1, "op": "x", **fields})
        found = unframe(raw)
        assert found is not None
        assert found[0] == line


GOOD = frame(GENESIS, {"seq": 7, "op": "x"}, b"[1]")[0]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\n",
        b"{}\n",
        GOOD[:-1],
        GOOD[1:],
        GOOD[:-2] + b"\n",
        GOOD.replace(b'"data":[1]', b'"data":[2]'),
        GOOD.replace(b'"salt":"', b'"salt":"0'),
        GOOD.replace(b',"data"', b',"date"'),
        GOOD.replace(b',"salt"', b',"sale"'),
        GOOD.replace(b'"seq":7', b'"seq":"7"'),
        GOOD.replace(b'"seq":7', b'"seq":7,"seq":7'),
        GOOD.replace(b'"op":"x"', b'"op":1'),
        GOOD.replace(b'"op"', b'"po"'),
        GOOD.replace(b'{"seq"', b'["seq"'),
        GOOD.replace(b',"hash"', b',"hush"'),
        b'{"core":[{}],"hash":"' + b"0" * 64 + b'"}\n',
        b'{"core":{"seq":1,"op":"x"},"hash":"short"}\n',
        b'{"core":{"seq":1,"op":"x"},"hash":"' + b"0" * 64 + b'",}\n',
    ],
)
def test_bytes_that_are_no_line(raw: bytes) -> None:
    assert raw != GOOD
    assert unframe(raw) is None


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 7))
def test_a_flipped_bit_of_a_line_never_passes(place: int, bit: int) -> None:
    raw = bytearray(GOOD)
    raw[place] ^= 1 << bit
    found = unframe(bytes(raw))
    assert found is None or link(GENESIS, found[1]) != found[0].hash


@given(st.binary(max_size=60))
def test_any_bytes_between_the_brackets_are_no_line_or_one(rest: bytes) -> None:
    for start in (b'{"core":{', b'{"core":{"seq":1,"op":""},"hash":"', GOOD[:-3]):
        unframe(start + rest + b"}\n")
