"""Which importer reads which file of a source."""

from __future__ import annotations

from typing import NamedTuple

from memorybank_cli.base.errors import UsageError
from memorybank_cli.base.names import escape
from memorybank_cli.migrations.source import Source
from memorybank_cli.migrations.table import IMPORTERS, LAST, Importer


class Part(NamedTuple):
    """The files of a source that one importer reads."""

    importer: Importer
    score: int
    paths: list[str]


def named(name: str) -> Importer:
    """The importer of that name. Raises UsageError with the nearest names."""
    known = {one.NAME: one for one in IMPORTERS}
    if name in known:
        return known[name]
    from difflib import get_close_matches

    near = get_close_matches(name.lower().replace("-", "_"), known, 2)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(known)}"
    raise UsageError(f"there is no importer '{escape(name)[:80]}'", hint=hint)


def choose(source: Source, name: str | None = None) -> list[Part]:
    """The parts of a source in the order to read them; what none takes stands in `source.skipped`.

    Each file goes to the surest importer that takes it; `name` lets only that one read. Raises UsageError where
    there is nothing that can be imported.
    """
    parts = [Part(one, 100, []) for one in [named(name)]] if name is not None else _scored(source)
    for path in source.paths:
        taker = next((part for part in parts if part.importer.takes(source, path)), None)
        if taker:
            taker.paths.append(path)
        else:
            source.skip(path, f"not of the kind '{name}'" if name is not None else "no importer knows such a file")
    chosen = [part for part in parts if part.paths]
    if not chosen:
        raise _nothing(source, name)
    return sorted(chosen, key=lambda part: part.importer is LAST)


def _scored(source: Source) -> list[Part]:
    scored = [Part(one, one.score(source), []) for one in IMPORTERS]
    return sorted((part for part in scored if part.score), key=lambda part: -part.score)


def _nothing(source: Source, name: str | None) -> UsageError:
    wanted = [named(name)] if name is not None else list(IMPORTERS)
    where = source.root.absolute(source.name) if source.is_file else source.root.path
    return UsageError(
        f"{escape(where)} holds nothing that can be imported",
        path=where,
        hint=f"looked for: {'; '.join(one.TITLE for one in wanted)}",
    )
