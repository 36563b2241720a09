"""One file of a snapshot on stdout, and a snapshot as an archive."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.base.context import Context
from memorybank_cli.base.errors import MemorybankError, OperationFailed, Refused, SnapshotNotFound, UsageError
from memorybank_cli.operations.export import Exported, SnapshotFile, StreamedArchive, cat, export
from memorybank_cli.snapshots.blobs import Blobs
from memorybank_cli.snapshots.sealing import Damaged
from tests.conftest import MakeBank, Run
from tests.operations.banks import backed_up, opened, put

EVIL = b'{"text": "\xc3\xa4 \x7f plain"}\n'
BINARY = bytes(range(256)) * (5 << 12)


@pytest.fixture
def bank(make_bank: MakeBank) -> Path:
    path = make_bank(padded=False)
    put(path / "docs/evil.md", EVIL)
    put(path / "docs/binary.bin", BINARY)
    put(path / "trades/list.json", b'[ {"trade_id": 1,  "p": 1.50},\n {"trade_id": 2}, {"trade_id": 1} ]')
    backed_up(path)
    return path


def content(bank: Path, *words: str, **options: Any) -> bytes:
    with opened(bank) as one:
        return b"".join(cat(one, *words, **options).pieces())


def test_a_file_as_it_was_saved(bank: Path, run: Run) -> None:
    (bank / "docs/binary.bin").unlink()
    assert content(bank, "latest", "docs/binary.bin") == BINARY
    done = run("snapshot", "cat", "latest", "docs/binary.bin", cwd=bank)
    assert (done.returncode, done.raw, done.raw_errors) == (0, BINARY, b"")
    assert run("snapshot", "cat", "latest", bank / "docs/evil.md", cwd=bank).raw == EVIL


def test_on_a_terminal_control_characters_are_escaped(bank: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "memorybank_cli", "snapshot", "cat", "latest", "docs/evil.md"]
    with subprocess.Popen(command, cwd=bank, stdout=theirs, stdin=subprocess.DEVNULL) as process:
        assert process.wait(60) == 0
    shown = os.read(ours, 1000)
    os.close(theirs)
    os.close(ours)
    assert shown == b'{"text": "\xc3\xa4 \\x7f plain"}\r\n\r\n'


def test_as_json(bank: Path, run: Run) -> None:
    done = run("snapshot", "cat", "latest", "docs/evil.md", "--json", cwd=bank)
    assert (done.json["encoding"], done.json["content"]) == ("utf-8", EVIL.decode())
    done = run("snapshot", "cat", "latest", "docs/binary.bin", "--json", cwd=bank)
    assert (done.json["encoding"], done.json["size"]) == ("base64", len(BINARY))


def test_one_record(bank: Path) -> None:
    assert content(bank, "latest", "trades/list.json", record="2") == b'{"trade_id": 2}'
    both = b'{"trade_id": 1,  "p": 1.50}\n{"trade_id": 1}'
    assert content(bank, "latest", "trades/list.json", record="1") == both
    assert json.loads(content(bank, "latest", "bank.json", record="format")) == 1
    with pytest.raises(SnapshotNotFound) as caught:
        content(bank, "latest", "trades/list.json", record="7")
    assert "snapshot find --id" in caught.value.hint
    with pytest.raises(Damaged):
        content(bank, "latest", "docs/binary.bin", record="7")


def test_the_found_version_of_a_damaged_file(bank: Path) -> None:
    good = (bank / "trades/trade_0.json").read_bytes()
    put(bank / "trades/trade_0.json", b"{")
    put(bank / "state/never.json", b"[")
    backed_up(bank)
    assert content(bank, "latest", "trades/trade_0.json") == good
    assert content(bank, "latest", "trades/trade_0.json", found=True) == b"{"
    assert content(bank, "latest", "state/never.json") == b"["
    with pytest.raises(SnapshotNotFound, match="was not found damaged"):
        content(bank, "latest", "trades/trade_1.json", found=True)


@pytest.mark.parametrize(
    ("path", "error", "hint"),
    [
        ("trades/lst.json", SnapshotNotFound, "did you mean trades/list.json or "),
        ("nowhere/at/all", SnapshotNotFound, "memorybank snapshot find all"),
        ("docs", UsageError, "memorybank snapshot find 'docs' --snapshot"),
    ],
)
def test_what_is_not_there(bank: Path, path: str, error: type[MemorybankError], hint: str) -> None:
    with pytest.raises(error) as caught:
        content(bank, "latest", path)
    assert caught.value.hint.startswith(hint)


def exported(bank: Path, target: Path, **options: Any) -> Exported:
    with opened(bank) as one:
        report = export(one, to=str(target), **options)
    assert isinstance(report, Exported)
    return report


def test_an_archive(bank: Path, tmp_path: Path) -> None:
    for suffix in (".tar", ".tar.gz", ".tgz"):
        report = exported(bank, tmp_path / f"one{suffix}")
        assert report.archive_bytes == (tmp_path / f"one{suffix}").stat().st_size
        with tarfile.open(tmp_path / f"one{suffix}") as opened_archive:
            names = opened_archive.getnames()
        assert f"memorybank-{report.snapshot}/bank/docs/evil.md" in names
        assert names[-1] == f"memorybank-{report.snapshot}/SHA256SUMS"
    assert exported(bank, tmp_path / "one.tar.zst").summary().startswith(f"Snapshot {report.snapshot}: ")
    assert [one.name for one in tmp_path.iterdir() if one.name.startswith(".mb-")] == []


def test_nothing_is_overwritten(bank: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "one.tar", b"mine")
    with pytest.raises(Refused):
        exported(bank, tmp_path / "one.tar")
    # Somebody else was faster.
    monkeypatch.setattr(os.path, "lexists", lambda _: False)
    with pytest.raises(Refused):
        exported(bank, tmp_path / "one.tar")
    assert (tmp_path / "one.tar").read_bytes() == b"mine"
    assert [one.name for one in tmp_path.iterdir() if one.name.startswith(".mb-")] == []


def test_names_that_say_no_form_and_places_that_are_not_there(bank: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="says no form"):
        exported(bank, tmp_path / "one.zip")
    with pytest.raises(OperationFailed):
        exported(bank, tmp_path / "nowhere/one.tar")
    for options in ({"json": True}, {"live": True}):
        with opened(bank, **options) as one, pytest.raises(UsageError):
            export(one, to="-")


def test_on_stdout(bank: Path, run: Run, tmp_path: Path) -> None:
    exported(bank, tmp_path / "one.tar")
    done = run("snapshot", "export", "--to", "-", cwd=bank)
    assert (done.returncode, done.raw_errors) == (0, b"")
    assert done.raw == (tmp_path / "one.tar").read_bytes()


def test_what_cannot_be_read_is_left_out(bank: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Blobs.get

    def get(self: Blobs, name: str) -> bytes:
        data = real(self, name)
        if data == EVIL:
            raise Damaged("gone")
        return data

    monkeypatch.setattr(Blobs, "get", get)
    report = exported(bank, tmp_path / "one.tar")
    assert report.exit_code() == 1
    assert [(one.rule, one.path) for one in report.findings] == [("MB130", "docs/evil.md")]
    assert report.as_dict()["findings"][0]["path"] == "docs/evil.md"
    told: list[str] = []
    context = Context(bank=str(bank))
    monkeypatch.setattr(type(context.progress), "note", lambda _, text: told.append(text))
    with opened(bank) as one:
        streamed = export(one, to="-")
        assert isinstance(streamed, StreamedArchive)
        assert len(b"".join(streamed.pieces())) == report.archive_bytes
    assert streamed.exit_code() == 1
    assert told == ["left out docs/evil.md: it cannot be read of the snapshot: gone"]


def test_a_file_is_read_as_it_is_asked_for(bank: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(bank / "docs/large.bin", b"x" * (9 << 20))
    backed_up(bank)
    with opened(bank) as one:
        found = cat(one, "latest", "docs/large.bin")
        assert isinstance(found, SnapshotFile)
        pieces = found.pieces()
        assert len(next(pieces)) == 4 << 20
        monkeypatch.setattr(Blobs, "get", lambda *_: (_ for _ in ()).throw(Damaged("gone")))
        with pytest.raises(Damaged):
            next(pieces)
