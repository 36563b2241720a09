"""`log`: the journal as JSON lines, filtered, followed, and proved."""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.accounts.messages import Message
from memorybank_cli.base.errors import UsageError
from memorybank_cli.operations.accounts import create_account
from memorybank_cli.operations.journal import Proof, log, prove
from memorybank_cli.operations.messages import store
from tests.conftest import MakeBank, Run, trade
from tests.operations.banks import adopt, backed_up, journal, journal_file, opened, put


def events(bank_at: Path, **options: Any) -> list[dict[str, Any]]:
    with opened(bank_at) as bank:
        found = log(bank, **options)
        assert not isinstance(found, Proof)
        return list(found)


def forget_catalog(path: Path) -> None:
    for one in (path / ".memorybank").glob("catalog*"):
        one.unlink()


@pytest.fixture
def path(make_bank: MakeBank) -> Path:
    """A bank in which something happened."""
    made = make_bank(2)
    with opened(made, actor="tester") as bank:
        create_account(bank, "a")
        store(bank, "a", [Message("user", "one"), Message("user", "two")])
    put(made / "trades/new.json", trade(9))
    put(made / "metrics/metrics.json", {"gas_price": 36})
    adopt(made)
    return made


def test_every_line_is_an_event(run: Run, path: Path) -> None:
    done = run("log", "--bank", path, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    cores = journal(path)
    assert [one["seq"] for one in done.lines] == [core["seq"] for core in cores] == list(range(1, len(cores) + 1))
    for one, core in zip(done.lines, cores, strict=True):
        assert one["type"] == "event"
        assert (one["op"], one["ts"], one["actor"]) == (core["op"], core["ts"], core["actor"])
        assert len(one["hash"]) == 64
        assert "key" not in one
    assert done.lines == events(path)
    by_op = {one["op"]: one for one in done.lines}
    assert by_op["account.created"]["actor"] == "tester"
    assert by_op["account.created"]["account"] == "a"
    assert by_op["record.stored"]["txn"][1:] == [1, 2]
    people = run("log", "--bank", path)
    assert len(people.stdout.splitlines()) == len(cores)
    assert "record.stored a" in people.stdout


def test_by_path(run: Run, path: Path) -> None:
    [first] = events(path, path="trades/new.json")
    digest = sha256((path / "trades/new.json").read_bytes()).hexdigest()
    assert (first["path"], first["before"], first["after"]) == ("trades/new.json", None, digest)
    assert first["files"] == [
        {"path": "trades/new.json", "before": None, "after": digest, "size": (path / "trades/new.json").stat().st_size}
    ]
    below = events(path, path="trades")
    assert {row["path"] for one in below for row in one["files"]} == {
        "trades/trade_0.json",
        "trades/trade_1.json",
        "trades/recent_trades.json",
        "trades/new.json",
    }
    assert events(path, path="trades/never.json") == []
    assert run("log", "--path", "new.json", "--bank", path, "--json", cwd=path / "trades").lines == [first]
    assert len(events(path, path=".")) == len(journal(path))
    two = events(path, path="metrics/metrics.json")
    assert two[-1]["before"] == two[0]["after"]


def test_by_account(path: Path) -> None:
    ops = [one["op"] for one in events(path, account="a")]
    assert ops[0] == "account.created"
    assert ops.count("record.stored") == 2
    assert set(ops) == {"account.created", "record.stored", "files.rendered"}
    assert events(path, account="b") == []
    with pytest.raises(UsageError):
        events(path, account="../a")


def test_since(run: Run, path: Path) -> None:
    lines = events(path)
    middle = lines[5]["ts"]
    assert events(path, since=middle) == [one for one in lines if one["ts"] >= middle]
    assert events(path, since="1h") == lines
    assert events(path, since="2999-01-01") == []
    done = run("log", "--since", "yesterday", "--bank", path, "--json")
    assert (done.returncode, done.error["code"]) == (2, "usage")


def test_follow_goes_on(path: Path) -> None:
    with opened(path) as bank:
        found = log(bank, follow=True)
        assert not isinstance(found, Proof)
        count = len(journal(path))
        for _ in range(count):
            next(found)
        store(bank, "a", [Message("user", "three")])
        assert next(found)["op"] == "record.stored"


def test_follow_as_a_process(path: Path) -> None:
    arguments = [sys.executable, "-m", "memorybank_cli", "log", "--follow", "--json", "--bank", str(path)]
    # A shell that starts the tests in the background lets them ignore SIGINT, and children inherit that.
    heard = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    pipe = subprocess.PIPE
    with subprocess.Popen(arguments, stdout=pipe, stderr=pipe, preexec_fn=heard) as process:  # noqa: PLW1509
        assert process.stdout is not None
        seen = [json.loads(process.stdout.readline()) for _ in journal(path)]
        put(path / "trades/later.json", trade(33))
        adopt(path)
        seen.append(json.loads(process.stdout.readline()))
        assert seen[-1]["path"] == "trades/later.json"
        process.send_signal(2)
        assert process.wait(20) == 130


# The proof


def test_the_proof(run: Run, path: Path) -> None:
    done = run("log", "--verify", "--bank", path, "--json")
    last = journal(path)[-1]["seq"]
    assert done.returncode == 0
    assert {name: done.json[name] for name in ("ok", "chained_to", "key", "findings")} == {
        "ok": True,
        "chained_to": last,
        "key": None,
        "findings": [],
    }
    assert done.json["proved_to"] == json.loads(_mark(path).read_bytes())["seq"]
    people = run("log", "--verify", "--bank", path)
    assert people.stdout.startswith("Lines 1 to ") or "Lines 1 to " in people.stdout
    assert "not a forger" in people.stdout


def _mark(path: Path) -> Path:
    bank_id = json.loads((path / "bank.json").read_bytes())["bank_id"]
    return Path(os.environ["MEMORYBANK_STATE_HOME"]) / f"state/{bank_id}/mark.json"


def test_lines_after_the_mark_are_only_chained(path: Path) -> None:
    lines = journal_file(path).read_bytes().splitlines()
    line = json.loads(lines[4])
    _mark(path).write_text(json.dumps({"seq": line["core"]["seq"], "hash": line["hash"]}))
    with opened(path) as bank:
        proof = prove(bank)
    assert (proof.ok, proof.proved_to, proof.chained_to) == (True, 5, len(lines))
    assert f"lines up to {len(lines)} are only chained" in proof.summary()


def test_a_snapshot_vouches_too(path: Path) -> None:
    backed_up(path)
    seq = journal(path)[-1]["at"][0]
    _mark(path).unlink()
    with opened(path) as bank:
        proof = prove(bank)
    assert (proof.ok, proof.proved_to) == (True, seq)
    assert proof.anchors[0].startswith("snapshot ")


def test_without_any_anchor(path: Path) -> None:
    _mark(path).unlink()
    with opened(path) as bank:
        proof = prove(bank)
    assert (proof.ok, proof.proved_to, proof.anchors) == (True, 0, ())
    assert "nothing outside the journal" in proof.summary()


@pytest.mark.parametrize("where", ["core", "hash", "removed", "data"])
def test_a_tampered_line(run: Run, path: Path, where: str) -> None:
    segment = journal_file(path)
    lines = segment.read_bytes().splitlines(keepends=True)
    [index] = [number for number, line in enumerate(lines) if b'"op":"account.created"' in line]
    if where == "core":
        lines[index] = lines[index].replace(b'"actor":"tester"', b'"actor":"nobody"')
    elif where == "hash":
        lines[index] = lines[index].replace(b'"hash":"', b'"hash":"0', 1)
    elif where == "data":
        [index] = [number for number, line in enumerate(lines) if b'"content":"two"' in line]
        lines[index] = lines[index].replace(b'"content":"two"', b'"content":"2wo"')
    else:
        del lines[index]
    segment.write_bytes(b"".join(lines))
    forget_catalog(path)
    done = run("log", "--verify", "--bank", path, "--json")
    assert (done.returncode, done.json["ok"]) == (1, False)
    assert {one["rule"] for one in done.json["findings"]} == {"MB120"}
    assert "line" in done.json["findings"][0]["message"]
    assert "The journal is damaged" in run("log", "--verify", "--bank", path).stdout
    refused = run("account", "create", "b", "--bank", path, "--json")
    assert (refused.returncode, refused.error["code"]) == (3, "journal_damaged")
    assert run("validate", "--bank", path).returncode == 1


def test_a_tail_that_was_cut(run: Run, path: Path) -> None:
    segment = journal_file(path)
    lines = segment.read_bytes().splitlines(keepends=True)
    segment.write_bytes(b"".join(lines[:5]))
    forget_catalog(path)
    done = run("log", "--verify", "--bank", path, "--json")
    assert (done.returncode, done.json["chained_to"]) == (1, 5)
    assert [one["rule"] for one in done.json["findings"]] == ["MB121"]


def test_an_incomplete_last_line_is_no_break(path: Path) -> None:
    with journal_file(path).open("ab") as file:
        file.write(b'{"core":{"seq":99')
    with opened(path) as bank:
        proof = prove(bank)
    assert proof.ok
    assert [one.rule for one in proof.findings] == ["MB123"]
    assert "the next write cuts them off" in proof.findings[0].message


def test_a_rewritten_journal_contradicts_the_mark(path: Path) -> None:
    mark = json.loads(_mark(path).read_bytes())
    _mark(path).write_text(json.dumps({**mark, "hash": "ab" * 32}))
    with opened(path) as bank:
        proof = prove(bank)
    assert not proof.ok
    assert any("is not the one that the high-water mark vouches for" in one.message for one in proof.findings)
    assert proof.exit_code() == 1


def test_a_gap_is_named_by_the_proof(make_bank: MakeBank) -> None:
    path = make_bank(1, padded=False)
    with opened(path) as bank:
        assert prove(bank).gaps == ()
        bank.record_gap({"reason": "lines were lost"})
        proof = prove(bank)
    assert (proof.ok, len(proof.gaps)) == (True, 1)
    assert [one.rule for one in proof.findings] == ["MB123"]
    assert "lines were lost" in proof.findings[0].message
    assert f"Lines 1 to {proof.proved_to}, but for the 1 gap told above, are" in proof.summary()
