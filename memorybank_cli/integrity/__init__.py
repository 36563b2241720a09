"""Floor 3: what changed in the bank behind its back, what is damaged, and how it is mended."""
