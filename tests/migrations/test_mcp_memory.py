from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.bank.layout import kind_of, place
from memorybank_cli.bank.schemas import Registry
from memorybank_cli.migrations import mcp_memory
from memorybank_cli.migrations.items import Assumption, FileItem, Item, Rejected
from memorybank_cli.migrations.source import Source
from tests.migrations.conftest import Make


def entity(name: str, *observations: Any, kind: str = "person", **more: Any) -> dict[str, Any]:
    return {"type": "entity", "name": name, "entityType": kind, "observations": list(observations), **more}


def relation(start: str, end: str, kind: str = "works_at") -> dict[str, Any]:
    return {"type": "relation", "from": start, "to": end, "relationType": kind}


def lines(*records: dict[str, Any] | str) -> bytes:
    """As the server writes them: no line feed behind the last."""
    return "\n".join(one if isinstance(one, str) else json.dumps(one) for one in records).encode()


ALICE, ACME = entity("Alice", "speaks Spanish", "likes tea"), entity("Acme", kind="company")


def read(source: Source) -> list[Item]:
    assert mcp_memory.score(source) == 95
    return list(mcp_memory.read(source, [path for path in source.paths if mcp_memory.takes(source, path)]))


def records(items: list[Item], member: str) -> list[Any]:
    found = [json.loads(item.data or b"null") for item in items if isinstance(item, FileItem)]
    return [record for document in found for record in document.get(member, [])]


def rejected(items: list[Item]) -> list[tuple[str, bytes | None]]:
    return [(item.reason, item.data) for item in items if isinstance(item, Rejected)]


def without_type(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name != "type"}


@pytest.mark.parametrize("name", ["memory.jsonl", "memory.json", "state/graph.ndjson"])
def test_entities_and_relations_come_in(make_source: Make, name: str) -> None:
    bob = entity("Bob", createdAt="2026-11-20T14:00:00Z", version=2)
    items = read(make_source({name: lines(ALICE, relation("Alice", "Acme"), ACME, bob)}))
    stem = name.rpartition(".")[0]
    assert [item.path for item in items if isinstance(item, FileItem)] == [
        f"shared/entities/{stem}/0001.json",
        f"shared/relations/{stem}/0001.json",
    ]
    assert records(items, "entities") == [without_type(one) for one in (ALICE, ACME, bob)]
    assert records(items, "relations") == [without_type(relation("Alice", "Acme"))]
    assert len(items) == 2


def test_the_lists_have_kinds_of_their_own_and_fit_them(make_source: Make) -> None:
    registry = Registry()
    items = read(make_source({"memory.jsonl": lines(ALICE, ACME, relation("Alice", "Acme"))}))
    kinds = []
    for item in items:
        assert isinstance(item, FileItem)
        value = json.loads(item.data or b"")
        kinds.append(kind_of(place(item.path), value))
        assert registry.misfits(kinds[-1], value) == []
    assert kinds == ["entity_list", "relation_list"]


def test_a_thousand_records_a_file(make_source: Make) -> None:
    items = read(make_source({"memory.jsonl": lines(*(entity(f"e{number}") for number in range(2500)))}))
    paths = [item.path for item in items if isinstance(item, FileItem)]
    assert paths == [f"shared/entities/memory/{number:04d}.json" for number in (1, 2, 3)]
    assert len(records(items, "entities")) == 2500


def test_records_that_are_large_make_more_files(make_source: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mcp_memory, "LARGEST_FILE", 1000)
    items = read(make_source({"memory.jsonl": lines(*(entity(f"e{number}", "x" * 600) for number in range(4)))}))
    assert len(items) == 2


def test_a_relation_that_leads_nowhere_is_taken_and_told(make_source: Make) -> None:
    items = read(make_source({"memory.jsonl": lines(relation("Alice", "Bob"), ALICE, relation("Eve", "Bob"), ACME)}))
    assert len(records(items, "relations")) == 2
    assert items[-1] == Assumption(mcp_memory._DANGLING, 2)


def test_entities_of_one_name_are_joined_and_that_is_told(make_source: Make) -> None:
    again = entity("Alice", "likes tea", "plays chess", {"text": "tall"}, kind="trader")
    items = read(make_source({"memory.jsonl": lines(ALICE, ACME, again, again)}))
    assert records(items, "entities") == [
        {
            "name": "Alice",
            "entityType": "person",
            "observations": ["speaks Spanish", "likes tea", "plays chess", {"text": "tall"}],
        },
        without_type(ACME),
    ]
    assert items[-1] == Assumption(mcp_memory._JOINED, 2)


def test_more_repetitions_than_memory_may_hold_are_rejected(make_source: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mcp_memory, "MOST_JOINED", 150)
    many = [entity("Alice", f"observation {number}") for number in range(9)]
    items = read(make_source({"memory.jsonl": lines(*many)}))
    (joined,) = records(items, "entities")
    assert joined["observations"] == ["observation 0", "observation 1", "observation 2"]
    assert [json.loads(data or b"")["observations"][0][-1] for _, data in rejected(items)] == list("345678")
    assert items[-1] == Assumption(mcp_memory._JOINED, 2)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"type": "entity", "name": "torn', "line 2: Unterminated string at character 28"),
        ('{"type": "entity", "name": "x"}', "line 2: an entity without name or observations"),
        ('{"type": "entity", "name": "", "observations": []}', "line 2: an entity without name or observations"),
        ('{"type": "relation", "from": "a", "to": 7}', "line 2: a relation without from, to or relationType"),
        ('{"type": "observation", "content": "x"}', "line 2: neither an entity nor a relation"),
        ('{"type": "entity", "name": "a", "name": "b"}', 'line 2: the key "name" stands twice in one object'),
        ('{"type": "entity", "name": NaN}', "line 2: NaN is not JSON"),
        ("[" * 100_000, "line 2: nested too deeply"),
        ("[" * 80 + "]" * 80, "line 2: nested too deeply"),
        ("7", "line 2: neither an entity nor a relation"),
        ("\0\0\0", "line 2: Expecting value at character 1"),
        ("{" + "}{" * 1_000_000 + "}", "line 2: 2,000,002 bytes that may take too much memory to parse"),
    ],
)
def test_a_bad_line_is_kept_and_told_and_the_others_come_in(make_source: Make, line: str, reason: str) -> None:
    items = read(make_source({"memory.jsonl": lines(ALICE, line, ACME)}))
    ((told, data),) = rejected(items)
    assert told.startswith(reason)
    assert data == line.encode()
    assert [one["name"] for one in records(items, "entities")] == ["Alice", "Acme"]


def test_what_a_race_of_the_server_left_in_a_line_is_taken_apart(make_source: Make) -> None:
    torn = json.dumps(ALICE) + json.dumps(ACME) + 'kes tea"]}'
    items = read(make_source({"memory.jsonl": torn}))
    assert [one["name"] for one in records(items, "entities")] == ["Alice", "Acme"]
    ((told, data),) = rejected(items)
    assert told.startswith("line 1: Expecting value at character")
    assert data == b'kes tea"]}'


def test_bytes_that_are_no_text_are_kept(make_source: Make) -> None:
    bad = json.dumps(ALICE).encode().replace(b"tea", b"t\xff")
    items = read(make_source({"memory.jsonl": b"\xef\xbb\xbf" + lines(ACME) + b"\r\n\n" + bad}))
    assert rejected(items) == [("line 3: byte 104 is not UTF-8", bad)]
    assert [one["name"] for one in records(items, "entities")] == ["Acme"]


def test_a_line_that_is_too_long_is_told(make_source: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mcp_memory, "LONGEST_LINE", 200)
    items = read(make_source({"memory.jsonl": lines(ALICE, entity("long", "x" * 300))}))
    ((told, _),) = rejected(items)
    assert told.startswith("line 2: longer than")
    assert len(records(items, "entities")) == 1


def test_files_that_are_called_alike_do_not_meet(make_source: Make) -> None:
    items = read(make_source({"memory.json": lines(ALICE), "memory.jsonl": lines(ACME)}))
    assert [item.path for item in items if isinstance(item, FileItem)] == [
        "shared/entities/memory/0001.json",
        "shared/entities/memory-2/0001.json",
    ]


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"memory.json": {"type": "entity"}, "notes.md": '{"type": "entity"}'},
        {"memory.json": {"entities": [ALICE]}},
        {"memory.jsonl": '{"role": "user", "content": "hello"}\n'},
        {"memory.jsonl": b""},
        {"memory.jsonl": bytes(5000)},
    ],
)
def test_other_sources_are_left_to_others(make_source: Make, files: dict[str, Any]) -> None:
    if "memory.json" in files and "type" in files["memory.json"]:
        files["memory.json"] = json.dumps([ALICE], indent=2)
    assert mcp_memory.score(make_source(files)) == 0


@pytest.mark.no_cover
def test_memory_holds_names_not_records(tmp_path: Path) -> None:
    path = tmp_path / "source" / "memory.jsonl"
    path.parent.mkdir()
    with path.open("wb") as file:
        for number in range(10_000):
            file.write(json.dumps(entity(f"entity {number}", "x" * 400)).encode() + b"\n")
    source = Source(path.parent)
    tracemalloc.start()
    try:
        assert sum(1 for _ in mcp_memory.read(source, source.paths)) == 10
        assert tracemalloc.get_traced_memory()[1] < 4 << 20 < path.stat().st_size
    finally:
        tracemalloc.stop()
        source.close()


def test_a_file_that_goes_meanwhile_is_told(make_source: Make) -> None:
    source = make_source({"memory.jsonl": lines(ALICE)})
    Path(source.root.path, "memory.jsonl").unlink()
    assert list(mcp_memory.read(source, source.paths)) == [
        Rejected("memory.jsonl", "it changed or vanished while it was read")
    ]
