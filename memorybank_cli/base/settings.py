"""Every setting, in one table: name, type, default, meaning, and who may set it.

Order: option > environment > the bank's config > the user's file > default. Agents write the bank, so a
setting marked `user` is not taken from there, and one marked `loosens` only from a file that was trusted.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from math import isfinite
from typing import Any, Literal, NamedTuple

from memorybank_cli.base.errors import UsageError

Origin = Literal["option", "environment", "bank", "user", "default"]
Scope = Literal["bank", "loosens", "user"]


class Setting(NamedTuple):
    """One row: `scope` is `bank` (any file), `loosens` (a trusted bank config) or `user` (never the bank)."""

    name: str
    default: Any
    scope: Scope
    help: str

    @property
    def variable(self) -> str:
        """Its environment variable."""
        return "MEMORYBANK_" + self.name.upper().replace(".", "_")

    @property
    def kind(self) -> str:
        """What its value is, in words."""
        return {tuple: "a list of words", str: "a text", int: "a whole number", float: "a number"}[type(self.default)]


SETTINGS: tuple[Setting, ...] = (
    Setting("actor", "", "user", "who is written into the journal as the author; default: the OS user"),
    Setting("repository", "", "user", "where snapshots go; default: the owner's data directory"),
    Setting("password_file", "", "user", "a file with the passphrase of encrypted snapshots; - reads stdin"),
    Setting("key_file", "", "user", "a file with a raw key of encrypted snapshots"),
    Setting("password_command", "", "user", "a program that prints the passphrase of encrypted snapshots; no shell"),
    Setting("trusted_banks", (), "user", "banks of other users that may be opened, by path"),
    Setting("lock_timeout", 30.0, "bank", "seconds to wait for another process"),
    Setting("settle_ms", 150, "bank", "milliseconds without change before a file changed in place is judged"),
    Setting("reconcile_seconds", 60.0, "bank", "seconds between two full looks of watch; 2.5 times for large banks"),
    Setting("documents_seconds", 3_600.0, "bank", "seconds after which watch updates README.md and docs/"),
    Setting("watch.heal", "accounts", "user", "what watch cures by itself if nothing is lost: accounts, all, nothing"),
    Setting("watch.lag_seconds", 10.0, "bank", "seconds for a batch of changes before watch says it lags; 0: never"),
    Setting("watch.mass_files", 100, "loosens", "recorded files that must change for a mass change; 0: any number"),
    Setting("watch.mass_share", 0.2, "loosens", "share of all recorded files that it must be, too"),
    Setting("watch.mass_seconds", 60.0, "loosens", "seconds within which that is at once"),
    Setting("snapshot_max_age_hours", 26.0, "bank", "hours after which health asks for a new snapshot"),
    Setting("undo_budget_mib", 256, "loosens", "MiB of recorded versions that the journal keeps"),
    Setting("accounts.short_term", 50, "bank", "messages that short_term holds, of accounts that are made from now on"),
    Setting("accounts.mid_term", 200, "bank", "messages before those that mid_term holds, of such accounts"),
    Setting("open_patterns", (), "loosens", "patterns of files in trades/ that agents may rewrite"),
    Setting("exclude", (), "loosens", "patterns of files that are neither checked nor backed up"),
    Setting("retention.keep_within", "7d", "loosens", "snapshot forget keeps all that are not older: 48h, 7d, 4w"),
    Setting("retention.keep_last", 0, "loosens", "the newest snapshots, this many"),
    Setting("retention.keep_hourly", 0, "loosens", "hours of which the newest snapshot is kept"),
    Setting("retention.keep_daily", 0, "loosens", "days of which the newest snapshot is kept"),
    Setting("retention.keep_weekly", 4, "loosens", "weeks of which the newest snapshot is kept"),
    Setting("retention.keep_monthly", 12, "loosens", "months of which the newest snapshot is kept"),
    Setting("retention.keep_yearly", 0, "loosens", "years of which the newest snapshot is kept"),
    Setting("retention.keep_tags", (), "loosens", "tags of snapshots that are kept for good"),
    Setting("health.account_mib", 1_024, "bank", "MiB that one account may take before health says so; 0: any number"),
    Setting("health.response_ms", 1_000, "bank", "milliseconds that 95 % of reads and writes may take; 0: any number"),
    Setting("health.error_rate", 0.05, "bank", "share of reads and writes of messages that may fail; 0: any"),
    Setting("health.lag_seconds", 60.0, "bank", "seconds that files of accounts may be behind the journal; 0: any"),
    Setting("health.disk_percent", 5.0, "bank", "percent of the disk and of its inodes that must be free; 0: any"),
    Setting("health.memory_percent", 5.0, "bank", "percent of the memory that must be available; 0: any"),
    Setting("health.write_ms", 500, "bank", "milliseconds that a durable write of 4 KiB may take; 0: any number"),
    Setting(
        "health.metrics_seconds", 60.0, "bank", "seconds after which metrics/ of a running agent is late; 0: never"
    ),
    Setting("health.state_seconds", 300.0, "bank", "seconds after which state/ of a running agent is late; 0: never"),
    Setting("health.drill_max_age_hours", 240.0, "bank", "hours after which health asks for a new drill; 0: never"),
    Setting(
        "health.offsite_max_age_hours", 0.0, "bank", "the same for a snapshot on another disk; 0: none is asked for"
    ),
    Setting(
        "health.require_encryption", 0, "bank", "1: snapshots that are not encrypted are a warning; 0: they are not"
    ),
    Setting("health.historical_minutes", 60.0, "bank", "minutes between two files in metrics/historical/; 0: none"),
    Setting(
        "context.messages", 50, "bank", "new messages after which an account's context is refreshed; 0: never by itself"
    ),
    Setting("context.hours", 24.0, "bank", "hours after which new messages refresh the context; 0: never by itself"),
    Setting("maintain.step_minutes", 60.0, "loosens", "minutes that a step of maintain may take; 0: any number"),
    Setting("maintain.archive_days", 90, "loosens", "days after which messages are archived each month; 0: never"),
    Setting("maintain.quarantine_days", 30, "loosens", "days that replaced and refused bytes stay in quarantine"),
    Setting("maintain.findings_days", 90, "loosens", "days that what is over stays in the database of findings"),
    Setting("maintain.crash_days", 30, "user", "days that reports of internal errors are kept"),
    Setting("maintain.reports", 24, "user", "monthly reports that are kept"),
    Setting("limits.trades_mib", 1, "loosens", "MiB that a file in trades/ may have"),
    Setting("limits.metrics_mib", 10, "loosens", "MiB that a file in metrics/ may have"),
    Setting("limits.state_mib", 5, "loosens", "MiB that a file in state/ may have"),
)
BY_NAME: dict[str, Setting] = {setting.name: setting for setting in SETTINGS}


class Value(NamedTuple):
    """A setting's value and where it came from."""

    value: Any
    origin: Origin


class Settings:
    """The settings that hold for one run."""

    def __init__(
        self,
        options: Mapping[str, Any] | None = None,
        bank: Mapping[str, Any] | None = None,
        user: Mapping[str, Any] | None = None,
        trusted: bool = False,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._options, self._bank, self._user = options or {}, bank or {}, user or {}
        self._trusted, self._environ = trusted, environ

    def __getitem__(self, name: str) -> Any:
        return self.look_up(name).value

    def look_up(self, name: str) -> Value:
        """A setting with its origin. Raises UsageError for an unknown name or a value of the wrong type."""
        setting = known(name)
        if self._options.get(name) is not None:
            return Value(self._options[name], "option")
        if setting.variable in self._environ:
            return Value(convert(setting, self._environ[setting.variable]), "environment")
        if name in self._bank and self.effective(setting):
            try:
                return Value(convert(setting, self._bank[name]), "bank")
            except UsageError:
                pass  # an agent wrote that: it must not stop its owner's commands, and the file's schema reports it
        if name in self._user:
            return Value(convert(setting, self._user[name]), "user")
        return Value(setting.default, "default")

    def effective(self, setting: Setting) -> bool:
        """Whether the bank's own config may decide this setting."""
        return setting.scope == "bank" or (setting.scope == "loosens" and self._trusted)

    def inert(self) -> list[str]:
        """Names in the bank's config that have no effect: not theirs to set, not trusted, or unknown."""
        return [name for name in self._bank if name not in BY_NAME or not self.effective(BY_NAME[name])]


def known(name: str) -> Setting:
    """The row of a setting. Raises UsageError with the nearest names."""
    if name in BY_NAME:
        return BY_NAME[name]
    from memorybank_cli.base.suggestions import did_you_mean

    hint = did_you_mean(name, BY_NAME, "memorybank config show lists them")
    raise UsageError(f"there is no setting '{name}'", hint=hint)


def convert(setting: Setting, value: Any) -> Any:
    """A value of the setting's type, from a string or from JSON. Raises UsageError."""
    wanted = setting.default
    try:
        if isinstance(wanted, tuple):
            items = value.split(",") if isinstance(value, str) else value
            if not isinstance(items, list | tuple) or not all(isinstance(item, str) for item in items):
                raise ValueError
            return tuple(item for item in items if item)
        if isinstance(wanted, str):
            if not isinstance(value, str):
                raise TypeError
            return value
        number = type(wanted)(value)
        rounded = isinstance(value, float) and number != value
        if number < 0 or isinstance(value, bool) or rounded or not isfinite(number):
            raise ValueError
        return number
    except (TypeError, ValueError, OverflowError):
        raise UsageError(f"'{setting.name}' must be {setting.kind}, not {value!r}") from None


def flatten(document: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested config document as dotted names: `{"limits": {"trades_mib": 2}}` → `limits.trades_mib`."""
    flat: dict[str, Any] = {}
    for key, value in document.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat
