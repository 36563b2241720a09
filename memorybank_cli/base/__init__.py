"""Floor 1: what everything else stands on; nothing here knows what a bank is."""
