"""An account as one document: every message once, streamed, and readable by `migrate`."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

from memorybank_cli.accounts.messages import Message
from memorybank_cli.operations.account_archive import archive
from memorybank_cli.operations.account_export import PIECE, AccountDocument, export
from memorybank_cli.operations.accounts import create
from memorybank_cli.operations.messages import list_, store
from tests.accounts.conftest import long, path
from tests.accounts.sealed import named, say
from tests.conftest import Run
from tests.operations.banks import opened
from tests.operations.here import run

__all__ = ("long", "path", "run")  # fixtures

BIG = 10**77 + 1


def test_one_document(run: Run, path: Path) -> None:
    with opened(path) as bank:
        store(bank, "a", [Message("user", "line\nbreak", "m0", metadata={"wei": BIG})])
    say(path, 1, 30)
    done = run("account", "export", "a", "--bank", path)
    assert done.returncode == 0
    value = json.loads(done.raw)
    assert (value["account_id"], value["total"], value["capacity"]["short_term"]) == ("a", 30, 50)
    assert list(value) == [
        *("account_id", "created_at", "last_update", "seq", "capacity", "total", "summaries", "messages")
    ]
    assert [one["id"] for one in value["messages"]] == named(30)
    assert value["messages"][0]["metadata"] == {"wei": BIG}
    assert sum(line.startswith(b'    {"id"') for line in done.raw.split(b"\n")) == 30
    assert run("account", "export", "a", "--bank", path, "--json").raw == done.raw


def test_an_empty_one(path: Path) -> None:
    with opened(path) as bank:
        document = export(bank, "a")
        assert isinstance(document, AccountDocument)
        value = json.loads(b"".join(document.pieces()))
    assert (value["messages"], value["total"]) == ([], 0)


def test_archived_messages_and_what_waits_are_in_it(long: Path) -> None:
    with opened(long) as bank:
        archive(bank, "a", keep_mib=0)
        store(bank, "a", [Message("user", "waits", "m25")])
        document = export(bank, "a")
        assert isinstance(document, AccountDocument)
        value = json.loads(b"".join(document.pieces()))
    assert [one["id"] for one in value["messages"]] == named(26)


def test_it_comes_in_pieces(path: Path) -> None:
    with opened(path) as bank:
        store(bank, "a", [Message("user", "x" * 1_000, f"m{one}") for one in range(200)])
        document = export(bank, "a")
        assert isinstance(document, AccountDocument)
        sizes = [len(piece) for piece in document.pieces()]
    assert len(sizes) == 4
    assert max(sizes) < 2 * PIECE


def test_to_a_file_and_back_into_a_bank(run: Run, path: Path, tmp_path: Path) -> None:
    say(path, 30)
    target = tmp_path / "out" / "conversation.json"
    target.parent.mkdir()
    done = run("account", "export", "a", "--to", target, "--bank", path, "--json")
    assert done.json == {"account": "a", "path": str(target), "messages": 30, "bytes": target.stat().st_size}
    again = run("account", "export", "a", "--to", target, "--bank", path, "--json")
    assert (again.returncode, again.error["code"]) == (13, "refused")
    inside = run("account", "export", "a", "--to", path / "state/a.json", "--bank", path)
    assert inside.returncode == 13
    with opened(path) as bank:
        create(bank, "other")
        exported = export(bank, "a", to=str(tmp_path / "second.json"))
    assert "30 messages of a in" in exported.summary()  # type: ignore[union-attr]
    other = tmp_path / "other"
    assert run("init", other).returncode == 0
    migrated = run("migrate", "--from", target.parent, "--bank", other, "--json")
    assert migrated.returncode == 0, migrated.stderr
    [account] = run("account", "list", "--bank", other, "--json").json["accounts"]
    assert account["messages"] == 30
    with opened(other) as bank:
        found = list(islice(list_(bank, account=account["account"]), 40))
    assert [one["content"] for one in found] == [f"text {number}" for number in range(30)]
    assert [one["id"] for one in found] == named(30)


def test_one_that_is_not_there(run: Run, path: Path) -> None:
    assert run("account", "export", "nobody", "--bank", path, "--json").error["code"] == "account_not_found"
