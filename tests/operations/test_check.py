"""`validate`: names exactly what is damaged, adopts nothing, and says it in every form."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from memorybank_cli.base.context import Context
from memorybank_cli.base.errors import BankNotFound, MemorybankError, UsageError
from memorybank_cli.operations.check import ValidateReport, validate
from tests.conftest import MakeBank, Run, trade
from tests.operations.banks import adopt, journal, opened, put
from tests.operations.owners import as_root

PADDED = "trades/recent_trades.json"


def checked(path: Path, *paths: str, **options: object) -> ValidateReport:
    with opened(path) as bank:
        return validate(bank, bank.context, *paths, **options)  # type: ignore[arg-type]


def test_exactly_the_damaged_ones_are_named(run: Run, make_bank: MakeBank) -> None:
    path = make_bank(450)
    put(path / "state/more.json", (path / "state/state.json").read_bytes() + bytes(2_000_000))
    put(path / "metrics/cut.json", (path / "metrics/metrics.json").read_bytes()[:-4])
    done = run("validate", "--bank", path, "--json")
    assert (done.returncode, done.stderr) == (1, "")
    assert set(done.json) >= {"ok", "checked", "pending", "findings", "seconds"}
    assert (done.json["ok"], done.json["checked"], done.json["pending"]) == (False, 457, 2)
    assert {one["path"]: one["rule"] for one in done.json["findings"]} == {
        PADDED: "MB102",
        "state/more.json": "MB102",
        "metrics/cut.json": "MB103",
    }
    [padded] = [one for one in done.json["findings"] if one["path"] == PADDED]
    assert set(padded) >= {
        "rule",
        "name",
        "severity",
        "path",
        "message",
        "hint",
        "pointer",
        "line",
        "fingerprint",
        "detected_at",
    }
    end = len((path / PADDED).read_bytes().rstrip(b"\0"))
    assert padded["message"] == f"valid JSON ends at byte {end}; 5000 NUL bytes follow"
    assert padded["hint"] == f"memorybank repair {PADDED}"
    assert (padded["name"], padded["severity"], padded["pointer"], padded["line"]) == (
        "trailing-bytes",
        "error",
        "",
        None,
    )
    again = run("validate", "--bank", path, "--json").json
    first, second = (
        [{name: value for name, value in finding.items() if name != "detected_at"} for finding in one["findings"]]
        for one in (done.json, again)
    )
    assert second == first


def test_for_people(run: Run, make_bank: MakeBank) -> None:
    path = make_bank(2)
    put(path / "trades/new.json", trade(9))
    done = run("validate", "--bank", path)
    assert done.returncode == 1
    assert f"error MB102 {PADDED}: valid JSON ends at byte" in done.stdout
    assert f"1 change pending: 1 error, 0 warnings. Next: memorybank repair --bank {path} --dry-run" in done.stdout
    good = make_bank(0, padded=False, name="good")
    done = run("validate", "--bank", good, "--only", "MB1")
    assert (done.returncode, done.stdout.strip().endswith(": all good")) == (0, True)
    put(good / "state/state.json", {"timestamp": []})
    done = run("validate", "--bank", good, "--only", "MB201")
    assert done.stdout.endswith("1 change pending: 1 error, 0 warnings. Next: memorybank explain MB201\n")


def test_nothing_is_adopted(make_bank: MakeBank) -> None:
    path = make_bank(2, padded=False)
    put(path / "trades/new.json", trade(9))
    put(path / "state/state.json", {"bot_status": "stopped"})
    (path / "metrics/metrics.json").unlink()
    lines = journal(path)
    for _ in range(2):
        report = checked(path)
        assert (report.ok, report.pending, [one.rule for one in report.findings]) == (True, 3, [])
        assert "3 changes pending: all good" in report.summary()
    assert journal(path) == lines


def test_only_some_families(run: Run, make_bank: MakeBank) -> None:
    path = make_bank(2)
    put(path / "trades/large.json", {**trade(3), "notes": "x" * (1 << 20)})
    put(path / "agents/a/x.json", {})
    assert {one.rule for one in checked(path).findings} == {"MB102", "MB301", "MB202"}
    assert {one.rule for one in checked(path, only=("mb1",)).findings} == {"MB102"}
    assert {one.rule for one in checked(path, only=("MB3", "MB202")).findings} == {"MB301", "MB202"}
    assert checked(path, only=("MB103",)).findings == ()
    assert run("validate", "--bank", path, "--only", "MB3").returncode == 0
    assert run("validate", "--bank", path, "--only", "MB1").returncode == 1


@pytest.mark.parametrize("family", ["X1", "MB", "MBx", "1", ""])
def test_what_is_no_family(make_bank: MakeBank, family: str) -> None:
    with pytest.raises(UsageError, match="no family"):
        checked(make_bank(0), only=(family,))


@pytest.mark.parametrize(("fail_on", "code"), [("info", 1), ("warning", 1), ("error", 0), ("critical", 0)])
def test_from_which_severity_on_it_fails(run: Run, make_bank: MakeBank, fail_on: str, code: int) -> None:
    path = make_bank(1, padded=False)
    put(path / "trades/large.json", {**trade(3), "notes": "x" * (1 << 20)})
    done = run("validate", "--bank", path, "--fail-on", fail_on, "--json")
    assert (done.returncode, done.json["ok"]) == (code, not code)
    assert [one["rule"] for one in done.json["findings"]] == ["MB301"]
    report = checked(path, fail_on=fail_on)
    assert (report.exit_code(), report.summary().endswith("1 warning. Next: memorybank explain MB301")) == (code, True)


def test_a_severity_that_is_none(run: Run, make_bank: MakeBank) -> None:
    assert run("validate", "--bank", make_bank(0), "--fail-on", "fatal").returncode == 2


# Paths


def test_some_paths(run: Run, make_bank: MakeBank) -> None:
    path = make_bank(3)
    put(path / "state/state.json", b"{")

    def found(*paths: str, cwd: Path = path.parent) -> tuple[int, int, list[str]]:
        done = run("validate", *paths, "--bank", path, "--json", cwd=cwd)
        return (
            done.returncode,
            done.json["checked"],
            sorted(one["path"] for one in done.json["findings"]),
        )

    assert found("trades") == (1, 4, [PADDED])
    assert found("trades/trade_1.json", "metrics") == (0, 2, [])
    assert found("recent_trades.json", cwd=path / "trades") == (1, 1, [PADDED])
    assert found("../state", cwd=path / "trades") == (1, 1, ["state/state.json"])
    assert found(str(path / "state")) == (1, 1, ["state/state.json"])
    assert found(".", cwd=path)[2] == ["state/state.json", PADDED]
    assert found(".")[1] == found(".", cwd=path)[1]


def test_files_as_tools_name_them_from_above(run: Run, make_bank: MakeBank, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    path = make_bank(2, name="data/memory-bank")
    named = ["data/memory-bank/trades/trade_0.json", "data/memory-bank/trades/recent_trades.json"]
    done = run("validate", *named, "--json", cwd=tmp_path)
    assert (done.returncode, done.json["checked"]) == (1, 2)
    assert [one["path"] for one in done.json["findings"]] == [PADDED]
    assert run("validate", *named[:1], "--bank", path, cwd=tmp_path).returncode == 0
    with opened(path) as bank:
        assert validate(bank, Context(), str(path / "trades")).checked == 3
    assert validate(None, Context(), str(path / "trades")).checked == 3
    done = run("validate", "elsewhere/a.json", "--json", cwd=tmp_path)
    assert (done.returncode, done.error["code"]) == (10, "bank_not_found")


def test_lines_for_github_name_files_from_here(run: Run, make_bank: MakeBank, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    path = make_bank(1, name="data/bank")
    done = run("validate", "data/bank/trades", "--format", "github", cwd=tmp_path)
    assert done.stdout.startswith(f"::error file=data/bank/{PADDED},line=1,title=MB102::valid JSON ends at byte")
    assert run("validate", "--format", "github", cwd=path).stdout.startswith(f"::error file={PADDED},line=1,")


def test_a_bank_that_breaks_while_it_is_looked_at_is_explained(make_bank: MakeBank) -> None:
    path = make_bank(1)
    [catalog] = (path / ".memorybank").glob("catalog*.sqlite")
    with opened(path) as bank, bank.catalog.writing():
        bank.catalog.db.execute("UPDATE files SET s_content='[[1, 2, 3, 4, 5, 6, 7]]'")
        bank.catalog.db.execute("UPDATE dirs SET signature=''")
    assert catalog.exists()
    with pytest.raises(MemorybankError):
        validate(None, Context(), str(path / "trades"))


def test_a_path_that_is_gone_or_outside(run: Run, make_bank: MakeBank) -> None:
    path = make_bank(3)
    (path / "trades/trade_1.json").unlink()
    done = run("validate", "trades/trade_1.json", "--bank", path, "--json")
    assert (done.returncode, done.json["findings"][0]["rule"]) == (1, "MB111")
    done = run("validate", "trades/never.json", "--bank", path, "--json")
    assert (done.returncode, done.error["code"]) == (10, "not_found")
    assert run("validate", "/etc", "--bank", path).returncode == 2


def test_escaped_names(run: Run, make_bank: MakeBank) -> None:
    path = make_bank(0, padded=False)
    put(path / "trades/a\x1b[31m\nb.json", b"{")
    name = "trades/a\\x1b[31m\\x0ab.json"
    done = run("validate", name, "--bank", path, "--json")
    assert [one["path"] for one in done.json["findings"]] == [name]
    people = run("validate", "--bank", path)
    assert b"\x1b" not in people.raw
    assert name in people.stdout


# Reports


def test_reports(run: Run, make_bank: MakeBank, tmp_path: Path) -> None:
    path = make_bank(2)
    done = run("validate", "--bank", path, "--report", "found.json", "--json", cwd=tmp_path)
    document = json.loads((tmp_path / "found.json").read_bytes())
    assert {name: document[name] for name in done.json} == done.json
    assert {"verdict", "bank", "components", "not_checked", "next_steps", "memory_bank_status"} <= document.keys()
    done = run("validate", "--bank", path, "--report", tmp_path / "deep/found.md")
    text = (tmp_path / "deep/found.md").read_text()
    assert text.startswith("# Validation of a memory bank\n\n**Failed**: 1 error in 7 files.\n")
    assert f"- `{PADDED}`: valid JSON ends" in text
    assert done.returncode == 1
    done = run("validate", "--bank", path, "--report", "-", cwd=tmp_path)
    assert done.stdout.startswith("# Validation of a memory bank\n\n**Failed**")
    done = run("validate", "--bank", path, "--report", "-", "--json", cwd=tmp_path)
    assert (done.json["ok"], done.json["verdict"], len(done.json["groups"])) == (False, "failed", 1)
    done = run("validate", "--bank", path, "--report", "-", "--format", "github", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert not (tmp_path / "-").exists()


def test_the_forms(run: Run, make_bank: MakeBank) -> None:
    path = make_bank(2)
    assert run("validate", "--bank", path, "--format", "json").json["checked"] == 7
    done = run("validate", "--bank", path, "--format", "github")
    assert done.returncode == 1
    assert f"/{PADDED},line=1,title=MB102::valid JSON ends at byte" in done.stdout
    assert checked(path).text() is None
    assert checked(path, format_="github").text() == done.stdout
    assert run("validate", "--bank", path, "--format", "xml").returncode == 2


def test_a_report_that_cannot_be_written(run: Run, make_bank: MakeBank, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = run("validate", "--bank", make_bank(0), "--report", tmp_path / "file/found.json", "--json")
    assert (done.returncode, done.error["code"]) == (3, "operation_failed")


# Without a bank, and all of it


def test_without_a_bank(run: Run, tmp_path: Path) -> None:
    done = run("validate", "--json", cwd=tmp_path)
    assert (done.returncode, done.error["code"]) == (10, "bank_not_found")
    with pytest.raises(BankNotFound):
        validate(None, Context())
    with pytest.raises(BankNotFound):
        validate(None, Context(), str(tmp_path))


def test_a_schema_needs_no_bank(run: Run, tmp_path: Path) -> None:
    put(tmp_path / "a.json", trade(1))
    put(tmp_path / "b.json", {"timestamp": []})
    done = run("validate", "--schema", "trade", "a.json", "b.json", "--json", cwd=tmp_path)
    assert done.returncode == 1
    assert (done.json["checked"], done.json["pending"]) == (2, 0)
    assert [(one["rule"], one["path"], one["pointer"]) for one in done.json["findings"]] == [
        ("MB201", "b.json", "/timestamp")
    ]
    assert run("validate", "--schema", "trade", "a.json", cwd=tmp_path).returncode == 0
    assert validate(None, Context(), str(tmp_path / "b.json"), schema="trade").exit_code() == 1
    done = run("validate", "--schema", "trade", "a.json", "b.json", "--report", "-", cwd=tmp_path)
    assert done.stdout.startswith("# Validation\n\n**Failed**: 1 error in 2 files.\n")


@as_root
def test_every_probe_takes_part(make_bank: MakeBank) -> None:
    path = make_bank(1, padded=False)
    put(path / "config/memorybank.json", {"repository": "/elsewhere"})
    [segment] = (path / ".memorybank/journal").iterdir()
    segment.write_bytes(segment.read_bytes().replace(b'"op":"file.adopted"', b'"op":"file.adapted"', 1))
    for one in (path / ".memorybank").glob("catalog*"):
        one.unlink()
    assert {"MB401", "MB120", "MB110"} <= {one.rule for one in checked(path).findings}


def test_a_full_check_finds_the_same(make_bank: MakeBank) -> None:
    path = make_bank(20)
    adopt(path)
    plain, full = checked(path), checked(path, full=True)
    assert [(one.rule, one.path) for one in full.findings] == [(one.rule, one.path) for one in plain.findings]
    assert full.checked == plain.checked
