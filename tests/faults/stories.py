"""What is done under fire: each operation from a prepared bank, and what must hold afterwards, whatever happened.

After each fault the bank must open, its journal must be provable, every snapshot from before must be there, every
acknowledged message too, every file must be wholly old or new, and the operation run again must succeed.
"""

from __future__ import annotations

import json
import os
import shutil

from tests.faults.lab import Lab, Story, trade
from tests.snapshots import making


def nothing(lab: Lab) -> None:
    del lab


def _init(lab: Lab) -> None:
    lab.run("init")


def repaired(lab: Lab) -> None:
    lab.run("init")
    lab.run("repair")


def _saved(lab: Lab) -> None:
    repaired(lab)
    lab.run("backup")
    changed(lab)


def changed(lab: Lab) -> None:
    """Every second trade is another one, which their section does not allow, and there are new metrics."""
    for number in range(0, lab.trades, 2):
        (lab.bank / f"trades/trade_{number:04}.json").write_bytes(CHANGED)
        (lab.bank / f"metrics/{number:04}.json").write_bytes(b'{"sharpe": %d}' % number)


def _history(lab: Lab) -> None:
    """Five snapshots, of which each holds something that no other does."""
    repaired(lab)
    for number in range(5):
        (lab.bank / "metrics/now.json").write_bytes(b'{"sharpe": %d}' % number)
        lab.run("backup")


def forgotten(lab: Lab) -> None:
    """The oldest two of five are in the trash, and no pack is young any more."""
    _history(lab)
    before = lab.contents()
    lab.run(*FORGET)
    lab.gone = {name: before[name] for name in before.keys() - lab.contents().keys()}
    assert len(lab.gone) == 2
    for pack in lab.repository.glob("packs/*/*"):
        os.utime(pack, (1_700_000_000, 1_700_000_000))


def _pruned(lab: Lab) -> None:
    forgotten(lab)
    lab.run("snapshot", "prune", "--yes")


FORGET = ("snapshot", "forget", "--keep-last", "3", "--yes")
CHANGED = b'{"timestamp": "2026-01-01T00:00:00Z", "net_profit": 0}'


def _account(lab: Lab) -> None:
    lab.run("init", "--account", "a")
    lab.run("message", "add", "first", "--account", "a", "--role", "user", "--id", "first")


def _is_initialised(lab: Lab) -> None:
    lab.run("init")
    found = json.loads(lab.run("validate", "--json", codes=(1,)))
    damaged = {one["path"] for one in found["findings"] if one["rule"].startswith("MB1")}
    assert damaged == {"trades/recent.json", "state/cut.json"}
    assert found["pending"] == 0
    for number in range(lab.trades):
        assert (lab.bank / f"trades/trade_{number:04}.json").read_bytes() == trade(number)


def _is_repaired(lab: Lab) -> None:
    recent, cut = (lab.bank / "trades/recent.json").read_bytes(), (lab.bank / "state/cut.json").read_bytes()
    assert len(recent.rstrip(b"\0")) in (len(recent), len(recent) - 50_000)
    assert cut in (b'[{"a": 1}, {"a": 2}, {"a"', b'[{"a": 1}, {"a": 2}\n]\n')
    lab.run("repair")
    found = json.loads(lab.run("validate", "--json"))
    assert not [one for one in found["findings"] if one["rule"].startswith("MB1")]
    kept = [path.read_bytes() for path in (lab.bank / ".memorybank/quarantine").iterdir()]
    assert b'[{"a": 1}, {"a": 2}, {"a"' in kept


def _is_saved(lab: Lab) -> None:
    """A further backup holds what the bank holds, and of the changed trades what they were."""
    snapshot = json.loads(lab.run("backup", "--json", codes=(0, 1)))["snapshot"]
    assert json.loads(lab.run("snapshot", "verify", "--read-data", "--json"))["ok"]
    expected = {path: data for path, data in making.on_disk(lab.bank).items() if not path.startswith(".memorybank")}
    expected |= {f"trades/trade_{number:04}.json": trade(number) for number in range(lab.trades)}
    assert lab.contents()[snapshot["id"]] == expected


def _is_rolled_back(lab: Lab) -> None:
    for number in range(lab.trades):
        found = (lab.bank / f"trades/trade_{number:04}.json").read_bytes()
        assert found == trade(number) or (number % 2 == 0 and found == CHANGED), (number, found)
    latest = max(lab.known)
    lab.run("rollback", latest, "--path", "trades", "--yes")
    for number in range(lab.trades):
        assert (lab.bank / f"trades/trade_{number:04}.json").read_bytes() == trade(number)
    assert not list((lab.bank / ".memorybank/tmp").iterdir())


def _is_restored(lab: Lab) -> None:
    """Nothing stands at the target, or all of it does."""
    (expected,) = lab.known.values()
    target = lab.place / "out"
    if target.exists():
        assert making.on_disk(target) == expected
        shutil.rmtree(target)
    lab.run("snapshot", "restore", "latest", "--to", str(target))
    assert making.on_disk(target) == expected


def _is_forgotten(lab: Lab) -> None:
    """What was not asked to be forgotten stands there, and what was can be brought back."""
    lab.run(*FORGET)
    assert lab.contents() == lab.known
    _comes_back(lab)


def _is_pruned(lab: Lab) -> None:
    """Nothing that a snapshot needs is gone, nor anything that one in the trash needs."""
    lab.run("snapshot", "prune", "--yes")
    assert json.loads(lab.run("snapshot", "verify", "--read-data", "--json"))["ok"]
    assert lab.contents() == lab.known
    _comes_back(lab)


def _comes_back(lab: Lab) -> None:
    lab.run("snapshot", "undelete", *(lab.gone.keys() - lab.contents().keys()))
    assert lab.contents() == lab.known | lab.gone


def _is_emptied(lab: Lab) -> None:
    lab.run("snapshot", "prune", "--now", "--yes")
    assert json.loads(lab.run("snapshot", "verify", "--read-data", "--json"))["ok"]
    assert lab.contents() == lab.known
    assert list((lab.repository / "trash").iterdir()) == []


def _is_gone(lab: Lab) -> bool:
    return lab.contents().keys() == lab.known.keys()


def _has_all_back(lab: Lab) -> bool:
    return lab.contents() == lab.known | lab.gone


def _has_no_trash(lab: Lab) -> bool:
    return list((lab.repository / "trash").iterdir()) == []


def _has_more_snapshots(lab: Lab) -> bool:
    return len(lab.contents()) == len(lab.known) + 1


def _stands_there(lab: Lab) -> bool:
    return making.on_disk(lab.place / "out") in lab.known.values()


def _is_back(lab: Lab) -> bool:
    there = ((lab.bank / f"trades/trade_{number:04}.json").read_bytes() for number in range(lab.trades))
    return list(there) == [trade(number) for number in range(lab.trades)] and _has_more_snapshots(lab)


def _has_the_batch(lab: Lab) -> bool:
    lines = lab.run("message", "list", "--account", "a", "--json").splitlines()
    return len(lines) == 121


BATCH = b"".join(b'{"role": "user", "id": "m%d", "content": "message %d"}\n' % (n, n) for n in range(120))


def _is_all_ornothing(lab: Lab) -> None:
    ids = [json.loads(line)["id"] for line in lab.run("message", "list", "--account", "a", "--json").splitlines()]
    assert ids[0] == "first"
    assert len(ids) in (1, 121), len(ids)
    lab.run("message", "add", "--stdin", "--account", "a", stdin=BATCH)
    whole = json.loads((lab.bank / "account_a/whole_history.json").read_bytes())
    assert [one["id"] for one in whole["messages"]] == ["first", *(f"m{n}" for n in range(120))]
    found = json.loads(lab.run("validate", "--json", codes=(0, 1)))
    assert not [one for one in found["findings"] if one["path"].startswith("account_a")]


LONG_BATCH = b"".join(b'{"role": "user", "id": "l%d", "content": "message %d"}\n' % (n, n) for n in range(2_500))


def _long_account(lab: Lab) -> None:
    lab.run("init", "--account", "a")
    lab.run(
        "message",
        "add",
        "--stdin",
        "--account",
        "a",
        stdin=LONG_BATCH[: LONG_BATCH.index(b'{"role": "user", "id": "l900"')],
    )


def _is_sealed(lab: Lab) -> None:
    """Head, index and segments hold each message once, whatever was written of them when the kill came."""
    expected = [f"l{n}" for n in range(2_500)]
    ids = [json.loads(line)["id"] for line in lab.run("message", "list", "--account", "a", "--json").splitlines()]
    assert ids in (expected[:900], expected), len(ids)
    lab.run("message", "add", "--stdin", "--account", "a", stdin=LONG_BATCH)
    account = lab.bank / "account_a"
    files = [*sorted((account / "history").glob("0*.json")), account / "whole_history.json"]
    assert [one["id"] for path in files for one in json.loads(path.read_bytes())["messages"]] == expected
    found = json.loads(lab.run("validate", "--json", codes=(0, 1)))
    assert not [one for one in found["findings"] if one["path"].startswith("account_a")]
    assert not (lab.bank / ".memorybank/quarantine").exists()


IMPORTED = {f"trades/{number:03}.json": trade(number) for number in range(150)}
TALK = b"".join(
    b'{"role": "user", "id": "t%d", "content": "message %d", "timestamp": 17000000%02d}\n' % (n, n, n)
    for n in range(60)
)


def _source(lab: Lab) -> None:
    """What is to be imported, beside the bank: trades, and a conversation."""
    source = lab.place / "source"
    (source / "trades").mkdir(parents=True)
    for name, data in IMPORTED.items():
        (source / name).write_bytes(data)
    messages = b",\n".join(TALK.splitlines())
    (source / "short_term.json").write_bytes(b"[" + messages + b"]")


def _fresh(lab: Lab) -> None:
    """A source, and no bank yet."""
    _source(lab)
    shutil.rmtree(lab.bank)


def _standing(lab: Lab) -> None:
    _source(lab)
    lab.run("init")


def _taken(lab: Lab, before: int) -> int:
    """How many of the source's files stand in the bank, each wholly; a bank is without all of them or has all."""
    there = {name: lab.bank / name for name in IMPORTED if (lab.bank / name).exists()}
    for name, path in there.items():
        assert path.read_bytes() == IMPORTED[name], name
    accounts = json.loads(lab.run("account", "list", "--json"))["accounts"]
    counts = {one["account"]: one["messages"] for one in accounts}
    assert len(there) in (before, len(IMPORTED)), len(there)
    assert counts == ({"default": 60} if len(there) == len(IMPORTED) else {}), (counts, len(there))
    return len(there)


def _is_imported_anew(lab: Lab) -> None:
    source = str(lab.place / "source")
    if lab.bank.exists():
        assert _taken(lab, len(IMPORTED)) == len(IMPORTED)
    lab.run("init", "--from", source)
    _taken(lab, len(IMPORTED))
    assert [one.name for one in lab.place.iterdir() if one.name.startswith(".")] == []
    found = json.loads(lab.run("validate", "--json"))
    assert found["pending"] == 0


def _is_migrated(lab: Lab) -> None:
    source = str(lab.place / "source")
    lab.run("status")  # the next opening finishes what was begun
    _taken(lab, 0)
    again = json.loads(lab.run("migrate", "--from", source, "--json"))
    assert again["rejected"] == []
    _taken(lab, len(IMPORTED))
    assert json.loads(lab.run("migrate", "--from", source, "--json"))["imported"] == 0
    assert not list((lab.bank / ".memorybank/tmp").iterdir())
    for number in range(lab.trades):
        assert (lab.bank / f"trades/trade_{number:04}.json").read_bytes() == trade(number)


STORIES = (
    Story("init", nothing, ("init",), b"", _is_initialised),
    Story("repair", _init, ("repair",), b"", _is_repaired),
    Story("backup", _saved, ("backup",), b"", _is_saved, _has_more_snapshots),
    Story(
        "restore", _saved, ("snapshot", "restore", "latest", "--to", "{place}/out"), b"", _is_restored, _stands_there
    ),
    Story("forget", _history, FORGET, b"", _is_forgotten, _is_gone, forgets=2),
    Story("prune", forgotten, ("snapshot", "prune", "--yes"), b"", _is_pruned, _is_gone),
    Story("empty", _pruned, ("snapshot", "prune", "--now", "--yes"), b"", _is_emptied, _has_no_trash),
    Story("undelete", _pruned, ("snapshot", "undelete"), b"", _comes_back, _has_all_back),
    Story("rollback", _saved, ("rollback", "--path", "trades", "--yes"), b"", _is_rolled_back, _is_back),
    Story(
        "message", _account, ("message", "add", "--stdin", "--account", "a"), BATCH, _is_all_ornothing, _has_the_batch
    ),
    Story("history", _long_account, ("message", "add", "--stdin", "--account", "a"), LONG_BATCH, _is_sealed),
    Story("watch", _init, ("watch", "--json"), b"", _is_initialised),
    Story("import", _fresh, ("init", "--from", "{place}/source"), b"", _is_imported_anew),
    Story("migrate", _standing, ("migrate", "--from", "{place}/source"), b"", _is_migrated),
)


def named(*names: str) -> tuple[Story, ...]:
    """The stories of these names."""
    return tuple(story for story in STORIES if story.name in names)


POINTS = named("backup", "restore", "rollback", "message", "forget", "prune", "empty", "undelete")
"""The stories whose every change of the disk is visited."""
