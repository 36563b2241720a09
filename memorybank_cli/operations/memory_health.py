"""The health of the accounts, part by part (spec 002, 7): what each is, what was measured, what is beyond a limit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from memorybank_cli.accounts.conditions import Condition, conditions
from memorybank_cli.accounts.replay import is_message
from memorybank_cli.bank import layout
from memorybank_cli.bank.bank import Bank
from memorybank_cli.base import clock
from memorybank_cli.base.records import Finding, at_least
from memorybank_cli.base.words import counted
from memorybank_cli.health.probing import Reading
from memorybank_cli.health.responses import Responses, responses
from memorybank_cli.operations.accounts import account_ids

FAILING = "failing"
ENOUGH = 20
"""Calls of which a share says something."""
LINES = 1_000
"""Lines of the journal by which a rate is told."""
_DAY = timedelta(days=1)


class Part(NamedTuple):
    """One memory component of one account, as section 7 of spec 002 has it and with what was measured."""

    component: str
    """short_term, mid_term, whole_history or history_context."""
    account: str
    status: str
    """active, failing or initializing."""
    last_check: str
    issues: tuple[str, ...]
    last_update: str | None
    message_count: int | None
    storage_bytes: int


class MemoryHealth(NamedTuple):
    """All accounts together."""

    parts: tuple[Part, ...]
    samples: dict[str, float]
    findings: tuple[Finding, ...]


def memory_health(bank: Bank, found: Iterable[Finding] = ()) -> MemoryHealth:
    """Look at every account, in the light of what was `found` already. Costs a read of the small files of each."""
    accounts = account_ids(bank)
    parts: list[Part] = []
    for account in accounts:
        sizes = storage(bank, account)
        parts += [_part(account, one, sizes.get(one.component, 0)) for one in conditions(bank, account)]
    calls = {kind: one for kind in ("write", "read") if _is_recent(one := responses(bank, kind))}
    samples = {**_totals(bank, accounts, parts), **_response_samples(calls)}
    findings = (
        *_capacity(bank, parts),
        *_performance(bank, calls),
        *_lag(bank),
        *_failing(parts, found),
        *_database(bank),
    )
    return MemoryHealth(tuple(parts), samples, findings)


def _is_recent(calls: Responses) -> bool:
    """Whether the calls say something of now: of a writer that stopped nobody can make the last ones any better."""
    try:
        return calls.last is not None and abs(datetime.now(UTC) - clock.parse(calls.last)) < _DAY
    except ValueError:
        return False  # somebody else wrote that


def _part(account: str, one: Condition, size: int) -> Part:
    return Part(
        one.component,
        account,
        one.status,
        one.health_check,
        one.issues,
        one.last_update,
        one.message_count,
        size,
    )


def storage(bank: Bank, account: str) -> dict[str, int]:
    """Bytes of an account's recorded files by component; the sealed part counts as whole_history."""
    section = layout.account_section(account)
    found: dict[str, int] = {}
    for directory in (section, f"{section}/history"):
        for name, row in bank.catalog.rows(directory).items():
            component = name.removesuffix(".json") if directory == section else "whole_history"
            found[component] = found.get(component, 0) + (row.expected.size if row.expected else 0)
    return found


def messages_per_day(bank: Bank) -> float:
    """How many messages were stored within the last day; at a high rate by the newest lines of the journal."""
    first = max(0, bank.end.seq - LINES)
    stored = filter(is_message, bank.journal.lines(first, (b'"kind":"message"',)))
    times = [one for line in stored if (one := _moment(line.core["ts"])) is not None]
    now = datetime.now(UTC)
    recent = [one for one in times if now - _DAY <= one]
    span = now - recent[0] if recent else _DAY
    return len(recent) * (_DAY / span) if first and len(recent) == len(times) and span else len(recent)


def _moment(text: object) -> datetime | None:
    """None where the line is damaged."""
    try:
        return clock.parse(str(text))
    except ValueError:
        return None


def accounts(bank: Bank, known: Sequence[Finding] = ()) -> Reading:
    """MB503 to MB506 as a probe; its fact are the parts."""
    found = memory_health(bank, known)
    return Reading(found.samples, found.findings, found.parts)


# Samples


def _totals(bank: Bank, accounts: Iterable[str], parts: list[Part]) -> dict[str, float]:
    listed = list(accounts)
    if not listed:
        return {}
    histories = [one for one in parts if one.component == "whole_history"]
    return {
        "accounts": len(listed),
        "messages": sum(one.message_count or 0 for one in histories),
        "account_storage_bytes": sum(one.storage_bytes for one in parts),
        "messages_per_day": round(messages_per_day(bank), 1),
        "failing_components": sum(one.status == FAILING for one in parts),
    }


def _response_samples(calls: Mapping[str, Responses]) -> dict[str, float]:
    found: dict[str, float] = {}
    for kind, one in calls.items():
        for name, share in (("p50", 0.5), ("p95", 0.95)):
            if (seconds := one.percentile(share)) is not None:
                found[f"{kind}_{name}_seconds"] = round(seconds, 6)
        if one.seconds or one.failed:
            found[f"{kind}_error_rate"] = round(one.error_rate, 3)
    return found


# Thresholds


def _capacity(bank: Bank, parts: Iterable[Part]) -> Iterator[Finding]:
    """MB503: accounts that take more of the disk than they should."""
    limit = int(bank.settings["health.account_mib"]) << 20
    sizes: dict[str, int] = {}
    for one in parts:
        sizes[one.account] = sizes.get(one.account, 0) + one.storage_bytes
    for account, size in sizes.items():
        if limit and size > limit:
            message = f"{size / (1 << 20):,.1f} MiB of {limit >> 20:,} MiB"
            yield Finding("MB503", message, layout.account_section(account), f"memorybank account archive {account}")


def _performance(bank: Bank, calls: Mapping[str, Responses]) -> Iterator[Finding]:
    """MB504: calls that take long, or fail often."""
    limit, rate = float(bank.settings["health.response_ms"]) / 1_000, float(bank.settings["health.error_rate"])
    for kind, one in calls.items():
        slow, tries = one.percentile(0.95), len(one.seconds) + one.failed
        if tries < ENOUGH:
            continue
        of = f"of the last {counted(tries, kind)} of messages"
        if limit and slow is not None and slow > limit:
            hint = "a slow or full disk, or many writers: memorybank health shows the samples"
            yield Finding("MB504", f"one in twenty {of} took {slow:.2f} s or longer", "", hint, f"/{kind}/seconds")
        if rate and one.error_rate > rate:
            message = f"{one.error_rate:.0%} {of} failed"
            yield Finding("MB504", message, "", "look at what the writers were told", f"/{kind}/failed")


def _lag(bank: Bank) -> Iterator[Finding]:
    """MB505: accounts whose files are behind the journal for longer than a writer needs."""
    limit = float(bank.settings["health.lag_seconds"])
    for account in bank.catalog.unrendered():
        since = bank.catalog.unrendered_since(account)
        line = next(bank.journal.lines(since - 1), None) if since else None
        if line is None:
            continue
        age = (datetime.now(UTC) - clock.parse(str(line.core["ts"]))).total_seconds()
        if limit and age > limit:
            message = f"its files are {counted(round(age), 'second')} behind the journal, from line {line.seq:,} on"
            hint = f"memorybank message list --account {account} --last 1 brings them up to date, or says why not"
            yield Finding("MB505", message, layout.account_section(account), hint)


def _failing(parts: Iterable[Part], found: Iterable[Finding]) -> Iterator[Finding]:
    """MB506: parts of an account that fail where no other error says why."""
    told = {layout.account_of(one.path.partition("/")[0]) for one in found if at_least([one], "error")}
    by_account: dict[str, list[Part]] = {}
    for one in parts:
        if one.status == FAILING and one.account not in told:
            by_account.setdefault(one.account, []).append(one)
    for account, failing in by_account.items():
        issues = list(dict.fromkeys(issue for one in failing for issue in one.issues))
        names = ", ".join(one.component for one in failing)
        message = f"{names} of this account {'is' if len(failing) == 1 else 'are'} failing: {'; '.join(issues)}"
        section = layout.account_section(account)
        yield Finding("MB506", message, section, f"memorybank repair {section}, or memorybank account show {account}")


def _database(bank: Bank) -> Iterator[Finding]:
    """MB506: a database that cannot be written. Work goes on with the files, which is slower."""
    if bank.catalog.in_memory:
        message = "the catalog is kept in memory only, so every command reads the whole journal and looks at every file"
        hint = "let .memorybank be written here; it is made again by the next command that can"
        yield Finding("MB506", message, layout.PRIVATE, hint, level="warning")


def as_dicts(parts: Iterable[Part]) -> list[dict[str, Any]]:
    """The parts as JSON has them."""
    return [{**one._asdict(), "issues": list(one.issues)} for one in parts]
