"""Floor 3: conversation accounts, their messages and tiers."""
