"""memorybank: a directory of JSON files as a memory that can be trusted.

The names below are the Python interface; each is imported when it is first asked for, so that the program
starts fast.
"""

from __future__ import annotations

TYPE_CHECKING = False  # importing typing for it would cost half as much as starting Python
if TYPE_CHECKING:
    from typing import Any

    from memorybank_cli.bank.bank import Bank
    from memorybank_cli.base.context import Context
    from memorybank_cli.base.errors import MemorybankError
    from memorybank_cli.base.records import Finding, Progress
    from memorybank_cli.operations.opening import open_bank

__version__ = "0.1.0"
__all__ = ("Bank", "Context", "Finding", "MemorybankError", "Progress", "__version__", "open_bank")

_HOMES = {
    "Bank": "bank.bank",
    "Context": "base.context",
    "Finding": "base.records",
    "MemorybankError": "base.errors",
    "Progress": "base.records",
    "open_bank": "operations.opening",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'memorybank_cli' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(f"memorybank_cli.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
