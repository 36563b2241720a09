"""All scenarios."""

from __future__ import annotations

from collections.abc import Callable

from tests.faults.simulated import accounts, agents, forgetting, importing, messages, repositories, restores, retention
from tests.faults.simulated.exploring import Scenario

SCENARIOS: dict[str, Callable[[], Scenario]] = {
    one.name: one
    for one in (
        messages.Messages,
        messages.Sealing,
        messages.RollOver,
        messages.Room,
        messages.Checkpoints,
        messages.Foreign,
        messages.Refused,
        messages.RefusedUnshared,
        messages.Unlocked,
        messages.Unshared,
        agents.Init,
        agents.NewBank,
        agents.Adoption,
        agents.Repair,
        agents.Recovery,
        importing.Migrate,
        importing.MigrateUnhindered,
        importing.MigrateRefused,
        importing.RecoveredImport,
        importing.InitFrom,
        repositories.Backup,
        repositories.NextBackup,
        repositories.KilledBackup,
        restores.Export,
        restores.Restore,
        retention.Retention,
        retention.Unpin,
        forgetting.ForgetMessage,
        forgetting.ForgetAccount,
        forgetting.Compaction,
        accounts.Archive,
        accounts.Rename,
        accounts.Summaries,
        restores.Rollback,
        restores.AccountRollback,
    )
}
