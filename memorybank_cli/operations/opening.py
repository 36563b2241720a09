"""Opening a bank: whose it is, and the tables of what takes part in a write."""

from __future__ import annotations

import os

from memorybank_cli.bank import layout
from memorybank_cli.bank.bank import Applier, Bank, Gate
from memorybank_cli.bank.forgetting import BEGIN as FORGET
from memorybank_cli.bank.framing import Line
from memorybank_cli.bank.gates import size_gate
from memorybank_cli.bank.recovery import finish_replacements
from memorybank_cli.base.context import Context
from memorybank_cli.base.errors import NotOurs, from_os_error
from memorybank_cli.base.names import escape
from memorybank_cli.migrations.steps import BEGIN
from memorybank_cli.operations.compacting import Upkeep
from memorybank_cli.operations.finding import find_bank

GATES: tuple[Gate, ...] = (size_gate,)


def appliers() -> list[Applier]:
    """What turns events into files, one per kind of managed section."""
    from memorybank_cli.accounts.applier import AccountApplier

    return [AccountApplier()]


def open_bank(context: Context, must_exist: bool = True, path: str | None = None, writes: int = layout.FORMAT) -> Bank:
    """The bank that is meant, open, recovered and up to date; close it. Raises the errors of FORMAT section 5.

    `writes` is the format that is written; a bank of the format before it can only be read.
    """
    del must_exist  # an operation that makes banks does not come here
    where = path or find_bank(context)
    take_owners_ids(where)
    bank = Bank(where, context, appliers(), GATES, writes=writes)
    try:
        bank.refresh()
        if BEGIN in finish_replacements(bank, {BEGIN: _undo_step, FORGET: _forget}):
            bank.close()
            return open_bank(context, path=where, writes=writes)  # bank.json may say another format again
        original = bank.home.is_copy(bank.root)
        if original:
            context.progress.note(
                f"this bank is a copy of the one at {escape(original)}; memorybank init --new-id makes it its own"
            )
    except BaseException:
        bank.abandon()
        raise
    return bank


def keep_rendered(bank: Bank) -> None:
    """Have files rendered within 50 ms of each commit, by a thread that ends with the bank: for processes that live."""
    from memorybank_cli.bank.renderer import Renderer

    if bank.nudge is None:

        def another() -> Bank:
            return Bank(bank.root.path, bank.context, appliers(), GATES, writes=bank.writes)

        bank.another = another
        renderer = Renderer(another, bank.context.progress)
        upkeep = Upkeep(bank, another)

        def nudge() -> None:
            renderer.nudge()
            upkeep.noticed()

        bank.nudge = nudge
        bank.before_close.callback(renderer.close)
        bank.before_close.callback(upkeep.close)
        if bank.catalog.unrendered():  # somebody was killed: until files are rendered each reading goes to the journal
            nudge()


def _undo_step(bank: Bank, act: str, begun: list[Line]) -> None:
    from memorybank_cli.operations.upgrading import finish

    finish(bank, act, begun)


def _forget(bank: Bank, act: str, begun: list[Line]) -> None:
    from memorybank_cli.operations.erasing import finish

    finish(bank, act, begun[0])


def take_owners_ids(path: str) -> None:
    """Act as the owner of the bank's directory: root takes the owner's ids, anybody else must be the owner."""
    try:
        info = os.stat(path)
    except OSError as error:
        raise from_os_error(error, "cannot open the bank") from error
    if info.st_uid == os.geteuid():
        return
    if os.geteuid() != 0:
        if escape(os.path.realpath(path)) in _trusted_banks():
            return
        raise NotOurs(
            f"the bank at {escape(path)} belongs to uid {info.st_uid}, not to you",
            hint=f"if you trust its owner: MEMORYBANK_TRUSTED_BANKS='{escape(os.path.realpath(path))}'",
            path=path,
        )
    os.setgroups([])
    os.setegid(info.st_gid)
    os.seteuid(info.st_uid)
    # Modules are imported when they are needed, so also under these ids.
    unreadable = next((one for one in (os.__file__, __file__) if not os.access(one, os.R_OK, effective_ids=True)), None)
    if unreadable is not None:
        os.seteuid(0)
        raise NotOurs(
            f"the bank at {escape(path)} belongs to uid {info.st_uid}, who cannot read {unreadable}",
            hint="install Python and memorybank where that user can read them, or run this as that user",
            path=path,
        )


def _trusted_banks() -> tuple[str, ...]:
    from memorybank_cli.bank.home import user_config
    from memorybank_cli.base.settings import Settings, flatten

    return tuple(Settings(user=flatten(user_config(os.geteuid())))["trusted_banks"])
