"""A catalog that says something else than the journal is found out, and does not call a changed file sound."""

from __future__ import annotations

from pathlib import Path

import pytest

from memorybank_cli import open_bank
from memorybank_cli.bank import layout
from memorybank_cli.bank.recount import recount
from memorybank_cli.base import digests
from memorybank_cli.operations.probes import look
from tests.conftest import MakeBank
from tests.operations.banks import adopt, backed_up, opened, put, repaired

TRADE = "trades/trade_0.json"


@pytest.fixture
def path(make_bank: MakeBank) -> Path:
    return make_bank(3)


def test_what_the_journal_says_is_found_to_be_so(path: Path) -> None:
    """Also after files changed, went away, were damaged and repaired, and messages were stored."""
    for _ in range(2):
        put(path / "state/state.json", {"a": 1})
        adopt(path)
        (path / "state/state.json").unlink()
        adopt(path)
        repaired(path)
        backed_up(path)
        with open_bank(path) as shared:
            if "a" not in shared.account_ids():
                shared.create_account("a")
            shared.account("a").add(role="user", content="hello")
    with opened(path) as bank:
        assert recount(bank) == []


@pytest.mark.parametrize(
    "lie",
    [
        "UPDATE files SET sha=:sha,s_sha=:sha WHERE name=:name",
        "UPDATE files SET rules='[\"MB111\"]' WHERE name=:name",
        "UPDATE files SET mode=0 WHERE name=:name",
        "DELETE FROM files WHERE name=:name",
        "INSERT INTO files (dir,name,sha,size,mode,seq,rules,kind) VALUES ('trades','more',:sha,1,384,1,'[]','')",
    ],
)
def test_a_catalog_that_says_something_else(path: Path, lie: str) -> None:
    name = TRADE.partition("/")[2]
    changed = (path / TRADE).read_bytes().replace(b"0", b"1", 1)
    with opened(path) as bank:
        bank.catalog.db.execute(lie, {"name": name, "sha": digests.of(changed)})
    (path / TRADE).write_bytes(changed)
    with opened(path) as bank:
        _, found = look(bank, full=True)
        assert {"MB122", "MB113"} <= {one.rule for one in found}
        [one] = [one for one in found if one.rule == "MB122"]
        assert one.message.startswith("of 1 file it said something else")
        assert "MB122" not in {one.rule for one in look(bank, full=True)[1]}
        assert bank.root.stat(layout.PRIVATE) is not None
