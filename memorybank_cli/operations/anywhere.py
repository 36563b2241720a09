"""Checking files anywhere, inside a bank or not, against one schema."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from memorybank_cli.bank.examine import Examiner
from memorybank_cli.bank.layout import CONFIG_LIMIT, Place
from memorybank_cli.bank.rows import Content
from memorybank_cli.bank.schemas import Registry, read_schema
from memorybank_cli.base.errors import NotFound, UsageError, from_os_error
from memorybank_cli.base.names import escape
from memorybank_cli.base.records import Finding, Progress
from memorybank_cli.base.strict_json import HARD_SIZE
from memorybank_cli.base.walk import READ_SIZE, read_all
from memorybank_cli.base.workers import spread

if TYPE_CHECKING:
    from memorybank_cli.bank.bank import Bank

_OWN = "given"


def check_files(paths: Iterable[str], schema: str, bank: Bank | None, progress: Progress) -> tuple[int, list[Finding]]:
    """How many files were checked, and what is wrong with them; a directory stands for the .json files below it."""
    registry, name = _registry(schema, bank)
    names = list(_expand(paths))
    if not names:
        raise UsageError("which files?", hint="memorybank validate --schema NAME FILE…")
    examiner, place = Examiner(registry), Place(section="anywhere", kind=name, policy="open")
    progress.start("checking", len(names))

    def work(part: list[str]) -> list[tuple[str, Content]]:
        return [(path, found) for path in part for found in _look(path, examiner, place)]

    found = spread(names, work)
    progress.finish()
    return len(names), [Content(*one).at(escape(path)) for path, one in found]


def _registry(schema: str, bank: Bank | None) -> tuple[Registry, str]:
    registry = bank.registry if bank is not None else Registry()
    if not (os.sep in schema or schema.endswith(".json")):
        registry.document(schema)
        return registry, schema
    try:
        with open(schema, "rb") as file:
            data = file.read(CONFIG_LIMIT)
    except OSError as error:
        raise from_os_error(error, "cannot read the schema") from error
    return Registry({_OWN: read_schema(data, escape(schema))}), _OWN


def _expand(paths: Iterable[str]) -> Iterator[str]:
    for path in paths:
        if os.path.isdir(path):
            yield from _below(path)
        elif os.path.lexists(path):
            yield path
        else:
            raise NotFound(f"there is no {escape(path)}", path=path)


def _below(directory: str) -> Iterator[str]:
    """The .json files below a directory, dot names and links left out, without a stat for each."""
    try:
        with os.scandir(directory) as found:
            items = sorted((item for item in found if not item.name.startswith(".")), key=lambda item: item.name)
    except OSError as error:
        raise from_os_error(error, "cannot read the directory") from error
    yield from (item.path for item in items if item.name.endswith(".json") and item.is_file(follow_symlinks=False))
    for item in items:
        if item.is_dir(follow_symlinks=False):
            yield from _below(item.path)


def _look(path: str, examiner: Examiner, place: Place) -> tuple[Content, ...]:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        return (Content("MB307", from_os_error(error).message),)
    try:
        data = os.read(fd, READ_SIZE)
        if len(data) == READ_SIZE:
            data += read_all(fd, HARD_SIZE)
    except OSError as error:
        return (Content("MB108" if error.errno == errno.EFBIG else "MB307", from_os_error(error).message),)
    finally:
        os.close(fd)
    return examiner.content(data, place)[1]
