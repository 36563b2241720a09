"""Floor 3: from findings to one number, one word, and the status documents of the specs."""
