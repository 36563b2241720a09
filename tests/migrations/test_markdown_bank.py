from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.migrations import markdown_bank
from memorybank_cli.migrations.choosing import choose
from memorybank_cli.migrations.items import Assumption, FileItem, Item, Rejected
from memorybank_cli.migrations.source import Source
from tests.migrations.conftest import Make

CLINE = {
    "memory-bank/projectbrief.md": "# Brief\n\nSee [context](productContext.md).\n",
    "memory-bank/productContext.md": "# Product\n",
    "memory-bank/activeContext.md": "# Now\n\n[progress](./progress.md) · [brief](../memory-bank/projectbrief.md)\n",
    "memory-bank/systemPatterns.md": "# Patterns\n",
    "memory-bank/techContext.md": "# Tech\n",
    "memory-bank/progress.md": "- [x] first\n- [ ] second\n",
}


def read(source: Source) -> list[Item]:
    return list(markdown_bank.read(source, [path for path in source.paths if markdown_bank.takes(source, path)]))


def placed(items: list[Item]) -> dict[str, str]:
    return {item.origin: item.path for item in items if isinstance(item, FileItem)}


def test_a_memory_bank_is_kept_as_it_is(make_source: Make) -> None:
    source = make_source(CLINE)
    assert markdown_bank.score(source) == 90
    items = read(source)
    assert placed(items) == {path: f"docs/{path}" for path in sorted(CLINE)}
    assert all(isinstance(item, FileItem) and item.data is None and item.references == 0 for item in items)


@pytest.mark.parametrize(
    ("files", "score"),
    [
        ({"activeContext.md": "", "decisionLog.md": "", "progress.md": ""}, 90),
        ({"a/activeContext.md": "", "b/progress.md": "", "c/techContext.md": ""}, 20),
        ({"LICENSE": "", "x.json": "{}"}, 20),
        ({"x.json": "{}", "license.json": "{}"}, 0),
    ],
)
def test_how_sure_it_is(make_source: Make, files: dict[str, Any], score: int) -> None:
    assert markdown_bank.score(make_source(files)) == score


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("README.md", True),
        ("a/b/NOTES.MD", True),
        ("x.markdown", True),
        ("rules/x.mdc", True),
        ("x.txt", True),
        ("LICENSE", True),
        ("LICENSE-MIT", True),
        ("COPYING", True),
        ("x.json", False),
        ("license.json", False),
        ("md", False),
        ("x.md.bak", False),
    ],
)
def test_which_files_are_documents(make_source: Make, name: str, taken: bool) -> None:
    assert markdown_bank.takes(make_source({}), name) is taken


def test_no_document_takes_the_place_of_another(make_source: Make) -> None:
    files = {"README.md": "a", "docs/README.md": "b", "docs/readme-2.md": "c", "x.md": "d", "x.txt": "e"}
    assert placed(read(make_source(files))) == {
        "docs/README.md": "docs/README.md",
        "docs/readme-2.md": "docs/readme-2.md",
        "README.md": "docs/README-3.md",
        "x.md": "docs/x.md",
        "x.txt": "docs/x.txt",
    }


def test_links_follow_documents_and_json_that_moved(make_source: Make) -> None:
    source = make_source(
        {
            "README.md": "[guide](docs/guide.md) [trade](data/t.json) [note](data/note.json) [talk](data/talk.json)\n",
            "docs/guide.md": "[readme](../README.md)\r\n`[trade](../data/t.json)`\r\n[trade]: <../data/t.json>\r\n",
            "data/t.json": {"timestamp": "2024-01-01T00:00:00Z", "symbol": "BTC", "side": "buy", "profit": 1},
            "data/note.json": {"note": "x"},
            "data/talk.json": [{"role": "user", "content": "hello"}],
        }
    )
    items = [item for part in choose(source) for item in part.importer.read(source, part.paths)]
    files = {item.origin: item for item in items if isinstance(item, FileItem)}
    assert files["data/t.json"].path == "trades/data/t.json"
    assert files["README.md"] == FileItem(
        "docs/README.md",
        "README.md",
        b"[guide](guide.md) [trade](../trades/data/t.json) [note](../state/data/note.json) [talk](data/talk.json)\n",
        references=3,
    )
    assert files["docs/guide.md"] == FileItem(
        "docs/guide.md",
        "docs/guide.md",
        b"[readme](README.md)\r\n`[trade](../data/t.json)`\r\n[trade]: <../trades/data/t.json>\r\n",
        references=2,
    )


def test_links_to_files_that_keep_their_place_are_seen_from_the_new_one(make_source: Make) -> None:
    source = make_source(
        {
            "trades/t.json": {"timestamp": 1, "symbol": "BTC"},
            "metrics/m.json": {"count": 1},
            "notes/x.md": "[t](../trades/t.json)",
        }
    )
    items = [item for part in choose(source) for item in part.importer.read(source, part.paths)]
    assert FileItem("docs/notes/x.md", "notes/x.md", b"[t](../../trades/t.json)", references=1) in items


@pytest.mark.parametrize("name", ["utf-8-sig", "utf-16", "utf-32"])
def test_encodings_that_are_sure_become_utf_8(make_source: Make, name: str) -> None:
    items = read(make_source({"x.md": "# Größe\n".encode(name)}))
    assert items[0] == FileItem("docs/x.md", "x.md", "# Größe\n".encode())
    assert isinstance(items[1], Assumption)
    assert items[1].count == 1


@pytest.mark.parametrize(
    "content",
    [
        "# Größe [t](t.json)\n".encode("latin-1"),
        "# [t](t.json)".encode("utf-16-le"),
        b"\xff\xfe\x00",
        b"# x\n" + bytes(5000),
    ],
)
def test_other_encodings_keep_their_bytes(make_source: Make, content: bytes) -> None:
    assert read(make_source({"x.md": content})) == [FileItem("docs/x.md", "x.md")]


def test_large_documents_keep_their_bytes(make_source: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(markdown_bank, "LARGEST_TEXT", 10)
    assert FileItem("docs/x.md", "x.md") in read(make_source({"x.md": "[d](docs/y.md)", "docs/y.md": ""}))


def test_text_is_no_markdown(make_source: Make) -> None:
    items = read(make_source({"x.txt": "[y](docs/y.md)", "docs/y.md": ""}))
    assert items[0] == FileItem("docs/y.md", "docs/y.md")
    assert items[1] == FileItem("docs/x.txt", "x.txt")


def test_a_document_that_goes_meanwhile_is_told(make_source: Make) -> None:
    source = make_source({"x.md": "x", "y.md": "y"})
    found = markdown_bank.read(source, source.paths)
    assert next(found) == FileItem("docs/x.md", "x.md")
    Path(source.root.path, "y.md").unlink()
    assert next(found) == Rejected("y.md", "it changed or vanished while it was read")
