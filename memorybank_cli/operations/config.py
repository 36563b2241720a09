"""Settings: what holds, where it comes from, how to change it, and which config the bank may loosen itself with."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from memorybank_cli.bank import baseline, layout
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.home import directories, user_config
from memorybank_cli.bank.journal import Entry
from memorybank_cli.bank.layout import CONFIG_LIMIT
from memorybank_cli.bank.rows import FileRow
from memorybank_cli.bank.versions import pack
from memorybank_cli.base import digests, files
from memorybank_cli.base.context import Context
from memorybank_cli.base.errors import BankNotFound, NotFound, Refused, UsageError
from memorybank_cli.base.exact_json import FlawedJSON, dumps, loads
from memorybank_cli.base.records import Finding, at_least
from memorybank_cli.base.settings import BY_NAME, SETTINGS, Settings, convert, flatten, known
from memorybank_cli.base.words import counted
from memorybank_cli.operations.options import Option
from memorybank_cli.operations.paths import bank_paths
from memorybank_cli.operations.probes import look

USER_FILE = "config.json"
_PLACES = ("repository", "password_file", "key_file")
"""Settings that are kept as absolute paths: commands are run in other directories too."""


@dataclass(frozen=True)
class SettingValue:
    """One setting that holds."""

    name: str
    value: Any
    origin: str
    help: str


@dataclass(frozen=True)
class SettingsReport:
    """The settings that hold; `origins` says whether people see where each came from."""

    settings: tuple[SettingValue, ...]
    origins: bool = True

    def as_dict(self) -> dict[str, Any]:
        """By name: value, origin and help."""
        return {
            "settings": {
                one.name: {"value": one.value, "origin": one.origin, "help": one.help} for one in self.settings
            }
        }

    def text(self) -> str:
        """A line each: name, value and, if asked for, origin."""
        lines = [
            f"{one.name} = {_shown(one.value)}" + (f"  ({one.origin})" if self.origins else "") for one in self.settings
        ]
        return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class ChangedSetting:
    """What `config set` did."""

    name: str
    value: Any
    file: str


@dataclass(frozen=True)
class ConfigCheck:
    """What is wrong with the config files."""

    findings: tuple[Finding, ...]

    def as_dict(self) -> dict[str, Any]:
        """`ok` and the findings."""
        return {"ok": not at_least(self.findings, "warning"), "findings": [one.as_dict() for one in self.findings]}

    def exit_code(self) -> int:
        """1 for errors; inert settings are warnings."""
        return 1 if at_least(self.findings, "error") else 0

    def summary(self) -> str:
        """How many."""
        return f"{counted(len(self.findings), 'finding')} in the config" if self.findings else "The config is good."


@dataclass(frozen=True)
class Trusted:
    """The config files that may loosen policy as they are now."""

    trusted: tuple[str, ...]
    settings: tuple[str, ...]

    def summary(self) -> str:
        """What holds now."""
        return f"Trusted as they are now: {', '.join(self.trusted)}. A changed file has to be trusted again."


def _shown(value: Any) -> str:
    """A value as JSON in one line, what a terminal would obey written as an escape."""
    text = dumps(value).decode()
    return text if text.isprintable() else "".join(one if one.isprintable() else _escaped(one) for one in text)


def _escaped(char: str) -> str:
    return json.dumps(char)[1:-1] if ord(char) != 0x7F else "\\u007f"


def _settings(bank: Bank | None, context: Context) -> Settings:
    return bank.settings if bank is not None else Settings(context.options, user=flatten(user_config(os.geteuid())))


def show(
    bank: Bank | None, context: Context, *, origin: Annotated[bool, "say where each value comes from"] = False
) -> SettingsReport:
    """Show the settings that hold.

    Order: option, MEMORYBANK_* variable, the bank's config, the user's file, default.

    Exit codes:
        0  done

    Examples:
        memorybank config show --origin
    """
    settings = _settings(bank, context)
    found = [(setting, settings.look_up(setting.name)) for setting in SETTINGS]
    return SettingsReport(
        tuple(SettingValue(one.name, value.value, value.origin, one.help) for one, value in found), origin
    )


def get(bank: Bank | None, context: Context, name: Annotated[str, "the setting's name"]) -> SettingsReport:
    """Show one setting.

    Exit codes:
        0  done
        2  there is no such setting

    Examples:
        memorybank config get lock_timeout
    """
    value = _settings(bank, context).look_up(name)
    return SettingsReport((SettingValue(name, value.value, value.origin, known(name).help),))


def set_(
    bank: Bank | None,
    context: Context,
    name: Annotated[str, "the setting's name"],
    value: Annotated[str, Option("its value; a list with commas", empty=True)],
    *,
    scope: Annotated[Literal["auto", "bank", "user"], "whose file: the bank's, or yours"] = "auto",
) -> ChangedSetting:
    """Change one setting.

    Settings that run a program, or name a repository or a key, go into your own file; others into the bank's.

    Exit codes:
        0   done
        2   there is no such setting, or the value does not fit
        13  the setting is not taken from the bank's config

    Examples:
        memorybank config set limits.trades_mib 4
        memorybank config set repository /mnt/backup/bank
    """
    del context
    setting = known(name)
    wanted = convert(setting, value)
    if name in _PLACES and value not in ("", "-") and "://" not in value:
        wanted = os.path.abspath(os.path.expanduser(value))
    where = scope if scope != "auto" else "user" if setting.scope == "user" or bank is None else "bank"
    if where == "user":
        return ChangedSetting(name, wanted, _set_user(bank, name, wanted))
    if setting.scope == "user":
        raise Refused(
            f"'{name}' is never taken from a bank's config", hint=f"memorybank config set {name} VALUE --scope user"
        )
    if bank is None:
        raise BankNotFound("there is no bank here or above")
    return ChangedSetting(name, wanted, _set_bank(bank, name, wanted))


def _set_user(bank: Bank | None, name: str, value: Any) -> str:
    owner = bank.owner if bank is not None else os.geteuid()
    root = files.make_root(directories(owner)["config"])
    try:
        files.replace(root, USER_FILE, _document({**flatten(user_config(owner)), name: value}))
        return root.absolute(USER_FILE)
    finally:
        root.close()


def _set_bank(bank: Bank, name: str, value: Any) -> str:
    """Write the bank's config as a managed file: journaled, and trusted, because it is you who sets it."""
    baseline.begin(bank)
    found = bank.root.read_if_there(layout.CONFIG, CONFIG_LIMIT)
    try:
        current = loads(found) if found else {}
    except FlawedJSON as error:
        raise Refused(f"{layout.CONFIG} is damaged: {error}", hint=f"memorybank repair {layout.CONFIG}") from None
    was_trusted = found is None or bank.home.trusted().get(layout.CONFIG) == digests.of(found)
    inert = [one for one in bank.settings.inert() if one != name]
    data = _document({**flatten(current), name: value})
    with bank.locked():
        before = bank.catalog.row(layout.CONFIG).expected
        row = FileRow(
            layout.CONFIG,
            digests.of(data),
            len(data),
            files.FILE_MODE,
            [],
            "memorybank",
            before.sha if before else None,
        )
        bank.commit([Entry("file.accepted", {"files": [list(row)], "reason": f"config set {name}"}, pack([data]))])
        files.make_dirs(bank.root, "config")
        files.replace(bank.root, layout.CONFIG, data)
    if was_trusted or not inert:
        bank.home.trust({layout.CONFIG: digests.of(data)})
    return layout.CONFIG


def _document(flat: dict[str, Any]) -> bytes:
    nested: dict[str, Any] = {}
    for name, value in sorted(flat.items()):
        *heads, last = name.split(".")
        place = nested
        for head in heads:
            place = place.setdefault(head, {})
        place[last] = list(value) if isinstance(value, tuple) else value
    return dumps(nested, indent=True) + b"\n"


def check(bank: Bank | None, context: Context) -> ConfigCheck:
    """Check the settings.

    Exit codes:
        0  good, or only settings without effect
        1  a config file is damaged or does not match its schema

    Examples:
        memorybank config check
    """
    findings: list[Finding] = []
    settings = _settings(bank, context)
    for setting in SETTINGS:
        try:
            settings.look_up(setting.name)
        except UsageError as error:
            findings.append(Finding("MB201", error.message, layout.CONFIG, pointer=f"/{setting.name}", level="error"))
    if bank is not None:
        _, found = look(bank)
        findings += [one for one in found if one.path.startswith("config/")]
        from memorybank_cli.operations import alert_rules

        findings += alert_rules.check(bank)
    return ConfigCheck(tuple(findings))


def trust(bank: Bank, *, path: Annotated[tuple[str, ...], Option("only this file", metavar="P")] = ()) -> Trusted:
    """Let the bank's own config decide what it may.

    Its present content is recorded in your state directory: what loosens policy (limits, open patterns,
    excludes) holds until the file changes. A hand edit becomes the expected content.

    Exit codes:
        0   trusted
        10  the bank has no config

    Examples:
        memorybank config trust
    """
    chosen = bank_paths(bank, path) or [
        f"config/{entry.name}" for entry in bank.root.listing("config") if entry.name.endswith(".json")
    ]
    if not chosen:
        raise NotFound("the bank has no config to trust", hint="memorybank config set NAME VALUE writes one")
    from memorybank_cli.operations.accept import accept

    strange = next((one for one in chosen if not f"{one}/".startswith("config/")), None)
    if strange is not None:
        raise UsageError(f"{strange} is no config file", path=strange)
    accept(bank, *(bank.root.absolute(one) for one in chosen), reason="config trust")
    # The digests that were recorded, not what stands there by now: another writer may be at it.
    found = {path: expected.sha for one in chosen for path, expected in bank.catalog.all_expected(one)}
    bank.home.trust(found)
    loosened = [one for one in bank.settings.inert() if one in BY_NAME and BY_NAME[one].scope == "loosens"]
    return Trusted(tuple(found), tuple(loosened))
