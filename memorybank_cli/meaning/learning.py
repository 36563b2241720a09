"""Reading many documents to learn from them, and once more to prove what was learnt: in two processes, and streamed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from memorybank_cli.base.damage import too_large
from memorybank_cli.base.errors import from_os_error
from memorybank_cli.base.exact_json import FlawedJSON, loads
from memorybank_cli.base.names import unescape
from memorybank_cli.base.strict_json import HARD_SIZE
from memorybank_cli.base.walk import READ_SIZE, Root, open_with_stat, read_all
from memorybank_cli.base.workers import spread
from memorybank_cli.meaning.families import Families, families_from_json

Named = tuple[str, str]
"""A file as its directory and its name in it, both escaped."""
KindOf = Callable[[str, str, Any], str]
"""The kind of a document by directory, name and value; '' for one that is not to be learnt from."""


class LeftOut(NamedTuple):
    """A file that nothing was learnt from, with the rule and the reason."""

    path: str
    rule: str
    reason: str


class Learnt(NamedTuple):
    """What was learnt, by kind, and the files that were left out."""

    kinds: dict[str, Families]
    left_out: list[LeftOut]


class Proof(NamedTuple):
    """How documents stand to the alternatives of a schema.

    `matching` counts documents by which alternatives fit, the first being the lowest bit; `misfits` are the paths
    that none fits, `numbers` the digests of the values of a member by its name, one for each document that has it.
    """

    matching: dict[int, int]
    misfits: list[str]
    numbers: dict[str, list[int]]


def learn(root: Root, files: Sequence[Named], kind_of: KindOf) -> Learnt:
    """What the documents at some files have in common, by kind."""

    def work(part: list[Named]) -> list[list[Any]]:
        kinds: dict[str, Families] = {}
        left_out: list[LeftOut] = []
        for directory, name, value in documents(root, part, left_out):
            kind = kind_of(directory, name, value)
            if kind:
                families = kinds.get(kind)
                if families is None:
                    families = kinds[kind] = Families()
                families.add(value, path_of(directory, name))
        return [[{kind: families.to_json() for kind, families in kinds.items()}, [list(one) for one in left_out]]]

    whole = Learnt({}, [])
    for kinds, left_out in spread(files, work):
        whole.left_out.extend(LeftOut(*one) for one in left_out)
        for kind, found in kinds.items():
            families = families_from_json(found)
            if kind in whole.kinds:
                whole.kinds[kind].merge(families)
            else:
                whole.kinds[kind] = families
    return whole


def prove(
    root: Root,
    files: Sequence[Named],
    kind_of: KindOf,
    schemas: Mapping[str, Sequence[Callable[[Any], bool]]],
    members: Mapping[str, Sequence[str]],
) -> dict[str, Proof]:
    """How the documents of each kind stand to its alternatives; `members` are those whose values are looked at."""

    def work(part: list[Named]) -> list[list[Any]]:
        found = {kind: Proof({}, [], {name: [] for name in members.get(kind, ())}) for kind in schemas}
        for directory, name, value in documents(root, part, []):
            kind = kind_of(directory, name, value)
            if kind in found:
                _prove_one(value, path_of(directory, name), schemas[kind], found[kind])
        return [[kind, list(one.matching.items()), one.misfits, one.numbers] for kind, one in found.items()]

    whole = {kind: Proof({}, [], {}) for kind in schemas}
    for kind, matching, misfits, numbers in spread(files, work):
        one = whole[kind]
        for fitting, times in matching:
            one.matching[fitting] = one.matching.get(fitting, 0) + times
        one.misfits.extend(misfits)
        for name, values in numbers.items():
            one.numbers.setdefault(name, []).extend(values)
    return whole


def _prove_one(value: Any, path: str, alternatives: Sequence[Callable[[Any], bool]], proof: Proof) -> None:
    fitting = sum(matches(value) << bit for bit, matches in enumerate(alternatives))
    proof.matching[fitting] = proof.matching.get(fitting, 0) + 1
    if not fitting:
        proof.misfits.append(path)
    for name, values in proof.numbers.items():
        if isinstance(value, dict) and isinstance(value.get(name), str | int):
            values.append(hash(value[name]))


def documents(root: Root, files: Iterable[Named], left_out: list[LeftOut]) -> Iterator[tuple[str, str, Any]]:
    """Directory, name and value of each document; files that hold none are put into `left_out`."""
    for directory, group in groupby(files, key=lambda one: one[0]):
        names = [name for _, name in group]
        try:
            with root.directory(directory) as fd:
                yield from _in_directory(fd, directory, names, left_out)
        except OSError as error:
            left_out.extend(_unreadable(path_of(directory, name), error) for name in names)


def _in_directory(fd: int, directory: str, names: list[str], left_out: list[LeftOut]) -> Iterator[tuple[str, str, Any]]:
    for name in names:
        try:
            value = loads(_content(unescape(name), fd))
        except FlawedJSON as error:
            left_out.append(LeftOut(path_of(directory, name), error.flaw.rule, error.flaw.message))
        except OSError as error:
            left_out.append(_unreadable(path_of(directory, name), error))
        else:
            yield directory, name, value


def _content(name: str, dir_fd: int) -> bytes:
    fd, info = open_with_stat(name, dir_fd)
    try:
        if (flaw := too_large(info.st_size)) is not None:
            raise FlawedJSON(flaw)
        return os.read(fd, READ_SIZE) if info.st_size < READ_SIZE else read_all(fd, HARD_SIZE)
    finally:
        os.close(fd)


def _unreadable(path: str, error: OSError) -> LeftOut:
    return LeftOut(path, "MB307", from_os_error(error).message)


def path_of(directory: str, name: str) -> str:
    """The path of a file of a directory."""
    return f"{directory}/{name}" if directory else name
