"""Which view shows which report, and which line shows which stream: names only, so nothing is imported for others."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from memorybank_cli.cli.blocks import Block

View = Callable[[dict[str, Any]], list[Block]]
Line = Callable[[dict[str, Any]], str]

_AT = "memorybank_cli.cli.views."
# By the type name of the report.
VIEWS: dict[str, str] = {
    "Account": f"{_AT}accounts:one",
    "AddedMessages": f"{_AT}accounts:added",
    "AccountCheck": f"{_AT}accounts:checked",
    "Accounts": f"{_AT}accounts:listing",
    "ArchiveReport": f"{_AT}generic:summary_only",
    "CreatedAccount": f"{_AT}generic:summary_only",
    "ExportedAccount": f"{_AT}generic:summary_only",
    "RenamedAccount": f"{_AT}generic:summary_only",
    "AckReport": f"{_AT}alerts:acknowledged",
    "AlertDetail": f"{_AT}alerts:shown",
    "AlertList": f"{_AT}alerts:listing",
    "RouteReport": f"{_AT}alerts:routed",
    "SilenceReport": f"{_AT}alerts:silences",
    "AcceptReport": f"{_AT}checks:accept",
    "BackupReport": f"{_AT}snapshots:made",
    "DrillReport": f"{_AT}proofs:drilled",
    "Explanations": f"{_AT}rules:explanations",
    "HistoryContext": f"{_AT}contexts:shown",
    "ChannelTests": f"{_AT}channels:tested",
    "CompactReport": f"{_AT}forgotten:compacted",
    "ConfigCheck": f"{_AT}checks:findings",
    "Exported": f"{_AT}checks:findings",
    "FindReport": f"{_AT}snapshots:found",
    "ForgetAccountReport": f"{_AT}forgotten:forgotten",
    "ForgetMessagesReport": f"{_AT}forgotten:forgotten",
    "ForgetReport": f"{_AT}retention:forgotten",
    "HistoryReport": f"{_AT}health:history",
    "HealthReport": f"{_AT}health:health",
    "InferReport": f"{_AT}schemas:inferred",
    "InitReport": f"{_AT}checks:init",
    "KeyAdded": f"{_AT}generic:summary_only",
    "KeyList": f"{_AT}keys:listing",
    "KeyRemoved": f"{_AT}generic:summary_only",
    "MaintainReport": f"{_AT}maintain:maintained",
    "ManifestCheck": f"{_AT}checks:findings",
    "MigrateReport": f"{_AT}migrations:migrate",
    "PinReport": f"{_AT}retention:pinned",
    "Proof": f"{_AT}checks:findings",
    "RefreshReport": f"{_AT}checks:findings",
    "PruneReport": f"{_AT}retention:pruned",
    "RepairReport": f"{_AT}checks:repair",
    "Restored": f"{_AT}snapshots:restored",
    "RollbackReport": f"{_AT}rollback:rolled_back",
    "ScheduleReport": f"{_AT}maintain:scheduled",
    "SchemaCheck": f"{_AT}schemas:checked",
    "SchemaList": f"{_AT}schemas:listing",
    "SnapshotDiff": f"{_AT}differences:diff",
    "SnapshotFiles": f"{_AT}snapshots:one",
    "SnapshotList": f"{_AT}snapshots:listing",
    "StatusReport": f"{_AT}health:status",
    "UndeleteReport": f"{_AT}retention:undeleted",
    "ValidateReport": f"{_AT}checks:findings",
    "Verified": f"{_AT}proofs:verified",
    "Written": f"{_AT}generic:summary_only",
}
# By the name of the command.
LINES: dict[str, str] = {
    "log": f"{_AT}streams:event",
    "watch": f"{_AT}streams:watched",
    "message list": f"{_AT}streams:message",
}
GENERIC_VIEW = f"{_AT}generic:report"
GENERIC_LINE = f"{_AT}streams:change"


def view(report_type: str) -> View:
    """The view of a report; the generic one where none is registered."""
    found: View = _load(VIEWS.get(report_type, GENERIC_VIEW))
    return found


def line(command: str) -> Line:
    """How one line of a command's stream looks; the generic one where none is registered."""
    found: Line = _load(LINES.get(command, GENERIC_LINE))
    return found


def _load(target: str) -> Any:
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)
