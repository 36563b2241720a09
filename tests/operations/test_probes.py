"""The probes: journal, settings, permissions; and the one look that runs them all."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from memorybank_cli.base.records import Finding, Progress
from memorybank_cli.operations import probes
from memorybank_cli.operations.accept import accept
from memorybank_cli.operations.probes import check_bank, look
from tests.conftest import MakeBank, Run, trade
from tests.operations.banks import adopt, journal_file, opened, put
from tests.operations.owners import OWNER, as_root, give_away, own_ids_again, public_place


def found(path: Path, probe: probes.Judge) -> list[Finding]:
    with opened(path) as bank:
        return list(probe(bank))


def test_a_sound_bank(make_bank: MakeBank) -> None:
    path = make_bank(2, padded=False)
    with opened(path) as bank:
        for probe in probes.PROBES:
            assert probe.run(bank).findings == ()


def test_the_last_look_is_known_to_others(make_bank: MakeBank) -> None:
    path = make_bank(2, padded=False)
    with opened(path) as bank:
        check_bank(bank, ["trades"])
        assert probes.last_look(bank) == {}
        look(bank)
    with opened(path) as bank:
        kept = probes.last_look(bank)
        assert (kept["checked"], kept["sections"]["trades"], kept["pending"]) == (7, 3, 0)
        with bank.catalog.writing():
            bank.catalog.set_meta(probes.LOOK, [])
        assert probes.last_look(bank) == {}


def test_the_journal(make_bank: MakeBank) -> None:
    path = make_bank(2)
    segment = journal_file(path)
    segment.write_bytes(segment.read_bytes().replace(b"recent_trades", b"recent_tradez", 1))
    for file in (path / ".memorybank").glob("catalog*"):
        file.unlink()
    [one] = found(path, probes.journal)
    assert one.rule == "MB120"
    assert one.path.startswith(".memorybank/journal/")


def test_what_can_no_longer_vouch_for_the_journal(make_bank: MakeBank, home: Path) -> None:
    path = make_bank(2)
    [mark] = home.glob("state/*/mark.json")
    mark.write_bytes(b"{")
    [one] = found(path, probes.journal)
    assert (one.rule, one.severity, one.hint) == ("MB123", "info", f"rm {mark}")


def test_a_config_that_is_too_large_is_not_read(make_bank: MakeBank) -> None:
    path = make_bank(2)
    put(path / "config/memorybank.json", {"repository": "x" * (1 << 20)})
    [one] = found(path, probes.settings)
    assert (one.rule, one.path) == ("MB301", "config/memorybank.json")


def test_settings_without_effect(make_bank: MakeBank) -> None:
    path = make_bank(1)
    put(
        path / "config/memorybank.json",
        {"actor": "agent", "repository": "/x", "lock_timeout": 3, "limits": {"trades_mib": 9}, "unknown": {"a": 1}},
    )
    rows = {one.pointer: one for one in found(path, probes.settings)}
    assert set(rows) == {"/actor", "/repository", "/limits.trades_mib", "/unknown.a"}
    assert {(one.rule, one.path, one.severity) for one in rows.values()} == {
        ("MB401", "config/memorybank.json", "warning")
    }
    assert "config set repository VALUE --scope user" in rows["/repository"].hint
    assert "config trust" in rows["/limits.trades_mib"].hint
    assert rows["/unknown.a"].hint.startswith("remove it")


@pytest.mark.parametrize("data", [b"{", b"[]", b'"text"'])
def test_a_config_that_is_none(make_bank: MakeBank, data: bytes) -> None:
    path = make_bank(1)
    put(path / "config/memorybank.json", data)
    assert found(path, probes.settings) == []
    with opened(path) as bank:
        assert any(one.path == "config/memorybank.json" for one in check_bank(bank)[2])


def test_a_schema_that_would_replace_ours(make_bank: MakeBank) -> None:
    path = make_bank(1)
    put(path / "config/schemas/account.schema.json", {"type": "object"})
    put(path / "config/schemas/own.schema.json", {"type": "object"})
    with opened(path) as bank:
        accept(bank, str(path / "config"))
    [one] = found(path, probes.settings)
    assert (one.rule, one.path, one.hint) == ("MB401", "config/schemas/account.schema.json", "remove it")


def test_permissions_count_where_others_get_in() -> None:
    with public_place() as place:
        path = place / "bank"
        for name, mode in (("trades", 0o755), ("state", 0o707), ("metrics", 0o750)):
            (path / name).mkdir(parents=True)
            (path / name).chmod(mode)
        (path / "open.json").write_text("{}")
        (path / "open.json").chmod(0o666)
        path.chmod(0o755)
        place.chmod(0o755)
        rows = _permissions(path)
        assert {one.path: (one.rule, one.message) for one in rows} == {
            "state": ("MB303", "may be written by any user of this machine (mode 0707)"),
            "trades": ("MB303", "may be read by any user of this machine (mode 0755)"),
        }
        path.chmod(0o700)
        assert _permissions(path) == []
        path.chmod(0o755)
        place.chmod(0o700)
        assert _permissions(path) == []


def _permissions(path: Path) -> list[Finding]:
    put(path / "bank.json", {"format": 1, "bank_id": "x", "identity_key": "0" * 64})
    return found(path, probes.permissions)


@as_root
@pytest.mark.parametrize("name", ["lock", "sync.lock", "render.lock"])
def test_what_stands_in_the_place_of_a_lock_is_told(make_bank: MakeBank, name: str) -> None:
    path = make_bank(1, padded=False)
    place = path / ".memorybank" / name
    with opened(path) as bank:
        assert list(probes.permissions(bank)) == []
        place.unlink(missing_ok=True)
        place.symlink_to("nowhere")
        [one] = probes.permissions(bank)
        assert (one.rule, one.pointer) == ("MB306", f"/.memorybank/{name}")
        subprocess.run(["sh", "-c", one.hint.partition(";")[0]], check=True)
        assert list(probes.permissions(bank)) == []


def test_nobody_waits_for_what_stands_in_the_place_of_a_lock(make_bank: MakeBank, run: Run) -> None:
    path = make_bank(1, padded=False)
    assert run("account", "create", "a", "--bank", path).returncode == 0
    (path / ".memorybank/lock").unlink()
    (path / ".memorybank/lock").symlink_to("nowhere")
    done = run("message", "add", "hello", "--account", "a", "--role", "user", "--json", "--bank", path)
    assert done.returncode == 3
    assert "/.memorybank/lock: a symbolic link stands there" in done.error["message"]
    assert "remove it" in done.error["hint"]
    [told] = run("validate", "--json", "--bank", path).json["findings"]
    assert told["rule"] == "MB306"


def test_a_bank_that_cannot_be_written() -> None:
    with public_place() as place, own_ids_again():
        path = place / "bank"
        put(path / "bank.json", {"format": 1, "bank_id": "x", "identity_key": "0" * 64})
        with opened(path) as bank:
            give_away(path)
            path.chmod(0o500)
            os.seteuid(OWNER)
            [one] = [one for one in probes.permissions(bank) if one.rule == "MB306"]
            os.seteuid(0)
        assert one.severity == "error"


def test_paths_are_looked_at_alone(make_bank: MakeBank) -> None:
    path = make_bank(2)
    put(path / "config/memorybank.json", {"repository": "/x"})
    with opened(path) as bank:
        checked, pending, findings = check_bank(bank, ["trades/trade_1.json"])
        assert (checked, pending, findings) == (1, 0, [])
        rules = {one.rule for one in check_bank(bank, [""])[2]}
        assert rules == {"MB102", "MB110", "MB401"}


class Steps(Progress):
    def __init__(self) -> None:
        self.steps: list[object] = []

    def start(self, what: str, total: int | None = None) -> None:
        self.steps += [what, total]

    def advance(self, count: int = 1) -> None:
        self.steps.append(count)

    def finish(self) -> None:
        self.steps.append("finished")


def test_progress_is_told(make_bank: MakeBank) -> None:
    path = make_bank(4, padded=False)
    progress = Steps()
    with opened(path) as bank:
        scan, _ = look(bank, progress=progress)
        assert progress.steps[0] == "checking"
        assert progress.steps[-1] == "finished"
        assert sum(one for one in progress.steps[2:-1] if isinstance(one, int)) == scan.checked
        again = Steps()
        look(bank, progress=again)
        assert again.steps[:2] == ["checking", scan.checked]


def test_a_full_look_keeps_what_was_seen(make_bank: MakeBank) -> None:
    path = make_bank(12)
    put(path / "trades/more.json", trade(5))
    adopt(path)
    with opened(path) as bank:
        one, other = check_bank(bank, full=True), check_bank(bank)
    assert one[:2] == other[:2]
