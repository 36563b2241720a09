"""Learning schemas from the files of a section, and putting them in force."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, NamedTuple

from memorybank_cli.bank import baseline, layout
from memorybank_cli.bank.annotations import KEYWORD, version_of
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.examine import MISFIT, OLDER
from memorybank_cli.bank.layout import RECORDS
from memorybank_cli.bank.replacing import Replacement, replace_files
from memorybank_cli.bank.scan import Scan
from memorybank_cli.bank.schemas import SUFFIX, Registry
from memorybank_cli.bank.validators import build
from memorybank_cli.base.errors import NotFound, Refused
from memorybank_cli.base.exact_json import FlawedJSON, loads
from memorybank_cli.base.names import escape, quoted
from memorybank_cli.base.records import Finding
from memorybank_cli.meaning.families import Families, Family
from memorybank_cli.meaning.inference import alternatives_of, distinct, schema_of
from memorybank_cli.meaning.keys import identities, identity
from memorybank_cli.meaning.learning import LeftOut, Named, learn, prove
from memorybank_cli.meaning.printing import printed
from memorybank_cli.meaning.schema_differences import Difference, differences
from memorybank_cli.operations.named_files import put
from memorybank_cli.operations.options import Option
from memorybank_cli.operations.sections import KINDS, chosen, kind_of, one_of, section_files, section_of

CHANGES_TOLD = 200


@dataclass(frozen=True)
class LearntSchema:
    """One schema that was learnt, and how it stands to the one that is in force."""

    kind: str
    path: str
    version: int
    action: str
    """`written`, `unchanged`, `differs` (kept as it is), `replaced`; `covered`: another schema fits already."""
    files: int
    alternatives: tuple[dict[str, Any], ...]
    changes: tuple[dict[str, Any], ...]
    schema: dict[str, Any]


@dataclass(frozen=True)
class InferReport:
    """What was learnt of a section."""

    section: str
    schemas: tuple[LearntSchema, ...]
    left_out: tuple[LeftOut, ...]
    dry_run: bool
    output: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """The contract's fields."""
        return {
            "section": self.section,
            "schemas": [vars(one) for one in self.schemas],
            "left_out": [one._asdict() for one in self.left_out],
            "dry_run": self.dry_run,
        }

    def text(self) -> bytes | None:
        """The schema itself for `--output -`."""
        return printed(self.schemas[0].schema) if self.output == "-" else None

    def summary(self) -> str:
        """What is in force now, and the next step."""
        new = [one.kind for one in self.schemas if one.action in ("written", "replaced")]
        differing = [one.kind for one in self.schemas if one.action == "differs"]
        if self.output is not None:
            return f"Written to {escape(self.output)}; nothing in the bank was changed."
        if self.dry_run and new:
            return f"Nothing was written; without --dry-run {', '.join(new)} would hold at once."
        if new:
            return f"In force: {', '.join(new)}. What differs from now on is MB201. Next: memorybank validate"
        if differing:
            return f"Kept as it is: {', '.join(differing)}. --replace writes what was learnt, as a new version."
        return "Nothing to change."


def infer(
    bank: Bank,
    section: Annotated[str, "trades, metrics, metrics/historical, state, agents, shared; or one kind of document"],
    *,
    output: Annotated[
        str | None, Option("write the schema there and change nothing in the bank", metavar="FILE")
    ] = None,
    replace: Annotated[bool, "put a new version in the place of a schema that differs"] = False,
    dry_run: Annotated[bool, Option("show what would be learnt, write nothing", short="-n")] = False,
) -> InferReport:
    """Learn a schema from the files of a section.

    Types, members that every file has, choices of a few words, times and other forms of text; clearly
    different shapes in one section become alternatives. Every file that was learnt from matches. The schema
    is written to config/schemas/ and holds at once: a file that differs from then on is MB201.

    Exit codes:
        0   learnt
        10  no such section, or no good file in it
        13  a section that memorybank writes itself, or --replace of a schema that waits for memorybank accept

    Examples:
        memorybank schema infer trades --dry-run
        memorybank schema infer state --output -
        memorybank schema infer metrics --replace
    """
    report = infer_section(bank, section, replace=replace, dry_run=dry_run or output is not None)
    if output is None:
        return report
    only = one_of([one.kind for one in report.schemas], section)
    result = InferReport(section, report.schemas, report.left_out, dry_run, output)
    if output != "-" and not dry_run:
        put(output, printed(next(one.schema for one in result.schemas if one.kind == only)))
    return result


def infer_section(bank: Bank, section: str, *, replace: bool = False, dry_run: bool = False) -> InferReport:
    """Learn the schemas of a section, or of one kind; unless `dry_run`, those that are new hold when this returns.

    A schema that is there and differs is kept unless `replace`. Raises NotFound, Refused, OSError.
    """
    sections, kinds = chosen(section)
    found = tuple(section_files(bank, sections))
    learnt, left_out = _learn(bank, found, kinds)
    if not learnt:
        raise NotFound(f"there is no good document in {escape(section)} to learn from", path=section)
    named = frozenset(kinds) if section.strip("/") not in KINDS else frozenset()
    drafts = _proved(bank, found, learnt, named, left_out)
    results = tuple(_compared(bank, draft, replace) for draft in drafts)
    wanted = [one for one in results if one.action in ("written", "replaced")]
    if wanted and not dry_run:
        _put_in_force(bank, section, wanted)
    return InferReport(section, results, tuple(sorted(left_out)), dry_run)


class _Draft(NamedTuple):
    """What was learnt of one kind; `covered`: all its files match another schema that is there already."""

    kind: str
    families: list[Family]
    identity: str
    exclusive: bool
    covered: bool


def _learn(bank: Bank, found: Sequence[Named], kinds: Sequence[str]) -> tuple[dict[str, list[Family]], list[LeftOut]]:
    """The families of each kind, of the newest version that its documents name, and what was left out."""

    def wanted(directory: str, name: str, value: Any) -> str:
        kind = kind_of(directory, name, value)
        return kind if kind in kinds else ""

    bank.context.progress.start("learning", len(found))
    whole = learn(bank.root, found, wanted)
    bank.context.progress.finish()
    left_out, learnt = list(whole.left_out), {}
    for kind in kinds:
        if kind in whole.kinds:
            left_out += _older(whole.kinds[kind])
            families = distinct(whole.kinds[kind].alternatives())
            if not all(one.is_empty for one in families):
                learnt[kind] = families
    return learnt, left_out


def _older(families: Families) -> list[LeftOut]:
    """A few of the documents of older versions, which are taken out."""
    older, newest = families.take_older()
    return [
        LeftOut(path, OLDER, f"schema version {one.version}; the newest here is {newest}")
        for one in older
        for path in one.examples
    ]


def _proved(
    bank: Bank,
    found: Sequence[Named],
    learnt: dict[str, list[Family]],
    named: frozenset[str],
    left_out: list[LeftOut],
) -> list[_Draft]:
    """Every document held against what was learnt of its kind; `named` kinds were asked for by name."""
    schemas = {kind: schema_of(kind, families, {}, exclusive=True) for kind, families in learnt.items()}
    alone: dict[str, Any] = {}  # what was learnt refers to no other schema
    checks = {
        kind: [build(one, alone.__getitem__).matches for one in alternatives_of(schema)]
        for kind, schema in schemas.items()
    }
    for kind, other in _others(bank, schemas, named).items():
        checks[kind].append(other)
    members = {kind: identities(kind, families) for kind, families in learnt.items()}
    newest = {kind: {None, *(one.version for one in families)} for kind, families in learnt.items()}

    def learnt_from(directory: str, name: str, value: Any) -> str:
        kind = kind_of(directory, name, value)
        return kind if kind in newest and version_of(value) in newest[kind] else ""

    proofs = prove(bank.root, found, learnt_from, checks, members)
    drafts = []
    for kind, families in learnt.items():
        proof, alternatives = proofs[kind], len(families)
        left_out += [LeftOut(path, MISFIT, "it changed while it was learnt from") for path in proof.misfits]
        fitting = [mask & ((1 << alternatives) - 1) for mask in proof.matching]
        covered = len(checks[kind]) > alternatives and all(mask >> alternatives for mask in proof.matching)
        exclusive = all(mask.bit_count() == 1 for mask in fitting)
        drafts.append(_Draft(kind, families, identity(proof.numbers, families), exclusive, covered))
    return drafts


def _others(bank: Bank, schemas: dict[str, dict[str, Any]], named: frozenset[str]) -> dict[str, Callable[[Any], bool]]:
    """Schemas that may say already what was learnt: that of a list what its records are, the spec's of a record."""
    others: dict[str, Callable[[Any], bool]] = {
        kind: partial(bank.registry.matches, kind) for kind in RECORDS & schemas.keys() - named
    }
    if {"trade", "trade_list"} <= schemas.keys():
        others["trade_list"] = partial(Registry({"trade": schemas["trade"]}).matches, "trade_list")
    return others


def _is_recorded(bank: Bank, kind: str, there: dict[str, Any]) -> bool:
    """Whether the schema that stands there is the one that holds, and not a hand edit that waits for `accept`."""
    return kind in bank.registry.own and bank.registry.document(kind) == there


def _compared(bank: Bank, draft: _Draft, replace: bool) -> LearntSchema:
    """What was learnt beside what stands in the bank."""
    path = f"{layout.CONFIG_SCHEMAS}/{draft.kind}{SUFFIX}"
    there = _there(bank, path)
    told = {"id": draft.identity} if draft.identity else {}
    annotations: dict[str, Any] = {"version": 1, **told, **((there or {}).get(KEYWORD) or {})}
    schema = schema_of(draft.kind, draft.families, annotations, draft.exclusive)
    changes = _changes(there, schema, _named(draft.families))
    if there is None:
        action = "covered" if draft.covered else "written"
    else:
        action = "unchanged" if not changes else "replaced" if replace else "differs"
    if action == "replaced" and there and not _is_recorded(bank, draft.kind, there):
        named = quoted(path)
        raise Refused(  # what it says beside the shape, as how to lift documents, would hold unseen
            f"{path} was changed outside memorybank",
            hint=f"memorybank accept {named} if you did it; memorybank rollback --path {named} takes it back",
            path=path,
        )
    if action in ("written", "replaced"):
        later = annotations["version"] + (there is not None)
        schema[KEYWORD] = {**annotations, "version": _named(draft.families) or later}
    alternatives = tuple({"files": one.count, "examples": list(one.examples)} for one in draft.families)
    count = sum(one.count for one in draft.families)
    version = schema[KEYWORD]["version"]
    listed = tuple(one._asdict() for one in changes[:CHANGES_TOLD])
    return LearntSchema(draft.kind, path, version, action, count, alternatives, listed, schema)


def _named(families: Sequence[Family]) -> int | None:
    """The version that the documents name."""
    return max((one.version for one in families if one.version is not None), default=None)


def _changes(there: dict[str, Any] | None, schema: dict[str, Any], named: int | None) -> list[Difference]:
    if there is None:
        return []
    version = schema[KEYWORD]["version"]
    newer = [Difference(f"/{KEYWORD}", "version", version, named)] if named not in (None, version) else []
    return newer + differences(there, schema)


def _there(bank: Bank, path: str) -> dict[str, Any] | None:
    """The schema that stands at a path, an empty one for a file that is none; None where no file stands."""
    if bank.root.stat(path) is None:
        return None
    try:
        value = loads(bank.root.content(path, layout.CONFIG_LIMIT) or b"")
    except FlawedJSON:
        return {}
    return value if not bank.registry.check(value) else {}


def _put_in_force(bank: Bank, section: str, wanted: Sequence[LearntSchema]) -> None:
    baseline.begin(bank)
    replacements = [Replacement(one.path, printed(one.schema), bank.modes[0], kind="schema") for one in wanted]
    replace_files(bank, replacements, f"schema infer {section}")
    bank.read_config_again()


def unmatched(scan: Scan) -> list[str]:
    """Sections of which at least half of the files match no schema that is known: what `infer` is for."""
    without: dict[str, int] = {}
    for path in {one.path for one in scan.findings if one.rule == "MB202"}:
        section = _section(path)
        without[section] = without.get(section, 0) + 1
    return [one for one in KINDS if one in without and 2 * without[one] >= scan.by_section.get(one, 0)]


def _section(path: str) -> str:
    return section_of(path.rpartition("/")[0])


def offer(bank: Bank, findings: list[Finding], scan: Scan, wanted: bool) -> tuple[list[InferReport], list[str]]:
    """Learn a schema for each section whose files match none, when that is wanted or somebody says yes.

    What was learnt, and the sections that were left; findings that no longer hold are taken out.
    """
    learnt: list[InferReport] = []
    left: list[str] = []
    for section in unmatched(scan):
        if not (wanted or _agreed(bank, section)):
            left.append(section)
            continue
        try:
            learnt.append(infer_section(bank, section))
        except NotFound:
            left.append(section)
    known = {one.section for one in learnt}
    findings[:] = [one for one in findings if one.rule != "MB202" or _section(one.path) not in known]
    return learnt, left


def _agreed(bank: Bank, section: str) -> bool:
    context = bank.context
    if not context.interactive or context.json:
        return False
    return context.confirm(f"No schema fits the files of {section}. Learn one from them?")
