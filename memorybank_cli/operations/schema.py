"""The registry of schemas: what there is, one in full, and whether they are good and how many files match."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, NamedTuple

from memorybank_cli.bank import layout
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.misfits import Misfit
from memorybank_cli.bank.scan import judging_rules
from memorybank_cli.bank.schemas import REPLACEABLE, SUFFIX, Registry
from memorybank_cli.base.context import Context
from memorybank_cli.base.errors import NotFound, UsageError, from_os_error
from memorybank_cli.base.exact_json import FlawedJSON, loads
from memorybank_cli.base.names import escape
from memorybank_cli.meaning.learning import Proof, prove
from memorybank_cli.meaning.printing import printed
from memorybank_cli.operations.sections import KINDS, kind_of, section_files

MISFITS_TOLD = 3


class SchemaRow(NamedTuple):
    """One schema in the list."""

    name: str
    title: str
    version: int | None
    origin: str
    """`built-in` or `bank`."""
    files: int
    """How many files of that kind there are in the bank, by the last look that was recorded."""
    bound: bool
    """A file that does not match is an error; else it is only said that no schema fits."""
    replaceable: bool
    """A bank may bring its own; not so for what memorybank writes itself."""


@dataclass(frozen=True)
class SchemaList:
    """The schemas of the registry."""

    schemas: tuple[SchemaRow, ...]

    def as_dict(self) -> dict[str, Any]:
        """`schemas`, each an object."""
        return {"schemas": [one._asdict() for one in self.schemas]}

    def summary(self) -> str:
        """How many, and what to do with them."""
        own = sum(one.origin == "bank" for one in self.schemas)
        return f"{len(self.schemas)} schemas, {own} of the bank's own. Next: memorybank schema show NAME"


@dataclass(frozen=True)
class SchemaText:
    """One schema in full."""

    name: str
    origin: str
    version: int | None
    schema: dict[str, Any]

    def text(self) -> bytes:
        """The schema as its file has it."""
        return printed(self.schema)


class CheckedSchema(NamedTuple):
    """One schema after its check; `files` None where there is no bank to look at, or the schema is no good."""

    name: str
    origin: str
    ok: bool
    problems: tuple[Misfit, ...]
    files: int | None = None
    matching: int | None = None
    misfits: tuple[str, ...] = ()
    """A few paths of files that do not match."""


@dataclass(frozen=True)
class SchemaCheck:
    """Whether schemas are good, and how many files match them."""

    schemas: tuple[CheckedSchema, ...]

    def as_dict(self) -> dict[str, Any]:
        """`ok`, and a row for each schema."""
        rows = [one._asdict() | {"problems": [two._asdict() for two in one.problems]} for one in self.schemas]
        return {"ok": all(one.ok for one in self.schemas), "schemas": rows}

    def exit_code(self) -> int:
        """1 for a schema that is no good; files that do not match are the business of `validate`."""
        return 0 if all(one.ok for one in self.schemas) else 1

    def summary(self) -> str:
        """How many are good."""
        bad = [one.name for one in self.schemas if not one.ok]
        if bad:
            return f"{len(bad)} of {len(self.schemas)} schemas cannot be used: {', '.join(map(escape, bad))}"
        return f"{len(self.schemas)} schemas are good." if len(self.schemas) != 1 else "The schema is good."


def list_(bank: Bank | None) -> SchemaList:
    """List the schemas and what they are for.

    Built-in ones, and those in config/schemas/ of the bank; how many files of that kind the bank has, and
    whether the schema is bound: then a file that does not match is an error.

    Exit codes:
        0  done

    Examples:
        memorybank schema list
    """
    registry = bank.registry if bank is not None else Registry()
    files = bank.catalog.kinds() if bank is not None else {}
    bound = judging_rules(bank).bound if bank is not None else frozenset()
    return SchemaList(
        tuple(
            SchemaRow(
                name,
                _title(registry.document(name), name),
                registry.annotations(name).version,
                _origin(registry, name),
                files.get(name, 0),
                name in bound,
                name in REPLACEABLE or name in registry.own,
            )
            for name in registry.names()
        )
    )


def _title(document: Mapping[str, Any], name: str) -> str:
    title = document.get("title")
    return title if isinstance(title, str) else name


def _origin(registry: Registry, name: str) -> str:
    return "bank" if name in registry.own else "built-in"


def show(bank: Bank | None, name: Annotated[str, "the schema's name: a kind of document"]) -> SchemaText:
    """Show one schema.

    As JSON text, which can be saved to config/schemas/NAME.schema.json and changed.

    Exit codes:
        0   done
        10  there is no schema of that name

    Examples:
        memorybank schema show trade
    """
    registry = bank.registry if bank is not None else Registry()
    document = registry.document(name)
    return SchemaText(name, _origin(registry, name), registry.annotations(name).version, document)


def check(
    bank: Bank | None,
    context: Context,
    *names: Annotated[str, "schemas by name, or files that hold one; default: the bank's own, else all"],
) -> SchemaCheck:
    """Check schemas, and how many files match them.

    A file is checked as if it stood in config/schemas/: trade.schema.json against the trades of the bank.

    Exit codes:
        0   the schemas are good
        1   a schema cannot be used
        10  there is no schema of that name

    Examples:
        memorybank schema check
        memorybank schema check trade ./new/decision.schema.json
    """
    registry = bank.registry if bank is not None else Registry()
    chosen = names or tuple(sorted(registry.own)) or tuple(registry.names())
    drafts = [_draft(one, registry) for one in chosen]
    checked = {one.name: _checked(one, registry) for one in drafts}
    if bank is not None:
        context.progress.start("checking")
        proofs = _proofs(bank, [one for one in drafts if checked[one.name].ok])
        context.progress.finish()
        for name, proof in proofs.items():
            files = sum(proof.matching.values())
            checked[name] = checked[name]._replace(
                files=files, matching=files - proof.matching.get(0, 0), misfits=tuple(proof.misfits[:MISFITS_TOLD])
            )
    return SchemaCheck(tuple(checked.values()))


class _Draft(NamedTuple):
    """A schema to check: its name, its document, and whether it stands in a file outside the registry."""

    name: str
    document: Any
    given: bool


def _draft(name: str, registry: Registry) -> _Draft:
    if os.sep not in name and not name.endswith(".json"):
        return _Draft(name, registry.document(name), given=False)
    try:
        with open(name, "rb") as file:
            data = file.read(layout.CONFIG_LIMIT + 1)
    except FileNotFoundError:
        raise NotFound(f"there is no file {escape(name)}", path=name) from None
    except OSError as error:
        raise from_os_error(error, "cannot read the schema") from error
    stem = os.path.basename(name).removesuffix(".json").removesuffix(SUFFIX.removesuffix(".json"))
    if len(data) > layout.CONFIG_LIMIT:
        raise UsageError(f"{escape(name)} is larger than {layout.CONFIG_LIMIT >> 20} MiB", path=name)
    try:
        return _Draft(stem, loads(data), given=True)
    except FlawedJSON as error:
        raise UsageError(f"{escape(name)} is not a JSON document: {error}", path=name) from None


def _checked(one: _Draft, registry: Registry) -> CheckedSchema:
    problems = tuple(registry.check(one.document))
    return CheckedSchema(one.name, "file" if one.given else _origin(registry, one.name), not problems, problems)


def _proofs(bank: Bank, drafts: Iterable[_Draft]) -> dict[str, Proof]:
    """How the files of the bank stand to some good schemas, by name; each file is read."""
    listed = list(drafts)
    own = {name: bank.registry.document(name) for name in bank.registry.own}
    candidate = Registry({**own, **{one.name: one.document for one in listed if one.given}})
    agents = {kind for kinds in KINDS.values() for kind in kinds}
    checks: dict[str, list[Callable[[Any], bool]]] = {
        one.name: [partial(candidate.matches, one.name)] for one in listed if one.name in agents
    }
    sections = tuple(section for section, kinds in KINDS.items() if checks.keys() & set(kinds))
    return prove(bank.root, tuple(section_files(bank, sections)), kind_of, checks, {})
