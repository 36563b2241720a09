"""A conversation whose topics are known, and banks that hold it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from memorybank_cli.accounts.contexts import State
from memorybank_cli.accounts.messages import Message
from memorybank_cli.accounts.sources import read_history
from memorybank_cli.operations.messages import store
from tests.operations.banks import opened

GAS = """Gas on Base went up to 35.5 gwei this morning, so the swaps on aerodrome lose money.
Then the profit threshold for aerodrome swaps has to rise with the gas price.
We decided to set the gas limit to 40 gwei and to skip aerodrome swaps above it.
Noted: swaps above 40 gwei of gas are skipped on aerodrome from now on.
Does the gas limit hold for baseswap too, or for aerodrome swaps only?
Only aerodrome swaps need the gas limit; baseswap refunds its gas.
Then log every swap that was skipped because of the gas limit.
I will write each skipped swap with its gas price into the metrics file.""".splitlines()
GARDEN = """The tomatoes in the garden have yellow leaves since the heavy rain on Sunday.
Yellow leaves on tomatoes mean too much water; let the soil of the garden dry.
Should I cut the yellow leaves off the tomatoes before the soil is dry?
Cut only the lowest leaves, and water the tomatoes in the evening.
Marta Keller says her tomatoes in Bern got better with compost in the soil.
Compost helps the soil hold water, so the tomatoes need less of it.
Remind me to buy compost for the tomatoes by next Friday.
I'll remind you on Friday morning: compost for the garden soil.""".splitlines()
TRAVEL = """The night train to Vienna leaves Zurich at 21:40 and has sleeping cars.
A sleeping car on the night train to Vienna costs 129 francs each way.
Is there a museum in Vienna that opens early, when the night train arrives?
The Albertina opens at ten; the train arrives in Vienna at eight.
Let's take the night train on Thursday and come back from Vienna on Monday.
Booked in mind: the night train to Vienna on Thursday, back on Monday.
How far is the hotel from the station in Vienna where the train arrives?
The hotel is two stops by underground from the main station in Vienna.""".splitlines()


def conversation(*parts: list[str]) -> list[dict[str, Any]]:
    """The lines as messages of a user and an assistant in turn, with positions and ids."""
    lines = [line for part in parts for line in part]
    return [
        {
            "id": f"m{number}",
            "role": "assistant" if number % 2 == 0 else "user",
            "content": line,
            "timestamp": f"2026-11-20T{14 + number // 60:02d}:{number % 60:02d}:00.000000Z",
            "seq": number,
        }
        for number, line in enumerate(lines, 1)
    ]


def said(path: Path, messages: list[dict[str, Any]], account: str = "a") -> None:
    """Store messages, and close the bank."""
    given = [Message(one["role"], one["content"], one["id"], one["timestamp"]) for one in messages]
    with opened(path) as bank:
        store(bank, account, given)


def state(path: Path, account: str = "a") -> State:
    with opened(path) as bank:
        return read_history(bank, account).context
