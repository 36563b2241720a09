"""What people see of a comparison."""

from __future__ import annotations

from typing import Any

from memorybank_cli.cli.blocks import Block, Findings, Table, Text
from memorybank_cli.cli.views.differences import changes, diff


def file(path: str, what: str = "changed", **values: Any) -> dict[str, Any]:
    side = {"size": 5, "mode": "0600", "rule": ""}
    before, after = (None if what == missing else side for missing in ("added", "removed"))
    told = {"path": path, "what": what, "before": before, "after": after, "records": {}}
    return {**told, "reordered": False, "reshaped": False, "unreadable": "", "same_values": False, **values}


def trade(path: str, what: str = "changed", pointer: str = "", **values: Any) -> dict[str, Any]:
    told: dict[str, Any] = {"path": path, "what": what, "kind": "trade", "id": "7", "pointer": pointer}
    fields = [{"pointer": "/price", "what": "changed", "before": 1, "after": 2}]
    told |= {"fields": fields} if what == "changed" else {"before": {"p": 1}, "after": {"p": 1}}
    return {**told, **values}


def texts(blocks: Any) -> list[str]:
    return [block.text for block in blocks if isinstance(block, Text)]


def styles(blocks: list[Block]) -> list[str]:
    return [block.style for block in blocks if isinstance(block, Text)]


def test_each_change_in_a_line() -> None:
    found = list(
        changes(
            [
                file("a.json", "added"),
                file("b.json"),
                file("c.md"),
                file("d.json", same_values=True),
                file("e.json", reordered=True, reshaped=True),
                file("f.json", "mode", after={"size": 5, "mode": "0640", "rule": ""}),
                file("g.json", "damaged", unreadable="after", after={"size": 5, "mode": "0600", "rule": "MB102"}),
                file("h.json", "removed"),
            ],
            [trade("a.json", "added"), trade("b.json", pointer="/0"), trade("h.json", "removed")],
        )
    )
    assert texts(found) == [
        "added a.json",
        "  trade 7: p 1",
        "changed b.json (5 B -> 5 B)",
        "  changed trade 7: price 1 -> 2",
        "changed c.md (5 B -> 5 B)",
        "changed d.json (the same values, written differently)",
        "changed e.json (records stand in another order; the document has another form)",
        "mode f.json (0600 -> 0640)",
        "damaged g.json (MB102; the newer version is no JSON, only the bytes could be compared)",
        "removed h.json",
        "  trade 7: p 1",
    ]
    assert styles(found)[:4] == ["good", "", "warning", "warning"]
    assert styles(found)[-3:] == ["bad", "bad", ""]


def test_many_files_that_are_alike_are_told_together() -> None:
    rule = {"size": 5, "mode": "0600", "rule": "MB113"}
    found = texts(
        changes(
            [
                *(file(f"trades/{number}.json", records={"changed": 1}, after=rule) for number in range(10_000)),
                file("x"),
            ],
            [trade(f"trades/{number}.json") for number in range(10_000)],
        )
    )
    assert found == [
        "changed 10,000 files in trades (MB113)",
        "  10,000 trades: price 1 -> 2",
        "  such as trades/0.json, trades/1.json, trades/2.json",
        "changed x (5 B -> 5 B)",
    ]
    many = texts(changes([file(f"docs/{number}", "added") for number in range(11)], []))
    assert many == ["added 11 files in docs", "  such as docs/0, docs/1, docs/2"]
    top = texts(changes([file(f"{number}", "removed") for number in range(11)], []))
    assert top[0] == "removed 11 files in the bank"


def test_fields_of_many_records_are_counted_wherever_they_stand() -> None:
    def fields(number: int) -> list[dict[str, Any]]:
        return [
            {"pointer": f"/legs/{number}/price", "what": "changed", "before": 1, "after": number},
            *({"pointer": f"/f{one}", "what": "added", "after": 2} for one in range(12)),
        ]

    files = [file(f"t/{number}", records={"changed": 1}) for number in range(11)]
    [line] = [
        one
        for one in texts(changes(files, [trade(f"t/{number}", fields=fields(number)) for number in range(11)]))
        if "fields" in one
    ]
    assert line.startswith("  fields: legs/*/price 11, f0 11, ")
    assert line.endswith(" and 3 more")


def test_many_records_of_one_file() -> None:
    records = [trade("t", pointer=f"/{number}") for number in range(30)] + [trade("t", "added", "/9")]
    found = texts(changes([file("t", records={"changed": 30, "added": 1})], records))
    assert found == ["changed t", "  30 trades: price 1 -> 2", "  added trade 7: p 1"]


def test_many_records_that_are_not_alike() -> None:
    def changed(number: int) -> list[dict[str, Any]]:
        return [{"pointer": "/price", "what": "changed", "before": 1, "after": number}]

    records = [trade("t", pointer=f"/{number}", fields=changed(number)) for number in range(30)]
    records += [trade("t", "added", "/9"), trade("t", "added", "/9")]
    found = texts(changes([file("t", records={"changed": 30, "added": 2})], records))
    assert len(found) == 12
    assert found[1] == "  changed trade 7: price 1 -> 0"
    assert found[-1] == "  ... and 2 added, 20 changed more (--json shows all)"
    files = [file(f"t/{number}", records={"changed": 1}) for number in range(12)]
    found = texts(changes(files, [trade(f"t/{number}", fields=changed(number // 6)) for number in range(12)]))
    assert found[:2] == ["changed 6 files in t", "  6 trades: price 1 -> 0"]
    mixed = [trade(f"t/{number}", fields=changed(number % 2 * number)) for number in range(12)]
    mixed += [trade(f"t/{number}", "added", "/1", kind="entity") for number in range(12)]
    found = texts(changes(files, mixed))
    assert found == [
        "changed 12 files in t; 12 trades changed; 12 entities added",
        "  fields: price 12",
        "  6 trades: price 1 -> 0",
        "  such as t/0, t/1, t/2",
    ]


def test_messages_stand_for_the_files_of_their_account() -> None:
    message = {"path": "account_a", "account": "a", "what": "added", "kind": "message", "id": "m", "pointer": "/0"}
    files = [
        file("account_a/short_term.json"),
        file("account_a/history/000000000001.json"),
        file("account_b/account.json"),
    ]
    found = texts(changes(files, [{**message, "after": {"role": "user", "content": "hi"}}]))
    assert found == [
        "messages of account_a: 1 added",
        "  added message m: user 'hi'",
        "changed account_b/account.json (5 B -> 5 B)",
    ]


def test_of_a_file_its_path_and_what_happened_are_enough() -> None:
    record = {"path": "a", "what": "changed", "kind": "trade", "id": "7", "pointer": ""}
    fields = [{"pointer": "/note", "what": "changed"}]
    found = list(
        changes([{"path": "a", "what": "restored"}, {"path": "b", "what": "removed"}], [{**record, "fields": fields}])
    )
    assert texts(found) == ["restored a", "  changed trade 7: note ... -> ...", "removed b"]
    assert texts(changes([{"path": "a", "what": "restored"}], [{**record, "what": "added"}]))[1] == "  trade 7: ..."


def test_sections() -> None:
    sections = {"trades": {"files": {"changed": 2, "added": 1}, "records": {}}}
    report = {"findings": [], "stat": True, "sections": sections}
    rows = [["trades", "1 added, 2 changed", ""]]
    assert diff(report) == [Findings([]), Table(("section", "files", "records"), rows)]
    assert diff({**report, "sections": {}}) == [Findings([])]
    assert diff({"findings": [], "stat": False, "files": [], "records": []}) == [Findings([])]
