"""A bank with snapshots of many days, made without waiting for them."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from memorybank_cli.operations.repositories import open_repository, repository_path
from memorybank_cli.snapshots import documents
from memorybank_cli.snapshots.documents import Document
from memorybank_cli.snapshots.repository import Repository
from tests.broken_os import killed
from tests.operations.banks import opened
from tests.snapshots.making import packs_of, save_files

DAY = 86_400


def repository_of(bank: Path) -> Path:
    with opened(bank) as one:
        return Path(repository_path(one, None))


def snapshots_of_days(bank: Path, count: int, **fields: Any) -> list[str]:
    """A snapshot a day, the last on 30 November 2020, with packs that are old enough to go; the ids, oldest first."""
    with opened(bank) as one:
        place, bank_id = repository_path(one, None), one.bank_id
    made = []
    with Repository.create(place, reserve=0) as repo:
        for number in range(count):
            day = 30 - count + number + 1
            moment = f"2020-{'11' if day > 0 else '10'}-{day if day > 0 else 31 + day:02}T14:00:00.000000Z"
            contents = {"trades/t.json": b'{"a": %d}' % number, f"docs/{number}.md": os.urandom(3_000)}
            given = {"bank_id": bank_id, "seq": 0, "time": moment, **fields}
            made.append(save_files(repo, contents, **given).document.id)
        age(repo)
    return made


def age(repo: Repository) -> None:
    then = time.time() - 2 * DAY
    for path in packs_of(repo):
        os.utime(path, (then, then))


def listed(bank: Path) -> list[Document]:
    with opened(bank) as one, open_repository(one, None) as repo:
        return list(documents.listing(repo).documents)


def ids(bank: Path) -> list[str]:
    return [one.id for one in listed(bank)]


def killed_everywhere(bank: Path, work: Callable[[], object], after: Callable[[], None]) -> int:
    """Kill `work` at every change of the disk; how many there are."""
    places = (bank, Path(os.environ["MEMORYBANK_STATE_HOME"]))
    copies = {path: path.with_name(f"{path.name}-copy") for path in places}
    for path, copy in copies.items():
        shutil.copytree(path, copy, symlinks=True)
    stopped, step = True, 0
    while stopped:
        step += 1
        for path, copy in copies.items():
            shutil.rmtree(path)
            shutil.copytree(copy, path, symlinks=True)
        stopped = killed(work, step)
        after()
    return step
