"""Plain folders of JSON: content decides where a document goes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.migrations import plain_json
from memorybank_cli.migrations.items import AccountItem, Assumption, FileItem, Item, MessageItem, Rejected
from memorybank_cli.migrations.source import Source
from tests.conftest import trade
from tests.migrations.conftest import Make

MESSAGES = [{"role": "user", "content": "hello", "timestamp": 1743394526.5}]
METRICS = {"total_profit": 1.5, "win_rate": 0.5, "total_trades": 7}


def items(source: Source) -> list[Item]:
    return list(plain_json.read(source, [path for path in source.paths if plain_json.takes(source, path)]))


def places(found: list[Item]) -> dict[str, str]:
    return {item.origin: item.path for item in found if isinstance(item, FileItem)}


def test_each_document_goes_to_its_section(make_source: Make) -> None:
    source = make_source(
        {
            "out/t1.json": trade(1),
            "out/all.json": [trade(1), trade(2)],
            "out/sums.json": METRICS,
            "out/x.json": {"a": "b"},
            "chats/bob.json": MESSAGES,
            "chats/eve/messages.json": {"messages": MESSAGES, "title": "Trip"},
            "messages.json": MESSAGES,
            "readme.txt": "x",
        }
    )
    found = items(source)
    assert places(found) == {
        "out/t1.json": "trades/out/t1.json",
        "out/all.json": "trades/out/all.json",
        "out/sums.json": "metrics/out/sums.json",
        "out/x.json": "state/out/x.json",
        "chats/eve/messages.json": "state/account_eve/messages.json",
    }
    assert [item.account for item in found if isinstance(item, AccountItem)] == ["bob", "eve", "messages"]
    assert {item.account for item in found if isinstance(item, MessageItem)} == {"bob", "eve", "messages"}
    unchanged = [item.data for item in found if isinstance(item, FileItem) and item.origin.startswith("out/")]
    assert unchanged == [None] * 4
    assert plain_json.score(source) == 10
    assert plain_json.score(make_source({"a.txt": ""})) == 0


def test_a_directory_with_a_sections_name_is_that_section(make_source: Make) -> None:
    source = make_source({"trades/t.json": trade(1), "metrics/m.json": {"x": 1}, "state/s.json": METRICS})
    assert all(path == origin for origin, path in places(items(source)).items())


def test_sections_further_down_stay_together(make_source: Make) -> None:
    source = make_source(
        {
            "listonian/trades/trade_1.json": trade(1),
            "listonian/trades/2025/sums.json": METRICS,
            "listonian/metrics/m.json": {"x": "y"},
            "listonian/state/s.json": METRICS,
            "listonian/state/trades/t.json": trade(2),
            "listonian/state/bob.json": MESSAGES,
            "trades/listonian/trade_1.json": trade(3),
        }
    )
    found = items(source)
    assert places(found) == {
        "listonian/trades/trade_1.json": "trades/listonian/trade_1-2.json",
        "listonian/trades/2025/sums.json": "trades/listonian/2025/sums.json",
        "listonian/metrics/m.json": "metrics/listonian/m.json",
        "listonian/state/s.json": "state/listonian/s.json",
        "listonian/state/trades/t.json": "state/listonian/trades/t.json",
        "trades/listonian/trade_1.json": "trades/listonian/trade_1.json",
    }
    assert [item.account for item in found if isinstance(item, AccountItem)] == ["bob"]


def test_no_two_files_get_one_place(make_source: Make) -> None:
    source = make_source(
        {"state/x.json": "{}", "x.json": "{}", "X.json": "{}", "x-2.json": "{}", "state/x-3.json": "{}"}
    )
    found = places(items(source))
    assert found["state/x.json"] == "state/x.json"
    assert found["state/x-3.json"] == "state/x-3.json"
    assert len({path.lower() for path in found.values()}) == 5


def test_a_place_that_another_importer_fills_is_left_to_it(make_source: Make) -> None:
    source = make_source({"state/x.json": "{}", "state/x-2.json": "{}", "x.json": "{}"})
    assert places(list(plain_json.read(source, ["x.json"]))) == {"x.json": "state/x-3.json"}


def test_conversations_of_one_name_stay_apart(make_source: Make) -> None:
    source = make_source({"a/bob.json": MESSAGES, "b/bob.json": MESSAGES, "Zoë.json": MESSAGES})
    found = items(source)
    assert [item.account for item in found if isinstance(item, AccountItem)] == ["Zo-", "bob", "bob-2"]
    assert any(isinstance(item, Assumption) and "Zoë" in item.text for item in found)


def test_references_lead_to_the_new_place(make_source: Make) -> None:
    source = make_source(
        {
            "t.json": trade(1),
            "ref.json": '{"parent": "t.json",  "me": "ref.json", "other": "gone.json", "n": 1.50}',
            "state/s.json": {"parent": "t.json"},
            "damaged.json": '{"parent": "t.json"',
        }
    )
    found = {item.origin: item for item in items(source) if isinstance(item, FileItem)}
    assert found["ref.json"].data == (
        b'{"parent": "trades/t.json",  "me": "state/ref.json", "other": "gone.json", "n": 1.50}'
    )
    assert found["ref.json"].references == 2
    assert found["state/s.json"].references == 1
    assert found["t.json"].data is None
    assert found["damaged.json"] == FileItem("state/damaged.json", "damaged.json")


def test_damaged_documents_go_where_their_beginning_belongs(make_source: Make) -> None:
    whole = json.dumps([trade(1), trade(2), trade(3)])
    source = make_source(
        {
            "padded.json": json.dumps(trade(1)).encode() + bytes(1000),
            "cut.json": whole[:-30],
            "chat.json": json.dumps(MESSAGES * 3)[:-10],
            "empty.json": "",
            "twice.json": '{"a": 1, "a": 2}',
        }
    )
    found = items(source)
    assert places(found) == {
        "padded.json": "trades/padded.json",
        "cut.json": "trades/cut.json",
        "empty.json": "state/empty.json",
        "twice.json": "state/twice.json",
    }
    assert {item.data for item in found if isinstance(item, FileItem)} == {None}
    assert sum(isinstance(item, MessageItem) for item in found) == 2
    assert [item.origin for item in found if isinstance(item, Rejected)] == ["chat.json"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_is_believed_and_goes(make_source: Make, encoding: str) -> None:
    text = json.dumps({**trade(1), "notes": "grüße"}, ensure_ascii=False)
    found = items(make_source({"t.json": text.encode(encoding), "latin.json": text.encode("latin-1")}))
    files = {item.origin: item for item in found if isinstance(item, FileItem)}
    assert files["t.json"].path == "trades/t.json"
    assert files["t.json"].data == text.encode()
    assert files["latin.json"].data is None
    assert sum(isinstance(item, Assumption) for item in found) == 1


def test_a_mark_that_lies_changes_nothing(make_source: Make) -> None:
    found = items(make_source({"x.json": b"\xff\xfe{\0}\0\0"}))
    assert found == [FileItem("state/x.json", "x.json")]


def test_a_marked_document_that_does_not_move_is_converted_as_well(make_source: Make) -> None:
    found = items(make_source({"state/x.json": b'\xef\xbb\xbf{"a": 1}'}))
    assert [item.data for item in found if isinstance(item, FileItem)] == [b'{"a": 1}']


def test_hostile_names_become_safe(make_source: Make) -> None:
    source = make_source({"a\nb.json": "{}", "back\\slash.json": "{}", "ünï.json": "{}"})
    Path(source.root.path, "\udcff.json").write_text("{}")
    source = Source(source.root.path)
    found = places(items(source))
    assert sorted(found.values()) == [
        "state/-xff.json",
        "state/a-x0ab.json",
        "state/back--slash.json",
        "state/ünï.json",
    ]
    source.close()


def test_what_would_be_nested_too_deeply_is_rejected(make_source: Make) -> None:
    deep = "/".join(["d"] * 60) + "/x.json"
    found = items(make_source({deep: "{}"}))
    assert [type(item) for item in found] == [Rejected]


def test_a_file_that_vanishes_is_left_to_the_writer(make_source: Make) -> None:
    source = make_source({"a.json": "{}", "b.json": MESSAGES})
    reading = plain_json.read(source, source.paths)
    Path(source.root.path, "a.json").unlink()
    found: list[Any] = list(reading)
    assert places(found)["a.json"] == "state/a.json"
    assert any(isinstance(item, MessageItem) for item in found)
