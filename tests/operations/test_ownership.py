"""Several banks in one repository: each means its own snapshots there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from memorybank_cli.operations.repositories import Snapshots
from tests.conftest import MakeBank, Ran, Run
from tests.operations.banks import backed_up, contents, opened, put

STATE = "state/state.json"


class Two:
    """Two banks, saved in one repository: `a`, then `b`, then `a` once more, whose clock and journal are ahead."""

    def __init__(self, make_bank: MakeBank, run: Run, tmp_path: Path) -> None:
        self.a, self.b = (make_bank(padded=False, name=name) for name in "ab")
        self.repo, self.run = tmp_path / "shared", run
        self.ids: dict[str, list[str]] = {"a": [], "b": []}
        for bank in (self.a, self.b, self.a):
            put(bank / STATE, {"bot_status": "running", "bank": bank.name})
            for number in range(4 if bank is self.a else 0):
                put(bank / f"trades/of_a_{number}.json", {"trade_id": f"a{number}", "noise": len(self.ids["a"])})
            made = backed_up(bank, repo=str(self.repo)).document
            assert made is not None
            self.ids[bank.name].append(made.id)

    def __call__(self, bank: Path, *words: str) -> Ran:
        return self.run(*words, "--repo", str(self.repo), "--json", cwd=bank)

    def id_of(self, bank: Path) -> str:
        return str(json.loads((bank / "bank.json").read_bytes())["bank_id"])


@pytest.fixture
def two(make_bank: MakeBank, run: Run, tmp_path: Path) -> Two:
    return Two(make_bank, run, tmp_path)


def test_a_rollback_takes_its_own(two: Two) -> None:
    before, mine = contents(two.b), two.ids["b"][0]
    put(two.b / STATE, {"bot_status": "stopped"})
    done = two(two.b, "rollback", "--yes")
    assert (done.returncode, done.json["from"], done.json["restored"], done.json["removed"]) == (0, mine, [STATE], [])
    assert contents(two.b) == before
    put(two.b / STATE, {"bot_status": "stopped"})
    assert two(two.b, "rollback", mine[-8:-2], "--yes").json["from"] == mine
    assert contents(two.b) == before


def test_no_rollback_to_one_of_another_bank(two: Two) -> None:
    before = contents(two.b)
    for other in two.ids["a"]:
        done = two(two.b, "rollback", other, "--yes")
        assert (done.returncode, done.error["code"]) == (13, "refused")
        assert two.id_of(two.a) in done.error["message"]
        assert f"memorybank snapshot restore --repo {two.repo} {other} --to DIR" in done.error["hint"]
    for words in (("snapshot", "drill"), ("snapshot", "pin")):
        assert two(two.b, *words, two.ids["a"][0]).returncode == 13
    assert contents(two.b) == before


def test_what_a_time_before_the_journal_means(two: Two) -> None:
    newest = max((two.b / ".memorybank/journal").iterdir())
    newest.unlink()
    assert two.run("repair", cwd=two.b).returncode == 0
    assert two(two.b, "rollback", "--seq", "1", "--dry-run").returncode == 10
    done = two(two.b, "rollback", "--at", "0s", "--dry-run")
    assert done.returncode == 10 or done.json["from"] not in two.ids["a"]


@pytest.mark.parametrize("words", [("show",), ("drill",), ("diff",)])
def test_latest_is_its_own(two: Two, words: tuple[str, ...]) -> None:
    done = two(two.b, "snapshot", *words)
    told = done.json.get("before") or done.json["snapshot"]
    assert done.returncode == 0, done.stderr
    assert (told["id"] if isinstance(told, dict) else told) == two.ids["b"][0]


def test_content_of_latest_is_its_own(two: Two, tmp_path: Path) -> None:
    assert two(two.b, "snapshot", "restore", "--to", str(tmp_path / "out")).returncode == 0
    assert contents(tmp_path / "out") == contents(two.b)
    assert two(two.b, "snapshot", "export", "--to", str(tmp_path / "b.tar")).json["snapshot"] == two.ids["b"][0]
    assert json.loads(two(two.b, "snapshot", "cat", "latest", STATE).json["content"])["bank"] == "b"
    assert two(two.b, "snapshot", "find", "of_a_*").returncode == 10


def test_the_versions_of_a_bank_are_its_own(two: Two) -> None:
    with opened(two.b) as bank:
        snapshots = Snapshots(bank, str(two.repo))
        assert [one.id for one in snapshots.newest_first()] == two.ids["b"]
        assert [one.id for one, _ in snapshots.versions(STATE)] == two.ids["b"]
        assert list(snapshots.versions("trades/of_a_0.json")) == []
        snapshots.close()


def test_a_small_bank_beside_a_large_one_has_lost_nothing(make_bank: MakeBank, tmp_path: Path) -> None:
    for name, trades in (("large", 60), ("small", 1)):
        made = backed_up(make_bank(trades, padded=False, name=name), repo=str(tmp_path / "shared")).document
        assert made is not None
        assert (made.status, made.parent) == ("good", None)


def test_one_of_another_bank_that_is_named_can_be_looked_at(two: Two, tmp_path: Path) -> None:
    other = two.ids["a"][0]
    words = ("snapshot", "restore", other, "--repo", str(two.repo), "--to", str(tmp_path / "out"))
    done = two.run(*words, cwd=two.b)
    assert done.returncode == 0
    assert f"snapshot {other} is not of this bank, but of {two.id_of(two.a)}" in done.stderr
    assert json.loads((tmp_path / "out" / STATE).read_bytes())["bank"] == "a"
    assert two(two.b, "snapshot", "diff", other, "--stat").json["before"] == other
    assert two(two.b, "snapshot", "show", other).returncode == 0
    assert two(two.b, "snapshot", "verify", other).returncode == 0
    found = two(two.b, "snapshot", "find", "of_a_*", "--snapshot", other).json["versions"]
    assert len(found) == 4


def test_the_list(two: Two) -> None:
    done = two(two.b, "snapshot", "list")
    assert [(one["id"], one["latest"]) for one in done.json["snapshots"]] == [(two.ids["b"][0], True)]
    assert done.json["others"] == 2
    every = two(two.b, "snapshot", "list", "--all")
    assert {one["id"]: one["latest"] for one in every.json["snapshots"]} == {
        **dict.fromkeys(two.ids["a"], False),
        two.ids["b"][0]: True,
    }
    plain = two.run("snapshot", "list", "--repo", str(two.repo), cwd=two.b).stdout
    assert plain.splitlines()[-1] == f"1 snapshot in {two.repo}; 2 more of other banks: --all"
    assert "BANK" not in plain
    plain = two.run("snapshot", "list", "--repo", str(two.repo), "--all", cwd=two.b).stdout
    assert plain.splitlines()[0].split() == ["ID", "TIME", "FILES", "BYTES", "BANK", "NOTES"]
    assert plain.count(two.id_of(two.a)) == 2


def test_a_bank_without_any(two: Two, make_bank: MakeBank, tmp_path: Path) -> None:
    fresh = make_bank(0, padded=False, name="fresh")
    done = two(fresh, "snapshot", "restore", "--to", str(tmp_path / "out"))
    assert (done.returncode, done.error["code"]) == (2, "usage")
    assert two.id_of(two.a) in done.error["message"]
    assert two.id_of(two.b) in done.error["message"]
    assert "memorybank snapshot list --repo" in done.error["hint"]
    assert len(two(fresh, "snapshot", "list").json["snapshots"]) == 3
    for words in (("rollback", "--yes"), ("snapshot", "drill")):
        assert two(fresh, *words).returncode == 10


def test_a_bank_that_was_lost(make_bank: MakeBank, run: Run, tmp_path: Path) -> None:
    lost, repo = make_bank(padded=False, name="lost"), str(tmp_path / "repo")
    backed_up(lost, repo=repo)
    fresh = make_bank(0, padded=False, name="fresh")
    done = run("snapshot", "restore", "latest", "--repo", repo, "--to", str(tmp_path / "out"), cwd=fresh)
    assert done.returncode == 0
    assert "is not of this bank" in done.stderr
    assert contents(tmp_path / "out") == contents(lost)
    assert run("snapshot", "find", STATE, "--repo", repo, cwd=fresh).returncode == 0
    done = run("rollback", "--repo", repo, "--yes", "--json", cwd=fresh)
    assert (done.returncode, done.error["code"]) == (10, "snapshot_not_found")
    assert "is of this bank" in done.error["message"]
