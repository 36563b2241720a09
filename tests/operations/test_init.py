"""`init`: from nothing, around agents' files, again, after a kill, on a copy, and where it must not be."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.accounts.messages import Message
from memorybank_cli.bank import layout
from memorybank_cli.bank.schemas import Registry
from memorybank_cli.base.context import Context
from memorybank_cli.base.errors import CopiedBank, FormatMismatch, OperationFailed, Refused, UsageError
from memorybank_cli.operations.init import InitReport, init
from memorybank_cli.operations.journal import prove
from memorybank_cli.operations.messages import store
from tests.conftest import MakeBank, Run, trade
from tests.operations.banks import contents, journal, opened, put, rules

Facts = dict[str, tuple[bytes, int, int, int]]


def facts(path: Path, below: tuple[str, ...] = ("",)) -> Facts:
    """Content, mode, mtime and inode of every file, and mode of every directory."""
    found: Facts = {}
    for one in sorted(path.rglob("*")):
        name, info = str(one.relative_to(path)), one.stat()
        if name.startswith(".memorybank") or not name.startswith(below):
            continue
        data = one.read_bytes() if one.is_file() else b""
        found[name] = (data, info.st_mode, info.st_mtime_ns if one.is_file() else 0, info.st_ino)
    return found


def made(path: Path, **options: Any) -> InitReport:
    return init(Context(bank=str(path)), **options)


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "work"
    path.mkdir()
    monkeypatch.chdir(path)
    return path


def test_a_bank_from_nothing(run: Run, tmp_path: Path) -> None:
    done = run("init", "bank", "--json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    path = tmp_path / "bank"
    document = json.loads((path / "bank.json").read_bytes())
    assert done.json == {
        "bank_id": document["bank_id"],
        "path": str(path),
        "created": [
            str(path),
            "trades/",
            "metrics/",
            "state/",
            "metrics/historical/",
            "metrics/metrics.json",
            "state/state.json",
            "README.md",
            "bank.json",
        ],
        "adopted": 3,
        "findings": [],
        "groups": [],
    }
    assert Registry().misfits("bank", document, 5) == []
    assert document["format"] == 1
    assert len(bytes.fromhex(document["identity_key"])) == 32
    assert (path / "metrics/metrics.json").read_bytes() == b"{}\n"
    for one in path.rglob("*"):
        assert one.stat().st_mode & 0o777 == (0o700 if one.is_dir() else 0o600)
    assert run("validate", "--bank", path).returncode == 0


def test_again_changes_nothing(make_bank: MakeBank) -> None:
    path = make_bank(3)
    made(path, account=("a",))
    before, lines = facts(path), len(journal(path))
    for _ in range(2):
        report = made(path, account=("a",))
        assert (report.created, report.adopted) == ((), 0)
    assert facts(path) == before
    assert len(journal(path)) == lines


def test_adopting_in_place_changes_nothing_of_the_agents(make_bank: MakeBank) -> None:
    path = make_bank(5, adopt=False)
    (path / "trades/trade_1.json").chmod(0o644)
    (path / "trades").chmod(0o755)
    put(path / "trades/sub/old.json", trade(1), age=10_000)
    put(path / "notes.txt", b"\xff\0", age=99)
    before = facts(path)
    report = made(path)
    after = facts(path)
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {"README.md", "bank.json", "metrics/historical"}
    assert report.created == ("metrics/historical/", "README.md", "bank.json")
    assert report.adopted == len([one for one in before if (path / one).is_file()]) + 1
    assert [(one.rule, one.path) for one in report.findings if one.severity == "error"] == [
        ("MB102", "trades/recent_trades.json")
    ]
    assert "1 damaged; next: memorybank repair --dry-run" in report.summary()


def test_a_readme_of_the_agents_stays(make_bank: MakeBank) -> None:
    path = make_bank(1, adopt=False)
    put(path / "README.md", b"ours\n")
    assert "README.md" not in made(path).created
    assert (path / "README.md").read_bytes() == b"ours\n"


def test_damage_does_not_change_the_exit_code(run: Run, make_bank: MakeBank) -> None:
    path = make_bank(1, adopt=False)
    done = run("init", path, "--json")
    assert done.returncode == 0
    [found] = [one for one in done.json["findings"] if one["severity"] == "error"]
    assert (found["rule"], found["path"]) == ("MB102", "trades/recent_trades.json")


def test_repair_on_the_way(run: Run, make_bank: MakeBank) -> None:
    path = make_bank(1, adopt=False)
    done = run("init", path, "--repair", "--json")
    assert (done.returncode, done.json["findings"]) == (0, [])
    [cure] = done.json["repaired"]["repaired"]
    assert (cure["path"], cure["method"]) == ("trades/recent_trades.json", "leading-document")
    assert run("validate", "--bank", path).returncode == 0


def test_the_baseline_is_one_line_for_the_bank_and_grouped_ones_for_files(make_bank: MakeBank) -> None:
    path = make_bank(3)
    lines = [one for one in journal(path) if "files" in one]
    assert lines[0]["op"] == "bank.created"
    assert lines[0]["bound"] == ["metrics", "state", "trade"]
    rows = {row[0]: row for one in lines for row in one["files"]}
    assert set(rows) == set(contents(path))
    assert rows["trades/recent_trades.json"][4] == ["MB102"]
    [found] = [one for one in lines if one["op"] == "file.found"]
    assert [row[0] for row in found["files"]] == ["trades/recent_trades.json"]


def test_a_kind_of_which_one_file_misfits_is_not_bound(make_bank: MakeBank) -> None:
    path = make_bank(3, adopt=False)
    put(path / "trades/odd.json", {"no": "time"})
    put(path / "metrics/metrics.json", b"{}\n")
    report = made(path)
    assert journal(path)[0]["bound"] == ["state"]
    assert [(one.rule, one.path) for one in report.findings if one.path == "trades/odd.json"] == [
        ("MB202", "trades/odd.json")
    ]


def test_accounts(run: Run, tmp_path: Path) -> None:
    done = run("init", "bank", "--account", "a", "--account", "b.c", "--json", cwd=tmp_path)
    assert done.json["created"][-2:] == ["account_a", "account_b.c"]
    assert rules(tmp_path / "bank", "MB") == {}
    assert {one.name for one in (tmp_path / "bank/account_a").iterdir()} == {
        "account.json",
        "short_term.json",
        "mid_term.json",
        "whole_history.json",
        "history_context.json",
    }
    assert run("init", "bank", "--account", "a", "--json", cwd=tmp_path).json["created"] == []


def test_a_bad_account_id_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a good account id"):
        made(tmp_path / "bank", account=("good", "../bad"))
    assert not (tmp_path / "bank").exists()


# Where


def test_the_directory_that_is_meant(inside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert init(Context()).path == str(inside / "memory-bank")
    assert init(Context(), str(inside / "given")).path == str(inside / "given")
    monkeypatch.setenv("MEMORYBANK_BANK", str(inside / "variable"))
    assert init(Context()).path == str(inside / "variable")
    with pytest.raises(UsageError, match="given twice"):
        init(Context(bank="a"), "b")


@pytest.mark.parametrize("content", ["trades", "metrics", "state", "account_a"])
def test_here_where_content_is(inside: Path, content: str) -> None:
    (inside / content).mkdir()
    assert init(Context()).path == str(inside)
    assert init(Context()).path == str(inside)


def test_files_named_like_sections_are_no_content(inside: Path) -> None:
    (inside / "trades").touch()
    (inside / "account_.x").mkdir()
    assert init(Context()).path == str(inside / "memory-bank")


def test_inside_another_bank(run: Run, make_bank: MakeBank) -> None:
    path = make_bank(1)
    done = run("init", path / "trades/deep/inner", "--json")
    assert done.returncode == 13
    assert done.error["code"] == "refused"
    assert "lies inside the bank" in done.error["message"]
    assert not (path / "trades/deep").exists()
    (path.parent / "link").symlink_to(path / "trades")
    assert run("init", path.parent / "link/inner").returncode == 13


def test_a_file_in_the_way(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    done = run("init", tmp_path / "file", "--json")
    assert (done.returncode, done.error["code"]) == (3, "operation_failed")
    assert (tmp_path / "file").read_bytes() == b"x"


def test_a_bank_of_another_format(make_bank: MakeBank) -> None:
    path = make_bank(1)
    document = json.loads((path / "bank.json").read_bytes())
    (path / "bank.json").write_text(json.dumps({**document, "format": 2}))
    with pytest.raises(FormatMismatch, match="format 2"):
        made(path)


def test_a_bank_json_that_names_no_bank(tmp_path: Path) -> None:
    put(tmp_path / "bank/bank.json", {"format": 1})
    with pytest.raises(OperationFailed, match="does not name a bank"):
        made(tmp_path / "bank")


def test_a_group_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no group"):
        made(tmp_path / "bank", group="no-such-group")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to any group")
def test_a_groups_bank(tmp_path: Path) -> None:
    path = tmp_path / "bank"
    made(path, group="daemon", account=("a",))
    assert json.loads((path / "bank.json").read_bytes())["group"] == "daemon"
    for one in (path, path / "trades", path / "metrics/historical"):
        assert one.stat().st_mode & 0o7777 == 0o2770
        assert one.group() == "daemon"
    assert (path / "metrics/metrics.json").stat().st_mode & 0o777 == 0o660
    assert (path / "metrics/metrics.json").group() == "daemon"


# After a kill


def test_a_killed_init_is_completed_by_running_it_again(run: Run, make_bank: MakeBank) -> None:
    path = make_bank(3)
    known = json.loads((path / "bank.json").read_bytes())
    (path / "bank.json").unlink()
    done = run("init", path, "--json")
    assert (done.returncode, done.json["created"], done.json["bank_id"]) == (0, ["bank.json"], known["bank_id"])
    assert [one["rule"] for one in done.json["findings"] if one["severity"] == "error"] == ["MB102"]
    assert json.loads((path / "bank.json").read_bytes()) == known
    assert "bank.json" not in rules(path)


def test_killed_after_the_first_line(make_bank: MakeBank) -> None:
    path = make_bank(3, padded=False)
    [segment] = (path / ".memorybank/journal").iterdir()
    segment.write_bytes(segment.read_bytes().splitlines(keepends=True)[0])
    (path / "bank.json").unlink()
    for one in (path / ".memorybank").glob("catalog*"):
        one.unlink()
    shutil.rmtree(os.environ["MEMORYBANK_STATE_HOME"])
    report = made(path)
    assert (report.created, report.findings) == (("bank.json",), ())
    assert report.adopted == len(contents(path)) - 1
    assert rules(path, "MB") == {}


def test_killed_before_the_first_line(make_bank: MakeBank) -> None:
    path = make_bank(3, padded=False)
    (path / "bank.json").unlink()
    shutil.rmtree(path / ".memorybank")
    report = made(path)
    assert report.created == ("bank.json",)
    assert rules(path, "MB") == {}


@pytest.mark.parametrize(
    "torn", [b"", bytes(300), b'{"core":{"seq":1', b"\xa5\0{]\n" * 100], ids=["none", "zeros", "cut", "garbage"]
)
def test_killed_within_the_first_line(make_bank: MakeBank, torn: bytes) -> None:
    path = make_bank(3, padded=False)
    (path / "bank.json").unlink()
    [segment] = (path / ".memorybank/journal").iterdir()
    segment.write_bytes(torn)
    for one in (path / ".memorybank").glob("catalog*"):
        one.unlink()
    shutil.rmtree(os.environ["MEMORYBANK_STATE_HOME"])
    report = made(path)
    assert (report.created, report.findings) == (("bank.json",), ())
    assert rules(path, "MB") == {}
    with opened(path) as bank:
        assert prove(bank).ok


def test_a_bank_that_lost_its_private_directory_gets_a_new_baseline(make_bank: MakeBank) -> None:
    path = make_bank(3, padded=False)
    known = (path / "bank.json").read_bytes()
    shutil.rmtree(path / ".memorybank")
    shutil.rmtree(os.environ["MEMORYBANK_STATE_HOME"])
    report = made(path)
    assert (report.created, report.findings, report.adopted) == ((), (), len(contents(path)) - 1)
    assert (path / "bank.json").read_bytes() == known
    assert rules(path, "MB") == {}


def test_a_bank_json_that_is_damaged_is_known_from_the_journal(make_bank: MakeBank) -> None:
    path = make_bank(3, padded=False)
    bank_id = json.loads((path / "bank.json").read_bytes())["bank_id"]
    (path / "bank.json").write_bytes(b"{")
    report = made(path)
    assert report.bank_id == bank_id
    assert [(one.rule, one.path) for one in report.findings] == [("MB103", "bank.json")]


# A copy


def test_a_copy_gets_its_own_id(run: Run, make_bank: MakeBank, tmp_path: Path) -> None:
    path = make_bank(2, padded=False)
    shutil.copytree(path, tmp_path / "copy")
    copy = tmp_path / "copy"
    put(copy / "trades/new.json", trade(8))
    refused = run("backup", "--bank", copy, "--json")
    assert (refused.returncode, refused.error["code"]) == (13, "copied_bank")
    assert "init --new-id" in refused.error["hint"]
    with pytest.raises(CopiedBank):
        made(copy)
    done = run("init", copy, "--new-id", "--json")
    assert done.returncode == 0
    original = json.loads((path / "bank.json").read_bytes())
    document = json.loads((copy / "bank.json").read_bytes())
    assert document["bank_id"] == done.json["bank_id"] != original["bank_id"]
    assert {**document, "bank_id": original["bank_id"]} == original
    assert [one["op"] for one in journal(copy)][-3:] == ["bank.renamed", "file.adopted", "file.adopted"]
    for one in (copy, path):
        assert run("validate", "--bank", one).returncode == 0
        assert run("log", "--verify", "--bank", one).returncode == 0
        assert run("backup", "--bank", one).returncode == 0
    assert run("init", copy, "--json").json["bank_id"] == document["bank_id"]


def test_both_accounts_go_their_own_way(make_bank: MakeBank, tmp_path: Path) -> None:
    path = make_bank(1, padded=False)
    made(path, account=("a",))
    with opened(path) as bank:
        store(bank, "a", [Message("user", "before")])
    shutil.copytree(path, tmp_path / "copy")
    made(tmp_path / "copy", new_id=True)
    for one, text in ((path, "here"), (tmp_path / "copy", "there")):
        with opened(one) as bank:
            assert store(bank, "a", [Message("user", text)]).total == 2
            assert prove(bank).ok
        whole = json.loads((one / "account_a/whole_history.json").read_bytes())
        assert [message["content"] for message in whole["messages"]] == ["before", text]


# Import


def test_an_import_is_byte_for_byte(run: Run, make_bank: MakeBank, tmp_path: Path) -> None:
    source = make_bank(4, adopt=False, name="source")
    (source / "trades/trade_2.json").chmod(0o644)
    put(source / "trades/sub/a\nb.json", trade(3), age=5_000)
    put(source / ".git/config", b"x")
    (source / "trades/link.json").symlink_to("trade_1.json")
    os.mkfifo(source / "pipe")
    before = facts(source)
    atime = (source / "trades").stat().st_mtime_ns
    done = run("init", "bank", "--from", source, "--json", cwd=tmp_path)
    assert done.returncode == 0
    files = {name: fact for name, fact in before.items() if fact[0] and not name.startswith((".git", "trades/link"))}
    imported = done.json["imported"]
    assert (imported["from"], imported["files"], imported["imported"]) == (str(source), len(files), len(files))
    assert imported["bytes"] == sum(len(fact[0]) for fact in files.values())
    assert (imported["present"], imported["rejected"], imported["dry_run"]) == (0, [], False)
    assert [one["path"] for one in imported["skipped"]] == [".git", "pipe", "trades/link.json"]
    assert {(one["importer"], one["kind"], one["to"], one["count"]) for one in imported["plan"]} == {
        ("bank_layout", "files", "trades/", 6),
        ("bank_layout", "files", "metrics/", 1),
        ("bank_layout", "files", "state/", 1),
    }
    assert facts(source) == before
    assert (source / "trades").stat().st_mtime_ns == atime
    after = facts(tmp_path / "bank")
    assert {name: fact[:3] for name, fact in files.items()} == {name: after[name][:3] for name in files}
    assert [one["rule"] for one in done.json["findings"] if one["severity"] == "error"] == ["MB102"]
    again = run("init", "bank", "--from", source, "--json", cwd=tmp_path)
    assert (again.returncode, again.json["imported"]["files"], again.json["adopted"]) == (0, 0, 0)
    assert again.json["imported"]["present"] == len(files)
    assert facts(tmp_path / "bank") == after


def test_an_import_that_would_overwrite_writes_nothing(run: Run, make_bank: MakeBank) -> None:
    source = make_bank(4, adopt=False, name="source")
    path = make_bank(1, padded=False)
    put(path / "trades/trade_3.json", {"timestamp": "2026-01-01"})
    before = facts(path)
    done = run("init", path, "--from", source, "--json")
    assert (done.returncode, done.error["code"]) == (13, "refused")
    assert done.error["path"] == "trades/recent_trades.json"
    assert facts(path) == before


def test_what_is_imported_later_is_adopted(make_bank: MakeBank) -> None:
    source = make_bank(4, padded=False, adopt=False, name="source")
    path = make_bank(1, padded=False)
    report = made(path, from_=str(source))
    assert report.imported is not None
    assert (report.imported.tally.files, report.imported.tally.present, report.adopted) == (3, 4, 3)
    assert rules(path, "MB") == {}


@pytest.mark.parametrize("where", ["same", "inside"])
def test_a_target_within_the_source(make_bank: MakeBank, where: str) -> None:
    source = make_bank(1, adopt=False)
    with pytest.raises(Refused, match="lies in"):
        made(source if where == "same" else source / "new", from_=str(source))
    assert not (source / "new").exists()


def test_a_source_within_the_target(make_bank: MakeBank, run: Run) -> None:
    path = make_bank(2, padded=False)
    before = facts(path)
    for source in ("state", "trades/trade_1.json"):
        done = run("migrate", "--from", path / source, "--bank", path, "--json")
        assert (done.returncode, done.error["code"]) == (13, "refused")
        assert "lies in" in done.error["message"]
    with pytest.raises(Refused, match="lies in"):
        made(path, from_=str(path / "trades"))
    assert facts(path) == before


def test_what_repair_cannot_cure_is_not_sent_there_again(make_bank: MakeBank) -> None:
    path = make_bank(1, padded=False, adopt=False)
    put(path / "trades/broken.json", b"no JSON")
    report = made(path, repair=True)
    assert report.repaired is not None
    assert [one["path"] for one in report.repaired["unrepaired"]] == ["trades/broken.json"]
    assert report.summary().endswith("1 damaged, which nothing here cures; next: memorybank validate")


def test_a_source_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name, words in (("file", "nothing that can be imported"), ("gone", "no directory and no file")):
        with pytest.raises(UsageError, match=words):
            made(tmp_path / "bank", from_=str(tmp_path / name))
    assert not (tmp_path / "bank").exists()


def test_another_bank_is_imported_without_its_identity(make_bank: MakeBank, tmp_path: Path) -> None:
    source = make_bank(2, padded=False, name="source")
    report = made(tmp_path / "bank", from_=str(source))
    assert report.imported is not None
    assert {path for path, _ in report.imported.skipped} == {layout.PRIVATE, layout.BANK, layout.README}
    assert report.bank_id != json.loads((source / "bank.json").read_bytes())["bank_id"]
    assert rules(tmp_path / "bank", "MB") == {}


def test_an_imported_account_goes_on(make_bank: MakeBank, tmp_path: Path) -> None:
    source = make_bank(1, padded=False, name="source")
    made(source, account=("a",))
    with opened(source) as bank:
        store(bank, "a", [Message("user", f"old {number}") for number in range(3)])
    path = tmp_path / "bank"
    assert made(path, from_=str(source)).findings == ()
    with opened(path) as bank:
        assert store(bank, "a", [Message("user", "new")]).total == 4
    whole = json.loads((path / "account_a/whole_history.json").read_bytes())
    assert [one["content"] for one in whole["messages"]] == ["old 0", "old 1", "old 2", "new"]
    assert [one["seq"] for one in whole["messages"]] == [1, 2, 3, 4]
    assert rules(path, "MB") == {}
