"""What memorybank looks at outside its command line and the bank: environment variables and the user's files."""

from __future__ import annotations

from memorybank_cli.bank.home import OVERRIDE
from memorybank_cli.operations.finding import VARIABLE

VARIABLES: dict[str, str] = {
    VARIABLE: "The bank, where `--bank` is not given.",
    OVERRIDE: "A directory that takes the place of the three below the owner's home, for containers and tests. "
    "State is then in state/, snapshots are in repositories/, your own settings in config.json below it.",
    "NO_COLOR": "Not empty: plain text on a terminal too.",
    "TERM": "`dumb` or empty: plain text, and no progress bar.",
}
"""Environment variables besides those of the settings."""

FILES: dict[str, str] = {
    "~/.config/memorybank/config.json": "Your own settings; `memorybank config set --scope user` writes it.",
    "~/.local/share/memorybank/<bank_id>/": "The snapshots of a bank, unless the setting `repository` or --repo names "
    "another directory.",
    "~/.local/state/memorybank/<bank_id>/": "What is kept about a bank outside of it: up to where its journal was "
    "durable, which config was trusted, where it stood, and the reports of `maintain monthly`.",
    "~/.local/state/memorybank/crash/": "Reports of internal errors: versions and places in the code, no data.",
}
"""Files in the home of the bank's owner."""
