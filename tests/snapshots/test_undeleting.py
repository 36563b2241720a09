from __future__ import annotations

from pathlib import Path

import pytest

from memorybank_cli.snapshots import documents
from memorybank_cli.snapshots.pruning import prune
from memorybank_cli.snapshots.repository import Repository
from memorybank_cli.snapshots.sealing import Damaged
from memorybank_cli.snapshots.undeleting import Trash
from tests.broken_os import killed
from tests.snapshots.making import packs_of, read_back, row, save_files, save_rows
from tests.snapshots.pruned import aged, check, content, copied, grown, listed, thrown


def names(there: Trash) -> list[str]:
    return [one.id for one in there.listing.documents]


@pytest.mark.parametrize("pruned", [False, True])
def test_what_was_forgotten_comes_back_whole(repo: Repository, pruned: bool) -> None:
    made = grown(repo)
    first, second, *_ = made
    thrown(repo, first, second)
    if pruned:
        assert prune(repo, max_unused=0).removed
    there = Trash(repo)
    assert names(there) == [first, second]
    looked = [there.look(one) for one in there.listing.documents]
    assert all(one.is_whole for one in looked)
    assert any(one.packs for one in looked) is pruned
    moved = there.bring_back(looked)
    assert bool(moved) is pruned
    assert check(Path(repo.path), made) == set(made)
    assert names(Trash(repo)) == []


def test_one_comes_back_and_the_other_stays(repo: Repository) -> None:
    made = grown(repo)
    first, second, *_ = made
    thrown(repo, first, second)
    prune(repo, max_unused=0)
    there = Trash(repo)
    there.bring_back([there.look(documents.pick(there.listing, second))])
    assert check(Path(repo.path), made) == set(made) - {first}
    there = Trash(repo)
    assert names(there) == [first]
    assert there.look(there.listing.documents[0]).is_whole


def test_what_was_stored_again_meanwhile_needs_no_pack(repo: Repository) -> None:
    contents = {"trades/a.json": content(1)}
    first = save_files(repo, contents, seq=1).document
    aged(repo)
    thrown(repo, first.id)
    assert prune(repo).removed
    save_files(repo, contents, seq=2)
    there = Trash(repo)
    looked = there.look(there.listing.documents[0])
    assert (looked.is_whole, looked.packs) == (True, frozenset())
    there.bring_back([looked])
    assert len(packs_of(repo)) == 1
    assert read_back(repo, first) == contents


def test_what_is_lost_is_named(repo: Repository) -> None:
    """The trash was emptied in part: two packs of one snapshot, one is gone."""
    stable = {f"docs/{number}.md": content(number) for number in range(3)}
    save_files(repo, stable, seq=1)
    first_packs = set(packs_of(repo))
    contents = {**stable, "trades/a.json": content(7), "trades/b.json": b"[]"}
    document = save_files(repo, contents, seq=2).document
    [before] = first_packs
    aged(repo)
    thrown(repo, *(one.id for one in listed(repo)))
    assert len(prune(repo).removed) == 2
    there = Trash(repo)
    one = next(one for one in there.bins if one.packs)
    (Path(repo.path) / one.path("packs", before.name)).unlink()
    there = Trash(repo)
    looked = there.look(next(one for one in there.listing.documents if one.id == document.id))
    assert not looked.is_whole
    assert looked.as_dict()["whole"] is False
    # The tree of docs/ stood in the pack that is gone.
    assert there.lost_files(document) == ["docs/"]
    there.bring_back([looked])
    assert listed(repo) == [document]


def test_single_files_that_are_lost_are_named(repo: Repository) -> None:
    save_files(repo, {"a.json": content(1)}, seq=1)
    [first] = packs_of(repo)
    rows = [row("a.json", b"", good=_ids(repo)), row("b.json", b"b", found_content=lambda: b"c", rule="MB102")]
    document = save_rows(repo, rows, seq=2).document
    thrown(repo, document.id)
    first.unlink()
    there = Trash(repo)
    assert not there.look(document).is_whole
    assert there.lost_files(document) == ["a.json"]


def test_evidence_that_is_lost_is_named(repo: Repository) -> None:
    save_files(repo, {"a.json": content(1)}, seq=1)
    [first] = packs_of(repo)
    ids = _ids(repo)
    document = save_rows(repo, [row("b.json", b"b", found=ids, rule="MB102")], seq=2).document
    thrown(repo, document.id)
    first.unlink()
    assert Trash(repo).lost_files(document) == ["b.json (the damaged bytes beside it)"]


def _ids(repo: Repository) -> tuple[str, ...] | None:
    from memorybank_cli.snapshots import trees
    from memorybank_cli.snapshots.blobs import Blobs

    [entry] = trees.files(Blobs(repo), listed(repo)[0].root)
    return entry.good


def test_where_nothing_can_be_read_that_is_raised(repo: Repository) -> None:
    document = save_files(repo, {"a.json": content(1)}).document
    thrown(repo, document.id)
    packs_of(repo)[0].unlink()
    there = Trash(repo)
    assert not there.look(document).is_whole
    with pytest.raises(Damaged):
        there.lost_files(document)


def test_damaged_documents_and_such_as_are_listed_are_no_choice(repo: Repository) -> None:
    made = grown(repo)
    first, second, *_ = made
    target = thrown(repo, first, second)
    kept = (Path(repo.path) / target.path("snapshots", first)).read_bytes()
    (Path(repo.path) / "snapshots" / first).write_bytes(kept)
    (Path(repo.path) / target.path("snapshots", second)).write_bytes(b"{}")
    there = Trash(repo)
    assert names(there) == []
    assert [finding.rule for finding in there.listing.findings] == ["MB130"]


def test_a_large_directory_comes_back(repo: Repository) -> None:
    contents = {f"trades/t{number:04}.json": b"%d" % number for number in range(300)}
    document = save_files(repo, contents, seq=1).document
    aged(repo)
    thrown(repo, document.id)
    assert prune(repo).removed
    there = Trash(repo)
    looked = there.look(document)
    assert looked.is_whole
    there.bring_back([looked])
    assert read_back(repo, document) == contents


@pytest.mark.no_cover
def test_killed_anywhere_everything_that_is_listed_restores(tmp_path: Path) -> None:
    place, work = tmp_path / "repo", tmp_path / "work"
    with Repository.create(place, reserve=0) as repo:
        made = grown(repo, 3)
        first, second, _ = made
        thrown(repo, first, second)
        prune(repo, max_unused=0)

    def run() -> None:
        with Repository.open(work, reserve=0) as repo, repo.alone():
            there = Trash(repo)
            there.bring_back([there.look(one) for one in there.listing.documents])

    step = 0
    stopped = True
    while stopped:
        step += 1
        copied(place, work)
        stopped = killed(run, step)
        check(work, made)
        run()
        assert check(work, made) == set(made)
    assert step > 8
