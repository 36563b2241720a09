"""What a file's content means, held against what the journal expects: findings, and what is pending adoption."""

from __future__ import annotations

from typing import Literal, NamedTuple

from memorybank_cli.bank.layout import Place, Policy, policy_of
from memorybank_cli.bank.rows import SHAPE, SOUND, Content, Expected, Seen
from memorybank_cli.base.names import quoted
from memorybank_cli.base.records import Finding

Pending = Literal["", "new", "changed", "removed", "found"]
ROT = "MB115"
DAMAGE = ("MB101", "MB102", "MB103", "MB104", "MB105", "MB106", "MB107", "MB108", "MB111", ROT)
"""What says that a file is not what somebody wrote."""
MISFIT, OLDER = "MB201", "MB209"
_MIB = 1 << 20
# `{}` and a line break: a placeholder says nothing yet about the shape that will be kept there.
EMPTY_OBJECT = "ca3d163bab055381827226140568f3bef7eaac187cebd76878e0b63e9e442356"


class Verdict(NamedTuple):
    """What one file came to.

    `pending` is what adoption would record of it. `outside`: it is not what was recorded, and only `accept` may
    record it. `rule` says why its last good version stands for it in a snapshot, '' for a good file.
    """

    findings: list[Finding]
    pending: Pending = ""
    outside: bool = False
    rule: str = ""


class Rules(NamedTuple):
    """What judging needs to know of the bank: kinds whose schema is bound, limits in bytes, open patterns.

    `recorded`: there is a baseline; before that, what stands there is simply new.
    """

    bound: frozenset[str]
    limits: dict[str, int]
    open_patterns: tuple[str, ...]
    recorded: bool = True


def judge(path: str, where: Place, expected: Expected | None, seen: Seen | None, rules: Rules) -> Verdict:
    """Findings about one file and whether a change of it waits for adoption; `seen` is None for a file that is gone."""
    policy = policy_of(path, where, expected.kind if expected else seen.kind if seen else "", rules.open_patterns)
    if seen is None:
        return _missing(path, expected, policy)
    flaws = [one for one in seen.content if one.rule not in SOUND]
    if flaws:
        pending: Pending = "found" if expected is None or not (expected.good or expected.sha == seen.sha) else ""
        return Verdict([_damage(path, one) for one in flaws], pending, rule=flaws[0].rule)
    changed = expected is not None and expected.sha != seen.sha
    findings = _limit(path, where, seen, rules) + _shape(path, where, expected, seen, rules)
    findings += [one.at(path, f"memorybank explain {one.rule}") for one in seen.content if one.rule not in SHAPE]
    if where.section == "stray":
        findings.append(
            Finding("MB112", "a JSON file outside every section", path, "move it into a section if agents rely on it")
        )
    if where.policy == "managed" and expected is None and rules.recorded:
        return Verdict([_changed(path, "appeared without memorybank"), *findings], outside=True)
    if not changed:
        return Verdict(findings, "" if expected else "new")
    assert expected is not None
    if policy == "managed":
        return Verdict([_changed(path, "changed outside memorybank"), *findings], outside=True, rule="MB110")
    if policy == "append" and expected.good:
        return Verdict([_appended(path), *findings], outside=True, rule="MB113")
    return Verdict(findings, "changed")


def _missing(path: str, expected: Expected | None, policy: Policy) -> Verdict:
    if expected is None:
        return Verdict([])
    if policy == "open" or not expected.good:
        return Verdict([], "removed")
    hint = f"memorybank repair {quoted(path)} brings it back; memorybank accept {quoted(path)} if it was meant to go"
    return Verdict([Finding("MB111", "the file is gone", path, hint)], outside=True, rule="MB111")


def _damage(path: str, flaw: Content) -> Finding:
    then = ", then check the disk" if flaw.rule == ROT else ""
    return flaw.at(path, f"memorybank repair {quoted(path)}{then}")


def _changed(path: str, what: str) -> Finding:
    hint = f"memorybank accept {quoted(path)} if you did it; memorybank rollback --path {quoted(path)} takes it back"
    return Finding("MB110", what, path, hint)


def _appended(path: str) -> Finding:
    hint = f"memorybank rollback --path {quoted(path)} takes it back; memorybank accept {quoted(path)} if it was meant"
    return Finding("MB113", "changed after it was recorded, in an append-only section", path, hint)


def _limit(path: str, where: Place, seen: Seen, rules: Rules) -> list[Finding]:
    limit = rules.limits.get(where.section)
    if limit is None or seen.size <= limit:
        return []
    message = f"{seen.size:,} bytes; {where.section}/ allows {limit // _MIB} MiB a file"
    return [
        Finding(
            "MB301", message, path, "archive old records, or raise the limit in config/memorybank.json and trust it"
        )
    ]


def _shape(path: str, where: Place, expected: Expected | None, seen: Seen, rules: Rules) -> list[Finding]:
    if not where.is_json:
        return []
    if not seen.kind:
        return [Finding("MB202", "no schema for this file", path)]
    misfits = [one for one in seen.content if one.rule in SHAPE]
    if not misfits:
        return []
    if (
        where.bound
        or seen.kind in rules.bound
        or (expected is not None and expected.fits and expected.kind == seen.kind)
    ):
        return [one.at(path, _shape_hint(one.rule, seen.kind)) for one in misfits]
    message = f"does not have the shape of a known {seen.kind}: {misfits[0].message}"
    return [misfits[0]._replace(rule="MB202", message=message).at(path)]


def _shape_hint(rule: str, kind: str) -> str:
    hints = {MISFIT: f"memorybank schema show {kind} says what is expected", OLDER: "memorybank migrate"}
    return hints.get(rule, f"memorybank explain {rule}")


def recorded_rules(where: Place, seen: Seen, bound: frozenset[str]) -> list[str]:
    """The rules that stand in the journal beside a version: its flaw, or that no schema was found to fit it."""
    flaws = sorted({one.rule for one in seen.content} - (SOUND - SHAPE))
    if flaws and SHAPE.issuperset(flaws) and not (where.bound or seen.kind in bound):
        return ["MB202"]
    if flaws or not where.is_json or (seen.kind and seen.sha != EMPTY_OBJECT):
        return flaws
    return ["MB202"]
