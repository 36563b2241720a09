"""Files that are large, or made to cost: each costs bounded memory, and is a finding where it is too much."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from memorybank_cli.base.strict_json import HARD_SIZE, MEMORY_BUDGET, parse_cost
from tests.bad_input.surveying import Commands, measured
from tests.conftest import Run
from tests.operations.banks import contents, put

MEMORY = 200 << 20
SIZE = HARD_SIZE - 64


def fill(part: bytes, before: bytes = b"[", after: bytes = b"]", joined: bytes = b",") -> bytes:
    """A document of just under 64 MiB made of many equal parts."""
    count = (SIZE - len(before) - len(after)) // (len(part) + len(joined))
    return before + (part + joined) * (count - 1) + part + after


def many_keys() -> bytes:
    """An object in which every key is another."""
    out = io.BytesIO()
    out.write(b"{")
    for number in range(SIZE // 12):
        out.write(b'"%06x":0,' % number)
    out.write(b'"":0}')
    return out.getvalue()


HOSTILE: dict[str, Callable[[], bytes]] = {
    "zeros": lambda: fill(b"0"),
    "small objects": lambda: fill(b'{"a":1}'),
    "escapes": lambda: fill(b'"\\u0041"'),
    "one string with a smile": lambda: b'["' + "\U0001f600".encode() + b"a" * (SIZE - 20) + b'"]',
    "one object of many keys": many_keys,
    "objects in objects": lambda: fill(b'{"a":' * 60 + b"1" + b"}" * 60),
    "brackets only": lambda: b"[" * SIZE,
    "backslashes": lambda: b'["' + b"\\" * SIZE,
    "blanks and a value": lambda: b" " * SIZE + b"1",
    "a truncated list": lambda: fill(b'{"a":1}', after=b""),
    "a list and NULs": lambda: b'{"a":1}' + bytes(SIZE - 10),
    "a large list and a stale tail": lambda: fill(b'"' + b"x" * 5_000 + b'"', after=b"]]"),
    "not UTF-8 at the end of zeros": lambda: fill(b"0") + b"\xff",
    "a duplicate key at the end": lambda: fill(b'"' + b"x" * 500 + b'"', after=b',{"a":1,"a":2}]'),
}
# What one part of a list costs to parse differs from what it takes in the file: each as often as is parsed at all.
PARTS = {
    "zeros": b"0",
    "integers": b"1234567",
    "integers of 18 digits": b"1" * 18,
    "integers of 20 digits": b"1" * 20,
    "integers of 4,000 digits": b"9" * 4_000,
    "floats": b"1.5e3",
    "empty lists": b"[]",
    "empty objects": b"{}",
    "lists of one": b"[0]",
    "objects of one": b'{"a":1}',
    "objects of ten": b"{" + b",".join(b'"%d":0' % number for number in range(10)) + b"}",
    "objects in objects": b'{"a":' * 30 + b"0" + b"}" * 30,
    "empty strings": b'""',
    "short strings": b'"abc"',
    "short strings of other letters": '"é"'.encode(),
    "short strings with a smile": '"\U0001f600"'.encode(),
    "line breaks": b'"' + b"\\n" * 50_000 + b'"',
    "escapes": b'"' + b"\\u0041" * 20_000 + b'"',
    "a long string": b'"' + b"x" * 1_000_000 + b'"',
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PARTS)
def test_what_is_parsed_at_all_costs_bounded_memory(name: str, bank: Path, tmp_path: Path) -> None:
    part = PARTS[name] + b","
    each = (parse_cost(part * 100) - parse_cost(part * 50)) / 50
    count = min(int((MEMORY_BUDGET - 1_000) / each), SIZE // len(part))
    data = b"[" + part * count + b"0]"
    assert parse_cost(data) <= MEMORY_BUDGET
    put(bank / "state/hostile.json", data)
    done = measured(tmp_path, "validate", "--json", "--bank", bank)
    print(f"\n{name}: {len(data) >> 20} MiB, peak {done.peak >> 20} MiB, {done.seconds:.2f} s of the processor")
    assert done.peak < MEMORY
    assert "MB108" not in {one["rule"] for one in done.json["findings"]}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["zeros", "empty objects", "objects of one", "objects in objects", "short strings"])
def test_a_list_of_what_are_no_trades_costs_bounded_memory(name: str, bank: Path, tmp_path: Path) -> None:
    part = PARTS[name] + b","
    data = put(bank / "trades/hostile.json", b"[" + part * (760_000 // len(part)) + b"0]")
    done = measured(tmp_path, "validate", "--json", "--bank", bank)
    print(f"\n{name}: {len(data) >> 10} KiB, peak {done.peak >> 20} MiB, {done.seconds:.2f} s of the processor")
    assert done.peak < MEMORY


@pytest.mark.slow
@pytest.mark.parametrize("count", [20_000, 300_000])
def test_a_schema_of_many_wrong_parts_costs_bounded_memory(count: int, bank: Path, tmp_path: Path) -> None:
    put(bank / "config/schemas/trade.schema.json", b'{"allOf":[' + b'{"type":5},' * count + b"{}]}")
    done = measured(tmp_path, "validate", "--json", "--bank", bank)
    assert (done.returncode, done.peak < MEMORY) == (1, True)


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_document_costs_bounded_memory(
    name: str, bank: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    others = len(contents(bank))
    put(bank / "state/hostile.json", HOSTILE[name]())
    done = measured(tmp_path, "validate", "--json", "--bank", bank)
    record_property("seconds", done.seconds)
    print(f"\n{name}: {done.peak >> 20} MiB, {done.seconds:.2f} s of the processor")
    assert done.peak < MEMORY
    assert done.json["checked"] == others + 1
    found = {one["path"] for one in done.json["findings"] if one["severity"] in ("error", "warning")}
    assert found == {"state/hostile.json"}
    assert done.returncode == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["small objects", "a list and NULs"])
def test_whatever_is_done_with_it(name: str, bank: Path, tmp_path: Path) -> None:
    good = contents(bank)
    put(bank / "trades/trade_0.json", HOSTILE[name]())
    for words in (["backup"], ["repair", "--dry-run"], ["repair"], ["validate"]):
        done = measured(tmp_path, *words, "--json", "--bank", bank)
        print(f"\n{name}, {words[0]}: {done.peak >> 20} MiB, {done.seconds:.2f} s of the processor")
        assert done.returncode in (0, 1), done.stderr
        if words[0] != "repair":
            assert done.peak < MEMORY * 2
    assert contents(bank) == good


@pytest.mark.slow
def test_a_sparse_file_of_2_gb_is_not_read_into_memory(bank: Path, tmp_path: Path) -> None:
    put(bank / "state/huge.json", b"{}")
    os.truncate(bank / "state/huge.json", 2 << 30)
    done = measured(tmp_path, "validate", "--json", "--bank", bank)
    print(f"\nvalidate: {done.peak >> 20} MiB, {done.seconds:.2f} s of the processor")
    assert (done.returncode, done.peak < MEMORY) == (1, True)
    assert {one["rule"] for one in done.json["findings"] if one["path"] == "state/huge.json"} >= {"MB108"}
    assert {one["path"] for one in done.json["findings"] if one["severity"] == "error"} == {"state/huge.json"}
    for words in (["backup"],):
        done = measured(tmp_path, *words, "--json", "--bank", bank)
        assert (done.returncode in (0, 1), done.peak < MEMORY) == (True, True)


def test_a_section_limit_is_a_warning_and_the_file_is_still_read(bank: Path, commands: Commands) -> None:
    put(bank / "state/large.json", json.dumps({"noise": "x" * (6 << 20)}).encode())
    assert commands.findings() == {"state/large.json": "MB301"}
    assert commands("validate", "--json", expect=0).json["ok"]
    commands("backup", expect=0)


def test_one_byte_over_the_hard_limit(bank: Path, commands: Commands) -> None:
    put(bank / "state/large.json", b"{}" + b" " * (HARD_SIZE - 1))
    assert commands.findings() == {"state/large.json": "MB108"}


@pytest.mark.slow
def test_ten_thousand_damaged_files(bank: Path, run: Run) -> None:
    for number in range(10_000):
        with (bank / f"trades/bad_{number}.json").open("wb") as file:
            file.write(b'{"timestamp": ')
    done = run("validate", "--json", cwd=bank)
    assert done.returncode == 1
    assert sum(one["rule"] == "MB103" for one in done.json["findings"]) == 10_000
    shown = run("validate", cwd=bank)
    assert shown.returncode == 1
    assert len(shown.stdout.splitlines()) < 100
    assert "10,000" in shown.stdout or "9,980" in shown.stdout
    for words in (["repair", "--dry-run"], ["status"], ["health"], ["backup"]):
        shown = run(*words, cwd=bank)
        assert shown.returncode in (0, 1), shown.stderr
        print(words, len(shown.stdout.splitlines()))
        assert len(shown.stdout.splitlines()) < 200, words
