"""Health: every probe's findings as one number and one word, for people and for other programs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from memorybank_cli.bank.bank import Bank
from memorybank_cli.base.errors import UsageError
from memorybank_cli.base.names import escape
from memorybank_cli.base.records import Finding
from memorybank_cli.base.words import counted
from memorybank_cli.health import exposition
from memorybank_cli.health.probing import Result
from memorybank_cli.health.score import UNKNOWN, Score, Word, score, word
from memorybank_cli.health.status import components
from memorybank_cli.operations.examining import examine, write_status
from memorybank_cli.operations.health_history import HistoryReport, history_report
from memorybank_cli.operations.memory_health import FAILING, Part, as_dicts
from memorybank_cli.operations.named_files import put
from memorybank_cli.operations.options import Option
from memorybank_cli.operations.sampling import sample_once
from memorybank_cli.operations.schedule_state import sampled

TONES: dict[Word, str] = {"healthy": "good", "degraded": "warning", "unknown": "warning", "error": "bad"}
READABLE = 0o644
"""The mode of a textfile: another user's exporter reads it, and it says nothing of what agents wrote."""
READABLE_DIRECTORY = 0o755
"""The mode of its directory, where that is made."""


@dataclass(frozen=True)
class HealthReport:
    """The health of a bank."""

    score: Score
    components: tuple[dict[str, Any], ...]
    samples: dict[str, float]
    findings: tuple[Finding, ...]
    style: str
    explain: bool
    memory: tuple[Part, ...] = ()
    """Each memory component of each account (spec 002, 7)."""
    results: tuple[Result, ...] = ()
    """Each probe that ran."""
    path: str = ""
    checked_at: str = ""
    recorded: str | None = None
    """The file in metrics/historical/ that was made with --record, None where none was due."""
    scheduled: bool = False
    """The clock has it look every few minutes."""

    def as_dict(self) -> dict[str, Any]:
        """The contract's fields; `deductions` say what made the score, `memory` how each part of each account is.

        `probes` are all that ran: name, group, component, cadence in seconds, seconds it took, findings, whether what
        it tells is `unknown`.
        """
        return {
            "score": self.score.value,
            "status": self.score.word,
            "checked_at": self.checked_at,
            "components": list(self.components),
            "samples": self.samples,
            "findings": [one.as_dict() for one in self.findings],
            "deductions": [one._asdict() for one in self.score.deductions],
            "explain": self.explain,
            "memory": as_dicts(self.memory),
            "probes": [_as_dict(one) for one in self.results],
            "recorded": self.recorded,
        }

    @property
    def tone(self) -> str:
        """How the closing line is meant."""
        return TONES[self.score.word]

    def exit_code(self) -> int:
        """1 for errors and what is unknown; Nagios' own codes with `--format nagios`."""
        if self.style == "nagios":
            return exposition.NAGIOS[self.score.word][0]
        return int(self.score.word in ("error", "unknown"))

    def text(self) -> str | None:
        """The forms for other programs."""
        if self.style == "prometheus":
            return exposition.prometheus(self.facts())
        return exposition.nagios(self.facts()) if self.style == "nagios" else None

    def facts(self) -> exposition.Facts:
        """What other programs are told."""
        parts = [(one.account, one.component, one.status != FAILING) for one in self.memory]
        return exposition.Facts(
            self.path, self.score, self.findings, self.samples, self.components, parts, self.checked_at
        )

    def warnings(self) -> list[str]:
        """What `--quiet` says: nothing while nobody has to do anything, and nothing to the clock.

        cron would send it as a mail every five minutes; alerts and `maintain daily` tell it once.
        """
        return [self.summary()] if self.exit_code() and not self.scheduled else []

    def summary(self) -> str:
        """The number, the word, and why."""
        head = f"{self.score.value} of 100, {self.score.word}"
        if not self.score.deductions:
            return head
        if self.explain:
            return "\n".join([head, *map(_term, self.score.deductions)])
        rules = [one.rule for one in self.score.deductions]
        return f"{head}: {', '.join(rules)}. Next: memorybank explain {rules[0]}"


def _term(one: Any) -> str:
    """One term of the score: what was taken, by which rule, and why so much."""
    why = f"the worst rule: not more than {one.ceiling}" if one.ceiling is not None else "of what is left"
    return f"  -{one.points:g} {one.rule} ({one.severity}, {counted(one.findings, 'finding')}; {why})"


def _as_dict(one: Result) -> dict[str, Any]:
    probe = one.probe
    return {
        "probe": probe.name,
        "group": probe.group,
        "component": probe.component,
        "cadence_seconds": probe.cadence,
        "seconds": round(one.seconds, 4),
        "findings": len(one.reading.findings),
        "status": word(one.reading.findings),
        "unknown": any(finding.rule == UNKNOWN for finding in one.reading.findings),
    }


def health(
    bank: Bank,
    *,
    format_: Annotated[Literal["text", "json", "prometheus", "nagios"], "how to print"] = "text",
    explain: Annotated[bool, "say what took how much from the score, and what each probe came to"] = False,
    history: Annotated[
        str | None, Option("show the samples of this span instead: 1h, 24h, 90d", metavar="SPAN")
    ] = None,
    sample: Annotated[tuple[str, ...], Option("of these samples only, as a chart each", metavar="NAME")] = (),
    textfile: Annotated[
        str | None, Option("also write Prometheus' text there, replaced in one step", metavar="FILE")
    ] = None,
    record: Annotated[bool, "also put a snapshot of the metrics into metrics/historical/ when one is due"] = False,
    scheduled: Annotated[bool, "it is started by the clock: that the next look does not come will be noticed"] = False,
) -> HealthReport | HistoryReport:
    """Show the health of the bank as one number and one word.

    With each part of the bank and of every account, how much it holds, how fast messages are read and written
    of late, the machine under it, what protects it, and which thresholds (the settings health.*) are passed.
    What could not be looked at is unknown, never fine. The numbers are kept as samples: each 5 s for an hour,
    each 5 minutes for 90 days; findings become alerts.

    Exit codes:
        0  healthy or degraded
        1  error or unknown; with --format nagios its own 0 to 3

    Examples:
        memorybank health --explain
        memorybank health --history 24h --sample score
        memorybank health --format nagios
        memorybank health --quiet --textfile /var/lib/node_exporter/memory.prom
    """
    if history is not None:
        if format_ not in ("text", "json") or explain or textfile is not None or record or scheduled:
            hint = "only --sample and --json go with it"
            raise UsageError("--history shows what was, without a look at what is", hint=hint)
        return history_report(bank, history, sample)
    if sample:
        raise UsageError("--sample says of what --history is shown", hint="--history 24h --sample score")
    found = examine(bank)
    write_status(bank, found)
    report = HealthReport(
        score(found.findings),
        tuple(components(found.findings, found.checked_at)),
        found.samples,
        tuple(found.findings),
        format_,
        explain,
        found.parts,
        tuple(found.results),
        escape(bank.root.path),
        found.checked_at,
        sample_once(bank, found, record=record),
        scheduled,
    )
    if textfile is not None:
        put(textfile, exposition.prometheus(report.facts()).encode(), READABLE, READABLE_DIRECTORY, durable=False)
    if scheduled:
        sampled(bank)
    return report
