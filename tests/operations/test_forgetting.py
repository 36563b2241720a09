from __future__ import annotations

import json
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.base.errors import Refused, SnapshotNotFound, UsageError
from memorybank_cli.operations.forgetting import ForgetReport, forget
from memorybank_cli.operations.pins import pin
from memorybank_cli.operations.pruning import prune
from memorybank_cli.snapshots import documents
from memorybank_cli.snapshots.blobs import Blobs
from memorybank_cli.snapshots.repository import Repository
from memorybank_cli.snapshots.retention import Policy
from memorybank_cli.snapshots.sealing import Damaged
from tests.conftest import MakeBank, Run
from tests.operations.banks import backed_up, journal, opened, put
from tests.operations.retained import age, ids, killed_everywhere, repository_of, snapshots_of_days
from tests.snapshots.making import read_back, save_files


@pytest.fixture
def bank(make_bank: MakeBank) -> Path:
    return make_bank(padded=False)


def forgotten(bank: Path, *names: str, **options: Any) -> ForgetReport:
    with opened(bank) as one:
        return forget(one, *names, **{"yes": True, **options})


def test_the_policy_of_the_settings_holds_where_none_is_given(bank: Path) -> None:
    made = snapshots_of_days(bank, 40)
    report = forgotten(bank)
    assert report.policy == "within 7d, weekly 4, monthly 12"
    # The last day of October, the Sundays of the two weeks before the last one, and 8 days.
    kept = [made[9], made[24], made[31], *made[32:]]
    assert ids(bank) == kept
    assert report.forgotten == [name for name in made if name not in kept]
    assert report.exit_code() == 0
    assert "snapshots forgotten, " in report.summary()
    assert "Nothing to forget; " in forgotten(bank).summary()


def test_options_are_a_policy_of_their_own(bank: Path) -> None:
    made = snapshots_of_days(bank, 8)
    assert forgotten(bank, keep_daily=4).policy == "daily 4"
    assert ids(bank) == made[-4:]
    assert forgotten(bank, keep_within="0s", keep_last=1, keep_tag=("x",)).policy == "last 1, tag x"
    assert ids(bank) == made[-3:]


def test_every_option_reaches_the_policy(bank: Path) -> None:
    snapshots_of_days(bank, 1)
    counts: dict[str, Any] = {f"keep_{name}": number for number, name in enumerate(
        ("last", "hourly", "daily", "weekly", "monthly", "yearly"), 1)}  # fmt: skip
    report = forgotten(bank, keep_within="36h", keep_tag=("a",), **counts)
    wanted = Policy(1, 2, 3, 4, 5, 6, timedelta(hours=36), ("a",))
    assert report.policy == str(wanted)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"keep_daily": 0}, "would keep nothing"),
        ({"keep_within": "0d"}, "would keep nothing"),
        ({"keep_daily": -1}, "must not be negative"),
        ({"keep_within": "soon"}, "'soon' is not a span"),
        ({"keep_within": "99999999999999w"}, "is not a span"),
    ],
)
def test_impossible_policies(bank: Path, options: dict[str, Any], message: str) -> None:
    made = snapshots_of_days(bank, 5)
    with pytest.raises(UsageError, match=message):
        forgotten(bank, **options)
    assert ids(bank) == made


def test_the_users_settings_decide_and_the_banks_do_not_until_they_are_trusted(bank: Path, run: Run) -> None:
    snapshots_of_days(bank, 40)
    loosening = {"retention": {"keep_within": "1d", "keep_weekly": 0, "keep_monthly": 0, "keep_last": 1}}
    put(bank / "config/memorybank.json", loosening)
    assert run("accept", "config", "--bank", bank).returncode == 0
    assert forgotten(bank, dry_run=True).policy == "within 7d, weekly 4, monthly 12"
    assert run("config", "trust", "--bank", bank).returncode == 0
    assert forgotten(bank, dry_run=True).policy == "within 1d, last 1"
    (bank / "config/memorybank.json").unlink()
    done = run("config", "set", "retention.keep_daily", "5", "--bank", bank)
    assert done.returncode == 0, done.stderr
    assert forgotten(bank, dry_run=True).policy == "within 7d, daily 5, weekly 4, monthly 12"


def test_a_rehearsal_changes_nothing(bank: Path) -> None:
    made = snapshots_of_days(bank, 8)
    before = len(journal(bank))
    report = forgotten(bank, keep_last=1, dry_run=True, prune=True, yes=False)
    assert len(report.forgotten) == 5
    assert report.summary().startswith("5 snapshots would be forgotten, 3 kept")
    assert report.pruned is not None
    assert len(report.pruned.done.removed) == 5
    assert "5 packs would be put into the trash" in report.pruned.summary()
    assert ids(bank) == made
    assert len(journal(bank)) == before


def test_it_asks_and_shows_what_is_to_go(bank: Path) -> None:
    made = snapshots_of_days(bank, 5)
    shown: list[Any] = []
    with opened(bank) as one, pytest.raises(UsageError, match=r"nobody to ask: Forget 2 snapshots\?"):
        forget(one, keep_last=1)
    with opened(bank, confirm=lambda _: False, preview=shown.append) as one, pytest.raises(Refused):
        forget(one, keep_last=1)
    assert shown[0].forgotten == made[:2]
    assert ids(bank) == made
    with opened(bank, confirm=lambda _: True, preview=shown.append) as one:
        assert forget(one, keep_last=1).forgotten == made[:2]
    assert ids(bank) == made[2:]


def test_what_comes_up_while_it_asks_is_judged_again(bank: Path) -> None:
    made = snapshots_of_days(bank, 5)

    def answer(_question: str) -> bool:
        with opened(bank) as one:
            pin(one, made[0])
            bank_id = one.bank_id
        with Repository.open(repository_of(bank)) as repo:
            save_files(repo, {"a.json": b"1"}, bank_id=bank_id, seq=9)
        return True

    with opened(bank, confirm=answer) as one:
        report = forget(one, keep_last=1)
    # The first is pinned now, and the third would go now, but nobody was asked about it.
    assert report.forgotten == [made[1]]
    assert next(one for one in report.decisions if one.snapshot.id == made[2]).reasons == ("came up meanwhile",)


def test_named_ones_go_and_no_others(bank: Path) -> None:
    made = snapshots_of_days(bank, 6)
    report = forgotten(bank, made[1], made[2][-8:])
    assert report.forgotten == made[1:3]
    assert report.policy == ""
    assert ids(bank) == [made[0], *made[3:]]
    with pytest.raises(SnapshotNotFound):
        forgotten(bank, made[1])
    with pytest.raises(UsageError, match="not by both"):
        forgotten(bank, made[0], keep_last=1)
    assert forgotten(bank, made[0], dry_run=True).summary() == "1 snapshot would be forgotten, 3 kept"


def test_some_are_never_forgotten(bank: Path) -> None:
    made = snapshots_of_days(bank, 6)
    with opened(bank) as one:
        pin(one, made[0])
    with Repository.open(repository_of(bank)) as repo:
        theirs = save_files(repo, {"a.json": b"1"}, bank_id="other", time="2020-01-01T00:00:00.000000Z").document.id
    for name, why in (
        (made[0], "is pinned"),
        (made[3], "one of the last 3 good"),
        ("latest", "one of the last 3 good"),
        (theirs, "of another bank"),
    ):
        with pytest.raises(Refused, match=why):
            forgotten(bank, name)
    assert forgotten(bank, keep_last=1).forgotten == made[1:3]
    assert ids(bank) == [theirs, made[0], *made[3:]]


def test_a_damaged_document_can_be_forgotten_by_its_name(bank: Path) -> None:
    made = snapshots_of_days(bank, 5)
    path = repository_of(bank) / "snapshots" / made[4]
    path.write_bytes(b"{}")
    assert forgotten(bank, keep_last=1, dry_run=True).exit_code() == 1
    report = forgotten(bank, made[4], prune=True)
    assert report.damaged == (made[4],)
    assert (report.findings, report.exit_code()) == ((), 0)
    assert report.forgotten == [made[4]]
    assert report.pruned is not None
    assert ids(bank) == made[:4]
    assert not path.exists()
    [line] = [line for line in journal(bank) if line["op"] == "snapshot.forgotten"]
    assert line["digests"] == {}


def test_damaged_documents_are_named_one_by_one(bank: Path) -> None:
    made = snapshots_of_days(bank, 5)
    for name in made[:4]:
        (repository_of(bank) / "snapshots" / name).write_bytes(b"{}")
    with pytest.raises(Damaged):
        forgotten(bank, "2020112")
    assert forgotten(bank, *made[:2]).forgotten == made[:2]


def test_where_all_is_pinned_meanwhile_nothing_is_journaled(bank: Path) -> None:
    made = snapshots_of_days(bank, 4)

    def answer(_question: str) -> bool:
        with opened(bank) as one:
            pin(one, made[0])
        return True

    with opened(bank, confirm=answer) as one:
        assert forget(one, keep_last=1).forgotten == []
    assert journal(bank)[-1]["op"] == "snapshot.pinned"
    assert ids(bank) == made


def test_an_empty_policy_in_the_settings_stops_no_names(bank: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = snapshots_of_days(bank, 4)
    for name, value in (("WITHIN", ""), ("WEEKLY", "0"), ("MONTHLY", "0")):
        monkeypatch.setenv(f"MEMORYBANK_RETENTION_KEEP_{name}", value)
    with pytest.raises(UsageError, match="would keep nothing"):
        forgotten(bank)
    assert forgotten(bank, made[0]).forgotten == made[:1]


def test_one_whose_directories_cannot_be_read_stands_in_the_way_of_pruning_and_can_go(bank: Path) -> None:
    made = snapshots_of_days(bank, 5)
    with Repository.open(repository_of(bank)) as repo:
        newest = documents.read(repo, made[4])
        index = Blobs(repo).index
        frame = index.frames[index.where[newest.root]]
        path = repository_of(bank) / "packs" / frame.pack[:2] / frame.pack
        data = bytearray(path.read_bytes())
        data[frame.frame.offset + frame.frame.length // 2] ^= 1
        path.write_bytes(data)
        age(repo)
    with pytest.raises(Refused, match="so nothing was removed") as caught, opened(bank) as one:
        prune(one, now=True, yes=True)
    assert f"memorybank snapshot forget {made[4]} " in caught.value.hint
    assert forgotten(bank, keep_last=1).forgotten == made[:2]
    assert forgotten(bank, made[4]).forgotten == [made[4]]
    with opened(bank) as one:
        assert prune(one, now=True, yes=True).done.removed
    assert ids(bank) == made[2:4]


def test_a_bank_without_a_journal_gets_one_first(bank: Path) -> None:
    made = snapshots_of_days(bank, 5)
    shutil.rmtree(bank / ".memorybank")
    shutil.rmtree(repository_of(bank).parent.parent / "state")
    forgotten(bank, keep_last=1)
    assert ids(bank) == made[2:]
    ops = [line["op"] for line in journal(bank)]
    assert ops[0] == "bank.created"
    assert ops[-1] == "snapshot.forgotten"


def test_pruning_follows_where_it_is_asked_for(bank: Path) -> None:
    made = snapshots_of_days(bank, 6)
    report = forgotten(bank, keep_last=1, prune=True)
    assert report.pruned is not None
    assert len(report.pruned.done.removed) == 3
    assert report.as_dict()["pruned"]["removed"] == report.pruned.done.removed
    assert ". 3 packs put into the trash, " in report.summary()
    assert ids(bank) == made[3:]
    again = forgotten(bank, keep_last=1, prune=True)
    assert again.pruned is not None
    assert again.pruned.is_nothing
    assert again.exit_code() == 0


def test_pruning_alone_is_asked_about_too(bank: Path) -> None:
    snapshots_of_days(bank, 3)
    with opened(bank) as one, pytest.raises(UsageError, match="Nothing to forget"):
        forget(one, keep_last=1, prune=True)
    with opened(bank, confirm=lambda _: True) as one:
        assert forget(one, keep_last=1, prune=True).pruned is not None


def test_the_journal_says_what_was_forgotten_and_stays_proved(bank: Path, run: Run) -> None:
    for _ in range(5):
        backed_up(bank)
    made = ids(bank)
    report = forgotten(bank, keep_last=1)
    [line] = [line for line in journal(bank) if line["op"] == "snapshot.forgotten"]
    assert line["snapshots"] == report.forgotten == made[:2]
    assert line["digests"] == {one.snapshot.id: one.snapshot.digest for one in report.decisions if not one.kept}
    assert line["policy"] == "last 1"
    assert line["repository"] == str(repository_of(bank))
    done = run("log", "--verify", "--bank", bank, "--json")
    assert done.returncode == 0
    assert done.json["ok"]
    assert f"snapshot.forgotten {made[0]} {made[1]} " in run("log", "--bank", bank).stdout


def test_two_banks_in_one_repository(bank: Path, make_bank: MakeBank, tmp_path: Path) -> None:
    other, place = make_bank(name="other", padded=False), str(tmp_path / "shared")
    for _ in range(4):
        backed_up(bank, repo=place)
        backed_up(other, repo=place)
    report = forgotten(bank, keep_last=1, repo=place)
    assert len(report.decisions) == 4
    assert len(report.forgotten) == 1
    assert len(forgotten(other, keep_last=1, repo=place).decisions) == 4


def test_the_command_and_its_table(bank: Path, run: Run) -> None:
    made = snapshots_of_days(bank, 5)
    done = run("snapshot", "forget", "--keep-last", "1", "--bank", bank)
    assert done.returncode == 2
    assert "--yes" in done.stderr
    done = run("snapshot", "forget", "--keep-last", "1", "--dry-run", "--bank", bank)
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0] == "policy: last 1, and the last 3 good ones"
    assert lines[2].split() == [made[0], "good", "forget", "-"]
    assert lines[6].split(maxsplit=3)[2:] == ["keep", "last 3 good, last 1"]
    done = run("snapshot", "forget", made[0], "--dry-run", "--bank", bank)
    assert done.stdout.splitlines()[1].split() == [made[0], "good", "forget", "-"]
    assert len(done.stdout.splitlines()) == 3
    done = run("snapshot", "forget", made[0], "--yes", "--bank", bank)
    assert done.stdout.startswith("1 snapshot forgotten, 4 kept; ")
    (repository_of(bank) / "snapshots" / made[1]).write_bytes(b"{}")
    done = run("snapshot", "forget", made[1], "--dry-run", "--bank", bank)
    assert f"{made[1]}  damaged  forget" in done.stdout
    done = run("snapshot", "forget", made[1], "--yes", "--quiet", "--bank", bank)
    assert (done.returncode, done.stdout) == (0, "")
    done = run("snapshot", "forget", "--keep-last", "1", "--yes", "--prune", "--json", "--bank", bank)
    assert done.json["pruned"]["repository"] == str(repository_of(bank))
    assert [one["keep"] for one in done.json["snapshots"]] == [True] * 3


@pytest.mark.no_cover
def test_killed_anywhere_what_is_gone_is_in_the_journal_and_the_rest_restores(bank: Path) -> None:
    made = snapshots_of_days(bank, 5)

    def after() -> None:
        there = ids(bank)
        with Repository.open(repository_of(bank)) as repo:
            for document in (one for one in _documents(repo) if one.id in there):
                assert len(read_back(repo, document)) == 2
        told = {name for line in journal(bank) for name in line.get("snapshots", ())}
        assert set(made) - set(there) <= told
        assert there[-3:] == made[-3:]

    assert killed_everywhere(bank, lambda: forgotten(bank, keep_last=1), after) > 10


def _documents(repo: Repository) -> list[Any]:
    age(repo)
    return list(documents.listing(repo).documents)


def test_as_json_it_says_everything(bank: Path) -> None:
    snapshots_of_days(bank, 4)
    shown = json.loads(json.dumps(forgotten(bank, keep_last=1, dry_run=True).as_dict()))
    assert shown.keys() == {"snapshots", "forgotten", "policy", "findings", "repository", "dry_run"}
    assert shown["dry_run"] is True
