"""The bank's own layout: files as they are, accounts as messages, what a new bank makes itself stays behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import zstandard

from memorybank_cli.bank import readme
from memorybank_cli.base.context import Context
from memorybank_cli.migrations import bank_layout
from memorybank_cli.migrations.items import AccountItem, FileItem, Item, MessageItem, Rejected
from memorybank_cli.migrations.source import Source
from memorybank_cli.operations import messages
from memorybank_cli.operations.account_archive import archive
from memorybank_cli.operations.accounts import create, create_account
from tests.accounts.sealed import ids, named, small_segments, texts
from tests.conftest import MakeBank, Run
from tests.migrations.conftest import Make
from tests.operations.banks import opened

AS_THEY_STAND = "it is not what history/index.json says; its messages were taken as they stand"
BANK = {"format": 1, "bank_id": "b", "created_at": "2026-01-01T00:00:00Z", "identity_key": "00"}


def items(source: Source) -> list[Item]:
    return list(bank_layout.read(source, [path for path in source.paths if bank_layout.takes(source, path)]))


def said(first: int, count: int) -> list[dict[str, Any]]:
    return [
        {
            "id": f"m{number}",
            "seq": number,
            "role": "user",
            "content": str(number),
            "timestamp": f"2026-01-01T00:00:{number:02d}.000000Z",
            "metadata": {"n": number},
        }
        for number in range(first, first + count)
    ]


def account(*segments: tuple[int, int], head: int) -> dict[str, Any]:
    """The files of an account with sealed segments (first, count), and a head that begins with message `head`."""
    files: dict[str, Any] = {}
    rows = []
    for first, count in segments:
        text = json.dumps({"account_id": "a", "first": first, "count": count, "messages": said(first, count)})
        files[f"account_a/history/{first:012d}.json"] = text
        rows.append({"file": f"{first:012d}.json", "first": first, "sha256": sha256(text.encode()).hexdigest()})
    files["account_a/history/index.json"] = {"account_id": "a", "segments": rows}
    files["account_a/whole_history.json"] = {"account_id": "a", "seq": 9, "total": 9, "messages": said(head, 3)}
    files["account_a/short_term.json"] = {"account_id": "a", "messages": said(head + 2, 2)}
    files["account_a/account.json"] = {"account_id": "a", "created_at": "2026-01-01T00:00:00Z", "memory_status": {}}
    return files


def contents(found: list[Item]) -> list[str]:
    return [item.content for item in found if isinstance(item, MessageItem)]


def rejected(found: list[Item]) -> list[str]:
    return [f"{item.origin}: {item.reason}" for item in found if isinstance(item, Rejected)]


def test_a_bank_comes_in_as_files_and_messages(make_bank: MakeBank) -> None:
    path = make_bank()
    with opened(path) as bank:
        create_account(bank, "alpha")
        messages.add(bank, Context(), "hello", account="alpha", role="user", id="m-1", timestamp="2026-01-01T00:00:00Z")
    (path / "stray.bin").write_bytes(b"\0")
    source = Source(path)
    found = items(source)
    assert bank_layout.score(source) == 100
    assert [item.path for item in found if isinstance(item, FileItem)] == [
        "metrics/metrics.json",
        "state/state.json",
        "stray.bin",
        "trades/recent_trades.json",
        "trades/trade_0.json",
        "trades/trade_1.json",
        "trades/trade_2.json",
    ]
    assert next(item for item in found if isinstance(item, AccountItem)).account == "alpha"
    (message,) = [item for item in found if isinstance(item, MessageItem)]
    assert (message.account, message.content, message.id) == ("alpha", "hello", "m-1")
    assert message.timestamp == "2026-01-01T00:00:00.000000Z"
    left = dict(source.skipped)
    assert {".memorybank", "bank.json", "README.md", "account_alpha/account.json"} <= left.keys()
    assert rejected(found) == []
    source.close()


def test_a_directory_that_is_laid_out_like_a_bank(make_source: Make) -> None:
    files = ["trades/a/b.json", "config/x.json", "docs/d.bin", "agents/a.json", "LICENSE", "notes.md"]
    source = make_source(
        {
            **dict.fromkeys(files, "{damaged"),
            "README.md": "x",
            "other.json": "{}",
            "code/x.py": "",
            "state/s.json": "{}",
        }
    )
    assert bank_layout.score(source) == 90
    found = [item for item in items(source) if isinstance(item, FileItem)]
    assert [(item.path, item.data) for item in found] == [(path, None) for path in sorted([*files, "state/s.json"])]
    assert all(item.path == item.origin for item in found)


@pytest.mark.parametrize(
    ("files", "score"),
    [
        ({"trades/t.json": "{}"}, 70),
        ({"trades/t.txt": ""}, 0),
        ({"bank.json": "{}"}, 0),
        ({"bank.json": BANK}, 100),
        ({"account_a/history/index.json": "{}"}, 85),
        ({"account_a/whole_history.json": "[]"}, 0),
    ],
)
def test_how_sure_it_is(make_source: Make, files: dict[str, Any], score: int) -> None:
    assert bank_layout.score(make_source(files)) == score


def test_sealed_messages_come_first_and_keep_all_they_have(make_source: Make) -> None:
    source = make_source(account((1, 3), (4, 2), head=6))
    found = items(source)
    assert contents(found) == [str(number) for number in range(1, 10)]
    first = next(item for item in found if isinstance(item, MessageItem))
    assert first == MessageItem(
        "a", "user", "1", "m1", "2026-01-01T00:00:01.000000Z", {"n": 1}, "account_a/history/000000000001.json"
    )
    assert rejected(found) == []
    assert not any(isinstance(item, FileItem) for item in found)


def test_an_index_that_does_not_fit_is_told_and_nothing_is_lost(make_source: Make) -> None:
    files = account((1, 3), (4, 2), head=6)
    files["account_a/history/000000000001.json"] += "\n"
    del files["account_a/history/000000000004.json"]
    files["account_a/history/000000000099.json"] = {"messages": said(50, 1)}
    found = items(make_source(files))
    assert contents(found) == ["1", "2", "3", "50", "6", "7", "8", "9"]
    assert rejected(found) == [
        f"account_a/history/000000000001.json: {AS_THEY_STAND}",
        "account_a/history/index.json: it names the segment 4, which is missing: its messages are lost",
    ]


@pytest.mark.parametrize(
    "index", ["{damaged", "[]", '{"segments": [1]}', '{"segments": [{"first": "x", "sha256": 1}]}']
)
def test_a_damaged_index_is_told(make_source: Make, index: str) -> None:
    found = items(make_source({**account((1, 3), head=4), "account_a/history/index.json": index}))
    assert contents(found) == ["1", "2", "3", "4", "5", "6", "7"]
    assert len(rejected(found)) == 1
    assert "no index of segments" in rejected(found)[0]


def test_a_segment_that_vanishes_is_told(make_source: Make) -> None:
    source = make_source(account((1, 3), head=4))
    (Path(source.root.path) / "account_a/history/000000000001.json").unlink()
    found = items(source)
    assert contents(found) == ["4", "5", "6", "7"]
    assert any("changed or vanished" in one for one in rejected(found))


def test_archived_segments_come_in_too(make_source: Make) -> None:
    files = account((1, 3), (4, 2), (6, 2), head=8)
    for first in (1, 6):
        text = files[f"account_a/history/{first:012d}.json"].encode()
        files[f"account_a/history/{first:012d}.json.zst"] = zstandard.compress(text)
    del files["account_a/history/000000000001.json"]
    source = make_source(files)
    found = items(source)
    assert contents(found) == [str(number) for number in range(1, 12)]
    assert rejected(found) == []
    assert not any(isinstance(item, FileItem) for item in found)
    assert ("account_a/history/000000000006.json.zst", "its plain form was taken") in source.skipped


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda _: b"no frame", "its compressed content is damaged"),
        (lambda data: data[:-3], "its compressed content is cut short"),
        (lambda _: zstandard.compress(b" " * (65 << 20)), "larger than 64 MiB"),
    ],
)
def test_a_damaged_archive_is_told(make_source: Make, change: Callable[[bytes], bytes], says: str) -> None:
    files = account((1, 3), head=4)
    packed = zstandard.compress(files.pop("account_a/history/000000000001.json").encode())
    files["account_a/history/000000000001.json.zst"] = change(packed)
    found = items(make_source(files))
    assert contents(found)[-4:] == ["4", "5", "6", "7"]
    assert any(says in one for one in rejected(found))


@pytest.mark.parametrize(
    ("capacity", "sizes"),
    [
        ({"short_term": 7, "mid_term": 0}, (7, 0)),
        ({"short_term": 7}, None),
        ({"short_term": 7, "mid_term": -1}, None),
        ({"short_term": True, "mid_term": "x"}, None),
        ([], None),
    ],
)
def test_the_sizes_of_windows_come_along(make_source: Make, capacity: Any, sizes: tuple[int, int] | None) -> None:
    files = account(head=1)
    files["account_a/account.json"] |= {"capacity": capacity}
    (found,) = [item for item in items(make_source(files)) if isinstance(item, AccountItem)]
    assert found.sizes == sizes


@pytest.mark.parametrize("stands", [False, True])
def test_an_archived_account_comes_in_whole(
    make_bank: MakeBank, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stands: bool
) -> None:
    small_segments(monkeypatch)
    path = make_bank(0, padded=False)
    with opened(path) as bank:
        create(bank, "a", short_term=7, mid_term=3)
        messages.store(bank, "a", texts(25))
        archive(bank, "a", keep_mib=0)
    target = tmp_path / "target"
    if stands:
        assert run("init", target).returncode == 0
        assert run("migrate", "--from", path, "--bank", target).returncode == 0
    else:
        assert run("init", target, "--from", path).returncode == 0
    assert run("account", "show", "a", "--bank", target, "--json").json["capacity"] == {"short_term": 7, "mid_term": 3}
    assert ids(target) == named(25)


def test_an_account_of_segments_only(make_source: Make) -> None:
    files = {path: text for path, text in account((1, 3), head=4).items() if "/history/" in path}
    found = items(make_source(files))
    assert contents(found) == ["1", "2", "3"]
    assert isinstance(found[0], AccountItem)


def test_what_else_lies_in_an_accounts_directory_is_kept_elsewhere(make_source: Make) -> None:
    more = {"account_a/x/y.json": "{}", "account_a/notes.md": "x", "account_a/history/x.json": "{}"}
    found = items(make_source({**account(head=1), **more}))
    assert [(item.path, item.origin) for item in found if isinstance(item, FileItem)] == [
        ("state/account_a/history/x.json", "account_a/history/x.json"),
        ("docs/account_a/notes.md", "account_a/notes.md"),
        ("state/account_a/x/y.json", "account_a/x/y.json"),
    ]


def test_a_file_called_like_an_account_is_a_file(make_source: Make) -> None:
    found = items(make_source({"bank.json": BANK, "account_a": "x"}))
    assert found == [FileItem("account_a", "account_a")]


def test_what_people_wrote_into_a_readme_becomes_a_document(make_source: Make) -> None:
    text = readme.render() + b"\nMine: [notes](docs/notes.md) \xff\n"
    source = make_source({"bank.json": BANK, "README.md": text, "docs/notes.md": "x"})
    (found,) = [item for item in items(source) if isinstance(item, FileItem) and item.origin == "README.md"]
    assert found.path == "docs/README.md"
    assert found.data == b"# Memory bank\n\n\n\nMine: [notes](notes.md) \xff\n"
    assert found.references == 1


def test_a_readme_does_not_take_the_place_of_another(make_source: Make) -> None:
    source = make_source({"bank.json": BANK, "README.md": "# Mine", "docs/README.md": "x"})
    paths = [item.path for item in items(source) if isinstance(item, FileItem)]
    assert len(set(paths)) == 2
    assert [item for item in items(source) if isinstance(item, FileItem)] == [
        FileItem(paths[0], "README.md", b"# Mine\n"),
        FileItem("docs/README.md", "docs/README.md"),
    ]


def test_a_readme_of_ours_stays_behind(make_source: Make) -> None:
    source = make_source({"bank.json": BANK, "README.md": readme.render()})
    assert items(source) == []
    assert "README.md" in dict(source.skipped)


def test_a_readme_that_cannot_be_read_is_rejected(make_source: Make) -> None:
    source = make_source({"bank.json": BANK, "README.md": b"x" * (2 << 20)})
    assert [item.origin for item in items(source) if isinstance(item, Rejected)] == ["README.md"]
