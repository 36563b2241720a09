"""Looking at every tree that snapshots need, each once: is it sound, is every blob there, and which paths are hit."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from itertools import chain
from operator import itemgetter, lt
from typing import Any, NamedTuple

import orjson

from memorybank_cli.base.records import Finding, Progress
from memorybank_cli.base.words import counted
from memorybank_cli.snapshots import trees
from memorybank_cli.snapshots.blobs import Blobs
from memorybank_cli.snapshots.documents import Document
from memorybank_cli.snapshots.sealing import Damaged
from memorybank_cli.snapshots.trees import FileEntry

# Beyond this many hit files a person needs the number, not the names.
MAX_NAMED = 1000
_OTHERS = "memorybank backup makes a new snapshot; memorybank snapshot list shows the others"
_TIMES = 1 << 63
_STEP = 100


class _Trouble(NamedTuple):
    """What is wrong with one tree itself: it cannot be read, or files in it cannot."""

    unreadable: str
    files: list[tuple[str, str]]


class _Looked(NamedTuple):
    """What stands below one tree, or one part of a large one: names and trees, parts without a name."""

    below: list[tuple[str, str]]
    files: int = 0
    """How many files it lists itself."""
    first: str = ""
    last: str = ""


class Forest:
    """Every distinct tree of some snapshots. `lost` are blobs that cannot be read, and why."""

    def __init__(self, blobs: Blobs, lost: dict[str, str]) -> None:
        self._blobs, self._lost = blobs, lost
        self._sizes: dict[str, int] = {}
        for _, _, frame in blobs.index.frames:
            self._sizes.update(zip(frame.ids, frame.sizes, strict=True))
        self._looked: dict[str, _Looked] = {}
        self._parents: dict[str, set[str]] = {}
        self._trouble: dict[str, _Trouble] = {}
        self._needed: set[str] = set()
        self._miscounted: list[Finding] = []

    @property
    def checked(self) -> int:
        """How many trees and blobs were looked at."""
        return len(self._looked) + len(self._needed)

    def needed(self) -> Iterator[str]:
        """The ids of all of them."""
        yield from self._looked
        yield from self._needed

    def check(self, chosen: Collection[Document], progress: Progress) -> None:
        """Look at all trees."""
        waiting = [document.root for document in chosen]
        progress.start("checking directories")
        while waiting:
            tree = waiting.pop()
            if tree not in self._looked:
                looked = self._looked[tree] = self._look_at(tree)
                for _, child in looked.below:
                    self._parents.setdefault(child, set()).add(tree)
                    waiting.append(child)
                self._look_at_parts([part for name, part in looked.below if not name and part not in self._looked])
                if len(self._looked) % _STEP == 0:
                    progress.advance(_STEP)
        self._check_order_of_parts()
        self._count(chosen)
        progress.finish()

    def _look_at(self, tree: str) -> _Looked:
        try:
            data = self._blobs.get(tree)
            looked = self._at_a_glance(data)
            return self._closely(tree, data) if looked is None else looked
        except Damaged as error:
            self._trouble[tree] = _Trouble(error.message, [])
            return _Looked([])

    def _look_at_parts(self, parts: list[str]) -> None:
        """Parts of a large directory all at once, as most are: nothing but files, and nothing wrong with them."""
        try:
            lists = [orjson.loads(self._blobs.get(part)) for part in parts]
            if not all(lists) or self._glance(list(chain.from_iterable(lists))) != []:
                return  # each is looked at by itself then
        except (Damaged, TypeError, ValueError):
            return
        for part, rows in zip(parts, lists, strict=True):
            self._looked[part] = _Looked([], len(rows), rows[0][1], rows[-1][1])

    def _at_a_glance(self, data: bytes) -> _Looked | None:
        """A tree in which nothing is wrong and no file is damaged; None for any other. Raises Damaged."""
        if len(data) > trees.MAX_VALUES:  # shorter ones cannot have more values
            return None
        try:
            rows = orjson.loads(data)
        except ValueError:
            return None
        below = self._glance(rows)
        if below is None:
            return None
        return _Looked(below, len(rows) - len(below), rows[0][1] if rows else "", rows[-1][1] if rows else "")

    def _glance(self, rows: Any) -> list[tuple[str, str]] | None:
        """The directories among rows, looked at column by column; None where one is not as most are. Raises Damaged."""
        try:
            others = [] if set(map(itemgetter(0), rows)) == {"f"} else [row for row in rows if row[0] != "f"]
            files = [row for row in rows if row[0] == "f"] if others else rows
            names = list(map(itemgetter(1), rows))
            if not _are_names(names) or (files and not self._are_sound(*zip(*files, strict=True))):
                return None
        except (TypeError, ValueError, LookupError):
            return None
        if not others:
            return []
        if others[0][0] == "p":
            return None
        return [(one.path, one.tree) for one in trees.parse(orjson.dumps(others)).directories]

    def _are_sound(
        self,
        _kinds: Any,
        _names: Any,
        modes: tuple[int, ...],
        mtimes: tuple[int, ...],
        goods: tuple[str, ...],
        sizes: tuple[int, ...],
    ) -> bool:
        """Whether the columns of all files of a tree are possible, and each blob is there and has its size."""
        if not (
            {*map(type, modes), *map(type, mtimes), *map(type, sizes)} == {int}
            and 0 <= min(modes) <= max(modes) <= 0o7777
            and -_TIMES <= min(mtimes) <= max(mtimes) < _TIMES
            and set(map(type, goods)) == {str}
            and set(map(len, goods)) == {64}
            and bytes.fromhex("".join(goods)).hex() == "".join(goods)
            and self._lost.keys().isdisjoint(goods)
            and tuple(map(self._sizes.get, goods)) == sizes
        ):
            return False
        self._needed.update(goods)
        return True

    def _closely(self, tree: str, data: bytes) -> _Looked:
        """A tree entry by entry. Raises Damaged."""
        level = trees.parse(data)
        bad = [(entry.path, why) for entry in level.files if (why := self._wrong_with(entry))]
        if bad:
            self._trouble[tree] = _Trouble("", bad)
        names = sorted([*(one.path for one in level.files), *(one.path for one in level.directories)])
        below = [*((entry.path, entry.tree) for entry in level.directories), *(("", part) for part in level.parts)]
        return _Looked(below, len(level.files), names[0] if names else "", names[-1] if names else "")

    def _wrong_with(self, entry: FileEntry) -> str:
        needed = [*(entry.good or ()), *(entry.found or ())]
        self._needed.update(needed)
        for name in needed:
            if name not in self._sizes:
                return f"blob {name[:12]} is in no readable pack"
            if name in self._lost:
                return self._lost[name]
        if entry.good is not None and sum(self._sizes[name] for name in entry.good) != entry.size:
            return f"its blobs do not make the {entry.size:,} bytes that the snapshot says"
        return ""

    def _check_order_of_parts(self) -> None:
        """The parts of a large directory follow each other, none is empty, and none has parts."""
        for tree, looked in self._looked.items():
            last = ""
            for part in (child for name, child in looked.below if not name):
                inner = self._looked[part]
                if part in self._trouble and self._trouble[part].unreadable:
                    continue
                if inner.first <= last or not all(name for name, _ in inner.below):
                    self._trouble[tree] = _Trouble("its parts are empty, out of order, or have parts", [])
                last = inner.last

    def _count(self, chosen: Collection[Document]) -> None:
        """A snapshot has as many files as it says: one that lost them all in the making would look whole."""
        broken = self._with_trouble_below()
        totals: dict[str, int] = {}
        for document in chosen:
            waiting = [document.root]
            while waiting:
                tree = waiting[-1]
                missing = [child for _, child in self._looked[tree].below if child not in totals]
                waiting += missing
                if not missing:
                    below = sum(totals[child] for _, child in self._looked[tree].below)
                    totals[waiting.pop()] = self._looked[tree].files + below
            said, has = document.files, totals[document.root]
            if document.root not in broken and said != has:
                text = f"{document.id}: it says that it has {counted(said, 'file')}, and lists {has:,}"
                self._miscounted.append(Finding("MB130", f"not restorable as it was, snapshot {text}", hint=_OTHERS))

    def findings(self, chosen: Collection[Document]) -> list[Finding]:
        """One finding for each path that is hit, naming the snapshots."""
        hits: dict[str, tuple[str, list[str]]] = {}
        broken = self._with_trouble_below()
        for document in chosen:
            for path, why in self._hit(document.root, broken):
                if len(hits) < MAX_NAMED or path in hits:
                    hits.setdefault(path, (why, []))[1].append(document.id)
        return self._miscounted + [_hit_finding(path, why, names) for path, (why, names) in sorted(hits.items())]

    def _with_trouble_below(self) -> set[str]:
        broken: set[str] = set()
        waiting = list(self._trouble)
        while waiting:
            tree = waiting.pop()
            if tree not in broken:
                broken.add(tree)
                waiting += self._parents.get(tree, ())
        return broken

    def _hit(self, root: str, broken: set[str]) -> Iterable[tuple[str, str]]:
        waiting = [("", root)]
        named = 0
        while waiting and named < MAX_NAMED:
            path, tree = waiting.pop()
            if tree not in broken:
                continue
            trouble = self._trouble.get(tree)
            if trouble is not None and trouble.unreadable:
                named += 1
                yield path, f"the directory cannot be read: {trouble.unreadable}"
            prefix = path + "/" if path else ""
            for name, why in trouble.files if trouble else ():
                named += 1
                yield prefix + name, why
            waiting += [(prefix + name if name else path, child) for name, child in self._looked[tree].below]


def _are_names(names: list[str]) -> bool:
    """Whether these are names as most are: printable, none empty, hidden or leading elsewhere, each after the last."""
    text = "/".join(names)
    return not names or (
        text.isprintable()
        and text.count("/") == len(names) - 1
        and "\\" not in text
        and text[:1] not in ("", ".", "/")
        and "/." not in text
        and all(map(lt, names, names[1:]))
    )


def _hit_finding(path: str, why: str, names: list[str]) -> Finding:
    names = list(dict.fromkeys(names))
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    plural = "snapshots" if len(names) > 1 else "snapshot"
    return Finding(
        "MB130",
        f"not restorable from {plural} {', '.join(names[:3])}{more}: {why}",
        path,
        hint="memorybank backup stores it again if the bank still has it; another snapshot may have an earlier version",
    )
