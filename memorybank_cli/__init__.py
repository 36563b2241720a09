"""memorybank: a directory of JSON files as a memory that can be trusted.

The names below are the Python interface; each is imported when it is first asked for, so that the program
starts fast.
"""

from __future__ import annotations

TYPE_CHECKING = False  # importing typing for it would cost half as much as starting Python
if TYPE_CHECKING:
    from typing import Any

    from memorybank_cli.base.errors import (
        AccountDamaged,
        AccountNotFound,
        BankNotFound,
        Locked,
        MemorybankError,
        OperationFailed,
        UsageError,
    )
    from memorybank_cli.base.records import Finding
    from memorybank_cli.operations.contexts import HistoryContext, RefreshReport
    from memorybank_cli.operations.messages import AddedMessages
    from memorybank_cli.operations.python_api import Account, Bank, open_bank
    from memorybank_cli.operations.python_messages import StoredMessage

__version__ = "0.1.0"
__all__ = (
    "Account",
    "AccountDamaged",
    "AccountNotFound",
    "AddedMessages",
    "Bank",
    "BankNotFound",
    "Finding",
    "HistoryContext",
    "Locked",
    "MemorybankError",
    "OperationFailed",
    "RefreshReport",
    "StoredMessage",
    "UsageError",
    "__version__",
    "open_bank",
)

_HOMES = {
    "Account": "operations.python_api",
    "AccountDamaged": "base.errors",
    "AccountNotFound": "base.errors",
    "AddedMessages": "operations.messages",
    "Bank": "operations.python_api",
    "BankNotFound": "base.errors",
    "Finding": "base.records",
    "HistoryContext": "operations.contexts",
    "Locked": "base.errors",
    "MemorybankError": "base.errors",
    "OperationFailed": "base.errors",
    "RefreshReport": "operations.contexts",
    "StoredMessage": "operations.python_messages",
    "UsageError": "base.errors",
    "open_bank": "operations.python_api",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'memorybank_cli' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(f"memorybank_cli.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
